//! Why a sandbox did not come about.

use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::signal::Signal;

use super::account::AccountError;
use super::ids::FewIds;
use super::probe::Blocked;

/// What went wrong, and where. [`SandboxError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The machine forbids namespaces.
    #[error("{0}")]
    Blocked(Blocked),
    /// The ids cannot be mapped.
    #[error("the ids of the sandbox cannot be mapped: {0}")]
    Map(String),
    /// A step that has nothing to do with the caller's wishes failed.
    #[error("{what}: {}", errno.desc())]
    System {
        /// The step.
        what: &'static str,
        /// Why.
        errno: Errno,
    },
    /// Something cannot be mounted or made in the sandbox.
    #[error("{what} '{}' in the sandbox: {}", path.display(), errno.desc())]
    Place {
        /// What was tried.
        what: &'static str,
        /// Where, in the sandbox.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// Temporary files cannot be made.
    #[error("a temporary directory cannot be made in '{}': {}", path.display(), errno.desc())]
    Scratch {
        /// Where.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// A layer contains the temporary directory or the upper, and cannot be shown without them.
    #[error("layer '{}' contains what the sandbox writes, and cannot be shown without that: {}", layer.display(), errno.desc())]
    View {
        /// The layer.
        layer: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// The server was killed.
    #[error("the process that serves the sandbox was ended by {0}, and all of the sandbox with it")]
    Server(Signal),
    /// There is no such user or group.
    #[error("{0}")]
    Account(#[from] AccountError),
    /// There is, and the namespace does not have the id.
    #[error("the command is to run as {what} {id}, and that id is not mapped here: {why}")]
    NotMapped {
        /// `user` or `group`.
        what: &'static str,
        /// The id.
        id: u32,
        /// Why.
        why: FewIds,
    },
    /// The command's directory cannot be entered.
    #[error("working directory '{}' in the sandbox: {}", path.display(), errno.desc())]
    Workdir {
        /// It.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// The command is not there: exit code 127.
    #[error("command '{}' was not found{}", command.display(), where_not(.path))]
    NotFound {
        /// Its first word.
        command: PathBuf,
        /// PATH, if it was looked for there.
        path: Option<String>,
    },
    /// The command is there and cannot be executed: exit code 126.
    #[error("command '{}' cannot be executed: {}", command.display(), errno.desc())]
    NotExecutable {
        /// Its file.
        command: PathBuf,
        /// Why.
        errno: Errno,
    },
}

fn where_not(path: &Option<String>) -> String {
    path.as_ref().map(|path| format!(" in PATH={}", path.escape_debug())).unwrap_or_default()
}

impl SandboxError {
    /// The exit code, as env(1), chroot(1) and podman-run(1) have it.
    pub fn code(&self) -> u8 {
        match self {
            SandboxError::NotFound { .. } => 127,
            SandboxError::NotExecutable { .. } => 126,
            _ => 125,
        }
    }

    /// What a person can do, if anything comes to mind.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            SandboxError::Blocked(blocked) => return Some(blocked.hint()),
            SandboxError::NotMapped { why, .. } => return Some(why.hint()),
            SandboxError::Map(_) => {
                "newuidmap and newgidmap must be setuid root, and /etc/subuid and /etc/subgid give ranges nobody else has"
            }
            SandboxError::Scratch { .. } => "set TMPDIR to a directory of yours on a disk with space",
            SandboxError::View { .. } => {
                "set TMPDIR to a directory outside of the layer, and have the upper outside, too"
            }
            SandboxError::Account(_) => "give a user of the image, or a number, with --user",
            SandboxError::Workdir { .. } => "give a directory that is there with --workdir",
            SandboxError::NotFound { path: Some(_), .. } => "lamina ls SOURCE /usr/bin shows what there is",
            SandboxError::NotFound { path: None, .. } => {
                "a script whose interpreter, or a program whose loader is missing, is not found either"
            }
            SandboxError::NotExecutable { errno: Errno::ENOEXEC, .. } => {
                "it is a program for another platform, or a script without #!: name its interpreter"
            }
            SandboxError::NotExecutable { .. } => "it must be a file that the user may execute",
            SandboxError::Place { errno: Errno::ENOTDIR | Errno::EISDIR, .. } => {
                "a directory can be shown on a directory only, and a file on a file; lamina ls SOURCE shows what is there"
            }
            SandboxError::Place { .. } => "lamina ls SOURCE shows what is there instead",
            SandboxError::System { .. } | SandboxError::Server(_) => return None,
        };
        Some(text.to_owned())
    }
}
