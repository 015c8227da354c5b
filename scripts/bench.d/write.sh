# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the scripts that source this set and use what it shares with them
# Workloads that make, remove and change files. See workloads.sh and read.sh. Sourced, never run.

workload create tree adds kept "5,000 files of 100 bytes made in a new directory"
timed:create() { "$files" create new 1 "$create_files" 1 100; }
result:create() { same_files new; }

workload create-4 tree adds kept "the same by 4 processes at once, in a directory each"
before:create-4() { mkdir new; }
timed:create-4() { at_once "$files" create 'new/{}' 1 "$((create_files / 4))" 1 100; }
result:create-4() { same_files new; }

untar() { mkdir new && tar -xf "$lists/some.tar" -C new; }

workload untar tree adds kept "3,000 files unpacked by tar"
timed:untar() { untar; }
result:untar() { same_files new && find new -type f -print0 | sort -z | xargs -0 cat | sha256sum; }

workload rm-upper tree adds kept "rm -rf of 3,000 files that lie in the upper"
before:rm-upper() { untar; }
timed:rm-upper() { rm -rf new; }
result:rm-upper() { find . -maxdepth 1 -name new && find linux -type f | wc -l; }

workload rm-lower tree changes kept "rm -rf of the whole tree, which lies in the layers"
timed:rm-lower() { rm -rf linux; }
result:rm-lower() { find . -maxdepth 1 | grep -v unionfs | sort; }

workload chmod-lower tree changes kept "chmod of 3,000 files of the layers: each is copied up"
timed:chmod-lower() { xargs -0 -a "$lists/some" chmod 600; }
result:chmod-lower() { same_files linux && same_content "$lists/some"; }

workload append-lower tree changes kept "a line appended to 3,000 files of the layers: each is copied up"
timed:append-lower() { "$files" append "$lists/some"; }
result:append-lower() { same_files linux && same_content "$lists/some"; }
