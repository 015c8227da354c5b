//! Writing to an image through an upper.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::PathBuf;

use crate::images::{Compression, Entry, Sparse};
use crate::place::{Mounted, Place, image_of, tar_of};
use crate::rows::rows;

fn image(place: &Place) -> PathBuf {
    let base = tar_of([
        Entry::dir("dir"),
        Entry::file("dir/one", "one").mtime(1_000_000_000, 7),
        Entry::file("dir/two", "two"),
        Entry::dir("dir/sub"),
        Entry::file("dir/sub/file", "deep"),
        Entry::file("first", "linked"),
        Entry::hardlink("second", "first"),
        Entry::sparse("sparse", Sparse::Pax10, 10 << 20, &[(4 << 20, b"middle")]),
        Entry::file("large", vec![b'x'; 3_000_000]),
        Entry::file("noted", "n").xattr("user.note", "kept"),
        Entry::symlink("link", "dir/one"),
    ]);
    let top = tar_of([Entry::file("dir/three", "three"), Entry::whiteout("dir/two")]);
    place.archive("image.tar", &image_of([base, top], Compression::None))
}

/// Mounts with the upper, lets `change` change it, checks that the tree stays the same over a remount, and gives that.
fn changed(place: &Place, change: impl FnOnce(&Mounted)) -> Mounted {
    let image = image(place);
    let upper = place.path("upper");
    fs::create_dir(&upper).unwrap();
    let arguments = ["--upper".as_ref(), upper.as_os_str(), image.as_os_str()];
    let before = fs::read(&image).unwrap();
    let mounted = place.mount(&arguments);
    change(&mounted);
    let seen = rows(&mounted.at(""));
    drop(mounted);
    let again = place.mount(&arguments);
    let differences: Vec<_> = rows(&again.at("")).into_iter().filter(|line| !seen.contains(line)).collect();
    assert!(differences.is_empty(), "mounted again, these are different: {differences:#?}, it was {seen:#?}");
    assert!(fs::read(&image).unwrap() == before, "the archive has changed");
    again
}

#[test]
fn files_are_written() {
    let place = Place::new();
    let mounted = changed(&place, |m| {
        fs::write(m.at("new"), "new").unwrap();
        fs::write(m.at("dir/one"), "another").unwrap();
        let mut file = OpenOptions::new().append(true).open(m.at("dir/three")).unwrap();
        file.write_all(b" and more").unwrap();
        fs::create_dir(m.at("dir/sub/made")).unwrap();
        std::os::unix::fs::symlink("nowhere", m.at("dir/sub/made/link")).unwrap();
    });
    assert_eq!(mounted.text("new"), "new");
    assert_eq!(mounted.text("dir/one"), "another");
    assert_eq!(mounted.text("link"), "another");
    assert_eq!(mounted.text("dir/three"), "three and more");
    assert!(mounted.stat("dir/sub/made/link").file_type().is_symlink());
}

#[test]
fn a_copy_up_keeps_all_but_what_is_written() {
    let place = Place::new();
    let mounted = changed(&place, |m| {
        let file = OpenOptions::new().write(true).open(m.at("large")).unwrap();
        file.write_all_at(b"changed", 1_000_000).unwrap();
        let mut sparse = OpenOptions::new().write(true).open(m.at("sparse")).unwrap();
        sparse.seek(SeekFrom::Start(8 << 20)).unwrap();
        sparse.write_all(b"late").unwrap();
        // Metadata only: no data need be copied, and none is lost.
        nix::sys::stat::utimes(
            &m.at("noted"),
            &nix::sys::time::TimeVal::new(5, 0),
            &nix::sys::time::TimeVal::new(6, 0),
        )
        .unwrap();
    });
    let mut large = vec![b'x'; 3_000_000];
    large[1_000_000..1_000_007].copy_from_slice(b"changed");
    assert!(fs::read(mounted.at("large")).unwrap() == large);
    let mut sparse = vec![0; 10 << 20];
    sparse[4 << 20..(4 << 20) + 6].copy_from_slice(b"middle");
    sparse[8 << 20..(8 << 20) + 4].copy_from_slice(b"late");
    assert!(fs::read(mounted.at("sparse")).unwrap() == sparse);
    assert!(place.path("upper/sparse").metadata().unwrap().blocks() * 512 < 1 << 20, "holes stay holes");
    assert_eq!(mounted.stat("noted").mtime(), 6);
    assert_eq!(crate::support::sys::get_xattr(&mounted.at("noted"), b"user.note").unwrap(), b"kept");
    assert_eq!(mounted.text("noted"), "n");
}

#[test]
fn names_are_removed_and_made_again() {
    let place = Place::new();
    let mounted = changed(&place, |m| {
        fs::remove_file(m.at("first")).unwrap();
        fs::remove_dir_all(m.at("dir")).unwrap();
        fs::create_dir(m.at("dir")).unwrap();
        fs::write(m.at("dir/only"), "only").unwrap();
    });
    assert_eq!(mounted.names("dir"), ["only"]);
    assert!(!mounted.names("").contains(&"first".to_owned()));
    assert_eq!(mounted.text("second"), "linked", "the other name of a hard link stays");
}

#[test]
fn files_and_directories_are_renamed() {
    let place = Place::new();
    let mounted = changed(&place, |m| {
        fs::rename(m.at("dir/one"), m.at("uno")).unwrap();
        fs::rename(m.at("dir"), m.at("moved")).unwrap();
        fs::rename(m.at("moved/sub"), m.at("sub")).unwrap();
    });
    assert_eq!(mounted.text("uno"), "one");
    assert_eq!(mounted.stat("uno").mtime_nsec(), 7);
    assert_eq!(mounted.names("moved"), ["three"]);
    assert_eq!(mounted.text("sub/file"), "deep");
    assert!(!mounted.names("").contains(&"dir".to_owned()));
}

#[test]
fn a_file_that_is_open_is_read_on_after_its_copy_up() {
    let place = Place::new();
    let image = image(&place);
    let upper = place.path("upper");
    fs::create_dir(&upper).unwrap();
    let mounted = place.mount(&["--upper".as_ref(), upper.as_os_str(), image.as_os_str()]);
    let reader = fs::File::open(mounted.at("dir/one")).unwrap();
    let mut bytes = [0; 3];
    reader.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"one");
    let number = mounted.stat("dir/one").ino();
    OpenOptions::new().write(true).open(mounted.at("dir/one")).unwrap().write_all(b"ONE").unwrap();
    reader.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"ONE");
    assert_eq!(mounted.stat("dir/one").ino(), number, "its number stays");
    fs::remove_file(mounted.at("dir/one")).unwrap();
    reader.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"ONE");
}

#[test]
fn a_deletion_leaves_a_whiteout_in_the_upper() {
    let place = Place::new();
    let mounted = changed(&place, |m| fs::remove_file(m.at("noted")).unwrap());
    assert!(!mounted.names("").contains(&"noted".to_owned()));
    let whiteout = place.path("upper/noted").symlink_metadata().unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0, "{whiteout:?}");
}
