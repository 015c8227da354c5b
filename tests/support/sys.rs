//! System calls that the tests need and that neither std nor nix offers safely.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

type Result<T> = std::result::Result<T, Errno>;

/// A path as C has it. Paths of tests hold no NUL byte.
fn c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("a path without NUL")
}

fn c_name(name: &[u8]) -> CString {
    CString::new(name).expect("a name without NUL")
}

/// How [`set_xattr`] treats what exists.
#[derive(Debug, Clone, Copy)]
pub enum SetXattr {
    Always,
    Create,
    Replace,
}

/// lsetxattr(2).
pub fn set_xattr(path: &Path, name: &[u8], value: &[u8], how: SetXattr) -> Result<()> {
    let flags = match how {
        SetXattr::Always => 0,
        SetXattr::Create => libc::XATTR_CREATE,
        SetXattr::Replace => libc::XATTR_REPLACE,
    };
    let (path, name) = (c(path), c_name(name));
    // SAFETY: both strings end in NUL; the value is read for its own length only.
    let rc =
        unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), flags) };
    Errno::result(rc).map(drop)
}

/// lgetxattr(2), the whole value.
pub fn get_xattr(path: &Path, name: &[u8]) -> Result<Vec<u8>> {
    let mut value = vec![0; 1 << 16];
    let n = get_xattr_into(path, name, &mut value)?;
    value.truncate(n);
    Ok(value)
}

/// lgetxattr(2) into a buffer of the caller's; an empty one asks for the size.
pub fn get_xattr_into(path: &Path, name: &[u8], value: &mut [u8]) -> Result<usize> {
    let (path, name) = (c(path), c_name(name));
    // SAFETY: both strings end in NUL; the kernel writes at most the buffer's length.
    let n = unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    Errno::result(n).map(|n| n as usize)
}

/// llistxattr(2), sorted.
pub fn list_xattr(path: &Path) -> Result<Vec<Vec<u8>>> {
    let mut names = vec![0u8; 1 << 16];
    let path = c(path);
    // SAFETY: the string ends in NUL; the kernel writes at most the buffer's length.
    let n = unsafe { libc::llistxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    let n = Errno::result(n)? as usize;
    let mut list: Vec<Vec<u8>> =
        names[..n].split(|b| *b == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect();
    list.sort();
    Ok(list)
}

/// lremovexattr(2).
pub fn remove_xattr(path: &Path, name: &[u8]) -> Result<()> {
    let (path, name) = (c(path), c_name(name));
    // SAFETY: both strings end in NUL.
    Errno::result(unsafe { libc::lremovexattr(path.as_ptr(), name.as_ptr()) }).map(drop)
}

/// statx(2) of the name itself, everything asked for, the file system asked anew.
pub fn statx(path: &Path) -> Result<libc::statx> {
    let path = c(path);
    let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_STATX_FORCE_SYNC;
    // SAFETY: statx is plain data, for which zeroes are a value; the kernel fills one structure.
    unsafe {
        let mut out: libc::statx = std::mem::zeroed();
        Errno::result(libc::statx(
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            libc::STATX_BASIC_STATS | libc::STATX_BTIME,
            &mut out,
        ))?;
        Ok(out)
    }
}

/// Makes **the calling thread** an ordinary user without groups or capabilities, for good. The kernel keeps
/// credentials per thread; libc's own wrappers would change the whole process.
pub fn become_user(uid: u32, gid: u32) -> Result<()> {
    // SAFETY: no pointers but the empty list.
    unsafe {
        Errno::result(libc::syscall(libc::SYS_setgroups, 0usize, std::ptr::null::<libc::gid_t>()))?;
        Errno::result(libc::syscall(libc::SYS_setresgid, gid, gid, gid))?;
        Errno::result(libc::syscall(libc::SYS_setresuid, uid, uid, uid))?;
    }
    Ok(())
}

/// Gives **the calling thread** a umask and working directory of its own (unshare CLONE_FS).
pub fn own_umask(umask: u32) -> Result<()> {
    // SAFETY: no pointers.
    Errno::result(unsafe { libc::unshare(libc::CLONE_FS) })?;
    // SAFETY: as above; umask cannot fail.
    unsafe { libc::umask(umask) };
    Ok(())
}

/// fallocate(2) with raw modes.
pub fn fallocate(fd: BorrowedFd<'_>, mode: i32, offset: i64, len: i64) -> Result<()> {
    // SAFETY: no pointers.
    Errno::result(unsafe { libc::fallocate(fd.as_raw_fd(), mode, offset, len) }).map(drop)
}

/// renameat2(2) with raw flags.
pub fn rename_with(from: &Path, to: &Path, flags: u32) -> Result<()> {
    let (from, to) = (c(from), c(to));
    // SAFETY: both strings end in NUL.
    Errno::result(unsafe {
        libc::renameat2(libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), flags)
    })
    .map(drop)
}

/// Gives the unnamed file behind `fd` (O_TMPFILE) a name, through /proc as open(2) describes.
pub fn link_fd(fd: BorrowedFd<'_>, to: &Path) -> Result<()> {
    let (from, to) = (c_name(format!("/proc/self/fd/{}", fd.as_raw_fd()).as_bytes()), c(to));
    // SAFETY: both strings end in NUL.
    Errno::result(unsafe {
        libc::linkat(libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), libc::AT_SYMLINK_FOLLOW)
    })
    .map(drop)
}

