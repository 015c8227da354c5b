//! What it takes to talk to a live mount and to wait for its daemon.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

/// The longest value an extended attribute may have (`XATTR_SIZE_MAX`).
pub const XATTR_SIZE_MAX: usize = 64 * 1024;

/// getxattr(2), of at most [`XATTR_SIZE_MAX`] bytes.
pub fn get_xattr(path: &Path, name: &CStr) -> io::Result<Vec<u8>> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut value = vec![0; XATTR_SIZE_MAX];
    // SAFETY: both strings end in NUL, and the kernel writes at most `value.len()` bytes into `value`.
    let len = Errno::result(unsafe {
        libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len())
    })?;
    value.truncate(usize::try_from(len).unwrap_or(0));
    Ok(value)
}

/// pidfd_open(2): a descriptor that becomes readable when the process ends, and never means another process.
pub fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: the system call takes two numbers and returns a new descriptor, which nobody else owns.
    unsafe {
        let fd = Errno::result(libc::syscall(libc::SYS_pidfd_open, pid, 0))?;
        let fd = i32::try_from(fd).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}
