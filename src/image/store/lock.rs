//! Who works on a layer, and who uses it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::problem::StoreProblem;
use crate::stamp::FileStamp;

/// After how long a person is told that somebody else does the work.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often the lock is tried.
const PAUSE: Duration = Duration::from_millis(20);

/// The right to work on a layer: only one has it, of all processes and threads. It goes with the process, and its file
/// goes when it is dropped: a store in which nobody works has no locks.
#[derive(Debug)]
pub struct WorkLock {
    /// Unlocked once it is closed, after the file is gone.
    _file: Flock<File>,
    path: PathBuf,
}

impl Drop for WorkLock {
    fn drop(&mut self) {
        // A lock that stays is in nobody's way: `lamina store gc` removes it.
        if let Err(error) = std::fs::remove_file(&self.path) {
            log::debug!("{}", StoreProblem::io("remove", &self.path, &error));
        }
    }
}

/// How waiting for a lock ended without it.
#[derive(Debug)]
pub enum NotLocked {
    /// The caller no longer wants it.
    GaveUp,
    /// An error of the system.
    Failed(StoreProblem),
}

impl WorkLock {
    /// Waits for the lock as long as `go_on` says so; calls `waiting` once, when that takes more than half a second.
    pub fn acquire(path: &Path, go_on: impl Fn() -> bool, waiting: impl Fn()) -> Result<Self, NotLocked> {
        let begin = Instant::now();
        let mut told = false;
        loop {
            if let Some(lock) = Self::try_acquire(path).map_err(NotLocked::Failed)? {
                return Ok(lock);
            }
            if !go_on() {
                return Err(NotLocked::GaveUp);
            }
            if !told && begin.elapsed() >= PATIENCE {
                told = true;
                waiting();
            }
            thread::sleep(PAUSE);
        }
    }

    /// The lock, unless somebody has it.
    pub fn try_acquire(path: &Path) -> Result<Option<Self>, StoreProblem> {
        let error = |error: io::Error| StoreProblem::io("lock", path, &error);
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(path)
                .map_err(error)?;
            let lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => lock,
                Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
                Err((_, errno)) => return Err(error(errno.into())),
            };
            // Who had it has removed the file: this one may be none any more.
            if lock.metadata().map_err(error)?.nlink() > 0 {
                return Ok(Some(WorkLock { _file: lock, path: path.to_owned() }));
            }
        }
    }
}

/// Says that a layer is in use: as long as it lives, `lamina store gc` and `rm` leave the layer alone. Hold it as long
/// as the layer is mounted; it may be handed on through fork(2).
#[derive(Debug)]
pub struct Lease(Flock<File>);

impl Lease {
    /// Of an index that is what `expected` says; `None` where it is not.
    ///
    /// Who has it for themselves only looks, or removes the layer: either way they are done in a moment, and it is waited
    /// for. A removed index has another time of change.
    pub fn of_index(path: &Path, expected: &FileStamp) -> Option<Self> {
        let mut file = File::open(path).ok()?;
        let lease = loop {
            match Flock::lock(file, FlockArg::LockShared) {
                Ok(lease) => break lease,
                Err((again, Errno::EINTR)) => file = again,
                Err(_) => return None,
            }
        };
        let metadata = lease.metadata().ok()?;
        (FileStamp::from(&metadata) == *expected).then_some(Lease(lease))
    }

    /// What the index is.
    pub fn index(&self) -> &File {
        &self.0
    }

    /// The right to remove an index; `None` while somebody has a lease of it.
    pub fn exclude(path: &Path) -> Result<Exclusion, StoreProblem> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Exclusion::Free(None)),
            Err(error) => return Err(StoreProblem::io("lock", path, &error)),
        };
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Exclusion::Free(Some(lock))),
            Err((_, Errno::EWOULDBLOCK)) => Ok(Exclusion::InUse),
            Err((_, errno)) => Err(StoreProblem::io("lock", path, &errno.into())),
        }
    }
}

/// Whether an index may be removed.
#[derive(Debug)]
pub enum Exclusion {
    /// Nobody uses it, and nobody will as long as this lives.
    Free(#[allow(dead_code, reason = "held, not looked at")] Option<Flock<File>>),
    /// Somebody uses it.
    InUse,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does anybody wait for a lock of that inode? (proc_locks(5): `N: -> FLOCK ... MAJOR:MINOR:INODE ...`)
    fn is_waited_for(ino: u64) -> bool {
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        locks.lines().any(|line| line.contains(" -> FLOCK ") && line.contains(&format!(":{ino} ")))
    }

    #[test]
    fn who_only_looks_whether_a_layer_is_in_use_takes_it_from_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        std::fs::write(&path, "index").unwrap();
        let stamp = FileStamp::from(&std::fs::metadata(&path).unwrap());
        let Exclusion::Free(Some(looking)) = Lease::exclude(&path).unwrap() else { panic!("it is free") };
        thread::scope(|scope| {
            let lease = scope.spawn(|| Lease::of_index(&path, &stamp));
            while !lease.is_finished() && !is_waited_for(stamp.ino) {
                thread::yield_now();
            }
            drop(looking);
            assert!(lease.join().unwrap().is_some());
        });
        let Exclusion::Free(Some(removing)) = Lease::exclude(&path).unwrap() else { panic!("it is free") };
        thread::scope(|scope| {
            let lease = scope.spawn(|| Lease::of_index(&path, &stamp));
            std::fs::remove_file(&path).unwrap();
            drop(removing);
            assert!(lease.join().unwrap().is_none());
        });
    }
}
