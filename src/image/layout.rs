//! OCI layouts, in a directory or in an archive: index, manifest, config, layers.
//!
//! Source: the OCI image-spec's image-layout.md; docker's and containerd's annotations from what they write.

use std::collections::HashMap;
use std::rc::Rc;

use super::assemble::{Parts, assemble};
use super::choose::{Candidate, Listing, Nature, by_platform, by_tag};
use super::documents::{Config, Descriptor, Index, Manifest, layout_version};
use super::error::{ImageError, Problem};
use super::files::{Files, read};
use super::media::Media;
use super::names::split_tag;
use super::platform::Platform;
use super::{Image, ImageLayer, LayerSource, Select};
use crate::digest::Digest;

/// How deep indexes nest.
const DEEPEST: usize = 8;
/// The most entries of one layout's indexes that are looked at, however often one of them leads to another.
const MOST_ENTRIES: usize = 10_000;

/// Opens one image of a layout.
pub fn open(files: &Files, name: &str, select: &Select) -> Result<Image, ImageError> {
    check_version(files)?;
    let what = "index.json";
    let Some(top) = files.find(what)? else {
        return Err(Problem::Missing { what: "the index".to_owned(), name: what.to_owned() }.into());
    };
    let entries = Index::parse(&read(&top, what)?, what)?.manifests;
    open_one_of(files, entries, name, select)
}

/// Opens one of the images that the entries of a top index lead to.
pub fn open_one_of(
    files: &Files,
    entries: Vec<Descriptor>,
    name: &str,
    select: &Select,
) -> Result<Image, ImageError> {
    let tagged: Vec<Candidate> = entries.iter().map(candidate).collect();
    let mut images = Images::new(files);
    let positions =
        by_tag(&tagged, select.tag.as_deref()).map_err(|problem| images.all(&entries, problem))?;
    for entry in positions.iter().filter_map(|position| entries.get(*position)) {
        images.add(entry, &names(entry), &mut Vec::new())?;
    }
    let candidates: Vec<Candidate> = images.found.iter().map(|(candidate, _)| candidate.clone()).collect();
    let chosen = by_platform(&candidates, select.platform.as_ref(), &Platform::host())?;
    let Some((_, descriptor)) = images.found.get(chosen) else {
        return Err(Problem::Empty.into());
    };
    // All names of it, also those that were not asked for.
    let mut tags: Vec<String> = Vec::new();
    let holds = |entry: &Descriptor| {
        entry.digest == descriptor.digest
            || images
                .known
                .get(&entry.digest)
                .is_some_and(|index| index.manifests.iter().any(|inner| inner.digest == descriptor.digest))
    };
    for name in entries.iter().filter(|entry| holds(entry)).flat_map(names) {
        if !tags.contains(&name) {
            tags.push(name);
        }
    }
    let image = open_manifest(files, descriptor, name, tags)?;
    match &select.platform {
        Some(asked) if asked.distance(&image.config.platform).is_none() && descriptor.platform.is_none() => {
            let there = Candidate {
                platform: Some(image.config.platform.clone()),
                names: image.tags.clone(),
                digest: descriptor.digest,
                nature: Nature::Image,
            };
            Err(Problem::NoSuchImage { wanted: format!("is for {asked}"), there: Listing::new([there]) }
                .into())
        }
        _ => Ok(image),
    }
}

fn check_version(files: &Files) -> Result<(), Problem> {
    let what = "oci-layout";
    let Some(blob) = files.find(what)? else {
        return Err(Problem::NotAnImage(format!("it has no file '{what}'")));
    };
    let version = layout_version(&read(&blob, what)?)?;
    match version.split('.').next() {
        Some("1") => Ok(()),
        _ => Err(Problem::Unsupported {
            problem: format!("it is an OCI layout of version '{}', expected 1.0.0", version.escape_debug()),
            hint: "convert it with skopeo copy".to_owned(),
        }),
    }
}

