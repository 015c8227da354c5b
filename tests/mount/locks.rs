//! Locks: flock(2), and fcntl(2)'s that belong to open files and to processes.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsFd;
use std::process::Command;

use nix::fcntl::{Flock, FlockArg};

use crate::support::sys::lock_whole_file;
use crate::support::{Errno, Mount, errno};

fn open(m: &Mount) -> File {
    OpenOptions::new().read(true).write(true).open(m.at("f")).unwrap()
}

#[test]
fn flock_keeps_others_out() {
    let m = Mount::of("layer 1\nfile f \"x\"\n");
    let first = Flock::lock(open(&m), FlockArg::LockExclusiveNonblock).unwrap();
    let (_, error) = Flock::lock(open(&m), FlockArg::LockSharedNonblock).unwrap_err();
    assert_eq!(error, Errno::EWOULDBLOCK);
    first.unlock().unwrap();
    let one = Flock::lock(open(&m), FlockArg::LockSharedNonblock).unwrap();
    let two = Flock::lock(open(&m), FlockArg::LockSharedNonblock).unwrap();
    assert!(Flock::lock(open(&m), FlockArg::LockExclusiveNonblock).is_err());
    drop((one, two));
    Flock::lock(open(&m), FlockArg::LockExclusiveNonblock).unwrap();
}

#[test]
fn a_lock_on_a_lower_file_survives_its_copy() {
    let m = Mount::of("layer 1\nfile f \"x\"\n");
    let lock = Flock::lock(File::open(m.at("f")).unwrap(), FlockArg::LockExclusiveNonblock).unwrap();
    fs::write(m.at("f"), "copied").unwrap();
    let (_, error) =
        Flock::lock(File::open(m.at("f")).unwrap(), FlockArg::LockExclusiveNonblock).unwrap_err();
    assert_eq!(error, Errno::EWOULDBLOCK);
    drop(lock);
    Flock::lock(open(&m), FlockArg::LockExclusiveNonblock).unwrap();
}

#[test]
fn open_file_locks_keep_others_out() {
    let m = Mount::of("layer 1\nfile f \"x\"\n");
    let (one, two) = (open(&m), open(&m));
    let lock = |file: &File, kind| lock_whole_file(file.as_fd(), libc::F_OFD_SETLK, kind);
    lock(&one, libc::F_WRLCK).unwrap();
    assert_eq!(errno(lock(&two, libc::F_RDLCK)), Errno::EAGAIN);
    lock(&one, libc::F_RDLCK).unwrap();
    lock(&two, libc::F_RDLCK).unwrap();
    assert_eq!(errno(lock(&two, libc::F_WRLCK)), Errno::EAGAIN);
    lock(&one, libc::F_UNLCK).unwrap();
    lock(&two, libc::F_WRLCK).unwrap();
}

#[test]
fn locks_of_other_processes_count() {
    let m = Mount::of("layer 1\nfile f \"x\"\n");
    let lock = Flock::lock(open(&m), FlockArg::LockExclusiveNonblock).unwrap();
    let try_lock = || Command::new("flock").arg("-n").arg(m.at("f")).arg("true").status().unwrap();
    assert!(!try_lock().success());
    drop(lock);
    assert!(try_lock().success());
}
