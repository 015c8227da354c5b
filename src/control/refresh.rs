//! Telling a mount that its lowers were changed.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::mounts::{self, State};
use super::unmount::resolve_mountpoint;
use super::{MountInfo, REFRESH_XATTR, REFRESHED, patience, table};
use crate::error::describe;

/// How long it may take. A mount that knows a million names needs some ten seconds, and more on a slow disk.
const PATIENCE: Duration = Duration::from_secs(600);

/// Why a mount was not refreshed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum RefreshError {
    #[error("'{}' cannot be used: {}", .path.display(), describe(source))]
    Unreachable { path: PathBuf, source: io::Error },
    #[error("'{}' is not a mount point", .path.display())]
    NotMounted { path: PathBuf },
    #[error("'{}' is a mount of type {fs_type}, not one of lamina's", .path.display())]
    Foreign { path: PathBuf, fs_type: String },
    #[error("'{}' is a dead mount: its daemon has ended", .path.display())]
    Dead { path: PathBuf },
    #[error("'{}' is not yours, but mounted by {owner}", .path.display())]
    NotYours { path: PathBuf, owner: String },
    #[error("'{}' does not answer: {problem}", .path.display())]
    Silent { path: PathBuf, problem: String },
    #[error("'{}' is served by lamina {version} of a time before it could be refreshed", .path.display())]
    Older { path: PathBuf, version: String },
    #[error("'{}' is refreshed, but for what could not be read: {}", .path.display(), describe(source))]
    Incomplete { path: PathBuf, source: io::Error },
}

impl RefreshError {
    /// What a person can do.
    pub fn hint(&self) -> String {
        match self {
            RefreshError::Unreachable { .. } => "check the path".to_owned(),
            RefreshError::NotMounted { .. } => "see what is mounted with: lamina list".to_owned(),
            RefreshError::Foreign { .. } => {
                "only lamina's mounts can be refreshed: see lamina list".to_owned()
            }
            RefreshError::Dead { path } => format!("clear it with: lamina umount '{}'", path.display()),
            RefreshError::NotYours { .. } => "refresh it as the user who mounted it".to_owned(),
            RefreshError::Silent { .. } => {
                "see whether its daemon is stopped or waits for a layer".to_owned()
            }
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
    let given = || path.to_owned();
    let unreachable = |source| RefreshError::Unreachable { path: given(), source };
    let real = resolve_mountpoint(path).map_err(unreachable)?;
    let mounts = table::read().map_err(unreachable)?;
    let mount = table::at(&mounts, &real).ok_or_else(|| RefreshError::NotMounted { path: given() })?;
    let foreign = || RefreshError::Foreign { path: given(), fs_type: mount.fs_type.clone() };
    if !mounts::is_fuse(&mount.fs_type) {
        return Err(foreign());
    }
    let owner = mount.owner.map_or("another user".to_owned(), |uid| format!("user {uid}"));
    match mounts::ask(mount) {
        State::Live(info) => {
            let answer = patience::attribute(&real, REFRESH_XATTR, PATIENCE)
                .map_err(|error| RefreshError::Silent { path: given(), problem: describe(&error) })?;
            judge(answer, given(), *info, owner)
        }
        State::Foreign => Err(foreign()),
        State::Dead => Err(RefreshError::Dead { path: given() }),
        State::Closed => Err(RefreshError::NotYours { path: given(), owner }),
        State::Silent(problem) => Err(RefreshError::Silent { path: given(), problem }),
    }
}

fn judge(
    answer: io::Result<Vec<u8>>,
    path: PathBuf,
    info: MountInfo,
    owner: String,
) -> Result<(), RefreshError> {
    match answer.map_err(|error| (error.raw_os_error(), error)) {
        Ok(value) if value == REFRESHED => Ok(()),
        // It does not know the name, and takes it for any attribute.
        Ok(_) | Err((Some(libc::ENODATA | libc::ENOTSUP), _)) => {
            Err(RefreshError::Older { path, version: info.version })
        }
        Err((Some(libc::EPERM | libc::EACCES), _)) => Err(RefreshError::NotYours { path, owner }),
        Err((Some(libc::ENOTCONN | libc::ECONNABORTED), _)) => Err(RefreshError::Dead { path }),
        Err((_, source)) => Err(RefreshError::Incomplete { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_what_they_mean() {
        let json = br#"{"version":"0.0","pid":1,"mountpoint":"/m","layers":[],"upper":null,"work":null,
                        "transport":"dev","options":[]}"#;
        let said = |answer: Result<&[u8], i32>| {
            let answer = answer.map(<[u8]>::to_vec).map_err(io::Error::from_raw_os_error);
            let owner = "user 7".to_owned();
            judge(answer, "/m".into(), MountInfo::decode(json).unwrap(), owner).map_err(|e| e.to_string())
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
