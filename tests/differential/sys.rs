//! The system calls of the test, unadorned: what nix lacks or dresses up, returning the bare errno.
#![allow(unsafe_code)]

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::errno::Errno;

pub type Sys<T> = Result<T, Errno>;

fn cstr(path: impl AsRef<OsStr>) -> Sys<CString> {
    CString::new(path.as_ref().as_bytes()).map_err(|_| Errno::EINVAL)
}

fn unit(result: impl Into<i64>) -> Sys<()> {
    if result.into() < 0 { Err(Errno::last()) } else { Ok(()) }
}

fn count(result: impl Into<i64>) -> Sys<usize> {
    let result = result.into();
    if result < 0 { Err(Errno::last()) } else { Ok(result as usize) }
}

/// Every attribute `statx` gives that two mounts can be compared by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    pub mode: u32,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub blocks: u64,
    pub rdev: (u32, u32),
    pub dev: (u32, u32),
    pub ino: u64,
    pub atime: (i64, u32),
    pub mtime: (i64, u32),
    pub ctime: (i64, u32),
    pub btime: Option<(i64, u32)>,
}

impl Stat {
    pub fn kind(&self) -> u32 {
        self.mode & libc::S_IFMT
    }
    pub fn is_dir(&self) -> bool {
        self.kind() == libc::S_IFDIR
    }
    pub fn is_file(&self) -> bool {
        self.kind() == libc::S_IFREG
    }
    pub fn is_symlink(&self) -> bool {
        self.kind() == libc::S_IFLNK
    }
}

fn statx(dir: libc::c_int, path: &CString, flags: libc::c_int) -> Sys<Stat> {
    let mut raw: libc::statx = unsafe { std::mem::zeroed() };
    let mask = libc::STATX_BASIC_STATS | libc::STATX_BTIME;
    unit(unsafe { libc::statx(dir, path.as_ptr(), flags | libc::AT_SYMLINK_NOFOLLOW, mask, &mut raw) })?;
    let time = |t: libc::statx_timestamp| (t.tv_sec, t.tv_nsec);
    Ok(Stat {
        mode: u32::from(raw.stx_mode),
        nlink: raw.stx_nlink,
        uid: raw.stx_uid,
        gid: raw.stx_gid,
        size: raw.stx_size,
        blocks: raw.stx_blocks,
        rdev: (raw.stx_rdev_major, raw.stx_rdev_minor),
        dev: (raw.stx_dev_major, raw.stx_dev_minor),
        ino: raw.stx_ino,
        atime: time(raw.stx_atime),
        mtime: time(raw.stx_mtime),
        ctime: time(raw.stx_ctime),
        btime: (raw.stx_mask & libc::STATX_BTIME != 0).then(|| time(raw.stx_btime)),
    })
}

pub fn lstat(path: &Path) -> Sys<Stat> {
    statx(libc::AT_FDCWD, &cstr(path)?, 0)
}

pub fn fstat(fd: BorrowedFd<'_>) -> Sys<Stat> {
    statx(fd.as_raw_fd(), &CString::default(), libc::AT_EMPTY_PATH)
}

pub fn open(path: &Path, flags: i32, mode: u32) -> Sys<OwnedFd> {
    let path = cstr(path)?;
    let fd = unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, mode) };
    unit(fd)?;
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn as_dir(dir: BorrowedFd<'_>, name: &Path) -> Sys<(libc::c_int, CString)> {
    Ok((dir.as_raw_fd(), cstr(name)?))
}

