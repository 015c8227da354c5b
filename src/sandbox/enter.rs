//! Making a sandbox: the caller's side, and the server's.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, getrlimit, rlim_t};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid, getppid, setsid};

use super::error::SandboxError;
use super::ids::{self, FewIds, IdPlan, Maps};
use super::init::{self, First, Powers};
use super::mounts::{self, Root, Wanted};
use super::probe::{INNER, Settings, Tried, blocked};
use super::scratch::Scratch;
use super::signals::{Event, Inbox, inherited};
use super::terminal::{self, Foreground};
use super::{Plan, Workdir};
use crate::error::{describe, errno_of};
use crate::fuse::Mounted;
use crate::sys::daemon::{self, Side};

/// How long a command has to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);

/// What a person is told while a sandbox is made and lasts.
#[derive(Debug)]
pub enum Said<'a, E> {
    /// It ends here.
    Error(&'a E),
    /// It goes on.
    Warning(String),
}

/// Makes a sandbox, runs its command, and gives the exit code: the command's, 128 and the number of the signal that ended
/// it, or 125 to 127 where there was none; `say` has said why then.
///
/// `raise` mounts the tree at [`Scratch::root`], with [`Scratch::base`] as the layer below all others, in the process that is
/// to serve it. This process must have one thread only.
///
/// # Errors
/// What went wrong in this process.
pub fn enter<E: From<SandboxError>>(
    plan: &Plan,
    raise: impl FnOnce(&mut Scratch) -> Result<Mounted, E>,
    say: &dyn Fn(Said<'_, E>),
) -> Result<u8, SandboxError> {
    let system = |what| move |errno| SandboxError::System { what, errno };
    let foreground = Foreground::note();
    let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_err(system("read the limit of descriptors"))?;
    let inbox = Inbox::open().map_err(system("watch signals"))?;
    let (ours, theirs) = UnixStream::pair().map_err(|error| io("make a pair of sockets", &error))?;
    let caller = getpid();
    let Side::Parent(server) = daemon::fork().map_err(|error| io("make a process", &error))? else {
        drop(ours);
        let start = Start { caller, link: theirs, before: inbox.before, descriptors };
        let served = serve(plan, start, raise, say);
        daemon::leave(served.unwrap_or_else(|error| {
            say(Said::Error(&error));
            125
        }));
    };
    drop(theirs);
    if let Err(error) = map_ids(plan, server, ours, |warning| say(Said::Warning(warning))) {
        // It has nothing yet that it would have to put away.
        kill(server, Signal::SIGKILL).map_err(system("end a process"))?;
        waitpid(server, None).map_err(system("wait for a process"))?;
        return Err(error);
    }
    let status = wait(server, &inbox).map_err(system("wait for the sandbox"))?;
    drop(foreground);
    match status {
        // It gives the command's end as its own exit code.
        WaitStatus::Signaled(_, signal, _) => Err(SandboxError::Server(signal)),
        status => Ok(code_of(status).unwrap_or(125)),
    }
}

fn io(what: &'static str, error: &io::Error) -> SandboxError {
    SandboxError::System { what, errno: errno_of(error) }
}

/// The caller's side, once the sandbox is there.
fn wait(server: Pid, inbox: &Inbox) -> Result<WaitStatus, Errno> {
    loop {
        match inbox.next(None)? {
            Event::Child => {
                let status = waitpid(server, Some(WaitPidFlag::WNOHANG))?;
                if code_of(status).is_some() {
                    return Ok(status);
                }
            }
            // Until it is waited for, its number is its own.
            Event::Sent(signal) => kill(server, signal)?,
            Event::FromTerminal(_) | Event::Nothing => {}
        }
    }
}

/// The exit code that a shell would give.
pub(super) fn code_of(status: WaitStatus) -> Option<u8> {
    match status {
        WaitStatus::Exited(_, code) => Some(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
        WaitStatus::Signaled(_, signal, _) => Some(u8::try_from(128 + signal as i32).unwrap_or(u8::MAX)),
        _ => None,
    }
}

/// Waits until the server is in its user namespace, gives it its ids, and lets it go on.
fn map_ids(
    plan: &Plan,
    server: Pid,
    mut link: UnixStream,
    warn: impl Fn(String),
) -> Result<(), SandboxError> {
    if plan.ids != IdPlan::Keep {
        // Nothing more to be read: it has said why, and ended.
        if link.read(&mut [0]).map_err(|error| io("wait for the sandbox", &error))? == 0 {
            return Ok(());
        }
        let why = match &plan.ids {
            IdPlan::Keep => None,
            IdPlan::Same(maps) => write_maps(server, maps).map(|()| None)?,
            IdPlan::Helpers { maps, newuidmap, newgidmap } => {
                match help(newuidmap, server, &ids::words(&maps.uids)) {
                    Ok(()) => {
                        help(newgidmap, server, &ids::words(&maps.gids)).map_err(SandboxError::Map)?;
                        None
                    }
                    Err(said) => {
                        write_single(server, &ids::single(&plan.facts))?;
                        Some(FewIds::Refused(said))
                    }
                }
            }
            IdPlan::Single { maps, why } => {
                write_single(server, maps)?;
                Some(why.clone())
            }
        };
        if let Some(why) = why {
            warn(format!(
                "only root's id is mapped in the sandbox: what changes owners or users will fail there: {why}\n        {}",
                why.hint()
            ));
        }
    } else if !ids::several(&plan.facts.uid_map) {
        let why = FewIds::Outer;
        warn(format!(
            "only one id is mapped here: what changes owners or users will fail: {why}\n        {}",
            why.hint()
        ));
    }
    // If it has ended meanwhile, its exit code says so.
    match link.write_all(&[1]) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(io("let the sandbox go on", &error)),
        _ => Ok(()),
    }
}

fn help(program: &Path, server: Pid, words: &[String]) -> Result<(), String> {
    let output = Command::new(program).arg(server.to_string()).args(words).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().escape_debug().to_string();
            Err(format!("{} has refused: {said}", program.display()))
        }
        Err(error) => Err(format!("{}: {}", program.display(), describe(&error))),
    }
}

