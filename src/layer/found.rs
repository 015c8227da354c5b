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
    /// By what it is reached, in a layer with an index in place of directories.
    pub entry: Option<EntryId>,
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
    /// Whose the attributes are.
    pub attributes: Attributes,
    /// By what it is reached, in a layer with an index in place of directories.
    pub entry: Option<EntryId>,
}

/// Whose attributes a directory has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attributes {
    /// Its own.
    Own,
    /// The layer has no entry for the directory itself, only for what is in it (tar): the next layer below with that directory
    /// gives the attributes, though this one hide its content. Where there is none, what `stat` says is shown.
    Below,
}

/// An object in the index of a layer: its number there. The root is number 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub u32);

impl EntryId {
    /// The layer's root.
    pub const ROOT: EntryId = EntryId(0);
}
