//! Open files.
//!
//! A handle belongs to a node, not to a file of a layer: after a copy-up, whoever reads goes on with the copy. The
//! node counts where its data has moved to; a handle that is behind opens anew. Where the kernel opens files by itself there
//! are no handles, and what is open belongs to the node outright ([`super::node_files`]).

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use nix::errno::Errno;

use super::copy_up::Content;
use super::lookup::leaf;
use super::node::{LeafData, LeafNode, LeafState, Node, Source};
use super::node_files::{Open, Reopening};
use super::object::Object;
use super::open_file::OpenFile;
use super::types::*;
use super::{Overlay, lock};
use crate::config::Durability;
use crate::error::{Error, ErrorContext, Kind, LayerRef, OpContext, Result};
use crate::sys::fs::{self, At};
use crate::sys::xattr::SetMode;
use crate::sys::{file, xattr};

/// What [`Overlay::open`] answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// The handle, to be released once.
    pub handle: HandleId,
}

const SHARDS: usize = 16;

/// The attribute with a program's capabilities.
pub(super) const CAPABILITY: &[u8] = b"security.capability";

/// A lower file up to this size, bytes, is copied up when it is opened for writing; a larger one when it is written.
/// Opening may come before emptying it, of which we are not told, and then the copy would be for nothing. So much is
/// copied in a few milliseconds.
const EAGER_COPY: u64 = 16 << 20;

/// All open files.
#[derive(Debug)]
pub(super) struct Handles {
    shards: [Mutex<HashMap<u64, Arc<Handle>>>; SHARDS],
    next: AtomicU64,
}

#[derive(Debug)]
struct Handle {
    node: Arc<Node>,
    access: Access,
    open: RwLock<Open>,
}

impl Handles {
    pub(super) fn new() -> Self {
        Handles { shards: Default::default(), next: AtomicU64::new(1) }
    }

    fn shard(&self, id: u64) -> &Mutex<HashMap<u64, Arc<Handle>>> {
        &self.shards[id as usize % SHARDS]
    }

    /// The node stays as long as it is open.
    fn insert(&self, handle: Handle) -> HandleId {
        handle.node.hold();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        lock(self.shard(id)).insert(id, Arc::new(handle));
        HandleId(id)
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn get(&self, id: HandleId) -> Result<Arc<Handle>> {
        lock(self.shard(id.0)).get(&id.0).cloned().ok_or_else(|| Error::new("find open file", Kind::Stale))
    }
}

impl Overlay {
    /// Opens a regular file; to be written it is copied up first.
    ///
    /// # Errors
    /// [`Kind::ReadOnly`], [`Kind::IsADirectory`], and what the layer's file system answers.
    pub fn open(&self, node: NodeId, mode: OpenMode) -> Result<Opened> {
        let node = self.node(node)?;
        let file = regular(&node)?;
        let empties = matches!(mode.truncate, Truncate::Empty(_));
        if empties {
            self.copy_up(&node, Content::Drop)?;
        } else if mode.access.writes() {
            self.stack.writable()?;
            if self.leaf_attr(&file.read())?.size <= EAGER_COPY {
                self.copy_up(&node, Content::Keep)?;
            }
        }
        let version = file.version.load(Ordering::Acquire);
        let access = if empties && !mode.access.writes() { Access::ReadWrite } else { mode.access };
        let open = Arc::new(self.open_data(&file.read(), access)?);
        if let Truncate::Empty(kill) = mode.truncate {
            let fd = open.descriptor()?;
            file::truncate(fd, 0).op("truncate").in_layer(LayerRef::Upper)?;
            self.kill_priv(At::Fd(fd), kill)?;
        }
        let open = RwLock::new(Open { version, file: open });
        Ok(Opened { handle: self.handles.insert(Handle { node: Arc::clone(&node), access, open }) })
    }

    pub(super) fn new_handle(&self, node: &Arc<Node>, access: Access, file: OwnedFd) -> Result<Opened> {
        self.new_handle_shared(node, access, Arc::new(file))
    }

    pub(super) fn new_handle_shared(
        &self,
        node: &Arc<Node>,
        access: Access,
        file: Arc<OwnedFd>,
    ) -> Result<Opened> {
        let version = leaf(node)?.version.load(Ordering::Acquire);
        let open = RwLock::new(Open { version, file: Arc::new(OpenFile::Descriptor(file)) });
        Ok(Opened { handle: self.handles.insert(Handle { node: Arc::clone(node), access, open }) })
    }

