//! A mount and the threads that serve it over /dev/fuse.

use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use fuser::{INodeNo, Notifier, SessionACL};
use nix::errno::Errno;

use super::adapter::{Adapter, Gate, Scratch};
use super::mount::{AccessPolicy, Attachment, MountError, MountSpec, Unmounter, attach};
use super::negotiate::{DataCache, Negotiator};
use super::stats::Observer;
use super::wire::{REQUEST_BUFFER, Reply, Unique};
use crate::error::{Error, OpContext, Result, errno_of};
use crate::overlay::{Invalidation, NodeId, Overlay};
use crate::path::NameBuf;
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
    let session = fuser::Session::from_fd(
        Negotiator { acl: spec.acl, data },
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
    let adapter = Adapter::new(overlay, spec.info.clone()).behind(gate);
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
        let worker = |connection| Worker {
            adapter: &adapter,
            connection,
            notifier: session.notifier(),
            forget: forget.clone(),
        };
        let workers: Vec<_> = connections.into_iter().map(worker).collect();
        let notifier = session.notifier();
        // The notifying thread ends with the last sender.
        drop(forget);

        let result = thread::scope(|scope| {
            let mut result = start("lamina-notify", scope, move || {
                forget_in_order(&notifier, &to_forget);
                Ok(())
            })
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

/// What the kernel must forget, told by the thread that serves nobody.
enum Forgotten {
    /// A name.
    Entry(NodeId, NameBuf),
    /// Attributes, and data or listing.
    Content(NodeId),
    /// All that came before this is forgotten: the answer for who waits for that, on the connection of the request.
    All { connection: OwnedFd, unique: Unique, reply: Vec<u8> },
}

/// One thread's side of the connection.
struct Worker<'a> {
    adapter: &'a Adapter,
    connection: OwnedFd,
    notifier: Notifier,
    forget: Sender<Forgotten>,
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
        loop {
            let len = match nix::unistd::read(&self.connection, &mut buffer) {
                Ok(len) => len,
                // ENOENT: the request was taken back while it was being read.
                Err(Errno::EINTR | Errno::EAGAIN | Errno::ENOENT) => continue,
                // Unmounted; the second while a request was on its way.
                Err(Errno::ENODEV | Errno::ECONNABORTED) => return Ok(()),
                Err(errno) => return Err(errno).op("read a request"),
            };
            let request = buffer.get(..len).unwrap_or_default();
            let asked = recorder.asked(request);
            let answer = self.adapter.serve(request, &mut scratch);
            if let Some((_, reply)) = &answer {
                recorder.answers(asked, reply);
            }
            let later = self.forget_attributes();
            let answer = answer.and_then(|(unique, reply)| self.answer_now_or_after(&later, unique, &reply));
            recorder.done(asked);
            for forgotten in later.into_iter().chain(answer) {
                // The receiver lives as long as any worker; were it gone, nobody could be told anyway.
                self.forget.send(forgotten).ok();
            }
        }
    }

    /// Answers at once, unless whoever asked waits for the kernel to forget: then the answer is what comes last.
    fn answer_now_or_after(
        &self,
        later: &[Forgotten],
        unique: Unique,
        reply: &Reply<'_>,
    ) -> Option<Forgotten> {
        let encoded = reply.encode(unique)?;
        if later.iter().any(|forgotten| matches!(forgotten, Forgotten::Content(_))) {
            match self.connection.try_clone() {
                Ok(connection) => {
                    return Some(Forgotten::All { connection, unique, reply: encoded.to_vec() });
                }
                Err(error) => log::warn!("a refresh is answered before it is complete: {error}"),
            }
        }
        send(&self.connection, unique, &encoded.slices());
        None
    }

    /// Tells the kernel which attributes it must ask for again, and gives what it must forget later.
    ///
    /// Attributes go before the reply, so that whoever has the reply sees them new; the kernel takes no lock for them.
    /// For names it locks the directory, which the caller of this very request may hold: they must come after the reply,
    /// and from a thread that serves nobody. For data it waits for reads that are under way: from that thread, too.
    fn forget_attributes(&self) -> Vec<Forgotten> {
        let mut later = Vec::new();
        for invalidation in self.adapter.take_invalidations() {
            self.adapter.observer().tells(&invalidation);
            match invalidation {
                // A negative offset leaves the data alone.
                Invalidation::Attr(node) => note(self.notifier.inval_inode(INodeNo(node.0), -1, 0)),
                // The pages of a directory are its listing.
                Invalidation::Listing(node) => note(self.notifier.inval_inode(INodeNo(node.0), 0, 0)),
                Invalidation::Entry(dir, name) => later.push(Forgotten::Entry(dir, name)),
                Invalidation::Content(node) => later.push(Forgotten::Content(node)),
            }
        }
        later
    }
}

fn send(connection: &OwnedFd, unique: Unique, reply: &[IoSlice<'_>]) {
    match nix::sys::uio::writev(connection, reply) {
        Ok(_) => {}
        // The mount, or whoever asked, is gone: there is nobody to tell.
        Err(Errno::ENODEV | Errno::ENOENT) => log::debug!("reply to {} came too late", unique.0),
        Err(errno) => log::error!("the kernel refused the reply to {}: {}", unique.0, errno.desc()),
    }
}

fn forget_in_order(notifier: &Notifier, forgotten: &Receiver<Forgotten>) {
    for what in forgotten {
        match what {
            Forgotten::Entry(dir, name) => {
                note(notifier.inval_entry(INodeNo(dir.0), OsStr::from_bytes(name.as_bytes())));
            }
            // From the start to the end: attributes and all pages.
            Forgotten::Content(node) => note(notifier.inval_inode(INodeNo(node.0), 0, 0)),
            Forgotten::All { connection, unique, reply } => {
                send(&connection, unique, &[IoSlice::new(&reply)]);
            }
        }
    }
}

/// A notification that cannot be delivered leaves a stale cache for as long as an entry is valid: worth a line, and no
/// more can be done. What the kernel no longer knows, or a mount that is gone, needs none.
fn note(sent: io::Result<()>) {
    if let Err(error) = sent
        && !matches!(
            error.raw_os_error().map(Errno::from_raw),
            Some(Errno::ENOENT | Errno::ENODEV | Errno::ENOTCONN)
        )
    {
        log::warn!("the kernel cannot be told to forget: {error}");
    }
}
