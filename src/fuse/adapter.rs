//! One handler a kind of request: decode, one call of the union, a reply value.

use std::any::Any;
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use nix::errno::Errno;

use super::opens::Opens;
use super::stats::Observer;
use super::wire::{
    Body, CopyAnswer, DecodeError, DirBuffer, Header, KernelCache, MAX_IO, Reply, Request, Room, Unique,
    decode,
};
use crate::control::{OWN_XATTRS, REFRESHED};
use crate::error::{Error, Kind, Result};
use crate::overlay::{HandleId, Invalidation, NodeId, Opened, Overlay, Place, Supplied, Validity};
use crate::sys::live::XATTR_SIZE_MAX;

/// The extended attribute of the root that describes the mount. Never listed, never set.
const MOUNT_INFO: &[u8] = crate::control::MOUNT_XATTR.to_bytes();

/// The extended attribute of the root that is asked for by who has changed a lower.
const REFRESH: &[u8] = crate::control::REFRESH_XATTR.to_bytes();

/// The extended attribute of the root that tells what the mount has done.
const STATS: &[u8] = crate::control::STATS_XATTR.to_bytes();

/// What requests about a file carry that has no handle of ours: handles begin with 1.
const NO_HANDLE: HandleId = HandleId(0);

/// Who may ask, where the kernel does not check it (`allow_root`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// Whoever the kernel lets through.
    Open,
    /// Root, and this user.
    RootAnd(u32),
}

/// Room for the data of one reply, used again for each.
#[derive(Debug)]
pub struct Scratch(Vec<u8>);

impl Default for Scratch {
    fn default() -> Self {
        // The allocator hands out zeroed pages lazily: what is never used costs nothing.
        Scratch(vec![0; MAX_IO as usize])
    }
}

impl Scratch {
    fn room(&mut self, size: u32) -> Result<&mut [u8], Kind> {
        let size = usize::try_from(size).map_err(|_| Kind::Protocol("its size is absurd"))?;
        self.0.get_mut(..size).ok_or(Kind::Protocol("it asks for more data than was agreed"))
    }
}

/// What has become of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Served<'b> {
    /// It is answered with this.
    Answered(Unique, Reply<'b>),
    /// It is answered with what [`Adapter::refresh`] says. That takes long, and is for a thread that serves nobody.
    Refresh(Unique),
    /// It is none, and nobody can be answered.
    Nobody,
}

/// The union as a FUSE file system, without any transport. All methods may be called from any thread at once.
#[derive(Debug)]
pub struct Adapter {
    overlay: Arc<Overlay>,
    validity: Validity,
    info: Vec<u8>,
    gate: Gate,
    opens: Opens,
    observer: Observer,
    /// Who serves the mount.
    owner: u32,
}

impl Adapter {
    /// `info` is what `user.lamina.mount` of the root answers.
    pub fn new(overlay: Arc<Overlay>, info: Vec<u8>) -> Self {
        let validity = overlay.validity();
        let owner = nix::unistd::getuid().as_raw();
        let observer = Observer::new(Arc::clone(&overlay));
        Adapter { overlay, validity, info, gate: Gate::Open, opens: Opens::Told, observer, owner }
    }

    /// Replaces what `user.lamina.mount` of the root answers.
    pub(super) fn describe(&mut self, info: Vec<u8>) {
        self.info = info;
    }

    /// What counts, and whom to ask for it.
    pub(super) fn observer(&self) -> &Observer {
        &self.observer
    }

    pub(super) fn behind(self, gate: Gate) -> Self {
        Adapter { gate, ..self }
    }

    pub(super) fn opened(self, opens: Opens) -> Self {
        Adapter { opens, ..self }
    }

    /// What the kernel will name a file by that was opened as it was made.
    fn handle(&self, opened: Opened) -> HandleId {
        match self.opens {
            Opens::Told => opened.handle,
            Opens::ByKernel => {
                self.overlay.leave_to_node(opened.handle);
                NO_HANDLE
            }
        }
    }

