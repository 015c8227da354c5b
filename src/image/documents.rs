//! The JSON documents of images: indexes, manifests, configs and docker's `manifest.json`, read leniently where nothing
//! depends on it and strictly where something does.
//!
//! Sources: the OCI image-spec's descriptor.md, image-index.md, manifest.md and config.md; docker's image specification v1.2.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use super::config::{ImageConfig, Step};
use super::error::Problem;
use super::media::Media;
use super::platform::Platform;
use crate::digest::Digest;

/// The largest document that is read, bytes: as large as registries take.
pub const LARGEST: u64 = 4 << 20;
/// The most layers an image may have. Docker's limit is 127, the kernel's overlay has 500.
const MOST_LAYERS: usize = 4096;
/// The most images of one docker-archive.
const MOST_IMAGES: usize = 10_000;

/// An index or docker's manifest list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// What it points to.
    pub manifests: Vec<Descriptor>,
}

/// What points to a document or layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// What it says it points to.
    pub media_type: String,
    /// The sha256 of what it points to.
    pub digest: Digest,
    /// Its size, bytes.
    pub size: u64,
    /// What it is made for; in an index.
    pub platform: Option<Platform>,
    /// The tag, from the annotation `org.opencontainers.image.ref.name`.
    pub ref_name: Option<String>,
    /// The whole name, from containerd's and docker's annotation `io.containerd.image.name`.
    pub image_name: Option<String>,
    /// It is no image, as its annotations or artifact type say.
    pub artifact: bool,
}

/// An image's manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The config.
    pub config: Descriptor,
    /// The layers, base first.
    pub layers: Vec<Descriptor>,
}

/// An image's config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What it says of the image.
    pub image: ImageConfig,
    /// Whether it names an architecture.
    pub has_platform: bool,
    /// The sha256 of each layer's tar, base first.
    pub diff_ids: Vec<Digest>,
    /// The instructions, first to last, and whether each made a layer.
    pub history: Vec<(Step, bool)>,
}

/// One image of docker's `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerImage {
    /// The config's member.
    pub config: String,
    /// Names.
    pub tags: Vec<String>,
    /// The layers' members, base first.
    pub layers: Vec<String>,
}

impl Index {
    /// Reads an index. `what` is its name in errors.
    pub fn parse(bytes: &[u8], what: &str) -> Result<Index, Problem> {
        let raw: RawIndex = json(bytes, what)?;
        if raw.config.is_some() || raw.layers.is_some() {
            return Err(Problem::Malformed(format!(
                "{what} is an index and has the fields of a manifest (config, layers)"
            )));
        }
        schema(raw.schema_version, raw.media_type.as_deref(), what, Media::Index)?;
        let named = |raw| RawDescriptor::check(raw, &format!("a manifest in {what}"));
        Ok(Index { manifests: raw.manifests.into_iter().map(named).collect::<Result<_, _>>()? })
    }
}

impl Manifest {
    /// Reads a manifest.
    pub fn parse(bytes: &[u8]) -> Result<Manifest, Problem> {
        let what = "the manifest";
        let raw: RawManifest = json(bytes, what)?;
        if raw.manifests.is_some() {
            return Err(Problem::Malformed("the manifest has the field of an index (manifests)".to_owned()));
        }
        schema(raw.schema_version, raw.media_type.as_deref(), what, Media::Manifest)?;
        if raw.layers.len() > MOST_LAYERS {
            return Err(too_many(raw.layers.len()));
        }
        let config = raw.config.check("the config")?;
        let layers = raw.layers.into_iter().zip(1..);
        let layers = layers.map(|(layer, number)| layer.check(&format!("layer {number}")));
        Ok(Manifest { config, layers: layers.collect::<Result<_, _>>()? })
    }
}

