//! How a command ends when it does not end well: what, where, what to do, and the exit code.

use std::fmt;
use std::io;

use nix::errno::Errno;

use crate::error::Error;
use crate::source::SourceError;
use crate::source::preflight::Refusal;

/// The exit codes of `lamina`; 0 is success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitClass {
    /// The command was understood and could not be done: 1.
    Trouble,
    /// The command line is wrong: 2.
    Usage,
}

impl ExitClass {
    /// The number the shell sees.
    pub fn code(self) -> u8 {
        match self {
            ExitClass::Trouble => 1,
            ExitClass::Usage => 2,
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
        let hint = error.hint();
        match error {
            SourceError::Image { .. } => Failure::trouble(error.to_string()).hint(hint),
            SourceError::Empty | SourceError::List { .. } => Failure::usage(error.to_string()).hint(hint),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::trouble(error.to_string())
    }
}

/// An I/O error in the system's words, without the number that the standard library adds.
pub fn describe(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}