    /// Takes the bytes of a request through decoding and [`Adapter::dispatch`].
    pub fn serve<'b>(&self, bytes: &[u8], scratch: &'b mut Scratch) -> Served<'b> {
        match decode(bytes) {
            Ok(request) => match self.dispatch(&request, scratch) {
                Reply::Bytes(_) if asks_for_refresh(&request) => Served::Refresh(request.header.unique),
                reply => Served::Answered(request.header.unique, reply),
            },
            Err(DecodeError { unique, error }) => {
                let reply = failed(&error);
                unique.map_or(Served::Nobody, |unique| Served::Answered(unique, reply))
            }
        }
    }

    /// Forgets what is not so any more after others have changed lower layers, and gives the answer for all who had asked
    /// for that before: it is for `Served::Refresh`. What the kernel must forget is taken by the same thread, and comes
    /// before the answer.
    pub fn refresh(&self) -> Reply<'static> {
        let refreshed = catch_unwind(AssertUnwindSafe(|| self.overlay.refresh()));
        match refreshed {
            Ok(Ok(())) => Reply::Bytes(Cow::Borrowed(REFRESHED)),
            Ok(Err(error)) => failed(&error),
            Err(panic) => {
                log::error!("a refresh panicked, and is answered with EIO: {}", said_by(&*panic));
                Reply::Failed(Errno::EIO)
            }
        }
    }

    /// Answers one request; who may ask for a refresh is told what it is answered with when it is done. Errors and panics end here: as an errno and a line in the log.
    pub fn dispatch<'b>(&self, request: &Request<'_>, scratch: &'b mut Scratch) -> Reply<'b> {
        let reply = guarded(request, || self.answer(request, scratch));
        trace(request, &reply);
        reply
    }

    /// What the kernel must be told to forget since the last call.
    pub fn take_invalidations(&self) -> Vec<Invalidation> {
        self.overlay.take_invalidations()
    }

    fn answer<'b>(&self, request: &Request<'_>, scratch: &'b mut Scratch) -> Result<Reply<'b>> {
        let Request { header, body, .. } = request;
        self.admit(request)?;
        let node = header.node;
        let at = |name| Place { dir: node, name };
        let overlay = &*self.overlay;
        let entry = |entry| Reply::Entry(entry, self.validity);
        let attr = |attr| Reply::Attr(attr, self.validity);

        Ok(match *body {
            Body::Lookup { name } => match overlay.lookup(node, name)? {
                Some(found) => entry(found),
                None => Reply::NoEntry(self.validity),
            },
            Body::Forget { count } => {
                overlay.forget(node, count);
                Reply::Silence
            }
            Body::BatchForget(forgets) => {
                for (node, count) in forgets.iter() {
                    overlay.forget(node, count);
                }
                Reply::Silence
            }
            Body::Getattr => attr(overlay.getattr(node)?),
            Body::Statx => Reply::Statx(overlay.getattr(node)?, self.validity),
            Body::Setattr { file, change } => attr(overlay.setattr(node, file, &change)?),
            Body::Readlink => owned(overlay.readlink(node)?),
            Body::Symlink { name, target } => {
                entry(overlay.symlink(&header.caller(0), at(name), target.0)?)
            }
            Body::Mknod { name, kind, perm, umask } => {
                entry(overlay.mknod(&header.caller(umask), at(name), kind, perm)?)
            }
            Body::Mkdir { name, perm, umask } => {
                entry(overlay.mkdir(&header.caller(umask), at(name), perm)?)
            }
            Body::Unlink { name } => done(overlay.unlink(at(name)))?,
            Body::Rmdir { name } => done(overlay.rmdir(at(name)))?,
            Body::Rename { name, new_dir, new_name, mode } => {
                done(overlay.rename(at(name), Place { dir: new_dir, name: new_name }, mode))?
            }
            Body::Link { node, name } => entry(overlay.link(node, at(name))?),
            // ENOSYS once, as with those below.
            Body::Open { .. } if self.opens == Opens::ByKernel => {
                return Err(Error::new(request.kind, Kind::NotImplemented));
            }
            Body::Open { mode } => Reply::Opened(overlay.open(node, mode)?.handle, self.cache()),
            Body::Create { name, perm, umask, mode, existing } => {
                let (made, opened) = overlay.create(&header.caller(umask), at(name), perm, mode, existing)?;
                Reply::Created(made, self.validity, self.handle(opened), self.cache())
            }
            Body::Tmpfile { perm, umask, access } => {
                let (made, opened) = overlay.tmpfile(&header.caller(umask), node, perm, access)?;
                Reply::Created(made, self.validity, self.handle(opened), KernelCache::Keep)
            }
            Body::Read { file, offset, size } => {
                let room = scratch.room(size).map_err(|kind| Error::new("read", kind))?;
                let len = overlay.read(file, offset, room)?;
                Reply::Bytes(Cow::Borrowed(room.get(..len).unwrap_or_default()))
            }
            Body::Write { file, offset, data, kill, cause } => {
                let len = overlay.write(file, offset, data.0, kill, cause)?;
                Reply::Written(count("write", len)?)
            }
            Body::Statfs => Reply::Statfs(overlay.statfs()?),
            Body::Release { handle } => {
                overlay.release(handle);
                Reply::Done
            }
            Body::Fsync { file, sync } => done(overlay.fsync(file, sync))?,
            Body::FsyncDir { sync } => done(overlay.fsyncdir(node, sync))?,
            Body::Setxattr { name, value, mode, sgid } => {
                not_reserved("set attribute", name.0)?;
                done(overlay.setxattr(node, name.0, value.0, mode, sgid))?
            }
            Body::Removexattr { name } => {
                not_reserved("remove attribute", name.0)?;
                done(overlay.removexattr(node, name.0))?
            }
            Body::Getxattr { name, room } => {
                if node == NodeId::ROOT && name.0 == MOUNT_INFO {
                    return fitting("get attribute", self.info.clone(), room);
                }
                if node == NodeId::ROOT && name.0 == REFRESH {
                    return self.may_refresh(header, room);
                }
                if node == NodeId::ROOT && name.0 == STATS {
                    return self.stats(header, room);
                }
                let value = match Supplied::asked_by(name.0) {
                    Some(what) => overlay.supplied(node, what)?,
                    None => overlay.getxattr(node, name.0)?,
                };
                fitting("get attribute", value, room)?
            }
            Body::Listxattr { room } => {
                fitting("list attributes", overlay.listxattr(node, header.trusted())?, room)?
            }
            Body::Readdir { cookie, size, listing } => {
                let room = scratch.room(size.min(MAX_IO)).map_err(|kind| Error::new("list", kind))?;
                let mut sink = DirBuffer::new(room, listing, self.validity);
                overlay.readdir(node, cookie, listing, &mut sink)?;
                Reply::Bytes(Cow::Borrowed(sink.finish()))
            }
            Body::Fallocate { file, mode, offset, len } => {
                done(overlay.fallocate(file, mode, offset, len, header.kill_priv()))?
            }
            Body::Lseek { file, offset, seek } => Reply::Offset(overlay.seek(file, offset, seek)?),
            Body::CopyFileRange { from, to, len, answer: CopyAnswer::Wide } => {
                Reply::Copied(overlay.copy_file_range(from, to, len, header.kill_priv())?)
            }
            Body::CopyFileRange { from, to, len, answer: CopyAnswer::Narrow } => {
                // The answer has 32 bits: copy no more than it can tell.
                let len = len.min(u64::from(u32::MAX) & !0xfff);
                Reply::Written(count(
                    "copy file range",
                    overlay.copy_file_range(from, to, len, header.kill_priv())?,
                )?)
            }
            // Nothing of ours waits for long enough to be worth stopping; the request it is about is answered as usual.
            Body::Interrupt { .. } => Reply::Silence,
            Body::Destroy => Reply::Done,
            // Answered, it is asked each time, and the kernel keeps no listing.
            Body::Opendir if self.cache() == KernelCache::Drop => Reply::Opened(NO_HANDLE, KernelCache::Drop),
            Body::Releasedir if self.cache() == KernelCache::Drop => Reply::Done,
            // ENOSYS once, and the kernel does it by itself from then on.
            Body::Flush | Body::Opendir | Body::Releasedir | Body::Access | Body::Poll | Body::Unknown(_) => {
                return Err(Error::new(request.kind, Kind::NotImplemented));
            }
            // Not ENOSYS: that would take ioctl's own errno away from every file.
            Body::Ioctl => return Err(Error::new("ioctl", Errno::ENOTTY)),
        })
    }

    /// Not for everybody: it costs a look at every name that is known.
    fn may_refresh<'b>(&self, header: &Header, room: Room) -> Result<Reply<'b>> {
        self.only_for_root_and_owner(header, "refresh", "only root and who mounted it may refresh it")?;
        fitting("refresh", REFRESHED.to_vec(), room)
    }

    /// What the mount has done, for those who may know what others do with it. The answer may grow before it is asked for again:
    /// who asks for its size is told the most that it can be.
    fn stats<'b>(&self, header: &Header, room: Room) -> Result<Reply<'b>> {
        self.only_for_root_and_owner(
            header,
            "tell statistics",
            "only root and who mounted it may ask how it does",
        )?;
        if room == Room::Probe {
            return Ok(Reply::XattrSize(count("tell statistics", XATTR_SIZE_MAX)?));
        }
        let value = self.observer.snapshot().encode(XATTR_SIZE_MAX);
        let value = value
            .map_err(|_| Error::new("tell statistics", Kind::Invalid("they cannot be written as JSON")))?;
        fitting("tell statistics", value, room)
    }

    fn only_for_root_and_owner(&self, header: &Header, op: &'static str, why: &'static str) -> Result<()> {
        match header.uid == 0 || header.uid == self.owner {
            true => Ok(()),
            false => Err(Error::new(op, Kind::NotPermitted(why))),
        }
    }

    /// Whether what the kernel has read stays true when a file is opened again: not where others change the layers.
    fn cache(&self) -> KernelCache {
        if self.validity.attr.is_zero() { KernelCache::Drop } else { KernelCache::Keep }
    }

    /// `allow_root` is `allow_other` to the kernel; here everybody else is turned away. What finishes something begun, or
    /// uses a file that is open, is let through.
    fn admit(&self, Request { kind, header, body }: &Request<'_>) -> Result<()> {
        let Gate::RootAnd(owner) = self.gate else { return Ok(()) };
        let under_way = matches!(
            body,
            Body::Forget { .. }
                | Body::BatchForget(_)
                | Body::Read { .. }
                | Body::Write { .. }
                | Body::Release { .. }
                | Body::Fsync { .. }
                | Body::Interrupt { .. }
                | Body::Destroy
        );
        if under_way || header.uid == 0 || header.uid == owner {
            return Ok(());
        }
        Err(Error::new(kind, Kind::AccessDenied))
    }
}

