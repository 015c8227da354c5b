//! What a sandbox needs on disk while it lasts.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use tempfile::TempDir;

use super::error::SandboxError;
use super::mounts::Kind;

/// A temporary directory, made and removed inside the sandbox's user namespace: what is in it may belong to any of its ids.
///
/// It is on disk, in $TMPDIR or /var/tmp, and not in memory: what is installed in a sandbox may be larger than that.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
}

/// Where temporary directories are made: $TMPDIR, else the place for large files.
pub fn parent() -> PathBuf {
    let asked = std::env::var_os("TMPDIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    asked.unwrap_or_else(|| match Path::new("/var/tmp").is_dir() {
        true => "/var/tmp".into(),
        false => std::env::temp_dir(),
    })
}

impl Scratch {
    /// Makes it, with all directories that it has.
    ///
    /// # Errors
    /// Names the directory above.
    pub fn make(parent: &Path) -> Result<Self, SandboxError> {
        let failed = |error: io::Error| SandboxError::Scratch {
            path: parent.to_owned(),
            errno: Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)),
        };
        let dir = tempfile::Builder::new().prefix("lamina-run-").tempdir_in(parent).map_err(failed)?;
        let scratch = Scratch { dir };
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
                errno: Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)),
            })?;
        }
        let tmp = self.base().join("tmp");
        if tmp.is_dir() {
            // As everywhere: it may be the image's only one.
            fs::set_permissions(&tmp, PermissionsExt::from_mode(0o1777)).map_err(|error| {
                SandboxError::Place {
                    what: "make",
                    path: "/tmp".into(),
                    errno: Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)),
                }
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
            Err(error) => Err(SandboxError::Scratch {
                path: self.dir.path().to_owned(),
                errno: Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)),
            }),
        }
    }
}
