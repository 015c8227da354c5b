//! Telling a mount that its lowers were changed.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reach::{ReachError, Reached, reach};
use super::{REFRESH_XATTR, REFRESHED, patience};
use crate::error::describe;

/// How long it may take. A mount that knows a million names needs some ten seconds, and more on a slow disk.
const PATIENCE: Duration = Duration::from_secs(600);

/// Why a mount was not refreshed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum RefreshError {
    #[error(transparent)]
    Unreached(#[from] ReachError),
    #[error("'{}' is served by lamina {version} of a time before it could be refreshed", .path.display())]
    Older { path: PathBuf, version: String },
    #[error("'{}' is refreshed, but for what could not be read: {}", .path.display(), describe(source))]
    Incomplete { path: PathBuf, source: io::Error },
}

impl RefreshError {
    /// What a person can do.
    pub fn hint(&self) -> String {
        match self {
            RefreshError::Unreached(error) => error.hint(),
            RefreshError::Older { .. } => {
                "unmount it, and mount it again: that shows what is there".to_owned()
            }
            RefreshError::Incomplete { .. } => {
                "the daemon's log (--log-file of mount) has the path and the layer; repair that, and refresh again".to_owned()
            }
        }
    }
}

/// Has the mount at `path` forget what it knows of its lowers. Works in a process with one thread only.
pub fn refresh(path: &Path) -> Result<(), RefreshError> {
    let mount = reach(path)?;
    let answer = patience::attribute(&mount.real, REFRESH_XATTR, PATIENCE);
    judge(answer.map_err(|error| mount.silent(&error))?, &mount)
}

fn judge(answer: io::Result<Vec<u8>>, mount: &Reached) -> Result<(), RefreshError> {
    let path = mount.given.clone();
    // A mount that does not know the name takes it for any attribute.
    let older = || RefreshError::Older { path: path.clone(), version: mount.info.version.clone() };
    match answer {
        Ok(value) if value == REFRESHED => Ok(()),
        Ok(_) => Err(older()),
        Err(source) => Err(match source.raw_os_error() {
            Some(libc::ENODATA | libc::ENOTSUP) => older(),
            errno => match errno.and_then(|errno| mount.refused(errno)) {
                Some(refused) => refused.into(),
                None => RefreshError::Incomplete { path, source },
            },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::MountInfo;

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
        let said = |answer: Result<&[u8], i32>| {
            let answer = answer.map(<[u8]>::to_vec).map_err(io::Error::from_raw_os_error);
            judge(answer, &mount).map_err(|error| error.to_string())
        };
        assert_eq!(said(Ok(REFRESHED)), Ok(()));
        for (answer, part) in [
            (Ok(&b"x"[..]), "lamina 0.0 of a time before"),
            (Err(libc::ENODATA), "lamina 0.0 of a time before"),
            (Err(libc::ENOTSUP), "lamina 0.0 of a time before"),
            (Err(libc::EPERM), "not yours, but mounted by user 7"),
            (Err(libc::EACCES), "not yours, but mounted by user 7"),
            (Err(libc::ENOTCONN), "a dead mount"),
            (Err(libc::EIO), "but for what could not be read"),
        ] {
            let error = said(answer).unwrap_err();
            assert!(error.contains(part), "{answer:?}: {error}");
        }
    }
}
