//! What surrounds this process: its user, its rights, and what a container takes away.

use std::fs;
use std::path::Path;

use super::{Finding, Level};
use crate::sandbox::probe::Settings;
use crate::source::facts::Privilege;
use crate::sys::identity;

/// What is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The effective user.
    pub uid: u32,
    /// What it may do about mounts.
    pub privilege: Privilege,
    /// Is it in the first user namespace?
    pub first_namespace: bool,
    /// Does a seccomp filter apply?
    pub seccomp: bool,
    /// Do setuid programs gain nothing (PR_SET_NO_NEW_PRIVS)?
    pub no_new_privs: bool,
    /// The AppArmor profile that confines it.
    pub apparmor: Option<String>,
    /// May user namespaces give nothing to programs without a profile (`kernel.apparmor_restrict_unprivileged_userns`)?
    pub restricted: bool,
    /// By what it looks like a container.
    pub container: Option<&'static str>,
}

impl Facts {
    /// Looks it up. What cannot be read is not so.
    pub fn look_up() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let label = fs::read_to_string("/proc/self/attr/apparmor/current")
            .or_else(|_| fs::read_to_string("/proc/self/attr/current"))
            .unwrap_or_default();
        Facts {
            uid: identity::effective().0,
            privilege: Privilege::of_this_process(),
            first_namespace: identity::in_first_user_namespace(),
            seccomp: field(&status, "Seccomp:") == Some("2"),
            no_new_privs: field(&status, "NoNewPrivs:") == Some("1"),
            apparmor: profile(&label),
            restricted: Settings::look_up().apparmor.is_some_and(|on| on != 0),
            container: ["/run/.containerenv", "/.dockerenv"]
                .into_iter()
                .find(|file| Path::new(file).exists()),
        }
    }
}

/// A field of /proc/PID/status.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// The profile in /proc/PID/attr/current that confines: `docker-default (enforce)`.
pub fn profile(label: &str) -> Option<String> {
    let (name, mode) = label.trim_matches(['\n', '\0', ' ']).rsplit_once(" (")?;
    (mode == "enforce)" && name != "unconfined").then(|| name.to_owned())
}

/// What it is, for people. It has no effects of its own: the trials show them.
pub fn judge(facts: &Facts) -> Finding {
    let mut parts = vec![match facts.privilege {
        Privilege::Full => format!("user {}, with CAP_SYS_ADMIN: it may mount", facts.uid),
        Privilege::Namespace => {
            format!("user {} of a user namespace, with CAP_SYS_ADMIN there: it may mount FUSE", facts.uid)
        }
        Privilege::None if facts.uid == 0 => "root without CAP_SYS_ADMIN: it may not mount".to_owned(),
        Privilege::None => format!("user {}, an ordinary one: fusermount3 mounts for it", facts.uid),
    }];
    let mut remedies = Vec::new();
    if let Some(file) = facts.container {
        parts.push(format!("in a container ({file})"));
    }
    if facts.seccomp {
        parts.push("under a seccomp filter".to_owned());
        remedies.push("--security-opt seccomp=unconfined");
    }
    if facts.no_new_privs {
        parts.push("setuid programs gain nothing (NoNewPrivs)".to_owned());
        remedies.push("no --security-opt no-new-privileges, or NoNewPrivileges=no of a systemd unit");
    }
    if let Some(profile) = &facts.apparmor {
        parts.push(format!("under the AppArmor profile {}", profile.escape_debug()));
        remedies.push("--security-opt apparmor=unconfined");
    }
    if facts.restricted {
        parts.push(
            "AppArmor restricts user namespaces (kernel.apparmor_restrict_unprivileged_userns)".to_owned(),
        );
    }
    if facts.privilege == Privilege::None && facts.uid == 0 {
        remedies.push("--cap-add SYS_ADMIN");
    }
    let level = if remedies.is_empty() { Level::Ok } else { Level::Limited };
    let finding = Finding::new("process", level, parts.join(", "));
    match remedies.is_empty() {
        true => finding,
        false => {
            finding.remedy(format!("what lifts that, where a container does it: {}", remedies.join("; ")))
        }
    }
}
