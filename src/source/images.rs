//! Images among the sources: opened, verified, and their layers made ready to be served.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::LowerSpec;
use crate::image::store::{Lease, Prepare, Progress, Store};
use crate::image::{self, Image, ImageError, ImageRef, LayerSource, Select};

/// Is there an image, or is it a path at which there is none?
///
/// # Errors
/// What is at the path cannot be looked at, or is neither a directory nor an image.
pub fn is_image(reference: &ImageRef) -> Result<bool, ImageError> {
    match reference {
        // Whatever else is at the path, or is not there, is no image and no layer: the checks before a mount say so.
        ImageRef::Path(path) if !fs::metadata(path).is_ok_and(|found| found.is_dir() || found.is_file()) => {
            Ok(false)
        }
        ImageRef::Path(path) => Ok(image::detect(path)?.is_some()),
        _ => Ok(true),
    }
}

/// An image whose layers are ready.
#[derive(Debug)]
pub struct OpenImage {
    /// What it says of itself.
    pub image: Image,
    /// Its layers, **top first**.
    pub lowers: Vec<LowerSpec>,
}

/// How images are opened, and what was opened so far.
pub struct Images<'a> {
    /// Which of several images in one place.
    pub select: Select,
    /// Where the layer store is.
    pub store: PathBuf,
    /// What may be done to make layers ready.
    pub prepare: Prepare,
    /// Who is told of the work.
    pub progress: &'a dyn Progress,
    /// To be held as long as the layers are used.
    leases: Vec<Arc<Lease>>,
}

impl<'a> Images<'a> {
    /// Nothing is opened yet.
    pub fn new(select: Select, store: PathBuf, prepare: Prepare, progress: &'a dyn Progress) -> Self {
        Images { select, store, prepare, progress, leases: Vec::new() }
    }

    /// The layers of an image, top first, ready to be served; `None` for a path at which there is no image.
    ///
    /// # Errors
    /// Everything that can be wrong with an image, its layers and the store.
    pub fn layers(&mut self, reference: &ImageRef) -> Result<Option<Vec<LowerSpec>>, ImageError> {
        Ok(self.open(reference)?.map(|opened| opened.lowers))
    }

    /// An image with its layers; `None` for a path at which there is none.
    ///
    /// # Errors
    /// As [`Images::layers`].
    pub fn open(&mut self, reference: &ImageRef) -> Result<Option<OpenImage>, ImageError> {
        if !is_image(reference)? {
            return Ok(None);
        }
        let image = image::open(reference, &self.select)?;
        // What podman holds is used in place: no store is needed, and none is made.
        let directories = image.layers.iter().rev().map(|layer| match &layer.source {
            LayerSource::Directory(path) => Some(LowerSpec::Directory(path.clone())),
            LayerSource::Blob(_) => None,
        });
        if let Some(lowers) = directories.collect() {
            return Ok(Some(OpenImage { image, lowers }));
        }
        let prepared = Store::open(&self.store)?.prepare(&image, &self.prepare, self.progress)?;
        let mut lowers = Vec::with_capacity(prepared.len());
        for layer in prepared.into_iter().rev() {
            lowers.push(layer.lower);
            self.leases.extend(layer.lease);
        }
        Ok(Some(OpenImage { image, lowers }))
    }

    /// What keeps the layers in the store, to be held as long as they are used.
    pub fn into_leases(self) -> Vec<Arc<Lease>> {
        self.leases
    }
}
