//! An upper whose file system takes neither devices nor extended attributes: deletions are `.wh.` files there.
//!
//! Such a file system is at hand everywhere: another mount of lamina with `noxattrs=1`, which refuses devices 0:0 as any
//! mount of it does.

use std::fs;

use crate::needs;
use crate::support::{Errno, Mount, Setup, errno};

/// A mount whose upper lies on `below`, which must be declared before it to be unmounted after it.
fn on(below: &Mount, text: &str) -> Mount {
    let mut layers = Setup::text(text).build();
    layers.place_upper(&below.at("upper"), &below.at("work"));
    layers.mounted()
}

fn below() -> Mount {
    Setup::text("layer 1\ndir d\n").lamina_options("noxattrs=1").mount()
}

const LOWER: &str =
    "layer 1\nfile f \"f\"\nfile d/one \"1\"\nfile d/two \"2\"\nfile e/x \"x\"\nsymlink s f\n";

#[test]
fn deletions_are_wh_files() {
    needs!(Lamina);
    let below = below();
    let m = on(&below, LOWER);
    for name in ["f", "s", "d/one"] {
        fs::remove_file(m.at(name)).unwrap();
        assert!(m.absent(name) && m.absent_in_upper(name), "{name}");
    }
    for mark in [".wh.f", ".wh.s", "d/.wh.one"] {
        assert_eq!(m.upper(mark).metadata().unwrap().len(), 0, "{mark}");
    }
    assert_eq!((m.names("."), m.names("d")), (vec!["d".to_owned(), "e".to_owned()], vec!["two".to_owned()]));
    let m = m.remount();
    assert_eq!((m.names("."), m.names("d")), (vec!["d".to_owned(), "e".to_owned()], vec!["two".to_owned()]));
    // What is made in its place is there, also next time.
    fs::write(m.at("f"), "again").unwrap();
    let m = m.remount();
    assert_eq!(m.text("f"), "again");
    fs::remove_file(m.at("f")).unwrap();
    assert!(m.absent("f"));
    drop(m);
}

#[test]
fn a_new_directory_over_a_deleted_one_is_opaque_by_a_file() {
    needs!(Lamina);
    let below = below();
    let m = on(&below, LOWER);
    fs::remove_dir_all(m.at("d")).unwrap();
    fs::create_dir(m.at("d")).unwrap();
    fs::write(m.at("d/new"), "new").unwrap();
    assert!(m.upper("d/.wh..wh..opq").exists());
    assert_eq!(m.names("d"), ["new"]);
    let m = m.remount();
    assert_eq!(m.names("d"), ["new"]);
    assert_eq!(errno(fs::metadata(m.at("d/.wh..wh..opq"))), Errno::ENOENT);
    drop(m);
}

#[test]
fn a_name_has_four_bytes_less_and_does_not_begin_like_a_mark() {
    needs!(Lamina);
    let below = below();
    let m = on(&below, &format!("layer 1\nfile f \"f\"\nfile {} \"long\"\n", "n".repeat(252)));
    fs::write(m.at("x".repeat(251)), "fits").unwrap();
    let too_long = m.at("x".repeat(252));
    assert_eq!(errno(fs::write(&too_long, "")), Errno::ENAMETOOLONG);
    assert_eq!(errno(fs::create_dir(&too_long)), Errno::ENAMETOOLONG);
    assert_eq!(errno(fs::rename(m.at("f"), &too_long)), Errno::ENAMETOOLONG);
    // A lower file with a longer name can be read; there is no mark that could delete it.
    let lower = "n".repeat(252);
    assert_eq!(m.text(&lower), "long");
    assert_eq!(errno(fs::remove_file(m.at(&lower))), Errno::ENAMETOOLONG);
    assert_eq!(m.text(&lower), "long");
    for name in [".wh.f", ".wh.", ".wh..wh..opq"] {
        assert_eq!(errno(fs::write(m.at(name), "")), Errno::EINVAL, "{name}");
        assert_eq!(errno(fs::create_dir(m.at(name))), Errno::EINVAL, "{name}");
        assert_eq!(errno(fs::rename(m.at("f"), m.at(name))), Errno::EINVAL, "{name}");
        assert_eq!(errno(fs::hard_link(m.at("f"), m.at(name))), Errno::EINVAL, "{name}");
    }
    assert_eq!(m.text("f"), "f");
    drop(m);
}

#[test]
fn no_redirect_can_be_written() {
    needs!(Lamina);
    let below = below();
    let m = on(&below, LOWER);
    assert_eq!(errno(fs::rename(m.at("d"), m.at("moved"))), Errno::EXDEV);
    assert_eq!(m.names("d"), ["one", "two"]);
    fs::rename(m.at("f"), m.at("e/f")).unwrap();
    fs::create_dir(m.at("pure")).unwrap();
    fs::rename(m.at("pure"), m.at("e/pure")).unwrap();
    let m = m.remount();
    assert!(m.absent("f"));
    assert_eq!(m.names("e"), ["f", "pure", "x"]);
    drop(m);
}

#[test]
fn what_follows_is_said_when_it_is_mounted() {
    needs!(Lamina);
    let below = below();
    let m = on(&below, LOWER);
    let log = m.log();
    for words in ["no extended attributes", "inode numbers change", ".wh. files", "4 bytes"] {
        assert!(log.contains(words), "{words:?} is not in {log:?}");
    }
    drop(m);
}
