//! Removing: what the mount no longer shows, and what it leaves in the upper.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{Backend, Errno, Mount, Setup, errno};

const LOWER: &str = "layer 1\nfile f \"f\"\nfile d/one \"1\"\nfile d/two \"2\"\ndir empty\nsymlink s f\nfifo p\n\
                     layer 2\nfile d/three \"3\"\n";

#[test]
fn a_lower_name_leaves_a_whiteout() {
    let m = Mount::of(LOWER);
    for name in ["f", "s", "p", "d/one", "d/three"] {
        fs::remove_file(m.at(name)).unwrap();
        assert!(m.absent(name), "{name}");
        assert!(m.whiteout_in_upper(name), "{name}");
        assert_eq!(errno(fs::remove_file(m.at(name))), Errno::ENOENT, "{name}");
    }
    fs::remove_dir(m.at("empty")).unwrap();
    assert!(m.absent("empty") && m.whiteout_in_upper("empty"));
    assert_eq!(m.names("."), ["d"]);
    let m = m.remount();
    assert_eq!(m.names("."), ["d"]);
    assert_eq!(m.names("d"), ["two"]);
}

#[test]
fn a_pure_upper_name_leaves_nothing() {
    let m = Mount::of(LOWER);
    fs::write(m.at("new"), "").unwrap();
    fs::write(m.at("d/new"), "").unwrap();
    symlink("x", m.at("d/link")).unwrap();
    fs::create_dir(m.at("d/dir")).unwrap();
    fs::write(m.at("d/dir/f"), "").unwrap();
    for name in ["new", "d/new", "d/link", "d/dir/f"] {
        fs::remove_file(m.at(name)).unwrap();
        assert!(m.absent(name) && m.absent_in_upper(name), "{name}");
    }
    fs::remove_dir(m.at("d/dir")).unwrap();
    assert!(m.absent("d/dir") && m.absent_in_upper("d/dir"));
}

#[test]
fn a_copied_name_leaves_a_whiteout() {
    let m = Mount::of(LOWER);
    fs::write(m.at("f"), "copied").unwrap();
    fs::write(m.at("d/three"), "copied").unwrap();
    for name in ["f", "d/three"] {
        fs::remove_file(m.at(name)).unwrap();
        assert!(m.absent(name) && m.whiteout_in_upper(name), "{name}");
    }
}

#[test]
fn a_name_may_come_and_go() {
    let m = Mount::of(LOWER);
    for round in 0..3 {
        fs::remove_file(m.at("f")).unwrap();
        assert!(m.whiteout_in_upper("f"));
        fs::write(m.at("f"), format!("round {round}")).unwrap();
        assert_eq!(m.text("f"), format!("round {round}"));
    }
    let m = m.remount();
    assert_eq!(m.text("f"), "round 2");
    fs::remove_file(m.at("f")).unwrap();
    let m = m.remount();
    assert!(m.absent("f"));
}

#[test]
fn a_directory_must_be_empty() {
    let m = Mount::of(LOWER);
    assert_eq!(errno(fs::remove_dir(m.at("d"))), Errno::ENOTEMPTY);
    fs::remove_file(m.at("d/one")).unwrap();
    fs::remove_file(m.at("d/two")).unwrap();
    assert_eq!(errno(fs::remove_dir(m.at("d"))), Errno::ENOTEMPTY);
    fs::remove_file(m.at("d/three")).unwrap();
    fs::remove_dir(m.at("d")).unwrap();
    assert!(m.absent("d") && m.whiteout_in_upper("d"));
    let m = m.remount();
    assert!(m.absent("d"));
}

#[test]
fn a_directory_of_lower_whiteouts_is_empty() {
    let m = Setup::named("whiteouts").mount();
    assert_eq!(m.names("filled"), [""; 0]);
    fs::remove_dir(m.at("filled")).unwrap();
    assert!(m.absent("filled") && m.whiteout_in_upper("filled"));
}

#[test]
fn files_and_directories_are_removed_by_their_own_calls() {
    let m = Mount::of(LOWER);
    assert_eq!(errno(fs::remove_file(m.at("empty"))), Errno::EISDIR);
    assert_eq!(errno(fs::remove_dir(m.at("f"))), Errno::ENOTDIR);
    assert_eq!(errno(fs::remove_dir(m.at("s"))), Errno::ENOTDIR);
    assert_eq!(errno(fs::remove_file(m.at("none"))), Errno::ENOENT);
    assert_eq!(errno(fs::remove_dir(m.at("none"))), Errno::ENOENT);
    assert_eq!(errno(fs::remove_dir(m.root())), Errno::EBUSY);
    assert_eq!(m.names("."), ["d", "empty", "f", "p", "s"]);
}

#[test]
fn removing_below_an_opaque_directory_leaves_nothing() {
    let m = Mount::of(
        "layer 1\nfile d/old \"old\"\nlayer 2\nfile x \"x\"\nupper\ndir d\nopaque d\nfile d/new \"new\"\n",
    );
    assert_eq!(m.names("d"), ["new"]);
    fs::remove_file(m.at("d/new")).unwrap();
    assert!(m.absent_in_upper("d/new"));
    fs::write(m.at("d/old"), "again").unwrap();
    fs::remove_file(m.at("d/old")).unwrap();
    assert!(m.absent("d/old"));
    fs::remove_dir(m.at("d")).unwrap();
    assert!(m.absent("d") && m.whiteout_in_upper("d"));
}

#[test]
fn everything_can_be_removed() {
    let m = Setup::named("kinds").mount();
    for name in m.names(".") {
        let path = m.at(&name);
        if m.stat(&name).is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
            .unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    assert_eq!(m.names("."), [""; 0]);
    let m = m.remount();
    assert_eq!(m.names("."), [""; 0]);
}

#[test]
fn a_directory_of_whiteouts_by_attribute_is_empty() {
    let m = Mount::of("layer 1\nfile d/f \"f\"\nlayer 2\nxwhiteouts .\ndir d\nxwhiteouts d\nxwhiteout d/f\n");
    assert_eq!(m.names("d"), [""; 0]);
    let removed = fs::remove_dir(m.at("d"));
    match Backend::current() {
        Backend::Lamina => {
            removed.unwrap();
            assert!(m.absent("d") && m.whiteout_in_upper("d"));
        }
        // It takes them for files when it looks whether a directory is empty.
        Backend::Kernel => assert_eq!(errno(removed), Errno::ENOTEMPTY),
    }
}
