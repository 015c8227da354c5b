//! Why changes cannot be committed.

use std::path::PathBuf;

use crate::error::{Error, Kind};
use crate::image::ImageError;
use crate::path::RelPath;
use crate::tarball::write::WriteError;

/// Why changes cannot be committed. Nothing of the target was changed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A layer, or the upper, cannot be read.
    #[error("{0}")]
    Layers(#[from] Error),
    /// An object that is changed cannot become an entry of a layer.
    #[error("'{}' cannot be put into a layer: {problem}", .path)]
    Entry {
        /// Where it is in the tree.
        path: RelPath,
        /// What is wrong with it.
        problem: EntryProblem,
    },
    /// Something about the base, or about the image that is written.
    #[error("{0}")]
    Image(#[from] ImageError),
    /// A file of the target, or one that is used on the way there.
    #[error("{op} '{}': {}", .path.display(), crate::error::describe(.error))]
    File {
        /// What was tried: `write`, `rename`, ...
        op: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
}

/// What keeps an object out of a layer.
#[derive(Debug, thiserror::Error)]
pub enum EntryProblem {
    /// `.wh.` names are deletions in a layer.
    #[error("names that begin with .wh. mean deletions there")]
    Reserved,
    /// The name of its deletion would exceed 255 bytes.
    #[error(
        "it is deleted, and its name is too long for a deletion: with .wh. before it, it has over 255 bytes"
    )]
    LongWhiteout,
    /// A redirect, and nothing is known of what is below.
    #[error("it is a renamed directory, whose content is in the layers below")]
    Renamed,
    /// A metacopy, and nothing is known of what is below.
    #[error("its data is in the layers below")]
    DataBelow,
    /// While it was written.
    #[error("{0}")]
    Write(#[from] WriteError),
}

impl CommitError {
    /// What a person can do, where more can be said than what is wrong.
    pub fn hint(&self) -> Option<String> {
        let base = "give the image that these changes were made over: --base IMAGE";
        let hint = match self {
            CommitError::Entry { problem, .. } => match problem {
                EntryProblem::Reserved => "rename it in the mount",
                EntryProblem::LongWhiteout => {
                    "delete or rename the whole directory instead, and make it again with what should be in it"
                }
                EntryProblem::Renamed | EntryProblem::DataBelow => base,
                EntryProblem::Write(WriteError::Shrunk { .. }) => {
                    "something writes to it: commit again when that has ended"
                }
                EntryProblem::Write(WriteError::Device { .. } | WriteError::XattrName(_)) => "remove it",
                EntryProblem::Write(WriteError::Content(_) | WriteError::Write(_)) => return None,
            },
            CommitError::Image(error) => return error.hint(),
            CommitError::Layers(error) if *error.kind() == Kind::Os(nix::errno::Errno::EACCES) => {
                "only who may read everything in it can commit it: as root, or inside `podman unshare`"
            }
            CommitError::Layers(_) | CommitError::File { .. } => return None,
        };
        Some(hint.to_owned())
    }
}