    /// Opens where a file's data is now. What is to be written is in the upper already.
    pub(super) fn open_data(&self, state: &LeafState, access: Access) -> Result<OpenFile> {
        let object = self.data_object(state)?;
        // What has not been copied up is read only; whoever writes sees to a copy first.
        let in_upper = !matches!(state.source, Source::Lower(_)) && matches!(state.data, LeafData::Here);
        match &object {
            Object::Held(held, layer) if access.writes() && in_upper => {
                let opened = match held.open(libc::O_RDWR) {
                    // Not readable for this process; writing is what was asked for.
                    Err(Errno::EACCES) => held.open(libc::O_WRONLY),
                    other => other,
                };
                opened.op("open").in_layer(layer.id).map(OpenFile::from)
            }
            Object::Held(..) | Object::Entry(..) => object.open(),
        }
    }

    /// The file behind a handle, where its data is now.
    fn current(&self, handle: &Handle) -> Result<Arc<OpenFile>> {
        let file = leaf(&handle.node)?;
        let version = file.version.load(Ordering::Acquire);
        {
            let open = handle.open.read().unwrap_or_else(PoisonError::into_inner);
            if open.version == version {
                return Ok(Arc::clone(&open.file));
            }
        }
        let fresh = Arc::new(self.open_data(&file.read(), handle.access)?);
        let mut open = handle.open.write().unwrap_or_else(PoisonError::into_inner);
        *open = Open { version, file: Arc::clone(&fresh) };
        Ok(fresh)
    }

    fn open_file(&self, file: FileRef) -> Result<Arc<OpenFile>> {
        match file {
            FileRef::Handle(handle) => self.current(&*self.handles.get(handle)?),
            FileRef::Node(node) => self.node_file(&*self.node(node)?, Access::Read),
        }
    }

    /// What is open of a node, or is opened now and kept. To be written it is in the upper already.
    fn node_file(&self, node: &Node, access: Access) -> Result<Arc<OpenFile>> {
        let file = regular(node)?;
        let version = file.version.load(Ordering::Acquire);
        if let Some(open) = self.node_files.find(node.id, version, access) {
            return Ok(open);
        }
        let wanted = if access.writes() { Access::ReadWrite } else { Access::Read };
        let opened = self.open_data(&file.read(), wanted);
        let (opened, reopening) = match opened {
            Ok(opened) => (opened, Reopening::Usual),
            Err(denied) if denied.errno() == Errno::EACCES => {
                (self.open_as_owner(&file.write(), wanted)?.ok_or(denied)?, Reopening::Costly)
            }
            Err(error) => return Err(error),
        };
        let opened = Arc::new(opened);
        let open = Open { version, file: Arc::clone(&opened) };
        self.node_files.keep(node.id, open, reopening);
        Ok(opened)
    }

    /// Opens a file of the upper whose mode does not let this process in: who has it open had it opened when it did. The
    /// owner's permissions are there for that moment only, and nobody sees them through the mount: the state is locked. `None`
    /// where the mode is not what is in the way.
    fn open_as_owner(&self, state: &LeafState, access: Access) -> Result<Option<OpenFile>> {
        if !matches!(state.data, LeafData::Here) || matches!(state.source, Source::Lower(_)) {
            return Ok(None);
        }
        let (held, layer) = self.held(state)?;
        let at = held.at();
        let inode = fs::stat(at).op("stat").in_layer(layer.id)?;
        let perm = inode.mode & 0o7777;
        if perm & 0o600 == 0o600 || fs::chmod(at, perm | 0o600).is_err() {
            return Ok(None);
        }
        let opened = held.open(if access.writes() { libc::O_RDWR } else { libc::O_RDONLY });
        fs::chmod(at, perm).op("give back the mode").in_layer(layer.id)?;
        opened.op("open").in_layer(layer.id).map(|fd| Some(OpenFile::from(fd)))
    }

    /// Closes a handle, and keeps what it has open with its node: the kernel will name it by that.
    pub fn leave_to_node(&self, handle: HandleId) {
        let closed = lock(self.handles.shard(handle.0)).remove(&handle.0);
        let Some(closed) = closed else { return };
        let open = closed.open.read().unwrap_or_else(PoisonError::into_inner).clone();
        // By its mode it may be unreadable already.
        let costly = match self.options.privileged {
            true => Reopening::Usual,
            false => Reopening::Costly,
        };
        self.node_files.keep(closed.node.id, open, costly);
        self.release_node(&closed.node, 1);
    }