fn write_maps(server: Pid, maps: &Maps) -> Result<(), SandboxError> {
    write(server, "uid_map", &ids::lines(&maps.uids))?;
    write(server, "gid_map", &ids::lines(&maps.gids))
}

/// A group can be mapped without privilege only where groups cannot be given up (user_namespaces(7)).
fn write_single(server: Pid, maps: &Maps) -> Result<(), SandboxError> {
    write(server, "setgroups", "deny")?;
    write_maps(server, maps)
}

fn write(server: Pid, file: &str, text: &str) -> Result<(), SandboxError> {
    let path = format!("/proc/{server}/{file}");
    fs::write(&path, text).map_err(|error| SandboxError::Map(format!("{path}: {}", describe(&error))))
}

/// What the server starts with.
struct Start {
    caller: Pid,
    link: UnixStream,
    /// The signals that were blocked.
    before: SigSet,
    /// The limit of descriptors, soft and hard.
    descriptors: (rlim_t, rlim_t),
}

/// The server's side. Gives the exit code.
fn serve<E: From<SandboxError>>(
    plan: &Plan,
    Start { caller, mut link, before, descriptors }: Start,
    raise: impl FnOnce(&mut Scratch) -> Result<Mounted, E>,
    say: &dyn Fn(Said<'_, E>),
) -> Result<u8, E> {
    let system = |what| move |errno| SandboxError::System { what, errno };
    let refused = |tried| move |errno| SandboxError::Blocked(blocked(tried, errno, &Settings::look_up()));
    if plan.ids != IdPlan::Keep {
        unshare(CloneFlags::CLONE_NEWUSER).map_err(refused(Tried::UserNamespace))?;
        link.write_all(&[1]).map_err(|error| io("tell of the user namespace", &error))?;
    }
    // Nothing: the caller could not map our ids, and has said so; or it is dead.
    if link.read(&mut [0]).map_err(|error| io("wait for the ids", &error))? == 0 {
        return Ok(125);
    }
    drop(link);
    set_pdeathsig(Signal::SIGTERM).map_err(system("be told of the caller's end"))?;
    if getppid() != caller {
        return Ok(125);
    }
    let inbox = inherited(before).map_err(system("watch signals"))?;
    unshare(CloneFlags::CLONE_NEWNS).map_err(refused(Tried::MountNamespace))?;
    // What the machine unmounts goes away here, too; what is mounted here stays here.
    let flags = MsFlags::MS_REC | MsFlags::MS_SLAVE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
        .map_err(system("keep mounts to the sandbox"))?;

    let mut scratch = Scratch::make(&plan.scratch)?;
    let powers = Powers::look_up();
    let steps = mounts::plan(&wanted(plan, &scratch, &powers)?);
    let workdir = match &plan.workdir {
        Workdir::OfImage(path) => Some(path.as_path()),
        Workdir::Asked(_) => None,
    };
    let directories: Vec<&Path> = [Path::new("/tmp")].into_iter().chain(workdir).collect();
    scratch.fill_base(&mounts::skeleton(&steps, &directories))?;
    let mut mounted = raise(&mut scratch)?;
    let forked = daemon::fork_into(INNER).map_err(|error| errno_of(&error));
    let Side::Parent(first) = forked.map_err(refused(Tried::MountNamespace))? else {
        let root = scratch.root();
        let first = First { plan, steps: &steps, root: &root, powers: &powers, signals: before, descriptors };
        // Nothing of this process is dropped in the child: it is not the child's to put away.
        init::run(&first, say);
    };
    // From here on Ctrl-C does not reach this process.
    setsid().map_err(system("start a session"))?;
    let mut unmounter = mounted.unmounter();
    let server = std::thread::Builder::new()
        .name("lamina-serve".to_owned())
        .spawn(move || mounted.serve())
        .map_err(|error| io("start a thread", &error));
    let server = match server {
        Ok(server) => server,
        Err(error) => {
            end(first);
            return Err(error.into());
        }
    };
    let code = supervise(caller, first, &inbox);
    match unmounter.unmount() {
        Ok(()) => match server.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::error!("{error}"),
            Err(_) => log::error!("serving the sandbox has failed"),
        },
        // Its thread would serve for ever. The mount ends with this process, and its temporary directory stays until the next
        // run: nothing may be removed through a mount.
        Err(error) => log::warn!("{error}"),
    }
    Ok(code.map_err(system("wait for the first process"))?)
}

