//! Names: opening, asking, making, moving, removing.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

use super::{SysResult, owned, retry, with_cstr};
use crate::path::Name;

/// What statx(2) says of an object. Times are (seconds, nanoseconds).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // statx(2) documents them
pub struct Stat {
    pub dev: u64,
    pub ino: u64,
    pub mode: u32,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub rdev_major: u32,
    pub rdev_minor: u32,
    pub size: u64,
    pub blocks: u64,
    pub blksize: u32,
    pub atime: (i64, u32),
    pub mtime: (i64, u32),
    pub ctime: (i64, u32),
    pub btime: Option<(i64, u32)>,
}

impl Stat {
    /// Is it a directory?
    pub fn is_dir(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFDIR
    }

    /// Is it a regular file?
    pub fn is_regular(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFREG
    }
}

/// Where an object is: below a directory descriptor by one name, or the descriptor's own object.
#[derive(Debug, Clone, Copy)]
pub enum At<'a> {
    /// `name` in the directory.
    Name(BorrowedFd<'a>, Name<'a>),
    /// The object of the descriptor (O_PATH will do).
    Fd(BorrowedFd<'a>),
}

impl<'a> At<'a> {
    pub(super) fn parts(self) -> (i32, &'a [u8], i32) {
        match self {
            At::Name(dir, name) => (dir.as_raw_fd(), name.as_bytes(), libc::AT_SYMLINK_NOFOLLOW),
            At::Fd(fd) => (fd.as_raw_fd(), b"", libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW),
        }
    }
}

/// statx(2) without following a symlink.
pub fn stat(at: At<'_>) -> SysResult<Stat> {
    let (dir, path, flags) = at.parts();
    let mut buf = MaybeUninit::<libc::statx>::uninit();
    let rc = with_cstr(path, |path| {
        // SAFETY: `path` is a C string and `buf` has room for the structure.
        unsafe {
            libc::statx(
                dir,
                path,
                flags | libc::AT_NO_AUTOMOUNT,
                libc::STATX_BASIC_STATS | libc::STATX_BTIME,
                buf.as_mut_ptr(),
            )
        }
    })?;
    Errno::result(rc)?;
    // SAFETY: the call succeeded, so the kernel has filled the structure.
    let x = unsafe { buf.assume_init() };
    let time = |t: libc::statx_timestamp| (t.tv_sec, t.tv_nsec);
    Ok(Stat {
        dev: libc::makedev(x.stx_dev_major, x.stx_dev_minor),
        ino: x.stx_ino,
        mode: u32::from(x.stx_mode),
        nlink: x.stx_nlink,
        uid: x.stx_uid,
        gid: x.stx_gid,
        rdev_major: x.stx_rdev_major,
        rdev_minor: x.stx_rdev_minor,
        size: x.stx_size,
        blocks: x.stx_blocks,
        blksize: x.stx_blksize,
        atime: time(x.stx_atime),
        mtime: time(x.stx_mtime),
        ctime: time(x.stx_ctime),
        btime: (x.stx_mask & libc::STATX_BTIME != 0).then(|| time(x.stx_btime)),
    })
}

/// openat(2) of one name with O_NOFOLLOW and O_CLOEXEC. `mode` is used with O_CREAT only.
pub fn open_at(dir: BorrowedFd<'_>, name: Name<'_>, flags: i32, mode: u32) -> SysResult<OwnedFd> {
    open_bytes(dir, name.as_bytes(), flags, mode)
}

/// The directory itself, opened anew from its O_PATH descriptor (`openat(dir, ".")`).
pub fn reopen_dir(dir: BorrowedFd<'_>, flags: i32) -> SysResult<OwnedFd> {
    open_bytes(dir, b".", flags | libc::O_DIRECTORY, 0)
}

fn open_bytes(dir: BorrowedFd<'_>, path: &[u8], flags: i32, mode: u32) -> SysResult<OwnedFd> {
    retry(|| {
        // SAFETY: `path` is a C string; the descriptor is borrowed for the call.
        let fd = with_cstr(path, |path| unsafe {
            libc::openat(dir.as_raw_fd(), path, flags | libc::O_NOFOLLOW | libc::O_CLOEXEC, mode)
        })?;
        owned(fd)
    })
}

