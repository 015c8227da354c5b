use std::fs;
use std::io::Read;

use serde_json::{Value, json};

use super::*;
use crate::image::testing::{CONFIG, INDEX, LAYER, MANIFEST, Tree, config, on, tagged};
use crate::image::{Format, HistoryFit, ImageRef, detect};

fn open_dir(tree: &Tree, select: &Select) -> Result<Image, ImageError> {
    let dir = tempfile::tempdir().unwrap();
    tree.write_dir(dir.path());
    open(&Files::Directory(dir.path().to_owned()), "image", select)
}

/// Without the image's name and without what to do.
fn error(tree: &Tree, select: &Select) -> String {
    open_dir(tree, select).unwrap_err().to_string()
}

fn select(tag: Option<&str>, platform: Option<&str>) -> Select {
    Select { tag: tag.map(str::to_owned), platform: platform.map(|text| text.parse().unwrap()) }
}

#[test]
fn a_layout_is_read_in_a_directory_and_in_an_archive() {
    let tree = Tree::single("1.0", &["base", "top"]);
    let dir = tempfile::tempdir().unwrap();
    let (layout, archive) = (dir.path().join("layout"), dir.path().join("x.tar"));
    tree.write_dir(&layout);
    tree.write_tar(&archive);
    assert_eq!(detect(&layout), Ok(Some(Format::OciLayout)));
    assert_eq!(detect(&archive), Ok(Some(Format::OciArchive)));
    assert_eq!(detect(dir.path()), Ok(None));
    let oci = |dir: &std::path::Path, tag: &str| ImageRef::OciLayout {
        dir: dir.to_owned(),
        tag: Some(tag.to_owned()),
    };
    for reference in [
        ImageRef::Path(layout.clone()),
        ImageRef::Path(archive.clone()),
        oci(&layout, "1.0"),
        ImageRef::OciArchive { file: archive.clone(), tag: Some("@0".to_owned()) },
    ] {
        let image = crate::image::open(&reference, &Select::default()).unwrap();
        assert_eq!(image.name, reference.to_string());
        assert_eq!(image.tags, ["1.0"]);
        assert_eq!(image.history_fit, HistoryFit::Exact);
        assert_eq!(image.config.env, ["A=b"]);
        let contents: Vec<String> = image
            .layers
            .iter()
            .map(|layer| {
                let LayerSource::Blob(blob) = &layer.source else { panic!("{layer:?}") };
                let mut content = String::new();
                blob.reader().read_to_string(&mut content).unwrap();
                assert_eq!((layer.digest, layer.stored), (Some(layer.diff_id), content.len() as u64));
                content
            })
            .collect();
        assert_eq!(contents, ["base", "top"]);
    }
    let error = crate::image::open(&oci(&layout, "2.0"), &Select::default()).unwrap_err();
    let expected =
        format!("image 'oci:{}:2.0': no image in it has the tag '2.0'. There is:\n", layout.display());
    assert!(error.to_string().starts_with(&expected), "{error}");
    let both = crate::image::open(&oci(&layout, "1.0"), &select(Some("2.0"), None)).unwrap_err();
    assert!(
        both.to_string().ends_with("it is asked for with the tag '1.0' and with the tag '2.0'"),
        "{both}"
    );
    let missing = crate::image::open(&oci(&dir.path().join("no"), "1.0"), &Select::default()).unwrap_err();
    assert!(missing.to_string().ends_with("/no': No such file or directory"), "{missing}");
}

