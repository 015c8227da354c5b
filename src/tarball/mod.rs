//! A tar as a layer: scanned once into an index, and served from where it lies. And the other way: a tar written.

mod layer;
#[cfg(feature = "image")]
pub mod write;

pub use layer::{TarData, TarLayer};
