//! Reaching a live mount of ours by a path, to ask it for something.

use std::io;
use std::path::{Path, PathBuf};

use super::mounts::{self, Listed, State};
use super::unmount::resolve_mountpoint;
use super::{MountInfo, table};
use crate::error::describe;

/// Why a mount cannot be asked.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum ReachError {
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
}

impl ReachError {
    /// What a person can do.
    pub fn hint(&self) -> String {
        match self {
            ReachError::Unreachable { .. } => "check the path".to_owned(),
            ReachError::NotMounted { .. } => "see what is mounted with: lamina list".to_owned(),
            ReachError::Foreign { .. } => "only lamina's mounts can be asked: see lamina list".to_owned(),
            ReachError::Dead { path } => format!("clear it with: lamina umount '{}'", path.display()),
            ReachError::NotYours { .. } => "do it as the user who mounted it".to_owned(),
            ReachError::Silent { .. } => "see whether its daemon is stopped or waits for a layer".to_owned(),
        }
    }
}

/// A mount that has answered.
#[derive(Debug)]
pub(super) struct Reached {
    /// The path as it was given, for messages.
    pub(super) given: PathBuf,
    /// The mount point.
    pub(super) real: PathBuf,
    /// What it says of itself.
    pub(super) info: MountInfo,
    /// Who has mounted it, for messages.
    pub(super) owner: String,
}

/// The mount at `path`, and what it says of itself, if it does. Works in a process with one thread only.
///
/// # Errors
/// There is none, or one that is none of ours.
pub(super) fn find(path: &Path) -> Result<(PathBuf, Listed), ReachError> {
    let given = || path.to_owned();
    let unreachable = |source| ReachError::Unreachable { path: given(), source };
    let real = resolve_mountpoint(path).map_err(unreachable)?;
    let mounts = table::read().map_err(unreachable)?;
    let mount = table::at(&mounts, &real).ok_or_else(|| ReachError::NotMounted { path: given() })?;
    let state = match mounts::is_fuse(&mount.fs_type) {
        true => mounts::ask(mount),
        false => State::Foreign,
    };
    match state {
        State::Foreign => Err(ReachError::Foreign { path: given(), fs_type: mount.fs_type.clone() }),
        state => Ok((real, Listed { mount: mount.clone(), state })),
    }
}

/// Who has mounted it, for messages.
pub(super) fn owner_text(owner: Option<u32>) -> String {
    owner.map_or("another user".to_owned(), |uid| format!("user {uid}"))
}

/// The mount at `path`, which answers. Works in a process with one thread only.
pub(super) fn reach(path: &Path) -> Result<Reached, ReachError> {
    let given = || path.to_owned();
    let (real, Listed { mount, state }) = find(path)?;
    let owner = owner_text(mount.owner);
    match state {
        State::Live(info) => Ok(Reached { given: given(), real, info: *info, owner }),
        State::Foreign => Err(ReachError::Foreign { path: given(), fs_type: mount.fs_type }),
        State::Dead => Err(ReachError::Dead { path: given() }),
        State::Closed => Err(ReachError::NotYours { path: given(), owner }),
        State::Silent(problem) => Err(ReachError::Silent { path: given(), problem }),
    }
}

impl Reached {
    /// It was asked for something, and took too long.
    pub(super) fn silent(&self, error: &io::Error) -> ReachError {
        ReachError::Silent { path: self.given.clone(), problem: describe(error) }
    }

    /// What an errno says that any request may be answered with; `None` where it is about this very request.
    pub(super) fn refused(&self, errno: i32) -> Option<ReachError> {
        let path = self.given.clone();
        match errno {
            libc::EPERM | libc::EACCES => Some(ReachError::NotYours { path, owner: self.owner.clone() }),
            libc::ENOTCONN | libc::ECONNABORTED => Some(ReachError::Dead { path }),
            _ => None,
        }
    }
}
