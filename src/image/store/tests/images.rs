//! OCI layouts in which a layer can be promised to be anything.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::digest::Digest;
use crate::image::store::{Prepare, PreparedLayer, Progress, Store, Task, Work};
use crate::image::{Image, ImageError, ImageRef, Select, open};

pub fn sha256(data: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(data).into())
}

pub fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 1).unwrap()
}

/// A tar with files, each with so many bytes that compress badly.
pub fn tar(files: &[(&str, usize)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (n, (name, size)) in files.iter().enumerate() {
        let mut seed = n as u64 + 1;
        let noise = (0..*size).map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        });
        let data: Vec<u8> = noise.collect();
        let mut header = tar::Header::new_ustar();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &data[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A layer: its blob, and what the image says of it.
#[derive(Debug, Clone)]
pub struct Layer {
    pub blob: Vec<u8>,
    pub digest: Digest,
    pub diff_id: Digest,
    pub size: u64,
}

impl Layer {
    /// Of a blob and its tar; all that is said is true.
    pub fn new(blob: Vec<u8>, tar: &[u8]) -> Layer {
        Layer { digest: sha256(&blob), diff_id: sha256(tar), size: blob.len() as u64, blob }
    }

    pub fn gzip(tar: &[u8]) -> Layer {
        Layer::new(gzip(tar), tar)
    }

    pub fn plain(tar: &[u8]) -> Layer {
        Layer::new(tar.to_vec(), tar)
    }
}

/// A directory with layouts and a store in it.
pub struct Place {
    dir: TempDir,
}

impl Place {
    pub fn new() -> Place {
        Place { dir: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn store(&self) -> Store {
        Store::open(&self.path("store")).unwrap()
    }

    /// Writes a layout with one image and opens it.
    pub fn image(&self, name: &str, layers: &[Layer]) -> Image {
        self.write(name, layers);
        self.open(name).unwrap()
    }

    pub fn open(&self, name: &str) -> Result<Image, ImageError> {
        open(&ImageRef::OciLayout { dir: self.path(name), tag: None }, &Select::default())
    }

    pub fn write(&self, name: &str, layers: &[Layer]) {
        let blobs = self.path(name).join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        let diff_ids: Vec<String> = layers.iter().map(|layer| format!("\"{}\"", layer.diff_id)).collect();
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
            diff_ids.join(",")
        );
        let described = layers.iter().map(|layer| {
            fs::write(blobs.join(layer.digest.hex()), &layer.blob).unwrap();
            let media = "application/vnd.oci.image.layer.v1.tar";
            format!(r#"{{"mediaType":"{media}","digest":"{}","size":{}}}"#, layer.digest, layer.size)
        });
        let described: Vec<String> = described.collect();
        let put = |text: &str| {
            fs::write(blobs.join(sha256(text.as_bytes()).hex()), text).unwrap();
            format!(r#""digest":"{}","size":{}"#, sha256(text.as_bytes()), text.len())
        };
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json",{}}},"layers":[{}]}}"#,
            put(&config),
            described.join(",")
        );
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json",{}}}]}}"#,
            put(&manifest)
        );
        fs::write(self.path(name).join("index.json"), index).unwrap();
        fs::write(self.path(name).join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }

    /// The file of a layer's blob.
    pub fn blob(&self, name: &str, layer: &Layer) -> PathBuf {
        self.path(name).join("blobs/sha256").join(layer.digest.hex())
    }

    /// All regular files of the store that hold anything of a layer, by their path in it.
    pub fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let store = self.path("store");
        collect(&store, &store, &mut found);
        found.retain(|path| path != "lamina-store");
        found.sort();
        found
    }
}

fn collect(dir: &Path, root: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => collect(&path, root, found),
            false => found.push(path.strip_prefix(root).unwrap().display().to_string()),
        }
    }
}

/// What was done, and how many bytes were read for it.
#[derive(Debug, Default)]
pub struct Count(Mutex<Counted>);

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counted {
    pub tasks: Vec<(usize, Task)>,
    pub bytes: BTreeMap<usize, u64>,
    pub waited: Vec<usize>,
    pub running: usize,
}

impl Count {
    pub fn get(&self) -> Counted {
        let mut counted = self.0.lock().unwrap().clone();
        counted.tasks.sort_by_key(|(layer, _)| *layer);
        counted
    }

    pub fn total(&self) -> u64 {
        self.get().bytes.values().sum()
    }
}

impl Progress for Count {
    fn plan(&self, _layers: usize, _bytes: u64) {}

    fn begin(&self, work: &Work) {
        let mut counted = self.0.lock().unwrap();
        counted.tasks.push((work.layer, work.task));
        counted.running += 1;
    }

    fn advance(&self, layer: usize, bytes: u64) {
        *self.0.lock().unwrap().bytes.entry(layer).or_default() += bytes;
    }

    fn waiting(&self, layer: usize) {
        self.0.lock().unwrap().waited.push(layer);
    }

    fn end(&self, _layer: usize) {
        self.0.lock().unwrap().running -= 1;
    }
}

/// Prepares, and says what was done for it.
pub fn prepare(store: &Store, image: &Image) -> (Result<Vec<PreparedLayer>, ImageError>, Counted) {
    let count = Count::default();
    let layers = store.prepare(image, &Prepare::default(), &count);
    assert_eq!(count.get().running, 0, "every piece of work that begins ends");
    (layers, count.get())
}
