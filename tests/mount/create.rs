//! Making names: files, directories, symlinks, nodes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, symlink};

use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag, mknod};

use crate::needs;
use crate::support::identity::STRANGER;
use crate::support::{Errno, Mount, as_user, errno, with_umask};

fn mode(m: &Mount, path: &str) -> u32 {
    m.stat(path).mode() & 0o7777
}

#[test]
fn new_objects_take_the_umask() {
    let m = Mount::of("layer 1\ndir d\n");
    with_umask(0o027, || {
        OpenOptions::new().write(true).create_new(true).mode(0o666).open(m.at("d/file")).unwrap();
        DirBuilder::new().mode(0o777).create(m.at("d/dir")).unwrap();
        mknod(&m.at("d/fifo"), SFlag::S_IFIFO, Mode::from_bits_truncate(0o666), 0).unwrap();
        mknod(&m.at("d/socket"), SFlag::S_IFSOCK, Mode::from_bits_truncate(0o777), 0).unwrap();
        mknod(&m.at("d/node"), SFlag::S_IFREG, Mode::from_bits_truncate(0o606), 0).unwrap();
        symlink("target", m.at("d/link")).unwrap();
    });
    with_umask(0, || {
        OpenOptions::new().write(true).create_new(true).mode(0o4777).open(m.at("d/suid")).unwrap();
        DirBuilder::new().mode(0o1777).create(m.at("d/sticky")).unwrap();
    });
    let m = m.remount();
    let table = [
        ("file", 0o640),
        ("dir", 0o750),
        ("fifo", 0o640),
        ("socket", 0o750),
        ("node", 0o600),
        ("link", 0o777),
        ("suid", 0o4777),
        ("sticky", 0o1777),
    ];
    for (name, expected) in table {
        assert_eq!(mode(&m, &format!("d/{name}")), expected, "{name}");
    }
    assert!(m.stat("d/fifo").file_type().is_fifo());
    assert!(m.stat("d/socket").file_type().is_socket());
    assert!(m.stat("d/node").is_file());
}

#[test]
fn new_objects_belong_to_whoever_made_them() {
    needs!(Root);
    let m = Mount::of("layer 1\ndir open mode=1777\ndir group mode=2777 owner=7:77\n");
    as_user(STRANGER, STRANGER + 1, || {
        for dir in ["open", "group"] {
            fs::write(m.at(format!("{dir}/file")), "").unwrap();
            fs::create_dir(m.at(format!("{dir}/dir"))).unwrap();
            symlink("t", m.at(format!("{dir}/link"))).unwrap();
            mknod(&m.at(format!("{dir}/fifo")), SFlag::S_IFIFO, Mode::from_bits_truncate(0o600), 0).unwrap();
        }
    });
    for (dir, gid) in [("open", STRANGER + 1), ("group", 77)] {
        for name in ["file", "dir", "link", "fifo"] {
            let path = format!("{dir}/{name}");
            let meta = m.stat(&path);
            assert_eq!((meta.uid(), meta.gid()), (STRANGER, gid), "{path}");
            let below = m.upper(&path).symlink_metadata().unwrap();
            assert_eq!((below.uid(), below.gid()), (STRANGER, gid), "{path} in the upper");
        }
    }
    assert_eq!(mode(&m, "group/dir"), 0o2755, "a directory inherits the setgid bit");
    assert_eq!(mode(&m, "group/file"), 0o644);
    assert_eq!(mode(&m, "open/dir"), 0o755);
}

#[test]
fn a_file_made_setgid_by_a_stranger_to_the_group_is_not() {
    needs!(Root);
    let m = Mount::of("layer 1\ndir group mode=2777 owner=7:77\n");
    as_user(STRANGER, STRANGER, || {
        OpenOptions::new().write(true).create_new(true).mode(0o2755).open(m.at("group/f")).unwrap();
    });
    assert_eq!(mode(&m, "group/f"), 0o755);
}

#[test]
fn existing_names_are_not_made_again() {
    let m = Mount::of("layer 1\nfile f \"x\"\ndir d\nsymlink dangling nowhere\n");
    for path in ["f", "d", "dangling"] {
        assert_eq!(errno(fs::create_dir(m.at(path))), Errno::EEXIST, "{path}");
        assert_eq!(errno(symlink("t", m.at(path))), Errno::EEXIST, "{path}");
        let made = mknod(&m.at(path), SFlag::S_IFIFO, Mode::S_IRWXU, 0);
        assert_eq!(errno(made), Errno::EEXIST, "{path}");
    }
    for path in ["none/x", "f/x"] {
        let expected = if path == "f/x" { Errno::ENOTDIR } else { Errno::ENOENT };
        assert_eq!(errno(fs::create_dir(m.at(path))), expected);
        assert_eq!(errno(symlink("t", m.at(path))), expected);
    }
}

