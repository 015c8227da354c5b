//! Mode, owner, times and size: reading and changing them.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown};

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

use crate::needs;
use crate::support::identity::STRANGER;
use crate::support::{Errno, Mount, Setup, as_user, errno, sys};

fn chmod(m: &Mount, path: &str, mode: u32) -> std::io::Result<()> {
    fs::set_permissions(m.at(path), Permissions::from_mode(mode))
}

/// Of the name itself.
fn set_times(m: &Mount, path: &str, atime: TimeSpec, mtime: TimeSpec) -> nix::Result<()> {
    utimensat(AT_FDCWD, &m.at(path), &atime, &mtime, UtimensatFlags::NoFollowSymlink)
}

fn times(meta: &fs::Metadata) -> [(i64, i64); 2] {
    [(meta.atime(), meta.atime_nsec()), (meta.mtime(), meta.mtime_nsec())]
}

#[test]
fn chmod_changes_the_mode_and_nothing_else() {
    let m = Mount::of("layer 1\nfile f \"content\" mode=644 mtime=1000.5\ndir d mode=755 mtime=2000.25\n");
    for (path, mode) in [("f", 0o4711), ("f", 0o600), ("d", 0o1777), ("d", 0o2750)] {
        let before = m.stat(path);
        chmod(&m, path, mode).unwrap();
        let after = m.stat(path);
        assert_eq!(after.mode() & 0o7777, mode, "{path}");
        assert_eq!(after.mtime(), before.mtime());
        assert_eq!(after.mtime_nsec(), before.mtime_nsec());
        assert_eq!(after.ino(), before.ino());
        assert!(after.ctime() >= before.ctime());
    }
    assert_eq!(m.text("f"), "content");
    let m = m.remount();
    assert_eq!(m.stat("f").mode() & 0o7777, 0o600);
    assert_eq!(m.stat("d").mode() & 0o7777, 0o2750);
    assert_eq!(m.stat("f").mtime(), 1000);
}

#[test]
fn fchmod_of_an_open_lower_file_is_seen_by_name() {
    let m = Mount::of("layer 1\nfile f \"content\" mode=644\n");
    let file = File::open(m.at("f")).unwrap();
    file.set_permissions(Permissions::from_mode(0o640)).unwrap();
    assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o640);
    assert_eq!(m.stat("f").mode() & 0o7777, 0o640);
}

#[test]
fn chown_of_every_kind() {
    needs!(Root);
    let m = Setup::named("kinds").mount();
    for path in ["file", "link", "dangling", "fifo", "socket", "null", "loop", "dir", "deep/one/two/leaf"] {
        let before = m.stat(path);
        lchown(m.at(path), Some(2001), Some(2002)).unwrap();
        let after = m.stat(path);
        assert_eq!((after.uid(), after.gid()), (2001, 2002), "{path}");
        assert_eq!(times(&after)[1], times(&before)[1], "{path}");
        assert_eq!(after.mode(), before.mode(), "{path}");
        lchown(m.at(path), None, Some(2003)).unwrap();
        assert_eq!((m.stat(path).uid(), m.stat(path).gid()), (2001, 2003), "{path}");
    }
    let m = m.remount();
    assert_eq!((m.stat("link").uid(), m.stat("link").gid()), (2001, 2003));
}

#[test]
fn times_have_nanoseconds_and_begin_before_1970() {
    let m = Setup::named("kinds").mount();
    assert_eq!((m.stat("old").mtime(), m.stat("old").mtime_nsec()), (-1_000_000, 250_000_000));
    assert_eq!((m.stat("future").mtime(), m.stat("future").mtime_nsec()), (4_000_000_000, 500_000_000));
    // ext4's inodes reach from 1901 to 2446.
    let table =
        [(-2_000_000_000, 999_999_999), (-1, 1), (0, 0), (1_234_567_890, 123_456_789), (5_000_000_000, 2)];
    for path in ["file", "link", "dir", "fifo", "socket"] {
        for (seconds, nanoseconds) in table {
            let atime = TimeSpec::new(seconds, nanoseconds);
            let mtime = TimeSpec::new(seconds + 5, nanoseconds);
            set_times(&m, path, atime, mtime).unwrap();
            let expected = [(seconds, nanoseconds), (seconds + 5, nanoseconds)];
            assert_eq!(times(&m.stat(path)), expected, "{path}");
        }
    }
    let before = times(&m.stat("file"));
    let m = m.remount();
    assert_eq!(times(&m.stat("file")), before);
}

