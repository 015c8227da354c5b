//! A mount and the threads that serve it over /dev/fuse.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use fuser::{Notifier, SessionACL};
use nix::errno::Errno;

use super::adapter::{Adapter, Gate, Scratch, Served};
use super::forget::{Asked, Forgotten, Refresher, answer, forget_attributes, forget_in_order};
use super::mount::{AccessPolicy, Attachment, MountError, MountSpec, Unmounter, attach};
use super::negotiate::{DataCache, Negotiator};
use super::opens::who_opens;
use super::stats::Observer;
use super::turns::Turns;
use super::wire::{REQUEST_BUFFER, Reply, Unique, glance};
use crate::error::{Error, OpContext, Result, errno_of};
use crate::overlay::Overlay;
use crate::sys::fuse_dev;

/// Fewer threads than this and one long copy-up too many makes everybody wait.
const LEAST_THREADS: usize = 4;

/// A mount that is up and not yet served. Dropping it unmounts; a process that forks to serve in its child must leave
/// the parent by `_exit`.
#[derive(Debug)]
pub struct Mounted {
    adapter: Adapter,
    threads: usize,
    // Unmounting comes before closing: a connection whose last descriptor closes fails its callers.
    attachment: Attachment,
    session: fuser::Session<Negotiator>,
}

/// Mounts `overlay` and answers the kernel's INIT. No thread is started yet: callers of the file system wait until
/// [`Mounted::serve`] runs.
///
/// # Errors
/// Each says what to do; nothing stays mounted.
pub fn mount(overlay: Arc<Overlay>, spec: &MountSpec) -> Result<Mounted, MountError> {
    let (connection, attachment) = attach(spec)?;
    let data = match overlay.validity().attr.is_zero() {
        true => DataCache::WhileUnchanged,
        false => DataCache::UntilTold,
    };
    let opens = who_opens(overlay.io(), overlay.validity(), spec.access);
    let session = fuser::Session::from_fd(
        Negotiator { acl: spec.acl, data, opens },
        connection,
        // Who may ask is the mount's options' and the adapter's matter; fuser's own loop never runs.
        SessionACL::All,
        fuser::Config::default(),
    )
    .map_err(MountError::Handshake)?;
    let gate = match spec.access {
        AccessPolicy::AllowRoot => Gate::RootAnd(nix::unistd::getuid().as_raw()),
        AccessPolicy::Owner | AccessPolicy::AllowOther => Gate::Open,
    };
    let threads = match spec.threads {
        0 => thread::available_parallelism().map_or(LEAST_THREADS, |cpus| cpus.get().max(LEAST_THREADS)),
        given => given,
    };
    let adapter = Adapter::new(overlay, spec.info.clone()).behind(gate).opened(opens);
    Ok(Mounted { adapter, threads, attachment, session })
}

impl Mounted {
    /// What unmounts from another thread, for signals.
    pub fn unmounter(&mut self) -> Unmounter {
        self.attachment.unmounter()
    }

    /// Replaces [`MountSpec::info`]: a daemon knows its process id only once it has forked.
    pub fn describe(&mut self, info: Vec<u8>) {
        self.adapter.describe(info);
    }

    /// Whom to ask how the mount does.
    pub fn observer(&self) -> Observer {
        self.adapter.observer().clone()
    }

    /// Answers requests until the mount is gone, whoever takes it away.
    ///
    /// # Errors
    /// Where a thread cannot be started or the device fails; the mount is taken away then.
    pub fn serve(self) -> Result<()> {
        let Mounted { adapter, threads, attachment, session } = self;
        let first =
            session.as_fd().try_clone_to_owned().map_err(|error| failure("duplicate /dev/fuse", &error))?;
        let mut connections = vec![first];
        for _ in 1..threads {
            connections.push(further_connection(&session)?);
        }

        let (forget, to_forget) = channel();
        let (refresh, asked) = channel();
        let turns = Turns::new();
        let worker = |connection| Worker {
            adapter: &adapter,
            turns: &turns,
            connection,
            notifier: session.notifier(),
            forget: forget.clone(),
            refresh: refresh.clone(),
        };
        let workers: Vec<_> = connections.into_iter().map(worker).collect();
        let notifier = session.notifier();
        // The refreshing thread ends with the last worker, and the notifying one with the last that has something to tell.
        drop(refresh);
        let refresher = Refresher { adapter: &adapter, notifier: session.notifier(), asked, forget };

        let result = thread::scope(|scope| {
            let mut result = start("lamina-notify", scope, move || {
                forget_in_order(&notifier, &to_forget);
                Ok(())
            })
            .and(start("lamina-refresh", scope, move || {
                refresher.run();
                Ok(())
            }))
            .and(start("lamina-watch", scope, || {
                turns.watch();
                Ok(())
            }))
            .map(|_| ());
            let mut started = Vec::new();
            for (number, worker) in workers.into_iter().enumerate() {
                let unmount = attachment.unmounter();
                match start(&format!("lamina-{number}"), scope, move || worker.run(unmount)) {
                    Ok(handle) => started.push(handle),
                    Err(error) => result = result.and(Err(error)),
                }
            }
            if result.is_err() {
                // Too few threads to serve: those that run end once the mount is gone.
                unmount_after_failure(attachment.unmounter());
            }
            for handle in started {
                // Requests that panic are caught where they are answered; this is the loop around them.
                let ended = handle.join().unwrap_or_else(|_| Err(Error::new("serve requests", Errno::EIO)));
                result = result.and(ended);
            }
            turns.end();
            result
        });
        drop(attachment);
        result
    }
}

