//! What one layer says of one name.

use crate::marker::Redirect;
use crate::sys::fs::Stat;

/// What one layer says of one name. Markers are decoded already; a corrupt one is an error instead.
#[derive(Debug, Clone)]
pub enum Found {
    /// Nothing: the layers below decide.
    Absent,
    /// Deleted: the layers below are not asked.
    Whiteout,
    /// Anything but a directory.
    Leaf(FoundLeaf),
    /// A directory.
    Dir(FoundDir),
}

/// Anything but a directory.
#[derive(Debug, Clone)]
pub struct FoundLeaf {
    /// Its attributes, with a recorded owner and mode applied.
    pub stat: Stat,
    /// `Some`: only the metadata is here; the data is below, at the redirect if there is one.
    pub metacopy: Option<Option<Redirect>>,
}

/// A directory.
#[derive(Debug, Clone)]
pub struct FoundDir {
    /// Its attributes, with a recorded owner and mode applied.
    pub stat: Stat,
    /// It hides everything at its place in the layers below.
    pub opaque: bool,
    /// Empty files in it with the whiteout attribute are whiteouts.
    pub xwhiteouts: bool,
    /// Where it goes on in the layers below.
    pub redirect: Option<Redirect>,
}
