//! The JSON documents of an image that is written. Pure: values in, bytes out; the same bytes for the same values.

use serde_json::{Map, Value, json};

use crate::config::LowerSpec;
use crate::digest::Digest;
use crate::image::compression::Compression;
use crate::image::{Image, ImageLayer, Platform, Problem, Timestamp};

use super::blob::NewLayer;

/// What is added to which image.
#[derive(Debug)]
pub struct Addition<'a> {
    /// The image below; `None`: there is none.
    pub base: Option<Base<'a>>,
    /// The new layer; `None`: nothing is changed, and only the history says that there was a commit.
    pub layer: Option<NewLayer>,
    /// When.
    pub created: Timestamp,
    /// By whom, if that is to be said.
    pub author: Option<&'a str>,
    /// Why, if that is to be said.
    pub message: Option<&'a str>,
}

/// The image below.
#[derive(Debug)]
pub struct Base<'a> {
    /// The image.
    pub image: &'a Image,
    /// Its layers, base first.
    pub layers: Vec<BaseLayer<'a>>,
}

/// A layer of the base.
#[derive(Debug, Clone, Copy)]
pub struct BaseLayer<'a> {
    /// As it is stored.
    pub stored: &'a ImageLayer,
    /// As it is prepared to be mounted: its tar, verified.
    pub lower: &'a LowerSpec,
}

/// How the history says that a layer was made; the message is where `docker history` and `lamina layers` look.
fn created_by(message: Option<&str>) -> String {
    match message {
        None => "lamina commit".to_owned(),
        Some(message) => format!("lamina commit -m '{}'", message.replace('\'', "'\\''")),
    }
}

/// The annotation with an image's tag in a layout.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation with the digest of the image below.
const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What a layout begins with.
pub(super) const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// A blob as a manifest names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub digest: Digest,
    pub size: u64,
}

impl Descriptor {
    fn json(self, media_type: &str) -> Value {
        json!({ "mediaType": media_type, "digest": self.digest.to_string(), "size": self.size })
    }
}

fn layer_type(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "application/vnd.oci.image.layer.v1.tar",
        Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
    }
}

/// The config: the base's with the layer added. What is not understood of it is kept.
pub(super) fn config(addition: &Addition<'_>) -> Result<Vec<u8>, Problem> {
    let mut config = match &addition.base {
        Some(base) => object(&base.image.documents.config, "the config")?,
        None => new_config(),
    };
    let created = addition.created.to_string();
    let mut step = Map::from_iter([
        ("created".to_owned(), Value::from(created.clone())),
        ("created_by".to_owned(), created_by(addition.message).into()),
    ]);
    config.insert("created".to_owned(), created.into());
    if let Some(author) = addition.author {
        config.insert("author".to_owned(), author.into());
        step.insert("author".to_owned(), author.into());
    }
    if let Some(message) = addition.message {
        step.insert("comment".to_owned(), message.into());
    }
    if addition.layer.is_none() {
        step.insert("empty_layer".to_owned(), true.into());
    }

    let rootfs = config.entry("rootfs").or_insert_with(|| json!({ "type": "layers" }));
    let diff_ids = rootfs
        .as_object_mut()
        .and_then(|rootfs| array(rootfs, "diff_ids"))
        .ok_or_else(|| not_as_expected("the config", "rootfs"))?;
    let below = diff_ids.len();
    if let Some(layer) = &addition.layer {
        diff_ids.push(layer.diff_id.to_string().into());
    }
    let history = array(&mut config, "history").ok_or_else(|| not_as_expected("the config", "history"))?;
    // A history that leaves layers out would give ours to one of them.
    let told = history.iter().filter(|step| step.get("empty_layer") != Some(&Value::Bool(true))).count();
    for _ in told..below {
        history.push(json!({ "comment": "a layer of the base that its history left out" }));
    }
    history.push(step.into());
    bytes("the config", &config.into())
}

fn new_config() -> Map<String, Value> {
    let platform = Platform::host();
    let mut config = Map::from_iter([
        ("architecture".to_owned(), Value::from(platform.architecture)),
        ("os".to_owned(), platform.os.into()),
        ("config".to_owned(), json!({})),
    ]);
    if let Some(variant) = platform.variant {
        config.insert("variant".to_owned(), variant.into());
    }
    config
}

/// The manifest of a layout or OCI archive.
pub(super) fn manifest(
    config: Descriptor,
    layers: &[(Descriptor, Compression)],
    base: Option<Digest>,
) -> Result<Vec<u8>, Problem> {
    let layers: Vec<Value> =
        layers.iter().map(|(layer, compression)| layer.json(layer_type(*compression))).collect();
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.json(CONFIG),
        "layers": layers,
    });
    if let (Some(base), Some(manifest)) = (base, manifest.as_object_mut()) {
        manifest.insert("annotations".to_owned(), json!({ BASE_DIGEST: base.to_string() }));
    }
    bytes("the manifest", &manifest)
}

/// The index of a layout, with one more image: who had that tag has lost it, and whatever else was in it is kept.
pub(super) fn index(before: Option<&[u8]>, manifest: Descriptor, tag: &str) -> Result<Vec<u8>, Problem> {
    let mut index = match before {
        Some(before) => object(before, "index.json")?,
        None => Map::from_iter([
            ("schemaVersion".to_owned(), Value::from(2)),
            ("mediaType".to_owned(), INDEX.into()),
        ]),
    };
    let manifests =
        array(&mut index, "manifests").ok_or_else(|| not_as_expected("index.json", "manifests"))?;
    let tag_of = |entry: &Value| Some(entry.get("annotations")?.get(REF_NAME)?.as_str()?.to_owned());
    manifests.retain(|entry| tag_of(entry).as_deref() != Some(tag));
    let mut entry = manifest.json(MANIFEST);
    if let Some(entry) = entry.as_object_mut() {
        entry.insert("annotations".to_owned(), json!({ REF_NAME: tag }));
    }
    manifests.push(entry);
    bytes("index.json", &index.into())
}

/// A docker-archive's list of its one image.
pub(super) fn docker_manifest(
    config: &str,
    name: Option<&str>,
    layers: &[String],
) -> Result<Vec<u8>, Problem> {
    let names: Vec<&str> = name.into_iter().collect();
    bytes("manifest.json", &json!([{ "Config": config, "RepoTags": names, "Layers": layers }]))
}

fn object(document: &[u8], what: &str) -> Result<Map<String, Value>, Problem> {
    serde_json::from_slice(document)
        .map_err(|error| Problem::Json { what: what.to_owned(), problem: error.to_string() })
}

/// A list in an object; made where there is none, or null.
fn array<'v>(object: &'v mut Map<String, Value>, key: &str) -> Option<&'v mut Vec<Value>> {
    let value = object.entry(key).or_insert(Value::Null);
    if value.is_null() {
        *value = Value::Array(Vec::new());
    }
    value.as_array_mut()
}

fn not_as_expected(what: &str, field: &str) -> Problem {
    Problem::Json {
        what: what.to_owned(),
        problem: format!("its field '{field}' is of another type than it should be"),
    }
}

/// Keys come sorted: what is not kept in an order has none.
fn bytes(what: &str, value: &Value) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(value)
        .map_err(|error| Problem::Json { what: what.to_owned(), problem: error.to_string() })
}
