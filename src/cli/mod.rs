//! The command line: arguments in, exit code and text out.

pub mod failure;
pub mod options;
