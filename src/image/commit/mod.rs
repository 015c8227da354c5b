//! Changes as a layer: what an upper holds, in the form of an image's layer.
//!
//! The upper says which names it changes ([`crate::layer::Layer`] decodes its marks), and the union of it and the base says
//! what these names hold: so owners, attributes and data are what a mount shows, wherever they are kept.

mod changes;
mod error;
mod filter;
mod shown;
#[cfg(test)]
mod tests;
mod upper;

use std::path::Path;

use crate::config::{LowerSpec, StatOverride, Whiteouts};
use crate::digest::Digest;
use crate::image::compression::Compression;
use crate::image::store::{Progress, Task};
use crate::image::write::{Addition, Base, BaseLayer, NewBlob, Open, Replace, Target, Told, WrittenImage};
use crate::image::{Image, Timestamp};
use crate::path::RelPath;
use crate::tarball::write::WriteError;

pub use changes::{Changes, Written, write_layer};
pub use error::{CommitError, EntryProblem};
pub use filter::is_portable;

/// What is to be committed, and where to.
#[derive(Debug)]
pub struct Request<'a> {
    /// The upper directory.
    pub upper: &'a Path,
    /// What `.wh.` names mean in it.
    pub whiteouts: Whiteouts,
    /// Where owners and modes are recorded in it; its root may say so itself.
    pub stat_override: StatOverride,
    /// The image below, and its layers as they are prepared to be mounted, base first.
    pub base: Option<(&'a Image, &'a [LowerSpec])>,
    /// Where the image goes.
    pub target: &'a Target,
    /// May it replace an archive?
    pub replace: Replace,
    /// How the new layer is compressed. A docker-archive holds tars as they are.
    pub compression: Compression,
    /// When, by the image's account.
    pub created: Timestamp,
    /// By whom, if that is to be said.
    pub author: Option<&'a str>,
    /// Why, if that is to be said.
    pub message: Option<&'a str>,
}

/// What was committed.
#[derive(Debug)]
pub struct Committed {
    /// The image.
    pub image: WrittenImage,
    /// The new layer; `None`: nothing is changed, so there is none.
    pub layer: Option<LayerFacts>,
    /// What went into it, and what did not.
    pub written: Written,
}

/// A layer that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerFacts {
    /// The sha256 of its tar.
    pub diff_id: Digest,
    /// The sha256 of its blob.
    pub digest: Digest,
    /// Size of the blob, bytes.
    pub size: u64,
}

/// Writes an image: the base, and an upper as one more layer. One piece of work comes after the other, and nobody is told of a
/// plan.
///
/// # Errors
/// As [`CommitError`] has them; the target is as it was then.
pub fn commit(request: &Request<'_>, progress: &dyn Progress) -> Result<Committed, CommitError> {
    let target = Open::new(request.target, request.replace)?;
    let top_first: Option<Vec<LowerSpec>> =
        request.base.map(|(_, lowers)| lowers.iter().rev().cloned().collect());
    let changes = Changes {
        upper: request.upper,
        whiteouts: request.whiteouts,
        stat_override: request.stat_override,
        base: top_first.as_deref(),
    };
    let compression = match request.target {
        Target::DockerArchive { .. } => Compression::None,
        Target::OciLayout { .. } | Target::OciArchive { .. } => request.compression,
    };
    let mut blob = NewBlob::create(target.staging(), compression)?;
    let below = request.base.map_or(0, |(image, _)| image.layers.len());
    let told = Told { progress, of: below.saturating_add(1) };
    let written = write_layer(&changes, told.layer(Task::Write, told.of, None, None, &mut blob))?;
    let layer = match request.base.is_some() && written.is_empty() {
        true => None,
        false => Some(blob.finish().map_err(|error| CommitError::Entry {
            path: RelPath::root(),
            problem: WriteError::Write(error).into(),
        })?),
    };
    let facts = layer.as_ref().map(|layer| LayerFacts {
        diff_id: layer.diff_id,
        digest: layer.digest,
        size: layer.size,
    });
    let base = request.base.map(|(image, lowers)| {
        let layers = image.layers.iter().zip(lowers);
        Base { image, layers: layers.map(|(stored, lower)| BaseLayer { stored, lower }).collect() }
    });
    let image = target.write(
        Addition { base, layer, created: request.created, author: request.author, message: request.message },
        Told { of: below.saturating_add(facts.iter().len()), ..told },
    )?;
    Ok(Committed { image, layer: facts, written })
}
