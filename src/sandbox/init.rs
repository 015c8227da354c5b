//! The first process of a sandbox, and the command.

use std::ffi::{CStr, CString, OsStr};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use caps::{CapSet, Capability};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, rlim_t, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, pthread_sigmask};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Gid, Pid, Uid, chdir, getpgid, setgroups, sethostname, setresgid, setresuid};

use super::account::{self, Account};
use super::command::{self, PATH};
use super::enter::{Said, code_of, hostname};
use super::error::SandboxError;
use super::ids::{self, FewIds, IdPlan};
use super::mounts::Step;
use super::place::{Tree, read_small};
use super::signals::{Event, Inbox, inherited_and_continued};
use super::terminal::Foreground;
use super::{Plan, Workdir};
use crate::config::IdRange;
use crate::error::errno_of;
use crate::sys::daemon::{self, Side};
use crate::sys::sandbox;

/// Which ids there are, and what may be done with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Powers {
    pub(super) uids: Vec<IdRange>,
    pub(super) gids: Vec<IdRange>,
    pub(super) groups: Groups,
}

/// Whether a process may change its groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Groups {
    Free,
    Fixed,
}

impl Powers {
    /// Those of the namespace that this process is in.
    pub(super) fn look_up() -> Self {
        let text = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        Powers {
            uids: ids::parse_map(&text("uid_map")),
            gids: ids::parse_map(&text("gid_map")),
            groups: if text("setgroups").trim() == "deny" { Groups::Fixed } else { Groups::Free },
        }
    }
}

/// What the first process is given.
#[derive(Debug)]
pub(super) struct First<'a> {
    pub(super) plan: &'a Plan,
    pub(super) steps: &'a [Step],
    /// Where the tree is.
    pub(super) root: &'a Path,
    pub(super) powers: &'a Powers,
    /// What was blocked when lamina was started.
    pub(super) signals: SigSet,
    /// How many descriptors a process might have then: soft and hard.
    pub(super) descriptors: (rlim_t, rlim_t),
}

/// The first process, from its start to its end.
pub(super) fn run<E: From<SandboxError>>(first: &First<'_>, say: &dyn Fn(Said<'_, E>)) -> ! {
    let code = start(first, say).unwrap_or_else(|error| {
        let code = error.code();
        say(Said::Error(&error.into()));
        code
    });
    daemon::leave(code)
}

fn start<E: From<SandboxError>>(first: &First<'_>, say: &dyn Fn(Said<'_, E>)) -> Result<u8, SandboxError> {
    let system = |what| move |errno| SandboxError::System { what, errno };
    // The log's file is closed with everything else.
    log::set_max_level(log::LevelFilter::Off);
    set_pdeathsig(Signal::SIGKILL).map_err(system("end with the server"))?;
    // With a copy of the connection in here, a server that has died would seem to be alive.
    sandbox::close_all().map_err(system("close descriptors"))?;
    let inbox = inherited_and_continued(first.signals).map_err(system("watch signals"))?;
    unshare(CloneFlags::CLONE_NEWNS).map_err(system("make a mount namespace"))?;
    umask(Mode::from_bits_truncate(0o022));
    let tree = Tree::open(first.root).map_err(system("open the sandbox's root"))?;
    for step in first.steps {
        if let Some(shortcoming) = tree.apply(step)? {
            say(Said::Warning(shortcoming.message().to_owned()));
        }
    }
    tree.enter().map_err(system("enter the sandbox's root"))?;
    if let Some(name) = &first.plan.hostname {
        sethostname(name).map_err(system("set the host's name"))?;
    }
    let account = account(first)?;
    match daemon::fork() {
        Ok(Side::Parent(command)) => reap(command, &inbox).map_err(system("wait for the command")),
        Ok(Side::Child) => {
            let error = become_the_command(first, &account);
            let code = error.code();
            say(Said::Error(&error.into()));
            daemon::leave(code)
        }
        Err(error) => Err(system("start the command")(errno_of(&error))),
    }
}

