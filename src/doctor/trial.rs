//! Mounts, tried: an empty directory, in a process of its own, as `lamina mount` and `lamina run` would do it.
//!
//! Whatever forbids it (a missing capability, a seccomp filter, an AppArmor profile, a masked /proc), the kernel's answer to
//! the real thing is the only one that tells.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::chdir;
use serde::{Deserialize, Serialize};

use super::namespaces;
use super::{Finding, Level, Use, confinement, is_ordinary};
use crate::config::{Acl, Behaviour, LowerSpec, StackSpec};
use crate::error::describe;
use crate::fuse::{self, AccessPolicy, MountSpec, PermissionChecks, VfsFlags};
use crate::overlay::Overlay;
use crate::sandbox::ids::{self, IdFacts, IdPlan};
use crate::sandbox::{place, probe};
use crate::source::preflight::Fuse;
use crate::sys::daemon::{self, Side};

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tried {
    /// It worked.
    Works,
    /// It did not.
    Failed {
        /// Why.
        message: String,
        /// What to do, if anything comes to mind.
        hint: Option<String>,
    },
    /// What it needs was not there.
    NotTried,
}

impl Tried {
    fn failed(message: impl Into<String>) -> Self {
        Tried::Failed { message: message.into(), hint: None }
    }
}

/// What was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// A mount, as this user makes it.
    pub mount: Tried,
    /// A mount in the namespaces of a sandbox.
    pub sandbox: Tried,
    /// /proc in the namespaces of a sandbox.
    pub proc: Tried,
}

/// Where it is tried.
struct Ground {
    lower: PathBuf,
    point: PathBuf,
    /// Removed with it.
    _dir: tempfile::TempDir,
}

