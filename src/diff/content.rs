//! Comparing the contents of two files.

use nix::errno::Errno;

use super::Side;
use crate::error::{Error, Result};
use crate::overlay::{Access, HandleId, NodeId, OpenMode, Overlay, Seek, Truncate};

/// How much is read at once, of each.
const CHUNK: usize = 128 << 10;

/// What is read into. Made once: most files are small.
#[derive(Debug)]
pub struct Buffers {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Buffers {
    /// Some memory for each side.
    pub fn new() -> Self {
        Buffers { before: vec![0; CHUNK], after: vec![0; CHUNK] }
    }
}

/// A regular file to be compared.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// Where it is.
    pub union: &'a Overlay,
    /// Its node, held.
    pub node: NodeId,
}

/// An open file, closed when it is dropped.
struct OpenFile<'a> {
    union: &'a Overlay,
    handle: HandleId,
}

impl<'a> OpenFile<'a> {
    fn open(file: File<'a>) -> Result<Self> {
        let mode = OpenMode { access: Access::Read, truncate: Truncate::Keep };
        Ok(OpenFile { union: file.union, handle: file.union.open(file.node, mode)?.handle })
    }

    /// Where the next data is, from `offset` on; `size` where there is none.
    fn next_data(&self, offset: u64, size: u64) -> u64 {
        match self.union.seek(self.handle, offset, Seek::Data) {
            Ok(data) => data.clamp(offset, size),
            Err(error) if error.errno() == Errno::ENXIO => size,
            // A file system that does not tell: all may be data.
            Err(_) => offset,
        }
    }

    fn read<'b>(&self, offset: u64, buffer: &'b mut [u8]) -> Result<&'b [u8]> {
        let read = self.union.read(self.handle, offset, buffer)?;
        Ok(buffer.get(..read).unwrap_or_default())
    }
}

impl Drop for OpenFile<'_> {
    fn drop(&mut self) {
        self.union.release(self.handle);
    }
}

/// Are the first `size` bytes of two files the same? What is a hole in both is not read.
///
/// # Errors
/// One of them cannot be opened or read: says which.
pub fn is_same(
    before: File<'_>,
    after: File<'_>,
    size: u64,
    buffers: &mut Buffers,
) -> Result<bool, (Side, Error)> {
    let of = |side: Side| move |error: Error| (side, error);
    let before = OpenFile::open(before).map_err(of(Side::Before))?;
    let after = OpenFile::open(after).map_err(of(Side::After))?;
    let mut offset = 0;
    while offset < size {
        if size > CHUNK as u64 {
            offset = before.next_data(offset, size).min(after.next_data(offset, size));
        }
        let left = usize::try_from(size - offset).unwrap_or(usize::MAX).min(CHUNK);
        let one = buffers.before.get_mut(..left).unwrap_or_default();
        let other = buffers.after.get_mut(..left).unwrap_or_default();
        let one = before.read(offset, one).map_err(of(Side::Before))?;
        let other = after.read(offset, other).map_err(of(Side::After))?;
        if one != other {
            return Ok(false);
        }
        // Both became shorter while they were compared.
        if one.is_empty() {
            return Ok(true);
        }
        offset = offset.saturating_add(one.len() as u64);
    }
    Ok(true)
}
