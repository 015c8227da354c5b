//! What a sandbox needs on disk while it lasts.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;

use super::error::SandboxError;
use super::mounts::Kind;
use crate::error::errno_of;

/// A temporary directory, made and removed inside the sandbox's user namespace: what is in it may belong to any of its ids.
///
/// It is on disk, in $TMPDIR or /var/tmp, and not in memory: what is installed in a sandbox may be larger than that.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
    /// Locked as long as the directory is in use.
    _lock: Flock<File>,
}

/// How the directories' names begin.
const PREFIX: &str = "lamina-run-";
/// The file in each whose lock says that it is in use.
const LOCK: &str = "lock";

/// Where temporary directories are made: $TMPDIR, else the place for large files.
pub fn parent() -> PathBuf {
    let asked = std::env::var_os("TMPDIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    asked.unwrap_or_else(|| match Path::new("/var/tmp").is_dir() {
        true => "/var/tmp".into(),
        false => std::env::temp_dir(),
    })
}

/// Removes what is left of servers that were killed: directories of this user whose lock nobody holds. What cannot be removed
/// is in nobody's way.
fn remove_left(parent: &Path) {
    let ours = nix::unistd::geteuid().as_raw();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let path = entry.path();
        let named = entry.file_name().as_bytes().starts_with(PREFIX.as_bytes());
        let is_ours = || entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == ours);
        if !named || !is_ours() {
            continue;
        }
        // Held until the directory is gone. Nobody but this user could have put anything else there.
        let lock = File::open(path.join(LOCK)).ok();
        let Some(Ok(_lock)) = lock.map(|lock| Flock::lock(lock, FlockArg::LockExclusiveNonblock)) else {
            continue;
        };
        if let Err(error) = fs::remove_dir_all(&path) {
            log::debug!("'{}' stays: {error}", path.display());
        }
    }
}

impl Scratch {
    /// Makes it, with all directories that it has.
    ///
    /// # Errors
    /// Names the directory above.
    pub fn make(parent: &Path) -> Result<Self, SandboxError> {
        let failed =
            |error: io::Error| SandboxError::Scratch { path: parent.to_owned(), errno: errno_of(&error) };
        remove_left(parent);
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent).map_err(failed)?;
        // The file is locked before it has its name: a directory without one is in the making.
        let making = dir.path().join("lock.new");
        let lock = File::create(&making).map_err(failed)?;
        let lock =
            Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| failed(errno.into()))?;
        fs::rename(&making, dir.path().join(LOCK)).map_err(failed)?;
        let scratch = Scratch { dir, _lock: lock };
        for path in [scratch.root(), scratch.base(), scratch.upper(), scratch.work()] {
            DirBuilder::new().mode(0o755).create(path).map_err(failed)?;
        }
        Ok(scratch)
    }

    /// Where the tree is mounted.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// The layer below all others.
    pub fn base(&self) -> PathBuf {
        self.dir.path().join("base")
    }

    /// The upper, unless the caller has one.
    pub fn upper(&self) -> PathBuf {
        self.dir.path().join("upper")
    }

    /// Its work directory.
    pub fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// Fills the layer below all others.
    ///
    /// # Errors
    /// Names the entry.
    pub fn fill_base(&self, entries: &[(PathBuf, Kind)]) -> Result<(), SandboxError> {
        for (path, kind) in entries {
            let at = self.base().join(path);
            let parent = at.parent().unwrap_or(&at);
            let made = fs::create_dir_all(parent).and_then(|()| match kind {
                Kind::Directory => fs::create_dir_all(&at),
                Kind::File => File::create(&at).map(drop),
            });
            made.map_err(|error| SandboxError::Place {
                what: "make",
                path: Path::new("/").join(path),
                errno: errno_of(&error),
            })?;
        }
        let tmp = self.base().join("tmp");
        if tmp.is_dir() {
            // As everywhere: it may be the image's only one.
            fs::set_permissions(&tmp, PermissionsExt::from_mode(0o1777)).map_err(|error| {
                SandboxError::Place { what: "make", path: "/tmp".into(), errno: errno_of(&error) }
            })?;
        }
        Ok(())
    }

    /// A file that is shown in the sandbox.
    ///
    /// # Errors
    /// Names the directory above.
    pub fn file(&self, name: &str, content: &[u8]) -> Result<PathBuf, SandboxError> {
        let path = self.dir.path().join(name);
        let made = fs::write(&path, content)
            .and_then(|()| fs::set_permissions(&path, PermissionsExt::from_mode(0o644)));
        match made {
            Ok(()) => Ok(path),
            Err(error) => {
                Err(SandboxError::Scratch { path: self.dir.path().to_owned(), errno: errno_of(&error) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_server_has_left_is_removed_and_what_is_in_use_stays() {
        let parent = tempfile::tempdir().unwrap();
        let used = Scratch::make(parent.path()).unwrap();
        let (left, making, other) = (
            parent.path().join(format!("{PREFIX}left")),
            parent.path().join(format!("{PREFIX}making")),
            parent.path().join("other"),
        );
        for dir in [&left, &making, &other] {
            fs::create_dir_all(dir.join("upper/x")).unwrap();
        }
        for dir in [&left, &other] {
            fs::write(dir.join(LOCK), "").unwrap();
        }
        let next = Scratch::make(parent.path()).unwrap();
        assert!(used.root().is_dir() && next.root().is_dir() && making.is_dir() && other.is_dir());
        assert!(!left.exists());
        drop((used, next));
        let mut names: Vec<_> =
            fs::read_dir(parent.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        assert_eq!(names, [making, other]);
    }

    #[test]
    fn the_layer_below_has_what_the_plan_says() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = Scratch::make(parent.path()).unwrap();
        let entries = [
            ("tmp", Kind::Directory),
            ("etc/hosts", Kind::File),
            ("etc", Kind::Directory),
            ("a/b", Kind::Directory),
        ];
        scratch.fill_base(&entries.map(|(path, kind)| (path.into(), kind))).unwrap();
        let base = scratch.base();
        assert!(base.join("etc/hosts").is_file() && base.join("a/b").is_dir());
        assert_eq!(fs::metadata(base.join("tmp")).unwrap().mode() & 0o7777, 0o1777);
        // A file where a directory must be: the plan contradicts itself.
        let error = scratch.fill_base(&[("etc/hosts/x".into(), Kind::File)]).unwrap_err();
        assert!(error.to_string().contains("/etc/hosts/x"), "{error}");
    }
}
