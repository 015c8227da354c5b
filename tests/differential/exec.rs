//! One side: a mount, the descriptors held open on it, and what an operation gives there.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::mounts::Mount;
use crate::op::{Op, SLOTS, Slot, Who};
use crate::place::{as_who, within};
use crate::sys::{self, Dirent, Sys};
use crate::tree::{self, Clock, Node};

/// What an operation gave: an errno, or a description of the value that must be the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome(pub Result<String, Errno>);

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(value) if value.is_empty() => write!(f, "ok"),
            Ok(value) => write!(f, "ok, {value}"),
            Err(errno) => write!(f, "{errno:?}"),
        }
    }
}

/// One of the two mounts.
#[derive(Debug)]
pub struct Side {
    // Before the mount: held descriptors would keep it busy.
    slots: [Option<OwnedFd>; SLOTS],
    root: PathBuf,
    mount: Option<Mount>,
}

impl Side {
    pub fn new(mount: Mount) -> Self {
        Side { slots: Default::default(), root: mount.at().to_owned(), mount: Some(mount) }
    }

    /// No mount but a plain directory, to build layers in.
    pub fn bare(root: &Path) -> Self {
        Side { slots: Default::default(), root: root.to_owned(), mount: None }
    }

    /// Closes everything and unmounts.
    pub fn unmount(self) -> Result<(), String> {
        drop(self.slots);
        self.mount.map_or(Ok(()), Mount::unmount)
    }

    /// Makes the kernel forget what it can.
    pub fn forget(&self, read_only: bool) -> Result<(), String> {
        self.mount.as_ref().map_or(Ok(()), |mount| mount.forget(read_only))
    }

    /// All that the daemon wrote.
    pub fn log(&self) -> String {
        self.mount.as_ref().map(Mount::log).unwrap_or_default()
    }

    /// The end of the daemon's log.
    pub fn log_tail(&self) -> String {
        self.mount.as_ref().map(Mount::log_tail).unwrap_or_default()
    }

    /// Runs `act` with the mount as the root directory.
    pub fn within<T>(&self, act: impl FnOnce(&Self) -> T) -> Sys<T> {
        within(&self.root, || act(self))
    }

    /// Does `op` as `who`.
    pub fn perform(&mut self, who: Who, op: &Op) -> Outcome {
        let slots = &mut self.slots;
        Outcome(within(&self.root, || as_who(who, || perform(slots, op))).and_then(|done| done?))
    }

    /// What is held open in `slot`, described; its inode number apart.
    pub fn slot_node(&self, slot: Slot, clock: Clock) -> Option<Node> {
        let fd = self.slots[slot].as_ref()?;
        Some(tree::describe_fd(fd.as_fd(), clock))
    }
}

/// With `io=cached` a file is copied up by its first change, and with the kernel's overlay by being opened for it. So that both
/// have the same, whoever opens a file to change it gives it the mode that it has, on both sides.
fn has_changed(opened: &OwnedFd, flags: i32) {
    if !super::mounts::opens_by_kernel() || flags & libc::O_ACCMODE == libc::O_RDONLY {
        return;
    }
    if let Ok(stat) = nix::sys::stat::fstat(opened) {
        // Who may not has changed nothing on either side.
        let mode = nix::sys::stat::Mode::from_bits_truncate(stat.st_mode & 0o7777);
        nix::sys::stat::fchmod(opened, mode).ok();
    }
}