/// An object of which only an O_PATH descriptor is left, opened for I/O through /proc.
pub fn reopen(fd: BorrowedFd<'_>, flags: i32) -> SysResult<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    retry(|| {
        // SAFETY: `path` is a C string.
        let fd = with_cstr(path.as_bytes(), |path| unsafe { libc::open(path, flags | libc::O_CLOEXEC) })?;
        owned(fd)
    })
}

/// A directory by a path of a person's (symlinks are followed), as an O_PATH descriptor.
pub fn open_dir_path(path: &std::path::Path) -> SysResult<OwnedFd> {
    use std::os::unix::ffi::OsStrExt;
    // SAFETY: `path` is a C string.
    let fd = with_cstr(path.as_os_str().as_bytes(), |path| unsafe {
        libc::open(path, libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC)
    })?;
    owned(fd)
}

/// A directory some names below another, as an O_PATH descriptor; no symlink on the way is followed and the path
/// cannot leave the start. An empty path is the start itself.
pub fn open_dir_below(dir: BorrowedFd<'_>, path: &[u8]) -> SysResult<OwnedFd> {
    let (first, mut rest) = split_path(path);
    let mut reached = open_stage_below(dir, first)?;
    while !rest.is_empty() {
        let (next, left) = split_path(rest);
        reached = open_stage_below(reached.as_fd(), next)?;
        rest = left;
    }
    Ok(reached)
}

/// What one system call takes of a path (`PATH_MAX` with its NUL), and the rest: trees may be deeper than that.
fn split_path(path: &[u8]) -> (&[u8], &[u8]) {
    const LONGEST: usize = libc::PATH_MAX as usize - 1;
    let cut = match path.get(..=LONGEST) {
        None => path.len(),
        // A name alone is shorter, so there is a slash; without one the system call says what is wrong.
        Some(most) => most.iter().rposition(|byte| *byte == b'/').unwrap_or(path.len()),
    };
    let (first, rest) = path.split_at(cut);
    (first, rest.strip_prefix(b"/").unwrap_or(rest))
}

fn open_stage_below(dir: BorrowedFd<'_>, path: &[u8]) -> SysResult<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    // SAFETY: an open_how of zeroes is a valid value.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC) as u64;
    how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS;
    retry(|| {
        // SAFETY: `path` is a C string, `how` lives through the call and its size is given.
        let fd = with_cstr(path, |path| unsafe {
            libc::syscall(
                libc::SYS_openat2,
                dir.as_raw_fd(),
                path,
                &how as *const libc::open_how,
                size_of::<libc::open_how>(),
            )
        })?;
        owned(fd as libc::c_int)
    })
}

/// A nameless file in a directory (O_TMPFILE), open for reading and writing.
pub fn open_tmpfile(dir: BorrowedFd<'_>, mode: u32) -> SysResult<OwnedFd> {
    // SAFETY: the path is a C string.
    let fd = with_cstr(b".", |path| unsafe {
        libc::openat(dir.as_raw_fd(), path, libc::O_TMPFILE | libc::O_RDWR | libc::O_CLOEXEC, mode)
    })?;
    owned(fd)
}

/// mkdirat(2).
pub fn mkdir(dir: BorrowedFd<'_>, name: Name<'_>, mode: u32) -> SysResult<()> {
    // SAFETY: `name` is a C string.
    let rc = with_cstr(name.as_bytes(), |name| unsafe { libc::mkdirat(dir.as_raw_fd(), name, mode) })?;
    Errno::result(rc).map(drop)
}

/// mknodat(2); `mode` carries the type.
pub fn mknod(dir: BorrowedFd<'_>, name: Name<'_>, mode: u32, major: u32, minor: u32) -> SysResult<()> {
    // SAFETY: `name` is a C string.
    let rc = with_cstr(name.as_bytes(), |name| unsafe {
        libc::mknodat(dir.as_raw_fd(), name, mode, libc::makedev(major, minor))
    })?;
    Errno::result(rc).map(drop)
}

