# shellcheck shell=sh disable=SC2317
# Starts a system of its own and ends it again: systemd as the first process in new namespaces, on this machine's files, of
# which what it writes is thrown away, with a control group and a /dev of its own. Nothing of the machine's units runs.
#
# $1 is a directory, seen there as here: in it are `srv`, which is /srv there; `mnt-union.mount`, the unit to try; and `script`,
# which sh runs there. $2 is the program. What the script says is in $1/said, and its exit code in $1/code.
set -eu
dir=$1 program=$2

if [ "${3:-}" != inside ]; then
    mount --make-rprivate /
    mkdir "$dir/cgroup" "$dir/root"
    mount -t cgroup2 cgroup2 "$dir/cgroup"
    former=$dir/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
    own=$former/lamina-test-$$
    mkdir "$own"
    leave() {
        echo $$ >"$former/cgroup.procs"
        find "$own" -depth -type d -exec rmdir {} +
    }
    trap leave EXIT
    echo $$ >"$own/cgroup.procs"
    # It ends by halting, which is a signal for the first process of a namespace.
    unshare --mount --pid --fork --kill-child --uts --ipc --cgroup sh "$0" "$dir" "$program" inside || true
    exit 0
fi

mount -t tmpfs tmpfs "$dir/cgroup"
mkdir "$dir/cgroup/upper" "$dir/cgroup/work"
root=$dir/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/cgroup/upper,workdir=$dir/cgroup/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/dev"
for name in null zero full random urandom tty fuse autofs; do
    : >"$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
ln -s null "$root/dev/console"
mkdir -p "$root$dir" "$root/mnt/union" "$root/srv"
mount --bind "$dir" "$root$dir"
mount --bind "$dir/srv" "$root/srv"

# Of the machine's configuration only the reader of fstab is left.
find "$root/etc/systemd/system" "$root"/usr/lib/systemd/system-generators "$root"/etc/systemd/system-generators \
    "$root"/usr/local/lib/systemd -mindepth 1 ! -type d ! -name systemd-fstab-generator -delete 2>/dev/null || true
: >"$root/etc/fstab"
cp "$program" "$root/usr/bin/lamina"
ln -sfT ../bin/lamina "$root/usr/sbin/mount.fuse.lamina"
cp "$dir/mnt-union.mount" "$root/etc/systemd/system/"
cat >"$root/etc/systemd/system/script.service" <<END
[Unit]
DefaultDependencies=no

[Service]
Type=oneshot
StandardOutput=append:$dir/said
StandardError=inherit
ExecStart=/bin/sh $dir/script
ExecStopPost=/bin/sh -c 'echo \$EXIT_STATUS >$dir/code; systemctl --force --force poweroff'
END
cd "$root"
mkdir -p .before
pivot_root . .before
umount -l .before
exec env -i container=lamina-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=script.service --log-target=null --show-status=no
