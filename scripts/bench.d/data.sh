# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the scripts that source this set and use what it shares with them
# Workloads with one large file in the upper, by fio. See workloads.sh. Sourced, never run.

# one_file RW BLOCK: fio, with the time that it took by its own clock, which its slow start is no part of.
one_file() {
    fio --name=bench --filename=new/data --size="$data_size" --rw="$1" --bs="$2" --ioengine=psync --invalidate=0 --fallocate=none \
        --end_fsync=1 --buffer_pattern=0x6c616d696e610a00 --output-format=json >"$out/fio" &&
        own_us=$(awk -F '[:,]' '/"runtime"/ { if ($2 > most) most = $2 } END { print most * 1000 }' "$out/fio")
}

write_one_file() { mkdir new && one_file write 1m; }
# What fio read and wrote, and what there is.
of_one_file() { awk -F '[:,]' '/"io_bytes"/ { print $1 $2 }' "$out/fio" && sha256sum new/data; }

workload write-seq tree adds kept "1 GiB written in order, by 1 MiB"
timed:write-seq() { write_one_file; }
result:write-seq() { of_one_file; }

workload read-seq tree adds mounted "1 GiB read in order, by 1 MiB; written before on an earlier mount"
before:read-seq() { write_one_file; }
timed:read-seq() { one_file read 1m; }
result:read-seq() { of_one_file; }

workload read-rand tree adds mounted "1 GiB read at random, by 4 KiB; written before on an earlier mount"
before:read-rand() { write_one_file; }
timed:read-rand() { one_file randread 4k; }
result:read-rand() { of_one_file; }

workload write-rand tree adds mounted "1 GiB written at random, by 4 KiB; written before on an earlier mount"
before:write-rand() { write_one_file; }
timed:write-rand() { one_file randwrite 4k; }
result:write-rand() { of_one_file; }
