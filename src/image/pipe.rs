//! Big buffers on their way from one thread to the next, and back.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, Sender, channel};

/// The size of a buffer: few handovers, and still at home in a second-level cache.
pub const CHUNK: usize = 256 << 10;

/// How many buffers a pipe has: whoever is faster is at most this far ahead.
const BUFFERS: usize = 4;

/// A buffer with the bytes it holds.
#[derive(Debug)]
pub struct Chunk {
    data: Box<[u8]>,
    len: usize,
}

impl Default for Chunk {
    fn default() -> Self {
        Chunk::new()
    }
}

impl Chunk {
    /// An empty one.
    pub fn new() -> Self {
        Chunk { data: vec![0; CHUNK].into_boxed_slice(), len: 0 }
    }

    /// What is in it.
    pub fn bytes(&self) -> &[u8] {
        self.data.get(..self.len).unwrap_or_default()
    }

    /// Reads until it is full or `from` ends; what it held before is gone. An error leaves what came before it.
    pub fn fill(&mut self, from: &mut impl Read) -> io::Result<()> {
        self.len = 0;
        while let Some(room) = self.data.get_mut(self.len..).filter(|room| !room.is_empty()) {
            match from.read(room) {
                Ok(0) => break,
                Ok(n) => self.len = self.len.saturating_add(n),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The other end has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// The end that fills buffers.
#[derive(Debug)]
pub struct Source {
    full: Sender<Chunk>,
    empty: Receiver<Chunk>,
}

/// The end that empties them. What is read from it ends when the source is dropped.
#[derive(Debug)]
pub struct Drain {
    full: Receiver<Chunk>,
    empty: Sender<Chunk>,
    current: Option<Chunk>,
    at: usize,
}

/// Hands on what a [`Drain`] gets, the same buffers, to one more thread. See [`relay`].
#[derive(Debug)]
pub struct Relay {
    from: Receiver<Chunk>,
    to: Sender<Chunk>,
}

/// A pipe of [`BUFFERS`] buffers, which go round.
pub fn pipe() -> (Source, Drain) {
    let (full, drained) = channel();
    let (empty, filled) = channel();
    for _ in 0..BUFFERS {
        // Both ends are here.
        let _ = empty.send(Chunk::new());
    }
    (Source { full, empty: filled }, Drain { full: drained, empty, current: None, at: 0 })
}

/// A pipe with somebody in its middle, who sees every buffer.
pub fn relay() -> (Source, Relay, Drain) {
    let (source, mut drain) = pipe();
    let (to, last) = channel();
    let from = std::mem::replace(&mut drain.full, last);
    (source, Relay { from, to }, drain)
}

impl Source {
    /// An empty buffer; waits until there is one.
    pub fn take(&self) -> Result<Chunk, Gone> {
        self.empty.recv().map_err(|_| Gone)
    }

    /// Sends a buffer.
    pub fn put(&self, chunk: Chunk) -> Result<(), Gone> {
        self.full.send(chunk).map_err(|_| Gone)
    }
}

impl Relay {
    /// Shows every buffer to `see` and hands it on, until the source ends or the drain has gone.
    pub fn run(self, mut see: impl FnMut(&[u8])) -> Result<(), Gone> {
        for chunk in self.from {
            see(chunk.bytes());
            self.to.send(chunk).map_err(|_| Gone)?;
        }
        Ok(())
    }
}

impl BufRead for Drain {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.as_ref().is_none_or(|chunk| self.at >= chunk.len) {
            if let Some(chunk) = self.current.take() {
                // A source that has gone needs no more buffers.
                let _ = self.empty.send(chunk);
            }
            self.at = 0;
            match self.full.recv() {
                Ok(chunk) => self.current = Some(chunk),
                Err(_) => return Ok(&[]),
            }
        }
        Ok(self.current.as_ref().and_then(|chunk| chunk.bytes().get(self.at..)).unwrap_or_default())
    }

    fn consume(&mut self, n: usize) {
        self.at = self.at.saturating_add(n);
    }
}

impl Read for Drain {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buf)?;
        self.consume(n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn fill(source: &Source, mut from: &[u8]) -> Result<(), Gone> {
        loop {
            let mut chunk = source.take()?;
            chunk.fill(&mut from).unwrap();
            if chunk.bytes().is_empty() {
                return Ok(());
            }
            source.put(chunk)?;
        }
    }

    #[test]
    fn all_bytes_come_out_in_order_and_the_one_between_sees_them() {
        let data: Vec<u8> = (0..7 * CHUNK + 11).map(|n| (n / 3) as u8).collect();
        let (source, relay, mut drain) = relay();
        let (mut out, mut seen) = (Vec::new(), Vec::new());
        thread::scope(|scope| {
            scope.spawn(move || fill(&source, &data));
            scope.spawn(|| relay.run(|bytes| seen.extend_from_slice(bytes)));
            drain.read_to_end(&mut out).unwrap();
        });
        assert_eq!(out.len(), 7 * CHUNK + 11);
        assert!(out == seen && out.iter().enumerate().all(|(n, byte)| *byte == (n / 3) as u8));
    }

    #[test]
    fn nobody_waits_for_an_end_that_has_gone() {
        let data = vec![1; 20 * CHUNK];
        let (source, drain) = pipe();
        drop(drain);
        assert_eq!(fill(&source, &data), Err(Gone));
        let (source, relay, drain) = relay();
        drop(relay);
        assert_eq!(fill(&source, &data), Err(Gone));
        drop(drain);
        let (source, relay, drain) = super::relay();
        drop(drain);
        thread::scope(|scope| {
            let filler = scope.spawn(move || fill(&source, &data));
            assert_eq!(relay.run(|_| {}), Err(Gone));
            assert_eq!(filler.join().unwrap(), Err(Gone));
        });
    }
}
