//! How a command ends when it does not end well: what, where, what to do, and the exit code.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::errno::Errno;

use super::options::OptionError;
use crate::error::{Error, Kind, LayerRef};
use crate::fuse::MountError;
use crate::image::ImageError;
use crate::sandbox::SandboxError;
use crate::source::SourceError;
use crate::source::preflight::{Refusal, Role};

/// The exit codes of `lamina`; 0 is success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitClass {
    /// The command was understood and could not be done: 1.
    Trouble,
    /// The command line is wrong: 2.
    Usage,
    /// A command whose exit code is an answer has none: 2, as diff(1) has it.
    Unanswered,
    /// `lamina run` could not run its command: 125, as with podman.
    NotRun,
}

impl ExitClass {
    /// The number the shell sees.
    pub fn code(self) -> u8 {
        match self {
            ExitClass::Trouble => 1,
            ExitClass::Usage | ExitClass::Unanswered => 2,
            ExitClass::NotRun => 125,
        }
    }
}

/// The answer of a command that is asked a question by scripts: its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Equal, or good enough: 0.
    Yes,
    /// Different, or not good enough: 1.
    No,
    /// That of a command that was run.
    Of(u8),
}

impl Answer {
    /// The number the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Answer::Yes => 0,
            Answer::No => 1,
            Answer::Of(code) => code,
        }
    }
}

/// Why a command failed, for the person who typed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong, and where: names the path or option.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The exit code.
    pub class: ExitClass,
}

impl Failure {
    /// The command could not be done.
    pub fn trouble(message: impl Into<String>) -> Self {
        Failure { message: message.into(), hint: None, class: ExitClass::Trouble }
    }

    /// The command line is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Failure { message: message.into(), hint: None, class: ExitClass::Usage }
    }

    /// The command was asked a question, and has no answer: that must not look like one.
    pub fn unanswered(self) -> Self {
        Failure { class: ExitClass::Unanswered, ..self }
    }

    /// The command was to run another one, whose exit code this must not look like.
    pub fn not_run(self) -> Self {
        Failure { class: ExitClass::NotRun, ..self }
    }

    /// Adds what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lamina: {}", self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n        {hint}")?;
        }
        Ok(())
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure::trouble(refusal.to_string()).hint(refusal.hint())
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Failure::usage(error.to_string()).hint(error.hint())
    }
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        Failure { hint: error.hint(), ..Failure::trouble(error.to_string()) }
    }
}

impl From<SandboxError> for Failure {
    fn from(error: SandboxError) -> Self {
        Failure { hint: error.hint(), ..Failure::trouble(error.to_string()) }
    }
}

impl From<OptionError> for Failure {
    fn from(error: OptionError) -> Self {
        Failure::usage(error.to_string()).hint("lamina mount --help lists the options and their values")
    }
}

impl From<MountError> for Failure {
    fn from(error: MountError) -> Self {
        Failure::trouble(error.to_string()).hint(error.hint())
    }
}

/// What the library says while a stack is opened. Its errors name operation, path and layer; where more is known of
/// them, a person is told what the directory is for.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let role = match error.layer() {
            Some(LayerRef::Lower(_)) => Role::Layer,
            Some(LayerRef::Data(_)) => Role::DataLayer,
            Some(LayerRef::Upper) => Role::Upper,
            None => Role::Work,
        };
        let Some(path) = error.path().map(|path| PathBuf::from(OsStr::from_bytes(path))) else {
            return Failure::trouble(error.to_string());
        };
        match error.kind() {
            Kind::InUse => Refusal::InUse { role, path }.into(),
            Kind::Volatile => Refusal::Volatile { work: path }.into(),
            Kind::Os(Errno::EACCES) if error.layer().is_some() => Refusal::NotReadable { role, path }.into(),
            Kind::Unsupported(_) => Failure::trouble(error.to_string())
                .hint("choose an upper and a work directory on another file system, or leave the option out"),
            _ if role == Role::Work => Failure::trouble(error.to_string())
                .hint("remove that by hand (lsattr tells whether it is immutable), or give another work directory (--work, workdir=)"),
            _ => Failure::trouble(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_opening_a_stack_are_told_with_what_to_do() {
        let error = |op, kind: Kind| Error::new(op, kind).at("/d");
        for (error, message, hint) in [
            (
                error("use upper", Kind::InUse).in_layer(LayerRef::Upper),
                "upper directory '/d' is used by another mount",
                "unmount that first: lamina list shows where it is",
            ),
            (
                error("use work directory", Kind::InUse),
                "work directory '/d' is used by another mount",
                "unmount that first: lamina list shows where it is",
            ),
            (
                error("use work directory", Kind::Volatile),
                "work directory '/d' has the mark of a volatile mount: the upper may have lost data",
                "check the upper, then rm -r '/d/work/incompat'; or start with a new upper and work directory",
            ),
            (
                error("open layer", Errno::EACCES.into()).in_layer(LayerRef::Lower(1)),
                "layer '/d' cannot be read: Permission denied",
                "check its permissions",
            ),
            (
                error("remove from the work directory", Errno::EPERM.into()),
                "remove from the work directory /d: Operation not permitted",
                "remove that by hand (lsattr tells whether it is immutable), or give another work directory (--work, workdir=)",
            ),
        ] {
            assert_eq!(Failure::from(error), Failure::trouble(message).hint(hint));
        }
    }
}
