#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Mutex;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::documents::Descriptor;
use super::*;
use crate::config::{LowerSpec, StatOverride, TarSpec, Whiteouts};
use crate::image::commit::{Committed, Request, commit};
use crate::image::compression::{Compression, Decoder};
use crate::image::config::{HistoryFit, ImageConfig};
use crate::image::store::{Progress, Task, Work};
use crate::image::{Blob, Documents, Image, ImageLayer, LayerSource, Platform, Timestamp};

const CREATED: Timestamp = Timestamp::UNIX_EPOCH;

fn layer(content: &[u8], compression: Compression) -> NewLayer {
    let mut blob = NewBlob::create(&std::env::temp_dir(), compression).unwrap();
    blob.write_all(content).unwrap();
    blob.finish().unwrap()
}

fn image(config: Value, layers: Vec<ImageLayer>) -> Image {
    let platform = Platform::host();
    Image {
        name: "base".to_owned(),
        place: "base".to_owned(),
        tags: Vec::new(),
        manifest_digest: Some(blob::digest_of(b"manifest")),
        config_digest: blob::digest_of(b"config"),
        config: ImageConfig {
            platform,
            created: None,
            author: None,
            env: Vec::new(),
            entrypoint: Vec::new(),
            cmd: Vec::new(),
            labels: BTreeMap::new(),
            user: None,
            working_dir: None,
            exposed_ports: Vec::new(),
            volumes: Vec::new(),
            stop_signal: None,
        },
        history: Vec::new(),
        history_fit: HistoryFit::Exact,
        layers,
        documents: Documents { config: serde_json::to_vec(&config).unwrap(), manifest: None },
    }
}

fn addition<'a>(base: Option<&'a Image>, layer: Option<NewLayer>) -> Addition<'a> {
    let base = base.map(|image| Base { image, layers: Vec::new() });
    Addition { base, layer, created: CREATED, author: Some("me"), message: Some("why") }
}

#[test]
fn a_blob_is_what_its_digests_say_and_always_the_same() {
    let content = b"some content, some content".repeat(1000);
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let (one, two) = (layer(&content, compression), layer(&content, compression));
        assert_eq!((one.diff_id, one.digest), (two.diff_id, two.digest));
        assert_eq!(one.diff_id, blob::digest_of(&content));
        let mut stored = Vec::new();
        one.reopen().unwrap().read_to_end(&mut stored).unwrap();
        assert_eq!((blob::digest_of(&stored), stored.len() as u64), (one.digest, one.size));
        assert_eq!(Compression::of(&stored).unwrap(), compression);
        let mut unpacked = Vec::new();
        Decoder::new(compression, stored.as_slice()).unwrap().read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, content);
    }
}

#[test]
fn a_config_keeps_what_it_had_and_gets_a_layer() {
    let base = image(
        json!({
            "architecture": "arm64", "os": "linux", "created": "2001-01-01T00:00:00Z", "odd": {"kept": [1, 2.5]},
            "config": {"Env": ["A=1"], "Odd": true},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:a", "sha256:b"]},
            "history": [{"created_by": "one"}, {"created_by": "two", "empty_layer": true}],
        }),
        Vec::new(),
    );
    let new = layer(b"", Compression::None);
    let diff_id = new.diff_id.to_string();
    let config = documents::config(&addition(Some(&base), Some(new))).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&config).unwrap(),
        json!({
            "architecture": "arm64", "os": "linux", "created": "1970-01-01T00:00:00Z", "odd": {"kept": [1, 2.5]},
            "config": {"Env": ["A=1"], "Odd": true},
            "author": "me",
            "rootfs": {"type": "layers", "diff_ids": ["sha256:a", "sha256:b", diff_id]},
            "history": [
                {"created_by": "one"},
                {"created_by": "two", "empty_layer": true},
                {"comment": "a layer of the base that its history left out"},
                {"created": "1970-01-01T00:00:00Z", "created_by": "lamina commit -m 'why'", "author": "me", "comment": "why"},
            ],
        })
    );
    // Nothing changed: an instruction without a layer.
    let config: Value =
        serde_json::from_slice(&documents::config(&addition(Some(&base), None)).unwrap()).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 2);
    assert_eq!(config["history"][3]["empty_layer"], json!(true));
}

#[test]
fn an_image_without_a_base_says_what_it_must() {
    let new = layer(b"", Compression::None);
    let config = documents::config(&addition(None, Some(new))).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!((&config["os"], &config["rootfs"]["type"]), (&json!("linux"), &json!("layers")));
    assert_eq!(config["history"].as_array().unwrap().len(), 1);
}