#[test]
fn omitted_times_stay_and_now_is_now() {
    let m = Mount::of("layer 1\nfile f \"x\" mtime=1000.5\n");
    set_times(&m, "f", TimeSpec::new(7, 8), TimeSpec::UTIME_OMIT).unwrap();
    assert_eq!(times(&m.stat("f")), [(7, 8), (1000, 500_000_000)]);
    set_times(&m, "f", TimeSpec::UTIME_OMIT, TimeSpec::new(-7, 8)).unwrap();
    assert_eq!(times(&m.stat("f")), [(7, 8), (-7, 8)]);
    // The clock that stamps files is the coarse one, which may be a tick behind.
    let start = std::time::SystemTime::now() - std::time::Duration::from_secs(1);
    set_times(&m, "f", TimeSpec::UTIME_NOW, TimeSpec::UTIME_NOW).unwrap();
    let meta = m.stat("f");
    assert!(meta.modified().unwrap() >= start && meta.accessed().unwrap() >= start);
}

#[test]
fn changes_move_the_times_they_should() {
    let m = Mount::of("layer 1\nfile d/f \"x\" mtime=1000\ndir d mtime=1000\n");
    let start = std::time::SystemTime::now() - std::time::Duration::from_secs(1);
    fs::write(m.at("d/f"), "y").unwrap();
    assert!(m.stat("d/f").modified().unwrap() >= start);
    assert_eq!(m.stat("d").mtime(), 1000, "copying a file up does not touch its directory's time");
    fs::write(m.at("d/new"), "").unwrap();
    assert!(m.stat("d").modified().unwrap() >= start);
    set_times(&m, "d", TimeSpec::new(5, 0), TimeSpec::new(5, 0)).unwrap();
    fs::remove_file(m.at("d/f")).unwrap();
    assert!(m.stat("d").modified().unwrap() >= start);
    set_times(&m, "d", TimeSpec::new(5, 0), TimeSpec::new(5, 0)).unwrap();
    fs::rename(m.at("d/new"), m.at("d/renamed")).unwrap();
    assert!(m.stat("d").modified().unwrap() >= start);
}

#[test]
fn statx_knows_the_birth() {
    let m = Mount::of("layer 1\nfile lower \"x\"\n");
    fs::write(m.at("upper"), "x").unwrap();
    for path in ["lower", "upper"] {
        let stat = sys::statx(&m.at(path)).unwrap();
        let real = if path == "lower" { m.lower(1, path) } else { m.upper(path) };
        let below = sys::statx(&real).unwrap();
        assert_eq!(stat.stx_mask & libc::STATX_BTIME, below.stx_mask & libc::STATX_BTIME, "{path}");
        if below.stx_mask & libc::STATX_BTIME != 0 {
            assert_eq!(stat.stx_btime.tv_sec, below.stx_btime.tv_sec, "{path}");
            assert_eq!(stat.stx_btime.tv_nsec, below.stx_btime.tv_nsec, "{path}");
        }
        assert_eq!(u64::from(stat.stx_mode), u64::from(m.stat(path).mode()));
        assert_eq!(stat.stx_ino, m.stat(path).ino());
    }
}

#[test]
fn sizes_and_blocks_are_those_below() {
    let m = Setup::named("kinds").build().settle().mounted();
    for path in ["file", "empty", "sparse", "pattern"] {
        let below = m.lower(1, path).symlink_metadata().unwrap();
        assert_eq!((m.stat(path).size(), m.stat(path).blocks()), (below.size(), below.blocks()), "{path}");
    }
    assert_eq!(m.stat("link").size(), 4);
}

