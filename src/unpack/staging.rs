//! The directory that is being filled, until one rename gives it its name.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::error::{Error, ErrorContext, Kind, OpContext, Result, errno_of};
use crate::path::{NAME_MAX, NameBuf, RelPath};
use crate::sys::fs::{self as names, At, RenameFlag, Stat};
use crate::sys::xattr;

/// What follows a dot and the target's name in the name of the directory that is being filled.
const SUFFIX: &str = ".lamina-unpack";
/// What every error here was about.
const OP: &str = "unpack into";

/// A directory beside the target. Dropping it removes it; [`Staging::publish`] makes it the target.
#[derive(Debug)]
pub struct Staging {
    parent: OwnedFd,
    parent_path: PathBuf,
    name: NameBuf,
    target: NameBuf,
    /// Mode and owner of the target, where it was there before.
    before: Option<Stat>,
    /// Holds the lock, too.
    dir: OwnedFd,
    armed: bool,
}

impl Staging {
    /// Makes the directory, `.NAME.lamina-unpack` beside the target. One that an earlier process left is removed first.
    ///
    /// # Errors
    /// The target is there and is not an empty directory; its parent is missing or cannot be written; another process is
    /// unpacking into it.
    pub fn begin(target: &Path) -> Result<Staging> {
        Staging::begin_inner(target).at(target.as_os_str().as_bytes())
    }

    fn begin_inner(target: &Path) -> Result<Staging> {
        let (parent_path, target, before) = place_of(target)?;
        let name = staging_name(&target)?;
        let parent = names::open_dir_path(&parent_path).op(OP)?;
        let full_path = parent_path.join(name.as_name().as_os_str());
        let mut left_behind = true;
        loop {
            match names::mkdir(parent.as_fd(), name.as_name(), 0o700) {
                Ok(()) => break,
                Err(Errno::EEXIST) if left_behind => {
                    drop(lock(&parent, &name)?);
                    remove_all(&full_path).map_err(|error| os(&error))?;
                    left_behind = false;
                }
                Err(Errno::EEXIST) => return Err(Error::new(OP, Kind::InUse)),
                Err(errno) => return Err(Error::new(OP, errno)),
            }
        }
        let dir = lock(&parent, &name)?;
        let staging = Staging { parent, parent_path, name, target, before, dir, armed: true };
        // What is made in it must not take over an ACL of the place.
        match xattr::remove(At::Fd(staging.dir.as_fd()), b"system.posix_acl_default") {
            Ok(()) | Err(Errno::ENODATA | Errno::ENOTSUP) => {}
            Err(errno) => return Err(Error::new(OP, errno)),
        }
        // Nor its group.
        names::chmod(At::Fd(staging.dir.as_fd()), 0o700).op(OP)?;
        Ok(staging)
    }

    /// The directory.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Where it will be, from the root.
    pub fn target(&self) -> PathBuf {
        self.parent_path.join(self.target.as_name().as_os_str())
    }

    /// Gives the directory the mode and owner that the target had, or those of a new directory.
    pub fn like_a_new_directory(&self, perm: u32) -> Result<()> {
        let at = At::Fd(self.dir.as_fd());
        if let Some(before) = &self.before {
            match names::chown(at, Some(before.uid), Some(before.gid)) {
                // Another's directory that we may replace: it becomes ours.
                Ok(()) | Err(Errno::EPERM) => {}
                Err(errno) => return Err(Error::new(OP, errno)),
            }
        }
        names::chmod(at, self.before.map_or(perm, |before| before.mode & 0o7777)).op(OP)
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// Something has appeared at the target, or it is a mount point; the directory is then removed.
    pub fn publish(mut self) -> Result<()> {
        let to = (self.parent.as_fd(), self.target.as_name());
        match names::rename((self.parent.as_fd(), self.name.as_name()), to, RenameFlag::Replace) {
            Ok(()) => {
                self.armed = false;
                Ok(())
            }
            Err(Errno::EEXIST | Errno::ENOTEMPTY) => Err(Error::new(OP, Kind::NotEmpty)),
            Err(errno) => Err(Error::new(OP, errno)),
        }
        .at(self.target().as_os_str().as_bytes())
    }
}

impl Staging {
    /// What it is called, and the only file in it that [`Staging::publish_file`] takes.
    pub fn file_name(&self) -> NameBuf {
        self.target.clone()
    }

    /// Gives what has the target's name in it that name beside it; the directory is then removed.
    ///
    /// # Errors
    /// Something is at the target.
    pub fn publish_file(self) -> Result<()> {
        let name = self.target.as_name();
        let to = (self.parent.as_fd(), name);
        match names::rename((self.dir.as_fd(), name), to, RenameFlag::NoReplace) {
            Ok(()) => Ok(()),
            Err(Errno::EEXIST) => Err(Error::new(OP, Kind::Exists)),
            // A file system that knows no such rename: a link replaces nothing either.
            Err(Errno::EINVAL | Errno::ENOSYS) => {
                names::link(At::Name(self.dir.as_fd(), name), self.parent.as_fd(), name).op(OP)
            }
            Err(errno) => Err(Error::new(OP, errno)),
        }
        .at(self.target().as_os_str().as_bytes())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let path = self.parent_path.join(self.name.as_name().as_os_str());
        if let Err(error) = remove_all(&path) {
            log::warn!("{} cannot be removed: {}", path.display(), crate::error::describe(&error));
        }
    }
}

/// Removes a directory with all in it, also where directories in it have modes that keep their owner out.
fn remove_all(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        removed => return removed,
    }
    let root = names::open_dir_path(path)?;
    let mut waiting = vec![RelPath::root()];
    while let Some(dir) = waiting.pop() {
        // From the top: what cannot be searched cannot be gone through. No symlink is followed.
        let fd = names::open_dir_below(root.as_fd(), dir.as_bytes())?;
        names::chmod(At::Fd(fd.as_fd()), 0o700)?;
        for entry in fs::read_dir(path.join(OsStr::from_bytes(dir.as_bytes())))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                let name = NameBuf::new(entry.file_name().as_bytes()).map_err(|_| Errno::EINVAL)?;
                waiting.push(dir.join(name.as_name()));
            }
        }
    }
    fs::remove_dir_all(path)
}