/// Reaps everything, and hands signals on, until the command has ended. Then the kernel ends all that is left.
fn reap(command: Pid, inbox: &Inbox) -> Result<u8, Errno> {
    let mut stopped: Option<Stopped> = None;
    loop {
        match inbox.next(None)? {
            Event::Child => loop {
                match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)) {
                    Ok(WaitStatus::Stopped(pid, Signal::SIGSTOP)) if pid == command => {
                        stopped = Some(Stopped::with(command)?);
                    }
                    Ok(status) if status.pid() == Some(command) => {
                        if let Some(code) = code_of(status) {
                            return Ok(code);
                        }
                    }
                    Ok(status) if status.pid().is_some() => {}
                    Ok(_) | Err(Errno::ECHILD) => break,
                    Err(Errno::EINTR) => {}
                    Err(errno) => return Err(errno),
                }
            },
            Event::Sent(Signal::SIGCONT) | Event::FromTerminal(Signal::SIGCONT) => {
                if let Some(Stopped { foreground }) = stopped.take() {
                    drop(foreground);
                    kill(command, Signal::SIGCONT)?;
                }
            }
            // It is not waited for yet, so that its number is its own.
            Event::Sent(signal) => kill(command, signal)?,
            Event::FromTerminal(_) | Event::Nothing => {}
        }
    }
}

/// The command has stopped itself, as a shell does that is told to `suspend`. Ctrl-Z is another matter: it stops lamina, too.
struct Stopped {
    /// To be given back when it goes on.
    foreground: Option<Foreground>,
}

impl Stopped {
    /// Stops lamina with it, for the shell that has started lamina to notice. The kernel sees to it that nothing is stopped that
    /// nobody could continue.
    fn with(command: Pid) -> Result<Self, Errno> {
        let foreground = getpgid(Some(command)).ok().and_then(Foreground::of);
        // The first process is in the caller's group, and itself cannot be stopped.
        kill(Pid::from_raw(0), Signal::SIGTSTP)?;
        Ok(Stopped { foreground })
    }
}

/// Who the command runs as, by the files of the tree, which is the root by now.
fn account(first: &First<'_>) -> Result<Account, SandboxError> {
    let account =
        account::find(first.plan.user.as_deref(), &read_small("/etc/passwd"), &read_small("/etc/group"))?;
    let why = |file| match &first.plan.ids {
        IdPlan::Single { why, .. } => why.clone(),
        IdPlan::Helpers { .. } if !ids::several(&first.powers.uids) => {
            FewIds::Refused("newuidmap has refused".to_owned())
        }
        IdPlan::Helpers { .. } => {
            let facts = &first.plan.facts;
            let user = facts.name.clone().unwrap_or_else(|| facts.uid.to_string());
            FewIds::TooFew { file, user }
        }
        IdPlan::Keep | IdPlan::Same(_) => FewIds::Outer,
    };
    let Account { uid, gid, .. } = account;
    if !ids::holds(&first.powers.uids, uid) {
        return Err(SandboxError::NotMapped { what: "user", id: uid, why: why("/etc/subuid") });
    }
    if !ids::holds(&first.powers.gids, gid) {
        return Err(SandboxError::NotMapped { what: "group", id: gid, why: why("/etc/subgid") });
    }
    Ok(account)
}

/// What podman leaves to root of a container (containers-common's default_capabilities), and what sudo asks for besides.
const KEPT: [Capability; 12] = [
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FOWNER,
    Capability::CAP_FSETID,
    Capability::CAP_KILL,
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_SETFCAP,
    Capability::CAP_SETGID,
    Capability::CAP_SETPCAP,
    Capability::CAP_SETUID,
    Capability::CAP_SYS_CHROOT,
    Capability::CAP_AUDIT_WRITE,
];

