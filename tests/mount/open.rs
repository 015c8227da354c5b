//! The ways of opening a file.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::process::{Command, Stdio};

use crate::needs;
use nix::fcntl::PosixFadviseAdvice;

use crate::support::guard::told_of_opens;
use crate::support::{Backend, Errno, Mount, Setup, errno, sys};

const LOWER: &str = "layer 1\nfile f \"0123456789\"\ndir d\nsymlink to-f f\n";

#[test]
fn opening_for_reading_copies_nothing() {
    let m = Mount::of(LOWER);
    assert_eq!(m.text("f"), "0123456789");
    let mut file = File::open(m.at("f")).unwrap();
    assert_eq!(errno(file.write(b"x")), Errno::EBADF);
    drop(file);
    assert!(m.absent_in_upper("f"));
}

#[test]
fn opening_for_writing_copies_up() {
    let m = Mount::of(LOWER);
    let mut file = OpenOptions::new().write(true).open(m.at("f")).unwrap();
    if told_of_opens() {
        assert_eq!(fs::read_to_string(m.upper("f")).unwrap(), "0123456789");
    }
    assert_eq!(errno(file.read(&mut [0; 4])), Errno::EBADF);
    file.write_all(b"AB").unwrap();
    assert_eq!(fs::read_to_string(m.upper("f")).unwrap(), "AB23456789");
    drop(file);
    assert_eq!(m.text("f"), "AB23456789");
    assert_eq!(fs::read_to_string(m.lower(1, "f")).unwrap(), "0123456789");
}

/// As git has it: made without permission to write, and written; and files whose mode changes while they are open.
#[test]
fn who_has_a_file_open_keeps_it_whatever_its_mode() {
    let m = Mount::of(LOWER);
    let made = |perm: u32| {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(perm);
        options.open(m.at(format!("made{perm:o}"))).unwrap()
    };
    let mut files: Vec<_> = [0o444, 0o400, 0o200, 0o000].into_iter().map(made).collect();
    files.push(OpenOptions::new().read(true).write(true).open(m.at("f")).unwrap());
    let modes: Vec<u32> = files.iter().map(|file| file.metadata().unwrap().mode() & 0o7777).collect();
    files[4].set_permissions(PermissionsExt::from_mode(0o000)).unwrap();
    for (file, perm) in files.iter().zip([0o444, 0o400, 0o200, 0o000, 0o000]) {
        file.write_all_at(b"object", 0).unwrap();
        // Pages of it, which the kernel may have, are dropped: they are read by us.
        assert_eq!(nix::fcntl::posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED), Ok(()));
        let mut content = [0; 6];
        file.read_exact_at(&mut content, 0).unwrap();
        assert_eq!(&content, b"object");
        file.sync_all().unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, perm);
    }
    assert_eq!(modes[..4], [0o444, 0o400, 0o200, 0o000]);
    for (file, name) in files.iter().zip(["made444", "made400", "made200", "made0", "f"]) {
        assert_eq!(fs::metadata(m.upper(name)).unwrap().mode(), file.metadata().unwrap().mode());
        fs::remove_file(m.at(name)).unwrap();
        file.write_all_at(b"still", 1).unwrap();
    }
}

#[test]
fn truncating_at_open_empties() {
    let m = Mount::of(LOWER);
    let mut file = OpenOptions::new().read(true).write(true).truncate(true).open(m.at("f")).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 0);
    file.write_all(b"new").unwrap();
    file.rewind().unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "new");
    assert_eq!(m.text("f"), "new");
    // O_TRUNC with O_RDONLY is unspecified, and truncates on Linux.
    drop(OpenOptions::new().read(true).custom_flags(libc::O_TRUNC).open(m.at("f")).unwrap());
    assert_eq!(m.text("f"), "");
}

#[test]
fn appending_goes_to_the_end_whoever_moved_it() {
    let m = Mount::of(LOWER);
    let mut one = OpenOptions::new().append(true).open(m.at("f")).unwrap();
    let mut two = OpenOptions::new().append(true).read(true).open(m.at("f")).unwrap();
    one.write_all(b"one").unwrap();
    two.write_all(b"two").unwrap();
    one.seek(SeekFrom::Start(0)).unwrap();
    one.write_all(b"three").unwrap();
    assert_eq!(m.text("f"), "0123456789onetwothree");
    OpenOptions::new().write(true).open(m.at("f")).unwrap().set_len(2).unwrap();
    two.write_all(b"!").unwrap();
    assert_eq!(m.text("f"), "01!");
}

#[test]
fn exclusive_creation_wants_a_new_name() {
    let m = Mount::of(LOWER);
    for path in ["f", "d", "to-f"] {
        assert_eq!(errno(File::create_new(m.at(path))), Errno::EEXIST, "{path}");
    }
    File::create_new(m.at("new")).unwrap().write_all(b"x").unwrap();
    assert_eq!(errno(File::create_new(m.at("new"))), Errno::EEXIST);
    fs::remove_file(m.at("f")).unwrap();
    File::create_new(m.at("f")).unwrap().write_all(b"again").unwrap();
    assert_eq!(m.text("f"), "again");
    assert!(m.absent_in_upper("to-f"));
}

