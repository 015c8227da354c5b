use std::fs;

use serde_json::{Value, json};

use super::*;
use crate::image::testing::{INDEX, Tree, on};
use crate::image::{Format, ImageRef, LayerSource, detect};

/// The files of a layout as skopeo names them; `manifest` is the descriptor of what becomes `manifest.json`, `named` are those of
/// the manifests that it names.
fn written(tree: &Tree, manifest: &Value, named: &[Value]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let hex =
        |descriptor: &Value| descriptor["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    for (name, content) in &tree.0 {
        let Some(digits) = name.strip_prefix("blobs/sha256/") else { continue };
        let name = match digits {
            digits if digits == hex(manifest) => "manifest.json".to_owned(),
            digits if named.iter().any(|one| hex(one) == digits) => format!("{digits}.manifest.json"),
            digits => digits.to_owned(),
        };
        fs::write(dir.path().join(name), content).unwrap();
    }
    fs::write(dir.path().join("version"), "Directory Transport Version: 1.1\n").unwrap();
    dir
}

fn contents(image: &Image) -> Vec<String> {
    let content = |layer: &crate::image::ImageLayer| {
        let LayerSource::Blob(blob) = &layer.source else { panic!("{layer:?}") };
        let mut content = String::new();
        blob.reader().read_to_string(&mut content).unwrap();
        content
    };
    image.layers.iter().map(content).collect()
}

fn by_word(dir: &Path, select: &Select) -> Result<Image, ImageError> {
    crate::image::open(&ImageRef::SkopeoDirectory { dir: dir.to_owned() }, select)
}

#[test]
fn an_image_is_read_by_its_path_and_by_its_transport() {
    let mut tree = Tree::default();
    let manifest = tree.image("linux/amd64", &["base", "top"]);
    let dir = written(&tree, &manifest, &[]);
    assert_eq!(detect(dir.path()), Ok(Some(Format::SkopeoDirectory)));
    let path = ImageRef::Path(dir.path().to_owned());
    for image in [by_word(dir.path(), &Select::default()), crate::image::open(&path, &Select::default())] {
        let image = image.unwrap();
        assert_eq!(contents(&image), ["base", "top"]);
        assert_eq!(image.manifest_digest.unwrap().to_string(), manifest["digest"].as_str().unwrap());
    }
    // The transport needs no `version`; a path does, or any directory with a manifest.json would be no layer.
    fs::remove_file(dir.path().join("version")).unwrap();
    assert_eq!(detect(dir.path()), Ok(None));
    assert_eq!(contents(&by_word(dir.path(), &Select::default()).unwrap()), ["base", "top"]);
}

#[test]
fn of_several_images_one_is_chosen() {
    let mut tree = Tree::default();
    let images = ["linux/amd64", "linux/arm64"].map(|platform| (platform, tree.image(platform, &[platform])));
    let entries = images.map(|(platform, image)| on(image, platform));
    let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    let list = tree.document(INDEX, &list);
    let dir = written(&tree, &list, &entries);
    for platform in ["linux/amd64", "linux/arm64"] {
        let select = Select { tag: None, platform: Some(platform.parse().unwrap()) };
        assert_eq!(contents(&by_word(dir.path(), &select).unwrap()), [platform]);
    }
}

#[test]
fn what_is_none_or_damaged_is_told() {
    let mut tree = Tree::default();
    let manifest = tree.image("linux/amd64", &["base"]);
    let said = |change: &dyn Fn(&Path)| {
        let dir = written(&tree, &manifest, &[]);
        change(dir.path());
        by_word(dir.path(), &Select::default()).unwrap_err().to_string()
    };
    let write =
        |name: &'static str, text: &'static str| move |dir: &Path| fs::write(dir.join(name), text).unwrap();
    for (what, change, words) in [
        (
            "no manifest",
            &(|dir: &Path| fs::remove_file(dir.join("manifest.json")).unwrap()) as &dyn Fn(&Path),
            "no file 'manifest.json'",
        ),
        ("nothing", &|dir: &Path| fs::remove_dir_all(dir).unwrap(), "No such file"),
        ("a later version", &write("version", "Directory Transport Version: 2.0\n"), "version '2.0'"),
        ("no JSON", &write("manifest.json", "{"), "it is not JSON"),
        (
            "docker's first format",
            &write("manifest.json", r#"{"schemaVersion": 1, "name": "a"}"#),
            "schema 1",
        ),
        (
            "what docker save writes",
            &write("manifest.json", r#"[{"Config": "c", "Layers": []}]"#),
            "manifest.json",
        ),
    ] {
        let said = said(change);
        assert!(said.contains(words), "{what}: {said}");
    }
    // A blob that is not what its name says, or is missing.
    let config = |dir: &Path| {
        let document: Value = serde_json::from_slice(&fs::read(dir.join("manifest.json")).unwrap()).unwrap();
        dir.join(document["config"]["digest"].as_str().unwrap().trim_start_matches("sha256:"))
    };
    let flipped = said(&|dir| {
        let text = fs::read_to_string(config(dir)).unwrap().replace("A=b", "A=c");
        fs::write(config(dir), text).unwrap();
    });
    assert!(flipped.contains("sha256 of the config"), "{flipped}");
    let missing = said(&|dir| fs::remove_file(config(dir)).unwrap());
    assert!(missing.contains("the config"), "{missing}");
}