impl Config {
    /// Reads a config.
    pub fn parse(bytes: &[u8]) -> Result<Config, Problem> {
        let raw: RawConfig = json(bytes, "the config")?;
        let Some(rootfs) = raw.rootfs else {
            return Err(Problem::Json {
                what: "the config".to_owned(),
                problem: "it has no rootfs with the digests of its layers (an image of docker before 1.10?)"
                    .to_owned(),
            });
        };
        if rootfs.diff_ids.len() > MOST_LAYERS {
            return Err(too_many(rootfs.diff_ids.len()));
        }
        let digest = |(text, number): (String, usize)| {
            let what = || format!("diff_id of layer {number}");
            text.parse().map_err(|problem| Problem::Digest { what: what(), problem })
        };
        let diff_ids = rootfs.diff_ids.into_iter().zip(1..).map(digest).collect::<Result<_, _>>()?;
        let architecture = text(raw.architecture);
        let exec = raw.config.unwrap_or_default();
        let image = ImageConfig {
            platform: Platform::new(
                text(raw.os).as_deref().unwrap_or("linux"),
                architecture.as_deref().unwrap_or("unknown"),
                raw.variant.as_deref(),
            ),
            created: time(raw.created),
            author: text(raw.author),
            env: exec.env,
            entrypoint: exec.entrypoint.0,
            cmd: exec.cmd.0,
            labels: exec.labels.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect(),
            user: text(exec.user),
            working_dir: text(exec.working_dir),
            exposed_ports: exec.exposed_ports.into_keys().collect(),
            volumes: exec.volumes.into_keys().collect(),
            stop_signal: text(exec.stop_signal),
        };
        let step = |raw: RawStep| {
            let step = Step {
                created: time(raw.created),
                created_by: text(raw.created_by),
                author: text(raw.author),
                comment: text(raw.comment),
                layer: None,
            };
            (step, !raw.empty_layer)
        };
        let history = raw.history.into_iter().map(step).collect();
        Ok(Config { image, has_platform: architecture.is_some(), diff_ids, history })
    }
}

impl DockerImage {
    /// Reads docker's `manifest.json`.
    pub fn parse_all(bytes: &[u8]) -> Result<Vec<DockerImage>, Problem> {
        let raw: Vec<RawDockerImage> = json(bytes, "manifest.json")?;
        let image =
            |raw: RawDockerImage| DockerImage { config: raw.config, tags: raw.repo_tags, layers: raw.layers };
        if raw.len() > MOST_IMAGES {
            return Err(Problem::TooLarge {
                what: "manifest.json".to_owned(),
                found: format!("{} images", raw.len()),
                limit: format!("{MOST_IMAGES} images"),
            });
        }
        match raw.iter().find(|image| image.layers.len() > MOST_LAYERS) {
            Some(image) => Err(too_many(image.layers.len())),
            None => Ok(raw.into_iter().map(image).collect()),
        }
    }
}

/// The media type of a document that is a manifest or an index, as it says, or as its fields have it. `what` is its name in errors.
pub fn manifest_media(bytes: &[u8], what: &str) -> Result<String, Problem> {
    let raw: RawKind = json(bytes, what)?;
    let by_fields = match (raw.schema_version, raw.manifests) {
        (Some(1), _) => "application/vnd.docker.distribution.manifest.v1+json",
        (_, Some(_)) => "application/vnd.oci.image.index.v1+json",
        (_, None) => "application/vnd.oci.image.manifest.v1+json",
    };
    Ok(text(raw.media_type).unwrap_or_else(|| by_fields.to_owned()))
}

/// Reads the version of an OCI layout from its `oci-layout`.
pub fn layout_version(bytes: &[u8]) -> Result<String, Problem> {
    let raw: RawLayout = json(bytes, "oci-layout")?;
    Ok(raw.image_layout_version)
}

fn too_many(layers: usize) -> Problem {
    Problem::TooLarge {
        what: "the image".to_owned(),
        found: format!("{layers} layers"),
        limit: format!("{MOST_LAYERS} layers"),
    }
}

fn json<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| Problem::Json {
        what: what.to_owned(),
        problem: match error.classify() {
            serde_json::error::Category::Data => error.to_string(),
            _ => format!("it is not JSON: {error}"),
        },
    })
}

