//! The ways a mount begins and ends.

use std::fs;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};

use crate::needs;
use crate::support::guard::{binary, is_mounted, wait_for};
use crate::support::{Errno, Mount, Setup, Who, errno};

const LOWER: &str = "layer 1\nfile f \"x\"\n";

#[test]
fn sigterm_and_sigint_unmount() {
    needs!(Lamina);
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let m = Mount::of(LOWER);
        fs::write(m.at("new"), "written").unwrap();
        kill(m.daemon().unwrap(), signal).unwrap();
        let layers = m.wait_ended();
        assert_eq!(fs::read_to_string(layers.upper("new")).unwrap(), "written");
    }
}

#[test]
fn lamina_umount_unmounts() {
    needs!(Lamina);
    let m = Mount::of(LOWER);
    let output = Command::new(binary()).arg("umount").arg(m.root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!is_mounted(&m.root()), "it returns when the mount is gone");
    m.wait_ended();
}

#[test]
fn a_dead_daemons_mount_is_cleared() {
    needs!(Lamina);
    let mut m = Mount::of(LOWER);
    let daemon = m.forget_daemon().unwrap();
    kill(daemon, Signal::SIGKILL).unwrap();
    nix::sys::wait::waitpid(daemon, None).unwrap();
    assert_eq!(errno(fs::metadata(m.at("f"))), Errno::ENOTCONN);
    // Mounting again says what is the matter, and umount clears it.
    let output = m.command().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("umount"), "{said}");
    let output = Command::new(binary()).arg("umount").arg(m.root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let m = m.wait_ended().mounted();
    assert_eq!(m.text("f"), "x");
}

#[test]
fn a_killed_daemon_leaves_nothing_half_made() {
    needs!(Lamina);
    let mut m = Mount::of("layer 1\nfile big size=8M seed=1\nfile f \"x\"\n");
    fs::write(m.at("f"), "kept").unwrap();
    // Killed with a nameless file open and things in the work directory.
    let held = {
        use std::os::unix::fs::OpenOptionsExt;
        fs::OpenOptions::new().write(true).mode(0o600).custom_flags(libc::O_TMPFILE).open(m.root()).unwrap()
    };
    let daemon = m.forget_daemon().unwrap();
    kill(daemon, Signal::SIGKILL).unwrap();
    nix::sys::wait::waitpid(daemon, None).unwrap();
    drop(held);
    fs::create_dir_all(m.work().join("work")).unwrap();
    fs::write(m.work().join("work/left-over"), "stale").unwrap();
    fs::create_dir(m.work().join("work/left-over-dir")).unwrap();
    let output = Command::new(binary()).arg("umount").arg(m.root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let m = m.wait_ended().mounted();
    assert_eq!(m.text("f"), "kept");
    assert_eq!(crate::support::guard::names(&m.work().join("work")), [""; 0], "what was left is cleared");
}

#[test]
fn an_upper_is_used_by_one_mount() {
    needs!(Lamina);
    let m = Mount::of(LOWER);
    let other = tempfile::tempdir_in(m.dir()).unwrap();
    let output = Command::new(binary())
        .arg("mount")
        .arg(m.lower(1, ""))
        .arg(other.path())
        .arg("--upper")
        .arg(m.upper(""))
        .arg("--work")
        .arg(m.work())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!is_mounted(other.path()));
    assert_eq!(m.text("f"), "x");
}

#[test]
fn the_compatible_command_line_mounts() {
    needs!(Lamina);
    // With a colon and a comma in names of directories, in lowerdir's escapes.
    let dir = tempfile::Builder::new().prefix("lt").tempdir_in(crate::support::scratch()).unwrap();
    for name in ["a:b", "c,d", "upper", "work", "mnt"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("a:b/one"), "1").unwrap();
    fs::write(dir.path().join("c,d/two"), "2").unwrap();
    let base = dir.path().display();
    let options = format!("lowerdir={base}/a\\:b:{base}/c\\,d,upperdir={base}/upper,workdir={base}/work");
    let point = dir.path().join("mnt");
    let output =
        Command::new(binary()).args(["-o", &options]).arg(&point).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let end = || {
        let output = Command::new(binary()).arg("umount").arg(&point).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let names = std::panic::catch_unwind(|| {
        fs::write(point.join("new"), "x").unwrap();
        crate::support::guard::names(&point)
    });
    end();
    assert_eq!(names.unwrap(), ["new", "one", "two"]);
    assert_eq!(fs::read_to_string(dir.path().join("upper/new")).unwrap(), "x");
}

#[test]
fn in_the_foreground_it_stays() {
    needs!(Lamina);
    let layers = Setup::text(LOWER).build();
    let mut child = layers.command().arg("-f").stdin(Stdio::null()).spawn().unwrap();
    let point = layers.dir().join("mnt");
    wait_for("the mount", || is_mounted(&point).then_some(()));
    wait_for("the file", || point.join("f").exists().then_some(()));
    assert!(child.try_wait().unwrap().is_none());
    kill(nix::unistd::Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(!is_mounted(&point));
}

#[test]
fn the_mount_is_known_by_name() {
    needs!(Lamina);
    let m = Mount::of(LOWER);
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let root = m.root().display().to_string();
    let line = table.lines().find(|line| line.split(' ').nth(4) == Some(&root)).unwrap();
    assert!(line.contains(" - fuse.lamina "), "{line}");
    let output = Command::new(binary()).args(["list", "--json"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&root), "{text}");
    assert!(text.contains(&m.daemon().unwrap().to_string()), "{text}");
}

#[test]
fn other_users_are_kept_out_unless_allowed() {
    needs!(Lamina, Root);
    // Root's mount in these tests is made with allow_other; an ordinary user's is their own.
    assert_eq!(Who::current(), Who::Root);
    let m = Mount::of(LOWER);
    crate::support::as_user(64_321, 64_321, || assert_eq!(m.text("f"), "x"));
}
