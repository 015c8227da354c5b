//! A tar as a stream of blocks, counted.

use std::io::{self, Read};

use super::problem::Problem;

/// A tar is made of these, bytes.
pub const BLOCK: usize = 512;
/// One read, bytes.
const BUFFER: usize = 256 * 1024;

/// Reads a tar from its beginning, and knows where it is.
pub struct Stream<R> {
    from: R,
    buffer: Box<[u8]>,
    /// What of the buffer is not handed out yet.
    ready: std::ops::Range<usize>,
    /// How much was handed out, bytes.
    at: u64,
    /// How much may come, bytes.
    limit: u64,
    /// How much came, bytes.
    came: u64,
}

impl<R: Read> Stream<R> {
    pub fn new(from: R, limit: u64) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Stream { from, buffer, ready: 0..0, at: 0, limit, came: 0 }
    }

    /// Where the next byte is in the tar.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The next block; `None` at the end.
    ///
    /// # Errors
    /// [`Problem::Truncated`] within a block; [`Problem::TooLarge`]; [`Problem::Read`].
    pub fn block(&mut self) -> Result<Option<[u8; BLOCK]>, Problem> {
        if self.ready.is_empty() && !self.fill()? {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        self.exact(&mut block)?;
        Ok(Some(block))
    }

    /// The next bytes, and what pads them to a whole block. `len` must be small: it is allocated.
    pub fn bytes(&mut self, len: u64) -> Result<Vec<u8>, Problem> {
        let mut bytes = vec![0; usize::try_from(len).map_err(|_| Problem::TooLarge { limit: self.limit })?];
        self.exact(&mut bytes)?;
        self.skip(padding(len))?;
        Ok(bytes)
    }

    /// Passes over the next bytes.
    pub fn skip(&mut self, len: u64) -> Result<(), Problem> {
        let mut left = len;
        while left > 0 {
            if self.ready.is_empty() && !self.fill()? {
                return Err(Problem::Truncated { expected: len, found: len - left });
            }
            left -= self.pass(left);
        }
        Ok(())
    }

    /// Reads on to the end, whatever comes.
    pub fn finish(&mut self) -> Result<(), Problem> {
        loop {
            self.pass(u64::MAX);
            if !self.fill()? {
                return Ok(());
            }
        }
    }

    fn exact(&mut self, to: &mut [u8]) -> Result<(), Problem> {
        let mut done = 0;
        while done < to.len() {
            if self.ready.is_empty() && !self.fill()? {
                return Err(Problem::Truncated { expected: to.len() as u64, found: done as u64 });
            }
            let ready = self.buffer.get(self.ready.clone()).unwrap_or_default();
            let rest = to.get_mut(done..).unwrap_or_default();
            let len = ready.len().min(rest.len());
            if let (Some(to), Some(from)) = (rest.get_mut(..len), ready.get(..len)) {
                to.copy_from_slice(from);
            }
            self.pass(len as u64);
            done += len;
        }
        Ok(())
    }

    /// Hands out at most `len` bytes of what is ready, and says how many.
    fn pass(&mut self, len: u64) -> u64 {
        let len = len.min(self.ready.len() as u64);
        // At most what is ready.
        self.ready.start += len as usize;
        self.at += len;
        len
    }

    /// Reads more, when nothing is ready; `false` at the end.
    fn fill(&mut self) -> Result<bool, Problem> {
        let len = loop {
            match self.from.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Problem::Read(error)),
                Ok(len) => break len.min(self.buffer.len()),
            }
        };
        self.ready = 0..len;
        self.came = self.came.saturating_add(len as u64);
        if self.came > self.limit {
            return Err(Problem::TooLarge { limit: self.limit });
        }
        Ok(len > 0)
    }
}

/// What pads so many bytes to whole blocks.
pub fn padding(len: u64) -> u64 {
    len.wrapping_neg() % BLOCK as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_padded_to_whole_blocks() {
        for (len, pad) in [(0, 0), (1, 511), (511, 1), (512, 0), (513, 511), (u64::MAX, 1)] {
            assert_eq!(padding(len), pad, "{len}");
        }
    }
}
