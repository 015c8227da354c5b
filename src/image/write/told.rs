//! Whoever waits is told how many bytes went through.

use std::io::{self, Read, Write};

use crate::digest::Digest;
use crate::image::store::{Progress, Running, Task, Work};

/// Who is told, and of an image of how many layers.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    /// Who.
    pub progress: &'a dyn Progress,
    /// How many layers the image will have.
    pub of: usize,
}

impl std::fmt::Debug for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Told").field("of", &self.of).finish_non_exhaustive()
    }
}

impl<'a> Told<'a> {
    /// The work of reading or writing a layer through `through`, until that is dropped.
    pub(in crate::image) fn layer<T>(
        &self,
        task: Task,
        layer: usize,
        digest: Option<Digest>,
        bytes: Option<u64>,
        through: T,
    ) -> Counted<'a, T> {
        let work = Work { layer, of: self.of, digest, task, bytes };
        Counted { running: Running::begin(self.progress, &work), through }
    }
}

/// Tells of all bytes that go through it.
pub(in crate::image) struct Counted<'a, T> {
    running: Running<'a>,
    through: T,
}

impl<T: Read> Read for Counted<'_, T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.through.read(buf)?;
        self.running.advance(n as u64);
        Ok(n)
    }
}

impl<T: Write> Write for Counted<'_, T> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.through.write(buf)?;
        self.running.advance(n as u64);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.through.flush()
    }
}
