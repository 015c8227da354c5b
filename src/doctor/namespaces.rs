//! User namespaces and the ids in them, as `lamina run` and podman need them.

use nix::unistd::{User, getgid, getuid};

use super::confinement;
use super::helper::Program;
use super::{Finding, Level, Use, is_ordinary};
use crate::sandbox::ids::{self, IdFacts, IdPlan};
use crate::sandbox::probe::{self, Blocked, Probe};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What a sandbox would be made of, as `lamina run` decides it.
    pub plan: IdPlan,
    /// Whether its namespaces could be made.
    pub made: Result<(), Blocked>,
    /// The programs that map ids, where they are.
    pub helpers: [Option<Program>; 2],
    /// How many user ids this process has.
    pub own_ids: u64,
    /// The group that this process is in, where /etc/passwd gives its user another one.
    pub strange_group: Option<u32>,
}

impl Facts {
    /// Tries.
    ///
    /// # Errors
    /// There can be no process.
    pub fn look_up() -> std::io::Result<Self> {
        let Probe { ids: plan, namespaces: made } = probe::probe()?;
        let own_ids = count(&IdFacts::look_up().uid_map);
        let gid = getgid();
        // Where the user has no name, that is what stands in the way.
        let user = User::from_uid(getuid()).ok().flatten();
        let strange_group = user.filter(|user| user.gid != gid).map(|_| gid.as_raw());
        Ok(Facts {
            plan,
            made,
            helpers: ["newuidmap", "newgidmap"].map(Program::find),
            own_ids,
            strange_group,
        })
    }
}

fn count(map: &[crate::config::IdRange]) -> u64 {
    map.iter().map(|range| u64::from(range.len)).sum()
}

/// Can there be a sandbox's namespaces?
pub fn judge(facts: &Facts, around: &confinement::Facts) -> Finding {
    const CHECK: &str = "namespaces";
    let uses: &[Use] = if is_ordinary(around.privilege) { &[Use::Run, Use::Podman] } else { &[Use::Run] };
    match (&facts.made, &facts.plan) {
        (Ok(()), IdPlan::Keep) => Finding::ok(CHECK, "mount and pid namespaces can be made"),
        (Ok(()), _) => Finding::ok(CHECK, "user, mount and pid namespaces can be made"),
        (Err(blocked), _) => {
            let why = blocked.to_string();
            Finding::new(CHECK, Level::Missing, &why).remedy(blocked.hint()).means(uses, Level::Missing, &why)
        }
    }
}

/// Which ids are there in a sandbox?
pub fn judge_ids(facts: &Facts, around: &confinement::Facts) -> Finding {
    const CHECK: &str = "ids";
    const USES: [Use; 2] = [Use::Run, Use::Podman];
    const FEW: &str = "only one id is mapped: what changes owners or users fails there";
    match &facts.plan {
        IdPlan::Keep if facts.own_ids > 1 => {
            Finding::ok(CHECK, "a sandbox has all ids of this user namespace")
        }
        IdPlan::Keep => {
            let why = ids::FewIds::Outer;
            Finding::new(CHECK, Level::Limited, why.to_string()).remedy(why.hint()).means(
                &USES,
                Level::Limited,
                FEW,
            )
        }
        IdPlan::Same(maps) => Finding::ok(CHECK, format!("a sandbox has {} user ids", count(&maps.uids))),
        IdPlan::Single { why, .. } => Finding::new(CHECK, Level::Limited, why.to_string())
            .remedy(why.hint())
            .means(&USES, Level::Limited, FEW),
        IdPlan::Helpers { maps, newuidmap, newgidmap } => {
            let [uid, gid] = &facts.helpers;
            let plain = [uid, gid].into_iter().flatten().find(|program| !program.raised);
            let without = |why: String, remedy: String| {
                Finding::new(CHECK, Level::Limited, why).remedy(remedy).means(&USES, Level::Limited, FEW)
            };
            if let Some(Program { path, .. }) = plain {
                let path = path.display();
                return without(
                    format!("{path} is not setuid root, and has no capabilities"),
                    format!("as root: chmod u+s {path}, or reinstall the package uidmap"),
                );
            }
            if around.no_new_privs {
                return without(
                    "newuidmap and newgidmap may not make use of being setuid root (NoNewPrivs)".to_owned(),
                    "start it without --security-opt no-new-privileges or NoNewPrivileges= of a unit"
                        .to_owned(),
                );
            }
            if let Some(group) = facts.strange_group {
                return without(
                    format!(
                        "newuidmap serves its user only as a member of the user's own group; this is group {group}"
                    ),
                    "log in anew, or leave newgrp or setpriv".to_owned(),
                );
            }
            let (uids, gids) = (count(&maps.uids), count(&maps.gids));
            let found = format!(
                "{uids} user and {gids} group ids, by {} and {}",
                newuidmap.display(),
                newgidmap.display()
            );
            // What images use: those of a system, and nobody's.
            match uids.min(gids) {
                0..65536 => Finding::new(CHECK, Level::Limited, found)
                    .remedy("as root, give ranges of 65536 ids in /etc/subuid and /etc/subgid (usermod --add-subuids)")
                    .means(&USES, Level::Limited, "files whose owners are beyond the ids that are mapped cannot be made"),
                _ => Finding::ok(CHECK, found),
            }
        }
    }
}
