//! docker-archives: what `docker save` and `podman save` write. A tar with `manifest.json`, which names a config and the
//! layers' tars for each image.
//!
//! Source: docker's image specification v1.2 ("Combined image JSON + filesystem changeset format").

use std::collections::{HashMap, HashSet};

use super::archive::Archive;
use super::assemble::{Parts, assemble};
use super::blob::Blob;
use super::choose::{Candidate, Nature, by_platform, by_tag};
use super::documents::{Config, DockerImage};
use super::error::{ImageError, Problem};
use super::files::{digest_of, read};
use super::platform::Platform;
use super::{Image, ImageLayer, LayerSource, Select};
use crate::digest::Digest;

/// The archive's list of images.
pub const MANIFEST: &str = "manifest.json";

/// Opens one image of a docker-archive.
pub fn open(archive: &Archive, name: &str, select: &Select) -> Result<Image, ImageError> {
    let Some(list) = archive.find(MANIFEST)? else {
        return Err(no_manifest(archive).into());
    };
    let images = DockerImage::parse_all(&read(&list, MANIFEST)?)?;
    let single = images.len() == 1;
    let mut candidates = Vec::new();
    // Of each config only this is kept, and each is read once, however many images name it, by however many names.
    let mut known: HashMap<_, Result<(Digest, Option<Platform>), Problem>> = HashMap::new();
    for image in &images {
        let summary = config_member(archive, image).and_then(|blob| {
            let key = (blob.offset, digest_in_name(&image.config));
            let read = || {
                let (digest, _, config) = config(&blob, image)?;
                Ok((digest, Some(config.image.platform).filter(|_| config.has_platform)))
            };
            known.entry(key).or_insert_with(read).clone()
        });
        let (digest, platform) = match summary {
            Ok(summary) => summary,
            Err(problem) if single => return Err(problem.into()),
            // What is wrong with it is told when it is chosen.
            Err(_) => (digest_of(image.config.as_bytes()), None),
        };
        candidates.push(Candidate { names: image.tags.clone(), platform, digest, nature: Nature::Image });
    }
    let positions = by_tag(&candidates, select.tag.as_deref())?;
    let tagged: Vec<Candidate> = positions.iter().filter_map(|n| candidates.get(*n).cloned()).collect();
    let chosen = by_platform(&tagged, select.platform.as_ref(), &Platform::host())?;
    let position = positions.get(chosen).copied().ok_or(Problem::Empty)?;
    let Some(image) = images.get(position) else {
        return Err(Problem::Empty.into());
    };
    let (config_digest, config_json, config) = config(&config_member(archive, image)?, image)?;
    let same = candidates.iter().filter(|candidate| candidate.digest == config_digest);
    let mut seen = HashSet::new();
    let tags =
        same.flat_map(|candidate| &candidate.names).filter(|name| seen.insert(*name)).cloned().collect();
    let parts = Parts { name, tags, manifest: None, config_digest, config_json };
    assemble(parts, config, image.layers.len(), |number, diff_id| {
        let member = number.checked_sub(1).and_then(|at| image.layers.get(at)).ok_or(Problem::Empty)?;
        layer(archive, member, diff_id)
            .map_err(|problem| ImageError::new(problem).in_layer(number, Some(diff_id)))
    })
}

fn config_member(archive: &Archive, image: &DockerImage) -> Result<Blob, Problem> {
    member(archive, &image.config, "the config")
}

/// An image's config: its digest, its bytes, and what they say. Where the member's name is a digest, it must be the config's.
fn config(blob: &Blob, image: &DockerImage) -> Result<(Digest, Vec<u8>, Config), Problem> {
    let document = read(blob, "the config")?;
    let found = digest_of(&document);
    match digest_in_name(&image.config) {
        Some(expected) if expected != found => {
            Err(Problem::mismatch("sha256 of the config", expected, found))
        }
        _ => {
            let config = Config::parse(&document)?;
            Ok((found, document, config))
        }
    }
}

fn layer(archive: &Archive, name: &str, diff_id: Digest) -> Result<ImageLayer, Problem> {
    let blob = member(archive, name, "its tar")?;
    // Elsewhere a digest in the name may be that of the compressed tar, of the uncompressed one, or of something else.
    let digest = name.strip_prefix("blobs/sha256/").and_then(|hex| Digest::from_hex(hex).ok());
    Ok(ImageLayer { digest, diff_id, stored: blob.len, source: LayerSource::Blob(blob) })
}

fn member(archive: &Archive, name: &str, what: &str) -> Result<Blob, Problem> {
    archive
        .find(name)?
        .ok_or_else(|| Problem::Missing { what: what.to_owned(), name: name.escape_debug().to_string() })
}

/// `HEX.json`, `sha256:HEX` or `blobs/sha256/HEX`.
fn digest_in_name(name: &str) -> Option<Digest> {
    let last = name.rsplit('/').next()?;
    let last = last.strip_suffix(".json").unwrap_or(last);
    Digest::from_hex(last.strip_prefix("sha256:").unwrap_or(last)).ok()
}

fn no_manifest(archive: &Archive) -> Problem {
    match archive.has("repositories") {
        true => Problem::Unsupported {
            problem: "it is an archive of docker before 1.10".to_owned(),
            hint: "load it with an old docker, and save it with a newer one".to_owned(),
        },
        false => Problem::NotAnImage(format!("it is a tar without '{MANIFEST}'")),
    }
}

#[cfg(test)]
mod tests;