    /// The file, in the upper, if it was opened for writing.
    pub(super) fn writable_file(&self, file: FileRef) -> Result<Option<Arc<OpenFile>>> {
        let handle = match file {
            FileRef::Handle(handle) => self.handles.get(handle)?,
            FileRef::Node(node) => {
                let node = self.node(node)?;
                self.copy_up(&node, Content::Keep)?;
                return self.node_file(&node, Access::Write).map(Some);
            }
        };
        if !handle.access.writes() {
            return Ok(None);
        }
        self.copy_up(&handle.node, Content::Keep)?;
        self.current(&handle).map(Some)
    }

    fn for_writing(&self, file: FileRef) -> Result<Arc<OpenFile>> {
        self.stack.writable()?;
        self.writable_file(file)?.ok_or_else(|| Error::new("write", Errno::EBADF))
    }

    /// Closes a handle.
    pub fn release(&self, handle: HandleId) {
        let closed = lock(self.handles.shard(handle.0)).remove(&handle.0);
        if let Some(closed) = closed {
            self.release_node(&closed.node, 1);
        }
    }

    /// Fills `buf` from `offset`; fewer bytes than asked only at the end of the file.
    ///
    /// # Errors
    /// What the layer's file system answers.
    pub fn read(&self, file: impl Into<FileRef>, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.open_file(file.into())?.read_at(buf, offset)
    }

    /// Writes all of `data`; fewer only where the file system is full.
    ///
    /// # Errors
    /// What the upper's file system answers.
    pub fn write(
        &self,
        file: impl Into<FileRef>,
        offset: u64,
        data: &[u8],
        kill: KillPriv,
        cause: WriteCause,
    ) -> Result<usize> {
        let file = self.for_writing(file.into())?;
        let fd = file.descriptor()?;
        // Our write(2) takes file capabilities away; storing into a mapping does not.
        let kept = match cause {
            WriteCause::Caller => None,
            WriteCause::PageCache => xattr::get(At::Fd(fd), CAPABILITY).ok(),
        };
        let written = file::write_full_at(fd, data, offset).op("write").in_layer(LayerRef::Upper)?;
        self.kill_priv(At::Fd(fd), kill)?;
        if let Some(kept) = kept
            && let Err(errno) = xattr::set(At::Fd(fd), CAPABILITY, &kept, SetMode::Any)
        {
            log::warn!("keep file capabilities over a write from a mapping: {}", errno.desc());
        }
        Ok(written)
    }

    /// Writes a file to disk.
    ///
    /// # Errors
    /// What the layer's file system answers.
    pub fn fsync(&self, file: impl Into<FileRef>, sync: Sync) -> Result<()> {
        let Ok(upper) = self.stack.writable() else { return Ok(()) };
        if upper.durability != Durability::SyncCopyUp {
            return Ok(());
        }
        self.open_file(file.into())?.sync(sync)
    }

    /// fallocate(2).
    ///
    /// # Errors
    /// What the upper's file system answers.
    pub fn fallocate(
        &self,
        file: impl Into<FileRef>,
        mode: FallocateMode,
        offset: u64,
        len: u64,
        kill: KillPriv,
    ) -> Result<()> {
        let file = self.for_writing(file.into())?;
        let mode = i32::try_from(mode.bits()).map_err(|_| Error::new("fallocate", Kind::Invalid("mode")))?;
        let fd = file.descriptor()?;
        file::fallocate(fd, mode, offset, len).op("fallocate").in_layer(LayerRef::Upper)?;
        self.kill_priv(At::Fd(fd), kill)
    }

    /// Where the next data or hole is, from `offset` on.
    ///
    /// # Errors
    /// ENXIO beyond the end, or where there is no data any more.
    pub fn seek(&self, file: impl Into<FileRef>, offset: u64, seek: Seek) -> Result<u64> {
        self.open_file(file.into())?.seek(offset, seek)
    }

    /// copy_file_range(2): as many bytes as one call copies.
    ///
    /// # Errors
    /// What the upper's file system answers; EXDEV and the like make the caller copy by itself.
    pub fn copy_file_range(&self, from: FilePlace, to: FilePlace, len: u64, kill: KillPriv) -> Result<u64> {
        let source = self.open_file(from.file)?;
        let target = self.for_writing(to.file)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(1 << 30);
        let fd = target.descriptor()?;
        let copied = source.copy_range(from.offset, (fd, to.offset), len).in_layer(LayerRef::Upper)?;
        self.kill_priv(At::Fd(fd), kill)?;
        Ok(copied as u64)
    }
}

fn regular(node: &Node) -> Result<&LeafNode> {
    let file = leaf(node)?;
    if file.kind != FileKind::Regular {
        return Err(Error::new("open", Errno::ENXIO));
    }
    Ok(file)
}
