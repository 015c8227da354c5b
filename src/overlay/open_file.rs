//! A file of a layer, open: a descriptor, or extents of a tar.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use super::types::{Access, Seek, Sync};
use crate::error::{Error, OpContext, Result};
use crate::layer::copy_data;
use crate::sys::file;
use crate::tarball::TarData;

/// An open file.
#[derive(Debug)]
pub(crate) enum OpenFile {
    /// A file of its own; everything in the upper is one.
    Descriptor(Arc<OwnedFd>),
    /// A part of a tar: only ever read.
    Tar(TarData),
}

impl From<OwnedFd> for OpenFile {
    fn from(fd: OwnedFd) -> Self {
        OpenFile::Descriptor(Arc::new(fd))
    }
}

impl OpenFile {
    /// Its descriptor, to be written to.
    ///
    /// # Errors
    /// EBADF for what is never written: callers have copied it up before.
    pub(super) fn descriptor(&self) -> Result<BorrowedFd<'_>> {
        match self {
            OpenFile::Descriptor(fd) => Ok(fd.as_fd()),
            OpenFile::Tar(_) => Err(Error::new("write", Errno::EBADF)),
        }
    }

    /// What it can be used for.
    pub(super) fn access(&self) -> Access {
        let OpenFile::Descriptor(fd) = self else { return Access::Read };
        // A descriptor that we hold always has flags.
        match fcntl(fd, FcntlArg::F_GETFL).unwrap_or(libc::O_RDONLY) & libc::O_ACCMODE {
            libc::O_RDWR => Access::ReadWrite,
            libc::O_WRONLY => Access::Write,
            _ => Access::Read,
        }
    }

    /// Fills `buf` from `offset`; fewer bytes than asked only at the end of the file.
    pub(super) fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        match self {
            OpenFile::Descriptor(fd) => file::read_full_at(fd.as_fd(), buf, offset).op("read"),
            OpenFile::Tar(data) => data.read_at(buf, offset),
        }
    }

    /// Where the next data or hole is, from `offset` on.
    pub(super) fn seek(&self, offset: u64, seek: Seek) -> Result<u64> {
        match (self, seek) {
            (OpenFile::Descriptor(fd), Seek::Data) => {
                file::seek(fd.as_fd(), offset, libc::SEEK_DATA).op("seek")
            }
            (OpenFile::Descriptor(fd), Seek::Hole) => {
                file::seek(fd.as_fd(), offset, libc::SEEK_HOLE).op("seek")
            }
            (OpenFile::Tar(data), Seek::Data) => data.next_data(offset),
            (OpenFile::Tar(data), Seek::Hole) => data.next_hole(offset),
        }
    }

    /// Writes it to disk. What is only read is there.
    pub(super) fn sync(&self, sync: Sync) -> Result<()> {
        match (self, sync) {
            (OpenFile::Descriptor(fd), Sync::All) => file::fsync(fd.as_fd()).op("sync"),
            (OpenFile::Descriptor(fd), Sync::DataOnly) => file::fdatasync(fd.as_fd()).op("sync"),
            (OpenFile::Tar(_), _) => Ok(()),
        }
    }

    /// Copies its first `size` bytes into an empty file; holes stay holes.
    pub(crate) fn copy_to(&self, to: BorrowedFd<'_>, size: u64) -> Result<()> {
        match self {
            OpenFile::Descriptor(fd) => copy_data(fd.as_fd(), to, size),
            OpenFile::Tar(data) => data.copy_to(to),
        }
    }

    /// As many bytes as one call copies, for copy_file_range(2).
    pub(super) fn copy_range(&self, offset: u64, to: (BorrowedFd<'_>, u64), len: usize) -> Result<usize> {
        match self {
            OpenFile::Descriptor(fd) => file::copy_range((fd.as_fd(), offset), to, len).op("copy range"),
            OpenFile::Tar(data) => data.copy_range(offset, to, len),
        }
    }
}
