//! The upper and its work directory, without a union above.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use tempfile::TempDir;

use super::*;
use crate::config::StatOverride;
use crate::marker::{Marker, MarkersRead};
use crate::sys::xattr;

struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Place { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(place.path("upper")).unwrap();
        fs::create_dir(place.path("work")).unwrap();
        place
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn open(&self, durability: Durability) -> Result<Upper> {
        self.open_with(durability, Whiteouts::Auto)
    }

    fn open_with(&self, durability: Durability, whiteouts: Whiteouts) -> Result<Upper> {
        let rules = LayerRules { markers: MarkersRead::Both, oci: true, stat_override: StatOverride::Off };
        let options = UpperOptions {
            rules,
            namespace: Some(Namespace::User),
            whiteouts,
            durability,
            index: Index::Off,
        };
        Upper::open(&UpperSpec { upper: self.path("upper"), work: self.path("work") }, options)
    }

    /// Opens it, once nobody else has it: a child of another test may hold a copy of the locks from its fork to its exec.
    fn upper(&self) -> Upper {
        let patience = Instant::now() + Duration::from_secs(20);
        loop {
            match self.open(Durability::SyncCopyUp) {
                Err(error) if *error.kind() == Kind::InUse && Instant::now() < patience => {
                    std::thread::yield_now()
                }
                other => return other.unwrap(),
            }
        }
    }

    fn names(&self, path: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(path))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn named(text: &str) -> Name<'_> {
    Name::new(text.as_bytes()).unwrap()
}

#[test]
fn an_upper_in_which_unionfs_fuse_deleted_is_refused_where_its_whiteouts_are_read() {
    for meta in [".unionfs-fuse", ".unionfs"] {
        for (inside, refused) in [("", false), ("gone_HIDDEN~", true), ("dir", true)] {
            let place = Place::new();
            fs::create_dir_all(place.path("upper").join(meta).join(inside)).unwrap();
            place.upper();
            let opened = place.open_with(Durability::SyncCopyUp, Whiteouts::UnionfsFuse);
            match opened.map(drop) {
                // Of the lock, see `Place::upper`.
                Ok(()) => assert!(!refused, "{meta}/{inside}"),
                Err(error) if *error.kind() == Kind::InUse => assert!(!refused, "{meta}/{inside}"),
                Err(error) => assert!(
                    refused && error.to_string().contains("as the top layer"),
                    "{meta}/{inside}: {error}"
                ),
            }
        }
    }
}

#[test]
fn what_is_staged_is_published_by_a_rename_or_goes() {
    let place = Place::new();
    let upper = place.upper();
    drop(upper.stage_file().unwrap());
    let staged = upper.stage_directory().unwrap();
    fs::write(place.path("work/work").join(staged.name().to_string()).join("inside"), "x").unwrap();
    drop(staged);
    assert_eq!(place.names("work/work"), [""; 0]);
    upper
        .stage_symlink(b"to")
        .unwrap()
        .publish(upper.layer.root(), named("l"), RenameFlag::NoReplace)
        .unwrap();
    assert_eq!(place.names("upper"), ["l"]);
    let refused = upper.stage_file().unwrap().publish(upper.layer.root(), named("l"), RenameFlag::NoReplace);
    assert_eq!(*refused.unwrap_err().kind(), Kind::Exists);
    assert_eq!(place.names("work/work"), [""; 0]);
}

#[test]
fn what_an_exchange_displaces_goes_with_its_content() {
    let place = Place::new();
    let upper = place.upper();
    fs::create_dir(place.path("upper/d")).unwrap();
    fs::write(place.path("upper/d/f"), "x").unwrap();
    let staged = upper.stage_whiteout().unwrap();
    let mut displaced =
        staged.publish(upper.layer.root(), named("d"), RenameFlag::Exchange).unwrap().displaced.unwrap();
    displaced.now_directory(true);
    drop(displaced);
    assert!(!fs::symlink_metadata(place.path("upper/d")).unwrap().is_dir());
    // The one whiteout that others are links of is all that is left.
    assert!(place.names("work/work").len() <= 1);
}

#[test]
fn whiteouts_are_links_of_one_device() {
    use std::os::unix::fs::MetadataExt;
    let place = Place::new();
    let upper = place.upper();
    for name in ["a", "b", "c"] {
        upper.write_whiteout(upper.layer.root(), named(name)).unwrap();
    }
    let inodes: Vec<u64> = ["a", "b", "c"]
        .iter()
        .map(|name| fs::symlink_metadata(place.path("upper").join(name)).unwrap().ino())
        .collect();
    assert!(inodes.iter().all(|ino| *ino == inodes[0]), "{inodes:?}");
}

#[test]
fn work_is_cleared_and_nothing_else() {
    let place = Place::new();
    fs::create_dir_all(place.path("work/work/left/deep")).unwrap();
    fs::write(place.path("work/work/left/deep/f"), "x").unwrap();
    fs::write(place.path("work/other"), "x").unwrap();
    drop(place.upper());
    assert_eq!(place.names("work/work"), [""; 0]);
    assert_eq!(place.names("work"), ["other", "work"]);
}

