//! What is mounted in the sandbox beside its tree, and in which order: a plan, made before anything is done.
//!
//! Sources: the OCI runtime-spec's config-linux.md ("Default Devices", "Default Filesystems", "Masked Paths", "Readonly
//! Paths") and its defaults in podman.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use super::bind::{Access, Bind, normal};

/// One step. They are done in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// In the sandbox, absolute. Symlinks in it are the sandbox's own.
    pub target: PathBuf,
    /// What is done there.
    pub what: What,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// /proc of the new pid namespace, or the outer one where that may not be mounted.
    Proc,
    /// A tmpfs.
    Tmpfs {
        /// The mode of its root.
        mode: u32,
        /// At most that many bytes; `None`: half of the memory, the kernel's default.
        size: Option<u64>,
    },
    /// Pseudo terminals of its own.
    Pts {
        /// The group of terminals, `None` where it is not mapped.
        group: Option<u32>,
    },
    /// What is at a path of the machine, with all that is mounted below it.
    Bind {
        /// On the machine.
        source: PathBuf,
        /// What may be done.
        access: Access,
        /// What it is.
        kind: Kind,
        /// What a source that is not there means.
        absent: Absent,
    },
    /// What is there already, without writing. Nothing where there is nothing.
    ReadOnly,
    /// What is there already is covered by nothing. Nothing where there is nothing.
    Covered,
    /// A symlink.
    Link(&'static str),
}

/// A file or a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Kind {
    File,
    Directory,
}

/// What is done where the source of a bind is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Absent {
    Refuse,
    Skip,
}

/// A bind whose source was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundBind {
    /// With the real path of its source.
    pub bind: Bind,
    /// What it is.
    pub kind: Kind,
}

/// What the plan depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Those of the caller.
    pub binds: Vec<FoundBind>,
    /// The command's terminal, by its path on the machine.
    pub terminal: Option<PathBuf>,
    /// Is group 5, which terminals belong to, mapped?
    pub tty_group: bool,
    /// A file that is shown as /etc/resolv.conf.
    pub resolv_conf: Option<PathBuf>,
    /// A file that is shown as /etc/hosts.
    pub hosts: Option<PathBuf>,
    /// Whose root it is.
    pub root: Root,
}

/// Whose root the sandbox's is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// The machine's: what belongs to it in /proc could be written by being it, without any capability.
    Machine,
    /// Another user, mapped.
    Mapped,
}

/// The group of terminals: `tty` of Debian, Fedora and all others that podman runs on.
pub const TTY_GROUP: u32 = 5;
/// Of /dev: device names, links and what a program may by mistake write there.
const DEV_SIZE: u64 = 64 << 20;

/// The plan.
pub fn plan(wanted: &Wanted) -> Vec<Step> {
    let step = |target: &str, what| Step { target: target.into(), what };
    let device = |name: &str| {
        let path = format!("/dev/{name}");
        let source = PathBuf::from(&path);
        step(&path, bind(source, Access::ReadWrite, Kind::File, Absent::Skip))
    };
    let mut steps = vec![
        step("/proc", What::Proc),
        step("/sys", bind("/sys".into(), Access::ReadOnly, Kind::Directory, Absent::Skip)),
        step("/dev", What::Tmpfs { mode: 0o755, size: Some(DEV_SIZE) }),
    ];
    // Who has a tree of lamina's may mount further ones in it; podman leaves it to its caller.
    steps.extend(["null", "zero", "full", "random", "urandom", "tty", "fuse"].map(device));
    steps.extend([
        step("/dev/pts", What::Pts { group: wanted.tty_group.then_some(TTY_GROUP) }),
        step("/dev/shm", What::Tmpfs { mode: 0o1777, size: None }),
        step("/dev/ptmx", What::Link("pts/ptmx")),
        step("/dev/fd", What::Link("/proc/self/fd")),
        step("/dev/stdin", What::Link("/proc/self/fd/0")),
        step("/dev/stdout", What::Link("/proc/self/fd/1")),
        step("/dev/stderr", What::Link("/proc/self/fd/2")),
    ]);
    if let Some(source) = &wanted.terminal {
        // The terminal is one of the machine's /dev/pts: without a name in the sandbox, ttyname(3) finds none.
        let what = bind(source.clone(), Access::ReadWrite, Kind::File, Absent::Refuse);
        steps.push(step("/dev/console", what));
    }
    let files = [("/etc/resolv.conf", &wanted.resolv_conf), ("/etc/hosts", &wanted.hosts)];
    for (target, source) in files {
        if let Some(source) = source {
            steps.push(step(target, bind(source.clone(), Access::ReadWrite, Kind::File, Absent::Refuse)));
        }
    }
    if wanted.root == Root::Machine {
        for name in ["bus", "fs", "irq", "sys", "sysrq-trigger", "acpi", "asound", "scsi"] {
            steps.push(step(&format!("/proc/{name}"), What::ReadOnly));
        }
        for name in ["kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug"] {
            steps.push(step(&format!("/proc/{name}"), What::Covered));
        }
        steps.push(step("/sys/firmware", What::Covered));
    }
    // Last, so that they may cover anything.
    for FoundBind { bind: Bind { source, target, access }, kind } in &wanted.binds {
        let what = bind(source.clone(), *access, *kind, Absent::Refuse);
        steps.push(Step { target: target.clone(), what });
    }
    steps
}

fn bind(source: PathBuf, access: Access, kind: Kind, absent: Absent) -> What {
    What::Bind { source, access, kind, absent }
}

/// What must be there for the plan, as paths from the root: it is put into a layer below all others, so that nothing is made
/// in the upper for it. What is below /dev, /proc and /sys comes with these.
pub fn skeleton(steps: &[Step], directories: &[&Path]) -> Vec<(PathBuf, Kind)> {
    let covered = ["/dev", "/proc", "/sys"].map(Path::new);
    let needed = steps.iter().filter_map(|step| {
        let kind = match &step.what {
            What::Proc | What::Tmpfs { .. } | What::Pts { .. } => Kind::Directory,
            What::Bind { kind, .. } => *kind,
            What::ReadOnly | What::Covered | What::Link(_) => return None,
        };
        let inside = covered.iter().any(|dir| step.target.starts_with(dir) && step.target != **dir);
        (!inside).then_some((step.target.as_path(), kind))
    });
    let directories = directories.iter().map(|path| (*path, Kind::Directory));
    needed
        .chain(directories)
        .filter_map(|(path, kind)| Some((normal(path)?, kind)))
        .filter(|(path, _)| !path.as_os_str().is_empty())
        .collect()
}
