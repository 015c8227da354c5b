# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the scripts that source this set and use what it shares with them
# What lamina should reach: the ratio to the kernel's overlay, at most. Sourced, never run.

# A line is workloads, and the limit over /dev/fuse, over io_uring, and of the same two with io=passthrough where it differs. These
# hold for layers and upper on tmpfs.
targets=(
    'find-first                             2    1.5'
    'find-again,ls-again,stat-again         1.1  1.1'
    'read-first                             2.5  2'
    'read-again                             1.5  1.3'
    'read-parallel,grep-again               1.5  1.3'
    'git-status,python-again                1.5  1.3'
    'open-again                             1.3  1.3  4  2'
    'create                                 3    2'
    'untar                                  4    2.5'
    'rm-upper                               3.5  2'
    'rm-lower                               2    1.5'
    'chmod-lower,append-lower               2    1.5'
    'layers-128-find                        2    2'
)
# The same for data, which depends on who mounts: root, an ordinary user.
data_targets=(
    'write-seq,read-seq,read-rand,write-rand  1.1  1.5'
)

# limit_of WORKLOAD CLASS: nothing where there is none, as for all that is not lamina.
limit_of() {
    local line names dev uring passthrough uring_passthrough root user
    for line in "${targets[@]}"; do
        read -r names dev uring passthrough uring_passthrough <<<"$line"
        [[ ,$names, == *,$1,* ]] || continue
        case $2 in
        dev) printf '%s' "$dev" ;;
        uring) printf '%s' "$uring" ;;
        passthrough) printf '%s' "${passthrough:-$dev}" ;;
        uring-passthrough) printf '%s' "${uring_passthrough:-$uring}" ;;
        esac
        return
    done
    [[ $2 != - ]] || return 0
    for line in "${data_targets[@]}"; do
        read -r names root user <<<"$line"
        if [[ ,$names, == *,$1,* ]]; then
            if [[ -n $by_user ]]; then printf '%s' "$user"; else printf '%s' "$root"; fi
        fi
    done
}
