//! The first change of a lower file copies it: nothing of it is lost, nothing of its parents changes.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

use crate::needs;
use crate::support::guard::told_of_opens;
use crate::support::{Backend, Mount, Setup, Who, sys};

/// Everything that a copy must keep, but the number of links.
fn kept(m: &Mount, path: &str) -> (String, BTreeMap<String, Vec<u8>>, Vec<u8>) {
    let meta = m.stat(path);
    let text = format!(
        "mode {:o} owner {}:{} size {} rdev {} mtime {}.{:09} ino {}",
        meta.mode(),
        meta.uid(),
        meta.gid(),
        if meta.is_dir() { 0 } else { meta.size() },
        meta.rdev(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.ino(),
    );
    let xattrs = sys::list_xattr(&m.at(path))
        .unwrap()
        .into_iter()
        .map(|name| (name.escape_ascii().to_string(), sys::get_xattr(&m.at(path), &name).unwrap()))
        .collect();
    let content = match meta.mode() & libc::S_IFMT {
        libc::S_IFREG => fs::read(m.at(path)).unwrap_or_default(),
        libc::S_IFLNK => fs::read_link(m.at(path)).unwrap().into_os_string().into_encoded_bytes(),
        _ => Vec::new(),
    };
    (text, xattrs, content)
}

/// A change that shows in nothing that is compared: the time of access.
fn touch(m: &Mount, path: &str) {
    let atime = TimeSpec::new(1_700_000_000, 7);
    utimensat(AT_FDCWD, &m.at(path), &atime, &TimeSpec::UTIME_OMIT, UtimensatFlags::NoFollowSymlink)
        .unwrap_or_else(|e| panic!("{path}: {e}"));
}

const KINDS: [&str; 21] = [
    "file",
    "suid",
    "sgid",
    "old",
    "future",
    "empty",
    "sparse",
    "pattern",
    "link",
    "dangling",
    "fifo",
    "socket",
    "dir",
    "sticky",
    "deep",
    "deep/one",
    "deep/one/two",
    "deep/one/two/leaf",
    "xattrs",
    "acl",
    "dir/child",
];

#[test]
fn every_kind_is_kept_whole() {
    needs!(StableNumbers);
    let m = Setup::named("kinds").mount();
    // As an ordinary user, marks that keep st_ino cannot be put on what is neither file nor directory.
    let with_number =
        |path: &str| Who::current() == Who::Root || m.stat(path).is_file() || m.stat(path).is_dir();
    let root_only = ["null", "loop", "capable", "noperm"];
    let paths: Vec<&str> = match Who::current() {
        Who::Root => KINDS.iter().chain(&root_only).copied().collect(),
        _ => KINDS.to_vec(),
    };
    let before: Vec<_> = paths.iter().map(|path| kept(&m, path)).collect();
    for (path, before) in paths.iter().zip(&before) {
        touch(&m, path);
        assert!(!m.absent_in_upper(path), "{path} was not copied up");
        // Before anything is read, which sets it.
        assert_eq!((m.stat(path).atime(), m.stat(path).atime_nsec()), (1_700_000_000, 7), "{path}");
        assert_eq!(kept(&m, path), *before, "{path}");
    }
    let numbered: Vec<bool> = paths.iter().map(|path| with_number(path)).collect();
    let m = m.remount();
    for ((path, before), numbered) in paths.iter().zip(&before).zip(numbered) {
        let mut after = kept(&m, path);
        let mut before = before.clone();
        if !numbered {
            for text in [&mut after.0, &mut before.0] {
                text.truncate(text.find(" ino ").unwrap());
            }
        }
        assert_eq!(after, before, "{path} after mounting again");
    }
}

#[test]
fn the_copy_in_the_upper_is_whole_too() {
    needs!(Root);
    let m = Setup::named("kinds").mount();
    for path in ["file", "suid", "capable", "acl", "xattrs", "link", "null"] {
        touch(&m, path);
        let (below, copy) = (m.lower(1, path), m.upper(path));
        let (from, to) = (below.symlink_metadata().unwrap(), copy.symlink_metadata().unwrap());
        assert_eq!(
            (from.mode(), from.uid(), from.gid(), from.rdev(), from.mtime(), from.mtime_nsec()),
            (to.mode(), to.uid(), to.gid(), to.rdev(), to.mtime(), to.mtime_nsec()),
            "{path}"
        );
        let ours = |name: &Vec<u8>| !name.starts_with(b"trusted.overlay.");
        let from: Vec<_> = sys::list_xattr(&below).unwrap().into_iter().filter(ours).collect();
        let to: Vec<_> = sys::list_xattr(&copy).unwrap().into_iter().filter(ours).collect();
        assert_eq!(from, to, "{path}");
    }
}

#[test]
fn parents_keep_everything() {
    let m = Setup::named("kinds").mount();
    let parents = [".", "deep", "deep/one", "deep/one/two", "dir"];
    let before: Vec<_> = parents.iter().map(|path| kept(&m, path)).collect();
    fs::write(m.at("deep/one/two/leaf"), "changed").unwrap();
    fs::write(m.at("dir/child"), "changed").unwrap();
    for (path, before) in parents.iter().zip(&before) {
        assert_eq!(kept(&m, path), *before, "{path}");
    }
    let m = m.remount();
    for (path, before) in parents.iter().zip(&before) {
        assert_eq!(kept(&m, path), *before, "{path} after mounting again");
    }
}

#[test]
fn holes_stay_holes() {
    let m = Mount::of("layer 1\nfile f size=64M at=32M:middle\n");
    OpenOptions::new().write(true).open(m.at("f")).unwrap().write_all_at(b"x", 10).unwrap();
    let meta = m.upper("f").metadata().unwrap();
    assert_eq!(meta.len(), 64 << 20);
    // The kernel's overlay copies by the mebibyte, from where the data begins.
    let room = if Backend::current() == Backend::Kernel { 3 << 20 } else { 1 << 16 };
    assert!(meta.blocks() * 512 < room, "{} blocks", meta.blocks());
    let mut text = [0; 6];
    File::open(m.at("f")).unwrap().read_exact_at(&mut text, 32 << 20).unwrap();
    assert_eq!(&text, b"middle");
}

#[test]
fn a_file_held_open_sees_the_data_of_its_copy() {
    let m = Mount::of("layer 1\nfile f \"lower data\"\n");
    let mut reader = File::open(m.at("f")).unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "lower data");
    fs::write(m.at("f"), "upper data, longer").unwrap();
    // The kernel's overlay keeps reading the lower file through old descriptors; a FUSE file system has one page
    // cache for an inode, and so does what POSIX says.
    if Backend::current() == Backend::Lamina {
        reader.rewind().unwrap();
        text.clear();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "upper data, longer");
        assert_eq!(reader.metadata().unwrap().len(), 18);
    }
    assert_eq!(m.text("f"), "upper data, longer");
    assert_eq!(fs::read_to_string(m.lower(1, "f")).unwrap(), "lower data");
}

