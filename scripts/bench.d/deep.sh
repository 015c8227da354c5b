# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the scripts that source this set and use what it shares with them
# Workloads on stacks of many layers, and in a directory of many names. See workloads.sh, read.sh and stacks.sh. Sourced, never run.

for depth in 1 16 64 128; do
    workload "layers-$depth-find" "deep-$depth" reads kept "find with stat over $depth layers, on a fresh mount"
    workload "layers-$depth-look" "deep-$depth" reads kept "stat of names there and not there over $depth layers, after a first look into each directory"
    eval "timed:layers-$depth-find() { find_with_stat deep; }
        result:layers-$depth-find() { found_with_stat; }
        before:layers-$depth-look() { \"\$files\" stat \"\$stacks/deep.first\" 1; }
        timed:layers-$depth-look() { \"\$files\" stat \"\$stacks/deep.rest\" 1; }
        result:layers-$depth-look() { cat \"\$out/out\"; }"
done
unset depth

workload big-list big reads kept "the names of a directory of 100,000, on a fresh mount"
timed:big-list() { ls -U big; }
result:big-list() { sort "$out/out"; }

workload big-find big reads kept "find with stat in a directory of 100,000 names, on a fresh mount"
timed:big-find() { find_with_stat big; }
result:big-find() { found_with_stat; }

workload big-again big reads kept "find with stat in a directory of 100,000 names, once more"
before:big-again() { find_with_stat big >/dev/null; }
timed:big-again() { find_with_stat big; }
result:big-again() { found_with_stat; }