fn perform(slots: &mut [Option<OwnedFd>; SLOTS], op: &Op) -> Sys<String> {
    let done = |()| String::new();
    match op {
        Op::Open { slot, path, flags, mode } => {
            // The old descriptor goes first: its release is part of what is compared.
            slots[*slot] = None;
            let opened = sys::open(path, flags.bits() | libc::O_NONBLOCK, *mode)?;
            has_changed(&opened, flags.bits());
            slots[*slot] = Some(opened);
            Ok(String::new())
        }
        Op::Close { slot } => {
            slots[*slot] = None;
            Ok(String::new())
        }
        Op::OpenAt { dir, slot, name, flags, mode } => {
            let Some(dir) = &slots[*dir] else { return Ok(NOTHING.to_owned()) };
            let opened = sys::openat(dir.as_fd(), name, flags.bits() | libc::O_NONBLOCK, *mode)?;
            has_changed(&opened, flags.bits());
            slots[*slot] = Some(opened);
            Ok(String::new())
        }
        Op::MkdirAt { dir, name, mode } => match &slots[*dir] {
            Some(dir) => sys::mkdirat(dir.as_fd(), name, *mode).map(done),
            None => Ok(NOTHING.to_owned()),
        },
        Op::UnlinkAt { dir, name } => match &slots[*dir] {
            Some(dir) => sys::unlinkat(dir.as_fd(), name).map(done),
            None => Ok(NOTHING.to_owned()),
        },
        Op::StatAt { dir, name } => match &slots[*dir] {
            Some(dir) => {
                sys::lstatat(dir.as_fd(), name).map(|stat| format!("{:#o} {}", stat.mode, stat.nlink))
            }
            None => Ok(NOTHING.to_owned()),
        },
        Op::Statfs { path } => sys::longest_name(path).map(|len| format!("names up to {len}")),
        Op::Create { path, mode, parts, len, fill } => {
            let file = sys::open(path, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL, *mode)?;
            for (offset, part) in parts {
                sys::pwrite(file.as_fd(), &pattern(*part, *fill), *offset)?;
            }
            sys::ftruncate(file.as_fd(), *len).map(done)
        }
        Op::ReadDir { path, chunk } => {
            let dir = sys::open(path, libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
            sys::getdents(dir.as_fd(), *chunk).map(listing)
        }
        Op::ReadAll { path } => {
            let file = sys::open(path, libc::O_RDONLY | libc::O_NONBLOCK, 0)?;
            if !sys::fstat(file.as_fd())?.is_file() {
                return Ok("not a file".to_owned());
            }
            tree::content(file.as_fd()).map(|content| content.to_string())
        }
        Op::Stat { path } => sys::lstat(path).map(|stat| format!("{:#o} {}", stat.mode, stat.nlink)),
        Op::Access { path, mode } => sys::access(path, *mode).map(done),
        Op::Readlink { path } => sys::readlink(path).map(|target| format!("{target:?}")),
        Op::Truncate { path, len } => {
            // A FUSE file system is not told this from O_TRUNC, which unlike truncate(2) moves the time of an empty
            // file's last change.
            let empty = || sys::fstat(sys::open(path, libc::O_PATH, 0)?.as_fd()).map(|stat| stat.size == 0);
            if *len == 0 && empty() == Ok(true) {
                return Ok("empty already".to_owned());
            }
            sys::truncate(path, *len).map(done)
        }
        Op::Mkdir { path, mode } => sys::mkdir(path, *mode).map(done),
        Op::Rmdir { path } => sys::rmdir(path).map(done),
        Op::Unlink { path } => sys::unlink(path).map(done),
        Op::RemoveTree { path } => remove_tree(path),
        Op::Rename { from, to, flags } => sys::rename(from, to, *flags).map(done),
        Op::Link { from, to } => sys::link(from, to).map(done),
        Op::Symlink { target, path } => sys::symlink(target, path).map(done),
        Op::Mknod { path, mode, rdev } => sys::mknod(path, *mode, *rdev).map(done),
        Op::Chmod { path, mode } => sys::chmod(path, *mode).map(done),
        Op::Chown { path, uid, gid } => sys::lchown(path, *uid, *gid).map(done),
        Op::Utimens { path, atime, mtime } => sys::utimens(path, *atime, *mtime).map(done),
        Op::Setxattr { path, name, value, flags } => sys::setxattr(path, name, value, *flags).map(done),
        Op::Removexattr { path, name } => sys::removexattr(path, name).map(done),
        Op::Getxattr { path, name, room } => sys::getxattr(path, name, *room).map(|value| bytes(&value)),
        Op::Listxattr { path } => sys::listxattr(path).map(|names| format!("{names:?}")),
        Op::CopyRange { from, from_offset, to, to_offset, len } => {
            let (Some(from), Some(to)) = (&slots[*from], &slots[*to]) else { return Ok(NOTHING.to_owned()) };
            sys::copy_file_range(from.as_fd(), *from_offset, to.as_fd(), *to_offset, *len)
                .map(|n| n.to_string())
        }
        Op::LinkSlot { slot, .. }
        | Op::Pread { slot, .. }
        | Op::Pwrite { slot, .. }
        | Op::Read { slot, .. }
        | Op::Write { slot, .. }
        | Op::Seek { slot, .. }
        | Op::Ftruncate { slot, .. }
        | Op::Fallocate { slot, .. }
        | Op::MmapPoke { slot, .. }
        | Op::Fsync { slot }
        | Op::Fstat { slot }
        | Op::Fchmod { slot, .. }
        | Op::Fchown { slot, .. }
        | Op::Futimens { slot, .. }
        | Op::Fsetxattr { slot, .. }
        | Op::Fxattrs { slot }
        | Op::ReadDirSlot { slot, .. }
        | Op::Flock { slot, .. }
        | Op::OfdLock { slot, .. } => match &slots[*slot] {
            Some(fd) => perform_on(fd.as_fd(), op),
            None => Ok(NOTHING.to_owned()),
        },
    }
}

const NOTHING: &str = "nothing is open there";

fn perform_on(fd: BorrowedFd<'_>, op: &Op) -> Sys<String> {
    let done = |()| String::new();
    match op {
        Op::LinkSlot { to, .. } => sys::link_fd(fd, to).map(done),
        Op::Pread { offset, len, .. } => {
            let mut buf = vec![0; *len];
            let got = sys::pread(fd, &mut buf, *offset)?;
            Ok(bytes(&buf[..got]))
        }
        Op::Read { len, .. } => {
            let mut buf = vec![0; *len];
            let got = sys::read(fd, &mut buf)?;
            Ok(bytes(&buf[..got]))
        }
        Op::Pwrite { offset, len, fill, .. } => {
            sys::pwrite(fd, &pattern(*len, *fill), *offset).map(|n| n.to_string())
        }
        Op::Write { len, fill, .. } => sys::write(fd, &pattern(*len, *fill)).map(|n| n.to_string()),
        Op::Seek { offset, whence, .. } => {
            // Directory positions are the file system's own business.
            if sys::fstat(fd)?.is_dir() {
                return Ok("a directory".to_owned());
            }
            sys::lseek(fd, *offset, *whence).map(|at| at.to_string())
        }
        Op::Ftruncate { len, .. } => sys::ftruncate(fd, *len).map(done),
        Op::Fallocate { mode, offset, len, .. } => sys::fallocate(fd, *mode, *offset, *len).map(done),
        Op::MmapPoke { offset, byte, .. } => {
            let stat = sys::fstat(fd)?;
            if !stat.is_file() || stat.size <= *offset {
                return Ok("beyond the end".to_owned());
            }
            sys::mmap_poke(fd, *offset, *byte).map(done)
        }
        Op::Fsync { .. } => sys::fsync(fd).map(done),
        Op::Fstat { .. } => sys::fstat(fd).map(|stat| format!("{:#o}", stat.mode)),
        Op::Fchmod { mode, .. } => sys::fchmod(fd, *mode).map(done),
        Op::Fchown { uid, gid, .. } => sys::fchown(fd, *uid, *gid).map(done),
        Op::Futimens { atime, mtime, .. } => sys::futimens(fd, *atime, *mtime).map(done),
        Op::Fsetxattr { name, value, flags, .. } => sys::fsetxattr(fd, name, value, *flags).map(done),
        Op::Fxattrs { .. } => Ok(tree::xattrs_of(fd)),
        Op::ReadDirSlot { chunk, .. } => {
            sys::lseek(fd, 0, libc::SEEK_SET)?;
            sys::getdents(fd, *chunk).map(listing)
        }
        Op::Flock { operation, .. } => sys::flock(fd, *operation).map(done),
        Op::OfdLock { kind, start, len, .. } => sys::ofd_lock(fd, *kind, *start, *len).map(done),
        other => unreachable!("{} does not work on a descriptor", other.name()),
    }
}

/// Names and types in one order; a name listed twice is there twice.
fn listing(mut entries: Vec<Dirent>) -> String {
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<String> = entries.iter().map(|entry| format!("{:?}:{}", entry.name, entry.kind)).collect();
    names.join(" ")
}

/// Removes what can be removed; the errors, in the order of the paths, are the outcome. Which of them comes first is the
/// directory order's doing, which nothing promises.
fn remove_tree(path: &Path) -> Sys<String> {
    // Nothing below is touched where even this much fails.
    sys::lstat(path)?;
    let mut errors = Vec::new();
    remove(path, &mut errors);
    errors.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(errors.iter().map(|(path, errno)| format!("{path:?} {errno:?}")).collect::<Vec<_>>().join(", "))
}

fn remove(path: &Path, errors: &mut Vec<(PathBuf, Errno)>) {
    let removed = match sys::lstat(path) {
        Ok(stat) if stat.is_dir() => {
            if let Err(errno) = remove_entries(path, errors) {
                errors.push((path.to_owned(), errno));
            }
            sys::rmdir(path)
        }
        Ok(_) => sys::unlink(path),
        Err(errno) => Err(errno),
    };
    if let Err(errno) = removed {
        errors.push((path.to_owned(), errno));
    }
}

fn remove_entries(path: &Path, errors: &mut Vec<(PathBuf, Errno)>) -> Sys<()> {
    let dir = sys::open(path, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW, 0)?;
    loop {
        let entries = sys::getdents_once(dir.as_fd(), 600)?;
        if entries.is_empty() {
            return Ok(());
        }
        for entry in entries.iter().filter(|entry| entry.name != "." && entry.name != "..") {
            remove(&path.join(&entry.name), errors);
        }
    }
}

fn pattern(len: usize, fill: u8) -> Vec<u8> {
    (0..len).map(|at| fill.wrapping_add((at / 7) as u8)).collect()
}

/// Bytes so that two of them can be told apart and read.
pub fn bytes(data: &[u8]) -> String {
    let head: String = data.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{} bytes {head} #{:016x}", data.len(), tree::hash(data))
}