#[test]
fn a_config_of_other_types_is_an_error_and_no_panic() {
    for config in [
        json!([]),
        json!({"rootfs": []}),
        json!({"rootfs": {"diff_ids": 3}}),
        json!({"rootfs": {"diff_ids": []}, "history": "x"}),
    ] {
        let base = image(config.clone(), Vec::new());
        assert!(documents::config(&addition(Some(&base), None)).is_err(), "{config}");
    }
    // What is null is not there.
    let base = image(json!({"rootfs": {"diff_ids": null}, "history": null}), Vec::new());
    assert!(documents::config(&addition(Some(&base), None)).is_ok());
}

#[test]
fn a_tag_moves_and_the_rest_of_an_index_stays() {
    let before = json!({
        "schemaVersion": 2, "annotations": {"odd": "kept"},
        "manifests": [
            {"digest": "sha256:1", "annotations": {"org.opencontainers.image.ref.name": "v1"}},
            {"digest": "sha256:2", "annotations": {"org.opencontainers.image.ref.name": "v2"}},
            {"digest": "sha256:3"},
        ],
    });
    let manifest = Descriptor { digest: blob::digest_of(b"x"), size: 1 };
    let index = documents::index(Some(&serde_json::to_vec(&before).unwrap()), manifest, "v1").unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    assert_eq!(index["annotations"], before["annotations"]);
    let digests: Vec<_> =
        index["manifests"].as_array().unwrap().iter().map(|m| m["digest"].clone()).collect();
    assert_eq!(digests, [json!("sha256:2"), json!("sha256:3"), json!(manifest.digest.to_string())]);
    assert!(documents::index(Some(b"[]"), manifest, "v1").is_err());
    assert!(documents::index(Some(br#"{"manifests":{}}"#), manifest, "v1").is_err());
}

/// Notes what is told.
#[derive(Default)]
struct Noted {
    /// Work, and how many bytes were done.
    works: Mutex<Vec<(Work, u64)>>,
}

impl Progress for Noted {
    fn plan(&self, _: usize, _: u64) {}

    fn begin(&self, work: &Work) {
        self.works.lock().unwrap().push((*work, 0));
    }

    fn advance(&self, layer: usize, bytes: u64) {
        let mut works = self.works.lock().unwrap();
        works.iter_mut().rfind(|(work, _)| work.layer == layer).unwrap().1 += bytes;
    }

    fn waiting(&self, _: usize) {}

    fn end(&self, _: usize) {}
}

/// A directory with an upper and a base of two layers: one that is plain, and one that is compressed.
struct Files {
    temp: TempDir,
    base: Image,
    lowers: Vec<LowerSpec>,
    told: Noted,
}

impl Files {
    fn new() -> Files {
        let temp = TempDir::new().unwrap();
        fs::create_dir(temp.path().join("upper")).unwrap();
        fs::write(temp.path().join("upper/f"), "content").unwrap();
        Files {
            temp,
            base: image(
                json!({"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": []}}),
                Vec::new(),
            ),
            lowers: Vec::new(),
            told: Noted::default(),
        }
    }

    fn add_layer(&mut self, compression: Compression, digest: Option<Digest>) -> Digest {
        let mut tar = vec![0; 1024];
        tar[..4].copy_from_slice(&(self.lowers.len() as u32).to_le_bytes());
        let new = layer(&tar, compression);
        let path = self.temp.path().join(format!("layer{}", self.lowers.len()));
        std::io::copy(&mut new.reopen().unwrap(), &mut fs::File::create(&path).unwrap()).unwrap();
        fs::write(path.with_extension("tar"), &tar).unwrap();
        let blob = Blob::open(&path).unwrap();
        let whole = Blob::open(&path.with_extension("tar")).unwrap();
        self.base.layers.push(ImageLayer {
            digest: digest.or(Some(new.digest)),
            diff_id: new.diff_id,
            stored: blob.len,
            source: LayerSource::Blob(blob),
        });
        self.lowers.push(LowerSpec::Tar(TarSpec {
            file: whole.path.clone(),
            stamp: whole.stamp,
            offset: 0,
            len: whole.len,
            index: "unused".into(),
            diff_id: new.diff_id,
            image: "base".to_owned(),
        }));
        new.digest
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.temp.path().join(path)
    }

    fn oci(&self, tag: &str) -> Target {
        Target::OciLayout { dir: self.path("oci"), tag: tag.to_owned() }
    }

    fn commit(&self, target: &Target, replace: Replace) -> Result<Committed, CommitError> {
        commit(
            &Request {
                upper: &self.path("upper"),
                whiteouts: Whiteouts::Auto,
                stat_override: StatOverride::Off,
                base: None,
                target,
                replace,
                compression: Compression::Gzip,
                created: CREATED,
                author: None,
                message: None,
            },
            &self.told,
        )
    }

    /// Writes the base with a layer more, without a union of it.
    fn write(&self, target: &Target) -> Result<WrittenImage, CommitError> {
        let open = Open::new(target, Replace::Allow)?;
        let mut blob = NewBlob::create(open.staging(), Compression::None)?;
        blob.write_all(&[7; 512]).unwrap();
        let layers = self.base.layers.iter().zip(&self.lowers);
        let layers = layers.map(|(stored, lower)| BaseLayer { stored, lower }).collect();
        open.write(
            Addition {
                base: Some(Base { image: &self.base, layers }),
                layer: Some(blob.finish().unwrap()),
                created: CREATED,
                author: None,
                message: None,
            },
            Told { progress: &self.told, of: self.lowers.len() + 1 },
        )
    }
}

/// All files below a directory, with their contents.
fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                all.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    all
}

fn members(archive: &Path) -> BTreeMap<String, Vec<u8>> {
    let file = fs::read(archive).unwrap();
    let mut archive = tar::Archive::new(file.as_slice());
    let mut all = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().to_vec()).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        if !name.ends_with('/') {
            all.insert(name, content);
        }
    }
    all
}

