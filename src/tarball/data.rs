//! The content of a regular file in a tar.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use nix::errno::Errno;

use super::index::{Extent, Extents};
use super::layer::Content;
use crate::error::{Error, Kind, OpContext, Result};
use crate::layer::{EntryId, copy_extent};
use crate::sys::file;

/// Zeros written at once, bytes.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Where the content of a regular file is: a list of extents of the file that holds the tar. Holes are not in it.
#[derive(Debug, Clone)]
pub struct TarData {
    content: Arc<Content>,
    entry: EntryId,
    size: u64,
}

/// What is at an offset of a file, and until where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    /// Data, from here in the file that holds the tar.
    Data { at: u64, len: u64 },
    /// Zeros.
    Hole { len: u64 },
}

impl TarData {
    pub(super) fn of(content: &Arc<Content>, entry: EntryId) -> Result<TarData> {
        let data = TarData { content: content.clone(), entry, size: content.index.attributes(entry)?.size };
        // What is in one piece is checked here, once; pieces are checked as they are read.
        if let Extents::One(extent) = data.extents()? {
            data.place(extent)?;
        }
        Ok(data)
    }

    /// Bytes, holes among them.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Fills `buf` from `offset`; fewer bytes than asked only at the end of the file.
    ///
    /// # Errors
    /// [`Kind::Archive`] where the archive has become shorter; those of pread(2).
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let Some(run) = self.run(offset.saturating_add(done as u64))? else { break };
            let (Run::Data { len, .. } | Run::Hole { len }) = run;
            let len = usize::try_from(len).unwrap_or(usize::MAX).min(rest.len());
            let part = rest.get_mut(..len).unwrap_or_default();
            match run {
                Run::Hole { .. } => part.fill(0),
                Run::Data { at, .. } => {
                    let read = file::read_full_at(self.file(), part, at).op("read the archive")?;
                    if read < len {
                        return Err(shorter());
                    }
                }
            }
            done += len;
        }
        Ok(done)
    }

    /// Where the next data is, from `offset` on; ENXIO as lseek(2) answers it.
    pub fn next_data(&self, offset: u64) -> Result<u64> {
        match self.extents()?.from(offset) {
            Some(extent) if offset < self.size => Ok(extent.offset.max(offset)),
            _ => Err(Error::new("seek data", Errno::ENXIO)),
        }
    }

    /// Where the next hole is, from `offset` on; the end of the file is one.
    pub fn next_hole(&self, offset: u64) -> Result<u64> {
        if offset >= self.size {
            return Err(Error::new("seek hole", Errno::ENXIO));
        }
        // Neighbours are joined in the index, so a hole follows each piece, but for a damaged one: then later.
        match self.extents()?.from(offset) {
            Some(extent) if extent.offset <= offset => Ok(extent.end().min(self.size)),
            _ => Ok(offset),
        }
    }

    /// Writes the whole content into an empty file; holes stay holes. Copies within the kernel where it can.
    ///
    /// # Errors
    /// [`Kind::Archive`] where the archive has become shorter; those of writing.
    pub fn copy_to(&self, to: BorrowedFd<'_>) -> Result<()> {
        let mut buffer = Vec::new();
        for extent in self.extents()?.iter() {
            let at = self.place(extent)?;
            let copied = copy_extent((self.file(), at), (to, extent.offset), extent.len, &mut buffer)?;
            if copied < extent.len {
                return Err(shorter());
            }
        }
        // A hole at the end is only a size.
        file::truncate(to, self.size).op("truncate the copy")
    }

    /// As many bytes as one call copies: for copy_file_range(2). What is a hole is written as zeros. 0 at the end of
    /// the file.
    pub fn copy_range(&self, offset: u64, to: (BorrowedFd<'_>, u64), len: usize) -> Result<usize> {
        let limit = |run: u64| usize::try_from(run).unwrap_or(usize::MAX).min(len);
        match self.run(offset)? {
            None => Ok(0),
            Some(Run::Hole { len }) => {
                let zeros = ZEROS.get(..limit(len).min(ZEROS.len())).unwrap_or_default();
                file::write_full_at(to.0, zeros, to.1).op("write the copy")
            }
            Some(Run::Data { at, len }) => {
                let len = limit(len);
                match file::copy_range((self.file(), at), to, len) {
                    Ok(copied) if copied > 0 => Ok(copied),
                    // Not between these file systems, or not within one call: some of it by hand.
                    Ok(_) | Err(Errno::EXDEV | Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS) => {
                        let mut buffer = vec![0; len.min(1 << 20)];
                        let read = file::read_at(self.file(), &mut buffer, at).op("read the archive")?;
                        match buffer.get(..read) {
                            Some(data) if read > 0 => {
                                file::write_full_at(to.0, data, to.1).op("write the copy")
                            }
                            _ if len == 0 => Ok(0),
                            _ => Err(shorter()),
                        }
                    }
                    Err(errno) => Err(Error::new("copy data", errno)),
                }
            }
        }
    }

    /// What is at `offset`; `None` at the end of the file.
    fn run(&self, offset: u64) -> Result<Option<Run>> {
        let Some(left) = self.size.checked_sub(offset).filter(|left| *left > 0) else { return Ok(None) };
        Ok(Some(match self.extents()?.from(offset) {
            // It ends behind `offset`: what is left of it is more than nothing.
            Some(extent) if extent.offset <= offset => Run::Data {
                at: self.place(extent)?.saturating_add(offset - extent.offset),
                len: (extent.end() - offset).min(left),
            },
            Some(extent) => Run::Hole { len: (extent.offset - offset).min(left) },
            None => Run::Hole { len: left },
        }))
    }

    /// Where an extent begins in the file that holds the tar.
    fn place(&self, extent: Extent) -> Result<u64> {
        let within = extent.at.checked_add(extent.len).is_some_and(|end| end <= self.content.len);
        let place = self.content.offset.checked_add(extent.at);
        place.filter(|_| within).ok_or_else(|| {
            Error::new("find the data", Kind::Archive("the index leads beyond the end of the tar".to_owned()))
        })
    }

    fn extents(&self) -> Result<Extents<'_>> {
        self.content.index.extents(self.entry)
    }

    fn file(&self) -> BorrowedFd<'_> {
        self.content.file.as_fd()
    }
}

fn shorter() -> Error {
    Error::new(
        "read the archive",
        Kind::Archive("the archive is shorter than when it was mounted".to_owned()),
    )
}
