//! Data: reading, writing, holes, copies.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

use super::{SysResult, retry, with_cstr};

/// pread(2).
pub fn read_at(fd: BorrowedFd<'_>, buf: &mut [u8], offset: u64) -> SysResult<usize> {
    let offset = to_off(offset)?;
    retry(|| {
        // SAFETY: the buffer's length is given.
        let n = unsafe { libc::pread(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len(), offset) };
        Errno::result(n).map(|n| n as usize)
    })
}

/// pread(2) until the buffer is full or the file ends.
pub fn read_full_at(fd: BorrowedFd<'_>, buf: &mut [u8], offset: u64) -> SysResult<usize> {
    let mut done = 0;
    while done < buf.len() {
        match read_at(fd, &mut buf[done..], offset + done as u64)? {
            0 => break,
            n => done += n,
        }
    }
    Ok(done)
}

/// pwrite(2) until all is written; an error after some bytes is a short count.
pub fn write_full_at(fd: BorrowedFd<'_>, data: &[u8], offset: u64) -> SysResult<usize> {
    let mut done = 0;
    while done < data.len() {
        let at = to_off(offset + done as u64)?;
        let rest = &data[done..];
        // SAFETY: the buffer's length is given.
        let n = retry(|| {
            Errno::result(unsafe { libc::pwrite(fd.as_raw_fd(), rest.as_ptr().cast(), rest.len(), at) })
        });
        match n {
            Ok(0) => break,
            Ok(n) => done += n as usize,
            Err(_) if done > 0 => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(done)
}

/// ftruncate(2).
pub fn truncate(fd: BorrowedFd<'_>, size: u64) -> SysResult<()> {
    let size = to_off(size)?;
    // SAFETY: the descriptor is borrowed for the call.
    retry(|| Errno::result(unsafe { libc::ftruncate(fd.as_raw_fd(), size) })).map(drop)
}

/// truncate(2) of an open file, through /proc. Unlike ftruncate(2) it leaves the times alone where the size is as it
/// was.
pub fn truncate_by_path(fd: BorrowedFd<'_>, size: u64) -> SysResult<()> {
    let size = to_off(size)?;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    // SAFETY: `path` is a C string.
    retry(|| {
        with_cstr(path.as_bytes(), |path| Errno::result(unsafe { libc::truncate(path, size) }))?.map(drop)
    })
}

/// fallocate(2).
pub fn fallocate(fd: BorrowedFd<'_>, mode: i32, offset: u64, len: u64) -> SysResult<()> {
    let (offset, len) = (to_off(offset)?, to_off(len)?);
    // SAFETY: the descriptor is borrowed for the call.
    retry(|| Errno::result(unsafe { libc::fallocate(fd.as_raw_fd(), mode, offset, len) })).map(drop)
}

/// lseek(2) with SEEK_DATA or SEEK_HOLE.
pub fn seek(fd: BorrowedFd<'_>, offset: u64, whence: i32) -> SysResult<u64> {
    let offset = to_off(offset)?;
    // SAFETY: the descriptor is borrowed for the call.
    let at = unsafe { libc::lseek(fd.as_raw_fd(), offset, whence) };
    Errno::result(at).map(|at| at as u64)
}

/// fsync(2).
pub fn fsync(fd: BorrowedFd<'_>) -> SysResult<()> {
    // SAFETY: the descriptor is borrowed for the call.
    retry(|| Errno::result(unsafe { libc::fsync(fd.as_raw_fd()) })).map(drop)
}

/// fdatasync(2).
pub fn fdatasync(fd: BorrowedFd<'_>) -> SysResult<()> {
    // SAFETY: the descriptor is borrowed for the call.
    retry(|| Errno::result(unsafe { libc::fdatasync(fd.as_raw_fd()) })).map(drop)
}

/// copy_file_range(2), one call.
pub fn copy_range(from: (BorrowedFd<'_>, u64), to: (BorrowedFd<'_>, u64), len: usize) -> SysResult<usize> {
    let (mut from_at, mut to_at) = (to_off(from.1)?, to_off(to.1)?);
    // SAFETY: both offsets live through the call.
    let n = unsafe {
        libc::copy_file_range(from.0.as_raw_fd(), &mut from_at, to.0.as_raw_fd(), &mut to_at, len, 0)
    };
    Errno::result(n).map(|n| n as usize)
}

/// Does this directory take names that differ in case for the same (FS_CASEFOLD_FL of ioctl_iflags(2))? Where a file system
/// has no such flags, it does not.
pub fn ignores_case(dir: BorrowedFd<'_>) -> bool {
    /// linux/fs.h.
    const FS_CASEFOLD_FL: u32 = 0x4000_0000;
    // The number says long, the kernel writes an int: the first half.
    let mut flags = [0u32; 2];
    // SAFETY: the kernel writes one int, and the buffer holds a long.
    let rc = unsafe { libc::ioctl(dir.as_raw_fd(), libc::FS_IOC_GETFLAGS as _, flags.as_mut_ptr()) };
    rc == 0 && flags[0] & FS_CASEFOLD_FL != 0
}

/// ioctl FICLONE: `to` shares all data of `from`, where the file system can.
pub fn clone_whole(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> SysResult<()> {
    // SAFETY: FICLONE takes a descriptor as its argument.
    Errno::result(unsafe { libc::ioctl(to.as_raw_fd(), libc::FICLONE, from.as_raw_fd()) }).map(drop)
}

/// Offsets above i64::MAX do not exist: EINVAL.
fn to_off(offset: u64) -> SysResult<libc::off_t> {
    libc::off_t::try_from(offset).map_err(|_| Errno::EINVAL)
}