#[test]
fn a_new_directory_over_a_deleted_one_is_empty() {
    let m = Mount::of("layer 1\nfile d/old \"old\"\nfile d/sub/old \"old\"\nfile f \"f\"\n");
    fs::remove_dir_all(m.at("d")).unwrap();
    fs::create_dir(m.at("d")).unwrap();
    assert_eq!(m.names("d"), [""; 0]);
    assert_eq!(m.marker_in_upper("d", "opaque").as_deref(), Some(&b"y"[..]));
    fs::create_dir(m.at("d/sub")).unwrap();
    assert_eq!(m.names("d/sub"), [""; 0]);
    // A directory over a deleted file, and the other way round.
    fs::remove_file(m.at("f")).unwrap();
    fs::create_dir(m.at("f")).unwrap();
    fs::write(m.at("f/inside"), "x").unwrap();
    let m = m.remount();
    assert_eq!(m.names("d"), ["sub"]);
    assert_eq!(m.names("d/sub"), [""; 0]);
    assert_eq!(m.names("f"), ["inside"]);
    fs::remove_dir_all(m.at("d")).unwrap();
    fs::write(m.at("d"), "a file now").unwrap();
    let m = m.remount();
    assert_eq!(m.text("d"), "a file now");
}

#[test]
fn a_directory_made_in_a_merged_one_is_marked_opaque() {
    needs!(Redirects);
    // A lower may later gain that name (layers are swapped); what was made stays alone.
    let m = Mount::of("layer 1\ndir d\n");
    fs::create_dir(m.at("d/new")).unwrap();
    fs::create_dir(m.at("d/new/inner")).unwrap();
    assert_eq!(m.marker_in_upper("d/new", "opaque").as_deref(), Some(&b"y"[..]));
}

#[test]
fn a_symlink_keeps_its_target() {
    let m = Mount::of("layer 1\ndir d\n");
    let longest = "t".repeat(4095);
    for (name, target) in [("plain", "../x y/\u{e9}"), ("long", &longest), ("absolute", "/etc/passwd")] {
        symlink(target, m.at("d").join(name)).unwrap();
        assert_eq!(fs::read_link(m.at("d").join(name)).unwrap().to_str(), Some(target), "{name}");
    }
    assert_eq!(m.stat("d/long").size(), 4095);
    assert_eq!(errno(symlink("t".repeat(4096), m.at("d/too-long"))), Errno::ENAMETOOLONG);
    assert_eq!(errno(symlink("", m.at("d/empty"))), Errno::ENOENT);
    assert_eq!(errno(fs::read_link(m.at("d"))), Errno::EINVAL);
}

#[test]
fn nothing_is_made_in_a_directory_that_is_gone() {
    let m = Mount::of("layer 1\ndir gone\n");
    let dir = File::open(m.at("gone")).unwrap();
    fs::remove_dir(m.at("gone")).unwrap();
    let made = nix::fcntl::openat(dir.as_fd(), "f", OFlag::O_CREAT | OFlag::O_WRONLY, Mode::S_IRWXU);
    assert_eq!(errno(made), Errno::ENOENT);
    assert_eq!(errno(nix::sys::stat::mkdirat(dir.as_fd(), "d", Mode::S_IRWXU)), Errno::ENOENT);
}

#[test]
fn parents_are_copied_up_on_the_way() {
    let m = Mount::of("layer 1\nfile a/b/c/d/f \"x\"\n");
    fs::write(m.at("a/b/c/d/new"), "new").unwrap();
    assert_eq!(fs::read_to_string(m.upper("a/b/c/d/new")).unwrap(), "new");
    assert!(m.absent_in_upper("a/b/c/d/f"));
    assert_eq!(m.names("a/b/c/d"), ["f", "new"]);
}

#[test]
fn names_that_begin_with_wh_are_ordinary_when_made_through_the_mount() {
    let m = Mount::of("layer 1\nfile a \"a\"\nfile b \"b\"\ndir d\n");
    fs::write(m.at(".wh.a"), "").unwrap();
    fs::create_dir(m.at(".wh.d")).unwrap();
    fs::rename(m.at("b"), m.at(".wh.b")).unwrap();
    fs::hard_link(m.at(".wh.a"), m.at("d/.wh..wh..opq")).unwrap();
    let expected = [".wh.a", ".wh.b", ".wh.d", "a", "d"];
    assert_eq!(m.names("."), expected);
    let m = m.remount();
    assert_eq!(m.names("."), expected);
    assert_eq!((m.text("a"), m.text(".wh.b")), ("a".into(), "b".into()));
    assert_eq!(m.names("d"), [".wh..wh..opq"]);
    fs::remove_file(m.at(".wh.a")).unwrap();
    assert_eq!(m.remount().names("."), [".wh.b", ".wh.d", "a", "d"]);
}
