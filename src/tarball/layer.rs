//! A tar as a layer.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use crate::config::TarSpec;
use crate::error::{LayerRef, Result};
use crate::layer::{EntryId, Found, FoundDir, Listed};
use crate::path::{Name, RelPath};
use crate::sys::fs::Stat;

/// A layer that is served from a tar, by its index. What would be a marker in a directory (an attribute of the overlay's
/// namespaces, a recorded owner, a device 0:0) is ordinary data here: only `.wh.` entries are markers.
#[derive(Debug)]
pub struct TarLayer {
    /// Which layer of the stack it is.
    pub id: LayerRef,
    /// What it was opened from.
    pub spec: TarSpec,
    /// What stands for `st_dev` of its objects: no file system has it, and no other layer.
    pub dev: u64,
    /// What stands for the uuid of its file system: the beginning of its diff_id.
    pub uuid: [u8; 16],
}

/// Where the content of a regular file is: a list of extents of the file that holds the tar. Holes are not in it.
#[derive(Debug, Clone)]
pub struct TarData {}

#[allow(clippy::todo, unused_variables, missing_docs)]
impl TarLayer {
    /// Opens the tar's file, which must be what it was when it was verified, and the index.
    pub fn open(spec: &TarSpec, id: LayerRef) -> Result<TarLayer> {
        todo!()
    }

    /// Finds the targets of hard links that are not in this layer in those below, top first.
    ///
    /// # Errors
    /// Names the entry whose target is in none of them.
    pub fn link_below(&mut self, below: &[&TarLayer]) -> Result<()> {
        todo!()
    }

    /// What the root is. Its `entry` is [`EntryId::ROOT`].
    pub fn look_root(&self) -> Result<FoundDir> {
        todo!()
    }

    /// What the layer says of a name. `entry` is always there for a leaf or directory.
    pub fn look(&self, dir: EntryId, name: Name<'_>) -> Result<Found> {
        todo!()
    }

    /// The directory at a path.
    pub fn directory_at(&self, path: &RelPath) -> Result<EntryId> {
        todo!()
    }

    /// Hands every name of a directory to `each`, whiteouts among them (`kind` 0, as for `.wh.` names).
    pub fn list(&self, dir: EntryId, each: impl FnMut(Listed<'_>)) -> Result<()> {
        todo!()
    }

    pub fn stat(&self, entry: EntryId) -> Result<Stat> {
        todo!()
    }

    /// The value of an attribute, by its name as users see it.
    pub fn xattr(&self, entry: EntryId, name: &[u8]) -> Result<&[u8]> {
        todo!()
    }

    /// The names of all attributes, as users see them.
    pub fn xattr_names(&self, entry: EntryId) -> Result<Vec<&[u8]>> {
        todo!()
    }

    pub fn readlink(&self, entry: EntryId) -> Result<&[u8]> {
        todo!()
    }

    /// The content of a regular file.
    pub fn data(&self, entry: EntryId) -> Result<TarData> {
        todo!()
    }

    /// The file that holds the tar: for statfs.
    pub fn file(&self) -> BorrowedFd<'_> {
        todo!()
    }
}

#[allow(clippy::todo, unused_variables, missing_docs)]
impl TarData {
    pub fn size(&self) -> u64 {
        todo!()
    }

    /// Fills `buf` from `offset`; fewer bytes than asked only at the end of the file.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        todo!()
    }

    /// Where the next data is, from `offset` on; ENXIO as lseek(2) answers it.
    pub fn next_data(&self, offset: u64) -> Result<u64> {
        todo!()
    }

    /// Where the next hole is, from `offset` on; the end of the file is one.
    pub fn next_hole(&self, offset: u64) -> Result<u64> {
        todo!()
    }

    /// Writes the whole content into an empty file; holes stay holes. Copies within the kernel where it can.
    pub fn copy_to(&self, to: BorrowedFd<'_>) -> Result<()> {
        todo!()
    }

    /// As many bytes as one call copies: for copy_file_range(2).
    pub fn copy_range(&self, offset: u64, to: (BorrowedFd<'_>, u64), len: usize) -> Result<usize> {
        todo!()
    }
}

#[allow(dead_code)]
type Shared = Arc<TarLayer>;
