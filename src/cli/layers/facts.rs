//! What the index of a layer tells: its size, and what it changes.

use super::rows::Facts;
use crate::changes::Changes;
use crate::cli::{Failure, image_args};
use crate::config::LowerSpec;
use crate::error::Error;
use crate::image::Image;
use crate::image::store::PreparedLayer;

/// The facts of an image's layers, base first. Of layers that are directories (podman's) nothing is counted.
pub fn of_layers(image: &Image, prepared: &[PreparedLayer]) -> Result<Vec<Facts>, Failure> {
    let tars: Vec<_> = prepared
        .iter()
        .filter_map(|layer| match &layer.lower {
            LowerSpec::Tar(spec) => Some(spec.clone()),
            LowerSpec::Directory(_) => None,
        })
        .collect();
    if tars.len() < prepared.len() {
        return Ok(prepared.iter().map(|_| Facts { unpacked: None, changes: None }).collect());
    }
    let counted = || {
        let stack = image_args::open_tars(&tars)?;
        let each = (1..=stack.len()).filter_map(|count| stack.get(..count));
        each.map(|layers| {
            let unpacked = layers.last().map(|layer| layer.index().summary().unpacked_bytes);
            Ok(Facts { unpacked, changes: Some(Changes::of_top(layers)?) })
        })
        .collect::<Result<Vec<Facts>, Error>>()
    };
    counted().map_err(|error| image_args::layer_failure(image, &error))
}
