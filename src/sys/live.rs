//! What it takes to talk to a live mount and to wait for its daemon.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

use super::{SysResult, owned, with_cstr};

/// The longest value an extended attribute may have (`XATTR_SIZE_MAX`).
pub const XATTR_SIZE_MAX: usize = 64 * 1024;

/// getxattr(2), of at most [`XATTR_SIZE_MAX`] bytes. The one place where a whole path is given: a mount is asked, not a
/// layer.
pub fn get_xattr(path: &Path, name: &CStr) -> SysResult<Vec<u8>> {
    let mut value = vec![0; XATTR_SIZE_MAX];
    let (room, size) = (value.as_mut_ptr().cast(), value.len());
    let len = with_cstr(path.as_os_str().as_bytes(), |path| {
        // SAFETY: both strings end in NUL, and the kernel writes at most `size` bytes to `room`.
        unsafe { libc::getxattr(path, name.as_ptr(), room, size) }
    })?;
    value.truncate(Errno::result(len)?.unsigned_abs());
    Ok(value)
}

/// pidfd_open(2): a descriptor that becomes readable when the process ends, and never means another process.
pub fn pidfd_open(pid: u32) -> SysResult<OwnedFd> {
    // SAFETY: the system call takes two numbers and returns a new descriptor.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    // Descriptors are of type int.
    owned(fd as libc::c_int)
}
