//! The kernel's version, and what comes with it.

use std::fmt;
use std::fs;

use super::{Finding, Level, Use, confinement};
use crate::source::facts::Privilege;
use crate::sys::{SysResult, uring};

/// A release, as uname(2) has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// All of it.
    pub text: String,
    /// Its first two numbers, where it begins with them.
    pub version: Option<(u32, u32)>,
}

impl Release {
    /// Reads `6.18.5-arch1`.
    pub fn parse(text: &str) -> Self {
        let digits = |word: &str| -> Option<u32> {
            word.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok())
        };
        let mut words = text.split('.');
        let version = words.next().and_then(digits).zip(words.next().and_then(digits));
        Release { text: text.to_owned(), version }
    }

    fn has(&self, since: (u32, u32)) -> bool {
        self.version.is_some_and(|version| version >= since)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Linux {}", self.text.escape_debug())
    }
}

/// The running one; empty where uname(2) fails.
pub fn release() -> Release {
    let name = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    Release::parse(&name.unwrap_or_default())
}

/// FUSE 7.36 (`fuse::wire::OLDEST_ABI`).
const OLDEST: (u32, u32) = (5, 17);
/// FUSE_PASSTHROUGH.
const PASSTHROUGH: (u32, u32) = (6, 9);
/// FUSE_OVER_IO_URING.
const IO_URING: (u32, u32) = (6, 14);

/// Is it new enough?
pub fn judge(release: &Release) -> Finding {
    match release.version {
        Some(version) if version < OLDEST => {
            Finding::new("kernel", Level::Missing, format!("{release} is too old"))
                .remedy("Linux 5.17 or later is needed")
                .means(&Use::ALL, Level::Missing, "this kernel's FUSE is too old")
        }
        Some(_) => Finding::ok("kernel", format!("{release}, and 5.17 is needed")),
        None => {
            Finding::new("kernel", Level::Limited, format!("{release}: a version that is not understood"))
                .remedy("Linux 5.17 or later is needed")
        }
    }
}

/// Can the kernel read and write files by itself?
pub fn judge_passthrough(release: &Release, privilege: Privilege) -> Finding {
    let unused = "lamina does not use it yet, and answers reads itself";
    match (release.has(PASSTHROUGH), privilege) {
        (true, Privilege::Full) => {
            Finding::ok("passthrough", format!("the kernel and this user could have it; {unused}"))
        }
        (true, _) => Finding::new(
            "passthrough",
            Level::Limited,
            format!("it needs CAP_SYS_ADMIN in the first user namespace; {unused}"),
        )
        .remedy("mount as root"),
        (false, _) => Finding::new("passthrough", Level::Missing, format!("it needs Linux 6.9; {unused}"))
            .remedy("a kernel of 6.9 or later"),
    }
}

/// What is known of FUSE over io_uring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IoUring {
    /// The kernel.
    pub release: Release,
    /// /sys/module/fuse/parameters/enable_uring; `None` where there is none.
    pub enabled: Option<bool>,
    /// What io_uring_setup(2) answers.
    pub ring: SysResult<()>,
    /// `kernel.io_uring_disabled`: 0 for nobody, 1 for ordinary users, 2 for all.
    pub disabled: Option<u64>,
    /// Does a seccomp filter apply?
    pub seccomp: bool,
}

impl IoUring {
    /// Looks it up, and tries to make a ring.
    pub fn look_up(release: Release, around: &confinement::Facts) -> Self {
        let text = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        IoUring {
            release,
            enabled: text("/sys/module/fuse/parameters/enable_uring")
                .map(|value| value == "Y" || value == "1"),
            ring: uring::try_ring(),
            disabled: text("/proc/sys/kernel/io_uring_disabled").and_then(|value| value.parse().ok()),
            seccomp: around.seccomp,
        }
    }
}

/// Could requests come over io_uring?
pub fn judge_io_uring(facts: &IoUring) -> Finding {
    let unused = "lamina does not use it yet, and reads requests from /dev/fuse";
    let less = |level, what: &str, remedy: &str| {
        Finding::new("io_uring", level, format!("{what}; {unused}")).remedy(remedy)
    };
    if !facts.release.has(IO_URING) {
        return less(Level::Missing, "FUSE over io_uring needs Linux 6.14", "a kernel of 6.14 or later");
    }
    let refused = facts.ring.err().map(|errno| {
        let (by, remedy) = match (facts.disabled, facts.seccomp) {
            (Some(1 | 2), _) => ("kernel.io_uring_disabled", "as root: sysctl -w kernel.io_uring_disabled=0"),
            (_, true) => ("a seccomp filter, as in a container", "--security-opt seccomp=unconfined"),
            _ => ("the kernel", "a kernel with CONFIG_IO_URING"),
        };
        (format!("io_uring is refused by {by} ({})", errno.desc()), remedy)
    });
    let without = match facts.enabled {
        None => Some((
            Level::Missing,
            "the kernel was built without FUSE over io_uring, or its driver is not loaded, or /sys is not mounted",
            "a kernel with CONFIG_FUSE_IO_URING; modprobe fuse",
        )),
        Some(false) => Some((
            Level::Limited,
            "FUSE over io_uring is switched off",
            "as root: echo Y > /sys/module/fuse/parameters/enable_uring",
        )),
        Some(true) => None,
    };
    match (without, refused) {
        (None, None) => Finding::ok("io_uring", format!("FUSE over io_uring is switched on; {unused}")),
        (Some((level, what, remedy)), None) => less(level, what, remedy),
        (None, Some((what, remedy))) => less(Level::Limited, &what, remedy),
        (Some((level, what, remedy)), Some((refused, lifts))) => {
            less(level, &format!("{what}; {refused}"), &format!("{remedy}; {lifts}"))
        }
    }
}
