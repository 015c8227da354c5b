//! Who may do what in a mounted image: its owners and modes are shown, and bind only those whom they should.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use crate::images::{Compression, Entry};
use crate::place::{Mounted, Place, image_of, tar_of};
use crate::rows::rows;
use crate::support::identity::STRANGER;
use crate::support::{Errno, Who, as_user, errno};

/// An image in which somebody else owns what matters.
fn image(place: &Place) -> PathBuf {
    let tar = tar_of([
        Entry::dir("private").mode(0o700).owner(0, 0),
        Entry::file("private/file", "in private").mode(0o600).owner(0, 0),
        Entry::file("nobody", "mode 000").mode(0).owner(1234, 5678),
        Entry::file("setuid", "#!").mode(0o4755),
        Entry::char_device("null", 1, 3).mode(0o666),
        Entry::dir("open").mode(0o755),
        Entry::file("open/file", "of root"),
    ]);
    place.archive("image.tar", &image_of([tar], Compression::None))
}

fn options_of(mounted: &Mounted) -> Vec<String> {
    let point = mounted.at("").display().to_string();
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line =
        table.lines().find(|line| line.split(' ').nth(4) == Some(point.trim_end_matches('/'))).unwrap();
    line.split(' ').nth(5).unwrap().split(',').map(str::to_owned).collect()
}

#[test]
fn the_mounting_user_reads_every_file() {
    let place = Place::new();
    let mounted = place.mount(&[image(&place)]);
    assert_eq!(mounted.text("private/file"), "in private");
    assert_eq!(mounted.text("nobody"), "mode 000");
    assert_eq!(mounted.stat("nobody").mode() & 0o7777, 0);
    assert_eq!(mounted.stat("private").mode() & 0o7777, 0o700);
    assert_eq!(mounted.stat("setuid").mode() & 0o7777, 0o4755);
}

#[test]
fn enforced_permissions_bind_an_ordinary_user() {
    if Who::current() != Who::User {
        // Root is never bound; as an ordinary user this is run again.
        return;
    }
    let place = Place::new();
    let image = image(&place);
    let mounted = place.mount(&["--enforce".as_ref(), image.as_os_str()]);
    assert_eq!(errno(fs::read(mounted.at("private/file"))), Errno::EACCES);
    assert_eq!(errno(fs::read(mounted.at("nobody"))), Errno::EACCES);
    assert_eq!(errno(fs::read_dir(mounted.at("private")).map(drop)), Errno::EACCES);
    assert_eq!(mounted.text("open/file"), "of root");
    drop(mounted);
    // The choice is the mount's, not the store's.
    assert_eq!(place.mount(&[image]).text("nobody"), "mode 000");
}

#[test]
fn roots_mount_binds_other_users() {
    crate::needs!(Root);
    let place = Place::new();
    let mounted = place.mount(&[image(&place)]);
    let at = |path: &str| mounted.at(path);
    let (closed, private, open) = as_user(STRANGER, STRANGER, || {
        (
            errno(fs::read(at("nobody"))),
            errno(fs::read(at("private/file"))),
            fs::read(at("open/file")).unwrap(),
        )
    });
    assert_eq!((closed, private, &open[..]), (Errno::EACCES, Errno::EACCES, &b"of root"[..]));
}

#[test]
fn an_ordinary_users_mount_is_nosuid_and_nodev() {
    let place = Place::new();
    let mounted = place.mount(&[image(&place)]);
    let options = options_of(&mounted);
    let has = |option: &str| options.iter().any(|there| there == option);
    match Who::current() {
        Who::User => {
            assert!(has("nosuid") && has("nodev"), "{options:?}");
            assert_eq!(errno(File::open(mounted.at("null"))), Errno::EACCES);
        }
        Who::Root => {
            assert!(!has("nosuid") && !has("nodev"), "{options:?}");
            assert_eq!(fs::read(mounted.at("null")).unwrap(), b"");
        }
        // The kernel never opens devices of a file system that belongs to a user namespace.
        Who::Namespace => assert_eq!(errno(File::open(mounted.at("null"))), Errno::EACCES),
    }
    // Shown they are, in any case.
    assert_eq!(mounted.stat("null").rdev(), nix::sys::stat::makedev(1, 3));
}

#[test]
fn with_an_upper_the_mounting_user_writes_every_file_and_owners_stay() {
    let place = Place::new();
    let image = image(&place);
    fs::create_dir(place.path("upper")).unwrap();
    let upper = place.path("upper");
    let arguments = ["--upper".as_ref(), upper.as_os_str(), image.as_os_str()];
    let owner = |mounted: &Mounted, path: &str| {
        let meta = mounted.stat(path);
        (meta.mode() & 0o7777, meta.uid(), meta.gid())
    };
    let mounted = place.mount(&arguments);
    let before = owner(&mounted, "open/file");
    OpenOptions::new().append(true).open(mounted.at("open/file")).unwrap().write_all(b", and more").unwrap();
    fs::write(mounted.at("private/new"), "new").unwrap();
    assert_eq!(owner(&mounted, "open/file"), before);
    fs::set_permissions(mounted.at("private/file"), PermissionsExt::from_mode(0o640)).unwrap();
    let seen = rows(&mounted.at(""));
    drop(mounted);
    let again = place.mount(&arguments);
    assert_eq!(again.text("open/file"), "of root, and more");
    assert_eq!(owner(&again, "open/file"), before);
    assert_eq!(owner(&again, "private/file").0, 0o640);
    assert_eq!(owner(&again, "private").0, 0o700);
    assert_eq!(rows(&again.at("")), seen, "mounted again, it is the same");
}

#[test]
fn without_an_upper_nothing_changes() {
    let place = Place::new();
    let mounted = place.mount(&[image(&place)]);
    assert_eq!(errno(File::create(mounted.at("new"))), Errno::EROFS);
    assert_eq!(errno(OpenOptions::new().append(true).open(mounted.at("open/file"))), Errno::EROFS);
    assert_eq!(errno(fs::remove_file(mounted.at("open/file"))), Errno::EROFS);
    assert_eq!(errno(fs::rename(mounted.at("open"), mounted.at("moved"))), Errno::EROFS);
}
