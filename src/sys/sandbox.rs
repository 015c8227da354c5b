//! What a sandbox needs of the system, and neither the standard library nor nix has.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::SysResult;

/// Makes a mount, and all below it, read-only: mount_setattr(2), Linux 5.12.
pub fn set_read_only(mount: BorrowedFd<'_>) -> SysResult<()> {
    let attributes =
        libc::mount_attr { attr_set: libc::MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    // SAFETY: the path is an empty C string, and the structure is as long as the last argument says.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &attributes as *const libc::mount_attr,
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(rc).map(drop)
}

/// Closes every descriptor above the standard streams.
///
/// **Whatever owns one must not be used or dropped afterwards**: the process must end by [`super::daemon::leave`] or by
/// executing a program.
pub fn close_all() -> SysResult<()> {
    let first = libc::STDERR_FILENO as libc::c_uint + 1;
    // SAFETY: the call touches no memory. Who owned the descriptors is never heard of again, as the contract says.
    let rc = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
    Errno::result(rc).map(drop)
}

/// Has a signal do what it does by default.
pub fn default_action(signal: Signal) -> SysResult<()> {
    let action = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler is installed.
    unsafe { sigaction(signal, &action) }.map(drop)
}

/// Executes a program. Returns only when that fails.
pub fn execute(program: &CStr, words: &[&CStr], environment: &[&CStr]) -> Errno {
    match nix::unistd::execve(program, words, environment) {
        Err(errno) => errno,
    }
}
