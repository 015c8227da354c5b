# shellcheck shell=bash
# Building images with buildah, in a storage of one's own. Needs ui.sh and install.sh. Sourced, never run.

# own_storage DIRECTORY: from here on buildah, podman and skopeo keep their things below the directory.
own_storage() {
    mkdir -p "$1/storage"
    cat >"$1/storage.conf" <<CONF
[storage]
driver = "${2:-overlay}"
runroot = "$1/storage/run"
graphroot = "$1/storage/graph"
CONF
    export CONTAINERS_STORAGE_CONF=$1/storage.conf
}

# busybox_base ROOT: a root file system of one program.
busybox_base() {
    local root=$1 name
    mkdir -p "$root"/{bin,dev,etc,home,proc,root,sys,tmp,usr/bin,usr/local/bin,var/log}
    chmod 1777 "$root/tmp"
    chmod 700 "$root/root"
    cp "$(PATH="$PATH:/usr/sbin:/sbin" command -v busybox)" "$root/bin/busybox"
    for name in $("$root/bin/busybox" --list); do
        [[ $name == busybox ]] || ln -s busybox "$root/bin/$name"
    done
    printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
    printf 'Welcome.\n' >"$root/etc/motd"
    printf 'image\n' >"$root/etc/hostname"
    printf 'An issue.\n' >"$root/etc/issue"
}

# debian_base ROOT: Debian, by debootstrap, from the cache where scripts/real-rootfs keeps it, or made for it.
debian_base() {
    local root=$1 cache=${LAMINA_ROOTFS_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/lamina/real-rootfs} base
    base=$(find "$cache" -maxdepth 1 -name 'base-*' -type d 2>/dev/null | sort | head -n 1)
    if [[ -n $base ]]; then
        cp -a --reflink=auto "$base" "$root"
    else
        need debootstrap=debootstrap
        debootstrap --variant=minbase bookworm "$root"
    fi
    mkdir -p "$root/usr/local/bin"
}

# furnish ROOT: adds what there is to get wrong: links, devices, owners, modes, times, odd names, holes, xattrs.
furnish() {
    local root=$1
    mkdir -p "$root"/{opt/removed/deep,opt/moved/sub,var/again/old,srv/kinds,srv/private}
    printf 'gone\n' >"$root/opt/removed/deep/file"
    printf 'moved\n' >"$root/opt/moved/sub/file"
    printf 'old\n' >"$root/var/again/old/file"
    (
        cd "$root/srv/kinds" || exit
        printf 'linked\n' >first
        ln first second
        ln first ../third
        ln -s first link
        ln -s /etc/passwd absolute
        mkfifo fifo
        mknod null c 1 3
        mknod block b 7 9
        truncate -s 3M sparse
        printf 'piece' | dd of=sparse bs=1 seek=1000000 conv=notrunc status=none
        printf 'setuid\n' >setuid
        chmod 6755 setuid
        printf 'secret\n' >secret
        chown 1234:5678 secret
        chmod 000 secret
        printf 'large id\n' >large-id
        chown 3000000:4000000 large-id
        printf 'capable\n' >capable
        # The file capability cap_net_raw=ep, as setcap writes it.
        setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 capable
        printf 'odd\n' >$'new\nline, tab\t, \xff and more'
        printf 'long\n' >"$(printf 'n%.0s' {1..255})"
        mkdir -p "$(printf 'd%.0s' {1..200})/$(printf 'e%.0s' {1..200})"
        printf 'empty follows\n' >text
        : >empty
        touch -d 1960-05-04T03:02:01Z text
        touch -d 2040-05-04T03:02:01Z empty
    )
    printf 'private\n' >"$root/srv/private/file"
    chmod 700 "$root/srv/private"
    chown -R 33:33 "$root/srv/private"
}

# base_image ROOT NAME: an image of one layer.
base_image() {
    local container
    container=$(buildah from scratch)
    buildah copy -q "$container" "$1" /
    buildah commit -q "$container" "$2"
    buildah rm "$container"
}

# five_instructions DIRECTORY BASE NAME: an image of a Dockerfile with FROM, ENV, RUN, COPY, ENTRYPOINT.
five_instructions() {
    mkdir -p "$1"
    # shellcheck disable=SC2016 # a script
    printf '#!/bin/sh\necho "$GREETING"\n' >"$1/app"
    chmod 750 "$1/app"
    cat >"$1/Dockerfile" <<DOCKERFILE
FROM $2
ENV GREETING=hello
RUN echo run >/etc/run && rm /srv/third && rm -r /srv/private && mkdir /srv/private && echo new >/srv/private/new \\
    && chmod 750 /var/log && ln -s ../etc /opt/etc && echo x >/opt/a && ln /opt/a /opt/b && chown 33:44 /opt/a
COPY app /usr/local/bin/app
ENTRYPOINT ["/usr/local/bin/app"]
DOCKERFILE
    buildah bud -q --layers --isolation chroot -t "$3" "$1"
}
