//! Images in the formats that tools write: OCI layouts, docker-archives old and new.

use serde_json::{Value, json};

use super::build::{Built, blob_name, digest};
use super::files::Files;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Who wrote a docker-archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DockerStyle {
    /// `docker save` before version 25: `ID/layer.tar`, a link where a layer is there already.
    Old,
    /// skopeo and podman: `DIFFID.tar`, and links `ID/layer.tar` to them.
    Skopeo,
    /// `docker save` from version 25: the blobs of an OCI layout, and its index.
    Blobs,
}

impl DockerStyle {
    pub const ALL: [DockerStyle; 3] = [DockerStyle::Old, DockerStyle::Skopeo, DockerStyle::Blobs];
}

/// An OCI layout with these images: a descriptor for each tag, or one without.
pub fn oci(images: &[&Built]) -> Files {
    let descriptors = images.iter().flat_map(|image| descriptors(image)).collect();
    layout(images, descriptors)
}

/// An OCI layout in which one tagged index has these images, one for each platform.
pub fn oci_nested(images: &[&Built], tag: &str) -> Files {
    let inner = index_of(images);
    let bytes = inner.to_string().into_bytes();
    let mut files = layout(
        images,
        vec![json!({
            "mediaType": INDEX,
            "digest": digest(&bytes),
            "size": bytes.len(),
            "annotations": {"org.opencontainers.image.ref.name": tag},
        })],
    );
    files.put(blob_name(&digest(&bytes)), bytes);
    files
}

/// The index of these images, a platform each, untagged.
pub fn index_of(images: &[&Built]) -> Value {
    let manifests: Vec<Value> = images.iter().map(|image| descriptor(image)).collect();
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
}

fn descriptor(image: &Built) -> Value {
    json!({
        "mediaType": MANIFEST,
        "digest": digest(&image.manifest),
        "size": image.manifest.len(),
        "platform": image.platform,
    })
}

fn descriptors(image: &Built) -> Vec<Value> {
    if image.tags.is_empty() {
        return vec![descriptor(image)];
    }
    let tagged = |tag: &String| {
        let mut descriptor = descriptor(image);
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        descriptor
    };
    image.tags.iter().map(tagged).collect()
}

fn layout(images: &[&Built], descriptors: Vec<Value>) -> Files {
    let mut files = Files::default();
    for image in images {
        for layer in &image.layers {
            files.put(layer.blob(), &layer.stored[..]);
        }
        files.put(blob_name(&digest(&image.config)), &image.config[..]);
        files.put(blob_name(&digest(&image.manifest)), &image.manifest[..]);
    }
    files.put_json("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}));
    files.put_json("index.json", &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": descriptors}));
    files
}

/// A docker-archive with these images. Layers are stored as they are in the image, though docker never compresses them.
pub fn docker(images: &[&Built], style: DockerStyle) -> Files {
    let mut files = match style {
        DockerStyle::Blobs => oci(images),
        DockerStyle::Old | DockerStyle::Skopeo => Files::default(),
    };
    let mut entries = Vec::new();
    for image in images {
        let mut names = Vec::new();
        let mut chain = String::new();
        for layer in &image.layers {
            chain = digest(format!("{chain} {}", layer.diff_id).as_bytes());
            names.push(put_layer(&mut files, style, &layer.stored, &layer.digest, hex(&chain)));
        }
        let config = digest(&image.config);
        let config_name = match style {
            DockerStyle::Blobs => blob_name(&config),
            DockerStyle::Old | DockerStyle::Skopeo => format!("{}.json", hex(&config)),
        };
        files.put(&config_name, &image.config[..]);
        let tags = if image.tags.is_empty() { Value::Null } else { json!(image.tags) };
        entries.push(json!({"Config": config_name, "RepoTags": tags, "Layers": names}));
    }
    files.put_json("manifest.json", &Value::Array(entries));
    files
}

/// Stores a layer as the style has it; its name in the manifest.
fn put_layer(files: &mut Files, style: DockerStyle, stored: &[u8], layer: &str, id: &str) -> String {
    let there = |files: &Files, name: &str| files.names().any(|there| there == name);
    let name = format!("{id}/layer.tar");
    match style {
        DockerStyle::Blobs => blob_name(layer),
        DockerStyle::Skopeo => {
            let tar = format!("{}.tar", hex(layer));
            files.put(&tar, stored);
            if !there(files, &name) {
                files.put(format!("{id}/VERSION"), "1.0");
                files.put_link(&name, format!("../{tar}"));
                files.put(format!("{id}/json"), format!("{{\"id\":\"{id}\"}}"));
            }
            tar
        }
        DockerStyle::Old => {
            let same = files
                .names()
                .find(|name| name.ends_with("/layer.tar") && files.file(name) == Some(stored))
                .map(str::to_owned);
            if !there(files, &name) {
                files.put(format!("{id}/VERSION"), "1.0");
                files.put(format!("{id}/json"), format!("{{\"id\":\"{id}\"}}"));
                match same {
                    Some(same) => files.put_link(&name, format!("../{same}")),
                    None => files.put(&name, stored),
                }
            }
            name
        }
    }
}

fn hex(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}
