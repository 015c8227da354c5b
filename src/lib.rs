//! lamina: a union file system in user space.
//!
//! A stack of read-only layers and a writable upper become one tree with the semantics of the kernel's overlayfs. The
//! union is a plain library; FUSE is one way to look at it. `docs/architecture.md` has the plan of the house.

#[cfg(feature = "image")]
pub mod changes;
#[cfg(feature = "image")]
pub mod check;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
#[cfg(feature = "fuse")]
pub mod control;
#[cfg(feature = "image")]
pub mod convert;
#[cfg(feature = "image")]
pub mod diff;
pub mod digest;
#[cfg(feature = "cli")]
pub mod doctor;
pub mod error;
#[cfg(feature = "fuse")]
pub mod fuse;
#[cfg(feature = "image")]
pub mod image;
pub mod layer;
pub mod marker;
pub mod overlay;
pub mod path;
pub mod resolve;
#[cfg(feature = "cli")]
pub mod sandbox;
#[cfg(feature = "image")]
pub mod source;
pub mod stamp;
pub mod sys;
pub mod tarball;
#[cfg(feature = "image")]
pub mod unpack;
#[cfg(feature = "image")]
pub mod waste;