#[test]
fn permissions_bind_others() {
    needs!(Root);
    let m = Mount::of(
        "layer 1\nfile open \"open\" mode=644\nfile closed \"closed\" mode=600\n\
         dir private mode=700\nfile private/f \"x\" mode=666\n\
         dir theirs owner=64321:64321\nfile theirs/f \"x\" owner=64321:64321 mode=400\n\
         dir sticky mode=1777\nfile sticky/f \"x\" mode=666\n",
    );
    as_user(STRANGER, STRANGER, || {
        assert_eq!(m.text("open"), "open");
        assert_eq!(errno(fs::read(m.at("closed"))), Errno::EACCES);
        assert_eq!(errno(fs::write(m.at("open"), "x")), Errno::EACCES);
        assert_eq!(errno(fs::read(m.at("private/f"))), Errno::EACCES);
        assert_eq!(errno(fs::read_dir(m.at("private"))), Errno::EACCES);
        assert_eq!(errno(chmod(&m, "open", 0o777)), Errno::EPERM);
        assert_eq!(errno(chown(m.at("open"), Some(STRANGER), None)), Errno::EPERM);
        assert_eq!(errno(chown(m.at("theirs/f"), Some(0), None)), Errno::EPERM);
        assert_eq!(errno(fs::write(m.at("new"), "x")), Errno::EACCES);
        assert_eq!(errno(fs::create_dir(m.at("new"))), Errno::EACCES);
        assert_eq!(errno(fs::remove_file(m.at("open"))), Errno::EACCES);
        assert_eq!(errno(fs::rename(m.at("open"), m.at("theirs/open"))), Errno::EACCES);
        assert_eq!(errno(fs::remove_file(m.at("sticky/f"))), Errno::EPERM);
        assert_eq!(errno(set_times(&m, "open", TimeSpec::new(1, 0), TimeSpec::new(1, 0))), Errno::EPERM);
        // What is theirs they may change, though the lower and the upper belong to root.
        chmod(&m, "theirs/f", 0o600).unwrap();
        fs::write(m.at("theirs/f"), "mine").unwrap();
        fs::write(m.at("theirs/new"), "new").unwrap();
        fs::write(m.at("sticky/mine"), "new").unwrap();
        fs::remove_file(m.at("sticky/mine")).unwrap();
    });
    let made = m.stat("theirs/new");
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o777), (STRANGER, STRANGER, 0o644));
    assert_eq!(m.text("theirs/f"), "mine");
}

#[test]
fn truncating_by_name_changes_size_and_times() {
    let m = Mount::of("layer 1\nfile f \"0123456789\" mtime=1000\n");
    let truncate = |len| nix::unistd::truncate(&m.at("f"), len);
    truncate(4).unwrap();
    assert_eq!(m.text("f"), "0123");
    assert!(m.stat("f").mtime() > 1000);
    truncate(6).unwrap();
    assert_eq!(m.text("f"), "0123\0\0");
    truncate(0).unwrap();
    assert_eq!(m.text("f"), "");
    assert_eq!(errno(truncate(-1)), Errno::EINVAL);
    assert_eq!(errno(nix::unistd::truncate(&m.root(), 0)), Errno::EISDIR);
}

#[test]
fn truncating_by_name_to_the_same_size_moves_the_time_where_it_does_below() {
    let m = Mount::of("layer 1\nfile f \"0123456789\" mtime=1000\n");
    let below = m.dir().join("below");
    fs::write(&below, "0123456789").unwrap();
    let past = TimeSpec::new(1000, 0);
    utimensat(AT_FDCWD, &below, &past, &past, UtimensatFlags::NoFollowSymlink).unwrap();
    // It does on ext4, and does not on tmpfs.
    for path in [&below, &m.at("f")] {
        nix::unistd::truncate(path, 10).unwrap();
    }
    assert_eq!(m.stat("f").mtime() > 1000, below.metadata().unwrap().mtime() > 1000);
    // Through a descriptor it always moves.
    set_times(&m, "f", past, past).unwrap();
    fs::OpenOptions::new().write(true).open(m.at("f")).unwrap().set_len(10).unwrap();
    assert!(m.stat("f").mtime() > 1000);
    assert_eq!(m.text("f"), "0123456789");
}

#[test]
fn a_merged_directory_has_one_link() {
    let m =
        Mount::of("layer 1\ndir merged/a\ndir merged/b\ndir lower/a\ndir lower/b\nlayer 2\ndir merged/c\n");
    assert_eq!(m.stat("merged").nlink(), 1);
    assert_eq!(m.stat("lower").nlink(), m.lower(1, "lower").metadata().unwrap().nlink());
    fs::create_dir_all(m.at("made/a")).unwrap();
    assert_eq!(m.stat("made").nlink(), m.upper("made").metadata().unwrap().nlink());
    // A copied directory is a merged one.
    fs::create_dir(m.at("lower/new")).unwrap();
    assert_eq!(m.stat("lower").nlink(), 1);
}

#[test]
fn an_owner_that_is_not_said_is_a_change_all_the_same() {
    needs!(Root);
    let m = Mount::of("layer 1\nfile f \"x\" mode=4755 owner=5:6\n");
    chown(m.at("f"), None, None).unwrap();
    assert!(!m.absent_in_upper("f"));
    let meta = m.stat("f");
    assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid()), (0o755, 5, 6));
}
