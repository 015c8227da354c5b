//! From a parsed command line to a mount that serves: check, open, mount, become a daemon.
//!
//! Everything that can fail does so before the fork, in the process that the caller waits for.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};

use super::Failure;
use super::image_args::{SelectArgs, StoreArgs};
use super::log_setup::{LogArgs, STATISTICS};
use super::options::{self, Access, Enforce, Form, MountFlags, Options, Switch};
use super::stats;
use super::workdir::{self, MadeDir};
use crate::config::{Acl, Behaviour, LowerSpec, StackSpec, UpperSpec};
use crate::control::{MountInfo, kernel_overlay, table};
use crate::error::{describe, errno_of};
use crate::fuse::{AccessPolicy, MountSpec, Mounted, Observer, PermissionChecks, Unmounter, VfsFlags};
use crate::image::ImageError;
use crate::image::store::Lease;
use crate::overlay::Overlay;
use crate::source::container_store::NextUser;
use crate::source::facts::{Owners, Privilege, Selinux, gather};
use crate::source::images::{self, Images};
use crate::source::preflight::{self, Checked, Covering, Facts, Found, Refusal, Role};
use crate::source::{self, Source};
use crate::sys::daemon::{self, Side};

/// The first field in /proc/mounts, unless the caller names another.
const SOURCE_NAME: &str = "lamina";

/// How images among the sources are opened.
#[derive(Debug, Clone, Default)]
pub struct ImageOptions {
    /// Which of several images.
    pub select: SelectArgs,
    /// The layer store, and what may be done to fill it.
    pub store: StoreArgs,
}

/// A mount as the caller wants it, parsed and not yet checked.
#[derive(Debug)]
pub struct Request {
    /// The layers, top first.
    pub sources: Vec<Source>,
    /// The upper directory.
    pub upper: Option<PathBuf>,
    /// The work directory, `None` for the default one.
    pub work: Option<PathBuf>,
    /// The mount point.
    pub mountpoint: PathBuf,
    /// Whether it may have entries.
    pub covering: Covering,
    /// How images among the layers are opened.
    pub images: ImageOptions,
    /// The options.
    pub options: Options,
    /// Which command line it was.
    pub form: Form,
    /// Whether the kernel checks permissions even where the mount is one user's own.
    pub enforce: Enforce,
    /// What becomes of this process.
    pub process: Process,
    /// The first field in /proc/mounts; `fsname=` wins.
    pub name: Option<OsString>,
}

/// What becomes of the process once the mount is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// A child of it serves, and it ends.
    Daemon,
    /// It serves.
    Foreground,
    /// It only checks, and mounts nothing (`mount --fake`).
    CheckOnly,
}

/// Mounts and serves. Returns in the process that the caller waits for only with an error, or after the mount's end in
/// the foreground.
pub fn run(request: Request, log: &LogArgs) -> Result<(), Failure> {
    log.with_debug(request.options.debug).init()?;
    let privilege = Privilege::of_this_process();
    let upper = upper_spec(&request)?;
    let (stack, leases) = layers(&request, upper, privilege)?;
    report_without_effect(&request, &stack, privilege)?;
    preflight::raise_descriptor_limit(stack.lowers.len() + stack.data_only.len())?;
    let Some(ready) = open(&request, stack, privilege)? else { return Ok(()) };
    let Ready { overlay, spec, made, about } = ready;
    // From here on a signal must not leave a mount without a daemon behind.
    let signals = block_signals()?;
    let null = open_null()?;
    let mut mounted = crate::fuse::mount(Arc::new(overlay), &spec)?;
    let mountpoint = &about.mountpoint;
    if request.process == Process::Daemon {
        let failed = |error: std::io::Error| {
            Failure::trouble(format!("the daemon cannot be started: {}", describe(&error)))
        };
        daemon::close_inherited().map_err(failed)?;
        if let Side::Parent(_) = daemon::fork().map_err(failed)? {
            daemon::leave(0);
        }
        daemon::detach(&null).map_err(failed)?;
        mounted.describe(about.encoded()?);
    }
    if let Some(made) = made {
        made.keep();
    }
    let served = serve(mounted, signals, request.process, mountpoint);
    drop(leases);
    served
}

/// A union that is open, and how it is to be mounted.
pub(super) struct Ready {
    /// The union.
    pub overlay: Overlay,
    /// How it is mounted.
    pub spec: MountSpec,
    /// The work directory, if it was made for this mount: it goes with this value, unless it is kept.
    pub made: Option<MadeDir>,
    about: About,
}