#[test]
fn nested_indexes_lead_to_platforms() {
    let mut tree = Tree::default();
    let amd64 = tree.image("linux/amd64", &["a"]);
    let arm = tree.image("linux/arm/v7", &["b"]);
    let attestation = tree.image("unknown/unknown", &["c"]);
    let platforms =
        [on(amd64.clone(), "linux/amd64"), on(arm, "linux/arm/v7"), on(attestation, "unknown/unknown")];
    let inner = tree.document(INDEX, &json!({"schemaVersion": 2, "manifests": platforms}));
    let other = tree.image("linux/s390x", &["d"]);
    tree.layout(&[tagged(inner.clone(), "1.0"), tagged(inner, "latest"), tagged(other, "2.0")]);
    for (tag, platform, architecture) in [
        (Some("1.0"), Some("linux/arm/v7"), "arm"),
        (Some("1.0"), Some("linux/amd64"), "amd64"),
        (None, Some("linux/s390x"), "s390x"),
        (Some("2.0"), None, "s390x"),
    ] {
        let image = open_dir(&tree, &select(tag, platform)).unwrap();
        assert_eq!(image.config.platform.architecture, architecture, "{tag:?} {platform:?}");
        if architecture != "s390x" {
            assert_eq!(image.tags, ["1.0", "latest"]);
        }
    }
    let message = error(&tree, &select(Some("1.0"), Some("linux/s390x")));
    assert!(message.starts_with("no image in it is for linux/s390x. There are:\n"), "{message}");
    assert!(!message.contains("unknown"), "{message}");
    assert_eq!(message.lines().count(), 4, "{message}");
    let message = error(&tree, &select(Some("3.0"), None));
    let rows = [
        "no image in it has the tag '3.0'. There are:",
        "1.0, latest  linux/amd64",
        "linux/arm/v7",
        "linux/s390x",
    ];
    assert!(rows.iter().all(|row| message.contains(row)) && !message.contains("not an image"), "{message}");
    let message = error(&tree, &select(Some("2.0"), Some("linux/amd64")));
    assert!(message.starts_with("no image in it is for linux/amd64. There is:\n"), "{message}");
}

#[test]
fn docker_writes_two_names() {
    let mut tree = Tree::default();
    let mut image = tree.image("linux/amd64", &["a"]);
    image["annotations"] = json!({
        "io.containerd.image.name": "docker.io/library/app:1.0", "org.opencontainers.image.ref.name": "1.0",
    });
    tree.layout(&[image]);
    for tag in ["1.0", "app:1.0", "docker.io/library/app:1.0"] {
        assert_eq!(open_dir(&tree, &select(Some(tag), None)).unwrap().tags, ["docker.io/library/app:1.0"]);
    }
}

/// An image whose manifest and config are made by hand.
fn by_hand(manifest: impl FnOnce(&mut Tree) -> Value) -> Tree {
    let mut tree = Tree::default();
    let manifest = manifest(&mut tree);
    let manifest = tree.document(MANIFEST, &manifest);
    tree.layout(&[manifest]);
    tree
}

