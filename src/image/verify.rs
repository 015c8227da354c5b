//! Verified reading: the size and sha256 of a blob, the sha256 of the tar in it, and its index, in one pass.
//!
//! Every step has a thread of its own, and whole buffers go from one to the next (`pipe.rs`):
//!
//! ```text
//! a tar:      read, hash ──> scan
//! compressed: read, hash ──> decompress ──> hash ──> write, scan
//! ```
//!
//! A blob whose digest is wrong is told as that, whatever else its content made go wrong: so it is hashed to its end
//! even where decompressing or scanning has failed.

use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};

use sha2::{Digest as _, Sha256};

use super::blob::{Blob, BlobReader};
use super::compression::{Compression, Decoder};
use super::error::{ImageError, Problem};
use super::pipe::{self, Chunk, Drain, Gone, Relay, Source};
use crate::digest::Digest;
use crate::error::describe;
use crate::stamp::FileStamp;
use crate::tarball::{self, Limits, ScanError, Scanned};

/// What an image promises of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// The size of the blob, bytes.
    pub stored: u64,
    /// The sha256 of the blob, where the format says it.
    pub digest: Option<Digest>,
    /// The sha256 of the tar.
    pub diff_id: Digest,
}

/// How much the layers of an image may unpack to, all together.
#[derive(Debug)]
pub struct Budget {
    total: u64,
    used: AtomicU64,
}

impl Budget {
    /// So many bytes.
    pub fn new(total: u64) -> Self {
        Budget { total, used: AtomicU64::new(0) }
    }

    fn spend(&self, bytes: u64) -> Result<(), Exceeded> {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        match before.saturating_add(bytes) <= self.total {
            true => Ok(()),
            false => Err(Exceeded::Image(self.total)),
        }
    }
}

/// Which limit was exceeded, and how many bytes it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exceeded {
    /// That of all layers together.
    Image(u64),
    /// That of one layer, for how small its blob is.
    Layer(u64),
}

/// What is to be made of a blob.
#[derive(Debug, Clone, Copy)]
pub enum Aim<'a> {
    /// Nothing: its tar or index is there already.
    Hash(Content),
    /// An index. The blob is the tar.
    Scan {
        /// How many entries the tar may have.
        entries: u64,
    },
    /// Its tar, in a file, and an index of that.
    Unpack {
        /// How it is compressed.
        compression: Compression,
        /// An empty file.
        into: &'a File,
        /// How many entries the tar may have.
        entries: u64,
        /// How much it may unpack to, together with other layers.
        budget: &'a Budget,
        /// How large its own tar may be, bytes.
        most: u64,
    },
}

/// What the bytes of a blob are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A compressed tar: its sha256 is the blob's digest.
    Compressed,
    /// The tar: its sha256 is the blob's digest and the diff_id.
    Tar,
}

/// Who looks on while a blob is read.
pub struct Watch<'a> {
    /// Told how many more bytes of the blob are read.
    pub advance: &'a (dyn Fn(u64) + Sync),
    /// Set when the work has become pointless.
    pub stop: &'a AtomicBool,
}

/// Why there is no [`VerifiedLayer`].
#[derive(Debug)]
pub enum Fault {
    /// [`Watch::stop`] was set.
    Stopped,
    /// The tar cannot be written.
    Write(io::Error),
    /// Anything else; neither the image nor the layer is named yet.
    Bad(ImageError),
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Fault::Bad(problem.into())
    }
}

/// A layer that is what its image promises. Only [`verify`] makes one.
#[derive(Debug)]
pub struct VerifiedLayer {
    digest: Digest,
    scanned: Option<Scanned>,
}

impl VerifiedLayer {
    /// The sha256 of the blob.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The index of the tar; `None` where the aim was [`Aim::Hash`].
    pub fn scanned(&self) -> Option<&Scanned> {
        self.scanned.as_ref()
    }
}

/// Reads a blob to its end. With [`Aim::Unpack`], `into` holds its tar afterwards.
///
/// # Errors
/// The blob or the tar is not what was promised, the file changed meanwhile, or the tar is malformed or too large.
pub fn verify(
    blob: &Blob,
    promise: &Promise,
    aim: Aim<'_>,
    watch: &Watch<'_>,
) -> Result<VerifiedLayer, Fault> {
    if blob.len != promise.stored {
        return Err(Problem::mismatch("size of the blob", bytes(promise.stored), bytes(blob.len)).into());
    }
    let reader = VerifiedReader::new(blob, promise, watch)?;
    match aim {
        Aim::Hash(content) => {
            let digest = reader.run(None)?.finish(content)?;
            Ok(VerifiedLayer { digest, scanned: None })
        }
        Aim::Scan { entries } => scan(reader, &Limits { entries, unpacked: blob.len }),
        Aim::Unpack { compression, into, entries, budget, most } => {
            unpack(reader, compression, into, entries, budget, most)
        }
    }
}