/// What a mount says of itself.
struct About {
    stack: StackSpec,
    mountpoint: PathBuf,
    in_effect: Vec<String>,
}

impl About {
    /// As of this process.
    fn encoded(&self) -> Result<Vec<u8>, Failure> {
        let info = MountInfo::of_this_process(&self.stack, &self.mountpoint, self.in_effect.clone());
        info.encode().map_err(|error| Failure::trouble(format!("the mount cannot be described: {error}")))
    }
}

/// Checks everything and opens the union; `None` where the checks were all that was asked for. The process has no umask
/// afterwards.
pub(super) fn open(
    request: &Request,
    stack: StackSpec,
    privilege: Privilege,
) -> Result<Option<Ready>, Failure> {
    let Some(prepared) = prepare(request, stack, privilege)? else { return Ok(None) };
    let Prepared { stack, mountpoint, made } = prepared;
    // Modes are exactly as callers of the mount ask for them; their own umask comes with each request.
    umask(Mode::empty());
    let owners = Owners::of_this_process(privilege);
    let behaviour = options::behaviour(&request.options, request.form, privilege);
    let next_user = || stack.upper.as_ref().map_or(NextUser::TheSame, |upper| NextUser::of(&upper.upper));
    let behaviour = options::readable_by_the_next(behaviour, &request.options, request.form, next_user);
    let behaviour = options::record_owners(behaviour, &request.options, &stack, owners);
    let overlay = Overlay::open_stack(&stack, &behaviour)?;
    let mut in_effect = options::summary(&behaviour);
    in_effect.extend(options::summary_of_flags(&options::mount_flags(&request.options, privilege)));
    let labels = options::labels(&request.options, privilege, Selinux::of_this_machine());
    in_effect.extend(labels.iter().map(ToString::to_string));
    let about = About { stack, mountpoint, in_effect };
    let info = about.encoded()?;
    let spec = mount_spec(request, &about.stack, &behaviour, (privilege, owners), &about.mountpoint, info);
    Ok(Some(Ready { overlay, spec, made, about }))
}

/// The stack, with the layers of images made ready, and what keeps these in the store. That may take its time: whatever
/// can be refused is refused before.
fn layers(
    request: &Request,
    upper: Option<UpperSpec>,
    privilege: Privilege,
) -> Result<(StackSpec, Vec<Arc<Lease>>), Failure> {
    let sources = || request.sources.iter().cloned();
    let mut has_images = false;
    let directories = source::stack(sources(), upper.clone(), |image| {
        let is_image = images::is_image(image)?;
        has_images |= is_image;
        Ok::<_, ImageError>(is_image.then(Vec::new))
    })?;
    if directories.lowers.is_empty() && !has_images {
        return Err(Failure::usage("there are no layers").hint("give at least one directory or image"));
    }
    if !has_images {
        return match request.images.select.given() {
            None => Ok((directories, Vec::new())),
            Some(option) => Err(Failure::usage(format!("{option} chooses an image, and no layer is one"))
                .hint("leave it out, or name the image; a directory is one if it is an OCI layout")),
        };
    }
    check(request, &directories, privilege)?;
    let ImageOptions { select, store } = &request.images;
    let progress = store.progress();
    let mut images = Images::new(select.select(), store.dir()?, store.options(), &progress);
    let stack = source::stack(sources(), upper, |image| images.layers(image))?;
    if stack.lowers.is_empty() {
        return Err(Failure::trouble("there is nothing to mount: the image has no layers")
            .hint("add a directory or another image as a layer"));
    }
    Ok((stack, images.into_leases()))
}

/// What was asked and has no effect: refused on our own command line, named on the other, whose callers pass on options
/// that are meant for the kernel.
fn report_without_effect(request: &Request, stack: &StackSpec, privilege: Privilege) -> Result<(), Failure> {
    let ignored = request.options.without_effect(stack, privilege, Selinux::of_this_machine());
    match (request.form, ignored.as_slice()) {
        (_, []) => Ok(()),
        (Form::Compatible, all) => {
            for one in all {
                eprintln!("lamina: warning: {one}; it is ignored");
            }
            Ok(())
        }
        (Form::Command, all) => {
            let all: Vec<String> = all.iter().map(ToString::to_string).collect();
            Err(Failure::usage(all.join("\n        "))
                .hint("leave it out; lamina mount --help lists the options"))
        }
    }
}