#[test]
fn a_second_mount_of_the_same_upper_or_work_is_refused() {
    let place = Place::new();
    let first = place.upper();
    assert!(place.open(Durability::SyncCopyUp).is_err());
    drop(first);
    place.upper();
}

#[test]
fn a_mount_that_is_about_to_end_is_waited_for() {
    let place = Place::new();
    let first = place.upper();
    let (waits, waiting) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| {
            waits.send(()).unwrap();
            place.open(Durability::SyncCopyUp)
        });
        waiting.recv().unwrap();
        // Whether the second has met the lock by now or not: it must get it.
        drop(first);
        assert!(second.join().unwrap().is_ok());
    });
}

#[test]
fn a_volatile_mount_leaves_its_mark_and_the_next_is_refused() {
    let place = Place::new();
    drop(place.open(Durability::Volatile).unwrap());
    assert!(place.path("work/work/incompat/volatile").is_dir());
    assert!(place.open(Durability::SyncCopyUp).is_err());
    assert!(place.path("work/work/incompat/volatile").is_dir());
    fs::remove_dir_all(place.path("work/work/incompat")).unwrap();
    place.upper();
}

#[test]
fn markers_are_written_in_the_namespace_and_removed() {
    let place = Place::new();
    let upper = place.upper();
    fs::create_dir(place.path("upper/d")).unwrap();
    let at = At::Name(upper.layer.root(), named("d"));
    assert_eq!(upper.namespace(), Some(Namespace::User));
    upper.mark_opaque(at).unwrap();
    assert_eq!(xattr::get(at, b"user.overlay.opaque").unwrap(), b"y");
    assert!(upper.write_marker(at, Marker::Redirect, b"/x").unwrap());
    upper.remove_marker(at, Marker::Redirect).unwrap();
    assert_eq!(xattr::get(at, b"user.overlay.redirect"), Err(Errno::ENODATA));
}

#[test]
fn without_flags_renames_come_to_the_same() {
    let place = Place::new();
    let mut upper = place.upper();
    assert_eq!(upper.renames, Renames::WithFlags);
    for renames in [Renames::WithFlags, Renames::Plain] {
        upper.renames = renames;
        for (name, text) in [("a", "1"), ("b", "2")] {
            fs::write(place.path("upper").join(name), text).unwrap();
        }
        let root = upper.layer.root();
        let (a, b, c) = ((root, named("a")), (root, named("b")), (root, named("c")));
        let text = |name: &str| fs::read_to_string(place.path("upper").join(name)).unwrap();
        assert_eq!(upper.rename(a, b, RenameFlag::NoReplace), Err(Errno::EEXIST), "{renames:?}");
        upper.rename(a, b, RenameFlag::Exchange).unwrap();
        assert_eq!((text("a"), text("b")), ("2".into(), "1".into()), "{renames:?}");
        assert_eq!(upper.rename(a, c, RenameFlag::Exchange), Err(Errno::ENOENT), "{renames:?}");
        upper.rename(a, c, RenameFlag::NoReplace).unwrap();
        assert_eq!(upper.rename(a, b, RenameFlag::Exchange), Err(Errno::ENOENT), "{renames:?}");
        assert_eq!((text("c"), text("b")), ("2".into(), "1".into()), "what is there stays, {renames:?}");
        // A directory and a file change places, too.
        fs::create_dir(place.path("upper/d")).unwrap();
        upper.rename((root, named("d")), b, RenameFlag::Exchange).unwrap();
        assert!(place.path("upper/b").is_dir() && place.path("upper/d").is_file());
        for name in ["c", "d"] {
            fs::remove_file(place.path("upper").join(name)).unwrap();
        }
        fs::remove_dir(place.path("upper/b")).unwrap();
        assert_eq!(place.names("upper"), [""; 0]);
        assert_eq!(place.names("work/work"), [""; 0], "nothing is left aside");
    }
}

#[test]
fn what_is_not_kept_is_said_and_a_usual_file_system_keeps_all() {
    let place = Place::new();
    let upper = place.upper();
    assert_eq!(upper.losses().unwrap(), []);
    let (changed, failed) = (|| Ok(()), |errno| Err(errno));
    let file = upper.stage_file().unwrap();
    let lost = |result, kept: bool| probe::lost(result, file.at(), |_| kept);
    assert!(!lost(changed(), true).unwrap());
    assert!(lost(changed(), false).unwrap(), "it says yes and does nothing");
    for errno in [Errno::EPERM, Errno::ENOSYS, Errno::EOPNOTSUPP, Errno::EIO] {
        assert!(lost(failed(errno), true).unwrap(), "{errno}");
    }
    assert_eq!(
        lost(failed(Errno::ENOSPC), true).unwrap_err().errno(),
        Errno::ENOSPC,
        "that is of the moment"
    );
    assert_eq!(place.names("work/work"), [file.name().to_string()], "probes leave nothing");
}
