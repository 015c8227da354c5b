//! Images that podman and buildah hold. Their layers are directories already, and are used in place: nothing is hashed, since
//! podman checked them when it stored them, and nothing is written.

mod place;
mod records;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use self::place::Environment;
use self::records::{ImageRecord, LayerRecord, chain, choose, data_file};
use super::assemble::{Parts, assemble};
use super::blob::Blob;
use super::choose::{Candidate, Listing, Nature};
use super::documents::{Config, Manifest};
use super::error::{ImageError, Problem};
use super::files::{bytes, digest_of, read, verify};
use super::media::Media;
use super::names::split_tag;
use super::{Image, ImageLayer, LayerSource, Select};
use crate::digest::Digest;

/// The largest list of images or layers, bytes: some thousands of images.
const LARGEST_LIST: u64 = 256 << 20;

/// Opens an image of the store at `root`, or of the caller's own.
pub fn open(root: Option<&Path>, wanted: &str, name: &str, select: &Select) -> Result<Image, ImageError> {
    let root = match root {
        Some(root) => root.to_owned(),
        None => own_store()?,
    };
    check_driver(&root)?;
    let images: Vec<ImageRecord> = list(&root.join("overlay-images/images.json"))?;
    let wanted = match &select.tag {
        Some(tag) if split_tag(wanted).1.is_none() => format!("{wanted}:{tag}"),
        _ => wanted.to_owned(),
    };
    let record = choose(&images, &wanted)?;
    let layers: Vec<LayerRecord> = list(&root.join("overlay-layers/layers.json"))?;
    let chain = chain(&layers, record.layer.as_deref())?;
    let dir = root.join("overlay-images").join(plain(&record.id)?);
    let manifest_json = data(&dir, "manifest", "the manifest")?;
    let manifest = Manifest::parse(&manifest_json)?;
    if Media::of(&manifest.config.media_type) != Media::Config {
        return Err(Problem::NotAnImage(format!(
            "it is an artifact, whose config has the media type '{}'",
            manifest.config.media_type.escape_debug()
        ))
        .into());
    }
    let config_json = data(&dir, &manifest.config.digest.to_string(), "the config")?;
    verify(&config_json, &manifest.config.digest, "the config")?;
    let config = Config::parse(&config_json)?;
    if let Some(asked) = &select.platform
        && asked.distance(&config.image.platform).is_none()
    {
        let there = Candidate {
            names: record.names.clone().unwrap_or_default(),
            platform: Some(config.image.platform),
            digest: manifest.config.digest,
            nature: Nature::Image,
        };
        let wanted = format!("is for {asked}");
        return Err(Problem::NoSuchImage { wanted, there: Listing::new([there]) }.into());
    }
    let parts = Parts {
        name,
        tags: record.names.clone().unwrap_or_default(),
        manifest: Some((digest_of(&manifest_json), manifest_json)),
        config_digest: manifest.config.digest,
        config_json,
    };
    assemble(parts, config, chain.len(), |number, diff_id| {
        let record = number.checked_sub(1).and_then(|at| chain.get(at)).ok_or(Problem::Empty)?;
        layer(&root, record, diff_id)
            .map_err(|problem| ImageError::new(problem).in_layer(number, Some(diff_id)))
    })
}

/// Where podman keeps this user's images.
fn own_store() -> Result<PathBuf, Problem> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    Environment::of_this_process().store(read).ok_or_else(|| Problem::Unsupported {
        problem: "it is not known where podman keeps its images: HOME is not set".to_owned(),
        hint: "write containers-storage:[overlay@/PATH/OF/THE/STORE]NAME".to_owned(),
    })
}

/// Only the overlay driver keeps layers as directories that can be stacked.
fn check_driver(root: &Path) -> Result<(), Problem> {
    match root.join("overlay-images").symlink_metadata() {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(&root.join("overlay-images"), &error)),
    }
    let entries = fs::read_dir(root).map_err(|error| unreadable(root, &error))?;
    let other = entries
        .filter_map(Result::ok)
        .find_map(|entry| Some(entry.file_name().to_str()?.strip_suffix("-images")?.to_owned()));
    Err(Problem::Unsupported {
        problem: match other {
            Some(driver) => format!(
                "the store '{}' is kept by the driver {}, expected overlay",
                root.display(),
                driver.escape_debug()
            ),
            None => format!("there are no images of podman's in '{}'", root.display()),
        },
        hint: "podman info shows where images are, and by which driver; podman save -o image.tar NAME writes one to a file"
            .to_owned(),
    })
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Problem::Unsupported {
            problem: format!("open '{}': Permission denied", path.display()),
            hint: "a user's images belong to ids of the user's own: run podman unshare lamina ...".to_owned(),
        },
        _ => Problem::io("open", path, error),
    }
}

fn list<T: for<'de> serde::Deserialize<'de>>(path: &Path) -> Result<Vec<T>, Problem> {
    let what = path.display().to_string();
    let blob = Blob::open(path)?;
    let len = usize::try_from(blob.len).ok().filter(|_| blob.len <= LARGEST_LIST);
    let Some(len) = len else {
        return Err(Problem::TooLarge { what, found: bytes(blob.len), limit: bytes(LARGEST_LIST) });
    };
    let mut document = vec![0; len];
    blob.read_at(&mut document, 0).map_err(|error| Problem::io("read", path, &error))?;
    records::parse(&document, &what)
}

/// A document of an image, by its key.
fn data(dir: &Path, key: &str, what: &str) -> Result<Vec<u8>, Problem> {
    read(&Blob::open(&dir.join(data_file(key)))?, what)
}

fn layer(root: &Path, record: &LayerRecord, diff_id: Digest) -> Result<ImageLayer, Problem> {
    let digest = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<Digest>().ok());
    if let Some(found) = digest(&record.diff_digest).filter(|found| *found != diff_id) {
        return Err(Problem::mismatch("diff_id in the store", diff_id, found));
    }
    let dir = root.join("overlay").join(plain(&record.id)?);
    if dir.join("composefs-data").symlink_metadata().is_ok() {
        return Err(Problem::Unsupported {
            problem: "its content is kept by composefs".to_owned(),
            hint: "save the image first: podman save -o image.tar NAME".to_owned(),
        });
    }
    let diff = dir.join("diff");
    match fs::symlink_metadata(&diff) {
        Ok(metadata) if metadata.is_dir() => Ok(ImageLayer {
            digest: digest(&record.compressed_diff_digest),
            diff_id,
            stored: record.diff_size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
            source: LayerSource::Directory(diff),
        }),
        Ok(_) => Err(Problem::Malformed(format!("'{}' is not a directory", diff.display()))),
        Err(error) => Err(unreadable(&diff, &error)),
    }
}

/// An id as the name of a directory: nothing that could lead elsewhere.
fn plain(id: &str) -> Result<&str, Problem> {
    match !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        true => Ok(id),
        false => Err(Problem::Malformed(format!("'{}' is not an id", id.escape_debug()))),
    }
}

#[cfg(test)]
mod tests;