impl Ground {
    /// In the first directory that can be written to.
    fn make(scratch: &Path) -> io::Result<Self> {
        let places =
            [scratch.to_owned(), std::env::temp_dir(), "/var/tmp".into(), "/tmp".into(), "/dev/shm".into()];
        let make = |place: &PathBuf| {
            let dir = tempfile::Builder::new().prefix("lamina-doctor-").tempdir_in(place)?;
            let ground = Ground { lower: dir.path().join("lower"), point: dir.path().join("mnt"), _dir: dir };
            fs::create_dir(&ground.lower)?;
            fs::create_dir(&ground.point)?;
            Ok(ground)
        };
        let mut failed = io::Error::from(io::ErrorKind::NotFound);
        for place in &places {
            match make(place) {
                Ok(ground) => return Ok(ground),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

impl Facts {
    /// Tries all of it.
    ///
    /// # Errors
    /// There can be no process to try it in.
    pub fn try_out(scratch: &Path, namespaces: &namespaces::Facts, device: Fuse) -> io::Result<Self> {
        let ground = match Ground::make(scratch) {
            Ok(ground) => ground,
            Err(error) => {
                let message = format!("there is no directory to try a mount in: {}", describe(&error));
                let hint = Some("set TMPDIR to a directory of yours".to_owned());
                let failed = Tried::Failed { message, hint };
                return Ok(Facts { mount: failed.clone(), sandbox: failed, proc: Tried::NotTried });
            }
        };
        // Without the device, why is said by the finding about it.
        let mount = match device {
            Fuse::Usable => in_a_process(|| (mounted(&ground), Tried::NotTried))?.0,
            _ => Tried::NotTried,
        };
        let (sandbox, proc) = match namespaces.made {
            Ok(()) => in_a_process(|| in_a_sandbox(&ground, &namespaces.plan, device))?,
            Err(_) => (Tried::NotTried, Tried::NotTried),
        };
        Ok(Facts { mount, sandbox, proc })
    }
}

/// Does it in a child, which tells the outcome through a socket.
fn in_a_process(what: impl FnOnce() -> (Tried, Tried)) -> io::Result<(Tried, Tried)> {
    let (mut ours, mut theirs) = UnixStream::pair()?;
    let Side::Parent(child) = daemon::fork()? else {
        drop(ours);
        let told =
            serde_json::to_vec(&what()).map_err(io::Error::from).and_then(|told| theirs.write_all(&told));
        daemon::leave(u8::from(told.is_err()));
    };
    drop(theirs);
    let mut told = Vec::new();
    ours.read_to_end(&mut told)?;
    let status = waitpid(child, None)?;
    Ok(serde_json::from_slice(&told).unwrap_or_else(|_| {
        let failed = match status {
            WaitStatus::Signaled(_, signal, _) => {
                Tried::failed(format!("the process that tried it was ended by {signal}"))
            }
            _ => Tried::failed("the process that tried it said nothing"),
        };
        (failed, Tried::NotTried)
    }))
}

fn mounted(ground: &Ground) -> Tried {
    let stack = StackSpec {
        lowers: vec![LowerSpec::Directory(ground.lower.clone())],
        data_only: Vec::new(),
        upper: None,
    };
    let overlay = match Overlay::open_stack(&stack, &Behaviour { read_only: true, ..Behaviour::default() }) {
        Ok(overlay) => overlay,
        Err(error) => return Tried::failed(error.to_string()),
    };
    let spec = MountSpec {
        mountpoint: ground.point.clone(),
        source_name: "lamina-doctor".to_owned(),
        access: AccessPolicy::Owner,
        flags: VfsFlags::READ_ONLY | VfsFlags::NO_SUID | VfsFlags::NO_DEVICES,
        permissions: PermissionChecks::Kernel,
        acl: Acl::Off,
        labels: Vec::new(),
        threads: 1,
        info: Vec::new(),
    };
    match fuse::mount(Arc::new(overlay), &spec) {
        // Dropped, it is unmounted.
        Ok(_) => Tried::Works,
        Err(error) => Tried::Failed { message: error.to_string(), hint: Some(error.hint().to_owned()) },
    }
}

/// A mount and /proc, in new namespaces with one id.
fn in_a_sandbox(ground: &Ground, plan: &IdPlan, device: Fuse) -> (Tried, Tried) {
    if let Err(error) = enter(plan) {
        return (Tried::failed(error), Tried::NotTried);
    }
    let proc = as_first_process(|| {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("proc"), &ground.point, Some("proc"), flags, None::<&str>)
    });
    let changed = as_first_process(|| {
        mount(Some(&ground.lower), &ground.lower, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        chdir(&ground.lower)?;
        place::change_root()
    });
    let sandbox = match (changed, device) {
        (Tried::Failed { message, hint }, _) => {
            Tried::Failed { message: format!("a directory cannot become the root: {message}"), hint }
        }
        (Tried::Works, Fuse::Usable) => mounted(ground),
        (Tried::Works | Tried::NotTried, _) => Tried::NotTried,
    };
    (sandbox, proc)
}

/// Does it in the inner namespaces of a sandbox, as their first process.
fn as_first_process(what: impl FnOnce() -> Result<(), Errno>) -> Tried {
    let tried = || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        what()
    };
    match daemon::fork_into(probe::INNER) {
        Ok(Side::Child) => {
            daemon::leave(tried().map_or_else(|errno| u8::try_from(errno as i32).unwrap_or(u8::MAX), |()| 0));
        }
        Ok(Side::Parent(child)) => match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, 0)) => Tried::Works,
            Ok(WaitStatus::Exited(_, code)) => Tried::failed(Errno::from_raw(code).desc()),
            Ok(_) => Tried::failed("the process that tried it was ended"),
            Err(errno) => Tried::failed(errno.desc()),
        },
        Err(error) => Tried::failed(describe(&error).to_string()),
    }
}

