//! Images written: the base's layers and one more, as an OCI layout, an OCI archive or a docker-archive.
//!
//! Sources: the OCI image-spec's image-layout.md, manifest.md and config.md; docker's image specification v1.2 ("Combined Image
//! JSON + Filesystem Changeset Format").

mod archive;
mod blob;
mod documents;
mod layers;
mod layout;
mod target;
mod told;
mod unfinished;

pub use blob::{NewBlob, NewLayer};
pub use documents::{Addition, Base, BaseLayer};
pub use target::{Replace, Target, TargetError};
pub use told::Told;

use super::commit::CommitError;
use crate::digest::Digest;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenImage {
    /// The digest of its manifest; docker-archives have none.
    pub manifest: Option<Digest>,
    /// The digest of its config: what docker and podman call the image's id.
    pub config: Digest,
}

/// A target that may be written to: held until the image is in it.
#[derive(Debug)]
pub enum Open {
    /// A layout, locked.
    Layout(layout::Layout),
    /// An archive in the making.
    Archive(archive::Archive),
}

impl Open {
    /// Prepares a target. What is made here is removed again unless [`Open::write`] succeeds.
    ///
    /// # Errors
    /// The target exists and is something else, or is an archive that may not be replaced; the system's.
    pub fn new(target: &Target, replace: Replace) -> Result<Self, CommitError> {
        match target {
            Target::OciLayout { dir, tag } => layout::Layout::open(dir, tag).map(Open::Layout),
            Target::OciArchive { file, .. } | Target::DockerArchive { file, .. } => {
                archive::Archive::create(file, target.clone(), replace).map(Open::Archive)
            }
        }
    }

    /// Where files can be made that go into the target by a rename or a copy.
    pub fn staging(&self) -> &std::path::Path {
        match self {
            Open::Layout(layout) => layout.blobs(),
            Open::Archive(archive) => archive.directory(),
        }
    }

    /// Writes the image. It becomes visible at the very end, by one rename.
    ///
    /// # Errors
    /// A layer of the base is not what the base promises; the system's.
    pub fn write(self, addition: Addition<'_>, told: Told<'_>) -> Result<WrittenImage, CommitError> {
        match self {
            Open::Layout(layout) => layout.write(addition, told),
            Open::Archive(archive) => archive.write(addition, told),
        }
    }
}

#[cfg(test)]
mod tests;
