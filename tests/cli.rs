//! The program, run as a person runs it: what it says, where, and its exit code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests

#[path = "cli/compatible.rs"]
mod compatible;
#[path = "cli/doctor.rs"]
mod doctor;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/install.rs"]
mod install;
#[path = "cli/live.rs"]
mod live;
#[path = "cli/preflight.rs"]
mod preflight;
#[path = "cli/refuse.rs"]
mod refuse;
#[path = "cli/run.rs"]
mod run;
#[path = "cli/usage.rs"]
mod usage;