/// Ends the first process, and with it all processes of the sandbox.
fn end(first: Pid) {
    // It has ended by itself then, and is waited for all the same.
    let _ = kill(first, Signal::SIGKILL);
    let _ = waitpid(first, None);
}

/// Hands signals on until the first process has ended.
fn supervise(caller: Pid, first: Pid, inbox: &Inbox) -> Result<u8, Errno> {
    let mut deadline: Option<Instant> = None;
    loop {
        let patience = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        match inbox.next(patience)? {
            Event::Child => {
                if let Some(code) = code_of(waitpid(first, Some(WaitPidFlag::WNOHANG))?) {
                    return Ok(code);
                }
            }
            // Nobody waits for the command any more.
            Event::Sent(_) if getppid() != caller => kill(first, Signal::SIGKILL)?,
            Event::Sent(signal) => {
                kill(first, signal)?;
                if signal == Signal::SIGTERM {
                    deadline.get_or_insert_with(|| Instant::now() + GRACE);
                }
            }
            Event::Nothing => {
                deadline = None;
                kill(first, Signal::SIGKILL)?;
            }
            // This process has no terminal.
            Event::FromTerminal(_) => {}
        }
    }
}

fn wanted(plan: &Plan, scratch: &Scratch, powers: &Powers) -> Result<Wanted, SandboxError> {
    let resolv_conf = match fs::read("/etc/resolv.conf") {
        Ok(content) => Some(scratch.file("resolv.conf", &content)?),
        // The machine has none: the image's own is as good.
        Err(_) => None,
    };
    let mut hosts =
        fs::read("/etc/hosts").unwrap_or_else(|_| b"127.0.0.1 localhost\n::1 localhost\n".to_vec());
    if let Some(name) = &plan.hostname {
        hosts.extend_from_slice(b"\n127.0.1.1 ");
        hosts.extend_from_slice(name.as_encoded_bytes());
        hosts.push(b'\n');
    }
    Ok(Wanted {
        binds: plan.binds.clone(),
        terminal: terminal::of_this_process(),
        tty_group: ids::holds(&powers.gids, mounts::TTY_GROUP),
        resolv_conf,
        hosts: Some(scratch.file("hosts", &hosts)?),
        root: match &plan.ids {
            IdPlan::Keep if crate::sys::identity::in_first_user_namespace() => Root::Machine,
            IdPlan::Same(_) => Root::Machine,
            _ => Root::Mapped,
        },
    })
}

/// The name that the machine has within.
pub(super) fn hostname(plan: &Plan) -> Option<OsString> {
    plan.hostname.clone().or_else(|| nix::unistd::gethostname().ok())
}