pub fn openat(dir: BorrowedFd<'_>, name: &Path, flags: i32, mode: u32) -> Sys<OwnedFd> {
    let (dir, name) = as_dir(dir, name)?;
    let fd = unsafe { libc::openat(dir, name.as_ptr(), flags | libc::O_CLOEXEC, mode) };
    unit(fd)?;
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub fn mkdirat(dir: BorrowedFd<'_>, name: &Path, mode: u32) -> Sys<()> {
    let (dir, name) = as_dir(dir, name)?;
    unit(unsafe { libc::mkdirat(dir, name.as_ptr(), mode) })
}

pub fn unlinkat(dir: BorrowedFd<'_>, name: &Path) -> Sys<()> {
    let (dir, name) = as_dir(dir, name)?;
    unit(unsafe { libc::unlinkat(dir, name.as_ptr(), 0) })
}

pub fn lstatat(dir: BorrowedFd<'_>, name: &Path) -> Sys<Stat> {
    let (dir, name) = as_dir(dir, name)?;
    statx(dir, &name, 0)
}

pub fn pread(fd: BorrowedFd<'_>, buf: &mut [u8], offset: u64) -> Sys<usize> {
    count(unsafe { libc::pread(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len(), offset as i64) } as i64)
}

pub fn read(fd: BorrowedFd<'_>, buf: &mut [u8]) -> Sys<usize> {
    count(unsafe { libc::read(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) } as i64)
}

pub fn pwrite(fd: BorrowedFd<'_>, buf: &[u8], offset: u64) -> Sys<usize> {
    count(unsafe { libc::pwrite(fd.as_raw_fd(), buf.as_ptr().cast(), buf.len(), offset as i64) } as i64)
}

pub fn write(fd: BorrowedFd<'_>, buf: &[u8]) -> Sys<usize> {
    count(unsafe { libc::write(fd.as_raw_fd(), buf.as_ptr().cast(), buf.len()) } as i64)
}

pub fn lseek(fd: BorrowedFd<'_>, offset: i64, whence: i32) -> Sys<u64> {
    count(unsafe { libc::lseek(fd.as_raw_fd(), offset, whence) }).map(|at| at as u64)
}

pub fn truncate(path: &Path, len: u64) -> Sys<()> {
    let path = cstr(path)?;
    unit(unsafe { libc::truncate(path.as_ptr(), len as i64) })
}

pub fn ftruncate(fd: BorrowedFd<'_>, len: u64) -> Sys<()> {
    unit(unsafe { libc::ftruncate(fd.as_raw_fd(), len as i64) })
}

pub fn fallocate(fd: BorrowedFd<'_>, mode: i32, offset: u64, len: u64) -> Sys<()> {
    unit(unsafe { libc::fallocate(fd.as_raw_fd(), mode, offset as i64, len as i64) })
}

pub fn fsync(fd: BorrowedFd<'_>) -> Sys<()> {
    unit(unsafe { libc::fsync(fd.as_raw_fd()) })
}

pub fn copy_file_range(
    from: BorrowedFd<'_>,
    at: u64,
    to: BorrowedFd<'_>,
    to_at: u64,
    len: usize,
) -> Sys<usize> {
    let (mut at, mut to_at) = (at as i64, to_at as i64);
    count(unsafe { libc::copy_file_range(from.as_raw_fd(), &mut at, to.as_raw_fd(), &mut to_at, len, 0) }
        as i64)
}

/// Writes `byte` at `offset` through a shared mapping; the caller has checked that the file reaches that far.
pub fn mmap_poke(fd: BorrowedFd<'_>, offset: u64, byte: u8) -> Sys<()> {
    let page = offset / 4096 * 4096;
    unsafe {
        let at = libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            fd.as_raw_fd(),
            page as i64,
        );
        if at == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        at.cast::<u8>().add((offset - page) as usize).write_volatile(byte);
        let synced = unit(libc::msync(at, 4096, libc::MS_SYNC));
        unit(libc::munmap(at, 4096))?;
        synced
    }
}

pub fn mkdir(path: &Path, mode: u32) -> Sys<()> {
    let path = cstr(path)?;
    unit(unsafe { libc::mkdir(path.as_ptr(), mode) })
}

pub fn rmdir(path: &Path) -> Sys<()> {
    let path = cstr(path)?;
    unit(unsafe { libc::rmdir(path.as_ptr()) })
}

pub fn unlink(path: &Path) -> Sys<()> {
    let path = cstr(path)?;
    unit(unsafe { libc::unlink(path.as_ptr()) })
}

pub fn rename(from: &Path, to: &Path, flags: u32) -> Sys<()> {
    let (from, to) = (cstr(from)?, cstr(to)?);
    unit(unsafe { libc::renameat2(libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), flags) })
}

pub fn link(from: &Path, to: &Path) -> Sys<()> {
    let (from, to) = (cstr(from)?, cstr(to)?);
    unit(unsafe { libc::linkat(libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), 0) })
}

pub fn link_fd(fd: BorrowedFd<'_>, to: &Path) -> Sys<()> {
    let (empty, to) = (CString::default(), cstr(to)?);
    unit(unsafe {
        libc::linkat(fd.as_raw_fd(), empty.as_ptr(), libc::AT_FDCWD, to.as_ptr(), libc::AT_EMPTY_PATH)
    })
}

pub fn symlink(target: &Path, at: &Path) -> Sys<()> {
    let (target, at) = (cstr(target)?, cstr(at)?);
    unit(unsafe { libc::symlink(target.as_ptr(), at.as_ptr()) })
}

