//! Extended attributes of an object that is named by a directory and a name, or held by an O_PATH descriptor.
//!
//! The *at calls (Linux 6.13) where the kernel has them; before that, /proc/self/fd, which needs /proc mounted. An
//! O_PATH descriptor itself can be asked by neither fgetxattr(2) nor AT_EMPTY_PATH, so it always goes through /proc.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;

use super::fs::At;
use super::{SysResult, with_cstr};

/// Numbers are the same on every architecture that Linux added these to (include/uapi/asm-generic/unistd.h).
const SYS_SETXATTRAT: libc::c_long = 463;
const SYS_GETXATTRAT: libc::c_long = 464;
const SYS_LISTXATTRAT: libc::c_long = 465;
const SYS_REMOVEXATTRAT: libc::c_long = 466;

/// struct xattr_args of include/uapi/linux/xattr.h.
#[repr(C, align(8))]
struct XattrArgs {
    value: u64,
    size: u32,
    flags: u32,
}

/// Cleared by the first ENOSYS.
static HAS_AT_CALLS: AtomicBool = AtomicBool::new(true);

/// What setting does with an existing or missing attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetMode {
    /// Sets it either way.
    Any,
    /// EEXIST if it is there.
    Create,
    /// ENODATA if it is not.
    Replace,
}

impl SetMode {
    fn flags(self) -> i32 {
        match self {
            SetMode::Any => 0,
            SetMode::Create => libc::XATTR_CREATE,
            SetMode::Replace => libc::XATTR_REPLACE,
        }
    }
}

/// Runs the *at call, or the /proc one where the kernel lacks it or the object has no name.
fn call(
    at: At<'_>,
    by_name: impl FnOnce(i32, *const libc::c_char) -> libc::c_long,
    by_proc: impl FnOnce(*const libc::c_char) -> libc::c_long,
) -> SysResult<usize> {
    let path = match at {
        At::Name(dir, name) => {
            if HAS_AT_CALLS.load(Ordering::Relaxed) {
                let rc = with_cstr(name.as_bytes(), |name| by_name(dir.as_raw_fd(), name))?;
                match Errno::result(rc) {
                    Err(Errno::ENOSYS) => HAS_AT_CALLS.store(false, Ordering::Relaxed),
                    result => return result.map(|n| n as usize),
                }
            }
            let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
            path.extend_from_slice(name.as_bytes());
            path
        }
        // The final "." makes the magic link be followed for a directory; anything else is reached by the link
        // itself, which the l*xattr calls would not follow: those get the following ones below.
        At::Fd(fd) => format!("/proc/self/fd/{}", fd.as_raw_fd()).into_bytes(),
    };
    let rc = with_cstr(&path, by_proc)?;
    Errno::result(rc).map(|n| n as usize)
}

/// Is the object reached by a magic link, which must be followed?
fn follows(at: At<'_>) -> bool {
    matches!(at, At::Fd(_))
}

/// Reads a value into `buf`; ERANGE where it is too small. Returns the value's length.
pub fn get_into(at: At<'_>, name: &[u8], buf: &mut [u8]) -> SysResult<usize> {
    let mut args = XattrArgs { value: buf.as_mut_ptr() as u64, size: buf.len() as u32, flags: 0 };
    let (value, len) = (buf.as_mut_ptr().cast::<libc::c_void>(), buf.len());
    let follow = follows(at);
    with_cstr(name, |name| {
        call(
            at,
            // SAFETY: C strings; `args` points at a buffer of the length it gives, alive through the call.
            |dir, path| unsafe {
                libc::syscall(
                    SYS_GETXATTRAT,
                    dir,
                    path,
                    libc::AT_SYMLINK_NOFOLLOW,
                    name,
                    &mut args as *mut XattrArgs,
                    size_of::<XattrArgs>(),
                )
            },
            // SAFETY: C strings and a buffer with its length.
            |path| unsafe {
                if follow {
                    libc::getxattr(path, name, value, len) as libc::c_long
                } else {
                    libc::lgetxattr(path, name, value, len) as libc::c_long
                }
            },
        )
    })?
}

