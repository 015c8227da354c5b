//! The work directory: its names, its locks, and what an earlier mount left in it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::error::{Error, Kind, OpContext, Result};
use crate::path::{Name, NameBuf, RelPath};
use crate::sys::dirents;
use crate::sys::fs::{self, At};

/// Where objects are made, within the work directory.
const WORK: &[u8] = b"work";
/// Where hard links are indexed, within the work directory.
const INDEX: &[u8] = b"index";
/// Where features are noted that another mount must know, within [`WORK`].
const INCOMPAT: &[u8] = b"incompat";
/// The note of a volatile mount, within [`INCOMPAT`].
const VOLATILE: &[u8] = b"volatile";

/// One of the names spelled here.
pub(super) fn name(bytes: &'static [u8]) -> Result<Name<'static>> {
    Name::new(bytes).map_err(|_| Error::new("name", Kind::Invalid("not a name")).at(bytes))
}

/// Notes that a volatile mount was here.
pub(super) fn mark_volatile(work: BorrowedFd<'_>) -> Result<()> {
    let incompat = name(INCOMPAT)?;
    match fs::mkdir(work, incompat, 0o700) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(Error::new("mark the work directory volatile", errno)),
    }
    let dir = fs::open_at(work, incompat, libc::O_PATH | libc::O_DIRECTORY, 0)
        .op("mark the work directory volatile")?;
    fs::mkdir(dir.as_fd(), name(VOLATILE)?, 0o700).op("mark the work directory volatile")
}

/// How long a daemon whose mount is gone may take to let go of its directories. umount(8) does not wait for it, and what is
/// unmounted is often mounted again at once: `umount mnt && mount mnt`, a unit of systemd that is restarted.
const PATIENCE: Duration = Duration::from_secs(3);

/// Takes a directory for this mount alone. One that is in use is waited for, a moment.
pub fn lock(fd: BorrowedFd<'_>, op: &'static str) -> Result<()> {
    let start = Instant::now();
    loop {
        match fs::lock_exclusive(fd) {
            Ok(()) => return Ok(()),
            Err(Errno::EWOULDBLOCK) if start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(Errno::EWOULDBLOCK) => return Err(Error::new(op, Kind::InUse)),
            // A file system without locks: then nobody can tell.
            Err(Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::ENOSYS) => return Ok(()),
            Err(errno) => return Err(Error::new(op, errno)),
        }
    }
}

/// Opens `work/`, made if it is not there, and empties it. A volatile mark stays, and is refused.
pub fn open(root: BorrowedFd<'_>) -> Result<OwnedFd> {
    let work_name = name(WORK)?;
    match fs::mkdir(root, work_name, 0o700) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(Error::new("write to work directory", errno)),
    }
    let work = match fs::open_at(root, work_name, libc::O_RDONLY | libc::O_DIRECTORY, 0) {
        // The kernel's overlay makes it with mode 0.
        Err(Errno::EACCES) => {
            fs::chmod(At::Name(root, work_name), 0o700).op("open work/")?;
            fs::open_at(root, work_name, libc::O_RDONLY | libc::O_DIRECTORY, 0)
        }
        other => other,
    }
    .op("open work/")?;
    if has_incompat(work.as_fd())? {
        return Err(Error::new("use work directory", Kind::Volatile));
    }
    let fresh = fs::reopen_dir(work.as_fd(), libc::O_RDONLY).op("clear work/")?;
    let mut names = Vec::new();
    dirents::for_each::<Error>(&fresh, |entry| {
        names.extend(NameBuf::new(entry.name));
        Ok(())
    })?;
    for name in names.iter().filter(|name| name.as_bytes() != INCOMPAT) {
        remove_any(work.as_fd(), name.as_name())
            .map_err(|error| error.at([b"work/", name.as_bytes()].concat()))?;
    }
    Ok(work)
}

/// Opens `index/`, made if it is not there.
pub(super) fn open_index(root: BorrowedFd<'_>) -> Result<OwnedFd> {
    let index = name(INDEX)?;
    match fs::mkdir(root, index, 0o700) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(Error::new("make index/", errno)),
    }
    fs::open_at(root, index, libc::O_RDONLY | libc::O_DIRECTORY, 0).op("open index/")
}

/// Is there anything in `incompat/`? Then another mount has left a note that this one must not ignore.
fn has_incompat(work: BorrowedFd<'_>) -> Result<bool> {
    let dir = match fs::open_at(work, name(INCOMPAT)?, libc::O_RDONLY | libc::O_DIRECTORY, 0) {
        Ok(dir) => dir,
        Err(Errno::ENOENT) => return Ok(false),
        Err(errno) => return Err(Error::new("read work/incompat", errno)),
    };
    let mut any = false;
    dirents::for_each::<Error>(&dir, |_| {
        any = true;
        Ok(())
    })?;
    Ok(any)
}

/// What is in a work directory, names of `work/` without `incompat/`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkFound {
    /// What is in `work/`, but for whiteouts: a mount leaves one there for the next to link.
    pub left: Vec<NameBuf>,
    /// What is in `work/incompat/`.
    pub incompat: Vec<NameBuf>,
    /// What is in `index/`.
    pub index: Vec<NameBuf>,
}