#[test]
fn a_manifest_that_contradicts_its_config_is_refused() {
    let digest = |text: &str| crate::image::files::digest_of(text.as_bytes()).to_string();
    let layers =
        |media_type: &'static str, layers: &'static [&'static str], diff_ids: &'static [&'static str]| {
            by_hand(|tree| {
                let diff_ids: Vec<String> = diff_ids.iter().map(|text| digest(text)).collect();
                let config = tree.document(CONFIG, &config("linux/amd64", &diff_ids));
                let layers: Vec<Value> = layers.iter().map(|layer| tree.blob(media_type, layer)).collect();
                json!({"schemaVersion": 2, "config": config, "layers": layers})
            })
        };
    let any = Select::default();
    assert!(open_dir(&layers(LAYER, &["a"], &["a"]), &any).is_ok());
    let short = crate::digest::Digest::from_hex(&digest("a")[7..]).unwrap().short();
    for (tree, message) in [
        (
            layers(LAYER, &["a", "b"], &["a"]),
            "number of layers: expected 1 layer, as the config has diff_ids, found 2 layers in the manifest"
                .to_owned(),
        ),
        (
            layers(LAYER, &[], &["a"]),
            "number of layers: expected 1 layer, as the config has diff_ids, found 0 layers in the manifest"
                .to_owned(),
        ),
        (
            layers("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", &["a"], &["a"]),
            format!(
                "layer 1 (sha256:{short}): it is encrypted (application/vnd.oci.image.layer.v1.tar+gzip+encrypted)"
            ),
        ),
        (
            layers("application/x-7z", &["a"], &["a"]),
            format!(
                "layer 1 (sha256:{short}): it has the media type 'application/x-7z', expected that of a tar, plain or with gzip or zstd"
            ),
        ),
    ] {
        assert_eq!(error(&tree, &any), message);
    }
    let artifact = by_hand(|tree| {
        let config = tree.document("application/vnd.oci.empty.v1+json", &json!({}));
        json!({"schemaVersion": 2, "config": config, "layers": []})
    });
    assert_eq!(
        error(&artifact, &any),
        "it is not an image: it is an artifact, whose config has the media type 'application/vnd.oci.empty.v1+json'"
    );
    let foreign = open_dir(
        &by_hand(|tree| {
            let config = tree.document(CONFIG, &config("linux/s390x", &[]));
            json!({"schemaVersion": 2, "config": config})
        }),
        &any,
    );
    assert_eq!(foreign.unwrap().config.platform.to_string(), "linux/s390x", "the only image there is");
}

#[test]
fn what_is_damaged_or_missing_is_named_with_what_was_expected() {
    let tree = Tree::single("1.0", &["base", "top"]);
    let image = open_dir(&tree, &Select::default()).unwrap();
    let blob = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
    let manifest = image.manifest_digest.unwrap();
    let top = image.layers[1].diff_id;
    let changed = |name: &str, content: Option<&[u8]>| {
        let mut tree = tree.clone();
        match content {
            Some(content) => tree.put(name, content),
            None => tree.remove(name),
        }
        error(&tree, &Select::default())
    };
    let manifest_json = image.documents.manifest.clone().unwrap();
    let mut flipped = manifest_json.clone();
    flipped[20] ^= 1;
    let found = crate::image::files::digest_of(&flipped);
    for (name, content, message) in [
        ("oci-layout", None, "it is not an image: it has no file 'oci-layout'".to_owned()),
        (
            "oci-layout",
            Some(&b"{}"[..]),
            "oci-layout cannot be understood: missing field `imageLayoutVersion` at line 1 column 2"
                .to_owned(),
        ),
        (
            "oci-layout",
            Some(br#"{"imageLayoutVersion":"2.0.0"}"#),
            "it is an OCI layout of version '2.0.0', expected 1.0.0".to_owned(),
        ),
        ("index.json", None, "the index is missing: there is no 'index.json' in it".to_owned()),
        (
            "index.json",
            Some(b"<html>"),
            "index.json cannot be understood: it is not JSON: expected value at line 1 column 1".to_owned(),
        ),
        ("index.json", Some(br#"{"manifests":[]}"#), "there is no image in it".to_owned()),
        (&blob(&manifest), None, format!("the manifest is missing: there is no '{}' in it", blob(&manifest))),
        (
            &blob(&manifest),
            Some(b"{}"),
            format!("size of the manifest: expected {} bytes, found 2 bytes", manifest_json.len()),
        ),
        (
            &blob(&manifest),
            Some(&flipped),
            format!("sha256 of the manifest: expected {manifest}, found {found}"),
        ),
        (
            &blob(&image.config_digest),
            None,
            format!("the config is missing: there is no '{}' in it", blob(&image.config_digest)),
        ),
        (
            &blob(&top),
            None,
            format!(
                "layer 2 (sha256:{}): its blob is missing: there is no '{}' in it",
                top.short(),
                blob(&top)
            ),
        ),
        (
            &blob(&top),
            Some(b"topper"),
            format!("layer 2 (sha256:{}): size of its blob: expected 3 bytes, found 6 bytes", top.short()),
        ),
    ] {
        assert_eq!(changed(name, content), message, "{name}");
    }
    let large = vec![b' '; 5 << 20];
    assert_eq!(
        changed("index.json", Some(&large)),
        "index.json is too large: 5242880 bytes, the limit is 4194304 bytes"
    );
}

#[test]
fn indexes_that_never_end_are_refused() {
    let any = Select::default();
    let mut tree = Tree::default();
    let mut entry = tree.image("linux/amd64", &["a"]);
    for _ in 0..DEEPEST + 1 {
        entry = tree.document(INDEX, &json!({"schemaVersion": 2, "manifests": [entry]}));
    }
    tree.layout(&[entry]);
    assert_eq!(error(&tree, &any), "its indexes nest more than 8 deep");

    // One that names itself cannot have its own digest: the digest says so first.
    let mut tree = Tree::default();
    let digest = format!("sha256:{}", "ab".repeat(32));
    let itself = json!({"mediaType": INDEX, "digest": digest, "size": 240});
    let document = json!({"schemaVersion": 2, "manifests": [itself.clone()]}).to_string();
    tree.put(format!("blobs/sha256/{}", "ab".repeat(32)), format!("{document:240}"));
    tree.layout(std::slice::from_ref(&itself));
    assert!(
        error(&tree, &any).starts_with("sha256 of the index sha256:abababababab: expected "),
        "{}",
        error(&tree, &any)
    );

    // And were it not for that, it would be noticed.
    let dir = tempfile::tempdir().unwrap();
    let files = Files::Directory(dir.path().to_owned());
    let index = Index::parse(document.as_bytes(), "x").unwrap();
    let entry = index.manifests[0].clone();
    let mut images = Images::new(&files);
    images.known.insert(entry.digest, Rc::new(index));
    let problem = images.add(&entry, &[], &mut Vec::new()).unwrap_err();
    assert_eq!(problem.to_string(), format!("the index {digest} nests itself"));

    // Few documents that name each other many times lead to many images, or take forever to lead to none.
    for bottom in ["image", "nothing"] {
        let mut tree = Tree::default();
        let mut entry = match bottom {
            "image" => tree.image("linux/amd64", &["a"]),
            _ => tree.document(INDEX, &json!({"schemaVersion": 2})),
        };
        for _ in 0..6 {
            entry = tree.document(INDEX, &json!({"schemaVersion": 2, "manifests": vec![entry; 1000]}));
        }
        tree.layout(&[entry]);
        let message = "the index is too large: more than 10000 entries, the limit is 10000 entries";
        assert_eq!(error(&tree, &any), message, "{bottom}");
    }
}

#[test]
fn entries_that_are_no_images_are_refused_by_their_type() {
    let mut tree = Tree::default();
    let blob = tree.blob("text/plain", "x");
    tree.layout(&[blob]);
    assert_eq!(
        error(&tree, &Select::default()),
        "an entry of an index has the media type 'text/plain', expected that of a manifest or an index"
    );
    let mut tree = Tree::default();
    let blob = tree.blob("application/vnd.docker.distribution.manifest.v1+prettyjws", "{}");
    tree.layout(&[blob]);
    assert_eq!(error(&tree, &Select::default()), "it is an image of docker's first format (schema 1)");
}

#[test]
fn entries_that_are_not_known_are_passed_over() {
    let mut tree = Tree::default();
    let (blob, image) = (tree.blob("text/plain", "x"), tree.image("linux/s390x", &["a"]));
    tree.layout(&[blob, image]);
    let image = open_dir(&tree, &Select::default()).unwrap();
    assert_eq!(image.config.platform.to_string(), "linux/s390x");
}

#[test]
fn a_directory_in_place_of_a_blob_is_not_waited_for() {
    let tree = Tree::single("1.0", &["base"]);
    let dir = tempfile::tempdir().unwrap();
    tree.write_dir(dir.path());
    let index = dir.path().join("index.json");
    fs::remove_file(&index).unwrap();
    nix::unistd::mkfifo(&index, nix::sys::stat::Mode::S_IRUSR).unwrap();
    let error = open(&Files::Directory(dir.path().to_owned()), "x", &Select::default()).unwrap_err();
    assert!(error.to_string().ends_with("index.json' is not a regular file"), "{error}");
}
