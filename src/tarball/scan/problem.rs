//! What is wrong with a tar, and where.

use std::fmt;
use std::io;

use crate::error::describe;

/// A tar that cannot be a layer.
#[derive(Debug)]
pub struct ScanError {
    /// The name of the entry, as the tar has it; `None` before it is known.
    pub entry: Option<Vec<u8>>,
    /// Where the entry's first header is in the tar, bytes.
    pub offset: u64,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with a tar.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Reading the tar failed; nothing is known of the tar itself.
    #[error("{}", describe(.0))]
    Read(#[source] io::Error),
    /// The tar ends within a header or within data.
    #[error("the tar is truncated: {expected} bytes should follow here, {found} are there")]
    Truncated {
        /// Bytes that should follow.
        expected: u64,
        /// Bytes that do.
        found: u64,
    },
    /// A block that should be a header has another checksum than what it says.
    #[error("this is not the header of an entry: its checksum is {found}, it says {}", Said(.expected))]
    Checksum {
        /// What the header says, if that is a number.
        expected: Option<i64>,
        /// The sum of its bytes.
        found: i64,
    },
    /// One block of zeros, where two end a tar and none is allowed otherwise.
    #[error("a single block of zeros is followed by something else; two end a tar")]
    LoneZeroBlock,
    /// Entries to be prefixed to a next entry (`x`, `L`, `K`), and no next entry.
    #[error("the tar ends after an extended header, without the entry it is for")]
    ExtensionWithoutEntry,
    /// A number that is none, or too large for what it is.
    #[error("its {field} '{}' is not a number that fits there", Text(.text))]
    Number {
        /// What the number is for.
        field: &'static str,
        /// How the tar spells it.
        text: Vec<u8>,
    },
    /// An owner or group that no file can have.
    #[error("its {field} {value} is not one that a file can have (0 to 4294967294)")]
    Owner {
        /// Which of them.
        field: &'static str,
        /// What the tar says.
        value: i64,
    },
    /// A type that is not one of a file system's objects.
    #[error("entries of type '{}' are not supported", .0.escape_ascii())]
    Type(u8),
    /// A volume of a tar in several.
    #[error("it continues a file from another volume; tars of several volumes are not supported")]
    Volume,
    /// A type that has no data, with data.
    #[error("it is a directory and has {0} bytes of data")]
    DataOfDirectory(u64),
    /// Not a name that a file system has.
    #[error("{subject} {problem}")]
    Name {
        /// Whose name it is.
        subject: NameOf,
        /// What is wrong with it.
        problem: NameProblem,
    },
    /// The root can be a directory only.
    #[error("it names the root, and is not a directory")]
    RootNotDirectory,
    /// Something that is no directory has entries.
    #[error("its parent '{}' is not a directory", Text(.parent))]
    ParentNotDirectory {
        /// What is not a directory.
        parent: Vec<u8>,
    },
    /// More symlinks than a path may have.
    #[error("{subject} goes through more than {MAX_SYMLINKS} symlinks: they may be a loop")]
    SymlinkLoop {
        /// Whose path it is.
        subject: NameOf,
    },
    /// `.wh.` and nothing, or what is not a name.
    #[error("a whiteout hides a name, and '.wh.', '.wh..' and '.wh...' name none")]
    WhiteoutOfNothing,
    /// A whiteout with entries.
    #[error("{subject} goes through '{}', and a whiteout is not a directory", Text(.whiteout))]
    BelowWhiteout {
        /// Whose path it is.
        subject: NameOf,
        /// The whiteout.
        whiteout: Vec<u8>,
    },
    /// A directory has one name.
    #[error("it is a hard link to the directory '{}'", Text(.target))]
    HardLinkToDirectory {
        /// The directory.
        target: Vec<u8>,
    },
    /// A whiteout is not an object.
    #[error("it is a hard link to the whiteout '{}'", Text(.target))]
    HardLinkToWhiteout {
        /// The whiteout.
        target: Vec<u8>,
    },
    /// PAX records that are not `LENGTH KEY=VALUE\n`.
    #[error("a record of its PAX header is malformed, at byte {at} of it")]
    PaxRecord {
        /// Where in the header.
        at: usize,
    },
    /// What only one entry can have, said of all entries.
    #[error("a PAX header for all entries has the record '{key}', which only one entry can have")]
    GlobalRecord {
        /// The record's key.
        key: &'static str,
    },
    /// An extended header larger than any name or attribute needs.
    #[error("its extended header has {size} bytes, at most {limit} are accepted")]
    ExtensionTooLarge {
        /// How large it is.
        size: u64,
        /// How large it may be.
        limit: u64,
    },
    /// An extended attribute that no file can have.
    #[error("its attribute '{}' {why}", Text(.name))]
    Xattr {
        /// Its name.
        name: Vec<u8>,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A sparse file whose map contradicts itself.
    #[error("its map of a sparse file is wrong: {0}")]
    Sparse(&'static str),
    /// More entries than are allowed.
    #[error("the tar has more than {limit} entries")]
    TooManyEntries {
        /// How many are allowed.
        limit: u64,
    },
    /// More bytes than are allowed.
    #[error("the tar is larger than {limit} bytes")]
    TooLarge {
        /// How many are allowed.
        limit: u64,
    },
    /// Names and attributes together, or pieces of sparse files, are more than an index holds.
    #[error("the tar has more {what} than are accepted ({limit})")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How many are accepted.
        limit: u64,
    },
}

/// How many symlinks a path may go through, as in the kernel.
pub const MAX_SYMLINKS: usize = 40;

/// Whose name is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameOf {
    /// The entry's.
    Entry,
    /// The target's of a hard link.
    HardLinkTarget,
    /// The target's of a symlink.
    SymlinkTarget,
}

impl fmt::Display for NameOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NameOf::Entry => "the name",
            NameOf::HardLinkTarget => "the target of the hard link",
            NameOf::SymlinkTarget => "the target of the symlink",
        })
    }
}

/// What is wrong with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameProblem {
    /// Nothing is there.
    #[error("is empty")]
    Empty,
    /// It would lead out.
    #[error("has '..'")]
    DotDot,
    /// No path holds one.
    #[error("has a NUL byte")]
    Nul,
    /// A part of it is too long.
    #[error("has a part that is longer than 255 bytes")]
    PartTooLong,
    /// All of it is too long.
    #[error("is longer than 4096 bytes")]
    TooLong,
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.entry {
            Some(name) => write!(f, "entry '{}': {}", Text(name), self.problem),
            None => write!(f, "at byte {}: {}", self.offset, self.problem),
        }
    }
}

impl std::error::Error for ScanError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Read(error) => Some(error),
            _ => None,
        }
    }
}

/// Bytes of a tar as people read them: escaped, and of a long text the beginning.
pub struct Text<'a>(pub &'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 200;
        match self.0.get(..SHOWN) {
            Some(start) if self.0.len() > SHOWN => {
                write!(f, "{}... ({} bytes)", start.escape_ascii(), self.0.len())
            }
            _ => self.0.escape_ascii().fmt(f),
        }
    }
}

struct Said<'a>(&'a Option<i64>);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(number) => number.fmt(f),
            None => f.write_str("none"),
        }
    }
}