/// Every blob is what its name says.
fn check_blobs(files: &BTreeMap<String, Vec<u8>>) {
    for (name, content) in files {
        if let Some(hex) = name.strip_prefix("blobs/sha256/") {
            assert_eq!(blob::digest_of(content).hex(), hex, "{name}");
        }
    }
}

#[test]
fn a_layout_and_an_archive_hold_the_same() {
    let mut files = Files::new();
    files.add_layer(Compression::None, None);
    files.add_layer(Compression::Zstd, None);
    let layout = files.write(&files.oci("v1")).unwrap();
    let file = files.path("a.tar");
    let archive = files.write(&Target::OciArchive { file: file.clone(), tag: "v1".to_owned() }).unwrap();
    assert_eq!(layout, archive);
    let found = tree(&files.path("oci"));
    check_blobs(&found);
    assert_eq!(found, members(&file));
    assert_eq!(found.len(), 2 + 2 + 3);
    let manifest: Value =
        serde_json::from_slice(&found[&format!("blobs/sha256/{}", layout.manifest.unwrap().hex())]).unwrap();
    let types: Vec<_> = manifest["layers"].as_array().unwrap().iter().map(|l| &l["mediaType"]).collect();
    let oci = "application/vnd.oci.image.layer.v1.tar";
    assert_eq!(types, [&json!(oci), &json!(format!("{oci}+zstd")), &json!(oci)]);
}

#[test]
fn every_byte_that_is_written_and_copied_is_told_of() {
    let mut files = Files::new();
    let digest = files.add_layer(Compression::Zstd, None);
    let stored = files.base.layers[0].stored;
    files.write(&Target::OciArchive { file: files.path("a.tar"), tag: "v1".to_owned() }).unwrap();
    let told = std::mem::take(&mut *files.told.works.lock().unwrap());
    let new = blob::digest_of(&[7; 512]);
    let copy = |layer, digest, bytes| {
        (Work { layer, of: 2, digest: Some(digest), task: Task::Copy, bytes: Some(bytes) }, bytes)
    };
    assert_eq!(told, [copy(1, digest, stored), copy(2, new, 512)]);

    // What is there already is not copied again.
    for copied in [vec![copy(1, digest, stored)], Vec::new()] {
        files.write(&files.oci("v1")).unwrap();
        assert_eq!(std::mem::take(&mut *files.told.works.lock().unwrap()), copied);
    }

    // How much an upper holds is not known beforehand.
    let committed = files.commit(&files.oci("v2"), Replace::Refuse).unwrap();
    assert_eq!(committed.written.entries, 2);
    let told = std::mem::take(&mut *files.told.works.lock().unwrap());
    let [(Work { layer: 1, of: 1, digest: None, task: Task::Write, bytes: None }, written)] = told[..] else {
        panic!("{told:?}");
    };
    // Two headers and the one's content; the root's and the file's times have fractions, which pax headers hold.
    assert!(written >= 5 * 512 && written.is_multiple_of(512), "{written}");
}

