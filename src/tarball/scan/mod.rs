//! One pass over a tar: what is in it, and where.
//!
//! Blocks are walked here and not by the tar crate's iterator, which hides what an index needs: where data lies, sparse
//! files in PAX form, data that is cut short, numbers beyond their type, records with a newline. Its headers serve.

mod member;
mod number;
mod pax;
mod place;
mod problem;
mod scanned;
mod sparse;
mod stream;
mod tree;

use std::io::Read;

use member::{Extensions, Kind, Member, Type};
use pax::Pax;
use place::Data;
pub use problem::{NameOf, NameProblem, Problem, ScanError, Text};
pub use scanned::Scanned;
use stream::{BLOCK, Stream, padding};
use tar::Header;
use tree::Tree;

use super::index::format::ExtentRecord;

/// The largest extended header, and all of one entry together, bytes. An attribute has at most 64 KiB, a name 4.
const MAX_EXTENSION: u64 = 1 << 20;

/// How much one tar may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries, and directories that are there only since something is in them. Each takes about 110 bytes and its name
    /// while the tar is scanned.
    pub entries: u64,
    /// The whole tar, bytes.
    pub unpacked: u64,
}

impl Default for Limits {
    /// 10 million entries and 64 GiB.
    fn default() -> Self {
        Limits { entries: 10_000_000, unpacked: 64 << 30 }
    }
}

/// Reads a tar to its very end, and says what is in it.
///
/// The bytes behind the two blocks of zeros that end a tar are read, too, and mean nothing. A tar may end without those,
/// but not within a header or within data.
///
/// # Errors
/// The first entry that cannot be part of a layer, and why. What `tar` says when it is read is [`Problem::Read`].
pub fn scan(tar: impl Read, limits: &Limits) -> Result<Scanned, ScanError> {
    let mut scan = Scan {
        stream: Stream::new(tar, limits.unpacked),
        tree: Tree::new(place::implied_directory(), limits.entries),
        global: Pax::default(),
        extensions: Extensions::default(),
        entry: None,
        offset: 0,
    };
    match scan.run() {
        Ok(()) => {}
        Err(problem) => return Err(ScanError { entry: scan.entry, offset: scan.offset, problem }),
    }
    let len = scan.stream.at();
    Scanned::new(scan.tree, len).map_err(|problem| ScanError { entry: None, offset: len, problem })
}

struct Scan<R> {
    stream: Stream<R>,
    tree: Tree,
    global: Pax,
    extensions: Extensions,
    /// The entry that is read, for errors.
    entry: Option<Vec<u8>>,
    /// Where its first header is.
    offset: u64,
}

impl<R: Read> Scan<R> {
    fn run(&mut self) -> Result<(), Problem> {
        loop {
            if self.extensions.is_empty() {
                self.entry = None;
                self.offset = self.stream.at();
            }
            let Some(header) = self.header()? else { break };
            match Type::of(&header) {
                Ok(Type::Object(kind)) => self.object(&header, kind)?,
                Ok(Type::Pax) => {
                    let records = self.extension(&header)?;
                    self.extensions.pax.get_or_insert_default().take(&records)?;
                }
                Ok(Type::GlobalPax) => {
                    let records = self.extension(&header)?;
                    self.global.take(&records)?;
                    self.global.check_global()?;
                }
                Ok(Type::LongName) => {
                    let text = self.extension(&header)?;
                    self.extensions.long_name = Some(member::long_text(&text).to_vec());
                }
                Ok(Type::LongLink) => {
                    let text = self.extension(&header)?;
                    self.extensions.long_link = Some(member::long_text(&text).to_vec());
                }
                Ok(Type::Label) => {
                    let size = number::count("size", &header.as_old().size)?;
                    self.skip_data(size)?;
                }
                Err(problem) => {
                    self.entry = Some(Member::name_of(&header, &self.extensions));
                    return Err(problem);
                }
            }
        }
        if !self.extensions.is_empty() {
            return Err(Problem::ExtensionWithoutEntry);
        }
        self.stream.finish()
    }

    /// The next header; `None` where the tar ends.
    fn header(&mut self) -> Result<Option<Header>, Problem> {
        let Some(block) = self.stream.block()? else { return Ok(None) };
        if block == [0; BLOCK] {
            return match self.stream.block()? {
                Some(second) if second != [0; BLOCK] => Err(Problem::LoneZeroBlock),
                _ => Ok(None),
            };
        }
        let mut header = Header::new_old();
        *header.as_mut_bytes() = block;
        member::checksum(&header)?;
        Ok(Some(header))
    }

    /// The content of an extended header.
    fn extension(&mut self, header: &Header) -> Result<Vec<u8>, Problem> {
        let size = number::count("size", &header.as_old().size)?;
        let together = self.extensions.bytes.saturating_add(size);
        if together > MAX_EXTENSION {
            return Err(Problem::ExtensionTooLarge { size: together, limit: MAX_EXTENSION });
        }
        self.extensions.bytes = together;
        self.stream.bytes(size)
    }

    fn object(&mut self, header: &Header, kind: Kind) -> Result<(), Problem> {
        let mut extensions = std::mem::take(&mut self.extensions);
        self.entry = Some(Member::name_of(header, &extensions));
        let sparse = extensions.pax.as_mut().map(|pax| std::mem::take(&mut pax.sparse));
        // The name of a sparse file is among what was taken out.
        let sparse_name = sparse.as_ref().and_then(|sparse| sparse.name.clone());
        extensions.long_name = extensions.long_name.or(sparse_name);
        let member = Member::new(header, kind, extensions, &self.global)?;
        let mut stored = member.stored;
        let map = match sparse.filter(|sparse| sparse.is_sparse()) {
            Some(records) if member.kind == Kind::File => {
                Some(sparse::pax(&records, &mut stored, &mut self.stream)?)
            }
            _ if kind == Kind::GnuSparse => Some(sparse::gnu(header, &mut self.stream)?),
            _ => None,
        };
        let at = self.stream.at();
        let data = match map {
            None => Data::At(at),
            Some(map) => {
                let extents = map.checked(stored)?.into_iter().map(|piece| ExtentRecord {
                    offset: piece.offset.into(),
                    // The pieces end where the data does, and a tar that long cannot be read to its end.
                    at: at.saturating_add(piece.at).into(),
                    len: piece.len.into(),
                });
                Data::Pieces { size: map.size, extents: extents.collect() }
            }
        };
        place::put(&mut self.tree, member, data)?;
        self.skip_data(stored)
    }

    fn skip_data(&mut self, size: u64) -> Result<(), Problem> {
        self.stream.skip(size)?;
        self.stream.skip(padding(size))
    }
}
