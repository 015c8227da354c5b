//! How a person names an image: a path, or a word with the transport that skopeo and podman use.

use std::path::PathBuf;

/// An image as the caller named it. Nothing is looked up yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageRef {
    /// A path without a transport: what it is, its content says.
    Path(PathBuf),
    /// `oci:DIR[:TAG]`.
    OciLayout {
        /// The layout's directory.
        dir: PathBuf,
        /// Which image of it.
        tag: Option<String>,
    },
    /// `oci-archive:FILE[:TAG]`.
    OciArchive {
        /// The archive.
        file: PathBuf,
        /// Which image of it.
        tag: Option<String>,
    },
    /// `docker-archive:FILE[:REF]`.
    DockerArchive {
        /// The archive.
        file: PathBuf,
        /// Which image of it; may hold colons.
        reference: Option<String>,
    },
    /// `containers-storage:NAME`: an image that podman holds.
    ContainersStorage {
        /// Its name or id.
        name: String,
    },
}
