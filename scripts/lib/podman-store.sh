# shellcheck shell=bash
# shellcheck disable=SC2154 # the variables run, user and lamina are the script's
# Stores of podman's and buildah's own, as root and as an ordinary user, each with its mount program. Needs ui.sh, install.sh and
# rootfs-compare.sh. Used by scripts/podman. Sourced, never run.

# own_surroundings: /run, /dev/shm and /sys/fs/cgroup of one's own, in a mount namespace of one's own. podman and crun keep records in the
# first two; crun refuses a mix of the two kinds of control groups, and here needs none at all.
own_surroundings() {
    local names
    # It may be a link into /run.
    names=$(cat /etc/resolv.conf 2>/dev/null) || true
    mount --make-rshared /
    mount -t tmpfs -o mode=755 lamina-podman /run
    if [[ ! -e /etc/resolv.conf ]]; then
        mkdir -p "$(dirname "$(readlink -m /etc/resolv.conf)")"
        printf '%s\n' "$names" >"$(readlink -m /etc/resolv.conf)"
    fi
    mount -t tmpfs -o mode=1777 lamina-podman /dev/shm
    umount -R -l /sys/fs/cgroup 2>/dev/null || true # nothing may be there
    mount -t cgroup2 cgroup2 /sys/fs/cgroup || note "There are no control groups of version 2 here; containers may not run."
    cat >"$run/containers.conf" <<'CONF'
[containers]
cgroups = "disabled"
netns = "host"
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
CONF
}

# new_store WHO PROGRAM [VARIANT LINE-OF-CONFIGURATION]: a store, in which in_store does things from here on.
new_store() {
    open_store "$1" "$2" "${3:-}"
    mkdir -p "$home" "$runtime"
    chmod 700 "$runtime"
    [[ $1 == root ]] || chown "$user:$(id -g "$user")" "$home" "$runtime"
    cat >"$home/storage.conf" <<CONF
[storage]
driver = "overlay"
runroot = "$runtime/storage"
graphroot = "$home/graph"
rootless_storage_path = "$home/graph"
[storage.options.overlay]
${4:-}
CONF
    case $2 in
    lamina) printf 'mount_program = "%s"\n' "$lamina" ;;
    fuse-overlayfs) printf 'mount_program = "%s"\n' "$(command -v fuse-overlayfs)" ;;
    kernel) ;;
    esac >>"$home/storage.conf"
}

# open_store WHO PROGRAM [VARIANT]: in_store does things in this store from here on.
open_store() {
    store_of=$1
    home=$run/stores/$1-$2${3:+-$3}
    # Short: sockets are made below it, whose paths have a limit.
    runtime=/run/$1-$2${3:+-$3}
}

# in_store COMMAND ARGUMENT...: runs a program, or a function of the script's, in the store. As the user, a function runs in the user
# namespace where podman mounts.
in_store() {
    local command=("$@") person=()
    if declare -F "$1" >/dev/null; then
        # shellcheck disable=SC2016 # expanded by the shell that runs it
        command=(bash -c '"$@"' bash "$@")
        [[ $store_of == root ]] || command=(podman unshare "${command[@]}")
    fi
    [[ $store_of == root ]] || person=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups)
    (
        cd "$home" || exit
        export run lamina store_of
        export -f snapshot snapshot_mounted layers_of mount_layers read_layers change_layers probe_kernel_overlay
        "${person[@]}" env -u DBUS_SESSION_BUS_ADDRESS HOME="$home" XDG_RUNTIME_DIR="$runtime" XDG_DATA_HOME="$home/data" XDG_CONFIG_HOME="$home/config" \
            TMPDIR="$home" CONTAINERS_STORAGE_CONF="$home/storage.conf" CONTAINERS_CONF="$run/containers.conf" "${command[@]}"
    )
}

# ---- what runs in the store's namespace ----

# snapshot_mounted OUT container|image NAME: a snapshot of what podman mounts.
snapshot_mounted() {
    local at code=0
    case $2 in
    container) at=$(podman mount "$3") || return ;;
    image) at=$(podman image mount "$3") || return ;;
    esac
    snapshot "$at" "$1" || code=1
    case $2 in
    container) podman umount "$3" ;;
    image) podman image umount "$3" ;;
    esac >/dev/null || code=1
    return "$code"
}

