//! Layers written out as directories: each for itself in the form that overlays take ([`layers`]), or all of them merged
//! into one tree ([`flat`]).
//!
//! Everything is made in a directory beside the target, by one name below a directory's descriptor, and becomes visible
//! by one rename. What is written comes from the index of a tar, which has neither `..` nor symlinks on the way to an
//! entry: nothing can be written anywhere else.

mod below;
mod flat;
mod form;
mod layers;
mod links;
mod object;
mod staging;

pub use flat::{Names, flat, leaf, tree};
pub use form::{Deletions, Form, OpaqueMarks, Owners, Product};
pub use layers::layers;
pub use staging::Staging;

use std::ops::AddAssign;

/// What could not be written as the image has it. None of it is an error: the rest of the tree is as it should be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    /// Objects of other users that belong to the user who writes them: they may give them to nobody.
    pub own: u64,
    /// Symlinks whose owner is the user who unpacks: nothing can be recorded on a symlink.
    pub owners: u64,
    /// Attributes that the file system or this user cannot have.
    pub attributes: u64,
    /// Devices that this user may not make, and that are missing.
    pub devices: u64,
    /// Devices, fifos and sockets that are only recorded, on an empty file.
    pub recorded_specials: u64,
    /// Devices 0:0, which mean a deletion in a layer that is a directory, and are there as such.
    pub null_devices: u64,
}

impl AddAssign for Losses {
    fn add_assign(&mut self, other: Self) {
        self.own += other.own;
        self.owners += other.owners;
        self.attributes += other.attributes;
        self.devices += other.devices;
        self.recorded_specials += other.recorded_specials;
        self.null_devices += other.null_devices;
    }
}

/// Is told how many bytes of files have been written since it was told last; from any thread.
pub type Written<'a> = &'a (dyn Fn(u64) + Sync);

/// What of a layer was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenLayer {
    /// The layer hides everything below it: its root is opaque, which no overlay of directories can express. The layers
    /// below it do not belong into `lowerdir=`.
    pub hides_all_below: bool,
    /// What could not be written.
    pub losses: Losses,
}
