//! What the file system of a directory can do for an upper: tried, in a directory that is removed again.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess};

use super::{Finding, Level, Use};
use crate::config::Namespace;
use crate::control::table;
use crate::error::errno_of;
use crate::marker::{Marker, OpaqueMark};
use crate::path::Name;
use crate::source::facts::Privilege;
use crate::sys::fs::{self, At, RenameFlag};
use crate::sys::xattr::{self, SetMode};
use crate::sys::{SysResult, file};

/// Why a directory is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Whoever asks wants an upper there.
    Asked,
    /// `lamina run` has its changes there.
    Scratch,
    /// It is where this user's files are.
    Home,
}

/// A directory that may hold uppers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upper {
    /// It need not be there yet.
    pub path: PathBuf,
    /// Why it is looked at.
    pub role: Role,
}

/// What was tried in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Facts {
    /// Nothing can be made in it.
    Unusable(Errno),
    /// It can be written to.
    Tried(Tried),
}

/// What works, or the kernel's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub struct Tried {
    /// The type of the file system, as /proc/self/mountinfo has it.
    pub kind: Option<String>,
    pub user_xattr: SysResult<()>,
    pub trusted_xattr: SysResult<()>,
    /// A character device 0:0.
    pub whiteout: SysResult<()>,
    pub rename_whiteout: SysResult<()>,
    pub tmpfile: SysResult<()>,
    pub reflink: SysResult<()>,
    /// Bytes that this user may still write.
    pub free: u64,
}

/// The nearest directory that is there, from a path upwards.
pub(super) fn nearest(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

/// Bytes that this user may still write; 0 where that cannot be told.
pub(super) fn free(dir: &Path) -> u64 {
    let found = File::open(dir).ok().and_then(|dir| fs::statfs(dir.as_fd()).ok());
    found.map_or(0, |found| found.bavail.saturating_mul(found.frsize))
}

impl Facts {
    /// Tries, in the directory or in the nearest one above it that is there.
    pub fn try_out(path: &Path) -> Self {
        let errno = |error: std::io::Error| errno_of(&error);
        let place = nearest(path);
        // Asked first, for the error of what makes the directory has no number.
        if let Err(errno) = eaccess(place.as_path(), AccessFlags::W_OK | AccessFlags::X_OK) {
            return Facts::Unusable(errno);
        }
        let made = tempfile::Builder::new().prefix(".lamina-doctor-").tempdir_in(&place);
        let opened = made.and_then(|made| Ok((File::open(made.path())?, made)));
        let (dir, made) = match opened {
            Ok(opened) => opened,
            Err(error) => return Facts::Unusable(errno(error)),
        };
        let mark = |namespace| {
            let name = Marker::Opaque.xattr(namespace);
            xattr::set(At::Fd(dir.as_fd()), name.to_bytes(), OpaqueMark::Opaque.encode(), SetMode::Any)
        };
        let tried = Tried {
            kind: kind_of(&place),
            user_xattr: mark(Namespace::User),
            trusted_xattr: mark(Namespace::Trusted),
            whiteout: name(b"device").and_then(|name| fs::mknod(dir.as_fd(), name, libc::S_IFCHR, 0, 0)),
            rename_whiteout: rename_whiteout(dir.as_fd()),
            tmpfile: fs::open_tmpfile(dir.as_fd(), 0o600).map(drop),
            reflink: reflink(dir.as_fd()),
            free: free(made.path()),
        };
        if let Err(error) = made.close() {
            log::warn!("'{}' has a directory of this check that cannot be removed: {error}", place.display());
        }
        Facts::Tried(tried)
    }
}

fn name(bytes: &[u8]) -> SysResult<Name<'_>> {
    Name::new(bytes).map_err(|_| Errno::EINVAL)
}

fn new_file(dir: BorrowedFd<'_>, named: &[u8]) -> SysResult<std::os::fd::OwnedFd> {
    fs::open_at(dir, name(named)?, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL, 0o600)
}

fn rename_whiteout(dir: BorrowedFd<'_>) -> SysResult<()> {
    new_file(dir, b"old")?;
    fs::rename((dir, name(b"old")?), (dir, name(b"new")?), RenameFlag::Whiteout)
}

