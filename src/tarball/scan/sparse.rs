//! Maps of sparse files: where the data that a tar has belongs.
//!
//! Source: GNU tar's manual, "Storing Sparse Files" (old GNU format, PAX 0.0, 0.1 and 1.0).

use std::io::Read;

use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use super::number;
use super::pax::SparseRecords;
use super::problem::Problem;
use super::stream::{BLOCK, Stream};

/// How many pieces one file may have.
const MAX_PIECES: usize = 1 << 20;

/// A map as the tar has it, to be checked: offset and length of each piece.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Map {
    /// The size of the file with its holes, bytes.
    pub size: u64,
    pieces: Vec<(u64, u64)>,
}

/// A piece of data that is really there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where it is in the file.
    pub offset: u64,
    /// Where it is in the data that the tar has of the file.
    pub at: u64,
    /// Bytes, not 0.
    pub len: u64,
}

impl Map {
    fn push(&mut self, offset: u64, len: u64) -> Result<(), Problem> {
        if self.pieces.len() >= MAX_PIECES {
            return Err(Problem::TooMuch { what: "pieces of one sparse file", limit: MAX_PIECES as u64 });
        }
        self.pieces.push((offset, len));
        Ok(())
    }

    /// The pieces, in order, neighbours joined.
    ///
    /// # Errors
    /// [`Problem::Sparse`] where they overlap, go backwards, go beyond the file's size, or are not together the `stored`
    /// bytes that the tar has.
    pub fn checked(&self, stored: u64) -> Result<Vec<Piece>, Problem> {
        let mut pieces: Vec<Piece> = Vec::new();
        let (mut end, mut at) = (0u64, 0u64);
        for (offset, len) in &self.pieces {
            if *offset < end {
                return Err(Problem::Sparse("pieces overlap or are not in order"));
            }
            end = offset
                .checked_add(*len)
                .filter(|end| *end <= self.size)
                .ok_or(Problem::Sparse("a piece is beyond the end of the file"))?;
            if *len > 0 {
                match pieces.last_mut() {
                    Some(last) if last.offset + last.len == *offset => last.len += len,
                    _ => pieces.push(Piece { offset: *offset, at, len: *len }),
                }
            }
            at = at.checked_add(*len).ok_or(Problem::Sparse("the pieces are larger than any file"))?;
        }
        if at != stored {
            return Err(Problem::Sparse("the pieces are not as long as the data"));
        }
        Ok(pieces)
    }
}

/// The map of an entry of type `S`; the blocks that continue it are read from behind the header.
pub fn gnu<R: Read>(header: &Header, stream: &mut Stream<R>) -> Result<Map, Problem> {
    let gnu = header.as_gnu().ok_or(Problem::Sparse("only GNU headers have one"))?;
    let mut map = Map { size: number::count("sparse size", &gnu.realsize)?, pieces: Vec::new() };
    let mut more = take(&mut map, &gnu.sparse)? && gnu.isextended != [0];
    while more {
        let Some(block) = stream.block()? else {
            return Err(Problem::Truncated { expected: BLOCK as u64, found: 0 });
        };
        let mut extension = GnuExtSparseHeader::new();
        *extension.as_mut_bytes() = block;
        more = take(&mut map, &extension.sparse)? && extension.isextended != [0];
    }
    Ok(map)
}

/// `false` behind the last piece.
fn take(map: &mut Map, pieces: &[GnuSparseHeader]) -> Result<bool, Problem> {
    for piece in pieces {
        // As GNU tar reads it: an empty length ends the map, a length of 0 may stand for a hole at the end.
        if piece.numbytes.first() == Some(&0) {
            return Ok(false);
        }
        map.push(number::count("sparse map", &piece.offset)?, number::count("sparse map", &piece.numbytes)?)?;
    }
    Ok(true)
}

/// The map of an entry with PAX records. Of form 1.0, it is read from before the data.
///
/// `stored` is how many bytes follow the header, and becomes how many of them are data.
pub fn pax<R: Read>(
    records: &SparseRecords,
    stored: &mut u64,
    stream: &mut Stream<R>,
) -> Result<Map, Problem> {
    let size = records.size.ok_or(Problem::Sparse("the size of the file is not there"))?;
    let mut map = Map { size, pieces: Vec::new() };
    match records.version {
        (None | Some(0), None | Some(0 | 1)) => {
            let (pairs, odd) = records.map.as_chunks::<2>();
            if !odd.is_empty() {
                return Err(Problem::Sparse("an offset has no length"));
            }
            if records.blocks.is_some_and(|blocks| blocks != pairs.len() as u64) {
                return Err(Problem::Sparse("it has not as many pieces as it says"));
            }
            for [offset, len] in pairs {
                map.push(*offset, *len)?;
            }
        }
        (Some(1), None | Some(0)) => {
            let mut text = MapText { stream, line: Vec::new(), block: [0; BLOCK], at: BLOCK, left: *stored };
            let count = text.number()?;
            for _ in 0..count {
                let offset = text.number()?;
                map.push(offset, text.number()?)?;
            }
            *stored = text.left;
        }
        _ => return Err(Problem::Sparse("its version is not known")),
    }
    Ok(map)
}

/// The map of form 1.0: decimal numbers, each with a newline, in whole blocks.
struct MapText<'a, R> {
    stream: &'a mut Stream<R>,
    line: Vec<u8>,
    block: [u8; BLOCK],
    at: usize,
    /// What is left of the entry's data behind the block, bytes.
    left: u64,
}

impl<R: Read> MapText<'_, R> {
    fn number(&mut self) -> Result<u64, Problem> {
        const LONGEST: usize = 20;
        self.line.clear();
        loop {
            match self.byte()? {
                b'\n' => return number::decimal("sparse map", &self.line),
                byte if self.line.len() < LONGEST => self.line.push(byte),
                _ => return Err(Problem::Sparse("a number has too many digits")),
            }
        }
    }

    fn byte(&mut self) -> Result<u8, Problem> {
        if let Some(byte) = self.block.get(self.at) {
            self.at += 1;
            return Ok(*byte);
        }
        self.left = self
            .left
            .checked_sub(BLOCK as u64)
            .ok_or(Problem::Sparse("it does not end before the data does"))?;
        self.block = self.stream.block()?.ok_or(Problem::Truncated { expected: BLOCK as u64, found: 0 })?;
        self.at = 1;
        Ok(self.block[0])
    }
}
