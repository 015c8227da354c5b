//! Container images: what is in an archive or a layout, and what its layers are. Knows nothing of FUSE.
//!
//! Everything here is read from files that anybody may have made: sizes are bounded, digests are checked before a
//! document is parsed, and no name from an image is ever a path outside it.

mod archive;
mod assemble;
mod blob;
mod choose;
pub mod commit;
pub mod compression;
mod config;
mod docker;
pub mod documents;
pub mod error;
mod files;
mod layout;
mod media;
mod names;
mod open;
mod pipe;
mod platform;
mod reference;
mod skopeo;
mod storage;
pub mod store;
#[cfg(test)]
pub(crate) mod testing;
pub mod verify;
pub mod write;

use std::path::PathBuf;

pub use blob::{Blob, BlobReader};
pub use choose::Listing;
pub use config::{HistoryFit, ImageConfig, Step};
pub use error::{ImageError, LayerName, Problem};
pub use jiff::Timestamp;
pub use open::{Format, detect, open};
pub use platform::{Platform, PlatformError};
pub use reference::{ImageRef, ReferenceError};

use crate::digest::Digest;

/// Which of several images is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Select {
    /// Its tag or name, as much of it as tells it apart; `@N`, the N-th from 0; or a digest or its beginning.
    pub tag: Option<String>,
    /// Its platform; `None` is this machine's, or that of the only image there is.
    pub platform: Option<Platform>,
}

/// An image, opened: its documents are verified and understood, its layers are found but not read.
#[derive(Debug, Clone)]
pub struct Image {
    /// As the caller named it.
    pub name: String,
    /// The word by which it can be opened again, from any directory: with an absolute path, and with the tag.
    pub place: String,
    /// All names it has where it is.
    pub tags: Vec<String>,
    /// The digest of its manifest; docker-archives have none.
    pub manifest_digest: Option<Digest>,
    /// The digest of its config: what docker and podman call the image's id.
    pub config_digest: Digest,
    /// What its config says.
    pub config: ImageConfig,
    /// The instructions it was made by, first to last, and the layers they made. Every layer is in exactly one step.
    pub history: Vec<Step>,
    /// Whether the history accounts for the layers.
    pub history_fit: HistoryFit,
    /// Its layers, base first.
    pub layers: Vec<ImageLayer>,
    /// The documents it was read from.
    pub documents: Documents,
}

/// The JSON documents of an image as they are stored: for who adds to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documents {
    /// The config.
    pub config: Vec<u8>,
    /// The manifest; docker-archives have none.
    pub manifest: Option<Vec<u8>>,
}

/// A layer of an image. Nothing of its content was read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageLayer {
    /// The sha256 of the stored blob, where the format says it.
    pub digest: Option<Digest>,
    /// The sha256 of the uncompressed tar.
    pub diff_id: Digest,
    /// Size as stored, bytes.
    pub stored: u64,
    /// Where it is.
    pub source: LayerSource,
}

/// Where a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerSource {
    /// A tar, perhaps compressed.
    Blob(Blob),
    /// A directory in overlay format that podman holds, used in place.
    Directory(PathBuf),
}