fn limit_capabilities() -> Result<(), caps::errors::CapsError> {
    for capability in caps::all().into_iter().filter(|capability| !KEPT.contains(capability)) {
        // A kernel that does not know one has nothing to be dropped.
        if caps::has_cap(None, CapSet::Bounding, capability).unwrap_or(false) {
            caps::drop(None, CapSet::Bounding, capability)?;
        }
    }
    caps::clear(None, CapSet::Ambient)?;
    caps::clear(None, CapSet::Inheritable)
}

/// Executes the command in this process; returns only to say why not.
fn become_the_command(first: &First<'_>, account: &Account) -> SandboxError {
    match prepare(first, account) {
        Ok(()) => execute(first.plan, account),
        Err(error) => error,
    }
}

fn prepare(first: &First<'_>, account: &Account) -> Result<(), SandboxError> {
    let system = |what| move |errno| SandboxError::System { what, errno };
    limit_capabilities().map_err(|error| {
        log::debug!("{error}");
        system("give up capabilities")(Errno::EPERM)
    })?;
    let (soft, hard) = first.descriptors;
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).map_err(system("reset the limit of descriptors"))?;
    if first.powers.groups == Groups::Free {
        let groups: Vec<Gid> = account
            .groups
            .iter()
            .filter(|gid| ids::holds(&first.powers.gids, **gid))
            .map(|gid| Gid::from_raw(*gid))
            .collect();
        setgroups(&groups).map_err(system("set the command's groups"))?;
    }
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    setresgid(gid, gid, gid).map_err(system("set the command's group"))?;
    setresuid(uid, uid, uid).map_err(system("set the command's user"))?;
    let (Workdir::OfImage(workdir) | Workdir::Asked(workdir)) = &first.plan.workdir;
    chdir(workdir.as_path()).map_err(|errno| SandboxError::Workdir { path: workdir.clone(), errno })?;
    // Rust's runtime ignores it, and it would stay ignored.
    sandbox::default_action(Signal::SIGPIPE).map_err(system("reset signals"))?;
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&first.signals), None).map_err(system("reset signals"))
}

fn execute(plan: &Plan, account: &Account) -> SandboxError {
    let mut environment = plan.environment.clone();
    environment.set_default("HOME", account.home.clone().unwrap_or_else(|| "/".to_owned()));
    if let Some(name) = hostname(plan) {
        environment.set_default("HOSTNAME", name);
    }
    let word = plan.words.first().map(|word| word.as_os_str()).unwrap_or(OsStr::new(command::SHELL));
    let path = environment.get("PATH").unwrap_or(OsStr::new(PATH)).to_owned();
    let strings = |all: Vec<Vec<u8>>| all.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>();
    let words = plan.words.iter().map(|word| word.as_bytes().to_vec()).collect();
    let (Ok(words), Ok(variables)) = (strings(words), strings(environment.lines())) else {
        // An image's config may hold a NUL; nothing that is executed can.
        return SandboxError::NotExecutable { command: word.into(), errno: Errno::EINVAL };
    };
    let words: Vec<&CStr> = words.iter().map(CString::as_c_str).collect();
    let variables: Vec<&CStr> = variables.iter().map(CString::as_c_str).collect();
    let mut refused: Option<(PathBuf, Errno)> = None;
    for candidate in command::candidates(word, &path) {
        let Ok(file) = CString::new(candidate.as_bytes()) else { continue };
        match sandbox::execute(&file, &words, &variables) {
            Errno::ENOENT | Errno::ENOTDIR => {}
            errno => {
                refused.get_or_insert((candidate.into(), errno));
                // Another directory may have it for us; what is there and broken is the one that was meant.
                if errno != Errno::EACCES {
                    break;
                }
            }
        }
    }
    match refused {
        Some((command, errno)) => SandboxError::NotExecutable { command, errno },
        None => SandboxError::NotFound {
            command: word.into(),
            path: (!word.as_bytes().contains(&b'/')).then(|| path.to_string_lossy().into_owned()),
        },
    }
}