pub fn readlink(path: &Path) -> Sys<OsString> {
    let path = cstr(path)?;
    let mut buf = vec![0u8; 4096];
    let len = count(unsafe { libc::readlink(path.as_ptr(), buf.as_mut_ptr().cast(), buf.len()) } as i64)?;
    buf.truncate(len);
    Ok(OsString::from_vec(buf))
}

pub fn mknod(path: &Path, mode: u32, rdev: (u32, u32)) -> Sys<()> {
    let path = cstr(path)?;
    unit(unsafe { libc::mknod(path.as_ptr(), mode, libc::makedev(rdev.0, rdev.1)) })
}

pub fn chmod(path: &Path, mode: u32) -> Sys<()> {
    let path = cstr(path)?;
    unit(unsafe { libc::chmod(path.as_ptr(), mode) })
}

pub fn fchmod(fd: BorrowedFd<'_>, mode: u32) -> Sys<()> {
    unit(unsafe { libc::fchmod(fd.as_raw_fd(), mode) })
}

/// `None` leaves that id as it is.
pub fn lchown(path: &Path, uid: Option<u32>, gid: Option<u32>) -> Sys<()> {
    let path = cstr(path)?;
    unit(unsafe { libc::lchown(path.as_ptr(), uid.unwrap_or(u32::MAX), gid.unwrap_or(u32::MAX)) })
}

pub fn fchown(fd: BorrowedFd<'_>, uid: Option<u32>, gid: Option<u32>) -> Sys<()> {
    unit(unsafe { libc::fchown(fd.as_raw_fd(), uid.unwrap_or(u32::MAX), gid.unwrap_or(u32::MAX)) })
}

/// What `utimensat` is to do with one of the times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetTime {
    Now,
    Omit,
    To(i64, u32),
}

impl SetTime {
    fn raw(self) -> libc::timespec {
        match self {
            SetTime::Now => libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_NOW },
            SetTime::Omit => libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT },
            SetTime::To(sec, nsec) => libc::timespec { tv_sec: sec, tv_nsec: i64::from(nsec) },
        }
    }
}

pub fn utimens(path: &Path, atime: SetTime, mtime: SetTime) -> Sys<()> {
    let path = cstr(path)?;
    let times = [atime.raw(), mtime.raw()];
    unit(unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), libc::AT_SYMLINK_NOFOLLOW) })
}

pub fn futimens(fd: BorrowedFd<'_>, atime: SetTime, mtime: SetTime) -> Sys<()> {
    let times = [atime.raw(), mtime.raw()];
    unit(unsafe { libc::futimens(fd.as_raw_fd(), times.as_ptr()) })
}

pub fn access(path: &Path, mode: i32) -> Sys<()> {
    let path = cstr(path)?;
    let (call, flags) = (libc::SYS_faccessat2, libc::AT_EACCESS | libc::AT_SYMLINK_NOFOLLOW);
    unit(unsafe { libc::syscall(call, libc::AT_FDCWD, path.as_ptr(), mode, flags) })
}

pub fn setxattr(path: &Path, name: &str, value: &[u8], flags: i32) -> Sys<()> {
    let (path, name) = (cstr(path)?, cstr(name)?);
    unit(unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), flags) })
}

pub fn fsetxattr(fd: BorrowedFd<'_>, name: &str, value: &[u8], flags: i32) -> Sys<()> {
    let name = cstr(name)?;
    unit(unsafe { libc::fsetxattr(fd.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), flags) })
}

pub fn removexattr(path: &Path, name: &str) -> Sys<()> {
    let (path, name) = (cstr(path)?, cstr(name)?);
    unit(unsafe { libc::lremovexattr(path.as_ptr(), name.as_ptr()) })
}

/// The value, read into `room` bytes; with `room` 0 the call only asks for the length, which is returned as that many
/// zeros.
pub fn getxattr(path: &Path, name: impl AsRef<OsStr>, room: usize) -> Sys<Vec<u8>> {
    let (path, name) = (cstr(path)?, cstr(name)?);
    let mut buf = vec![0u8; room];
    let len =
        count(unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), buf.as_mut_ptr().cast(), buf.len()) }
            as i64)?;
    buf.resize(len, 0);
    Ok(buf)
}

/// As [`getxattr`], of an open file.
pub fn fgetxattr(fd: BorrowedFd<'_>, name: impl AsRef<OsStr>, room: usize) -> Sys<Vec<u8>> {
    let name = cstr(name)?;
    let mut buf = vec![0u8; room];
    let (into, len) = (buf.as_mut_ptr().cast(), buf.len());
    let got = count(unsafe { libc::fgetxattr(fd.as_raw_fd(), name.as_ptr(), into, len) } as i64)?;
    buf.resize(got, 0);
    Ok(buf)
}

