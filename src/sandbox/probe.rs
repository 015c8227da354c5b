//! Can there be a sandbox here? Asked by trying, and answered with the setting that forbids it.

use std::fmt;
use std::fs;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, waitpid};

use super::ids::{self, IdFacts, IdPlan};
use crate::error::errno_of;
use crate::source::facts::Privilege;
use crate::sys::daemon::{self, Side};

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// A new user namespace.
    UserNamespace,
    /// New mount and pid namespaces, as who may.
    MountNamespace,
}

/// What the machine says about user namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// `kernel.unprivileged_userns_clone` of Debian and Arch.
    pub unprivileged_clone: Option<u64>,
    /// `user.max_user_namespaces`.
    pub most_user: Option<u64>,
    /// The smallest of `user.max_KIND_namespaces` for the other kinds that a sandbox has, and its kind.
    pub most_others: Option<(&'static str, u64)>,
    /// `kernel.apparmor_restrict_unprivileged_userns` of Ubuntu.
    pub apparmor: Option<u64>,
    /// Does a seccomp filter apply to this process?
    pub seccomp: bool,
    /// May this process mount already?
    pub privilege: Privilege,
}

impl Settings {
    /// Looks them up. What cannot be read is not there.
    pub fn look_up() -> Self {
        let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse().ok();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let seccomp = status.lines().find_map(|line| line.strip_prefix("Seccomp:")).map(str::trim);
        let most = |kind: &'static str| {
            number(&format!("/proc/sys/user/max_{kind}_namespaces")).map(|most: u64| (kind, most))
        };
        Settings {
            unprivileged_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
            most_user: number("/proc/sys/user/max_user_namespaces"),
            most_others: ["mnt", "pid", "ipc", "uts"]
                .into_iter()
                .filter_map(most)
                .min_by_key(|(_, most)| *most),
            apparmor: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            seccomp: seccomp.is_some_and(|mode| mode == "2"),
            privilege: Privilege::of_this_process(),
        }
    }
}

/// Why there can be none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the messages say it
pub struct Blocked {
    pub tried: Tried,
    pub errno: Errno,
    pub by: By,
}

/// What forbids it, as far as that can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the messages say it
pub enum By {
    UnprivilegedClone,
    MostUser,
    MostOthers(&'static str),
    AppArmor,
    Seccomp,
    Unknown,
}

/// Judges a failure by the settings. The first that explains it is named.
pub fn blocked(tried: Tried, errno: Errno, settings: &Settings) -> Blocked {
    let by = match errno {
        Errno::EPERM | Errno::EACCES
            if settings.unprivileged_clone == Some(0) && settings.privilege == Privilege::None =>
        {
            By::UnprivilegedClone
        }
        Errno::ENOSPC | Errno::EUSERS if tried == Tried::MountNamespace => {
            By::MostOthers(settings.most_others.map_or("mnt", |(kind, _)| kind))
        }
        Errno::ENOSPC | Errno::EUSERS => By::MostUser,
        Errno::EPERM | Errno::EACCES if settings.apparmor.is_some_and(|on| on != 0) => By::AppArmor,
        Errno::EPERM | Errno::EACCES | Errno::ENOSYS if settings.seccomp => By::Seccomp,
        _ => By::Unknown,
    };
    Blocked { tried, errno, by }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.tried {
            Tried::UserNamespace => "a user namespace",
            Tried::MountNamespace => "a mount and pid namespace",
        };
        write!(f, "{what} cannot be made here: {}", self.errno.desc())?;
        match self.by {
            By::UnprivilegedClone => f.write_str(" (kernel.unprivileged_userns_clone is 0)"),
            By::MostUser => f.write_str(" (user.max_user_namespaces is reached)"),
            By::MostOthers(kind) => write!(f, " (user.max_{kind}_namespaces is reached)"),
            By::AppArmor => f.write_str(" (kernel.apparmor_restrict_unprivileged_userns is 1)"),
            By::Seccomp => f.write_str(" (a seccomp filter applies to this process, as in a container)"),
            By::Unknown => Ok(()),
        }
    }
}

impl Blocked {
    /// What a person can do.
    pub fn hint(&self) -> String {
        match self.by {
            By::MostOthers(kind) => return format!("as root: sysctl -w user.max_{kind}_namespaces=10000"),
            By::UnprivilegedClone => "as root: sysctl -w kernel.unprivileged_userns_clone=1",
            By::MostUser => "as root: sysctl -w user.max_user_namespaces=10000",
            By::AppArmor => {
                "as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or give lamina an AppArmor profile \
                 with the rule 'userns,'"
            }
            By::Seccomp => {
                "in a container, start it with --security-opt seccomp=unconfined, or with the capability CAP_SYS_ADMIN"
            }
            By::Unknown => "run it as root, or outside the chroot or container that lamina is in",
        }
        .to_owned()
    }
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Which ids a sandbox would have.
    pub ids: IdPlan,
    /// Whether its namespaces can be made.
    pub namespaces: Result<(), Blocked>,
}