/// A line for each request, for whoever counts them or looks for one.
fn trace(Request { kind, header, body }: &Request<'_>, reply: &Reply<'_>) {
    let node = header.node.0;
    match reply {
        Reply::Failed(errno) => log::trace!("{kind} node {node} {errno:?}: {body:?}"),
        _ => log::trace!("{kind} node {node} ok: {body:?}"),
    }
}

/// Runs a handler. What a panic leaves behind is a node's business (its lock is poisoned); the scratch holds nothing.
fn guarded<'b>(request: &Request<'_>, handler: impl FnOnce() -> Result<Reply<'b>>) -> Reply<'b> {
    match catch_unwind(AssertUnwindSafe(handler)) {
        Ok(Ok(reply)) => reply,
        Ok(Err(error)) => failed(&error),
        Err(panic) => {
            let Request { kind, header, body } = request;
            log::error!(
                "{kind} of node {} panicked, and is answered with EIO: {}",
                header.node.0,
                said_by(&*panic)
            );
            if body.has_reply() { Reply::Failed(Errno::EIO) } else { Reply::Silence }
        }
    }
}

fn said_by(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Is the answer to this request a promise? Who asks for the size only has changed nothing.
fn asks_for_refresh(request: &Request<'_>) -> bool {
    request.header.node == NodeId::ROOT
        && matches!(request.body, Body::Getxattr { name, room: Room::Bytes(_) } if name.0 == REFRESH)
}

fn done<'b>(result: Result<()>) -> Result<Reply<'b>> {
    result.map(|()| Reply::Done)
}

fn owned<'b>(bytes: Vec<u8>) -> Reply<'b> {
    Reply::Bytes(Cow::Owned(bytes))
}

fn count<N: TryInto<u32>>(op: &'static str, len: N) -> Result<u32> {
    len.try_into().map_err(|_| Error::new(op, Kind::Protocol("more bytes than an answer can tell")))
}

fn fitting<'b>(op: &'static str, value: Vec<u8>, room: Room) -> Result<Reply<'b>> {
    let len = count(op, value.len())?;
    match room {
        Room::Probe => Ok(Reply::XattrSize(len)),
        Room::Bytes(room) if len <= room => Ok(owned(value)),
        Room::Bytes(_) => Err(Error::new(op, Kind::BufferTooSmall)),
    }
}

fn not_reserved(op: &'static str, name: &[u8]) -> Result<()> {
    if name.starts_with(OWN_XATTRS) {
        return Err(Error::new(op, Kind::NotPermitted("names in user.lamina. are the mount's own")).at(name));
    }
    Ok(())
}

/// The one place where an error becomes an errno. Only what points at trouble below or in us is worth a warning; what a
/// caller brought about is the caller's to hear.
fn failed<'b>(error: &Error) -> Reply<'b> {
    let errno = error.errno();
    match (error.kind(), errno) {
        (Kind::Protocol(_), _) => log::warn!("{error}"),
        // The union says these itself, once.
        (Kind::Corrupt(_), _) => log::debug!("{error}"),
        (_, Errno::EIO | Errno::EUCLEAN | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE | Errno::ESTALE) => {
            log::warn!("{error}");
        }
        _ => log::debug!("{error}"),
    }
    Reply::Failed(errno)
}

#[cfg(test)]
mod tests;