/// Looks into a work directory; changes nothing.
///
/// # Errors
/// Failing system calls. A directory that is not there holds nothing.
pub fn look_into_work(root: BorrowedFd<'_>) -> Result<WorkFound> {
    let mut found = WorkFound::default();
    if let Some(work) = open_if_there(root, WORK)? {
        for name in names(&work)? {
            let stat = fs::stat(At::Name(work.as_fd(), name.as_name())).op("look into work/")?;
            let is_device = stat.mode & libc::S_IFMT == libc::S_IFCHR;
            if name.as_bytes() != INCOMPAT && !(is_device && (stat.rdev_major, stat.rdev_minor) == (0, 0)) {
                found.left.push(name);
            }
        }
        if let Some(incompat) = open_if_there(work.as_fd(), INCOMPAT)? {
            found.incompat = names(&incompat)?;
        }
    }
    if let Some(index) = open_if_there(root, INDEX)? {
        found.index = names(&index)?;
    }
    Ok(found)
}

/// The index of hard links in a work directory, if there is one.
pub fn index_of_work(root: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
    open_if_there(root, INDEX)
}

/// The index of hard links in the work directory at a path, to be read while a mount may be changing it: nothing is
/// made, and no lock is taken. `None` where there is none.
///
/// # Errors
/// It cannot be opened: an ordinary user may not look into root's.
pub fn index_to_read(work: &Path) -> Result<Option<OwnedFd>> {
    let in_work = |error: Error| error.at(work.as_os_str().as_bytes());
    match fs::open_dir_path(work) {
        Ok(root) => open_if_there(root.as_fd(), INDEX).map_err(in_work),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(in_work(Error::new("open work directory", errno))),
    }
}

/// Is nothing in a directory, as far as is seen now?
pub fn is_empty(dir: BorrowedFd<'_>) -> Result<bool> {
    let dir = fs::reopen_dir(dir, libc::O_RDONLY).op("open directory")?;
    Ok(names(&dir)?.is_empty())
}

/// Removes what an interrupted operation left in `work/`.
pub fn remove_left(root: BorrowedFd<'_>, left: Name<'_>) -> Result<()> {
    let work = fs::open_at(root, name(WORK)?, libc::O_RDONLY | libc::O_DIRECTORY, 0).op("open work/")?;
    remove_any(work.as_fd(), left)
}

/// Where something left in `work/` is, from the work directory's root.
pub fn path_in_work(left: Name<'_>) -> Result<RelPath> {
    Ok(RelPath::root().join(name(WORK)?).join(left))
}

/// Where a note of `work/incompat/` is, from the work directory's root.
pub fn path_in_incompat(note: Name<'_>) -> Result<RelPath> {
    Ok(RelPath::root().join(name(WORK)?).join(name(INCOMPAT)?).join(note))
}

/// Where the index is, from the work directory's root.
pub fn path_of_index() -> Result<RelPath> {
    Ok(RelPath::root().join(name(INDEX)?))
}

/// Where an entry of the index is, from the work directory's root.
pub fn path_in_index(entry: Name<'_>) -> Result<RelPath> {
    Ok(RelPath::root().join(name(INDEX)?).join(entry))
}

fn open_if_there(dir: BorrowedFd<'_>, bytes: &'static [u8]) -> Result<Option<OwnedFd>> {
    match fs::open_at(dir, name(bytes)?, libc::O_RDONLY | libc::O_DIRECTORY, 0) {
        Ok(dir) => Ok(Some(dir)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(Error::new("look into the work directory", errno).at(bytes)),
    }
}

fn names(dir: &OwnedFd) -> Result<Vec<NameBuf>> {
    let mut names = Vec::new();
    dirents::for_each::<Error>(dir, |entry| {
        names.extend(NameBuf::new(entry.name));
        Ok(())
    })?;
    names.sort_unstable();
    Ok(names)
}

fn remove_any(dir: BorrowedFd<'_>, name: Name<'_>) -> Result<()> {
    match fs::unlink(dir, name) {
        Err(Errno::EISDIR | Errno::EPERM) => remove_tree(dir, name),
        other => other.op("clear work/"),
    }
}

/// Removes a directory with all that is in it.
pub(super) fn remove_tree(dir: BorrowedFd<'_>, name: Name<'_>) -> Result<()> {
    const OP: &str = "remove from the work directory";
    // Most are empty.
    match fs::rmdir(dir, name) {
        Err(Errno::ENOTEMPTY | Errno::EEXIST) => {}
        other => return other.op(OP),
    }
    let open = || fs::open_at(dir, name, libc::O_RDONLY | libc::O_DIRECTORY, 0);
    let tree = match open() {
        Err(Errno::EACCES) => {
            fs::chmod(At::Name(dir, name), 0o700).op(OP)?;
            open()
        }
        other => other,
    }
    .op(OP)?;
    let mut names = Vec::new();
    dirents::for_each::<Error>(&tree, |entry| {
        names.extend(NameBuf::new(entry.name));
        Ok(())
    })?;
    for child in &names {
        match fs::unlink(tree.as_fd(), child.as_name()) {
            Err(Errno::EISDIR | Errno::EPERM) => remove_tree(tree.as_fd(), child.as_name())?,
            Err(Errno::EACCES) => {
                fs::chmod(At::Name(dir, name), 0o700).op(OP)?;
                remove_any(tree.as_fd(), child.as_name())?;
            }
            other => other.op(OP)?,
        }
    }
    fs::rmdir(dir, name).op(OP)
}