/// What a document says of itself must be what its place demands.
fn schema(version: Option<u64>, media_type: Option<&str>, what: &str, media: Media) -> Result<(), Problem> {
    if let Some(version) = version.filter(|version| *version != 2) {
        return Err(Problem::Unsupported {
            problem: format!("{what} has schema version {version}, expected 2"),
            hint: "convert it with skopeo copy".to_owned(),
        });
    }
    match media_type.filter(|text| !text.is_empty()) {
        Some(text) if Media::of(text) != media => Err(Problem::MediaType {
            what: what.to_owned(),
            expected: match media {
                Media::Index => "that of an index",
                _ => "that of an image's manifest",
            },
            found: text.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// An empty text is none.
fn text(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// A time that cannot be read is not known, and neither is Go's zero time.
fn time(text: Option<String>) -> Option<Timestamp> {
    let time: Timestamp = text?.parse().ok()?;
    Some(time).filter(|time| !time.to_string().starts_with("0001-01-01T00:00:00Z"))
}

/// `null` is what is not there.
fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawLayout {
    image_layout_version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawIndex {
    schema_version: Option<u64>,
    media_type: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    manifests: Vec<RawDescriptor>,
    config: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawKind {
    schema_version: Option<u64>,
    media_type: Option<String>,
    manifests: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawManifest {
    schema_version: Option<u64>,
    media_type: Option<String>,
    config: RawDescriptor,
    #[serde(default, deserialize_with = "nullable")]
    layers: Vec<RawDescriptor>,
    manifests: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    #[serde(default, deserialize_with = "nullable")]
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<RawPlatform>,
    #[serde(default, deserialize_with = "nullable")]
    annotations: BTreeMap<String, Option<String>>,
    artifact_type: Option<String>,
}

impl RawDescriptor {
    fn check(self, what: &str) -> Result<Descriptor, Problem> {
        /// With this docker's builder marks attestations.
        const DOCKER_REFERENCE: &str = "vnd.docker.reference.type";
        let RawDescriptor { media_type, digest, size, platform, mut annotations, artifact_type } = self;
        let digest = digest.parse().map_err(|problem| Problem::Digest { what: what.to_owned(), problem })?;
        let platform = platform.map(RawPlatform::check);
        let artifact = text(artifact_type).is_some_and(|text| Media::of(&text) != Media::Config)
            || annotations.contains_key(DOCKER_REFERENCE)
            || platform.as_ref().is_some_and(|platform| platform.as_ref().is_some_and(Platform::is_unknown));
        let mut annotation = |key: &str| text(annotations.remove(key).flatten());
        Ok(Descriptor {
            media_type,
            digest,
            size,
            platform: platform.flatten(),
            ref_name: annotation("org.opencontainers.image.ref.name"),
            image_name: annotation("io.containerd.image.name"),
            artifact,
        })
    }
}

#[derive(Deserialize)]
struct RawPlatform {
    #[serde(default, deserialize_with = "nullable")]
    architecture: String,
    #[serde(default, deserialize_with = "nullable")]
    os: String,
    variant: Option<String>,
}

impl RawPlatform {
    fn check(self) -> Option<Platform> {
        match self.os.is_empty() || self.architecture.is_empty() {
            true => None,
            false => Some(Platform::new(&self.os, &self.architecture, self.variant.as_deref())),
        }
    }
}

#[derive(Deserialize)]
struct RawConfig {
    created: Option<String>,
    author: Option<String>,
    architecture: Option<String>,
    os: Option<String>,
    variant: Option<String>,
    config: Option<RawExec>,
    rootfs: Option<RawRootfs>,
    #[serde(default, deserialize_with = "nullable")]
    history: Vec<RawStep>,
}

#[derive(Deserialize)]
struct RawRootfs {
    #[serde(default, deserialize_with = "nullable")]
    diff_ids: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct RawExec {
    user: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    exposed_ports: BTreeMap<String, IgnoredAny>,
    #[serde(default, deserialize_with = "nullable")]
    env: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    entrypoint: Words,
    #[serde(default, deserialize_with = "nullable")]
    cmd: Words,
    #[serde(default, deserialize_with = "nullable")]
    volumes: BTreeMap<String, IgnoredAny>,
    working_dir: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    labels: BTreeMap<String, Option<String>>,
    stop_signal: Option<String>,
}

/// A command: old docker configs have one string in place of a list.
#[derive(Default)]
struct Words(Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum OneOrMany {
            Many(Vec<String>),
            One(String),
        }
        OneOrMany::deserialize(from).map(|words| match words {
            OneOrMany::Many(words) => Words(words),
            OneOrMany::One(word) => Words(vec![word]),
        })
    }
}

#[derive(Deserialize)]
struct RawStep {
    created: Option<String>,
    created_by: Option<String>,
    author: Option<String>,
    comment: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    empty_layer: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawDockerImage {
    config: String,
    #[serde(default, deserialize_with = "nullable")]
    repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    layers: Vec<String>,
}

#[cfg(test)]
mod tests;
