use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::Path;

use nix::sys::stat::{Mode, SFlag, mknod};

use super::*;
use crate::config::TarSpec;
use crate::digest::Digest;
use crate::stamp::FileStamp;
use crate::sys::fs::At;
use crate::sys::xattr::{self, SetMode};
use crate::tarball::{Limits, scan};

#[allow(dead_code)] // it is there for many tests
#[path = "../../tests/support/images/tar.rs"]
mod tar;

use tar::{Entry, TarBuilder};

/// Layers of these entries, base first.
fn tars(dir: &Path, layers: &[Vec<Entry>]) -> Vec<LowerSpec> {
    let layer = |(number, entries): (u16, &Vec<Entry>)| {
        let tar = TarBuilder::new().add_all(entries.iter().cloned()).finish();
        let (file, index) = (dir.join(format!("{number}.tar")), dir.join(format!("{number}.index")));
        fs::write(&file, &tar).unwrap();
        let scanned = scan(&*tar, &Limits { entries: 1000, unpacked: 1 << 30 }).unwrap();
        scanned.write_to(&mut File::create(&index).unwrap()).unwrap();
        LowerSpec::Tar(TarSpec {
            stamp: FileStamp::from(&fs::metadata(&file).unwrap()),
            file,
            offset: 0,
            len: tar.len() as u64,
            index,
            diff_id: Digest::from_bytes([0; 32]),
            image: "test".to_owned(),
        })
    };
    (1_u16..).zip(layers).map(layer).collect()
}

/// The same layers as directories, as an ordinary user may make them: `.wh.` files and all. Owners are left out.
fn directories(dir: &Path, layers: &[Vec<Entry>]) -> Vec<LowerSpec> {
    let layer = |(number, entries): (u16, &Vec<Entry>)| {
        let root = dir.join(format!("{number}"));
        fs::create_dir(&root).unwrap();
        let tar = TarBuilder::new().add_all(entries.iter().cloned()).finish();
        let mut archive = ::tar::Archive::new(&*tar);
        archive.set_preserve_permissions(true);
        archive.unpack(&root).unwrap();
        LowerSpec::Directory(root)
    };
    (1_u16..).zip(layers).map(layer).collect()
}

/// Added, changed and deleted by the last layer, the layers being tars or directories.
#[track_caller]
fn assert_counts(layers: &[Vec<Entry>], added: u64, changed: u64, deleted: u64) {
    assert_tar_counts(layers, added, changed, deleted);
    let dir = tempfile::tempdir().unwrap();
    let counted = count(&directories(dir.path(), layers)).unwrap();
    assert_eq!(counted.last().unwrap().changes, Changes { added, changed, deleted }, "as directories");
}

/// Of tars only: no directory can be like that, or none that an ordinary user could make.
#[track_caller]
fn assert_tar_counts(layers: &[Vec<Entry>], added: u64, changed: u64, deleted: u64) {
    let dir = tempfile::tempdir().unwrap();
    let counted = count(&tars(dir.path(), layers)).unwrap();
    assert_eq!(counted.last().unwrap().changes, Changes { added, changed, deleted }, "as tars");
}

fn dir_d() -> Entry {
    Entry::dir("d").mode(0o700)
}

fn base() -> Vec<Entry> {
    vec![
        dir_d(),
        Entry::file("d/one", "1"),
        Entry::file("d/two", "2"),
        Entry::dir("d/sub"),
        Entry::file("d/sub/deep", ""),
        Entry::file("f", "f"),
    ]
}

#[test]
fn in_the_base_all_is_new_and_nothing_is_deleted() {
    assert_counts(&[base()], 6, 0, 0);
    assert_counts(&[vec![Entry::whiteout("x"), Entry::dir("o"), Entry::opaque("o")]], 1, 0, 0);
    assert_counts(&[vec![]], 0, 0, 0);
    assert!(count(&[]).unwrap().is_empty());
}

#[test]
fn what_is_there_again_is_changed() {
    assert_counts(
        &[
            base(),
            vec![Entry::file("f", "g"), Entry::file("new", ""), dir_d(), Entry::symlink("d/one", "two")],
        ],
        1,
        2,
        0,
    );
    // A name that is deleted in between is new again.
    assert_counts(&[base(), vec![Entry::whiteout("f")], vec![Entry::file("f", "f")]], 1, 0, 0);
    assert_counts(&[vec![Entry::file("f", "")], base()], 5, 1, 0);
}

#[test]
fn a_directory_is_changed_by_its_owner_mode_or_attributes_only() {
    let with = |dir: Entry| [base(), vec![dir, Entry::file("d/three", "")]];
    assert_counts(&with(Entry::dir("d").mode(0o700).mtime(5, 0)), 1, 0, 0);
    assert_counts(&with(Entry::dir("d").mode(0o711)), 1, 1, 0);
    assert_tar_counts(&with(Entry::dir("d").mode(0o700).owner(1, 0)), 1, 1, 0);
    assert_tar_counts(&with(Entry::dir("d").mode(0o700).xattr("user.a", "b")), 1, 1, 0);
    // Without an entry for it.
    assert_tar_counts(&[base(), vec![Entry::file("d/three", "")]], 1, 0, 0);
    assert_counts(&[base(), vec![Entry::file("new/dirs/file", "")]], 3, 0, 0);
}