/// The upper with its work directory, given or by default.
pub(super) fn upper_spec(request: &Request) -> Result<Option<UpperSpec>, Failure> {
    let Some(upper) = &request.upper else {
        return match &request.work {
            None => Ok(None),
            Some(work) => {
                Err(Failure::usage(format!("work directory '{}' without an upper", work.display()))
                    .hint("add an upper directory (--upper, upperdir=), or leave the work directory out"))
            }
        };
    };
    let work = match &request.work {
        Some(work) => work.clone(),
        None => {
            let real = fs::canonicalize(upper).map_err(|error| {
                let errno = errno_of(&error);
                Refusal::Unreachable { role: Role::Upper, path: upper.clone(), errno }
            })?;
            workdir::default_for(&real).ok_or_else(|| {
                Failure::usage(format!("upper directory '{}' has no parent directory", upper.display()))
                    .hint("give a work directory with --work (workdir=)")
            })?
        }
    };
    Ok(Some(UpperSpec { upper: upper.clone(), work }))
}

/// A stack that passed all checks, with real paths, and a work directory that was made for it.
struct Prepared {
    stack: StackSpec,
    mountpoint: PathBuf,
    made: Option<MadeDir>,
}

/// Is the default work directory there?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DefaultWork {
    There,
    ToBeMade,
}

/// Checks everything that the caller named. Nothing is touched.
fn check(
    request: &Request,
    stack: &StackSpec,
    privilege: Privilege,
) -> Result<(Checked, DefaultWork), Failure> {
    let mut facts = gather(stack, &request.mountpoint, privilege);
    let mut work = DefaultWork::There;
    if request.work.is_none() && work_is_missing(&facts) {
        facts.work = None;
        work = DefaultWork::ToBeMade;
    }
    let checked = preflight::judge(&facts, request.covering)?;
    not_the_kernels(&checked)?;
    Ok((checked, work))
}

/// Checks everything; `None` where that was all that was asked for. The default work directory is made only once all else
/// has passed.
fn prepare(request: &Request, stack: StackSpec, privilege: Privilege) -> Result<Option<Prepared>, Failure> {
    let (mut checked, work) = check(request, &stack, privilege)?;
    if request.process == Process::CheckOnly {
        return Ok(None);
    }
    let mut made = None;
    if let (DefaultWork::ToBeMade, Some(spec)) = (work, &stack.upper) {
        made = MadeDir::make(&spec.work, &spec.upper)?;
        checked = preflight::judge(&gather(&stack, &request.mountpoint, privilege), request.covering)?;
    }
    let Checked { layers, writable, mountpoint } = checked;
    let mut real = layers.into_iter();
    let lowers = stack.lowers.into_iter().filter_map(|lower| match lower {
        LowerSpec::Directory(_) => real.next().map(LowerSpec::Directory),
        tar @ LowerSpec::Tar(_) => Some(tar),
    });
    let lowers = lowers.collect();
    let upper = writable.map(|(upper, work)| UpperSpec { upper, work });
    Ok(Some(Prepared { stack: StackSpec { lowers, data_only: real.collect(), upper }, mountpoint, made }))
}

/// The kernel's overlay must not have the upper or the work directory as well.
fn not_the_kernels(checked: &Checked) -> Result<(), Failure> {
    let Some((upper, work)) = &checked.writable else { return Ok(()) };
    let mounts = table::read().map_err(|error| {
        Failure::trouble(format!("the table of mounts cannot be read: {}", describe(&error)))
            .hint("mount /proc: lamina looks there for other users of the upper")
    })?;
    for (role, path) in [(Role::Upper, upper), (Role::Work, work)] {
        if let Some(mountpoint) = kernel_overlay::user_of(&mounts, path) {
            let (path, mountpoint) = (path.clone(), mountpoint.to_owned());
            return Err(Refusal::InUseByKernel { role, path, mountpoint }.into());
        }
    }
    Ok(())
}

fn work_is_missing(facts: &Facts) -> bool {
    let found = facts.work.as_ref().map(|fact| &fact.found);
    matches!(found, Some(Found::Unreachable(nix::errno::Errno::ENOENT)))
}

