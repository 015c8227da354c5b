//! Files in the making: in `tmp/`, locked by who writes them, until one rename puts them in place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::{Flock, FlockArg};

use super::layout::{Layout, names};
use super::problem::StoreProblem;
use crate::stamp::FileStamp;

/// A file in the making. Dropping it removes it; [`Staging::publish`] puts it in place.
///
/// Its lock tells it from what a writer left who was killed: locks go with the process.
#[derive(Debug)]
pub struct Staging {
    file: Flock<File>,
    path: PathBuf,
    armed: bool,
}

impl Staging {
    /// An empty file, for nobody else to read.
    pub fn new(layout: &Layout) -> Result<Self, StoreProblem> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = layout.tmp().join(format!("{}-{n}", std::process::id()));
            let error = |error: io::Error| StoreProblem::io("make", &path, &error);
            let file =
                match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
                    Ok(file) => file,
                    // A process in another container has the same number.
                    Err(failed) if failed.kind() == io::ErrorKind::AlreadyExists => continue,
                    Err(failed) => return Err(error(failed)),
                };
            let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) => file,
                // Somebody sweeps, and found it before it was locked.
                Err(_) => continue,
            };
            if file.metadata().map_err(error)?.nlink() > 0 {
                return Ok(Staging { file, path, armed: true });
            }
        }
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// An error of writing it.
    pub fn failed(&self, error: &io::Error) -> StoreProblem {
        StoreProblem::io("write", &self.path, error)
    }

    /// Puts it in place, over whatever is there, and tells what it is now.
    pub fn publish(mut self, to: &Path) -> Result<FileStamp, StoreProblem> {
        let error = |error: io::Error| StoreProblem::io("put in place", to, &error);
        fs::rename(&self.path, to).map_err(error)?;
        self.armed = false;
        // Renaming changed its times.
        self.file.metadata().map(|metadata| FileStamp::from(&metadata)).map_err(error)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.armed {
            // What stays is swept by the next process.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Puts a small file in place, whole or not at all.
pub fn write_whole(layout: &Layout, to: &Path, content: &[u8]) -> Result<(), StoreProblem> {
    let staging = Staging::new(layout)?;
    staging.file().write_all(content).map_err(|error| staging.failed(&error))?;
    staging.publish(to).map(drop)
}

/// What is in `tmp/` and nobody writes: the writers were killed.
pub fn abandoned(layout: &Layout) -> Result<Vec<Abandoned>, StoreProblem> {
    let locked = |path: PathBuf| {
        // Whoever has gone meanwhile, or is being written, is none.
        let file = Flock::lock(File::open(&path).ok()?, FlockArg::LockExclusiveNonblock).ok()?;
        let size = file.metadata().ok()?.size();
        Some(Abandoned { path, size, _lock: file })
    };
    Ok(names(&layout.tmp())?.into_iter().filter_map(locked).collect())
}

/// A file that a killed process left, locked.
#[derive(Debug)]
pub struct Abandoned {
    path: PathBuf,
    /// Bytes.
    pub size: u64,
    _lock: Flock<File>,
}

impl Abandoned {
    /// Removes it.
    pub fn remove(self) -> Result<(), StoreProblem> {
        fs::remove_file(&self.path).map_err(|error| StoreProblem::io("remove", &self.path, &error))
    }
}