#[test]
fn a_whiteout_deletes_all_that_was_there() {
    assert_counts(&[base(), vec![Entry::whiteout("f")]], 0, 0, 1);
    assert_counts(&[base(), vec![Entry::whiteout("d")]], 0, 0, 5);
    assert_counts(&[base(), vec![dir_d(), Entry::whiteout("d/sub")]], 0, 0, 2);
    assert_counts(&[base(), vec![Entry::whiteout("nothing")]], 0, 0, 0);
    // What is gone already cannot be deleted again.
    assert_counts(&[base(), vec![Entry::whiteout("d/one")], vec![Entry::whiteout("d")]], 0, 0, 4);
    assert_tar_counts(&[base(), vec![Entry::file("d/three", "")], vec![Entry::whiteout("d")]], 0, 0, 6);
}

#[test]
fn an_opaque_directory_deletes_what_is_not_in_it_again() {
    let opaque = |entries: Vec<Entry>| {
        let mut layer = vec![Entry::dir("d").mode(0o700), Entry::opaque("d")];
        layer.extend(entries);
        [base(), layer]
    };
    assert_counts(&opaque(vec![]), 0, 0, 4);
    assert_counts(&opaque(vec![Entry::file("d/one", "new"), Entry::file("d/three", "")]), 1, 1, 3);
    // A directory in it hides as well.
    assert_counts(&opaque(vec![Entry::dir("d/sub"), Entry::file("d/sub/other", "")]), 1, 0, 3);
    // A whiteout in it deletes nothing twice.
    assert_counts(&opaque(vec![Entry::whiteout("d/one")]), 0, 0, 4);
    // The root.
    assert_tar_counts(&[base(), vec![Entry::file(".wh..wh..opq", ""), Entry::file("f", "")]], 0, 1, 5);
    assert_tar_counts(
        &[base(), vec![Entry::file(".wh..wh..opq", ""), Entry::file("f", "")], vec![Entry::whiteout("d")]],
        0,
        0,
        0,
    );
}

#[test]
fn what_takes_the_place_of_a_directory_deletes_its_content() {
    assert_counts(&[base(), vec![Entry::file("d", "now a file")]], 0, 1, 4);
    assert_counts(&[base(), vec![Entry::dir("f"), Entry::file("f/inside", "")]], 1, 1, 0);
}

fn mark(path: &Path, name: &str, value: &str) {
    let file = File::open(path).unwrap();
    xattr::set(At::Fd(file.as_fd()), name.as_bytes(), value.as_bytes(), SetMode::Any).unwrap();
}

/// Added, changed and deleted by the layer `top` of a directory, above the layer `base`.
#[track_caller]
fn counted(dir: &Path) -> Counted {
    let lowers = ["base", "top"].map(|name| LowerSpec::Directory(dir.join(name)));
    *count(&lowers).unwrap().last().unwrap()
}

#[test]
fn every_form_of_a_marker_is_understood() {
    let place = tempfile::tempdir().unwrap();
    let (base, top) = (place.path().join("base"), place.path().join("top"));
    for file in ["d/a", "d/b", "d/c", "e/x", "m/1", "m/2"] {
        fs::create_dir_all(base.join(file).parent().unwrap()).unwrap();
        fs::write(base.join(file), "").unwrap();
    }
    for dir in ["d", "m"] {
        fs::create_dir_all(top.join(dir)).unwrap();
    }
    fs::write(top.join("d/a"), "").unwrap();
    mark(&top.join("d"), "user.overlay.opaque", "y");
    mknod(&top.join("e"), SFlag::S_IFCHR, Mode::empty(), 0).unwrap();
    fs::write(top.join("m/1"), "").unwrap();
    mark(&top.join("m/1"), "user.overlay.whiteout", "");
    mark(&top.join("m"), "user.overlay.opaque", "x");
    mark(&top, "user.overlay.opaque", "x");
    assert_eq!(counted(place.path()).changes, Changes { added: 0, changed: 1, deleted: 5 });
}

#[test]
fn a_moved_directory_is_gone_here_and_new_there() {
    let place = tempfile::tempdir().unwrap();
    let (base, top) = (place.path().join("base"), place.path().join("top"));
    fs::create_dir_all(base.join("old/in")).unwrap();
    fs::write(base.join("old/in/file"), "").unwrap();
    fs::write(base.join("old/gone"), "").unwrap();
    fs::create_dir_all(top.join("new")).unwrap();
    mark(&top.join("new"), "user.overlay.redirect", "/old");
    mknod(&top.join("new/gone"), SFlag::S_IFCHR, Mode::empty(), 0).unwrap();
    mknod(&top.join("old"), SFlag::S_IFCHR, Mode::empty(), 0).unwrap();
    assert_eq!(counted(place.path()).changes, Changes { added: 3, changed: 0, deleted: 4 });
    // In the place of another.
    fs::remove_file(top.join("old")).unwrap();
    fs::create_dir(base.join("new")).unwrap();
    fs::create_dir(base.join("new/in")).unwrap();
    fs::write(base.join("new/other"), "").unwrap();
    assert_eq!(counted(place.path()).changes, Changes { added: 1, changed: 0, deleted: 1 });
}

#[test]
fn the_files_of_a_directory_are_summed_up_as_those_of_a_tar() {
    let entries = vec![
        Entry::file("one", "12345"),
        Entry::hardlink("two", "one"),
        Entry::dir("d"),
        Entry::file("d/three", "123"),
        Entry::symlink("link", "one"),
        Entry::whiteout("gone"),
    ];
    let place = tempfile::tempdir().unwrap();
    assert_eq!(unpacked(&tars(place.path(), std::slice::from_ref(&entries))).unwrap(), [8]);
    assert_eq!(unpacked(&directories(place.path(), &[entries])).unwrap(), [8]);
}
