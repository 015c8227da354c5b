//! Small images for tests: tars made byte by byte, images made of them in every format, and damage done to them.
//!
//! Needs nothing else of the tests' support, so that a unit test or an example can take it by itself
//! (`#[path = ".../tests/support/images/mod.rs"] mod images;`). The tars are not written by the `tar` crate, nor by any
//! code of lamina's, so that what reads them is checked by something independent.
//!
//! ```ignore
//! let base = TarBuilder::new()
//!     .add(Entry::dir("etc").mode(0o750).owner(1, 2))
//!     .add(Entry::file("etc/passwd", "root").mtime(1_600_000_000, 5).xattr("user.a", "b"))
//!     .finish();
//! let top = TarBuilder::new().add(Entry::file("etc/.wh.passwd", "")).finish();
//! let image = ImageBuilder::new()
//!     .layer(Layer::new(base).compressed(Compression::Gzip).by("ADD base /"))
//!     .step("ENV A=b")
//!     .layer(Layer::new(top).by("RUN rm /etc/passwd"))
//!     .tag("latest")
//!     .build();
//! oci(&[&image]).to_dir(&dir);                       // an OCI layout
//! oci(&[&image]).to_archive(&file);                  // an OCI archive
//! docker(&[&image], DockerStyle::Old).to_archive(&file);   // a docker-archive
//! ```
//!
//! - [`tar`]: [`TarBuilder`] and [`Entry`]: every type of entry, PAX and GNU forms, sparse files in all four forms,
//!   and lies: sizes, checksums, bytes of the header.
//! - [`build`]: [`ImageBuilder`]: configuration, manifest and compressed layers. `edit_config` and `edit_manifest` change the
//!   JSON **before** it is digested: the image stays consistent but for that.
//! - [`format`]: [`oci`], [`oci_nested`], [`docker`]: images as [`Files`], to be written as a directory or an archive.
//! - [`Files`] damages what is stored **after** it was digested: [`Files::truncate`], [`Files::flip`], [`Files::remove`],
//!   [`Files::edit_json`].
#![allow(dead_code)]

pub mod build;
pub mod files;
pub mod format;
pub mod tar;

pub use build::{Built, Compression, ImageBuilder, Layer, architecture, digest};
pub use files::Files;
pub use format::{DockerStyle, docker, index_of, oci, oci_nested};
pub use tar::{Entry, Sparse, TarBuilder};