/// Tries, in a process of its own.
///
/// # Errors
/// There can be no process; EBUSY where this one has several threads.
pub fn probe() -> std::io::Result<Probe> {
    let ids = ids::plan(&IdFacts::look_up());
    let Side::Parent(child) = daemon::fork()? else {
        daemon::leave(match namespaces(&ids).and_then(|()| first_process()) {
            Ok(()) => 0,
            // The kernel's error numbers that unshare(2) and clone(2) give are below 128.
            Err((Tried::UserNamespace, errno)) => errno as u8 & 0x7f,
            Err((Tried::MountNamespace, errno)) => errno as u8 | 0x80,
        });
    };
    let namespaces = match waitpid(child, None)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        WaitStatus::Exited(_, code) => {
            let tried = if code & 0x80 == 0 { Tried::UserNamespace } else { Tried::MountNamespace };
            Err(blocked(tried, Errno::from_raw(code & 0x7f), &Settings::look_up()))
        }
        // Some seccomp filters kill.
        _ => Err(Blocked { tried: Tried::UserNamespace, errno: Errno::EPERM, by: By::Seccomp }),
    };
    Ok(Probe { ids, namespaces })
}

/// Makes the outer namespaces of a sandbox for this process, as far as it can do so alone.
pub(crate) fn namespaces(ids: &IdPlan) -> Result<(), (Tried, Errno)> {
    if *ids != IdPlan::Keep {
        unshare(CloneFlags::CLONE_NEWUSER).map_err(|errno| (Tried::UserNamespace, errno))?;
    }
    unshare(CloneFlags::CLONE_NEWNS).map_err(|errno| (Tried::MountNamespace, errno))
}

/// Makes a process in the inner ones, as a sandbox's first is made, and waits for its end.
fn first_process() -> Result<(), (Tried, Errno)> {
    let failed = |errno| (Tried::MountNamespace, errno);
    match daemon::fork_into(INNER).map_err(|error| failed(errno_of(&error)))? {
        Side::Child => daemon::leave(0),
        Side::Parent(child) => waitpid(child, None).map(drop).map_err(failed),
    }
}

/// The namespaces of the command, beside those of mounts and users.
pub(crate) const INNER: CloneFlags =
    CloneFlags::CLONE_NEWPID.union(CloneFlags::CLONE_NEWIPC).union(CloneFlags::CLONE_NEWUTS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_forbids_it_is_named() {
        let none = Settings {
            unprivileged_clone: None,
            most_user: None,
            most_others: None,
            apparmor: None,
            seccomp: false,
            privilege: Privilege::None,
        };
        for (tried, errno, settings, by, word) in [
            (
                Tried::UserNamespace,
                Errno::EPERM,
                Settings { unprivileged_clone: Some(0), ..none },
                By::UnprivilegedClone,
                "unprivileged_userns_clone",
            ),
            (
                Tried::UserNamespace,
                Errno::ENOSPC,
                Settings { most_user: Some(0), ..none },
                By::MostUser,
                "max_user_namespaces",
            ),
            (Tried::UserNamespace, Errno::EUSERS, none, By::MostUser, "max_user_namespaces"),
            (
                Tried::MountNamespace,
                Errno::ENOSPC,
                Settings { most_user: Some(0), most_others: Some(("uts", 0)), ..none },
                By::MostOthers("uts"),
                "user.max_uts_namespaces=10000",
            ),
            (
                Tried::MountNamespace,
                Errno::EPERM,
                Settings { apparmor: Some(1), ..none },
                By::AppArmor,
                "apparmor",
            ),
            (Tried::UserNamespace, Errno::EPERM, Settings { seccomp: true, ..none }, By::Seccomp, "seccomp"),
            (
                Tried::UserNamespace,
                Errno::EPERM,
                Settings { apparmor: Some(0), ..none },
                By::Unknown,
                "as root",
            ),
        ] {
            let blocked = blocked(tried, errno, &settings);
            assert_eq!(blocked.by, by, "{settings:?}");
            let text = format!("{blocked}\n{}", blocked.hint());
            assert!(text.contains(word) && text.contains(errno.desc()), "{text}");
        }
    }
}