# layers_of container|image NAME: the options that mount it: its layers, and of a container the upper.
layers_of() {
    local lower upper work
    # A layer alone has nothing below; the kernel's overlay asks for two.
    mkdir -p "$HOME/empty"
    lower=$(podman inspect --type "$1" --format '{{.GraphDriver.Data.LowerDir}}' "$2") || return
    upper=$(podman inspect --type "$1" --format '{{.GraphDriver.Data.UpperDir}}' "$2") || return
    work=$(podman inspect --type "$1" --format '{{.GraphDriver.Data.WorkDir}}' "$2") || return
    case $1 in
    container) printf 'lowerdir=%s,upperdir=%s,workdir=%s' "$lower" "$upper" "$work" ;;
    image) printf 'lowerdir=%s:%s' "$upper" "${lower/#<no value>/$HOME/empty}" ;;
    esac
}

# mount_layers OPTIONS PROGRAM DIRECTORY
mount_layers() {
    local out
    case $2 in
    lamina) "$lamina" -o "$1" "$3" ;;
    # It complains of options of its own.
    fuse-overlayfs) out=$(fuse-overlayfs -o "$1" "$3" 2>&1 >/dev/null </dev/null) || { printf '%s\n' "$out"; return 1; } ;;
    kernel)
        if [[ $store_of == root ]]; then mount -t overlay overlay -o "$1" "$3"; else mount -t overlay overlay -o "userxattr,$1" "$3"; fi
        ;;
    esac
}

# read_layers container|image NAME PROGRAM OUT [OPTION]: a snapshot of what the program makes of the layers.
read_layers() {
    local options at code=0
    options=$(layers_of "$1" "$2") || return
    at=$(mktemp -d) || return
    mount_layers "$options${5:+,$5}" "$3" "$at" || return
    snapshot "$at" "$4" || code=1
    umount "$at" && rmdir "$at" || code=1
    return "$code"
}

# change_layers CONTAINER PROGRAM OUT: deletes, makes again and renames, then a snapshot of it.
change_layers() {
    local options at code=0
    options=$(layers_of container "$1") || return
    at=$(mktemp -d) || return
    mount_layers "$options" "$2" "$at" || return
    (
        set -e
        cd "$at"
        rm -r var/again
        mkdir var/again
        printf 'by %s\n' "$2" >var/again/by
        rm -r srv/tree
        mkdir srv/tree
        printf 'by %s\n' "$2" >srv/tree/deep
        printf 'again\n' >srv/again
        ln srv/again srv/linked-again
        chown 7:8 etc/hello
        rm srv/linked-again
        rm -rf opt/away
    ) || code=1
    snapshot "$at" "$3" || code=1
    umount "$at" && rmdir "$at" || code=1
    return "$code"
}

# probe_kernel_overlay: mounts one, and unmounts it.
probe_kernel_overlay() {
    mkdir -p probe/{lower,upper,work,at}
    mount_layers "lowerdir=$PWD/probe/lower,upperdir=$PWD/probe/upper,workdir=$PWD/probe/work" kernel "$PWD/probe/at" && umount probe/at
}

# ---- what this machine can do ----

# can_be_user: can the ordinary user have a user namespace with more than one id? If not, says why.
can_be_user() {
    local name out
    if ! name=$(getent passwd "$user" | cut -d : -f 1) || [[ -z $name ]]; then
        left_out "as an ordinary user" "there is no user with the id $user, whom scripts/test makes"
    elif ! have newuidmap; then
        left_out "as an ordinary user" "newuidmap is not installed (package uidmap)"
    elif ! grep -qE "^($name|$user):" /etc/subuid || ! grep -qE "^($name|$user):" /etc/subgid; then
        left_out "as an ordinary user" "$name has no ids in /etc/subuid and /etc/subgid: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $name"
    else
        new_store user lamina
        if out=$(in_store podman unshare true 2>&1); then return 0; fi
        left_out "as an ordinary user" "podman unshare does not work here: $out"
    fi
    return 1
}

# kernel_overlay WHO: can the kernel's overlay be mounted by this person?
kernel_overlay() {
    new_store "$1" probe
    in_store probe_kernel_overlay 2>/dev/null
}
