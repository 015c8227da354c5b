//! Whether what is in the store is still what was put there.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::progress::{Progress, Running, Task, Work};
use super::{Prepare, Store};
use crate::digest::Digest;
use crate::image::verify::{Aim, Fault, Promise, Watch, verify};
use crate::image::{Blob, ImageError, Problem};
use crate::tarball::Scanned;

/// What is true of a layer in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Its tar has the right sha256, and its index is that of the tar.
    Good,
    /// It is not what it was.
    Bad(String),
    /// Its tar is not in the store, and no file that had it is what it was: its index cannot be checked, and is not used
    /// either before the tar is verified again.
    Unknown,
}

impl Store {
    /// Reads a layer's tar again, wherever it is, and compares its hash and its index. `number` and `of` are for who is
    /// told of the work.
    ///
    /// # Errors
    /// Something cannot be read.
    pub fn check(
        &self,
        diff_id: &Digest,
        (number, of): (usize, usize),
        progress: &dyn Progress,
    ) -> Result<Verdict, ImageError> {
        let Some(blob) = self.tar_of(diff_id)? else {
            return Ok(Verdict::Unknown);
        };
        let promise = Promise { stored: blob.len, digest: None, diff_id: *diff_id };
        let work =
            Work { layer: number, of, digest: Some(*diff_id), task: Task::Check, bytes: Some(blob.len) };
        let _running = Running::begin(progress, &work);
        let advance = |bytes| progress.advance(number, bytes);
        let watch = Watch { advance: &advance, stop: &AtomicBool::new(false) };
        let aim = Aim::Scan { entries: Prepare::default().max_entries };
        let verified = match verify(&blob, &promise, aim, &watch) {
            Ok(verified) => verified,
            Err(Fault::Bad(error)) if matches!(error.problem(), Problem::Io { .. }) => return Err(error),
            Err(Fault::Bad(error)) => return Ok(Verdict::Bad(error.to_string())),
            Err(Fault::Write(_) | Fault::Stopped) => return Ok(Verdict::Unknown),
        };
        let path = self.layout.index(diff_id);
        match verified.scanned().map(|scanned| same_index(scanned, &path)) {
            Some(Ok(true)) => Ok(Verdict::Good),
            Some(Ok(false)) => Ok(Verdict::Bad("its index is not that of its tar".to_owned())),
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Verdict::Bad("its index is missing".to_owned()))
            }
            Some(Err(error)) => Err(Problem::io("read", path, &error).into()),
            None => Ok(Verdict::Unknown),
        }
    }

    /// The tar: in the store, or else in a file that holds it as it is.
    fn tar_of(&self, diff_id: &Digest) -> Result<Option<Blob>, ImageError> {
        let path = self.layout.tar(diff_id);
        if path.exists() {
            return Ok(Some(Blob::open(&path)?));
        }
        let seen = self.seen_records()?.0.into_iter().map(|seen| (seen.record, seen.current));
        let mut plain =
            seen.filter(|(record, current)| record.diff_id == *diff_id && *current && !record.compressed);
        match plain.next() {
            Some((record, _)) => Ok(Blob::open(&record.path)?.part(record.offset, record.len)),
            None => Ok(None),
        }
    }
}

fn same_index(scanned: &Scanned, path: &Path) -> io::Result<bool> {
    let mut compare = Compare { with: BufReader::with_capacity(1 << 16, File::open(path)?), same: true };
    scanned.write_to(&mut compare)?;
    let at_end = compare.with.read(&mut [0])? == 0;
    Ok(compare.same && at_end)
}

/// Compares what is written to it with what it reads.
struct Compare {
    with: BufReader<File>,
    same: bool,
}

impl Write for Compare {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let mut there = vec![0; buf.len()];
        match self.with.read_exact(&mut there) {
            Ok(()) => self.same &= there == buf,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.same = false,
            Err(error) => return Err(error),
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
