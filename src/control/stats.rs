//! Asking a mount what it has done.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reach::{ReachError, Reached, reach};
use super::snapshot::{SNAPSHOT_FORMAT, Snapshot};
use super::{MountInfo, STATS_XATTR, patience};
use crate::error::describe;

/// How long it may take: counting a million nodes takes a moment.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a mount did not tell.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum StatsError {
    #[error(transparent)]
    Unreached(#[from] ReachError),
    #[error("'{}' is served by lamina {version} of a time before it counted", .path.display())]
    Older { path: PathBuf, version: String },
    #[error("'{}' is served by lamina {version}, which counts in another way (format {format})", .path.display())]
    Newer { path: PathBuf, version: String, format: u32 },
    #[error("'{}' does not tell what it has done: {problem}", .path.display())]
    Odd { path: PathBuf, problem: String },
}

impl StatsError {
    /// What a person can do.
    pub fn hint(&self) -> String {
        match self {
            StatsError::Unreached(error) => error.hint(),
            StatsError::Older { .. } => "unmount it, and mount it again: from then on it counts".to_owned(),
            StatsError::Newer { .. } => {
                "ask it by the lamina that serves it: see lamina list --json".to_owned()
            }
            StatsError::Odd { .. } => "see the daemon's log (--log-file of mount)".to_owned(),
        }
    }
}

/// A mount that can be asked again and again.
#[derive(Debug)]
pub struct Counted(Reached);

impl Counted {
    /// The mount at `path`. Works in a process with one thread only.
    ///
    /// # Errors
    /// There is none that can be asked.
    pub fn at(path: &Path) -> Result<Self, StatsError> {
        Ok(Counted(reach(path)?))
    }

    /// What it says of itself.
    pub fn info(&self) -> &MountInfo {
        &self.0.info
    }

    /// What it has done until now. Works in a process with one thread only.
    ///
    /// # Errors
    /// It does not answer, or not to us.
    pub fn snapshot(&self) -> Result<Snapshot, StatsError> {
        let answer = patience::attribute(&self.0.real, STATS_XATTR, PATIENCE);
        judge(answer.map_err(|error| self.0.silent(&error))?, &self.0)
    }
}

fn judge(answer: io::Result<Vec<u8>>, mount: &Reached) -> Result<Snapshot, StatsError> {
    let (path, version) = (mount.given.clone(), mount.info.version.clone());
    let odd = |problem: &io::Error| StatsError::Odd { path: path.clone(), problem: describe(problem) };
    let value = match answer {
        Ok(value) => value,
        Err(error) => {
            return Err(match error.raw_os_error() {
                // It does not know the name, and takes it for any attribute.
                Some(libc::ENODATA | libc::ENOTSUP) => StatsError::Older { path, version },
                errno => errno.and_then(|errno| mount.refused(errno)).map_or_else(|| odd(&error), Into::into),
            });
        }
    };
    let snapshot = Snapshot::decode(&value).map_err(|error| odd(&error.into()))?;
    match snapshot.format {
        SNAPSHOT_FORMAT => Ok(snapshot),
        format => Err(StatsError::Newer { path, version, format }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_what_they_mean() {
        let json = br#"{"version":"0.0","pid":1,"mountpoint":"/m","layers":[],"upper":null,"work":null,
                        "transport":"dev","options":[]}"#;
        let mount = Reached {
            given: "/m".into(),
            real: "/m".into(),
            info: MountInfo::decode(json).unwrap(),
            owner: "user 7".to_owned(),
        };
        let said = |answer: Result<Vec<u8>, i32>| {
            judge(answer.map_err(io::Error::from_raw_os_error), &mount).map_err(|error| error.to_string())
        };
        let mut snapshot = Snapshot { format: SNAPSHOT_FORMAT, nodes: 3, ..Snapshot::default() };
        assert_eq!(said(Ok(snapshot.encode(4096).unwrap())), Ok(snapshot.clone()));
        snapshot.format += 1;
        for (answer, part) in [
            (Ok(snapshot.encode(4096).unwrap()), "counts in another way (format 2)"),
            (Ok(b"x".to_vec()), "does not tell what it has done: expected value"),
            (Err(libc::ENODATA), "lamina 0.0 of a time before"),
            (Err(libc::ENOTSUP), "lamina 0.0 of a time before"),
            (Err(libc::EPERM), "not yours, but mounted by user 7"),
            (Err(libc::EACCES), "not yours, but mounted by user 7"),
            (Err(libc::ENOTCONN), "a dead mount"),
            (Err(libc::EIO), "does not tell what it has done: I/O error"),
        ] {
            let error = said(answer.clone()).unwrap_err();
            assert!(error.contains(part), "{answer:?}: {error}");
        }
    }
}
