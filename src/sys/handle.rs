//! File handles: a name for an inode that survives renames and remounts.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

use super::fs::At;
use super::{SysResult, owned, with_cstr};

/// The longest handle the kernel makes (MAX_HANDLE_SZ).
const MAX_HANDLE: usize = 128;

/// struct file_handle, with room for the longest.
#[repr(C)]
struct Raw {
    bytes: u32,
    kind: i32,
    handle: [u8; MAX_HANDLE],
}

/// A file handle as the file system made it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileHandle {
    /// The file system's type of handle; fits a byte for those the kernel's overlay stores.
    pub kind: i32,
    /// The handle itself.
    pub bytes: Vec<u8>,
}

/// name_to_handle_at(2); needs no privilege. EOPNOTSUPP where the file system has no handles.
pub fn of(at: At<'_>) -> SysResult<FileHandle> {
    let (dir, path, flags) = at.parts();
    let mut raw = Raw { bytes: MAX_HANDLE as u32, kind: 0, handle: [0; MAX_HANDLE] };
    let mut mount = 0i32;
    // SAFETY: `path` is a C string and `raw` has the room its length says.
    let rc = with_cstr(path, |path| unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            dir,
            path,
            &mut raw as *mut Raw,
            &mut mount as *mut i32,
            flags & libc::AT_EMPTY_PATH,
        )
    })?;
    Errno::result(rc)?;
    let len = (raw.bytes as usize).min(MAX_HANDLE);
    Ok(FileHandle { kind: raw.kind, bytes: raw.handle[..len].to_vec() })
}

/// open_by_handle_at(2), as an O_PATH descriptor; needs CAP_DAC_READ_SEARCH. `mount` is any descriptor on the file
/// system that is not O_PATH. ESTALE where the object is gone.
pub fn open(mount: BorrowedFd<'_>, handle: &FileHandle) -> SysResult<OwnedFd> {
    if handle.bytes.len() > MAX_HANDLE {
        return Err(Errno::EINVAL);
    }
    let mut raw = Raw { bytes: handle.bytes.len() as u32, kind: handle.kind, handle: [0; MAX_HANDLE] };
    raw.handle[..handle.bytes.len()].copy_from_slice(&handle.bytes);
    // SAFETY: `raw` lives through the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_open_by_handle_at,
            mount.as_raw_fd(),
            &mut raw as *mut Raw,
            libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC,
        )
    };
    owned(fd as libc::c_int)
}