fn mount_spec(
    request: &Request,
    stack: &StackSpec,
    behaviour: &Behaviour,
    (privilege, owners): (Privilege, Owners),
    mountpoint: &Path,
    info: Vec<u8>,
) -> MountSpec {
    let flags = options::mount_flags(&request.options, privilege);
    let permissions = options::permission_checks(stack, owners, &flags, privilege, request.enforce);
    // mount(2) takes no empty source.
    let name =
        request.name.as_ref().filter(|name| !name.is_empty()).map(|name| name.to_string_lossy().into_owned());
    MountSpec {
        mountpoint: mountpoint.to_owned(),
        source_name: request.options.source_name.clone().or(name).unwrap_or_else(|| SOURCE_NAME.to_owned()),
        access: match flags.access {
            Access::Owner => AccessPolicy::Owner,
            Access::OwnerAndRoot => AccessPolicy::AllowRoot,
            Access::Everyone => AccessPolicy::AllowOther,
        },
        flags: vfs_flags(flags, stack.upper.is_none() || behaviour.read_only),
        // The kernel has no ACLs without its own checks.
        acl: if permissions == PermissionChecks::Kernel { behaviour.acl } else { Acl::Off },
        permissions,
        labels: options::labels(&request.options, privilege, Selinux::of_this_machine()).to_vec(),
        threads: request.options.threads.unwrap_or(0),
        info,
    }
}

fn vfs_flags(flags: MountFlags, read_only: bool) -> VfsFlags {
    let mut vfs = VfsFlags::empty();
    vfs.set(VfsFlags::READ_ONLY, read_only);
    vfs.set(VfsFlags::NO_SUID, flags.suid == Switch::Off);
    vfs.set(VfsFlags::NO_DEVICES, flags.dev == Switch::Off);
    vfs.set(VfsFlags::NO_EXEC, flags.exec == Switch::Off);
    vfs.set(VfsFlags::NO_ATIME, flags.atime == Switch::Off);
    vfs.set(VfsFlags::NO_DIR_ATIME, flags.dir_atime == Switch::Off);
    vfs.set(VfsFlags::SYNC, flags.sync == Switch::On);
    vfs.set(VfsFlags::DIR_SYNC, flags.dir_sync == Switch::On);
    vfs
}

fn open_null() -> Result<File, Failure> {
    let null = File::options().read(true).write(true).open("/dev/null");
    null.map_err(|error| Failure::trouble(format!("/dev/null cannot be opened: {}", describe(&error))))
}

/// Blocks the signals that end a mount, or ask it something, in this thread and in all that it will start.
fn block_signals() -> Result<SigSet, Failure> {
    let signals: SigSet =
        [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1].into_iter().collect();
    signals
        .thread_block()
        .map_err(|errno| Failure::trouble(format!("signals cannot be blocked: {}", errno.desc())))?;
    Ok(signals)
}

fn serve(mut mounted: Mounted, signals: SigSet, process: Process, mountpoint: &Path) -> Result<(), Failure> {
    let unmounter = mounted.unmounter();
    let observer = mounted.observer();
    thread::Builder::new()
        .name("lamina-signals".to_owned())
        .spawn(move || obey_signals(signals, process, unmounter, &observer))
        .map_err(|error| Failure::trouble(format!("a thread cannot be started: {}", describe(&error))))?;
    log::info!("serving '{}'", mountpoint.display());
    mounted.serve().map_err(|error| {
        // A daemon has no terminal: its log is all that it leaves.
        log::error!("{error}");
        Failure::from(error)
    })?;
    log::info!("'{}' is unmounted", mountpoint.display());
    Ok(())
}

/// SIGUSR1 asks how the mount does. The first other signal unmounts; users of the mount that are left are served until a second
/// one.
fn obey_signals(signals: SigSet, process: Process, mut unmounter: Unmounter, observer: &Observer) {
    let mut unmounted = false;
    loop {
        match signals.wait() {
            Ok(Signal::SIGUSR1) => {
                log::info!(target: STATISTICS, "since it was mounted:\n{}", stats::report(&observer.snapshot(), None));
            }
            // A daemon has no terminal that could hang up.
            Ok(Signal::SIGHUP) if process == Process::Daemon => {}
            Ok(signal) if unmounted => {
                log::warn!("{signal} again: ending now, though the mount is still in use");
                std::process::exit(1);
            }
            Ok(signal) => {
                // Said before it happens: the process may end with the mount.
                log::info!("{signal}: unmounting");
                match unmounter.unmount() {
                    Ok(()) => unmounted = true,
                    Err(error) => log::error!("{signal}: {error}"),
                }
            }
            Err(errno) => {
                log::error!("waiting for signals: {}", errno.desc());
                return;
            }
        }
    }
}