#[test]
fn a_change_through_an_old_descriptor_reaches_the_copy() {
    let m = Mount::of("layer 1\nfile f \"x\" mode=644\n");
    let held = File::open(m.at("f")).unwrap();
    fs::write(m.at("f"), "copied").unwrap();
    held.set_permissions(Permissions::from_mode(0o600)).unwrap();
    assert_eq!(m.stat("f").mode() & 0o777, 0o600);
    assert_eq!(held.metadata().unwrap().ino(), m.stat("f").ino());
}

#[test]
fn emptying_a_large_file_copies_no_data() {
    let m = Mount::of("layer 1\nfile f size=32M seed=1 mode=640\n");
    let mut file = File::create(m.at("f")).unwrap();
    assert_eq!(m.upper("f").metadata().unwrap().len(), 0);
    file.write_all(b"little").unwrap();
    assert_eq!(m.text("f"), "little");
    assert_eq!(m.stat("f").mode() & 0o7777, 0o640);
    assert!(m.upper("f").metadata().unwrap().blocks() < 64);
}

#[test]
fn the_metadata_changes_that_copy_up() {
    let text = "layer 1\nfile a \"x\"\nfile b \"x\"\nfile c \"x\"\nfile d \"x\"\nfile e \"x\"\n";
    let m = Mount::of(text);
    fs::set_permissions(m.at("a"), Permissions::from_mode(0o600)).unwrap();
    sys::set_xattr(&m.at("b"), b"user.x", b"y", sys::SetXattr::Always).unwrap();
    touch(&m, "c");
    fs::hard_link(m.at("d"), m.at("d2")).unwrap();
    fs::rename(m.at("e"), m.at("e2")).unwrap();
    for path in ["a", "b", "c", "d", "d2", "e2"] {
        assert_eq!(fs::read_to_string(m.upper(path)).unwrap(), "x", "{path}");
        assert_eq!(m.text(path), "x", "{path}");
    }
}

#[test]
fn what_changes_nothing_copies_nothing() {
    let m = Setup::named("kinds").mount();
    fs::read(m.at("file")).unwrap();
    m.names("dir");
    fs::read_link(m.at("link")).unwrap();
    sys::list_xattr(&m.at("xattrs")).unwrap();
    nix::unistd::access(&m.at("file"), nix::unistd::AccessFlags::W_OK).ok();
    assert_eq!(fs::read_dir(m.upper("")).unwrap().count(), 0);
}

