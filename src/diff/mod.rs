//! What is different in one union from another: paths that are added, changed and deleted.
//!
//! Both are walked in step, by the names that a mount of each would show. What both have from the same layers is passed over: a
//! directory that is merged from the same places of the layers that both have at their base is the same with all in it, and of
//! any other, only the names that layers of one of them alone have are looked at, where what is below is the same. A file's
//! content is read only where sizes are the same and the places of the contents are others.
//!
//! Times are no difference unless that is asked for: a directory's change with each name in it, and each build sets others.
//! Hard links are compared as the files that they are names of.

mod content;
mod facts;
mod walk;

use std::ops::ControlFlow;

pub use self::facts::{Differences, Facts};
pub use self::walk::{Comparison, Entries};
use crate::error::Error;
use crate::path::RelPath;

/// One of the two unions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Side {
    Before,
    After,
}

/// Is another time of change a difference?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Times {
    Compared,
    Ignored,
}

/// Which extended attributes are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Trusted {
    Compared,
    /// Without those of the `trusted.` namespace, of which who is not privileged sees none in a directory.
    Ignored,
}

/// Are the directories told, too, in which something is different?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Parents {
    Told,
    LeftOut,
}

/// How much is found out of what is different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// All that is told in a [`Change`].
    Whole,
    /// That there is a difference: what a deleted directory held is not counted, and content is not read where something else is
    /// different already.
    Existence,
}

/// How two unions are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the types say it
pub struct Options {
    pub times: Times,
    pub trusted: Trusted,
    pub parents: Parents,
    pub detail: Detail,
}

/// What is different at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is new. What is in a directory is told path by path.
    Added(Facts),
    /// It is gone, with all that was in it.
    Deleted {
        /// What it was.
        was: Facts,
        /// What was in it.
        held: Held,
    },
    /// It is another. What is in a directory that became something else, or the other way round, is told path by path.
    Changed {
        /// What it was.
        before: Facts,
        /// What it is.
        after: Facts,
        /// What is different; never nothing.
        what: Differences,
    },
    /// A directory that is the same, above a change.
    Parent {
        /// What it was.
        before: Facts,
        /// What it is.
        after: Facts,
    },
}

/// What a directory held, at all depths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Paths.
    pub names: u64,
    /// The sizes of regular files; one with several names counts with each.
    pub bytes: u64,
}

/// Where differences go.
pub trait Sink {
    /// Something is different. Paths come sorted, a directory before what is in it.
    fn change(&mut self, path: &RelPath, change: &Change) -> ControlFlow<()>;
    /// Something cannot be compared; the rest is.
    fn trouble(&mut self, side: Side, error: &Error) -> ControlFlow<()>;
}

#[cfg(test)]
mod tests;
