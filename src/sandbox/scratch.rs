//! What a sandbox needs on disk while it lasts.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::error::SandboxError;
use super::mounts::Kind;
use crate::error::errno_of;

/// A temporary directory, made and removed inside the sandbox's user namespace: what is in it may belong to any of its ids.
///
/// It is on disk, in $TMPDIR or /var/tmp, and not in memory: what is installed in a sandbox may be larger than that.
#[derive(Debug)]
pub struct Scratch {
    /// Taken away before the directory is.
    views: Vec<View>,
    dir: Removed,
    /// Locked as long as the directory is in use.
    _lock: Flock<File>,
}

/// A directory of the machine that is mounted in ours until this is dropped.
#[derive(Debug)]
struct View(PathBuf);

impl Drop for View {
    fn drop(&mut self) {
        // What is still in use ends with its last user, which is this process. Where it fails, the directory stays as well.
        if let Err(errno) = umount2(&self.0, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            log::debug!("'{}' stays mounted: {}", self.0.display(), errno.desc());
        }
    }
}

/// Our directory, which goes when this is dropped.
#[derive(Debug)]
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            log::debug!("'{}' stays: {error}", self.0.display());
        }
    }
}

/// Removes one of our directories. What is mounted in it is somebody's upper, or a layer: where something still is, nothing is
/// removed, for a removal would go on in there.
fn remove(dir: &Path) -> io::Result<()> {
    let views = fs::read_dir(dir.join(VIEWS)).into_iter().flatten().flatten().map(|entry| entry.path());
    for point in views.chain([dir.join(ROOT)]) {
        // The kernel refuses this for what is mounted on (EBUSY). Without its mount each is empty.
        match fs::remove_dir(&point) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::remove_dir_all(dir)
}

/// How the directories' names begin.
const PREFIX: &str = "lamina-run-";
/// The file in each whose lock says that it is in use.
const LOCK: &str = "lock";
/// Where the tree is mounted.
const ROOT: &str = "root";
/// Where layers are mounted that contain what a sandbox writes.
const VIEWS: &str = "views";

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
        drop(Removed(path));
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
        let dir = Removed(fs::canonicalize(dir.keep()).map_err(failed)?);
        // The file is locked before it has its name: a directory without one is in the making.
        let making = dir.0.join("lock.new");
        let lock = File::create(&making).map_err(failed)?;
        let lock =
            Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| failed(errno.into()))?;
        fs::rename(&making, dir.0.join(LOCK)).map_err(failed)?;
        let scratch = Scratch { views: Vec::new(), dir, _lock: lock };
        let views = scratch.path().join(VIEWS);
        for path in [scratch.root(), scratch.base(), scratch.upper(), scratch.work(), views] {
            DirBuilder::new().mode(0o755).create(path).map_err(failed)?;
        }
        Ok(scratch)
    }

    /// The directory itself: absolute, without symbolic links.
    pub fn path(&self) -> &Path {
        &self.dir.0
    }

    /// Where the tree is mounted.
    pub fn root(&self) -> PathBuf {
        self.path().join(ROOT)
    }

    /// The layer below all others.
    pub fn base(&self) -> PathBuf {
        self.path().join("base")
    }

    /// The upper, unless the caller has one.
    pub fn upper(&self) -> PathBuf {
        self.path().join("upper")
    }

    /// Its work directory.
    pub fn work(&self) -> PathBuf {
        self.path().join("work")
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

    /// Shows a layer without what this sandbox writes, where the layer contains it, as `/` contains most: it would be found
    /// inside itself. Gives the directory where the layer is to be found instead. In there the paths `written` are empty, each
    /// of them a directory within the layer; all are absolute and without symbolic links.
    ///
    /// The process must have a mount namespace of its own, from which nothing spreads.
    ///
    /// # Errors
    /// Names the layer.
    pub fn view(&mut self, layer: &Path, written: &[&Path]) -> Result<PathBuf, SandboxError> {
        let failed = |errno| SandboxError::View { layer: layer.to_owned(), errno };
        let at = self.path().join(VIEWS).join(self.views.len().to_string());
        DirBuilder::new().mode(0o755).create(&at).map_err(|error| failed(errno_of(&error)))?;
        // With all that is mounted below it: the kernel shows nobody what lies beneath mounts that are not one's own.
        let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
        mount(Some(layer), &at, None::<&str>, flags, None::<&str>).map_err(failed)?;
        self.views.push(View(at.clone()));
        for path in written {
            let within = path.strip_prefix(layer).map_err(|_| failed(Errno::EINVAL))?;
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_RDONLY;
            mount(Some("tmpfs"), &at.join(within), Some("tmpfs"), flags, Some("mode=755,size=4k"))
                .map_err(failed)?;
        }
        Ok(at)
    }

    /// A file that is shown in the sandbox.
    ///
    /// # Errors
    /// Names the directory above.
    pub fn file(&self, name: &str, content: &[u8]) -> Result<PathBuf, SandboxError> {
        let path = self.path().join(name);
        let made = fs::write(&path, content)
            .and_then(|()| fs::set_permissions(&path, PermissionsExt::from_mode(0o644)));
        match made {
            Ok(()) => Ok(path),
            Err(error) => {
                Err(SandboxError::Scratch { path: self.path().to_owned(), errno: errno_of(&error) })
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
    fn nothing_is_removed_where_something_may_still_be_mounted() {
        let parent = tempfile::tempdir().unwrap();
        for point in ["root", "views/0"] {
            let scratch = Scratch::make(parent.path()).unwrap();
            let dir = scratch.path().to_owned();
            // As what is mounted would be: not empty, so that the kernel refuses to remove it, as it does with a mount.
            fs::create_dir_all(dir.join(point)).unwrap();
            fs::write(dir.join(point).join("file"), "precious").unwrap();
            drop(scratch);
            assert_eq!(fs::read(dir.join(point).join("file")).unwrap(), b"precious", "{point}");
            assert!(dir.join("upper").is_dir() && dir.join(LOCK).is_file());
            fs::remove_dir_all(dir).unwrap();
        }
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
