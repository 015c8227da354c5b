//! Which ids there are in the sandbox: the caller's own as root, and those that /etc/subuid and /etc/subgid give away.
//!
//! Sources: user_namespaces(7), subuid(5), newuidmap(1).

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::path::PathBuf;

use nix::unistd::{User, getegid, geteuid};

use crate::config::IdRange;
use crate::source::facts::{Privilege, find_program};

/// What is true of this user and machine, looked up once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdFacts {
    /// What this process may do about mounts.
    pub privilege: Privilege,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
    /// The user's name, if there is one.
    pub name: Option<String>,
    /// /etc/subuid; empty where it cannot be read.
    pub subuid: String,
    /// /etc/subgid; empty where it cannot be read.
    pub subgid: String,
    /// Where newuidmap is.
    pub newuidmap: Option<PathBuf>,
    /// Where newgidmap is.
    pub newgidmap: Option<PathBuf>,
    /// May it write any map (CAP_SETUID and CAP_SETGID)?
    pub sets_ids: bool,
    /// The user ids of its own user namespace.
    pub uid_map: Vec<IdRange>,
    /// The group ids of its own user namespace.
    pub gid_map: Vec<IdRange>,
}

impl IdFacts {
    /// Looks all of it up. What cannot be read counts as not there.
    pub fn look_up() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let has = |cap| caps::has_cap(None, caps::CapSet::Effective, cap).unwrap_or(false);
        IdFacts {
            privilege: Privilege::of_this_process(),
            uid: geteuid().as_raw(),
            gid: getegid().as_raw(),
            name: User::from_uid(geteuid()).ok().flatten().map(|user| user.name),
            subuid: text("/etc/subuid"),
            subgid: text("/etc/subgid"),
            newuidmap: find_program("newuidmap"),
            newgidmap: find_program("newgidmap"),
            sets_ids: has(caps::Capability::CAP_SETUID) && has(caps::Capability::CAP_SETGID),
            uid_map: parse_map(&text("/proc/self/uid_map")),
            gid_map: parse_map(&text("/proc/self/gid_map")),
        }
    }
}

/// Where the sandbox gets its ids from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdPlan {
    /// No new user namespace: this process may mount, and all its ids are there as they are.
    Keep,
    /// A new one with all ids of this one, as they are, written by this process.
    Same(Maps),
    /// A new one, whose maps newuidmap and newgidmap write.
    Helpers {
        /// The maps.
        maps: Maps,
        /// The program for user ids.
        newuidmap: PathBuf,
        /// The program for group ids.
        newgidmap: PathBuf,
    },
    /// A new one with one user and one group, which any user may have.
    Single {
        /// The maps, of one id each.
        maps: Maps,
        /// Why there are no more.
        why: FewIds,
    },
}

/// The maps of a user namespace; `inside` is an id within it, `outside` one of its parent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub struct Maps {
    pub uids: Vec<IdRange>,
    pub gids: Vec<IdRange>,
}

/// Why there is but one id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FewIds {
    /// A program is not installed.
    NoProgram(&'static str),
    /// A file has no range for the user.
    NoRange {
        /// /etc/subuid or /etc/subgid.
        file: &'static str,
        /// The user, by name where there is one.
        user: String,
        /// The first id from which on nobody has any, as far as both files say.
        free: u32,
    },
    /// There are some, and not the one that is needed.
    TooFew {
        /// /etc/subuid or /etc/subgid.
        file: &'static str,
        /// The user, by name where there is one.
        user: String,
    },
    /// A program is there, and does not work.
    Refused(String),
    /// The namespace that this process is in has no more.
    Outer,
}

impl fmt::Display for FewIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FewIds::NoProgram(program) => write!(f, "{program} is not installed"),
            FewIds::NoRange { file, user, .. } => write!(f, "{file} has no range for {user}"),
            FewIds::TooFew { file, user } => write!(f, "the ranges for {user} in {file} are too small"),
            FewIds::Refused(said) => write!(f, "{said}"),
            FewIds::Outer => f.write_str("the user namespace around lamina has no more"),
        }
    }
}

impl FewIds {
    /// What a person can do. It names both halves, for one without the other is of no use.
    pub fn hint(&self) -> String {
        match self {
            FewIds::Refused(_) => {
                "newuidmap and newgidmap (package uidmap) must be setuid root, /etc/subuid and /etc/subgid give ranges, and the group be the user's own one"
                    .to_owned()
            }
            FewIds::NoProgram(_) => {
                "install newuidmap and newgidmap (package uidmap), setuid root; /etc/subuid and /etc/subgid need a range".to_owned()
            }
            FewIds::TooFew { file, user } => format!(
                "as root, give {user} ranges of 65536 ids in /etc/subuid and /etc/subgid; newuidmap maps what is there ({file})"
            ),
            FewIds::NoRange { user, free, .. } => {
                let range = format!("{free}-{}", free.saturating_add(ENOUGH - 1));
                format!(
                    "as root: usermod --add-subuids {range} --add-subgids {range} {user}; newuidmap takes them from /etc/subuid"
                )
            }
            FewIds::Outer => {
                "leave that namespace, and have newuidmap and a range in /etc/subuid; or enter one with more ids (podman unshare)"
                    .to_owned()
            }
        }
    }
}