/// The names, sorted.
pub fn listxattr(path: &Path) -> Sys<Vec<OsString>> {
    let path = cstr(path)?;
    let mut buf = vec![0u8; 65536];
    let len = count(unsafe { libc::llistxattr(path.as_ptr(), buf.as_mut_ptr().cast(), buf.len()) } as i64)?;
    Ok(sorted_names(&buf[..len]))
}

/// The names, sorted, of an open file's attributes.
pub fn flistxattr(fd: BorrowedFd<'_>) -> Sys<Vec<OsString>> {
    let mut buf = vec![0u8; 65536];
    let len = count(unsafe { libc::flistxattr(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) } as i64)?;
    Ok(sorted_names(&buf[..len]))
}

fn sorted_names(list: &[u8]) -> Vec<OsString> {
    let names = list.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut names: Vec<OsString> = names.map(|name| OsString::from_vec(name.to_vec())).collect();
    names.sort();
    names
}

/// The longest name the file system under `path` takes.
pub fn longest_name(path: &Path) -> Sys<i64> {
    let path = cstr(path)?;
    let mut raw: libc::statfs = unsafe { std::mem::zeroed() };
    unit(unsafe { libc::statfs(path.as_ptr(), &mut raw) })?;
    Ok(raw.f_namelen)
}

/// One entry of a directory, as `getdents64` gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirent {
    pub name: OsString,
    pub ino: u64,
    pub kind: u8,
}

/// What is left to read of an open directory, in the order it comes; `chunk` bytes a call.
pub fn getdents(fd: BorrowedFd<'_>, chunk: usize) -> Sys<Vec<Dirent>> {
    let mut entries = Vec::new();
    loop {
        let more = getdents_once(fd, chunk)?;
        if more.is_empty() {
            return Ok(entries);
        }
        entries.extend(more);
    }
}

/// The next entries of an open directory, `chunk` bytes of them; none at its end.
pub fn getdents_once(fd: BorrowedFd<'_>, chunk: usize) -> Sys<Vec<Dirent>> {
    let mut entries = Vec::new();
    let mut buf = vec![0u8; chunk];
    let len =
        count(unsafe { libc::syscall(libc::SYS_getdents64, fd.as_raw_fd(), buf.as_mut_ptr(), buf.len()) })?;
    let mut rest = &buf[..len];
    // struct linux_dirent64: ino (8), off (8), reclen (2), type (1), name up to a NUL.
    while rest.len() > 19 {
        let ino = u64::from_ne_bytes(rest[..8].try_into().unwrap());
        let size = usize::from(u16::from_ne_bytes(rest[16..18].try_into().unwrap()));
        let name = rest[19..size].split(|byte| *byte == 0).next().unwrap_or_default();
        entries.push(Dirent { name: OsString::from_vec(name.to_vec()), ino, kind: rest[18] });
        rest = &rest[size..];
    }
    Ok(entries)
}

pub fn flock(fd: BorrowedFd<'_>, operation: i32) -> Sys<()> {
    unit(unsafe { libc::flock(fd.as_raw_fd(), operation | libc::LOCK_NB) })
}

/// A lock of the open file description over `start..start + len`.
pub fn ofd_lock(fd: BorrowedFd<'_>, kind: i32, start: u64, len: u64) -> Sys<()> {
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as i16;
    lock.l_whence = libc::SEEK_SET as i16;
    lock.l_start = start as i64;
    lock.l_len = len as i64;
    unit(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_SETLK, &lock) })
}

pub fn chroot(path: &Path) -> Sys<()> {
    let path = cstr(path)?;
    unit(unsafe { libc::chroot(path.as_ptr()) })
}

/// Effective ids and groups of this thread alone: the library's wrappers would change every thread.
pub fn become_user(uid: u32, gid: u32, groups: &[u32]) -> Sys<()> {
    let keep = -1i32;
    unsafe {
        unit(libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()))?;
        unit(libc::syscall(libc::SYS_setresgid, keep, gid, keep))?;
        unit(libc::syscall(libc::SYS_setresuid, keep, uid, keep))
    }
}

/// Back from [`become_user`]; the real and saved ids were never changed.
pub fn become_root() -> Sys<()> {
    let keep = -1i32;
    unsafe {
        unit(libc::syscall(libc::SYS_setresuid, keep, 0, keep))?;
        unit(libc::syscall(libc::SYS_setresgid, keep, 0, keep))?;
        unit(libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<u32>()))
    }
}