/// symlinkat(2).
pub fn symlink(target: &[u8], dir: BorrowedFd<'_>, name: Name<'_>) -> SysResult<()> {
    let rc = with_cstr(target, |target| {
        // SAFETY: both are C strings.
        with_cstr(name.as_bytes(), |name| unsafe { libc::symlinkat(target, dir.as_raw_fd(), name) })
    })??;
    Errno::result(rc).map(drop)
}

/// linkat(2): another name for an object. One that has only a descriptor is linked through /proc, which needs no
/// privilege.
pub fn link(from: At<'_>, dir: BorrowedFd<'_>, name: Name<'_>) -> SysResult<()> {
    let proc_path;
    let (from_dir, from_path, flags) = match from {
        At::Name(dir, name) => (dir.as_raw_fd(), name.as_bytes(), 0),
        At::Fd(fd) => {
            proc_path = format!("/proc/self/fd/{}", fd.as_raw_fd());
            (libc::AT_FDCWD, proc_path.as_bytes(), libc::AT_SYMLINK_FOLLOW)
        }
    };
    let rc = with_cstr(from_path, |from_path| {
        with_cstr(name.as_bytes(), |name| {
            // SAFETY: both are C strings.
            unsafe { libc::linkat(from_dir, from_path, dir.as_raw_fd(), name, flags) }
        })
    })??;
    Errno::result(rc).map(drop)
}

/// unlinkat(2) of anything but a directory.
pub fn unlink(dir: BorrowedFd<'_>, name: Name<'_>) -> SysResult<()> {
    unlinkat(dir, name, 0)
}

/// unlinkat(2) of an empty directory.
pub fn rmdir(dir: BorrowedFd<'_>, name: Name<'_>) -> SysResult<()> {
    unlinkat(dir, name, libc::AT_REMOVEDIR)
}

fn unlinkat(dir: BorrowedFd<'_>, name: Name<'_>, flags: i32) -> SysResult<()> {
    // SAFETY: `name` is a C string.
    let rc = with_cstr(name.as_bytes(), |name| unsafe { libc::unlinkat(dir.as_raw_fd(), name, flags) })?;
    Errno::result(rc).map(drop)
}

/// What renameat2(2) does with its target and its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenameFlag {
    /// Replaces the target.
    Replace,
    /// RENAME_NOREPLACE.
    NoReplace,
    /// RENAME_EXCHANGE.
    Exchange,
    /// RENAME_WHITEOUT: a character device 0:0 takes the source's place, in the same step.
    Whiteout,
}

/// renameat2(2).
pub fn rename(
    from: (BorrowedFd<'_>, Name<'_>),
    to: (BorrowedFd<'_>, Name<'_>),
    flag: RenameFlag,
) -> SysResult<()> {
    let flags = match flag {
        RenameFlag::Replace => 0,
        RenameFlag::NoReplace => libc::RENAME_NOREPLACE,
        RenameFlag::Exchange => libc::RENAME_EXCHANGE,
        RenameFlag::Whiteout => libc::RENAME_WHITEOUT,
    };
    let rc = with_cstr(from.1.as_bytes(), |old| {
        with_cstr(to.1.as_bytes(), |new| {
            // SAFETY: both are C strings.
            unsafe {
                libc::syscall(libc::SYS_renameat2, from.0.as_raw_fd(), old, to.0.as_raw_fd(), new, flags)
            }
        })
    })??;
    Errno::result(rc).map(drop)
}

/// readlinkat(2), whole.
pub fn readlink(at: At<'_>) -> SysResult<Vec<u8>> {
    let (dir, path, _) = at.parts();
    let mut buf = vec![0u8; libc::PATH_MAX as usize];
    // SAFETY: `path` is a C string and the buffer's length is given.
    let len =
        with_cstr(path, |path| unsafe { libc::readlinkat(dir, path, buf.as_mut_ptr().cast(), buf.len()) })?;
    let len = Errno::result(len)?;
    buf.truncate(len as usize);
    Ok(buf)
}

