//! What is shown of a name, and how that is asked for: values only.

use crate::overlay::{Attr, FileKind};

/// Which stack is shown, and what its changes are counted against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shown {
    /// The number of its topmost layer.
    pub layer: usize,
    /// What it is compared with.
    pub against: Against,
    /// How many times it was read anew before.
    pub round: u32,
}

/// What a stack is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Against {
    /// The stack without its topmost layer.
    Below,
    /// The base alone.
    Base,
}

impl Against {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Against::Below => Against::Base,
            Against::Base => Against::Below,
        }
    }
}

impl Shown {
    /// The topmost layer of what it is compared with; the base alone is compared with nothing.
    pub fn compared_with(self) -> Option<usize> {
        match (self.layer, self.against) {
            (0 | 1, _) => None,
            (_, Against::Base) => Some(1),
            (layer, Against::Below) => Some(layer - 1),
        }
    }
}

/// What has become of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Same,
    /// It is new.
    Added,
    /// It is another, or has other content or attributes.
    Changed,
    /// The directory is the same, and something in it may not be.
    Within,
    /// It is gone.
    Deleted,
}

impl Change {
    /// The mark that stands before the name.
    pub fn letter(self) -> char {
        match self {
            Change::Same => ' ',
            Change::Added => 'A',
            Change::Changed => 'C',
            Change::Within => 'c',
            Change::Deleted => 'D',
        }
    }
}

/// Does it hide something in a layer below?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Shadow {
    Hides,
    HidesNothing,
}

impl Shadow {
    /// The mark that stands before the name.
    pub fn letter(self) -> char {
        match self {
            Shadow::Hides => 'S',
            Shadow::HidesNothing => ' ',
        }
    }
}

/// What is known of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    /// What it is; of what is deleted, what it was. `None`: nothing was there, either.
    pub attr: Option<Attr>,
    /// Where a symlink leads.
    pub target: Option<Vec<u8>>,
    /// The layer that supplies it, or deletes it.
    pub layer: Option<usize>,
    /// What has become of it.
    pub change: Change,
    /// Whether it hides something.
    pub shadow: Shadow,
    /// There is a directory, now or before.
    pub is_dir: bool,
}

impl Detail {
    /// Is it of this kind?
    pub fn is(&self, kind: FileKind) -> bool {
        self.attr.is_some_and(|attr| attr.kind == kind)
    }
}

/// What is known of a name, or why nothing is.
pub type Known = Result<Detail, String>;
