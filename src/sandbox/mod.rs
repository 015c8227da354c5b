//! Running a command in a tree of its own, without root: namespaces, ids, mounts, and a first process.
//!
//! Three processes, beside the command:
//!
//! - **the caller** waits, hands signals on, and has the exit code;
//! - **the server** lives in the new user and mount namespaces, mounts the tree and serves it, in a session of its own: no
//!   Ctrl-C reaches it. It makes the temporary directory and removes it;
//! - **the first process** of the new pid namespace makes the other mounts, takes the tree as its root, starts the command,
//!   and reaps whatever is left to it. With it, all processes of the sandbox end.
//!
//! When the caller is killed the server is told by the kernel, and ends the rest; when the server is killed so is the first
//! process. Mounts end with their namespaces. What is planned is in values ([`ids`], [`account`], [`command`], [`mounts`],
//! [`bind`]); what acts on them is [`enter`] and what it calls.

pub mod account;
pub mod bind;
pub mod command;
mod enter;
mod error;
pub mod ids;
mod init;
pub mod mounts;
pub(crate) mod place;
pub mod probe;
pub mod scratch;
mod signals;
mod terminal;

use std::ffi::OsString;
use std::path::PathBuf;

pub use enter::{Said, enter};
pub use error::SandboxError;

/// A sandbox and its command, as they are wanted.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is known of the caller's ids.
    pub facts: ids::IdFacts,
    /// Where the sandbox's ids come from.
    pub ids: ids::IdPlan,
    /// Where temporary files go.
    pub scratch: PathBuf,
    /// What of the machine is shown.
    pub binds: Vec<mounts::FoundBind>,
    /// The name of the machine within, if it is to have its own.
    pub hostname: Option<OsString>,
    /// The words of the command; never empty.
    pub words: Vec<OsString>,
    /// Its environment; HOME is added.
    pub environment: command::Environment,
    /// Who it runs as, as an image's config has it.
    pub user: Option<String>,
    /// Where it starts.
    pub workdir: Workdir,
}

/// Where a command starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Workdir {
    /// What the image says; it is made where it is missing.
    OfImage(PathBuf),
    /// What the caller says: it must be there.
    Asked(PathBuf),
}
