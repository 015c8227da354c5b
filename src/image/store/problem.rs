//! What can be wrong with the store itself.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::describe;

/// What is wrong with the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreProblem {
    /// A file in it cannot be made, written or removed.
    #[error("layer store: {op} '{}': {problem}", .path.display())]
    Io {
        /// What was tried.
        op: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What kind of error it was.
        kind: io::ErrorKind,
        /// In the system's words.
        problem: String,
    },
    /// The directory holds something else.
    #[error("'{}' is not a layer store: it holds '{}'", .dir.display(), .found.display())]
    NotAStore {
        /// The directory.
        dir: PathBuf,
        /// A name in it.
        found: PathBuf,
    },
    /// The directory is of a version that is not known.
    #[error("layer store '{}' is of version '{}', expected {expected}", .dir.display(), .found.escape_debug())]
    Version {
        /// The directory.
        dir: PathBuf,
        /// What it says.
        found: String,
        /// What is understood.
        expected: &'static str,
    },
    /// Somebody else could put layers into it.
    #[error("layer store '{}' is not safe: {problem}", .dir.display())]
    Exposed {
        /// The directory.
        dir: PathBuf,
        /// Who could.
        problem: String,
    },
    /// There is no place for a store by default.
    #[error("there is no place for the layer store: neither XDG_DATA_HOME nor HOME is an absolute path")]
    NoPlace,
    /// Files in the store change while they are used.
    #[error("layer store '{}': somebody else removes or changes what is put into it", .dir.display())]
    Unsteady {
        /// The directory.
        dir: PathBuf,
    },
}

impl StoreProblem {
    /// An error of the system.
    pub fn io(op: &'static str, path: &Path, error: &io::Error) -> Self {
        StoreProblem::Io { op, path: path.to_owned(), kind: error.kind(), problem: describe(error) }
    }

    /// What a person can do.
    pub fn hint(&self) -> String {
        match self {
            StoreProblem::Io { kind: io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, .. } => {
                "make room there (lamina store gc removes what is not needed), or use another store: --store DIR"
            }
            StoreProblem::Io {
                kind: io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem, ..
            } => {
                "use a store that you may write to: --store DIR"
            }
            StoreProblem::Io { .. } | StoreProblem::Unsteady { .. } => {
                "check the directory, or use another store: --store DIR"
            }
            StoreProblem::NotAStore { .. } => "give a directory that is empty or does not exist: --store DIR",
            StoreProblem::Version { .. } => {
                "remove the directory if no other lamina needs it (its content can be made again), or use \
                 another store: --store DIR"
            }
            StoreProblem::Exposed { .. } => {
                "what it says is verified could be false: use a directory that only you can write to: --store DIR"
            }
            StoreProblem::NoPlace => "say where: --store DIR",
        }
        .to_owned()
    }
}
