//! A layer's blob in the making.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::unfinished::{Unfinished, temporary};
use crate::digest::Digest;
use crate::image::commit::CommitError;
use crate::image::compression::Compression;

/// Takes a tar and makes a layer of it: hashed, compressed, and hashed as it is stored. Dropped, nothing is left.
#[derive(Debug)]
pub struct NewBlob {
    tar: Sha256,
    compressor: Compressor,
    compression: Compression,
}

/// A layer that is complete, in a file without a lasting name.
#[derive(Debug)]
pub struct NewLayer {
    /// The sha256 of the tar.
    pub diff_id: Digest,
    /// The sha256 of the blob.
    pub digest: Digest,
    /// Size of the blob, bytes.
    pub size: u64,
    /// How it is compressed.
    pub compression: Compression,
    /// The file that holds it.
    pub file: Unfinished,
}

/// Neither compressor writes anything of the moment or the machine: the same tar gives the same blob with the same version of
/// its library.
enum Compressor {
    None(Stored),
    Gzip(flate2::write::GzEncoder<Stored>),
    Zstd(zstd::stream::write::Encoder<'static, Stored>),
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compressor")
    }
}

/// What is written is hashed and counted.
#[derive(Debug)]
struct Stored {
    hash: Sha256,
    size: u64,
    file: io::BufWriter<Unfinished>,
}

impl NewBlob {
    /// Begins a blob in a directory.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(dir: &Path, compression: Compression) -> Result<Self, CommitError> {
        let failed = |error| CommitError::File { op: "make a file in", path: dir.to_owned(), error };
        let file = io::BufWriter::with_capacity(1 << 18, temporary(dir)?);
        let stored = Stored { hash: Sha256::new(), size: 0, file };
        let compressor = match compression {
            Compression::None => Compressor::None(stored),
            Compression::Gzip => {
                Compressor::Gzip(flate2::write::GzEncoder::new(stored, flate2::Compression::default()))
            }
            // Level 3 is zstd's default; the checksum lets a damaged blob be noticed where no digest is at hand.
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(stored, 3).map_err(failed)?;
                encoder.include_checksum(true).map_err(failed)?;
                Compressor::Zstd(encoder)
            }
        };
        Ok(NewBlob { tar: Sha256::new(), compressor, compression })
    }

    /// Ends it.
    ///
    /// # Errors
    /// Those of writing.
    pub fn finish(self) -> io::Result<NewLayer> {
        let stored = match self.compressor {
            Compressor::None(stored) => stored,
            Compressor::Gzip(encoder) => encoder.finish()?,
            Compressor::Zstd(encoder) => encoder.finish()?,
        };
        let file = stored.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(NewLayer {
            diff_id: Digest::from_bytes(self.tar.finalize().into()),
            digest: Digest::from_bytes(stored.hash.finalize().into()),
            size: stored.size,
            compression: self.compression,
            file,
        })
    }
}

impl Write for NewBlob {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = match &mut self.compressor {
            Compressor::None(stored) => stored.write(buf),
            Compressor::Gzip(encoder) => encoder.write(buf),
            Compressor::Zstd(encoder) => encoder.write(buf),
        }?;
        self.tar.update(buf.get(..n).unwrap_or_default());
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.compressor {
            Compressor::None(stored) => stored.flush(),
            Compressor::Gzip(encoder) => encoder.flush(),
            Compressor::Zstd(encoder) => encoder.flush(),
        }
    }
}

impl Write for Stored {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.file.write(buf)?;
        self.hash.update(buf.get(..n).unwrap_or_default());
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl NewLayer {
    /// The blob from its beginning.
    pub fn reopen(&self) -> io::Result<File> {
        let mut file = self.file.reopen()?;
        file.rewind()?;
        Ok(file)
    }
}

/// Hashes and counts what is read through it.
#[derive(Debug)]
pub(super) struct Hashing<R> {
    from: R,
    hash: Sha256,
    size: u64,
}

impl<R: Read> Hashing<R> {
    pub(super) fn new(from: R) -> Self {
        Hashing { from, hash: Sha256::new(), size: 0 }
    }

    /// Was anything read?
    pub(super) fn was_read(&self) -> bool {
        self.size > 0
    }

    /// What was read: its sha256, and how many bytes.
    pub(super) fn finish(self) -> (Digest, u64) {
        (Digest::from_bytes(self.hash.finalize().into()), self.size)
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buf)?;
        self.hash.update(buf.get(..n).unwrap_or_default());
        self.size = self.size.saturating_add(n as u64);
        Ok(n)
    }
}

/// The sha256 of some bytes.
pub(super) fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}
