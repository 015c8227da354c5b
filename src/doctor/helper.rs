//! fusermount3, which mounts for ordinary users.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::confinement;
use super::{Finding, Level, Use, is_ordinary};
use crate::source::facts::find_program;
use crate::sys::fs::At;
use crate::sys::xattr;

/// A program that is to act with more rights than its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// Is it setuid root, or does it have capabilities?
    pub raised: bool,
}

impl Program {
    /// Finds it in PATH.
    pub fn find(name: &str) -> Option<Self> {
        let path = find_program(name)?;
        let raised = is_raised(&path);
        Some(Program { path, raised })
    }
}

fn is_raised(path: &Path) -> bool {
    let setuid = fs::metadata(path).is_ok_and(|found| found.uid() == 0 && found.mode() & libc::S_ISUID != 0);
    let capable = || {
        let file = fs::File::open(path).ok()?;
        xattr::get(At::Fd(file.as_fd()), b"security.capability").ok()
    };
    setuid || capable().is_some()
}

/// What is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The program.
    pub program: Option<Program>,
    /// What it says it is.
    pub version: Option<String>,
    /// Does /etc/fuse.conf allow `allow_other`?
    pub allow_other: bool,
}

impl Facts {
    /// Looks it up, and asks the program for its version.
    pub fn look_up() -> Self {
        let program = Program::find("fusermount3");
        let version = program.as_ref().and_then(|program| {
            let output = Command::new(&program.path).arg("--version").stdin(Stdio::null()).output().ok()?;
            version(&String::from_utf8_lossy(&output.stdout))
        });
        Facts {
            program,
            version,
            allow_other: allows_other(&fs::read_to_string("/etc/fuse.conf").unwrap_or_default()),
        }
    }
}

/// The last word of `fusermount3 version: 3.17.2`.
pub fn version(said: &str) -> Option<String> {
    let word = said.lines().next()?.split_whitespace().next_back()?;
    word.starts_with(|c: char| c.is_ascii_digit()).then(|| word.escape_debug().to_string())
}

/// fuse.conf(5): a line of its own.
pub fn allows_other(conf: &str) -> bool {
    conf.lines().any(|line| line.trim() == "user_allow_other")
}

/// Can it mount for this user?
pub fn judge(facts: &Facts, around: &confinement::Facts) -> Finding {
    const CHECK: &str = "fusermount3";
    const NEEDS_IT: [Use; 2] = [Use::Mount, Use::Image];
    if !is_ordinary(around.privilege) {
        let found = facts
            .program
            .as_ref()
            .map_or("not installed".into(), |program| program.path.display().to_string());
        return Finding::ok(CHECK, format!("not needed: this user mounts by itself ({found})"));
    }
    let Some(program) = &facts.program else {
        return Finding::new(CHECK, Level::Missing, "not installed")
            .remedy("install the package fuse3, or run in a user namespace of your own (unshare -Urm)")
            .means(
                &NEEDS_IT,
                Level::Missing,
                "fusermount3, which mounts for ordinary users, is not installed",
            );
    };
    let path = program.path.display();
    if !program.raised {
        return Finding::new(CHECK, Level::Missing, format!("{path} is not setuid root"))
            .remedy(format!("as root: chmod u+s {path}, or reinstall the package fuse3; or unshare -Urm"))
            .means(&NEEDS_IT, Level::Missing, "fusermount3 is not setuid root, and may not mount either");
    }
    if around.no_new_privs {
        return Finding::new(CHECK, Level::Missing, format!("{path} is setuid root, and may not make use of it (NoNewPrivs)"))
            .remedy("start it without --security-opt no-new-privileges or NoNewPrivileges= of a unit; or unshare -Urm")
            .means(&NEEDS_IT, Level::Missing, "setuid programs, as fusermount3, gain nothing here (NoNewPrivs)");
    }
    let version = facts.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    if !facts.allow_other {
        return Finding::new(
            CHECK,
            Level::Limited,
            format!("{path}{version}, setuid root; only for mounts that others may not use"),
        )
        .remedy("for -o allow_other, as root: echo user_allow_other >> /etc/fuse.conf")
        .means(&NEEDS_IT, Level::Limited, "-o allow_other and allow_root are refused");
    }
    Finding::ok(CHECK, format!("{path}{version}, setuid root, also for mounts that others may use"))
}
