//! A tar as a layer: scanned once into an index, and served from where it lies.

mod layer;

pub use layer::{TarData, TarLayer};
