//! Devices, fifos and sockets.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::needs;
use crate::support::guard::wait_for;
use crate::support::{Errno, Mount, Setup, errno};

/// Sends a word through a fifo.
fn talk(m: &Mount, path: &str) {
    thread::scope(|scope| {
        scope.spawn(|| OpenOptions::new().write(true).open(m.at(path)).unwrap().write_all(b"word").unwrap());
        let mut text = String::new();
        File::open(m.at(path)).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "word");
    });
}

#[test]
fn a_fifo_connects_its_users() {
    let m = Setup::named("kinds").mount();
    talk(&m, "fifo");
    assert!(m.absent_in_upper("fifo") || m.upper("fifo").symlink_metadata().unwrap().file_type().is_fifo());
    fs::set_permissions(m.at("fifo"), Permissions::from_mode(0o600)).unwrap();
    assert!(m.upper("fifo").symlink_metadata().unwrap().file_type().is_fifo());
    talk(&m, "fifo");
    nix::unistd::mkfifo(&m.at("dir/new"), Mode::S_IRWXU).unwrap();
    talk(&m, "dir/new");
}

#[test]
fn a_socket_is_bound_and_found() {
    let m = Mount::of("layer 1\ndir d\n");
    let listener = UnixListener::bind(m.at("d/s")).unwrap();
    assert!(m.stat("d/s").file_type().is_socket());
    thread::scope(|scope| {
        scope.spawn(|| listener.accept().unwrap().0.write_all(b"hello").unwrap());
        let mut text = String::new();
        UnixStream::connect(m.at("d/s")).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    });
    drop(listener);
    // Until it runs its program, a child that another test just starts has a copy of the listener.
    wait_for("the end of the listener", || UnixStream::connect(m.at("d/s")).err());
    assert_eq!(errno(UnixStream::connect(m.at("d/s"))), Errno::ECONNREFUSED);
    assert_eq!(errno(UnixListener::bind(m.at("d/s"))), Errno::EADDRINUSE);
    fs::remove_file(m.at("d/s")).unwrap();
    UnixListener::bind(m.at("d/s")).unwrap();
}

#[test]
fn devices_work() {
    needs!(Root);
    let m = Setup::named("kinds").mount();
    let check = |path: &str| {
        assert!(m.stat(path).file_type().is_char_device(), "{path}");
        assert_eq!(m.stat(path).rdev(), makedev(1, 3), "{path}");
        let mut file = OpenOptions::new().read(true).write(true).open(m.at(path)).unwrap();
        file.write_all(b"into the void").unwrap();
        assert_eq!(file.read(&mut [0; 8]).unwrap(), 0);
    };
    check("null");
    assert!(m.absent_in_upper("null"), "writing to a device is no change of the device's name");
    fs::set_permissions(m.at("null"), Permissions::from_mode(0o600)).unwrap();
    assert_eq!(m.upper("null").symlink_metadata().unwrap().rdev(), makedev(1, 3));
    check("null");
    mknod(&m.at("dir/made"), SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 3)).unwrap();
    check("dir/made");
    mknod(&m.at("dir/block"), SFlag::S_IFBLK, Mode::S_IRWXU, makedev(7, 9)).unwrap();
    assert!(m.stat("dir/block").file_type().is_block_device());
    assert_eq!(m.stat("dir/block").rdev(), makedev(7, 9));
    // Both halves of large numbers.
    mknod(&m.at("dir/large"), SFlag::S_IFCHR, Mode::S_IRWXU, makedev(259, 1_048_575)).unwrap();
    assert_eq!(m.stat("dir/large").rdev(), makedev(259, 1_048_575));
}

#[test]
fn nobody_makes_a_whiteout_through_the_mount() {
    needs!(Capabilities);
    let m = Mount::of("layer 1\nfile f \"x\"\n");
    let made = mknod(&m.at("w"), SFlag::S_IFCHR, Mode::S_IRWXU, makedev(0, 0));
    assert_eq!(errno(made), Errno::EPERM);
    assert!(m.absent("w") && m.absent_in_upper("w"));
}

#[test]
fn ordinary_users_make_no_devices() {
    needs!(Root);
    let m = Mount::of("layer 1\ndir d mode=1777\n");
    crate::support::as_user(64_321, 64_321, || {
        let made = mknod(&m.at("d/null"), SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 3));
        assert_eq!(errno(made), Errno::EPERM);
    });
}

#[test]
fn nodev_is_honoured() {
    needs!(Root);
    let m = Setup::named("kinds").options("nodev").mount();
    assert_eq!(errno(File::open(m.at("null"))), Errno::EACCES);
    assert!(m.stat("null").file_type().is_char_device());
}

#[test]
fn special_files_are_renamed_linked_and_removed() {
    needs!(StableNumbers);
    let m = Setup::named("kinds").mount();
    for name in ["fifo", "socket"] {
        let new = format!("dir/{name}");
        let mode = m.stat(name).mode();
        fs::rename(m.at(name), m.at(&new)).unwrap();
        assert_eq!(m.stat(&new).mode(), mode);
        assert!(m.absent(name) && m.whiteout_in_upper(name));
        fs::hard_link(m.at(&new), m.at(name)).unwrap();
        assert_eq!((m.stat(name).mode(), m.stat(name).ino()), (mode, m.stat(&new).ino()));
        fs::remove_file(m.at(name)).unwrap();
        fs::remove_file(m.at(&new)).unwrap();
    }
    let m = m.remount();
    assert!(m.absent("fifo") && m.absent("dir/fifo"));
    let nonblocking = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(m.at("fifo"));
    assert_eq!(errno(nonblocking), Errno::ENOENT);
}