fn reflink(dir: BorrowedFd<'_>) -> SysResult<()> {
    let (from, to) = (new_file(dir, b"from")?, new_file(dir, b"to")?);
    file::write_full_at(from.as_fd(), &[1; 4096], 0)?;
    file::clone_whole(from.as_fd(), to.as_fd())
}

fn kind_of(dir: &Path) -> Option<String> {
    let real = dir.canonicalize().ok()?;
    let mounts = table::read().ok()?;
    let around = mounts.into_iter().filter(|mount| real.starts_with(&mount.mountpoint));
    // Of several at one place, the last is what is seen.
    around.max_by_key(|mount| mount.mountpoint.as_os_str().len()).map(|mount| mount.fs_type)
}

/// Below this, an installation of a few packages fills it.
pub(super) const LITTLE: u64 = 1 << 30;

/// Is it good enough for an upper?
pub fn judge(upper: &Upper, facts: &Facts, privilege: Privilege) -> Finding {
    const CHECK: &str = "upper";
    let uses: &[Use] = match upper.role {
        Role::Asked => &[Use::Mount, Use::Image],
        Role::Scratch => &[Use::Run],
        Role::Home => &[],
    };
    let tried = match facts {
        Facts::Tried(tried) => tried,
        Facts::Unusable(errno) => {
            let why = format!("nothing can be made in '{}': {}", upper.path.display(), errno.desc());
            let remedy = match upper.role {
                Role::Scratch => "set TMPDIR to a directory of yours on a disk with space",
                Role::Asked | Role::Home => {
                    "choose a directory that you may write to, on a file system that is mounted read-write"
                }
            };
            let finding = Finding::new(CHECK, Level::Missing, &why).at(&upper.path).remedy(remedy);
            return finding.means(uses, Level::Missing, &why);
        }
    };
    let mut less = Vec::new();
    let lacks = |what: &str, errno: Errno| format!("{what} ({})", errno.desc());
    let marked = match (tried.trusted_xattr, tried.user_xattr) {
        (Ok(()), _) if privilege == Privilege::Full => Ok("trusted. attributes"),
        (_, Ok(())) => Ok("user. attributes"),
        (Ok(()), _) => Ok("trusted. attributes"),
        (Err(_), Err(errno)) => Err(errno),
    };
    if let Err(errno) = marked {
        less.push(lacks(
            "no extended attributes: merged directories cannot be renamed, and owners cannot be recorded",
            errno,
        ));
    } else if let (Privilege::Full, Err(errno)) = (privilege, tried.trusted_xattr) {
        less.push(lacks("no trusted. attributes: the kernel's overlay reads it with userxattr only", errno));
    }
    if let Err(errno) = tried.whiteout {
        less.push(lacks("no devices 0:0: deletions are written as .wh. files", errno));
    }
    if let Err(errno) = tried.rename_whiteout {
        less.push(lacks("no RENAME_WHITEOUT: a rename takes more steps", errno));
    }
    if let Err(errno) = tried.tmpfile {
        less.push(lacks("no O_TMPFILE: nameless files cannot be made", errno));
    }
    if tried.free < LITTLE {
        less.push(format!("only {} MB are free", tried.free / 1_000_000));
    }
    let kind = tried.kind.as_deref().unwrap_or("a file system").escape_debug().to_string();
    let copies = if tried.reflink.is_ok() {
        "copies share blocks (reflink)"
    } else {
        "copies take their time (no reflink)"
    };
    match less.is_empty() {
        true => {
            let marks = marked.unwrap_or("attributes");
            Finding::ok(CHECK, format!("{kind}: {marks}, whiteouts and nameless files work; {copies}"))
                .at(&upper.path)
        }
        false => {
            let what = less.join("; ");
            Finding::new(CHECK, Level::Limited, format!("{kind}: {what}; {copies}"))
                .at(&upper.path)
                .remedy(
                    "an upper on ext4, xfs or btrfs, with space, has all of it; tmpfs has from Linux 6.6 on",
                )
                .means(uses, Level::Limited, &what)
        }
    }
}
