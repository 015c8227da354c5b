//! Who this process is and what it may do.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

use super::SysResult;

/// The effective user and group.
pub fn effective() -> (u32, u32) {
    // SAFETY: these calls cannot fail and touch no memory.
    unsafe { (libc::geteuid(), libc::getegid()) }
}

/// Is this the first user namespace, the one that everything belongs to? Its id map is the whole range as itself.
pub fn in_first_user_namespace() -> bool {
    std::fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]))
}

/// The uuid of a file system, by ioctl FS_IOC_GETFSUUID (Linux 6.9); ENOTTY where it has none.
pub fn fs_uuid(fd: BorrowedFd<'_>) -> SysResult<[u8; 16]> {
    /// struct fsuuid2 of include/uapi/linux/fs.h.
    #[repr(C)]
    struct FsUuid2 {
        len: u8,
        uuid: [u8; 16],
    }
    /// _IOR(0x15, 0, struct fsuuid2)
    const FS_IOC_GETFSUUID: libc::c_ulong = 0x8011_1500;
    let mut uuid = FsUuid2 { len: 0, uuid: [0; 16] };
    // SAFETY: the argument is a structure of the size that the request's number carries.
    let rc = unsafe { libc::ioctl(fd.as_raw_fd(), FS_IOC_GETFSUUID as _, &mut uuid as *mut FsUuid2) };
    Errno::result(rc)?;
    if uuid.len == 16 { Ok(uuid.uuid) } else { Err(Errno::ENOTTY) }
}
