//! mount(8), umount(8), findmnt(8) and lines of fstab, with the helper in /sbin as `scripts/install` puts it there: in a mount
//! namespace of the test's own, so that the machine's /sbin and fstab stay as they are.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::needs;
use crate::support::guard::{Layers, binary, is_mounted};
use crate::support::identity::STRANGER;
use crate::support::{Setup, Who};

/// Puts the helper into /sbin and the file `fstab` into /etc, and goes on with what is asked for, in the directory of the layers.
/// $1 is that directory, $2 the program.
const WITH_HELPER: &str = r#"set -eu
cd "$1"
mkdir sbin sbin.real
mount --rbind /sbin sbin.real
for name in "$1"/sbin.real/*; do ln -s "$name" sbin/; done
ln -sfT "$2" sbin/mount.fuse.lamina
mount --bind sbin "$(realpath /sbin)"
mount --bind fstab /etc/fstab
as_user() { setpriv --reuid 64321 --regid 64321 --clear-groups "$@"; }
fails() { if "$@" 2>said; then echo "it succeeded: $*" >&2; exit 1; fi; cat said; }
equal() { if [ "$1" != "$2" ]; then echo "'$1' is not '$2'" >&2; exit 1; fi; }
# One mount more or less: none is made twice.
mounted() { equal "$(awk -v at="$1/mnt" '$5 == at' /proc/self/mountinfo | wc -l)" "$2"; }
set -x
"#;

/// Runs a script of sh with the line for fstab; LAYERS in it are the layers, DIR their directory.
#[track_caller]
fn with_helper(layers: &Layers, fstab: &str, script: &str) {
    let dir = layers.dir();
    let all = format!(
        "lowerdir={},upperdir={},workdir={}",
        layers.lower(1, "").display(),
        layers.upper("").display(),
        layers.work().display()
    );
    let told = |text: &str| text.replace("LAYERS", &all).replace("DIR", &dir.display().to_string());
    fs::write(dir.join("fstab"), told(fstab)).unwrap();
    let script = told(&format!("{WITH_HELPER}{script}"));
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script, "sh"])
        .arg(dir)
        .arg(binary())
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn layers() -> Layers {
    Setup::text("layer 1\nfile f \"x\"\n").build()
}

#[test]
fn it_mounts_shows_remounts_and_unmounts() {
    needs!(Lamina, Capabilities);
    let layers = layers();
    with_helper(
        &layers,
        "",
        r#"mount -t fuse.lamina name DIR/mnt -o 'LAYERS,context="system_u:object_r:t:s0:c1,c2",noatime'
mounted DIR 1
equal "$(findmnt -no SOURCE,FSTYPE DIR/mnt)" "name   fuse.lamina"
equal "$(cat mnt/f)" x
mount -o remount,ro DIR/mnt
fails touch mnt/new | grep -q 'Read-only file system'
mount -o remount,rw DIR/mnt
touch mnt/new
umount mnt
mounted DIR 0
mount --fake -t fuse.lamina name DIR/mnt -o LAYERS
mounted DIR 0
fails mount -t fuse.lamina name DIR/mnt -o lowerdir=/nonexistent | grep -q "layer '/nonexistent' cannot be used"
fails mount -t fuse.lamina name DIR/mnt -o index=maybe,LAYERS | grep -q "option 'index=maybe'"
"#,
    );
    assert!(layers.upper("new").exists());
    assert!(!is_mounted(&layers.dir().join("mnt")));
}

#[test]
fn lines_of_fstab_mean_what_they_say() {
    needs!(Lamina, Capabilities);
    let layers = layers();
    with_helper(
        &layers,
        "# layers on a network\n\
         lamina DIR/mnt fuse.lamina LAYERS,_netdev,nofail,x-systemd.requires=a.mount,x-systemd.requires-mounts-for=/a,\
         context=\"system_u:object_r:t:s0:c1,c2\",comment=layers 0 0\n\
         lamina DIR/other fuse.lamina noauto,lowerdir=DIR/1 0 0\n",
        r#"mkdir other
mount -a 2>said
equal "$(cat said)" ''
mounted DIR 1
mount -a
mounted DIR 1
echo y >mnt/f
mount -o remount,ro DIR/mnt
fails touch mnt/new
mount -o remount,rw DIR/mnt
umount DIR/mnt
mounted DIR 0
mount DIR/mnt
mounted DIR 1
equal "$(cat mnt/f)" y
# Other mounts of the machine may be here, too, and in a user namespace they stay.
umount -a -t fuse.lamina || true
mounted DIR 0
mount DIR/other
equal "$(cat other/f)" x
umount DIR/other
findmnt --fstab -t fuse.lamina DIR/other
"#,
    );
}

#[test]
fn a_line_for_users_is_theirs() {
    needs!(Lamina, Root);
    let layers = layers();
    // mount(8) becomes the user before it calls the helper, which mounts by fusermount3.
    assert_eq!(Who::current(), Who::Root);
    let reached = Path::new("/usr/bin/fusermount3");
    assert!(reached.exists(), "scripts/test installs fuse3");
    fs::copy(binary(), layers.dir().join("lamina")).unwrap();
    chown(layers.dir().join("mnt"), Some(STRANGER), Some(STRANGER)).unwrap();
    with_helper(
        &layers,
        "lamina DIR/mnt fuse.lamina lowerdir=DIR/1,user,noauto 0 0\n",
        r#"ln -sfT DIR/lamina sbin/mount.fuse.lamina
as_user mount DIR/mnt
mounted DIR 1
findmnt -no OPTIONS DIR/mnt | grep -q 'nosuid,nodev,noexec.*user_id=64321'
equal "$(as_user cat mnt/f)" x
as_user umount DIR/mnt
mounted DIR 0
"#,
    );
}

#[test]
fn without_its_helper_that_of_fuse_calls_it() {
    needs!(Lamina, Capabilities);
    let layers = layers();
    assert!(Path::new("/sbin/mount.fuse").exists(), "scripts/test installs fuse3");
    with_helper(
        &layers,
        "",
        r#"rm sbin/mount.fuse.lamina
mkdir bin
ln -s "$2" bin/lamina
mount --bind bin /usr/local/bin
mount -t fuse.lamina name DIR/mnt -o 'LAYERS,context="system_u:object_r:t:s0:c1,c2",noatime'
mounted DIR 1
equal "$(findmnt -no SOURCE,FSTYPE DIR/mnt)" "name   fuse.lamina"
equal "$(cat mnt/f)" x
umount mnt
"#,
    );
}

#[test]
fn a_label_is_for_selinux() {
    needs!(Lamina, Root);
    // mount(8) asks SELinux for itself; here its helper is called as mount(8) calls it where there is one.
    with_helper(
        &layers(),
        "",
        r#"label='context="system_u:object_r:t:s0:c1,c2"'
mount -t tmpfs tmpfs /sys/fs
sbin/mount.fuse.lamina name DIR/mnt -o "rw,LAYERS,$label,noatime" 2>said
equal "$(cat said)" "lamina: warning: option '$label' has no effect: SELinux is not in use on this machine; it is ignored"
mounted DIR 1
umount mnt
# Now it seems to be: the kernel is given the label, and refuses what it does not know.
mkdir /sys/fs/selinux
touch /sys/fs/selinux/enforce
fails sbin/mount.fuse.lamina name DIR/mnt -o "rw,LAYERS,$label" | grep -F "mounting on 'DIR/mnt' with $label: Invalid argument"
mounted DIR 0
# What nobody may say is not handed on.
chown -R 64321:64321 mnt
cp "$2" lamina
as_user ./lamina name DIR/mnt -o "lowerdir=DIR/1,$label" 2>said
grep -F "option '$label' has no effect: only root outside of a user namespace" said
mounted DIR 1
umount mnt
"#,
    );
}
