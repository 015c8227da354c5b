# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the scripts that source this set and use what it shares with them
# Workloads that look at the source tree and read it. See workloads.sh. Sourced, never run.

find_with_stat() { find "$1" -printf '%p %y %s %m %U\n'; }
# The sizes of directories are each file system's own.
found_with_stat() { awk '$2 == "d" { $3 = "-" } { print }' "$out/out" | sort; }

workload find-first tree reads kept "find with stat, on a fresh mount"
timed:find-first() { find_with_stat linux; }
result:find-first() { found_with_stat; }

workload find-again tree reads kept "find with stat, once more on the same mount"
before:find-again() { find_with_stat linux >/dev/null; }
timed:find-again() { find_with_stat linux; }
result:find-again() { found_with_stat; }

workload ls-again tree reads kept "ls -lR, once more"
before:ls-again() { ls -lR linux >/dev/null; }
timed:ls-again() { ls -lR linux; }
# Of directories, links and sizes are each file system's own.
result:ls-again() { awk '/^[-l]/ { print $1, $3, $4, $5, $9 } /^d/ { print $1, $3, $4, $9 }' "$out/out"; }

workload stat-again tree reads kept "stat of every file, four times, once more"
before:stat-again() { "$files" stat "$lists/all" 1 >/dev/null; }
timed:stat-again() { "$files" stat "$lists/all" 4; }
result:stat-again() { cat "$out/out"; }

read_all() { xargs -0 -a "$lists/all" cat >/dev/null; }

workload read-first tree reads kept "every file read, on a fresh mount"
timed:read-first() { read_all; }
result:read-first() { same_content "$lists/all"; }

workload read-again tree reads kept "every file read, once more on the same mount"
before:read-again() { read_all; }
timed:read-again() { read_all; }
result:read-again() { same_content "$lists/all"; }

read_parallel() { xargs -0 -a "$lists/all" -P 4 -n 250 cat >/dev/null; }

workload read-parallel tree reads kept "every file read by four processes, once more"
before:read-parallel() { read_parallel; }
timed:read-parallel() { read_parallel; }
result:read-parallel() { same_content "$lists/all"; }

workload grep-again tree reads kept "grep -r, once more"
before:grep-again() { grep -r EINVAL linux >"$out/found"; }
timed:grep-again() { grep -r EINVAL linux; }
result:grep-again() { sort "$out/out"; }

workload open-again tree reads kept "open, read and close 5,000 small files, four times, once more"
before:open-again() { "$files" open "$lists/small" 1 >/dev/null; }
timed:open-again() { "$files" open "$lists/small" 4; }
result:open-again() { cat "$out/out" && same_content "$lists/small"; }

# at_once COMMAND...: four processes; the command's '{}' is 0 to 3.
at_once() { printf '%s\n' 0 1 2 3 | xargs -P 4 -I '{}' "$@"; }

workload open-4 tree reads kept "the same by 4 processes at once, each with a quarter of the files, sixteen times"
before:open-4() { "$files" open "$lists/small" 1 >/dev/null; }
timed:open-4() { at_once "$files" open "$lists/small.{}" 16; }
result:open-4() { sort "$out/out" && same_content "$lists/small"; }