/// The names that an entry of the top index has. Docker writes the whole name and its tag alone: that says nothing more.
fn names(entry: &Descriptor) -> Vec<String> {
    match (&entry.image_name, &entry.ref_name) {
        (Some(whole), Some(tag)) if whole == tag || split_tag(whole).1 == Some(tag) => vec![whole.clone()],
        (whole, name) => whole.iter().chain(name).cloned().collect(),
    }
}

fn candidate(entry: &Descriptor) -> Candidate {
    Candidate {
        names: names(entry),
        platform: entry.platform.clone(),
        digest: entry.digest,
        nature: if entry.artifact { Nature::Artifact } else { Nature::Image },
    }
}

/// The images that indexes lead to.
struct Images<'a> {
    files: &'a Files,
    /// Indexes that were read: each once, however often it is named.
    known: HashMap<Digest, Rc<Index>>,
    /// Images that were looked into, once each.
    looked: HashMap<Digest, (Option<Platform>, Nature)>,
    /// How many entries were looked at.
    entries: usize,
    found: Vec<(Candidate, Descriptor)>,
}

impl<'a> Images<'a> {
    fn new(files: &'a Files) -> Self {
        Images { files, known: HashMap::new(), looked: HashMap::new(), entries: 0, found: Vec::new() }
    }

    /// Puts all images there are into an error that lists them, as far as they can be read.
    fn all(&mut self, entries: &[Descriptor], problem: Problem) -> Problem {
        (self.entries, self.found) = (0, Vec::new());
        let mut complete = true;
        for entry in entries {
            complete &= self.add(entry, &names(entry), &mut Vec::new()).is_ok();
        }
        match problem {
            Problem::NoSuchImage { wanted, .. } if complete => {
                let mut all: Vec<Candidate> = self.found.drain(..).map(|(candidate, _)| candidate).collect();
                if all.iter().any(|candidate| candidate.nature == Nature::Image) {
                    all.retain(|candidate| candidate.nature == Nature::Image);
                }
                Problem::NoSuchImage { wanted, there: Listing::new(all) }
            }
            problem => problem,
        }
    }

    /// Adds what an entry leads to. `above` are the indexes that led to it.
    fn add(&mut self, entry: &Descriptor, names: &[String], above: &mut Vec<Digest>) -> Result<(), Problem> {
        if self.entries >= MOST_ENTRIES {
            return Err(Problem::TooLarge {
                what: "the index".to_owned(),
                found: format!("more than {MOST_ENTRIES} entries"),
                limit: format!("{MOST_ENTRIES} entries"),
            });
        }
        self.entries += 1;
        match Media::of(&entry.media_type) {
            Media::Index => {}
            Media::Manifest => {
                self.add_image(entry, names);
                return Ok(());
            }
            // What is not known is passed over, as the image-spec demands; where it is chosen, that is told.
            _ => {
                self.found.push((
                    Candidate { names: names.to_vec(), nature: Nature::Artifact, ..candidate(entry) },
                    entry.clone(),
                ));
                return Ok(());
            }
        }
        if above.contains(&entry.digest) {
            return Err(Problem::Malformed(format!("the index {} nests itself", entry.digest)));
        }
        if above.len() >= DEEPEST {
            return Err(Problem::Malformed(format!("its indexes nest more than {DEEPEST} deep")));
        }
        let inner = self.index(entry)?;
        above.push(entry.digest);
        for entry in &inner.manifests {
            self.add(entry, names, above)?;
        }
        above.pop();
        Ok(())
    }

    fn index(&mut self, entry: &Descriptor) -> Result<Rc<Index>, Problem> {
        if let Some(index) = self.known.get(&entry.digest) {
            return Ok(index.clone());
        }
        let what = format!("the index sha256:{}", entry.digest.short());
        let document = self.files.document(&entry.digest, entry.size, &what)?;
        let index = Rc::new(Index::parse(&document, &what)?);
        self.known.insert(entry.digest, index.clone());
        Ok(index)
    }

