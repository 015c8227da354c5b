//! From the documents of an image to the image.

use super::config::pair;
use super::documents::Config;
use super::error::{ImageError, Problem};
use super::{Documents, Image, ImageLayer};
use crate::digest::Digest;

/// What is known of an image beside its config and layers.
pub struct Parts<'a> {
    /// As the caller named it.
    pub name: &'a str,
    /// All its names.
    pub tags: Vec<String>,
    /// Its manifest's digest and bytes, where it has one.
    pub manifest: Option<(Digest, Vec<u8>)>,
    /// Its config's digest.
    pub config_digest: Digest,
    /// Its config's bytes.
    pub config_json: Vec<u8>,
}

/// Puts an image together. `layers` says how many layers were found, and `layer` gives the one with a number (from 1) and a
/// diff_id.
pub fn assemble(
    parts: Parts<'_>,
    config: Config,
    layers: usize,
    mut layer: impl FnMut(usize, Digest) -> Result<ImageLayer, ImageError>,
) -> Result<Image, ImageError> {
    if layers != config.diff_ids.len() {
        let count = |n: usize| if n == 1 { "1 layer".to_owned() } else { format!("{n} layers") };
        return Err(Problem::mismatch(
            "number of layers",
            format!("{}, as the config has diff_ids", count(config.diff_ids.len())),
            format!("{} in the manifest", count(layers)),
        )
        .into());
    }
    let layers = (1..).zip(&config.diff_ids).map(|(number, diff_id)| layer(number, *diff_id));
    let layers = layers.collect::<Result<Vec<_>, _>>()?;
    let (history, history_fit) = pair(config.history, layers.len());
    let (manifest_digest, manifest) = parts.manifest.unzip();
    Ok(Image {
        name: parts.name.to_owned(),
        place: parts.name.to_owned(),
        tags: parts.tags,
        manifest_digest,
        config_digest: parts.config_digest,
        config: config.image,
        history,
        history_fit,
        layers,
        documents: Documents { config: parts.config_json, manifest },
    })
}
