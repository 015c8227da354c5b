//! The union file system as a plain library: usable and tested without FUSE.

mod types;

pub use types::*;

use crate::config::{Behaviour, StackSpec};
use crate::error::Result;
use crate::path::Name;

/// A mounted-or-mountable union. All methods may be called from any thread at once.
#[derive(Debug)]
pub struct Overlay {}

/// What [`Overlay::open`] found about the file, for the kernel's caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// The handle, to be released once.
    pub handle: HandleId,
}

#[allow(unused_variables, clippy::todo, missing_docs)]
impl Overlay {
    /// Opens the layers and checks everything that can be checked before anything is touched; then prepares the
    /// work directory.
    ///
    /// # Errors
    /// Names the path and says what is wrong: a missing or non-directory layer, an upper that cannot be written, ...
    pub fn open_stack(spec: &StackSpec, behaviour: &Behaviour) -> Result<Overlay> {
        todo!()
    }

    /// How long the kernel may cache answers.
    pub fn validity(&self) -> Validity {
        todo!()
    }

    /// Takes what the kernel must be told to forget since the last call. To be called after every request, with no
    /// locks held; usually empty and then free.
    pub fn take_invalidations(&self) -> Vec<Invalidation> {
        todo!()
    }

    /// Looks `name` up in `parent`; `None` where it does not exist. An answer raises the node's lookup count by one.
    pub fn lookup(&self, parent: NodeId, name: Name<'_>) -> Result<Option<Entry>> {
        todo!()
    }

    /// Lowers the node's lookup count; at zero the node is freed.
    pub fn forget(&self, node: NodeId, count: u64) {
        todo!()
    }

    pub fn getattr(&self, node: NodeId) -> Result<Attr> {
        todo!()
    }

    pub fn setattr(&self, node: NodeId, handle: Option<HandleId>, change: &AttrChange) -> Result<Attr> {
        todo!()
    }

    pub fn readlink(&self, node: NodeId) -> Result<Vec<u8>> {
        todo!()
    }

    /// `perm` is before the umask.
    pub fn mknod(&self, caller: &Caller, at: Place<'_>, kind: SpecialKind, perm: u32) -> Result<Entry> {
        todo!()
    }

    pub fn mkdir(&self, caller: &Caller, at: Place<'_>, perm: u32) -> Result<Entry> {
        todo!()
    }

    pub fn symlink(&self, caller: &Caller, at: Place<'_>, target: &[u8]) -> Result<Entry> {
        todo!()
    }

    pub fn link(&self, node: NodeId, at: Place<'_>) -> Result<Entry> {
        todo!()
    }

    pub fn unlink(&self, at: Place<'_>) -> Result<()> {
        todo!()
    }

    pub fn rmdir(&self, at: Place<'_>) -> Result<()> {
        todo!()
    }

    pub fn rename(&self, from: Place<'_>, to: Place<'_>, mode: RenameMode) -> Result<()> {
        todo!()
    }

    pub fn open(&self, node: NodeId, mode: OpenMode) -> Result<Opened> {
        todo!()
    }

    /// Makes and opens a regular file. Where the name exists: opens it, or refuses, as `existing` says.
    pub fn create(
        &self,
        caller: &Caller,
        at: Place<'_>,
        perm: u32,
        mode: OpenMode,
        existing: Existing,
    ) -> Result<(Entry, Opened)> {
        todo!()
    }

    /// O_TMPFILE: a file without a name, which [`Overlay::link`] may give one.
    pub fn tmpfile(
        &self,
        caller: &Caller,
        dir: NodeId,
        perm: u32,
        access: Access,
    ) -> Result<(Entry, Opened)> {
        todo!()
    }

    pub fn release(&self, handle: HandleId) {
        todo!()
    }

    /// Fills `buf` from `offset`; fewer bytes than asked only at the end of the file.
    pub fn read(&self, handle: HandleId, offset: u64, buf: &mut [u8]) -> Result<usize> {
        todo!()
    }

    pub fn write(&self, handle: HandleId, offset: u64, data: &[u8], kill: KillPriv) -> Result<usize> {
        todo!()
    }

    pub fn fsync(&self, handle: HandleId, sync: Sync) -> Result<()> {
        todo!()
    }

    pub fn fsyncdir(&self, node: NodeId, sync: Sync) -> Result<()> {
        todo!()
    }

    pub fn fallocate(&self, handle: HandleId, mode: FallocateMode, offset: u64, len: u64) -> Result<()> {
        todo!()
    }

    pub fn seek(&self, handle: HandleId, offset: u64, seek: Seek) -> Result<u64> {
        todo!()
    }

    pub fn copy_file_range(&self, from: FilePlace, to: FilePlace, len: u64) -> Result<u64> {
        todo!()
    }

    pub fn statfs(&self) -> Result<StatFs> {
        todo!()
    }

    /// Offers the entries after `cookie` (0: from the start, `.` and `..` first) to `sink` until it is full.
    pub fn readdir(&self, node: NodeId, cookie: u64, listing: Listing, sink: &mut dyn DirSink) -> Result<()> {
        todo!()
    }

    /// The value, whole. `name` is the full name with its namespace.
    pub fn getxattr(&self, node: NodeId, name: &[u8]) -> Result<Vec<u8>> {
        todo!()
    }

    /// The names, each ended by a NUL byte.
    pub fn listxattr(&self, node: NodeId) -> Result<Vec<u8>> {
        todo!()
    }

    pub fn setxattr(
        &self,
        node: NodeId,
        name: &[u8],
        value: &[u8],
        mode: XattrMode,
        sgid: AclSgid,
    ) -> Result<()> {
        todo!()
    }

    pub fn removexattr(&self, node: NodeId, name: &[u8]) -> Result<()> {
        todo!()
    }
}
