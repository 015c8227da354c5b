# shellcheck shell=bash
# Installing what is missing, and saying so. Needs ui.sh. Sourced, never run.

# have COMMAND: whether a command is there. sbin counts: an ordinary user's PATH often lacks it.
have() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1; }

# as_root COMMAND...: runs a command as root: directly, or through sudo when that asks for no password or can ask for it.
as_root() {
    if [[ $(id -u) == 0 ]]; then
        "$@"
    else
        sudo -- "$@"
    fi
}

# can_be_root: whether as_root has a chance.
can_be_root() {
    [[ $(id -u) == 0 ]] && return 0
    have sudo || return 1
    sudo -n true 2>/dev/null || [[ -t 0 && -t 2 ]]
}

apt_lists_are_fresh=''

# apt_install PACKAGE...: installs Debian's packages; the lists are updated once. Returns 1 when that is not possible here.
apt_install() {
    have apt-get && can_be_root || return 1
    if [[ -z $apt_lists_are_fresh ]]; then
        as_root apt-get -qq update || return 1
        apt_lists_are_fresh=yes
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" </dev/null >/dev/null
}

# need COMMAND=PACKAGE...: makes sure that every command is there. Without one the script ends, saying what to type.
need() {
    local pair missing=()
    for pair in "$@"; do
        have "${pair%%=*}" || missing+=("${pair#*=}")
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    note "Missing here: ${missing[*]} (Debian's package names); installing."
    apt_install "${missing[@]}" ||
        die "cannot install ${missing[*]} from here" "As root: apt-get install ${missing[*]} (or your system's packages of that content)."
    for pair in "$@"; do
        have "${pair%%=*}" || die "the package ${pair#*=} is installed, but there is still no ${pair%%=*}"
    done
}

# need_rust: cargo, also where a shell has not read cargo's environment yet.
need_rust() {
    # shellcheck source=/dev/null
    if ! have cargo && [[ -r $HOME/.cargo/env ]]; then . "$HOME/.cargo/env"; fi
    have cargo || die "there is no cargo" "Install Rust, 1.88 or newer: https://rustup.rs"
    need cc=gcc
}

# need_fuse_device for-me|for-everyone: /dev/fuse, and one that ordinary users can open, too, when it is for everyone.
# Returns 1, having said why, when it cannot be had.
need_fuse_device() {
    local wanted=${1:-}
    if [[ ! -c /dev/fuse ]]; then
        if can_be_root; then as_root modprobe fuse 2>/dev/null || true; fi # the next line sees what came of it
        [[ -c /dev/fuse ]] || { note "There is no /dev/fuse: the kernel has no FUSE, or this container was not given the device (--device /dev/fuse)."; return 1; }
    fi
    if [[ $wanted == for-everyone && $(stat -Lc %a /dev/fuse) != *6 ]] || [[ ! -r /dev/fuse || ! -w /dev/fuse ]]; then
        note "/dev/fuse has mode $(stat -Lc %a /dev/fuse), closed to ordinary users: chmod 666 /dev/fuse"
        if ! can_be_root || ! as_root chmod 666 /dev/fuse; then
            note "It could not be changed from here."
            return 1
        fi
    fi
}