fn scan(reader: VerifiedReader<'_>, limits: &Limits) -> Result<VerifiedLayer, Fault> {
    let (source, drain) = pipe::pipe();
    thread::scope(|scope| {
        let scanner = scope.spawn(move || scan_to_end(drain, limits));
        let read = reader.run(Some(source));
        let scanned = joined(scanner);
        let digest = read?.finish(Content::Tar)?;
        let scanned = scanned.map_err(|error| Fault::Bad(error.into()))?;
        Ok(VerifiedLayer { digest, scanned: Some(scanned) })
    })
}

fn unpack(
    reader: VerifiedReader<'_>,
    compression: Compression,
    into: &File,
    entries: u64,
    budget: &Budget,
    most: u64,
) -> Result<VerifiedLayer, Fault> {
    let (blob_source, blob_drain) = pipe::pipe();
    let (tar_source, tar_relay, tar_drain) = pipe::relay();
    let diff_id = reader.promise.diff_id;
    let abandoned = &reader.abandoned.clone();
    thread::scope(|scope| {
        let decoder = scope.spawn(move || {
            let unpacked = decompress(compression, blob_drain, &tar_source, budget, most);
            if let Err(DecodeError::TooLarge(_)) = unpacked {
                abandoned.store(true, Ordering::Relaxed);
            }
            unpacked
        });
        let hasher = scope.spawn(move || hash(tar_relay));
        let writer = scope.spawn(move || {
            let mut copy = Copy { from: tar_drain, to: into, written: 0, failed: None };
            // How large the tar may be is the decoder's affair.
            let scanned = scan_to_end(&mut copy, &Limits { entries, unpacked: u64::MAX });
            if copy.failed.is_some() {
                abandoned.store(true, Ordering::Relaxed);
            }
            (scanned, copy.failed)
        });
        let stored = reader.promise.stored;
        let read = reader.run(Some(blob_source));
        let (decoded, hashed, (scanned, failed)) = (joined(decoder), joined(hasher), joined(writer));
        // What failed first is what the others failed of.
        let digest = match read {
            Err(Fault::Stopped) if failed.is_some() || matches!(decoded, Err(DecodeError::TooLarge(_))) => {
                None
            }
            read => Some(read?.finish(Content::Compressed)?),
        };
        match decoded {
            Err(DecodeError::TooLarge(limit)) => return Err(too_large(stored, limit).into()),
            Err(DecodeError::Stream(error)) => return Err(damaged(compression, &error).into()),
            Ok(()) => {}
        }
        if let Some(error) = failed {
            return Err(Fault::Write(error));
        }
        let scanned = scanned.map_err(|error| Fault::Bad(error.into()))?;
        if hashed != diff_id {
            return Err(Problem::mismatch("diff_id (sha256 of the tar)", diff_id, hashed).into());
        }
        // Without a digest something failed, and that is told above.
        let digest = digest.ok_or(Fault::Stopped)?;
        Ok(VerifiedLayer { digest, scanned: Some(scanned) })
    })
}

/// A thread's answer; its panic goes on here.
fn joined<T>(handle: ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| resume_unwind(panic))
}

fn too_large(stored: u64, limit: Exceeded) -> Problem {
    let problem = match limit {
        Exceeded::Image(total) => {
            format!("with it, the layers unpack to more than the {} that an image may take", bytes(total))
        }
        Exceeded::Layer(most) => format!(
            "it unpacks to more than {}, and is only {} as it is stored: that looks like a bomb",
            bytes(most),
            bytes(stored)
        ),
    };
    Problem::Unsupported {
        problem,
        hint: "if you trust the image, say how much it may take with --max-unpacked SIZE".to_owned(),
    }
}

fn damaged(compression: Compression, error: &io::Error) -> Problem {
    let name = compression.name();
    Problem::Malformed(match error.kind() {
        io::ErrorKind::UnexpectedEof => format!("the {name} stream is truncated"),
        _ => format!("the {name} stream is damaged: {}", describe(error)),
    })
}

/// A size in the words of errors: exact.
fn bytes(n: u64) -> String {
    format!("{n} bytes")
}

/// Reads a blob and hashes it. Only its end, [`ReadBlob::finish`], says whether it is what was promised.
struct VerifiedReader<'a> {
    blob: &'a Blob,
    promise: Promise,
    watch: &'a Watch<'a>,
    hash: Sha256,
    /// Set where hashing to the end has become pointless: the layer is refused for a reason that no digest changes.
    abandoned: Arc<AtomicBool>,
}

/// A blob that was read to its end.
struct ReadBlob<'a> {
    blob: &'a Blob,
    promise: Promise,
    digest: Digest,
}

impl<'a> VerifiedReader<'a> {
    fn new(blob: &'a Blob, promise: &Promise, watch: &'a Watch<'a>) -> Result<Self, Fault> {
        check_unchanged(blob)?;
        Ok(VerifiedReader { blob, promise: *promise, watch, hash: Sha256::new(), abandoned: Arc::default() })
    }

