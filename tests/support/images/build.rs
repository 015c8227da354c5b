//! One image: its configuration, its manifest, its layers as they are stored.

use std::fmt;
use std::io::Write;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// How a layer is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    pub const ALL: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

    fn media_type(self) -> &'static str {
        match self {
            Compression::None => "application/vnd.oci.image.layer.v1.tar",
            Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    pub fn compress(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Compression::None => bytes.to_vec(),
            Compression::Gzip => {
                let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                out.write_all(bytes).expect("gzip into memory");
                out.finish().expect("gzip into memory")
            }
            Compression::Zstd => zstd::encode_all(bytes, 3).expect("zstd into memory"),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::None => "plain",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        })
    }
}

/// A sha256 as OCI spells it.
pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// This machine's architecture as OCI names it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

/// A layer: a tar, how it is stored, and the instruction that made it.
#[derive(Debug, Clone)]
pub struct Layer {
    tar: Vec<u8>,
    compression: Compression,
    stored: Option<Vec<u8>>,
    by: String,
}

impl Layer {
    pub fn new(tar: Vec<u8>) -> Self {
        Layer { tar, compression: Compression::None, stored: None, by: "COPY . /".into() }
    }

    pub fn compressed(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// What the history says of it.
    pub fn by(mut self, instruction: &str) -> Self {
        self.by = instruction.into();
        self
    }

    /// Stored as these bytes, whatever the tar is: the manifest agrees with them, the diff_id with the tar.
    pub fn stored_as(mut self, bytes: Vec<u8>) -> Self {
        self.stored = Some(bytes);
        self
    }
}

enum Step {
    Layer(Layer),
    Empty(String),
}

type Edit = Box<dyn FnOnce(&mut Value)>;

/// An image in the making.
#[derive(Default)]
pub struct ImageBuilder {
    steps: Vec<Step>,
    tags: Vec<String>,
    platform: Option<String>,
    config: Option<Edit>,
    manifest: Option<Edit>,
}

impl ImageBuilder {
    pub fn new() -> Self {
        ImageBuilder::default()
    }

    /// The next layer, on top of those before.
    pub fn layer(mut self, layer: Layer) -> Self {
        self.steps.push(Step::Layer(layer));
        self
    }

    /// An instruction without a layer.
    pub fn step(mut self, instruction: &str) -> Self {
        self.steps.push(Step::Empty(instruction.into()));
        self
    }

    /// A tag; for a docker-archive `NAME:TAG`.
    pub fn tag(mut self, tag: &str) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// `OS/ARCHITECTURE[/VARIANT]`; without it, this machine's.
    pub fn platform(mut self, platform: &str) -> Self {
        self.platform = Some(platform.into());
        self
    }

    /// Changes the configuration before it is digested.
    pub fn edit_config(mut self, edit: impl FnOnce(&mut Value) + 'static) -> Self {
        self.config = Some(Box::new(edit));
        self
    }

    /// Changes the OCI manifest before it is digested.
    pub fn edit_manifest(mut self, edit: impl FnOnce(&mut Value) + 'static) -> Self {
        self.manifest = Some(Box::new(edit));
        self
    }

    pub fn build(self) -> Built {
        let platform = self.platform.unwrap_or_else(|| format!("linux/{}", architecture()));
        let mut parts = platform.split('/');
        let os = parts.next().unwrap_or_default();
        let mut platform = json!({"os": os, "architecture": parts.next().unwrap_or_default()});
        if let Some(variant) = parts.next() {
            platform["variant"] = variant.into();
        }
        let mut layers = Vec::new();
        let mut history = Vec::new();
        for (n, step) in self.steps.into_iter().enumerate() {
            let created = format!("2024-01-02T03:04:{:02}Z", n % 60);
            match step {
                Step::Layer(layer) => {
                    history.push(json!({"created": created, "created_by": layer.by}));
                    let stored = layer.stored.unwrap_or_else(|| layer.compression.compress(&layer.tar));
                    layers.push(BuiltLayer {
                        diff_id: digest(&layer.tar),
                        digest: digest(&stored),
                        media_type: layer.compression.media_type(),
                        stored,
                        tar: layer.tar,
                    });
                }
                Step::Empty(by) => {
                    history.push(json!({"created": created, "created_by": by, "empty_layer": true}));
                }
            }
        }
        let mut config = platform.clone();
        config["created"] = "2024-01-02T03:04:05.678Z".into();
        config["author"] = "somebody".into();
        config["config"] = json!({
            "Env": ["PATH=/usr/bin:/bin", "A=b"],
            "Entrypoint": ["/bin/app"],
            "Cmd": ["--serve"],
            "WorkingDir": "/srv",
            "User": "33:44",
            "Labels": {"org.example.name": "test"},
        });
        config["rootfs"] = json!({
            "type": "layers",
            "diff_ids": layers.iter().map(|layer| layer.diff_id.as_str()).collect::<Vec<_>>(),
        });
        config["history"] = history.into();
        if let Some(edit) = self.config {
            edit(&mut config);
        }
        let config = config.to_string().into_bytes();
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest(&config),
                "size": config.len(),
            },
            "layers": layers.iter().map(|layer| json!({
                "mediaType": layer.media_type,
                "digest": layer.digest,
                "size": layer.stored.len(),
            })).collect::<Vec<_>>(),
        });
        if let Some(edit) = self.manifest {
            edit(&mut manifest);
        }
        Built { layers, config, manifest: manifest.to_string().into_bytes(), platform, tags: self.tags }
    }
}

/// A layer, stored.
#[derive(Debug, Clone)]
pub struct BuiltLayer {
    pub tar: Vec<u8>,
    pub stored: Vec<u8>,
    /// Of the stored bytes.
    pub digest: String,
    /// Of the tar.
    pub diff_id: String,
    pub media_type: &'static str,
}

impl BuiltLayer {
    /// The stored blob's name in a layout.
    pub fn blob(&self) -> String {
        blob_name(&self.digest)
    }
}

/// An image, made.
#[derive(Debug, Clone)]
pub struct Built {
    /// Base first.
    pub layers: Vec<BuiltLayer>,
    pub config: Vec<u8>,
    pub manifest: Vec<u8>,
    pub platform: Value,
    pub tags: Vec<String>,
}

/// Where a layout keeps a blob.
pub fn blob_name(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}
