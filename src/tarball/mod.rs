//! A tar as a layer: scanned once into an index, and served from where it lies.

mod index;
mod layer;
#[cfg(feature = "image")]
mod scan;

pub use index::{Child, Entry, Extent, Extents, Index, LinkBelow, Summary, What};
pub use layer::{TarData, TarLayer};
#[cfg(feature = "image")]
pub use scan::{Limits, NameOf, NameProblem, Problem, ScanError, Scanned, scan};