#[test]
fn the_work_directory_is_left_empty() {
    let m = Setup::named("kinds").mount();
    for path in ["file", "dir/child", "link", "fifo", "deep/one"] {
        touch(&m, path);
    }
    fs::remove_file(m.at("empty")).unwrap();
    fs::remove_dir_all(m.at("sticky")).unwrap();
    fs::create_dir(m.at("sticky")).unwrap();
    fs::rename(m.at("file"), m.at("dir/file")).unwrap();
    let left: Vec<String> = crate::support::guard::names(&m.work().join("work"));
    // One whiteout may be kept there to be linked from.
    let real: Vec<&String> = left
        .iter()
        .filter(|name| !crate::support::guard::is_whiteout(&m.work().join("work").join(name.as_str())))
        .collect();
    assert!(real.is_empty(), "{real:?}");
}

#[test]
fn a_failed_copy_leaves_no_trace() {
    needs!(Root);
    // The upper is a small file system of its own, which the copy does not fit into.
    let small = tempfile::tempdir().unwrap();
    nix::mount::mount(
        Some("tmpfs"),
        small.path(),
        Some("tmpfs"),
        nix::mount::MsFlags::empty(),
        Some("size=1m"),
    )
    .unwrap();
    struct Unmount<'a>(&'a std::path::Path);
    impl Drop for Unmount<'_> {
        fn drop(&mut self) {
            // Only this test's tmpfs; if it is busy, the failure is another's to report.
            let _ = nix::mount::umount2(self.0, nix::mount::MntFlags::MNT_DETACH);
        }
    }
    let _unmount = Unmount(small.path());
    let mut layers = Setup::text("layer 1\nfile big size=4M seed=1\nfile small \"s\"\n").build();
    layers.place_upper(&small.path().join("upper"), &small.path().join("work"));
    let m = layers.mounted();
    let written = OpenOptions::new().write(true).open(m.at("big")).and_then(|mut file| {
        assert!(!told_of_opens(), "it is copied up when it is opened");
        file.write_all(b"more")
    });
    assert_eq!(sys::errno(&written.unwrap_err()), crate::support::Errno::ENOSPC);
    assert!(m.absent_in_upper("big"));
    assert!(fs::read(m.at("big")).unwrap() == fs::read(m.lower(1, "big")).unwrap());
    // What was half made is gone again, so that there is room for other things.
    fs::write(m.at("small"), "changed").unwrap();
    File::create(m.at("new")).unwrap().write_all(&vec![1; 500_000]).unwrap();
    assert_eq!(m.text("small"), "changed");
    drop(m);
}

#[test]
fn a_directory_that_holds_copies_is_marked() {
    let m = Mount::of("layer 1\nfile d/f \"x\"\nfile e/f \"x\"\n");
    fs::write(m.at("d/f"), "copied").unwrap();
    fs::write(m.at("e/new"), "new").unwrap();
    assert_eq!(m.marker_in_upper("d", "impure").as_deref(), Some(&b"y"[..]));
    assert_eq!(m.marker_in_upper("", "impure").as_deref(), Some(&b"y"[..]), "d is a copy too");
    assert_eq!(m.marker_in_upper("e", "impure"), None, "a new file is no copy");
    fs::hard_link(m.at("d/f"), m.at("e/link")).unwrap();
    assert_eq!(m.marker_in_upper("e", "impure").as_deref(), Some(&b"y"[..]), "another name of a copy is one");
}

#[test]
fn a_large_file_is_copied_when_it_is_written() {
    let m = Mount::of("layer 1\nfile small size=16M seed=1\nfile large size=17M seed=2\n");
    let open = |path: &str| OpenOptions::new().read(true).write(true).open(m.at(path)).unwrap();
    drop(open("small"));
    assert_eq!(m.absent_in_upper("small"), !told_of_opens());
    let file = open("large");
    // Emptying it may come next, of which opening does not tell.
    assert_eq!(m.absent_in_upper("large"), Backend::current() == Backend::Lamina);
    let mut expected = fs::read(m.lower(1, "large")).unwrap();
    file.write_all_at(b"written", 16 << 20).unwrap();
    expected[16 << 20..][..7].copy_from_slice(b"written");
    assert!(fs::read(m.at("large")).unwrap() == expected);
    file.sync_all().unwrap();
    assert!(fs::read(m.upper("large")).unwrap() == expected);
}

#[test]
fn the_birth_of_a_copy_is_its_own_at_the_next_mount() {
    let m = Mount::of("layer 1\nfile f \"x\"\n");
    let birth = |path: &std::path::Path| {
        let stat = sys::statx(path).unwrap();
        (stat.stx_mask & libc::STATX_BTIME, stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec)
    };
    let lower = birth(&m.lower(1, "f"));
    assert_eq!(birth(&m.at("f")), lower);
    fs::write(m.at("f"), "copied").unwrap();
    let copy = birth(&m.upper("f"));
    // A FUSE file system's inode keeps the birth that it was first asked for, as long as the kernel remembers it.
    match Backend::current() {
        Backend::Lamina => assert!([lower, copy].contains(&birth(&m.at("f")))),
        Backend::Kernel => assert_eq!(birth(&m.at("f")), copy),
    }
    let m = m.remount();
    assert_eq!(birth(&m.at("f")), copy);
}