/// Decides.
pub fn plan(facts: &IdFacts) -> IdPlan {
    if facts.privilege != Privilege::None {
        return IdPlan::Keep;
    }
    if facts.sets_ids {
        let same = |map: &[IdRange]| -> Vec<IdRange> {
            map.iter().map(|range| IdRange { outside: range.inside, ..*range }).collect()
        };
        return IdPlan::Same(Maps { uids: same(&facts.uid_map), gids: same(&facts.gid_map) });
    }
    match helpers(facts) {
        Ok(plan) => plan,
        Err(why) => IdPlan::Single { maps: single(facts), why },
    }
}

/// The caller's own ids, as root's.
pub fn single(facts: &IdFacts) -> Maps {
    let one = |id| vec![IdRange { inside: 0, outside: id, len: 1 }];
    Maps { uids: one(facts.uid), gids: one(facts.gid) }
}

fn helpers(facts: &IdFacts) -> Result<IdPlan, FewIds> {
    let newuidmap = facts.newuidmap.clone().ok_or(FewIds::NoProgram("newuidmap"))?;
    let newgidmap = facts.newgidmap.clone().ok_or(FewIds::NoProgram("newgidmap"))?;
    let mut maps = single(facts);
    // Both files are about the user: subgid(5), too, is looked up by who calls.
    for (map, text, file) in
        [(&mut maps.uids, &facts.subuid, "/etc/subuid"), (&mut maps.gids, &facts.subgid, "/etc/subgid")]
    {
        let ranges = ranges_of(text, facts.name.as_deref(), facts.uid);
        if ranges.is_empty() {
            let user = facts.name.clone().unwrap_or_else(|| facts.uid.to_string());
            return Err(FewIds::NoRange { file, user, free: first_free(&[&facts.subuid, &facts.subgid]) });
        }
        let mut inside = 1_u32;
        for (first, len) in ranges {
            // Whatever is beyond the last id has no number inside.
            let len = len.min(u32::MAX - inside);
            if len == 0 {
                break;
            }
            map.push(IdRange { inside, outside: first, len });
            inside += len;
        }
    }
    Ok(IdPlan::Helpers { maps, newuidmap, newgidmap })
}

/// As many as distributions give to a user (login.defs(5), SUB_UID_COUNT), and images use.
const ENOUGH: u32 = 65536;
/// The first id that distributions give away (login.defs(5), SUB_UID_MIN).
const FIRST: u32 = 100_000;

/// The first id above all that the files give to anybody.
fn first_free(files: &[&str]) -> u32 {
    let end = |line: &str| {
        let mut numbers = line.split(':').skip(1).map(|number| number.trim().parse::<u32>().ok());
        numbers.next()??.checked_add(numbers.next()??)
    };
    files.iter().flat_map(|file| file.lines()).filter_map(end).max().unwrap_or(FIRST).max(FIRST)
}

/// The ranges that a file gives to a user: first id, and how many. Lines that are not understood give none.
fn ranges_of(text: &str, name: Option<&str>, uid: u32) -> Vec<(u32, u32)> {
    let number = uid.to_string();
    let range = |line: &str| {
        let mut fields = line.trim().split(':');
        let user = fields.next()?;
        let first: u32 = fields.next()?.parse().ok()?;
        let count: u32 = fields.next()?.parse().ok()?;
        let theirs = Some(user) == name || user == number;
        (theirs && count > 0 && first.checked_add(count).is_some()).then_some((first, count))
    };
    text.lines().filter_map(range).collect()
}

/// The lines of /proc/PID/uid_map.
pub fn parse_map(text: &str) -> Vec<IdRange> {
    let range = |line: &str| {
        let mut numbers = line.split_ascii_whitespace().map(|number| number.parse::<u32>().ok());
        Some(IdRange { inside: numbers.next()??, outside: numbers.next()??, len: numbers.next()?? })
    };
    text.lines().filter_map(range).collect()
}

/// Is an id inside these?
pub fn holds(map: &[IdRange], id: u32) -> bool {
    map.iter().any(|range| id.checked_sub(range.inside).is_some_and(|offset| offset < range.len))
}

/// Is there more than one?
pub fn several(map: &[IdRange]) -> bool {
    map.iter().map(|range| u64::from(range.len)).sum::<u64>() > 1
}

/// A map as /proc/PID/uid_map takes it.
pub fn lines(map: &[IdRange]) -> String {
    map.iter().map(|range| format!("{} {} {}\n", range.inside, range.outside, range.len)).collect()
}

/// A map as the words that newuidmap takes.
pub fn words(map: &[IdRange]) -> Vec<String> {
    map.iter().flat_map(|range| [range.inside, range.outside, range.len]).map(|n| n.to_string()).collect()
}
