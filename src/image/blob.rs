//! A blob: some bytes of a file, read without moving a shared position.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::OFlag;

use super::error::Problem;
use crate::stamp::FileStamp;

/// Some bytes of an open file: a file of a layout, or a member of an archive.
#[derive(Debug, Clone)]
pub struct Blob {
    /// The file.
    pub path: PathBuf,
    /// What the file was when it was opened.
    pub stamp: FileStamp,
    /// Where the blob begins in the file, bytes.
    pub offset: u64,
    /// How long it is, bytes; it ends within the file as it was when it was opened.
    pub len: u64,
    file: Arc<File>,
}

impl Blob {
    /// The whole of a regular file.
    pub fn open(path: &Path) -> Result<Self, Problem> {
        let error = |error: io::Error| Problem::io("open", path, &error);
        // A fifo is not waited for, and a terminal does not become ours: both are refused below.
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map_err(error)?;
        let metadata = file.metadata().map_err(error)?;
        if !metadata.is_file() {
            return Err(Problem::NotAnImage(format!("'{}' is not a regular file", path.display())));
        }
        Ok(Blob {
            path: path.to_owned(),
            stamp: FileStamp::from(&metadata),
            offset: 0,
            len: metadata.len(),
            file: Arc::new(file),
        })
    }

    /// A part of it; `None` when that is not within it.
    pub fn part(&self, offset: u64, len: u64) -> Option<Blob> {
        let end = offset.checked_add(len)?;
        if end > self.len {
            return None;
        }
        Some(Blob { offset: self.offset.checked_add(offset)?, len, ..self.clone() })
    }

    /// The open file that holds it, and maybe more.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Reads it from its beginning. Ends with an error where the file has become shorter since it was opened.
    pub fn reader(&self) -> BlobReader {
        BlobReader { file: self.file.clone(), at: self.offset, left: self.len }
    }

    /// Fills `buf` from `offset` of the blob; fewer bytes only at its end.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut reader = match self.part(offset, self.len.saturating_sub(offset)) {
            Some(part) => part.reader(),
            None => return Ok(0),
        };
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match reader.read(rest) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

/// Two blobs are the same when they are the same bytes of the same file.
impl PartialEq for Blob {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, &self.stamp, self.offset, self.len)
            == (&other.path, &other.stamp, other.offset, other.len)
    }
}

impl Eq for Blob {}

/// Reads a [`Blob`], never beyond its end.
#[derive(Debug)]
pub struct BlobReader {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for BlobReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let Some(buf) = buf.get_mut(..wanted).filter(|buf| !buf.is_empty()) else {
            return Ok(0);
        };
        match self.file.read_at(buf, self.at)? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the file ends {} bytes early: it has become shorter", self.left),
            )),
            n => {
                self.at += n as u64;
                self.left -= n as u64;
                Ok(n)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_part_is_read_and_nothing_beyond_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "0123456789").unwrap();
        let whole = Blob::open(&path).unwrap();
        assert_eq!((whole.offset, whole.len, whole.stamp.size), (0, 10, 10));
        let part = whole.part(2, 5).unwrap().part(1, 3).unwrap();
        let mut text = String::new();
        part.reader().read_to_string(&mut text).unwrap();
        assert_eq!(text, "345");
        let mut buf = [0; 8];
        assert_eq!(part.read_at(&mut buf, 1).unwrap(), 2);
        assert_eq!(&buf[..2], b"45");
        assert_eq!(part.read_at(&mut buf, 9).unwrap(), 0);
        assert_eq!(whole.part(5, 6), None);
        assert_eq!(whole.part(u64::MAX, 2), None);
        fs::write(&path, "0123").unwrap();
        assert_eq!(part.reader().read_to_string(&mut text).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn only_regular_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
        for path in [dir.path(), &fifo] {
            assert!(matches!(Blob::open(path), Err(Problem::NotAnImage(_))), "{}", path.display());
        }
    }
}