fn start<'scope, F>(
    name: &str,
    scope: &'scope thread::Scope<'scope, '_>,
    work: F,
) -> Result<thread::ScopedJoinHandle<'scope, Result<()>>>
where
    F: FnOnce() -> Result<()> + Send + 'scope,
{
    thread::Builder::new()
        .name(name.to_owned())
        .spawn_scoped(scope, work)
        .map_err(|error| failure("start a thread", &error))
}

/// A descriptor of its own where the device can be opened again; a duplicate, which works as well and slower, elsewhere.
fn further_connection(session: impl AsFd) -> Result<OwnedFd> {
    fuse_dev::clone_connection(&session).or_else(|error| {
        log::debug!("threads share one queue: {} cannot be cloned: {error}", fuse_dev::PATH);
        session.as_fd().try_clone_to_owned().map_err(|error| failure("duplicate /dev/fuse", &error))
    })
}

fn failure(op: &'static str, error: &io::Error) -> Error {
    let errno = errno_of(error);
    Error::new(op, errno).at(fuse_dev::PATH)
}

fn unmount_after_failure(mut unmounter: Unmounter) {
    if let Err(error) = unmounter.unmount() {
        log::error!("{error}");
    }
}

/// One thread's side of the connection.
struct Worker<'a> {
    adapter: &'a Adapter,
    turns: &'a Turns,
    connection: OwnedFd,
    notifier: Notifier,
    forget: Sender<Forgotten>,
    refresh: Sender<Asked>,
}

impl Worker<'_> {
    /// Reads, answers, reads on, until the mount is gone.
    fn run(self, unmounter: Unmounter) -> Result<()> {
        let result = self.answer_all();
        if let Err(error) = &result {
            log::error!("{error}: the mount is taken away");
            unmount_after_failure(unmounter);
        }
        result
    }

    fn answer_all(&self) -> Result<()> {
        let mut buffer = vec![0; REQUEST_BUFFER];
        let mut scratch = Scratch::default();
        let mut recorder = self.adapter.observer().recorder();
        let seat = self.turns.seat();
        loop {
            seat.wait();
            let len = match nix::unistd::read(&self.connection, &mut buffer) {
                Ok(len) => len,
                // ENOENT: the request was taken back while it was being read.
                Err(Errno::EINTR | Errno::EAGAIN | Errno::ENOENT) => continue,
                // Unmounted; the second while a request was on its way.
                Err(Errno::ENODEV | Errno::ECONNABORTED) => return Ok(()),
                Err(errno) => return Err(errno).op("read a request"),
            };
            let request = buffer.get(..len).unwrap_or_default();
            let work = seat.begin(glance(request));
            let asked = recorder.asked(request);
            let served = self.adapter.serve(request, &mut scratch);
            if let Served::Answered(_, reply) = &served {
                recorder.answers(asked, reply);
            }
            let later = forget_attributes(self.adapter, &self.notifier);
            match served {
                Served::Answered(unique, reply) => {
                    let _giving_way = work.give_way();
                    answer(&self.connection, unique, &reply);
                }
                Served::Refresh(unique) => self.refresh_later(unique),
                Served::Nobody => {}
            }
            recorder.done(asked);
            for forgotten in later {
                // The receiver lives as long as any worker; were it gone, nobody could be told anyway.
                self.forget.send(forgotten).ok();
            }
        }
    }

    /// Others are served meanwhile, also with one thread.
    fn refresh_later(&self, unique: Unique) {
        let failed = |errno| answer(&self.connection, unique, &Reply::Failed(errno));
        match self.connection.try_clone() {
            Ok(connection) => {
                if self.refresh.send(Asked { connection, unique }).is_err() {
                    failed(Errno::EIO);
                }
            }
            Err(error) => failed(errno_of(&error)),
        }
    }
}
