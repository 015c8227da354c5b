//! Efficiency as dive defines it (github.com/wagoodman/dive, dive/filetree/efficiency.go and dive/image/analysis.go, version 0.13),
//! in words of our own: `docs/cli.md` has the definition.

use std::cmp::Ordering;

use super::worst::{Keep, Worst};
use super::{LayerNumber, Waste};

/// What one layer has at a path, as dive sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    pub layer: LayerNumber,
    pub what: What,
}

/// What a layer has at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A whiteout. `below` are the bytes of all that is in a directory there, in dive's pile of the layers below.
    Whiteout { below: u64 },
    /// Anything but a directory.
    File { bytes: u64 },
    /// A directory with names in it: only they are counted.
    Directory(Named),
    /// A directory without a name in it, which dive takes for a file of no bytes.
    Empty(Named),
}

/// Does the layer's tar have an entry for a directory?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    Entry,
    /// Only for what is in it. dive does not know then that it is a directory.
    Implied,
}

/// What is counted of one path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// How often.
    pub count: u32,
    /// All bytes together.
    pub bytes: u64,
    /// The smallest of them; without any, 0.
    pub least: u64,
}

impl Counted {
    fn add(&mut self, bytes: u64) {
        self.least = if self.count == 0 { bytes } else { self.least.min(bytes) };
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Counts a path. `events` are of the base first; `removed` are the layers, in that order, too, that delete a directory above.
pub fn count(events: &[Event], removed: impl Iterator<Item = LayerNumber>) -> Counted {
    /// What is at the path in dive's pile so far.
    enum There {
        Nothing,
        Directory,
        Other,
    }
    let mut counted = Counted::default();
    let mut there = There::Nothing;
    let mut removed = removed.peekable();
    for Event { layer, what } in events {
        while removed.next_if(|above| above < layer).is_some() {
            there = There::Nothing;
        }
        match what {
            // dive ends its walk of the layer here, with an error in its log. A mark that deletes nothing wastes nothing.
            What::Whiteout { .. } if matches!(there, There::Nothing) => {}
            What::Whiteout { below } => {
                counted.add(if matches!(there, There::Directory) { *below } else { 0 });
                there = There::Nothing;
            }
            What::File { bytes } => {
                counted.add(*bytes);
                there = There::Other;
            }
            What::Directory(named) | What::Empty(named) => {
                if matches!(what, What::Empty(_)) {
                    counted.add(0);
                }
                there = match named {
                    Named::Entry => There::Directory,
                    Named::Implied => There::Other,
                };
            }
        }
    }
    counted
}

/// A path that is in two layers or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// From the root, with a slash before it.
    pub path: Box<[u8]>,
    /// All bytes together, those that are seen among them.
    pub bytes: u64,
    /// In how many layers it is.
    pub count: u32,
}

impl Ord for Reference {
    /// The greater one is the worse one.
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes.cmp(&other.bytes).then_with(|| other.path.cmp(&self.path))
    }
}

impl PartialOrd for Reference {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What dive says of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// What there had to be, divided by what there is: 0 to 1.
    pub efficiency: f64,
    /// All bytes at paths that are in two layers or more.
    pub wasted: u64,
    /// How many such paths there are.
    pub paths: u64,
}

impl Score {
    /// The wasted bytes, divided by all but the base's. As in dive: not a number where both are 0, infinite where the base is all
    /// there is.
    pub fn of_user_bytes(&self, waste: &Waste) -> f64 {
        let user = waste.layers.iter().skip(1).fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
        self.wasted as f64 / user as f64
    }
}

/// Adds up paths.
#[derive(Debug)]
pub struct Sums {
    found: u64,
    least: u64,
    wasted: u64,
    references: Worst<Reference>,
}

impl Sums {
    pub fn new(keep: Keep) -> Self {
        Sums { found: 0, least: 0, wasted: 0, references: Worst::new(keep) }
    }

    /// Adds a path.
    pub fn add(&mut self, path: &[u8], counted: Counted) {
        let Counted { count, bytes, least } = counted;
        self.found = self.found.saturating_add(bytes);
        self.least = self.least.saturating_add(least);
        if count >= 2 {
            self.wasted = self.wasted.saturating_add(bytes);
            let make = || Reference { path: path.into(), bytes, count };
            self.references.offer(|least| bytes >= least.bytes, make);
        }
    }

    /// The score, and the paths, the worst first.
    pub fn finish(self) -> (Score, Vec<Reference>) {
        let efficiency = match self.found {
            0 => 1.0,
            found => self.least as f64 / found as f64,
        };
        let score = Score { efficiency, wasted: self.wasted, paths: self.references.count() };
        (score, self.references.into_sorted())
    }
}
