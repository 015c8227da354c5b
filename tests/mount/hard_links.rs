//! Several names of one file.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::needs;
use crate::support::{Errno, Mount, Setup, errno};

const LINKED: &str = "layer 1\nfile a \"linked\"\nhardlink b a\nhardlink d/c a\nfile single \"single\"\n";

fn ids(m: &Mount, path: &str) -> (u64, u64) {
    let meta = m.stat(path);
    (meta.ino(), meta.nlink())
}

#[test]
fn a_second_name_is_the_same_file() {
    needs!(StableNumbers);
    let m = Mount::of(LINKED);
    fs::hard_link(m.at("single"), m.at("d/double")).unwrap();
    assert_eq!(ids(&m, "single"), ids(&m, "d/double"));
    assert_eq!(m.stat("single").nlink(), 2);
    fs::write(m.at("d/double"), "changed").unwrap();
    assert_eq!(m.text("single"), "changed");
    let m = m.remount();
    assert_eq!(ids(&m, "single"), ids(&m, "d/double"));
    fs::write(m.at("single"), "again").unwrap();
    assert_eq!(m.text("d/double"), "again");
    fs::remove_file(m.at("single")).unwrap();
    assert_eq!(m.stat("d/double").nlink(), 1);
    assert_eq!(m.text("d/double"), "again");
}

#[test]
fn new_files_have_links_too() {
    let m = Mount::of(LINKED);
    fs::write(m.at("new"), "x").unwrap();
    for n in 1..=5 {
        fs::hard_link(m.at("new"), m.at(format!("d/new{n}"))).unwrap();
        assert_eq!(m.stat("new").nlink(), n + 1);
    }
    fs::rename(m.at("d/new3"), m.at("moved")).unwrap();
    assert_eq!(ids(&m, "moved"), ids(&m, "new"));
    // Renaming one name of a file over another does nothing.
    fs::rename(m.at("d/new1"), m.at("d/new2")).unwrap();
    assert_eq!(m.stat("d/new1").nlink(), 6);
    fs::remove_file(m.at("new")).unwrap();
    assert_eq!(m.stat("moved").nlink(), 5);
}

#[test]
fn linking_is_refused_where_it_must_be() {
    let m = Mount::of(LINKED);
    assert_eq!(errno(fs::hard_link(m.at("a"), m.at("single"))), Errno::EEXIST);
    assert_eq!(errno(fs::hard_link(m.at("d"), m.at("e"))), Errno::EPERM);
    assert_eq!(errno(fs::hard_link(m.at("none"), m.at("e"))), Errno::ENOENT);
    assert_eq!(errno(fs::hard_link(m.at("a"), m.at("none/e"))), Errno::ENOENT);
    assert_eq!(errno(fs::hard_link(m.at("a"), m.at("x".repeat(256)))), Errno::ENAMETOOLONG);
}

#[test]
fn a_link_may_take_a_deleted_name() {
    let m = Mount::of(LINKED);
    fs::remove_file(m.at("single")).unwrap();
    fs::hard_link(m.at("a"), m.at("single")).unwrap();
    assert_eq!(m.text("single"), "linked");
    let m = m.remount();
    assert_eq!(m.text("single"), "linked");
}

#[test]
fn a_symlink_is_linked_itself() {
    needs!(StableNumbers);
    let m = Mount::of("layer 1\nsymlink s target\n");
    fs::hard_link(m.at("s"), m.at("t")).unwrap();
    assert!(m.stat("t").is_symlink());
    assert_eq!(ids(&m, "s"), ids(&m, "t"));
}

#[test]
fn lower_links_are_one_inode_until_a_copy() {
    let m = Mount::of(LINKED);
    assert_eq!(ids(&m, "a"), ids(&m, "b"));
    assert_eq!(ids(&m, "a"), ids(&m, "d/c"));
    assert_eq!(m.stat("a").nlink(), 3);
}

#[test]
fn without_an_index_a_copied_name_leaves_the_others() {
    let m = Setup::text(LINKED).options("index=off").mount();
    let before = ids(&m, "a");
    fs::write(m.at("a"), "changed").unwrap();
    assert_eq!(m.text("a"), "changed");
    for name in ["b", "d/c"] {
        assert_eq!(m.text(name), "linked", "{name}");
        assert_eq!(ids(&m, name), before, "{name}");
    }
    assert_ne!(m.stat("a").ino(), before.0, "the copied name is another file now");
    let m = m.remount();
    assert_eq!((m.text("a"), m.text("b")), ("changed".into(), "linked".into()));
    assert_ne!(m.stat("a").ino(), m.stat("b").ino());
    assert_eq!(m.stat("b").ino(), m.stat("d/c").ino());
}

#[test]
fn with_an_index_all_names_stay_one_file() {
    needs!(StableNumbers);
    let m = Setup::text(LINKED).options("index=on").mount();
    let before = ids(&m, "a");
    fs::write(m.at("a"), "changed").unwrap();
    for name in ["a", "b", "d/c"] {
        assert_eq!(m.text(name), "changed", "{name}");
        assert_eq!(ids(&m, name), before, "{name}");
    }
    fs::write(m.at("d/c"), "again").unwrap();
    assert_eq!(m.text("a"), "again");
    fs::remove_file(m.at("b")).unwrap();
    assert_eq!(ids(&m, "a"), (before.0, 2));
    fs::hard_link(m.at("a"), m.at("d/e")).unwrap();
    assert_eq!(ids(&m, "d/c"), (before.0, 3));
    let m = m.remount();
    for name in ["a", "d/c", "d/e"] {
        assert_eq!(m.text(name), "again", "{name}");
        assert_eq!(ids(&m, name), (before.0, 3), "{name}");
    }
    fs::remove_file(m.at("a")).unwrap();
    fs::write(m.at("d/e"), "last").unwrap();
    assert_eq!(m.text("d/c"), "last");
    assert_eq!(m.stat("d/c").nlink(), 2);
}
