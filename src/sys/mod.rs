//! Safe wrappers of system calls: the only place with `unsafe`.
//!
//! Everything here takes a directory descriptor and **one** name, never follows a symlink in the last component, and
//! answers with the bare errno: the caller knows the path and the layer and adds them.

#![allow(unsafe_code)]

#[cfg(feature = "cli")]
pub mod daemon;
pub mod dirents;
pub mod file;
pub mod fs;
#[cfg(feature = "fuse")]
pub mod fuse_dev;
pub mod handle;
pub mod identity;
#[cfg(feature = "fuse")]
pub mod live;
pub mod map;
pub mod memory;
#[cfg(feature = "cli")]
pub mod sandbox;
pub mod selinux;
#[cfg(feature = "fuse")]
pub mod threads;
pub mod times;
#[cfg(feature = "cli")]
pub mod uring;
pub mod xattr;

use std::os::fd::{FromRawFd, OwnedFd};

use nix::NixPath;
use nix::errno::Errno;

/// The result of a bare system call.
pub type SysResult<T> = Result<T, Errno>;

/// Calls `f` with `bytes` as a C string; EINVAL for a NUL within.
fn with_cstr<T>(bytes: &[u8], f: impl FnOnce(*const libc::c_char) -> T) -> SysResult<T> {
    bytes.with_nix_path(|c| f(c.as_ptr()))
}

/// Takes a descriptor that a system call has just returned.
fn owned(fd: libc::c_int) -> SysResult<OwnedFd> {
    let fd = Errno::result(fd)?;
    // SAFETY: the kernel has just handed this descriptor out, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Repeats a call that a signal interrupted.
fn retry<T>(mut call: impl FnMut() -> SysResult<T>) -> SysResult<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}
