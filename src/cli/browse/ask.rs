//! What the interface asks of the source, and what it is answered. Nothing is asked twice at once, so that the newest question
//! never waits behind old ones.

use super::detail::{Known, Shown};
use super::filter::Filter;
use crate::cli::explain::Contents;
use crate::path::{NameBuf, RelPath};

/// How many bytes of a file are read at once.
pub const PIECE: usize = 256 << 10;
/// How many names a search shows.
pub const MOST_FOUND: usize = 10_000;

/// A question. Each is about what is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// The names in a directory.
    List(RelPath),
    /// What is known of some names in a directory.
    Look(RelPath, Vec<NameBuf>),
    /// What is known of the root itself.
    LookRoot,
    /// Why a path is what it is; the text is that many cells wide.
    Explain(RelPath, usize, Contents),
    /// Where a path leads that somebody has typed.
    Locate(Vec<u8>),
    /// A piece of a file, from this byte on.
    Read(RelPath, u64),
    /// The bytes of the files in a directory.
    Measure(RelPath),
    /// All names that a filter lets through.
    Search(Filter),
}

/// What works on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// What the next picture needs.
    Quick,
    /// The explanation, which may read files.
    Explain,
    /// Sizes of directories.
    Measure,
    /// The search.
    Search,
}

impl Ask {
    /// What works on it.
    pub fn lane(&self) -> Lane {
        match self {
            Ask::List(_) | Ask::Look(..) | Ask::LookRoot | Ask::Locate(_) | Ask::Read(..) => Lane::Quick,
            Ask::Explain(..) => Lane::Explain,
            Ask::Measure(_) => Lane::Measure,
            Ask::Search(_) => Lane::Search,
        }
    }
}

/// An answer, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Ask::List`]: sorted by bytes.
    Listed(RelPath, Listing),
    /// To [`Ask::Look`].
    Looked(RelPath, Vec<(NameBuf, Known)>),
    /// To [`Ask::LookRoot`].
    RootLooked(Known),
    /// To [`Ask::Explain`].
    Explained(RelPath, usize, Contents, Result<String, String>),
    /// To [`Ask::Locate`].
    Located(Result<Place, String>),
    /// To [`Ask::Read`].
    Read(RelPath, u64, Result<Piece, String>),
    /// To [`Ask::Measure`].
    Measured(RelPath, Result<Total, String>),
    /// To [`Ask::Search`]: names that come after those before.
    Found(Filter, Vec<(RelPath, Known)>),
    /// The search is over.
    Searched(Filter, Searched),
}

impl Answer {
    /// What has worked on it.
    pub fn lane(&self) -> Lane {
        match self {
            Answer::Listed(..)
            | Answer::Looked(..)
            | Answer::RootLooked(..)
            | Answer::Located(_)
            | Answer::Read(..) => Lane::Quick,
            Answer::Explained(..) => Lane::Explain,
            Answer::Measured(..) => Lane::Measure,
            Answer::Found(..) | Answer::Searched(..) => Lane::Search,
        }
    }
}

/// What is in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// These names.
    Names(Vec<NameBuf>),
    /// There is no such directory in this stack, and was none.
    NoDirectory,
    /// It cannot be told.
    Failed(String),
}

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The path without symlinks on the way.
    pub path: RelPath,
    /// Why there is nothing.
    pub absent: Option<String>,
}

/// A piece of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// How long the whole file is, bytes.
    pub size: u64,
    /// What was read: shorter than [`PIECE`] only at the end of the file.
    pub bytes: Vec<u8>,
}

/// The bytes in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    /// All are counted.
    Exactly(u64),
    /// There are too many names to count them all.
    AtLeast(u64),
}

/// How a search has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Searched {
    /// All names were looked at; so many could not be.
    Whole(usize),
    /// There is more than [`MOST_FOUND`].
    TooMany,
}

/// An answer with what was shown when it was asked for: what is not shown any more is not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What was shown.
    pub shown: Shown,
    /// The answer.
    pub answer: Answer,
}