/// fchownat(2); `None` leaves that half.
pub fn chown(at: At<'_>, uid: Option<u32>, gid: Option<u32>) -> SysResult<()> {
    let (dir, path, flags) = at.parts();
    // SAFETY: `path` is a C string; u32::MAX means "leave it" (chown(2)).
    let rc = with_cstr(path, |path| unsafe {
        libc::fchownat(dir, path, uid.unwrap_or(u32::MAX), gid.unwrap_or(u32::MAX), flags)
    })?;
    Errno::result(rc).map(drop)
}

/// Sets permission bits, 0..=0o7777, never through a symlink (a symlink itself is EOPNOTSUPP).
///
/// fchmodat2(2) where the kernel has it (6.6), else through /proc.
pub fn chmod(at: At<'_>, perm: u32) -> SysResult<()> {
    let (dir, path, flags) = at.parts();
    // SAFETY: `path` is a C string.
    let rc = with_cstr(path, |path| unsafe { libc::syscall(libc::SYS_fchmodat2, dir, path, perm, flags) })?;
    match Errno::result(rc) {
        Ok(_) => Ok(()),
        Err(Errno::ENOSYS) => {
            let opened;
            let fd = match at {
                At::Fd(fd) => fd,
                At::Name(dir, name) => {
                    opened = open_at(dir, name, libc::O_PATH, 0)?;
                    opened.as_fd()
                }
            };
            let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
            // SAFETY: `path` is a C string.
            let rc = with_cstr(path.as_bytes(), |path| unsafe { libc::chmod(path, perm) })?;
            Errno::result(rc).map(drop)
        }
        Err(errno) => Err(errno),
    }
}

/// A time for [`utimens`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// As it is.
    Omit,
    /// The current time.
    Now,
    /// Seconds (before 1970: negative) and nanoseconds.
    To(i64, u32),
}

/// utimensat(2): last access, last change.
pub fn utimens(at: At<'_>, atime: Time, mtime: Time) -> SysResult<()> {
    let spec = |time| match time {
        Time::Omit => libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT },
        Time::Now => libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_NOW },
        Time::To(sec, nsec) => libc::timespec { tv_sec: sec, tv_nsec: i64::from(nsec) },
    };
    let times = [spec(atime), spec(mtime)];
    let (dir, path, flags) = at.parts();
    // SAFETY: `path` is a C string and `times` has two elements.
    let rc = with_cstr(path, |path| unsafe { libc::utimensat(dir, path, times.as_ptr(), flags) })?;
    Errno::result(rc).map(drop)
}

/// What fstatvfs(3) says.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // statvfs(3) documents them
pub struct FsStat {
    pub bsize: u64,
    pub frsize: u64,
    pub blocks: u64,
    pub bfree: u64,
    pub bavail: u64,
    pub files: u64,
    pub ffree: u64,
    pub namelen: u64,
    pub read_only: bool,
}

/// fstatvfs(3).
pub fn statfs(fd: BorrowedFd<'_>) -> SysResult<FsStat> {
    let mut buf = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `buf` has room for the structure.
    retry(|| Errno::result(unsafe { libc::fstatvfs(fd.as_raw_fd(), buf.as_mut_ptr()) }))?;
    // SAFETY: the call succeeded, so the structure is filled.
    let s = unsafe { buf.assume_init() };
    Ok(FsStat {
        bsize: s.f_bsize,
        frsize: s.f_frsize,
        blocks: s.f_blocks,
        bfree: s.f_bfree,
        bavail: s.f_bavail,
        files: s.f_files,
        ffree: s.f_ffree,
        namelen: s.f_namemax,
        read_only: s.f_flag & libc::ST_RDONLY != 0,
    })
}

/// An exclusive flock(2), without waiting: EWOULDBLOCK when somebody has it. It goes with the descriptor, and with
/// the descriptor through fork.
pub fn lock_exclusive(fd: BorrowedFd<'_>) -> SysResult<()> {
    // SAFETY: the descriptor is borrowed for the call.
    Errno::result(unsafe { libc::flock(fd.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }).map(drop)
}

/// syncfs(2).
pub fn syncfs(fd: BorrowedFd<'_>) -> SysResult<()> {
    // SAFETY: the descriptor is borrowed for the call.
    Errno::result(unsafe { libc::syncfs(fd.as_raw_fd()) }).map(drop)
}

#[cfg(test)]
mod tests;