    fn add_image(&mut self, entry: &Descriptor, names: &[String]) {
        let mut candidate = Candidate { names: names.to_vec(), ..candidate(entry) };
        if candidate.nature == Nature::Image && candidate.platform.is_none() {
            let files = self.files;
            let known = self.looked.entry(entry.digest).or_insert_with(|| look_into(files, entry));
            (candidate.platform, candidate.nature) = known.clone();
        }
        self.found.push((candidate, entry.clone()));
    }
}

/// What the documents say that the index does not. What is wrong with them is told when the image is chosen.
fn look_into(files: &Files, entry: &Descriptor) -> (Option<Platform>, Nature) {
    let Ok((manifest, _)) = manifest(files, entry) else {
        return (None, Nature::Image);
    };
    if Media::of(&manifest.config.media_type) != Media::Config {
        return (None, Nature::Artifact);
    }
    let config = files.document(&manifest.config.digest, manifest.config.size, "the config");
    let platform = config.and_then(|config| Config::parse(&config)).ok();
    let platform = platform.filter(|config| config.has_platform).map(|config| config.image.platform);
    (platform, Nature::Image)
}

/// A manifest, and the bytes it was read from.
fn manifest(files: &Files, descriptor: &Descriptor) -> Result<(Manifest, Vec<u8>), Problem> {
    let document = files.document(&descriptor.digest, descriptor.size, "the manifest")?;
    Ok((Manifest::parse(&document)?, document))
}

fn open_manifest(
    files: &Files,
    descriptor: &Descriptor,
    name: &str,
    tags: Vec<String>,
) -> Result<Image, ImageError> {
    match Media::of(&descriptor.media_type) {
        Media::Manifest => {}
        Media::Schema1 => {
            return Err(Problem::Unsupported {
                problem: "it is an image of docker's first format (schema 1)".to_owned(),
                hint: "convert it with skopeo copy --format oci".to_owned(),
            }
            .into());
        }
        _ => {
            return Err(Problem::MediaType {
                what: "an entry of an index".to_owned(),
                expected: "that of a manifest or an index",
                found: descriptor.media_type.clone(),
            }
            .into());
        }
    }
    let (manifest, manifest_json) = manifest(files, descriptor)?;
    if Media::of(&manifest.config.media_type) != Media::Config {
        return Err(Problem::NotAnImage(format!(
            "it is an artifact, whose config has the media type '{}'",
            manifest.config.media_type.escape_debug()
        ))
        .into());
    }
    let config_json = files.document(&manifest.config.digest, manifest.config.size, "the config")?;
    let config = Config::parse(&config_json)?;
    let parts = Parts {
        name,
        tags,
        manifest: Some((descriptor.digest, manifest_json)),
        config_digest: manifest.config.digest,
        config_json,
    };
    assemble(parts, config, manifest.layers.len(), |number, diff_id| {
        let layer = number.checked_sub(1).and_then(|at| manifest.layers.get(at)).ok_or(Problem::Empty)?;
        layer_of(files, layer, diff_id)
            .map_err(|problem| ImageError::new(problem).in_layer(number, Some(layer.digest)))
    })
}

fn layer_of(files: &Files, layer: &Descriptor, diff_id: Digest) -> Result<ImageLayer, Problem> {
    match Media::of(&layer.media_type) {
        Media::Layer => {}
        Media::EncryptedLayer => {
            return Err(Problem::Unsupported {
                problem: format!("it is encrypted ({})", layer.media_type.escape_debug()),
                hint: "decrypt the image first: skopeo copy --decryption-key".to_owned(),
            });
        }
        _ => {
            return Err(Problem::MediaType {
                what: "it".to_owned(),
                expected: "that of a tar, plain or with gzip or zstd",
                found: layer.media_type.clone(),
            });
        }
    }
    let blob = files.blob(&layer.digest, "its blob")?;
    match blob.len == layer.size {
        true => Ok(ImageLayer {
            digest: Some(layer.digest),
            diff_id,
            stored: layer.size,
            source: LayerSource::Blob(blob),
        }),
        false => Err(Problem::mismatch(
            "size of its blob",
            super::files::bytes(layer.size),
            super::files::bytes(blob.len),
        )),
    }
}

#[cfg(test)]
mod tests;
