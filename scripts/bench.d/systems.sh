# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the scripts that source this set and use what it shares with them
# The systems that are compared, and how each is mounted and unmounted: the one place that knows. Needs ui.sh, install.sh,
# stacks.sh. Sourced, never run.

# ---- which there are ----

# lamina in each of its modes. A line is a name, what it is measured against (a column of targets.sh), and mount options; one that the
# program does not know, or that this machine does not allow, is left out, and the run says so.
lamina_configurations=(
    'lamina              dev'
    'lamina-cached       dev              io=cached'
    'lamina-passthrough  passthrough      io=passthrough'
    'lamina-uring        uring            transport=uring'
)

# A system's kind is how it is mounted; its program and options are those of the mount; its class is a column of targets.sh, or '-'.
systems=()
declare -A kind_of program_of options_of class_of

# system NAME KIND CLASS [PROGRAM [OPTIONS]]
system() {
    [[ -z ${kind_of[$1]:-} ]] || usage_error "two systems are called $1"
    systems+=("$1")
    kind_of[$1]=$2 class_of[$1]=$3 program_of[$1]=${4:-} options_of[$1]=${5:-}
}

# Where a program of "$run/bin" comes from.
declare -A origin_of=()

# own_program FILE: "$program", a copy of it where the ordinary user can run it, too.
own_program() {
    [[ -f $1 && -x $1 ]] || die "no such program: $1"
    program=$run/bin/${#origin_of[@]}-${1##*/}
    install -m 755 "$1" "$program"
    origin_of[$program]=$(realpath "$1")
}

# class_by_options OPTIONS: what a configuration that the command line adds is measured against.
class_by_options() {
    case ,$1, in
    *,transport=uring,*io=passthrough,* | *,io=passthrough,*transport=uring,*) printf 'uring-passthrough' ;;
    *,transport=uring,*) printf uring ;;
    *,io=passthrough,*) printf passthrough ;;
    *) printf dev ;;
    esac
}