/// A directory stream with its positions.
pub struct DirStream(*mut libc::DIR);

/// What readdir(3) says of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirItem {
    pub name: Vec<u8>,
    pub ino: u64,
    /// `DT_…`
    pub kind: u8,
}

impl DirStream {
    pub fn open(path: &Path) -> Result<Self> {
        let path = c(path);
        // SAFETY: the string ends in NUL; the stream is closed once, by Drop.
        let dir = unsafe { libc::opendir(path.as_ptr()) };
        if dir.is_null() { Err(Errno::last()) } else { Ok(DirStream(dir)) }
    }

    pub fn next(&mut self) -> Result<Option<DirItem>> {
        Errno::clear();
        // SAFETY: the stream is open; the entry lives until the next call, and is copied here.
        unsafe {
            let entry = libc::readdir64(self.0);
            if entry.is_null() {
                return match Errno::last_raw() {
                    0 => Ok(None),
                    raw => Err(Errno::from_raw(raw)),
                };
            }
            let name = CStr::from_ptr((*entry).d_name.as_ptr()).to_bytes().to_vec();
            Ok(Some(DirItem { name, ino: (*entry).d_ino, kind: (*entry).d_type }))
        }
    }

    pub fn tell(&self) -> i64 {
        // SAFETY: the stream is open.
        unsafe { libc::telldir(self.0) }
    }

    pub fn seek(&mut self, position: i64) {
        // SAFETY: the stream is open; the position is one that `tell` gave.
        unsafe { libc::seekdir(self.0, position) }
    }

    pub fn rewind(&mut self) {
        // SAFETY: the stream is open.
        unsafe { libc::rewinddir(self.0) }
    }
}

impl Drop for DirStream {
    fn drop(&mut self) {
        // SAFETY: the stream is open and not used again. Reading directories leaves nothing to fail at closing.
        unsafe { libc::closedir(self.0) };
    }
}

/// A shared mapping of a file.
pub struct SharedMap {
    at: *mut u8,
    len: usize,
}

/// What a mapping may do.
#[derive(Debug, Clone, Copy)]
pub enum MapAccess {
    Read,
    ReadWrite,
}

impl SharedMap {
    pub fn new(fd: BorrowedFd<'_>, len: usize, access: MapAccess) -> Result<Self> {
        let prot = match access {
            MapAccess::Read => libc::PROT_READ,
            MapAccess::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
        };
        // SAFETY: a new mapping at an address of the kernel's choice; unmapped once, by Drop.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, libc::MAP_SHARED, fd.as_raw_fd(), 0) };
        if at == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(SharedMap { at: at.cast(), len }) }
    }

    pub fn read(&self, offset: usize, len: usize) -> Vec<u8> {
        assert!(offset + len <= self.len);
        // SAFETY: within the mapping (checked); volatile, since others may write the file meanwhile.
        (offset..offset + len).map(|i| unsafe { self.at.add(i).read_volatile() }).collect()
    }

    pub fn write(&mut self, offset: usize, data: &[u8]) {
        assert!(offset + data.len() <= self.len);
        for (i, byte) in data.iter().enumerate() {
            // SAFETY: within the mapping (checked).
            unsafe { self.at.add(offset + i).write_volatile(*byte) };
        }
    }

    /// msync(2), MS_SYNC.
    pub fn sync(&self) -> Result<()> {
        // SAFETY: exactly the mapping.
        Errno::result(unsafe { libc::msync(self.at.cast(), self.len, libc::MS_SYNC) }).map(drop)
    }
}

impl Drop for SharedMap {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping, not used again.
        unsafe { libc::munmap(self.at.cast(), self.len) };
    }
}

/// Memory aligned for O_DIRECT.
pub struct Aligned {
    at: *mut u8,
    layout: std::alloc::Layout,
}

impl Aligned {
    pub fn new(len: usize) -> Self {
        let layout = std::alloc::Layout::from_size_align(len, 4096).expect("a sane size");
        // SAFETY: the size is not zero in any test; freed with the same layout by Drop.
        let at = unsafe { std::alloc::alloc_zeroed(layout) };
        assert!(!at.is_null());
        Aligned { at, layout }
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: allocated, zeroed, and borrowed through `self`.
        unsafe { std::slice::from_raw_parts_mut(self.at, self.layout.size()) }
    }
}

impl Drop for Aligned {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout and not used again.
        unsafe { std::alloc::dealloc(self.at, self.layout) };
    }
}

/// A POSIX or open-file-description lock on a whole file, not waiting.
pub fn lock_whole_file(fd: BorrowedFd<'_>, command: i32, kind: i32) -> Result<()> {
    // SAFETY: flock is plain data, for which zeroes are a value; it outlives the call.
    unsafe {
        let mut lock: libc::flock = std::mem::zeroed();
        lock.l_type = kind as libc::c_short;
        lock.l_whence = libc::SEEK_SET as libc::c_short;
        Errno::result(libc::fcntl(fd.as_raw_fd(), command, &lock)).map(drop)
    }
}

/// An errno as the tests compare it.
pub fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}