#[test]
fn a_docker_archive_holds_tars() {
    let mut files = Files::new();
    files.add_layer(Compression::None, None);
    files.add_layer(Compression::Gzip, None);
    let file = files.path("d.tar");
    let target = Target::DockerArchive { file: file.clone(), reference: Some("a/b:c".to_owned()) };
    let written = files.write(&target).unwrap();
    let found = members(&file);
    let config = format!("{}.json", written.config.hex());
    let list: Value = serde_json::from_slice(&found["manifest.json"]).unwrap();
    assert_eq!((&list[0]["Config"], &list[0]["RepoTags"]), (&json!(config), &json!(["a/b:c"])));
    assert_eq!(blob::digest_of(&found[&config]), written.config);
    for layer in list[0]["Layers"].as_array().unwrap() {
        let name = layer.as_str().unwrap();
        assert_eq!(blob::digest_of(&found[name]).hex(), name.strip_suffix(".tar").unwrap());
    }
    assert_eq!(found.len(), 3 + 2);
}

#[test]
fn a_layer_that_is_not_what_the_base_promises_leaves_nothing() {
    let mut files = Files::new();
    files.add_layer(Compression::None, None);
    files.commit(&files.oci("good"), Replace::Refuse).unwrap();
    let before = tree(&files.path("oci"));
    files.add_layer(Compression::Gzip, Some(blob::digest_of(b"another")));
    let error = files.write(&files.oci("bad")).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("layer 2 (sha256:"), "{text}");
    assert!(text.contains("of 'base': sha256 of the blob: expected sha256:"), "{text}");
    assert_eq!(tree(&files.path("oci")), before);

    let new = Target::OciLayout { dir: files.path("new"), tag: "t".to_owned() };
    assert!(files.write(&new).is_err());
    assert!(!files.path("new").exists());
    let archive = Target::OciArchive { file: files.path("new.tar"), tag: "t".to_owned() };
    assert!(files.write(&archive).is_err());
    let left = fs::read_dir(files.temp.path()).unwrap();
    assert!(left.map(|e| e.unwrap().file_name()).all(|n| !n.to_str().unwrap().contains("new")));
}

#[test]
fn the_same_tree_is_the_same_image_and_a_second_tag_shares_its_blobs() {
    let files = Files::new();
    let one = files.commit(&files.oci("one"), Replace::Refuse).unwrap();
    let blobs = tree(&files.path("oci")).len();
    let two = files.commit(&files.oci("two"), Replace::Refuse).unwrap();
    assert_eq!((&one.image, one.layer), (&two.image, two.layer));
    assert_eq!(tree(&files.path("oci")).len(), blobs);
    let index: Value = serde_json::from_slice(&fs::read(files.path("oci/index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
}

#[test]
fn an_archive_is_replaced_only_when_that_is_asked_for() {
    let files = Files::new();
    let target = Target::DockerArchive { file: files.path("d.tar"), reference: None };
    fs::write(files.path("d.tar"), "mine").unwrap();
    let error = files.commit(&target, Replace::Refuse).unwrap_err();
    assert!(error.hint().unwrap().contains("--force"));
    assert_eq!(fs::read(files.path("d.tar")).unwrap(), b"mine");
    // What a commit left that was killed is cleared.
    let left = files.path(".lamina-unfinished-x");
    fs::write(&left, "").unwrap();
    files.commit(&target, Replace::Allow).unwrap();
    assert!(!left.exists());
    assert!(members(&files.path("d.tar")).contains_key("manifest.json"));
}

#[test]
fn a_directory_that_is_something_else_is_left_alone() {
    let files = Files::new();
    fs::create_dir(files.path("oci")).unwrap();
    fs::write(files.path("oci/mine"), "").unwrap();
    let error = files.commit(&files.oci("t"), Replace::Refuse).unwrap_err();
    assert!(error.to_string().contains("there is 'mine' in it and no oci-layout"), "{error}");
    fs::write(files.path("oci/oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    assert!(files.commit(&files.oci("t"), Replace::Refuse).unwrap_err().to_string().contains("2.0.0"));
    assert_eq!(tree(&files.path("oci")).len(), 2);
    // What a commit left that was killed is cleared; an empty directory will do.
    fs::remove_dir_all(files.path("oci")).unwrap();
    fs::create_dir_all(files.path("oci/blobs/sha256")).unwrap();
    fs::write(files.path("oci/blobs/sha256/.lamina-unfinished-x"), "").unwrap();
    files.commit(&files.oci("t"), Replace::Refuse).unwrap();
    let found = tree(&files.path("oci"));
    check_blobs(&found);
    assert_eq!(found.len(), 2 + 3);
}

#[test]
fn commits_at_once_into_one_layout_all_arrive() {
    let files = Files::new();
    std::thread::scope(|scope| {
        for n in 0..6 {
            let files = &files;
            scope.spawn(move || files.commit(&files.oci(&format!("t{n}")), Replace::Refuse).unwrap());
        }
    });
    let index: Value = serde_json::from_slice(&fs::read(files.path("oci/index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 6);
}