fn enter(plan: &IdPlan) -> Result<(), String> {
    let maps = ids::single(&IdFacts::look_up());
    probe::namespaces(plan).map_err(|(_, errno)| format!("namespaces cannot be made: {}", errno.desc()))?;
    if *plan != IdPlan::Keep {
        let write = |file: &str, text: &str| {
            let path = format!("/proc/self/{file}");
            fs::write(&path, text).map_err(|error| format!("{path}: {}", describe(&error)))
        };
        write("setgroups", "deny")?;
        write("uid_map", &ids::lines(&maps.uids))?;
        write("gid_map", &ids::lines(&maps.gids))?;
    }
    // What is mounted here is nobody else's to see.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .map_err(|errno| format!("the mounts of a new namespace cannot be made private: {}", errno.desc()))
}

/// Did a mount work?
pub fn judge_mount(facts: &Facts, around: &confinement::Facts) -> Finding {
    const CHECK: &str = "mount";
    let ordinary = is_ordinary(around.privilege) && around.uid != 0;
    let (message, hint) = match &facts.mount {
        Tried::Failed { message, hint } => (message, hint),
        Tried::NotTried => return Finding::new(CHECK, Level::Missing, "not tried: /dev/fuse cannot be used"),
        Tried::Works => {
            let how = if ordinary { "fusermount3" } else { "mount(2)" };
            return Finding::ok(CHECK, format!("an empty directory was mounted by {how}, and unmounted"));
        }
    };
    let uses: &[Use] =
        if ordinary { &[Use::Mount, Use::Image] } else { &[Use::Mount, Use::Image, Use::Podman] };
    let remedy = remedy(hint.as_deref(), around);
    Finding::new(CHECK, Level::Missing, message).remedy(remedy).means(uses, Level::Missing, message)
}

/// What the error says to do, and what lifts the confinement that may have forbidden it.
fn remedy(hint: Option<&str>, around: &confinement::Facts) -> String {
    let lifts = [
        around.seccomp.then_some("a container's seccomp filter: --security-opt seccomp=unconfined"),
        around.apparmor.is_some().then_some("its AppArmor profile: --security-opt apparmor=unconfined"),
        around.restricted.then_some(
            "AppArmor's restriction, as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ];
    let known: Vec<&str> = hint.into_iter().chain(lifts.into_iter().flatten()).collect();
    if known.is_empty() { "the kernel's log (dmesg) may tell more".to_owned() } else { known.join("; ") }
}

/// Why is said by the finding about what is missing.
const NOT_TRIED: &str = "not tried: there can be no namespaces, or /dev/fuse cannot be used";

/// Did a mount in a sandbox work?
pub fn judge_sandbox(facts: &Facts, namespaces: &namespaces::Facts, around: &confinement::Facts) -> Finding {
    const CHECK: &str = "sandbox";
    match &facts.sandbox {
        Tried::Works => Finding::ok(CHECK, "an empty directory was mounted in namespaces of its own"),
        Tried::NotTried => Finding::new(CHECK, Level::Missing, NOT_TRIED),
        Tried::Failed { message, hint } => {
            let uses: &[Use] =
                if namespaces.plan == IdPlan::Keep { &[Use::Run] } else { &[Use::Run, Use::Podman] };
            let remedy = remedy(hint.as_deref(), around);
            Finding::new(CHECK, Level::Missing, message).remedy(remedy).means(uses, Level::Missing, message)
        }
    }
}

/// Could /proc be mounted in a sandbox?
pub fn judge_proc(facts: &Facts) -> Finding {
    const CHECK: &str = "/proc";
    match &facts.proc {
        Tried::Works => Finding::ok(CHECK, "it was mounted in a pid namespace of its own"),
        Tried::NotTried => Finding::new(CHECK, Level::Missing, NOT_TRIED),
        Tried::Failed { message, .. } => Finding::new(
            CHECK,
            Level::Limited,
            format!(
                "it cannot be mounted in a pid namespace of its own ({message}): a part of it is hidden here"
            ),
        )
        .remedy(
            "start the container around it with --security-opt unmask=ALL (docker: systempaths=unconfined)",
        )
        .means(&[Use::Run], Level::Limited, "the outer /proc is shown, with the outer process ids")
        .means(
            &[Use::Podman],
            Level::Limited,
            "podman run needs a /proc of its own; buildah's --isolation chroot does not",
        ),
    }
}