#[test]
fn creating_over_what_exists_opens_it() {
    let m = Mount::of(LOWER);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(m.at("to-f")).unwrap();
    file.write_all_at(b"X", 0).unwrap();
    assert_eq!(m.text("f"), "X123456789");
}

#[test]
fn kinds_are_refused_as_ever() {
    let m = Mount::of(LOWER);
    let open = |path: &str, flags| OpenOptions::new().read(true).custom_flags(flags).open(m.at(path));
    assert_eq!(errno(OpenOptions::new().write(true).open(m.at("d"))), Errno::EISDIR);
    assert_eq!(errno(open("f", libc::O_DIRECTORY)), Errno::ENOTDIR);
    assert_eq!(errno(open("to-f", libc::O_NOFOLLOW)), Errno::ELOOP);
    assert_eq!(errno(open("none", 0)), Errno::ENOENT);
    assert_eq!(errno(File::create(m.at("none/f"))), Errno::ENOENT);
    assert_eq!(errno(File::create(m.at("f/f"))), Errno::ENOTDIR);
    open("d", libc::O_DIRECTORY).unwrap();
    let path_only = open("f", libc::O_PATH).unwrap();
    assert_eq!(path_only.metadata().unwrap().len(), 10);
    assert!(m.absent_in_upper("f") && m.absent_in_upper("d"));
}

#[test]
fn direct_io_reads_and_writes() {
    let m = Mount::of("layer 1\nfile f size=64K seed=5\n");
    let before = fs::read(m.lower(1, "f")).unwrap();
    let mut buffer = sys::Aligned::new(8192);
    let direct =
        |write| OpenOptions::new().read(true).write(write).custom_flags(libc::O_DIRECT).open(m.at("f"));
    let file = match direct(false) {
        Ok(file) => file,
        // tmpfs before 6.6 has none, and then the union has none either.
        Err(e) => {
            let below = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(m.lower(1, "f"));
            assert_eq!(errno(below), sys::errno(&e));
            return;
        }
    };
    file.read_exact_at(buffer.bytes(), 4096).unwrap();
    assert_eq!(buffer.bytes(), &before[4096..12288]);
    let file = direct(true).unwrap();
    buffer.bytes().fill(b'D');
    file.write_all_at(buffer.bytes(), 16384).unwrap();
    let now = fs::read(m.at("f")).unwrap();
    assert_eq!(&now[16384..24576], [b'D'; 8192]);
    assert_eq!((&now[..16384], &now[24576..]), (&before[..16384], &before[24576..]));
    file.read_exact_at(buffer.bytes(), 20480).unwrap();
    assert_eq!(&buffer.bytes()[..4096], [b'D'; 4096]);
    assert_eq!(&buffer.bytes()[4096..], &before[24576..28672]);
}

#[test]
fn reopening_through_proc_gives_the_same_file() {
    let m = Mount::of(LOWER);
    let file = File::open(m.at("f")).unwrap();
    use std::os::fd::AsRawFd;
    let again = OpenOptions::new().write(true).open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    again.write_all_at(b"Z", 9).unwrap();
    let mut text = String::new();
    (&file).read_to_string(&mut text).unwrap();
    assert_eq!(text, "012345678Z");
}

#[test]
fn a_read_only_mode_binds_at_open() {
    needs!(Root);
    let m = Mount::of("layer 1\ndir d owner=64321:64321 mode=755\n");
    crate::support::as_user(64_321, 64_321, || {
        // Creating with a mode that forbids writing still gives a handle that writes.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o444).open(m.at("d/f")).unwrap();
        file.write_all(b"written").unwrap();
        assert_eq!(errno(OpenOptions::new().write(true).open(m.at("d/f"))), Errno::EACCES);
    });
    assert_eq!(m.text("d/f"), "written");
}

#[test]
fn a_running_program_is_left_whole() {
    // One from a layer, one from the upper.
    let layers = Setup::text("layer 1\ndir d\n").build();
    let program = fs::read("/bin/cat").unwrap();
    fs::copy("/bin/cat", layers.lower(1, "d/lower")).unwrap();
    let m = layers.mounted();
    fs::copy("/bin/cat", m.at("d/upper")).unwrap();
    for path in ["d/lower", "d/upper"] {
        // It runs until its input ends.
        let mut child = Command::new(m.at(path)).stdin(Stdio::piped()).spawn().unwrap();
        let open = |options: &mut OpenOptions| options.open(m.at(path));
        assert_eq!(errno(open(OpenOptions::new().write(true))), Errno::ETXTBSY, "{path}");
        assert_eq!(errno(open(OpenOptions::new().write(true).truncate(true))), Errno::ETXTBSY, "{path}");
        let emptied = open(OpenOptions::new().read(true).custom_flags(libc::O_TRUNC));
        assert_eq!(errno(emptied), Errno::ETXTBSY, "{path}");
        assert_eq!(errno(nix::unistd::truncate(&m.at(path), 0)), Errno::ETXTBSY, "{path}");
        // The kernel's overlay copies a lower file up, emptied, before it finds out that it runs.
        let kept = path == "d/upper" || Backend::current() == Backend::Lamina;
        assert!(!kept || fs::read(m.at(path)).unwrap() == program, "{path}");
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success(), "{path}");
    }
}
