//! `lamina refresh`: what others have changed in the lowers of a living mount.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Command, Output};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::needs;
use crate::support::guard::{Mount, Setup, binary, wait_for};
use crate::support::sys::{self, SetXattr};

fn run(at: &Path) -> Output {
    Command::new(binary()).arg("refresh").arg(at).output().unwrap()
}

#[track_caller]
fn refresh(m: &mut Mount) {
    let output = run(&m.root());
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    m.changed_lowers();
}

fn content(mut file: &File) -> String {
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

const LAYERS: &str = "layer 2\nfile d/top \"top\"\nfile d/merged/above \"above\"\nlayer 1\nfile d/f \"one\" mode=644\nfile d/gone \"gone\"\n\
                      file d/kind \"kind\"\nfile d/put \"old\"\nfile d/sub/x \"x\"\nfile d/merged/below \"below\"\nsymlink d/link \"there\"\nupper\n";

/// Changes lower 1 in every way after all of it was looked at, and looks again after a refresh.
fn changes_are_seen(m: &mut Mount) {
    assert_eq!(m.names("d"), ["f", "gone", "kind", "link", "merged", "put", "sub", "top"]);
    assert_eq!(
        (m.names("d/sub"), m.names("d/merged")),
        (vec!["x".into()], vec!["above".into(), "below".into()])
    );
    for (path, text) in
        [("d/f", "one"), ("d/gone", "gone"), ("d/kind", "kind"), ("d/put", "old"), ("d/sub/x", "x")]
    {
        assert_eq!(m.text(path), text);
    }
    assert_eq!(fs::read_link(m.at("d/link")).unwrap(), Path::new("there"));
    for path in ["d/new", "d/sub/y", "d/merged/late"] {
        assert!(m.absent(path), "{path}");
    }
    let (changed, replaced) = (File::open(m.at("d/f")).unwrap(), File::open(m.at("d/put")).unwrap());
    assert_eq!((content(&changed), content(&replaced)), ("one".into(), "old".into()));

    let lower = |path| m.lower(1, path);
    fs::write(lower("d/new"), "new").unwrap();
    fs::remove_file(lower("d/gone")).unwrap();
    fs::write(lower("d/f"), "two").unwrap();
    fs::write(lower("d/fresh"), "fresh").unwrap();
    fs::rename(lower("d/fresh"), lower("d/put")).unwrap();
    fs::rename(lower("d/sub"), lower("away")).unwrap();
    fs::create_dir(lower("d/sub")).unwrap();
    fs::write(lower("d/sub/y"), "y").unwrap();
    fs::write(lower("d/merged/late"), "late").unwrap();
    fs::remove_file(lower("d/merged/below")).unwrap();
    fs::remove_file(lower("d/kind")).unwrap();
    fs::create_dir(lower("d/kind")).unwrap();
    fs::write(lower("d/kind/z"), "z").unwrap();
    fs::remove_file(lower("d/link")).unwrap();
    std::os::unix::fs::symlink("elsewhere", lower("d/link")).unwrap();
    assert!(m.absent("d/new"), "a mount believes what it was told");
    refresh(m);

    assert_eq!(m.names("d"), ["f", "kind", "link", "merged", "new", "put", "sub", "top"]);
    for (path, text) in [
        ("d/new", "new"),
        ("d/f", "two"),
        ("d/put", "fresh"),
        ("d/sub/y", "y"),
        ("d/merged/late", "late"),
        ("d/kind/z", "z"),
    ] {
        assert_eq!(m.text(path), text, "{path}");
    }
    for path in ["d/gone", "d/sub/x", "d/merged/below"] {
        assert!(m.absent(path), "{path}");
    }
    assert_eq!(
        (m.names("d/sub"), m.names("d/merged")),
        (vec!["y".into()], vec!["above".into(), "late".into()])
    );
    assert_eq!(fs::read_link(m.at("d/link")).unwrap(), Path::new("elsewhere"));
    assert_eq!(content(&changed), "two", "it is the same file");
    assert_eq!(content(&replaced), "old", "who has it open keeps it");

    // A size that changed, through what was known and open.
    fs::write(m.lower(1, "d/f"), "two and more").unwrap();
    refresh(m);
    assert_eq!(
        (m.stat("d/f").len(), m.text("d/f"), content(&changed)),
        (12, "two and more".into(), "two and more".into())
    );
}

#[test]
fn every_kind_of_change_is_seen() {
    needs!(Lamina);
    changes_are_seen(&mut Setup::text(LAYERS).mount());
}

#[test]
fn a_read_only_mount_is_refreshed() {
    needs!(Lamina);
    changes_are_seen(&mut Setup::text(LAYERS).read_only().mount());
}

#[test]
fn one_thread_is_enough() {
    needs!(Lamina);
    changes_are_seen(&mut Setup::text(LAYERS).lamina_options("max_threads=1").mount());
}

#[test]
fn others_are_served_while_one_waits_and_all_who_ask_meanwhile_are_served_by_the_next() {
    needs!(Lamina);
    let below = Mount::of("layer 1\nfile f \"one\"\n");
    let mut layers = Setup::text("layer 1\n").lamina_options("max_threads=1,debug").build();
    layers.replace_lower(1, below.root());
    let mut m = layers.mounted();
    assert_eq!((m.names(""), m.text("f")), (vec!["f".into()], "one".into()));
    let passes = |m: &Mount| m.log().matches("refresh: one pass for").count();
    let stopped = Stopped::at_once(below.daemon().unwrap());
    let ask = || Command::new(binary()).arg("refresh").arg(m.root()).spawn().unwrap();
    let mut asking = vec![ask()];
    wait_for("the refresh to begin", || (passes(&m) == 1).then_some(()));
    asking.extend((0..3).map(|_| ask()));
    // Its only thread answers, though what it has of the layer does not.
    assert!(!sys::get_xattr(&m.root(), b"user.lamina.mount").unwrap().is_empty());
    drop(stopped);
    for mut asked in asking {
        assert!(asked.wait().unwrap().success());
    }
    m.changed_lowers();
    // The first, one for those who asked while it went on, and, where one was late, more.
    assert!((2..=4).contains(&passes(&m)), "{}", m.log());
}

/// A process that is stopped, until this is dropped.
struct Stopped(Pid);

impl Stopped {
    fn at_once(process: Pid) -> Self {
        kill(process, Signal::SIGSTOP).unwrap();
        Stopped(process)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        kill(self.0, Signal::SIGCONT).unwrap();
    }
}

#[test]
fn what_was_changed_in_the_mount_stays() {
    needs!(Lamina);
    let mut m = Setup::text(LAYERS).mount();
    fs::write(m.at("d/f"), "written").unwrap();
    fs::write(m.at("d/own"), "own").unwrap();
    fs::remove_file(m.at("d/gone")).unwrap();
    fs::remove_dir_all(m.at("d/sub")).unwrap();
    let open = File::options().read(true).append(true).open(m.at("d/own")).unwrap();
    fs::write(m.lower(1, "d/f"), "below").unwrap();
    fs::write(m.lower(1, "d/gone"), "back").unwrap();
    fs::write(m.lower(1, "d/sub/y"), "y").unwrap();
    fs::write(m.lower(1, "d/own"), "not it").unwrap();
    refresh(&mut m);
    assert_eq!(m.names("d"), ["f", "kind", "link", "merged", "own", "put", "top"]);
    assert_eq!((m.text("d/f"), m.text("d/own")), ("written".into(), "own".into()));
    std::io::Write::write_all(&mut &open, b", more").unwrap();
    assert_eq!((content(&open), m.text("d/own")), ("own, more".into(), "own, more".into()));
    assert!(m.absent("d/gone") && m.absent("d/sub"));
}

#[test]
fn what_is_still_there_keeps_its_mounts_and_who_is_in_it() {
    needs!(Lamina, Root);
    let mut m = Setup::text(LAYERS).mount();
    let on = m.at("d/merged");
    nix::mount::mount(Some("x"), &on, Some("tmpfs"), nix::mount::MsFlags::empty(), None::<&str>).unwrap();
    let inside = File::open(m.at("d/sub")).unwrap();
    fs::write(on.join("on top"), "").unwrap();
    fs::write(m.lower(1, "d/new"), "new").unwrap();
    refresh(&mut m);
    let seen = (m.text("d/new"), m.names("d/merged"));
    let link = fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&inside))).unwrap();
    nix::mount::umount(&on).unwrap();
    assert_eq!(seen, ("new".into(), vec!["on top".into()]));
    assert_eq!(link, m.at("d/sub"));
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_is_refreshed() {
    needs!(Lamina, Root);
    let mut m = Setup::text(LAYERS).mount();
    assert_eq!((m.text("d/f"), m.text("d/gone")), ("one".into(), "gone".into()));
    sys::set_xattr(&m.lower(1, "d/f"), b"trusted.overlay.metacopy", b"\x00\xff", SetXattr::Always).unwrap();
    fs::remove_file(m.lower(1, "d/gone")).unwrap();
    fs::write(m.lower(1, "d/new"), "new").unwrap();
    let output = run(&m.root());
    m.changed_lowers();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("could not be read"), "{said}");
    assert_eq!(m.text("d/new"), "new");
    assert!(m.absent("d/gone"));
}

#[test]
fn only_root_and_who_mounted_it_may() {
    needs!(Lamina, Root);
    let m = Setup::text(LAYERS).lamina_options("allow_other").mount();
    let refused = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(binary())
        .arg("refresh")
        .arg(m.root())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        refused.status.code() == Some(1) && said.contains("is not yours, but mounted by user 0"),
        "{said}"
    );
}
