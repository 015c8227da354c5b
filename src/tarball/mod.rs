//! A tar as a layer: scanned once into an index, and served from where it lies. And the other way: a tar written.

mod data;
mod index;
mod layer;
mod links;
#[cfg(feature = "image")]
mod scan;
#[cfg(feature = "image")]
pub mod write;

pub use data::TarData;
pub use index::{Child, Entry, Extent, Extents, Index, LinkBelow, Summary, What};
pub use layer::TarLayer;
#[cfg(feature = "image")]
pub use scan::{Limits, NameOf, NameProblem, Problem, ScanError, Scanned, Text, scan};

#[cfg(test)]
#[cfg(feature = "image")]
mod tests;
