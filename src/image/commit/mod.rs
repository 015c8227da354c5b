//! Changes as a layer: what an upper holds, in the form of an image's layer.
//!
//! The upper says which names it changes ([`crate::layer::Layer`] decodes its marks), and the union of it and the base says
//! what these names hold: so owners, attributes and data are what a mount shows, wherever they are kept.

mod changes;
mod error;
mod filter;
#[cfg(test)]
mod tests;

pub use changes::{Changes, Written, write_layer};
pub use error::{CommitError, EntryProblem};