# declare_systems: all that are installed, and those that --with adds.
declare_systems() {
    local line name class options added program
    system kernel kernel -
    system bare bare -
    for line in "${lamina_configurations[@]}"; do
        read -r name class options <<<"$line"
        system "$name" lamina "$class" "$lamina" "$options"
    done
    for added in ${with[@]+"${with[@]}"}; do
        name=${added%%=*} options=${added#*=}
        program=$lamina
        if [[ $options == */* ]]; then
            own_program "${options%%,*}"
            if [[ $options == *,* ]]; then options=${options#*,}; else options=''; fi
        fi
        system "$name" lamina "$(class_by_options "$options")" "$program" "$options"
    done
    if [[ -n ${FUSE_OVERLAYFS:-} ]]; then
        own_program "$FUSE_OVERLAYFS"
        system fuse-overlayfs fuse-overlayfs - "$program"
    elif have fuse-overlayfs; then
        system fuse-overlayfs fuse-overlayfs - fuse-overlayfs
    fi
    if have unionfs; then system unionfs-fuse unionfs-fuse - unionfs; fi
    if have mergerfs; then system mergerfs mergerfs - mergerfs; fi
}

# choose_systems: those of --systems, each tried by a mount; one that cannot be mounted is left out, unless it was asked for by name.
choose_systems() {
    local name chosen=()
    for name in ${wanted_systems//,/ }; do
        [[ -n ${kind_of[$name]:-} ]] || usage_error "no such system: $name; there are ${systems[*]}"
    done
    for name in "${systems[@]}"; do
        [[ -z $wanted_systems || ,$wanted_systems, == *,$name,* ]] || continue
        rm -rf --one-file-system "$run/private"
        if (mount_system "$name" tree "$run/private" && unmount_system) 2>"$run/log"; then
            chosen+=("$name")
        elif [[ -n $wanted_systems || " ${with[*]%%=*} " == *" $name "* ]]; then
            die "$name cannot be mounted: $(tail -n 3 "$run/log")"
        else
            note "  left out: $name cannot be mounted: $(first_reason)"
        fi
    done
    systems=("${chosen[@]}")
    [[ ${#systems[@]} -gt 0 ]] || die "nothing can be mounted here"
}

# first_reason: the line of the log that says most: the first that speaks of an error, else the last.
first_reason() { grep -m 1 -iE 'error|fail|unknown|denied' "$run/log" || tail -n 1 "$run/log"; }

# can SYSTEM EFFECT: whether a system does what a workload asks for. mergerfs has no copy-up and no whiteouts.
can() { [[ ${kind_of[$1]} != mergerfs || $2 != changes ]]; }

# ---- mounting ----

# What is mounted now: where, and by which process of ours; nothing, when nothing is.
mounted_at='' daemon=''

is_mounted() { grep -qF " $1 " /proc/self/mountinfo; }

# mount_system SYSTEM STACK PRIVATE: mounts a stack with an upper in the directory PRIVATE, as it is there. Result: "$at".
mount_system() {
    local system=$1 stack=$stacks/$2 private=$3 lower layers
    layers_of "$2"
    at=$run/mnt
    make_private "$private"
    lower=$(printf ":$stack/%s" "${layers[@]}")
    lower=${lower#:}
    case ${kind_of[$system]} in
    bare) at=$stack/.bare ;;
    kernel)
        # Relative names: a page has to hold the options.
        mounted_at=$at
        (cd "$stack" && mount -t overlay overlay -o "lowerdir=$(IFS=:; printf '%s' "${layers[*]}"),upperdir=$private/upper,workdir=$private/work,redirect_dir=on,index=off,metacopy=off" "$at")
        ;;
    lamina)
        # The strict command: an option that it does not know is an error.
        serve "${program_of[$system]}" mount --quiet --foreground --upper "$private/upper" --work "$private/work" \
            ${options_of[$system]:+-o "${options_of[$system]}"} "${layers[@]/#/$stack/}" "$at"
        ;;
    fuse-overlayfs)
        serve "${program_of[$system]}" -f -o "lowerdir=$lower,upperdir=$private/upper,workdir=$private/work" "$at"
        ;;
    unionfs-fuse) serve "${program_of[$system]}" -f -o cow "$private/upper=RW:${lower//:/=RO:}=RO" "$at" ;;
    mergerfs) serve "${program_of[$system]}" -f -o category.create=ff,category.search=ff "$private/upper=RW:${lower//:/=RO:}=RO" "$at" ;;
    esac
}

# make_private DIR: what a mount writes to. It is there already when a stack is mounted again.
make_private() {
    [[ ! -d $1 ]] || return 0
    mkdir "$1" "$1/upper" "$1/work"
    chown -R "$owner" "$1"
}

# serve PROGRAM ARGUMENTS...: starts a FUSE daemon in the foreground, and returns when it has mounted. One that hangs is ended
# when its time is over: then what waits for it fails.
serve() {
    local tries
    mounted_at=$at
    timeout --kill-after=5 "$patience" "${as_user[@]}" "$@" >"$run/daemon.log" 2>&1 </dev/null &
    daemon=$!
    for ((tries = 0; tries < 1500; tries++)); do
        if is_mounted "$at"; then return 0; fi
        if ! kill -0 "$daemon" 2>/dev/null; then break; fi
        sleep 0.02
    done
    cat "$run/daemon.log" >&2
    kill "$daemon" 2>/dev/null || true # it may have ended by itself
    unmount_system
    return 1
}

# unmount_system: unmounts what mount_system mounted, if something, and waits for the daemon's end.
unmount_system() {
    if [[ -n $mounted_at ]] && is_mounted "$mounted_at"; then
        umount "$mounted_at" || umount -l "$mounted_at"
    fi
    mounted_at=''
    if [[ -n $daemon ]]; then
        # How it ends is not our business here: that it ends is.
        wait "$daemon" 2>/dev/null || true
        daemon=''
    fi
}