/// The directory that the target is or will be in, its name there, and what it is.
fn place_of(target: &Path) -> Result<(PathBuf, NameBuf, Option<Stat>)> {
    let (path, before) = match fs::canonicalize(target) {
        Ok(path) => {
            if !path.is_dir() {
                return Err(Error::new(OP, Kind::NotADirectory));
            }
            if fs::read_dir(&path).map_err(|error| os(&error))?.next().is_some() {
                return Err(Error::new(OP, Kind::NotEmpty));
            }
            let dir = names::open_dir_path(&path).op(OP)?;
            (path, Some(names::stat(At::Fd(dir.as_fd())).op(OP)?))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A symlink that leads nowhere is in the way, too.
            if target.symlink_metadata().is_ok() {
                return Err(Error::new(OP, Kind::NotADirectory));
            }
            let name = target.file_name().ok_or_else(|| Error::new(OP, Kind::Invalid("it has no name")))?;
            let parent = match target.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            let parent =
                fs::canonicalize(parent).map_err(|error| os(&error).at(parent.as_os_str().as_bytes()))?;
            (parent.join(name), None)
        }
        Err(error) => return Err(os(&error)),
    };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::new(OP, Kind::Invalid("the root directory cannot be replaced")));
    };
    let name = NameBuf::new(name.as_bytes()).map_err(|_| Error::new(OP, Kind::NameTooLong))?;
    Ok((parent.to_path_buf(), name, before))
}

fn staging_name(target: &NameBuf) -> Result<NameBuf> {
    let long = [b".", target.as_bytes(), SUFFIX.as_bytes()].concat();
    let name = if long.len() <= NAME_MAX { long } else { SUFFIX.as_bytes().to_vec() };
    NameBuf::new(name).map_err(|_| Error::new(OP, Kind::NameTooLong))
}

/// Takes the directory for this process alone: it must still be the one of that name once it is locked.
fn lock(parent: &OwnedFd, name: &NameBuf) -> Result<OwnedFd> {
    let in_use = || Error::new(OP, Kind::InUse);
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    let dir = match names::open_at(parent.as_fd(), name.as_name(), flags, 0) {
        // Another process has just finished, or given up.
        Err(Errno::ENOENT) => return Err(in_use()),
        other => other.op(OP)?,
    };
    match names::lock_exclusive(dir.as_fd()) {
        Ok(()) => {}
        Err(Errno::EWOULDBLOCK) => return Err(in_use()),
        // A file system without locks: then nobody can tell.
        Err(Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::ENOSYS) => {}
        Err(errno) => return Err(Error::new(OP, errno)),
    }
    let own = names::stat(At::Fd(dir.as_fd())).op(OP)?;
    match names::stat(At::Name(parent.as_fd(), name.as_name())) {
        Ok(named) if (named.dev, named.ino) == (own.dev, own.ino) => Ok(dir),
        Ok(_) | Err(Errno::ENOENT) => Err(in_use()),
        Err(errno) => Err(Error::new(OP, errno)),
    }
}

fn os(error: &io::Error) -> Error {
    Error::new(OP, errno_of(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_in(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_target_is_there_once_it_is_complete_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        let staging = Staging::begin(&target).unwrap();
        assert_eq!(names_in(dir.path()), [".target.lamina-unpack"]);
        fs::write(dir.path().join(".target.lamina-unpack/file"), "").unwrap();
        drop(staging);
        assert_eq!(names_in(dir.path()), [""; 0]);

        let staging = Staging::begin(&target).unwrap();
        assert_eq!(staging.target(), fs::canonicalize(dir.path()).unwrap().join("target"));
        staging.publish().unwrap();
        assert_eq!(names_in(dir.path()), ["target"]);
    }

    #[test]
    fn one_process_at_a_time_fills_a_target() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        let staging = Staging::begin(&target).unwrap();
        assert_eq!(*Staging::begin(&target).unwrap_err().kind(), Kind::InUse);
        staging.publish().unwrap();
        drop(Staging::begin(&target).unwrap());
        assert_eq!(names_in(dir.path()), ["target"]);
    }

    #[test]
    fn a_file_is_there_once_it_is_complete_and_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        for expected in [Ok(()), Err(Kind::Exists)] {
            let _ = fs::rename(&target, dir.path().join("other")); // it is there the second time only
            let staging = Staging::begin(&target).unwrap();
            fs::write(dir.path().join(".target.lamina-unpack/target"), "new").unwrap();
            if expected.is_err() {
                fs::write(&target, "others").unwrap();
            }
            assert_eq!(staging.publish_file().map_err(|error| error.kind().clone()), expected);
            let text = if expected.is_ok() { "new" } else { "others" };
            assert_eq!(fs::read_to_string(&target).unwrap(), text);
        }
        assert_eq!(names_in(dir.path()), ["other", "target"]);
    }

    #[test]
    fn what_has_appeared_at_the_target_stays() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        let staging = Staging::begin(&target).unwrap();
        fs::create_dir(&target).unwrap();
        fs::write(target.join("others"), "").unwrap();
        assert_eq!(*staging.publish().unwrap_err().kind(), Kind::NotEmpty);
        assert_eq!(names_in(dir.path()), ["target"]);
        assert_eq!(names_in(&target), ["others"]);
    }
}