/// A value, whole.
pub fn get(at: At<'_>, name: &[u8]) -> SysResult<Vec<u8>> {
    let mut buf = vec![0u8; 256];
    loop {
        match get_into(at, name, &mut buf) {
            Ok(len) => {
                buf.truncate(len);
                return Ok(buf);
            }
            Err(Errno::ERANGE) if buf.len() < XATTR_SIZE_MAX => {
                // The value may grow between asking its size and reading it: the largest possible ends the race.
                buf.resize(XATTR_SIZE_MAX, 0);
            }
            Err(errno) => return Err(errno),
        }
    }
}

/// The largest value, and the largest list of names, the kernel hands out (include/uapi/linux/limits.h).
pub const XATTR_SIZE_MAX: usize = 65536;

/// The names, each ended by a NUL byte, into `buf`; ERANGE where it is too small.
fn list_into(at: At<'_>, buf: &mut [u8]) -> SysResult<usize> {
    let (names, len) = (buf.as_mut_ptr().cast::<libc::c_char>(), buf.len());
    let follow = follows(at);
    call(
        at,
        // SAFETY: a C string and a buffer with its length.
        |dir, path| unsafe {
            libc::syscall(SYS_LISTXATTRAT, dir, path, libc::AT_SYMLINK_NOFOLLOW, names, len)
        },
        // SAFETY: a C string and a buffer with its length.
        |path| unsafe {
            if follow {
                libc::listxattr(path, names, len) as libc::c_long
            } else {
                libc::llistxattr(path, names, len) as libc::c_long
            }
        },
    )
}

/// A list of attribute names; most objects have none, so nothing is allocated for a short one.
#[derive(Debug)]
pub struct Names {
    short: [u8; 256],
    long: Vec<u8>,
    len: usize,
}

impl Names {
    /// The names one by one.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let bytes = if self.long.is_empty() { &self.short[..self.len] } else { &self.long[..self.len] };
        bytes.split(|b| *b == 0).filter(|name| !name.is_empty())
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The names of an object's attributes; a file system without any gives an empty list.
pub fn list(at: At<'_>) -> SysResult<Names> {
    let mut names = Names { short: [0; 256], long: Vec::new(), len: 0 };
    match list_into(at, &mut names.short) {
        Ok(len) => names.len = len,
        Err(Errno::ERANGE) => {
            names.long = vec![0; XATTR_SIZE_MAX];
            names.len = list_into(at, &mut names.long)?;
        }
        Err(Errno::ENOTSUP) => {}
        Err(errno) => return Err(errno),
    }
    Ok(names)
}

/// Sets a value.
pub fn set(at: At<'_>, name: &[u8], value: &[u8], mode: SetMode) -> SysResult<()> {
    let args =
        XattrArgs { value: value.as_ptr() as u64, size: value.len() as u32, flags: mode.flags() as u32 };
    let follow = follows(at);
    with_cstr(name, |name| {
        call(
            at,
            // SAFETY: C strings; `args` points at a buffer of the length it gives, alive through the call.
            |dir, path| unsafe {
                libc::syscall(
                    SYS_SETXATTRAT,
                    dir,
                    path,
                    libc::AT_SYMLINK_NOFOLLOW,
                    name,
                    &args as *const XattrArgs,
                    size_of::<XattrArgs>(),
                )
            },
            // SAFETY: C strings and a buffer with its length.
            |path| unsafe {
                let (data, len) = (value.as_ptr().cast::<libc::c_void>(), value.len());
                if follow {
                    libc::setxattr(path, name, data, len, mode.flags()) as libc::c_long
                } else {
                    libc::lsetxattr(path, name, data, len, mode.flags()) as libc::c_long
                }
            },
        )
    })?
    .map(drop)
}

/// Removes an attribute.
pub fn remove(at: At<'_>, name: &[u8]) -> SysResult<()> {
    let follow = follows(at);
    with_cstr(name, |name| {
        call(
            at,
            // SAFETY: C strings.
            |dir, path| unsafe {
                libc::syscall(SYS_REMOVEXATTRAT, dir, path, libc::AT_SYMLINK_NOFOLLOW, name)
            },
            // SAFETY: C strings.
            |path| unsafe {
                if follow {
                    libc::removexattr(path, name) as libc::c_long
                } else {
                    libc::lremovexattr(path, name) as libc::c_long
                }
            },
        )
    })?
    .map(drop)
}