    /// Reads to the end, and hands every buffer on as long as somebody takes it.
    fn run(mut self, to: Option<Source>) -> Result<ReadBlob<'a>, Fault> {
        let mut to = to.ok_or(Gone);
        let mut from = self.blob.reader();
        let mut own = match &to {
            Ok(_) => None,
            Err(Gone) => Some(Chunk::new()),
        };
        loop {
            if self.watch.stop.load(Ordering::Relaxed) || self.abandoned.load(Ordering::Relaxed) {
                return Err(Fault::Stopped);
            }
            let taken = match &to {
                Ok(source) => source.take(),
                Err(Gone) => Err(Gone),
            };
            let mut chunk = match taken {
                Ok(chunk) => chunk,
                Err(Gone) => {
                    to = Err(Gone);
                    own.take().unwrap_or_else(Chunk::new)
                }
            };
            self.fill(&mut chunk, &mut from)?;
            if chunk.bytes().is_empty() {
                break;
            }
            match &to {
                Ok(source) => {
                    if source.put(chunk).is_err() {
                        to = Err(Gone);
                    }
                }
                Err(Gone) => own = Some(chunk),
            }
        }
        let digest = Digest::from_bytes(self.hash.finalize().into());
        Ok(ReadBlob { blob: self.blob, promise: self.promise, digest })
    }

    fn fill(&mut self, chunk: &mut Chunk, from: &mut BlobReader) -> Result<(), Fault> {
        if let Err(error) = chunk.fill(from) {
            // A file that became shorter changed: that says more than where it ended.
            check_unchanged(self.blob)?;
            return Err(Problem::io("read", &self.blob.path, &error).into());
        }
        self.hash.update(chunk.bytes());
        (self.watch.advance)(chunk.bytes().len() as u64);
        Ok(())
    }
}

impl ReadBlob<'_> {
    fn finish(self, content: Content) -> Result<Digest, Fault> {
        check_unchanged(self.blob)?;
        let check = |what, promised: Digest| match promised == self.digest {
            true => Ok(()),
            false => Err(Problem::mismatch(what, promised, self.digest)),
        };
        if let Some(digest) = self.promise.digest {
            check("sha256 of the blob", digest)?;
        }
        if content == Content::Tar {
            check("diff_id (sha256 of the tar)", self.promise.diff_id)?;
        }
        Ok(self.digest)
    }
}

/// The file is still what it was when the image was opened.
fn check_unchanged(blob: &Blob) -> Result<(), Problem> {
    let now = blob.file().metadata().map_err(|error| Problem::io("look at", &blob.path, &error))?;
    match FileStamp::from(&now) == blob.stamp {
        true => Ok(()),
        false => Err(Problem::Unsupported {
            problem: format!("'{}' changed while it was read", blob.path.display()),
            hint: "try again when whatever writes to it has finished".to_owned(),
        }),
    }
}

/// Why a blob cannot be decompressed.
enum DecodeError {
    TooLarge(Exceeded),
    Stream(io::Error),
}

/// Whoever takes the tar may go: they say why.
fn decompress(
    compression: Compression,
    from: Drain,
    to: &Source,
    budget: &Budget,
    most: u64,
) -> Result<(), DecodeError> {
    let mut decoder = Decoder::new(compression, from).map_err(DecodeError::Stream)?;
    let mut left = most;
    while let Ok(mut chunk) = to.take() {
        chunk.fill(&mut decoder).map_err(DecodeError::Stream)?;
        let got = chunk.bytes().len() as u64;
        budget.spend(got).map_err(DecodeError::TooLarge)?;
        left = left.checked_sub(got).ok_or(DecodeError::TooLarge(Exceeded::Layer(most)))?;
        if got == 0 || to.put(chunk).is_err() {
            break;
        }
    }
    Ok(())
}

fn hash(relay: Relay) -> Digest {
    let mut hash = Sha256::new();
    // Whoever takes the tar may go: they say why.
    let _ = relay.run(|bytes| hash.update(bytes));
    Digest::from_bytes(hash.finalize().into())
}

/// Writes what is read from it into a file, whole buffers at once.
struct Copy<'a> {
    from: Drain,
    to: &'a File,
    /// How many bytes at the beginning of the drain's buffer are written already.
    written: usize,
    failed: Option<io::Error>,
}

impl Read for Copy<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut ready = self.from.fill_buf()?;
        if self.written == 0 {
            let mut to = self.to;
            if let Err(error) = to.write_all(ready) {
                let kind = error.kind();
                self.failed = Some(error);
                return Err(kind.into());
            }
            self.written = ready.len();
        }
        let n = ready.read(buf)?;
        self.written = self.written.saturating_sub(n);
        self.from.consume(n);
        Ok(n)
    }
}

/// Scans a tar, and reads to the end of the stream: what follows the tar belongs to its sha256 too.
fn scan_to_end(mut tar: impl Read, limits: &Limits) -> Result<Scanned, ScanError> {
    let scanned = tarball::scan(&mut tar, limits)?;
    // The scanner has read all; this only holds that, and what fails here is noticed by the sums.
    let _ = io::copy(&mut tar, &mut io::sink());
    Ok(scanned)
}

impl From<ScanError> for ImageError {
    fn from(error: ScanError) -> Self {
        let problem = ImageError::new(Problem::Malformed(error.problem.to_string()));
        match &error.entry {
            Some(entry) => problem.at_entry(entry),
            None => problem,
        }
    }
}
