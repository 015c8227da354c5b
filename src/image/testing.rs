//! Small images for tests: their files first, then in a directory or in a tar.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::files::digest_of;

/// The files of an image, by name.
#[derive(Debug, Clone, Default)]
pub struct Tree(pub Vec<(String, Vec<u8>)>);

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

impl Tree {
    /// Sets a file.
    pub fn put(&mut self, name: impl Into<String>, content: impl AsRef<[u8]>) {
        let name = name.into();
        self.0.retain(|(other, _)| *other != name);
        self.0.push((name, content.as_ref().to_vec()));
    }

    /// Removes a file.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(other, _)| other != name);
    }

    /// Adds a blob, and gives its descriptor.
    pub fn blob(&mut self, media_type: &str, content: impl AsRef<[u8]>) -> Value {
        let content = content.as_ref();
        let digest = digest_of(content);
        self.put(format!("blobs/sha256/{}", digest.hex()), content);
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": content.len()})
    }

    /// Adds a document.
    pub fn document(&mut self, media_type: &str, document: &Value) -> Value {
        self.blob(media_type, document.to_string())
    }

    /// Adds an image whose layers have these contents (which are no tars), and gives its manifest's descriptor.
    pub fn image(&mut self, platform: &str, layers: &[&str]) -> Value {
        let diff_ids: Vec<String> =
            layers.iter().map(|layer| digest_of(layer.as_bytes()).to_string()).collect();
        let config = config(platform, &diff_ids);
        let config = self.document(CONFIG, &config);
        let layers: Vec<Value> = layers.iter().map(|layer| self.blob(LAYER, layer)).collect();
        self.document(MANIFEST, &json!({"schemaVersion": 2, "config": config, "layers": layers}))
    }

    /// Sets what makes it a layout.
    pub fn layout(&mut self, manifests: &[Value]) {
        self.put("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
        self.put("index.json", json!({"schemaVersion": 2, "manifests": manifests}).to_string());
    }

    /// A layout with one image of that tag.
    pub fn single(tag: &str, layers: &[&str]) -> Tree {
        let mut tree = Tree::default();
        let image = tree.image("linux/amd64", layers);
        tree.layout(&[tagged(image, tag)]);
        tree
    }

    /// Writes it into a directory.
    pub fn write_dir(&self, dir: &Path) {
        for (name, content) in &self.0 {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }

    /// Writes it into a tar.
    pub fn write_tar(&self, path: &Path) {
        let mut tar = tar::Builder::new(fs::File::create(path).unwrap());
        for (name, content) in &self.0 {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, content.as_slice()).unwrap();
        }
        tar.finish().unwrap();
    }
}

/// The descriptor with a tag.
pub fn tagged(mut descriptor: Value, tag: &str) -> Value {
    descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
    descriptor
}

/// The descriptor with a platform.
pub fn on(mut descriptor: Value, platform: &str) -> Value {
    let parts: Vec<&str> = platform.split('/').collect();
    descriptor["platform"] = json!({"os": parts[0], "architecture": parts[1]});
    if let Some(variant) = parts.get(2) {
        descriptor["platform"]["variant"] = json!(variant);
    }
    descriptor
}

/// A config with a platform and layers.
pub fn config(platform: &str, diff_ids: &[String]) -> Value {
    let parts: Vec<&str> = platform.split('/').collect();
    json!({
        "os": parts[0],
        "architecture": parts[1],
        "config": {"Env": ["A=b"], "Labels": null},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": diff_ids.iter().map(|_| json!({"created_by": "COPY"})).collect::<Vec<_>>(),
    })
}
