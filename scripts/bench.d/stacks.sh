# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the scripts that source this set and use what it shares with them
# The stacks that are mounted, each below "$stacks/NAME" with one directory a layer, on the file system to be measured; and
# "$stacks/NAME/.bare", what the union shows, for the bare file system. Needs ui.sh, tree.sh, and the sizes. Sourced, never run.

# layers_of STACK: the array layers, the names of its layers below "$stacks/STACK", the first is the top.
layers_of() {
    case $1 in
    tree) layers=(top mid base) ;;
    big) layers=(top base) ;;
    deep-*) mapfile -t layers < <(seq "${1#deep-}" -1 1) ;;
    esac
}

# make_stack STACK: makes it where it is not there yet.
make_stack() {
    local at=$stacks/$1
    [[ ! -d $at ]] || return 0
    say "  stack $1"
    mkdir "$at"
    case $1 in
    tree) make_tree_stack "$at" ;;
    big) make_big_stack "$at" ;;
    deep-*) make_deep_stack "$at" "${1#deep-}" ;;
    esac
    chown -R "$owner" "$at"
    show_merged "$1" "$at/.bare"
    # All that was written is on the disk before anything is measured, and the layers are in the page cache.
    sync -f "$at"
    find "$at" -type f -print0 | xargs -0 cat >/dev/null
}

make_tree_stack() { cp -a "$made/layers"/{top,mid,base} "$1/"; }

# make_big_stack AT: one directory of very many names; half of them in each layer, and of each a hundredth in both.
make_big_stack() {
    mkdir "$1/top" "$1/base"
    "$files" create "$1/base/big" 1 "$((big_names / 2))" 1 0 >/dev/null
    "$files" create "$1/top/big" "$((big_names / 2 + 1))" "$big_names" 1 0 >/dev/null
    "$files" create "$1/top/big" 1 "$((big_names / 2))" 100 1 >/dev/null
}

readonly deep_directories=48

# make_deep_stack AT N: as many names whatever N is: directories that every layer has, and whose files are dealt out to the layers.
# Its lists are "$stacks/deep.first", a name of each directory, and "$stacks/deep.rest", the others, and as many that do not exist.
make_deep_stack() {
    local at=$1 depth=$2 directory layer
    for layer in $(seq "$depth"); do
        mkdir "$at/$layer" "$at/$layer/deep"
        for directory in $(seq "$deep_directories"); do
            "$files" create "$at/$layer/deep/$directory" "$layer" "$deep_names" "$depth" 10 >/dev/null
        done
    done
    [[ ! -e $stacks/deep.rest ]] || return 0
    local name
    for directory in $(seq "$deep_directories"); do
        printf 'deep/%s/name-000001\0' "$directory" >>"$stacks/deep.first"
        for name in $(seq 2 "$deep_names"); do printf 'deep/%s/name-%06d\0deep/%s/missing-%06d\0' "$directory" "$name" "$directory" "$name"; done
    done >"$stacks/deep.rest"
    chown "$owner" "$stacks"/deep.*
}

# show_merged STACK TARGET: a copy of what the union shows, as the kernel sees it.
show_merged() {
    local at=$run/merged layers
    layers_of "$1"
    mkdir -p "$at" "$2"
    # One layer alone is no overlay.
    if [[ ${#layers[@]} == 1 ]]; then
        cp -a "$stacks/$1/${layers[0]}/." "$2/"
        return
    fi
    (cd "$stacks/$1" && mount -t overlay overlay -o "ro,lowerdir=$(IFS=:; printf '%s' "${layers[*]}")" "$at") ||
        die "the kernel's overlay cannot be mounted here" "In a container it needs CAP_SYS_ADMIN; without it nothing can be compared with."
    cp -a "$at/." "$2/"
    umount "$at"
}
