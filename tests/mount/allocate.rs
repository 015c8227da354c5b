//! fallocate(2) and copy_file_range(2).

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::support::sys::fallocate;
use crate::support::{Backend, Errno, Mount, Setup, errno};

fn open(m: &Mount, path: &str) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(m.at(path)).unwrap()
}

/// What the file system below cannot do, the union cannot either.
fn supported(m: &Mount, mode: i32) -> bool {
    let probe = tempfile::tempfile_in(m.dir()).unwrap();
    probe.set_len(1 << 20).unwrap();
    fallocate(probe.as_fd(), mode, 0, 4096) != Err(Errno::EOPNOTSUPP)
}

#[test]
fn room_is_made_with_and_without_the_size() {
    let m = Mount::of("layer 1\nfile f \"0123456789\"\n");
    let file = open(&m, "f");
    fallocate(file.as_fd(), 0, 0, 100_000).unwrap();
    assert_eq!(m.stat("f").size(), 100_000);
    assert!(m.stat("f").blocks() * 512 >= 100_000);
    assert_eq!(&fs::read(m.at("f")).unwrap()[..12], b"0123456789\0\0");
    fallocate(file.as_fd(), libc::FALLOC_FL_KEEP_SIZE, 0, 1 << 20).unwrap();
    assert_eq!(m.stat("f").size(), 100_000);
    assert!(m.stat("f").blocks() * 512 >= 1 << 20);
    assert_eq!(errno(fallocate(file.as_fd(), 0, -1, 10)), Errno::EINVAL);
    assert_eq!(errno(fallocate(file.as_fd(), 0, 0, 0)), Errno::EINVAL);
    assert_eq!(errno(fallocate(File::open(m.at("f")).unwrap().as_fd(), 0, 0, 10)), Errno::EBADF);
}

#[test]
fn punching_makes_a_hole() {
    let m = Mount::of("layer 1\nfile f size=1M seed=3\n");
    let before = fs::read(m.lower(1, "f")).unwrap();
    let file = open(&m, "f");
    // Read first, so that pages are cached that must then go.
    assert!(fs::read(m.at("f")).unwrap() == before);
    let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    fallocate(file.as_fd(), punch, 100_000, 500_000).unwrap();
    let mut expected = before;
    expected[100_000..600_000].fill(0);
    assert!(fs::read(m.at("f")).unwrap() == expected);
    assert_eq!(m.stat("f").size(), 1 << 20);
    assert!(m.stat("f").blocks() * 512 <= (1 << 20) - 480_000);
    drop(file);
    let m = m.remount();
    assert!(fs::read(m.at("f")).unwrap() == expected);
}

#[test]
fn zeroing_clears_a_range() {
    let m = Mount::of("layer 1\nfile f size=64K seed=3\n");
    if !supported(&m, libc::FALLOC_FL_ZERO_RANGE) {
        return;
    }
    let mut expected = fs::read(m.lower(1, "f")).unwrap();
    let file = open(&m, "f");
    fallocate(file.as_fd(), libc::FALLOC_FL_ZERO_RANGE, 1000, 20_000).unwrap();
    expected[1000..21_000].fill(0);
    assert!(fs::read(m.at("f")).unwrap() == expected);
    fallocate(file.as_fd(), libc::FALLOC_FL_ZERO_RANGE, 60_000, 10_000).unwrap();
    expected.resize(70_000, 0);
    expected[60_000..].fill(0);
    assert!(fs::read(m.at("f")).unwrap() == expected);
}

#[test]
fn ranges_are_collapsed_and_inserted_or_refused() {
    let m = Mount::of("layer 1\nfile f size=64K seed=3\n");
    let before = fs::read(m.lower(1, "f")).unwrap();
    let file = open(&m, "f");
    // FUSE passes neither on, and refuses them as the kernel's file systems without them do.
    match fallocate(file.as_fd(), libc::FALLOC_FL_COLLAPSE_RANGE, 4096, 8192) {
        Ok(()) => assert!(fs::read(m.at("f")).unwrap() == [&before[..4096], &before[12_288..]].concat()),
        Err(e) => assert_eq!(e, Errno::EOPNOTSUPP),
    }
}

/// Copies all of a range, in as many calls as it takes.
fn copy(from: &File, mut at: i64, to: &File, mut to_at: i64, len: usize) {
    let mut left = len;
    while left > 0 {
        let n = nix::fcntl::copy_file_range(from, Some(&mut at), to, Some(&mut to_at), left).unwrap();
        assert!(n > 0, "{left} bytes short");
        left -= n;
    }
}

#[test]
fn ranges_are_copied() {
    let m = Mount::of("layer 1\nfile a size=1M seed=3\nfile b size=300K seed=4\n");
    let (a, mut b) = (fs::read(m.lower(1, "a")).unwrap(), fs::read(m.lower(1, "b")).unwrap());
    let from = File::open(m.at("a")).unwrap();
    let to = open(&m, "b");
    copy(&from, 5000, &to, 1000, 200_000);
    b[1000..201_000].copy_from_slice(&a[5000..205_000]);
    assert!(fs::read(m.at("b")).unwrap() == b);
    // Into a new file, past the end, and within one file.
    let new = open(&m, "new");
    copy(&from, 0, &new, 0, 1 << 20);
    assert!(fs::read(m.at("new")).unwrap() == a);
    copy(&to, 0, &to, 400_000, 100_000);
    b.resize(500_000, 0);
    b.copy_within(0..100_000, 400_000);
    assert!(fs::read(m.at("b")).unwrap() == b);
    assert!(m.absent_in_upper("a"));
    let mut end = 1 << 20;
    assert_eq!(nix::fcntl::copy_file_range(&from, Some(&mut end), &new, None, 100), Ok(0));
}

#[test]
fn what_was_written_just_before_is_copied() {
    let m = Mount::of("layer 1\nfile a size=64K seed=1\n");
    let from = open(&m, "a");
    from.write_all_at(b"fresh", 10).unwrap();
    let to = open(&m, "b");
    to.write_all_at(&[b'.'; 100], 0).unwrap();
    copy(&from, 0, &to, 0, 50);
    let mut text = [0; 5];
    to.read_exact_at(&mut text, 10).unwrap();
    assert_eq!(&text, b"fresh");
    assert_eq!(&fs::read(m.at("b")).unwrap()[50..], [b'.'; 50]);
}

#[test]
fn ranges_are_copied_between_file_systems() {
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    fs::write(elsewhere.path().join("from"), "0123456789").unwrap();
    let mut layers = Setup::text("layer 1\ndir d\n").build();
    let one = elsewhere.path().metadata().unwrap().dev() == layers.dir().metadata().unwrap().dev();
    layers.replace_lower(1, elsewhere.path().to_owned());
    let m = layers.mounted();
    let (from, to) = (File::open(m.at("from")).unwrap(), open(&m, "to"));
    let copied = nix::fcntl::copy_file_range(&from, Some(&mut 2), &to, None, 5);
    // The kernel's overlay says so only where both lie on one.
    if !one && Backend::current() == Backend::Kernel {
        assert_eq!(copied, Err(Errno::EXDEV));
    } else {
        assert_eq!(copied, Ok(5));
        assert_eq!(m.text("to"), "23456");
    }
    drop((from, to));
    drop(m);
}
