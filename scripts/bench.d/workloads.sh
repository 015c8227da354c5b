# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the scripts that source this set and use what it shares with them
# How a workload is declared. Sourced, never run.
#
# A workload NAME is three functions, of which the first may be missing; they run in the root of a mount, in a process of their own,
# and as the user of the run:
#   before:NAME   what comes before, whose time is not taken
#   timed:NAME    one command, pipe, or chain of them; what it prints is in "$out/out" afterwards
#   result:NAME   prints what must be the same on all systems
# They find "$lists" (tree.sh), "$stacks" (stacks.sh), "$files" (files.c), and the sizes (scripts/bench).

workloads=()
declare -A stack_of effect_of state_of text_of

# workload NAME STACK EFFECT STATE TEXT
#   EFFECT   reads; adds, below ./new only; changes, anything
#   STATE    what is between before and timed: nothing (kept); another mount of the same (mounted); dropped caches (cold)
workload() {
    workloads+=("$1")
    stack_of[$1]=$2 effect_of[$1]=$3 state_of[$1]=$4 text_of[$1]=$5
}

# same_files DIR: kind, mode, owner, size and name of everything in a directory; without the sizes of directories, which are each
# file system's own.
same_files() { find "$1" -printf '%y %m %U %s %p\n' | sed -E 's/^(d [0-7]+ [0-9]+) [0-9]+/\1 -/' | sort; }

# same_content LIST: one digest of what all files of a list hold.
same_content() { xargs -0 -a "$1" cat | sha256sum; }
