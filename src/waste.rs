//! What an image carries in vain: the bytes that a later layer has overwritten or deleted.
//!
//! Two figures are made in one walk. The true one are the bytes that nobody can see any more: of each file in each layer, whether
//! the layers above still show it, and which of them hides it first. The other one is dive's, by whose score images are judged;
//! `docs/cli.md` says how it is defined, and what it counts that this one does not.
//!
//! The layers' own directories of the same path are walked in step, by their sorted names, and not merged. What is kept is what
//! lies above the name at hand, sums, the hard-linked files, and as many rows as were asked for: of a tar no list of names.

mod dive;
mod links;
mod tally;
mod walk;
mod worst;

use std::cmp::Ordering;

pub use self::dive::{Reference, Score};
pub use self::worst::Keep;
use crate::error::Result;
use crate::overlay::Overlay;

/// A layer by its number: 1 is the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerNumber(pub u16);

/// By what a file has become invisible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum How {
    /// Anything but a directory has taken its place.
    Overwritten,
    /// A whiteout of it, or of a directory above it.
    Deleted,
    /// A directory above it is opaque in a higher layer.
    Opaque,
    /// A directory is in its place; or anything but a directory in that of a directory above it.
    Replaced,
}

/// The bytes of one layer that another one hides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Between {
    /// Whose bytes.
    pub of: LayerNumber,
    /// The first layer above that hides them.
    pub by: LayerNumber,
    /// In what way.
    pub how: How,
    /// How many bytes.
    pub bytes: u64,
    /// In how many files that are not empty.
    pub files: u64,
}

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extent {
    /// One file.
    File,
    /// A directory, and all files in it that are hidden with it.
    Directory,
}

/// A path at which one layer hides bytes of those below: a file, or a directory with what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// From the root, with a slash before it.
    pub path: Box<[u8]>,
    /// What is there.
    pub extent: Extent,
    /// The layer that hides them.
    pub by: LayerNumber,
    /// In what way.
    pub how: How,
    /// The lowest layer with such bytes.
    pub lowest: LayerNumber,
    /// The highest one.
    pub highest: LayerNumber,
    /// How many bytes.
    pub bytes: u64,
    /// In how many files that are not empty.
    pub files: u64,
}

impl Ord for Row {
    /// The greater one is the worse one.
    fn cmp(&self, other: &Self) -> Ordering {
        let better = |row: &Row| (row.extent, row.by, row.how, row.lowest, row.highest, row.files);
        let by_size = self.bytes.cmp(&other.bytes);
        by_size.then_with(|| other.path.cmp(&self.path)).then_with(|| better(other).cmp(&better(self)))
    }
}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What is to be kept of the rows, which may be as many as there are names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Of [`Waste::rows`].
    pub rows: Keep,
    /// Of [`Waste::references`].
    pub references: Keep,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Waste {
    /// The bytes of each layer's files, the base first: hard links of one count once, holes count.
    pub layers: Vec<u64>,
    /// The bytes that nobody can see.
    pub hidden: u64,
    /// The same by the layers, most bytes first.
    pub between: Vec<Between>,
    /// The same by path, the worst first, as many as were wanted.
    pub rows: Vec<Row>,
    /// How many rows there were.
    pub row_count: u64,
    /// What dive says.
    pub score: Score,
    /// The paths that dive calls inefficient, the worst first, as many as were wanted.
    pub references: Vec<Reference>,
}

impl Waste {
    /// The bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.layers.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }
}

/// Measures a stack. No data is read.
///
/// # Errors
/// A layer that cannot be read, or that refers to others by more than names (a directory that an overlay has moved, a file of
/// which only the metadata was copied): names path and layer.
pub fn measure(overlay: &Overlay, wanted: Wanted) -> Result<Waste> {
    walk::walk(overlay, wanted)
}

#[cfg(test)]
mod tests;
