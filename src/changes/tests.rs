use std::fs::{self, File};
use std::path::Path;

use super::*;
use crate::config::TarSpec;
use crate::digest::Digest;
use crate::error::LayerRef;
use crate::stamp::FileStamp;
use crate::tarball::{Limits, scan};

#[allow(dead_code)] // it is there for many tests
#[path = "../../tests/support/images/tar.rs"]
mod tar;

use tar::{Entry, TarBuilder};

/// Layers of these entries, base first.
fn stack(dir: &Path, layers: &[Vec<Entry>]) -> Vec<TarLayer> {
    let mut stack: Vec<TarLayer> = Vec::new();
    for (number, entries) in (1_u16..).zip(layers) {
        let tar = TarBuilder::new().add_all(entries.iter().cloned()).finish();
        let (file, index) = (dir.join(format!("{number}.tar")), dir.join(format!("{number}.index")));
        fs::write(&file, &tar).unwrap();
        let scanned = scan(&*tar, &Limits { entries: 1000, unpacked: 1 << 30 }).unwrap();
        scanned.write_to(&mut File::create(&index).unwrap()).unwrap();
        let spec = TarSpec {
            stamp: FileStamp::from(&fs::metadata(&file).unwrap()),
            file,
            offset: 0,
            len: tar.len() as u64,
            index,
            diff_id: Digest::from_bytes([0; 32]),
            image: "test".to_owned(),
        };
        let mut layer = TarLayer::open(&spec, LayerRef::Lower(number)).unwrap();
        let below: Vec<&TarLayer> = stack.iter().rev().collect();
        layer.link_below(&below).unwrap();
        stack.push(layer);
    }
    stack
}

/// Added, changed and deleted by the last layer.
#[track_caller]
fn assert_counts(layers: &[Vec<Entry>], added: u64, changed: u64, deleted: u64) {
    let dir = tempfile::tempdir().unwrap();
    let changes = Changes::of_top(&stack(dir.path(), layers)).unwrap();
    assert_eq!(changes, Changes { added, changed, deleted });
}

fn base() -> Vec<Entry> {
    vec![
        Entry::dir("d").mode(0o700),
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
    assert_eq!(Changes::of_top(&[]).unwrap(), Changes::default());
}

#[test]
fn what_is_there_again_is_changed() {
    assert_counts(
        &[base(), vec![Entry::file("f", "g"), Entry::file("new", ""), Entry::symlink("d/one", "two")]],
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
    assert_counts(&with(Entry::dir("d").mode(0o700).owner(1, 0)), 1, 1, 0);
    assert_counts(&with(Entry::dir("d").mode(0o700).xattr("user.a", "b")), 1, 1, 0);
    // Without an entry for it.
    assert_counts(&[base(), vec![Entry::file("d/three", "")]], 1, 0, 0);
    assert_counts(&[base(), vec![Entry::file("new/dirs/file", "")]], 3, 0, 0);
}

#[test]
fn a_whiteout_deletes_all_that_was_there() {
    assert_counts(&[base(), vec![Entry::whiteout("f")]], 0, 0, 1);
    assert_counts(&[base(), vec![Entry::whiteout("d")]], 0, 0, 5);
    assert_counts(&[base(), vec![Entry::whiteout("d/sub")]], 0, 0, 2);
    assert_counts(&[base(), vec![Entry::whiteout("nothing")]], 0, 0, 0);
    // What is gone already cannot be deleted again.
    assert_counts(&[base(), vec![Entry::whiteout("d/one")], vec![Entry::whiteout("d")]], 0, 0, 4);
    assert_counts(&[base(), vec![Entry::file("d/three", "")], vec![Entry::whiteout("d")]], 0, 0, 6);
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
    assert_counts(&[base(), vec![Entry::file(".wh..wh..opq", ""), Entry::file("f", "")]], 0, 1, 5);
    assert_counts(
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
