//! How many files may be open.

use nix::sys::resource::{Resource, getrlimit};

use super::{Finding, Level, Use};
use crate::source::preflight::SPARE_DESCRIPTORS;

/// The limits, descriptors; `u64::MAX` is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// What applies now.
    pub soft: u64,
    /// What lamina raises it to.
    pub hard: u64,
}

impl Facts {
    /// Looks them up; those of a kernel's first process where they cannot be read.
    pub fn look_up() -> Self {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 4096));
        Facts { soft, hard }
    }
}

/// What a mount of one layer with an upper needs.
const LEAST: u64 = SPARE_DESCRIPTORS + 2;
/// From here on, many open files and directories are no trouble.
const ENOUGH: u64 = 4096;

/// Are there enough?
pub fn judge(facts: Facts) -> Finding {
    let Facts { soft, hard } = facts;
    let shown = |limit: u64| if limit == u64::MAX { "any number".to_owned() } else { limit.to_string() };
    let directories = (hard / 4).min(16 * 1024);
    let limit = match soft == hard {
        true => shown(hard),
        false => format!("{} now, and a mount raises that to {}", shown(soft), shown(hard)),
    };
    let found = format!("{limit}: up to {directories} for directories, the rest for open files");
    let remedy = "raise the hard limit: ulimit -Hn, LimitNOFILE= of a unit, --ulimit nofile= of a container";
    match hard {
        0..LEAST => Finding::new("descriptors", Level::Missing, found).remedy(remedy).means(
            &Use::ALL,
            Level::Missing,
            "too few files may be open",
        ),
        LEAST..ENOUGH => Finding::new("descriptors", Level::Limited, found).remedy(remedy).means(
            &Use::ALL,
            Level::Limited,
            "few files may be open at the same time in a mount",
        ),
        _ => Finding::ok("descriptors", found),
    }
}
