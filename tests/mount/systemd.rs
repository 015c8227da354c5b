//! Units and lines of fstab, by a systemd that the test starts: `systemd/boot.sh` says how.

use std::fs;
use std::process::{Command, Stdio};

use crate::needs;
use crate::support::guard::binary;
use crate::support::scratch;

/// Runs a script of sh below a systemd of its own, with the unit of docs/system.md in its place and the layers that it names.
#[track_caller]
fn under_systemd(script: &str) {
    const START: &str = r#"set -eux
fails() { if "$@" 2>/srv/said; then echo "it succeeded: $*" >&2; exit 1; fi; }
equal() { if [ "$1" != "$2" ]; then echo "'$1' is not '$2'" >&2; exit 1; fi; }
daemons() { cat /sys/fs/cgroup/system.slice/mnt-union.mount/cgroup.procs 2>/dev/null | wc -l; }
# umount(8) does not wait for the daemon.
ended() { while [ "$(daemons)" != 0 ]; do sleep 0.1; done; }
systemctl start systemd-journald
"#;
    let dir = tempfile::tempdir_in(scratch()).unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["top", "base", "changes"] {
        fs::create_dir_all(at("srv").join(name)).unwrap();
        fs::write(at("srv").join(name).join(name), name).unwrap();
    }
    fs::write(at("mnt-union.mount"), unit()).unwrap();
    fs::write(at("script"), format!("{START}{script}")).unwrap();
    let output = Command::new("timeout")
        .args(["300", "unshare", "--mount", "sh"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mount/systemd/boot.sh"))
        .args([dir.path(), &binary()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = fs::read_to_string(at("said")).unwrap_or_default();
    let code = fs::read_to_string(at("code")).unwrap_or_default();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(code.trim(), "0", "{}: {errors}{said}", output.status);
}

/// The unit that docs/system.md shows.
fn unit() -> String {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/system.md")).unwrap();
    let (_, unit) = page.split_once("```ini\n").unwrap();
    unit.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_unit_of_the_documentation_mounts_and_unmounts() {
    needs!(Lamina, Root, Systemd);
    under_systemd(
        r#"systemctl enable --now mnt-union.mount
equal "$(cat /mnt/union/top /mnt/union/base)" topbase
equal "$(findmnt -no SOURCE,FSTYPE /mnt/union)" "lamina fuse.lamina"
equal "$(daemons)" 1
echo x >/mnt/union/new
systemctl restart mnt-union.mount
equal "$(cat /mnt/union/new /srv/changes/new)" "$(echo x; echo x)"
# In use it stays.
cd /mnt/union
fails systemctl stop mnt-union.mount
systemctl is-active mnt-union.mount
cd /
# A daemon that is gone is no reason to boot anew.
kill -KILL $(cat /sys/fs/cgroup/system.slice/mnt-union.mount/cgroup.procs)
ended
fails cat /mnt/union/new
systemctl restart mnt-union.mount
cat /mnt/union/new
systemctl disable --now mnt-union.mount
equal "$(ls /mnt/union)" ''
ended
# What is wrong is in the journal.
mv /srv/base /srv/gone
fails systemctl start mnt-union.mount
equal "$(systemctl is-failed mnt-union.mount)" failed
journalctl --sync
journalctl -u mnt-union.mount | grep -q "layer '/srv/base' cannot be used: No such file or directory"
"#,
    );
}

#[test]
fn lines_of_fstab_become_units() {
    needs!(Lamina, Root, Systemd);
    under_systemd(
        r#"rm /etc/systemd/system/mnt-union.mount
mkdir -p /mnt/net /mnt/space "/srv/a b"
echo 'in a space' >"/srv/a b/file"
cat >/etc/fstab <<'END'
lamina /mnt/union fuse.lamina lowerdir=/srv/top:/srv/base,upperdir=/srv/changes,nofail,context="system_u:object_r:t:s0:c1,c2" 0 0
lamina /mnt/net fuse.lamina lowerdir=/srv/top:/srv/base,_netdev,x-systemd.requires-mounts-for=/srv/top,x-systemd.automount 0 0
lamina /mnt/space fuse.lamina lowerdir=/srv/a\040b:/srv/base,noauto,user 0 0
END
systemctl daemon-reload
systemctl start mnt-union.mount mnt-net.automount mnt-space.mount
equal "$(cat /mnt/union/top /mnt/union/changes)" topchanges
equal "$(cat /mnt/space/file)" 'in a space'
equal "$(systemctl show -P RequiresMountsFor mnt-net.mount | tr ' ' '\n' | grep -x /srv/top)" /srv/top
# Whoever looks mounts.
equal "$(systemctl is-active mnt-net.mount || true)" inactive
equal "$(cat /mnt/net/base)" base
equal "$(systemctl is-active mnt-net.mount)" active
systemctl stop mnt-union.mount mnt-net.automount mnt-net.mount mnt-space.mount
equal "$(findmnt -rn -t fuse.lamina || true)" ''
"#,
    );
}
