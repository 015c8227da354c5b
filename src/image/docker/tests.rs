use serde_json::json;

use super::*;
use crate::image::testing::{Tree, config};
use crate::image::{Format, ImageRef, detect};

/// Names, platform and layers of an image.
type Made<'a> = (Option<&'a [&'a str]>, &'a str, &'a [&'a str]);

/// As podman saves images.
fn archive(images: &[Made<'_>]) -> Tree {
    let mut tree = Tree::default();
    let mut list = Vec::new();
    for (names, platform, layers) in images {
        let diff_ids: Vec<_> = layers.iter().map(|layer| digest_of(layer.as_bytes())).collect();
        let config =
            config(platform, &diff_ids.iter().map(ToString::to_string).collect::<Vec<_>>()).to_string();
        let name = format!("{}.json", digest_of(config.as_bytes()).hex());
        tree.put(&name, config);
        let layers: Vec<String> = layers
            .iter()
            .zip(&diff_ids)
            .map(|(layer, id)| {
                tree.put(format!("{}.tar", id.hex()), layer);
                format!("{}.tar", id.hex())
            })
            .collect();
        list.push(json!({"Config": name, "RepoTags": names, "Layers": layers}));
    }
    tree.put(MANIFEST, json!(list).to_string());
    tree
}

fn open_tar(tree: &Tree, select: &Select) -> Result<Image, ImageError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar");
    tree.write_tar(&path);
    assert_eq!(detect(&path), Ok(Some(Format::DockerArchive)));
    open(&Archive::open(&path).unwrap(), "x", select)
}

fn tag(tag: &str) -> Select {
    Select { tag: Some(tag.to_owned()), ..Select::default() }
}

#[test]
fn images_are_chosen_by_name_or_number() {
    let tree = archive(&[
        (Some(&["localhost/app:1.0", "localhost/app:latest"]), "linux/amd64", &["a", "b"]),
        (Some(&["docker.io/library/other:2"]), "linux/amd64", &["a"]),
        (None, "linux/arm64", &["c"]),
    ]);
    for (wanted, layers, tags) in [
        ("localhost/app:1.0", 2, 2),
        ("app", 2, 2),
        ("other:2", 1, 1),
        ("2", 1, 1),
        ("@0", 2, 2),
        ("@2", 1, 0),
    ] {
        let image = open_tar(&tree, &tag(wanted)).unwrap();
        assert_eq!((image.layers.len(), image.tags.len()), (layers, tags), "{wanted}");
        assert_eq!((image.manifest_digest, image.layers[0].digest), (None, None));
    }
    let error = open_tar(&tree, &Select::default()).unwrap_err();
    let expected = if Platform::host() == Platform::new("linux", "amd64", None) {
        "2 images in it would do"
    } else {
        ""
    };
    assert!(error.to_string().starts_with(expected), "{error}");
    let arm = Select { platform: Some("linux/arm64".parse().unwrap()), ..Select::default() };
    assert_eq!(open_tar(&tree, &arm).unwrap().layers.len(), 1);
}

#[test]
fn what_is_wrong_is_named() {
    let good = archive(&[(Some(&["app:1"]), "linux/amd64", &["a", "b"])]);
    let config_name = good.0.iter().find(|(name, _)| name.ends_with(".json")).unwrap().0.clone();
    let layer = format!("{}.tar", digest_of(b"b").hex());
    let error = |change: &dyn Fn(&mut Tree)| {
        let mut tree = good.clone();
        change(&mut tree);
        open_tar(&tree, &Select::default()).unwrap_err().to_string()
    };
    let short = digest_of(b"b").short();
    assert_eq!(error(&|tree| tree.put(MANIFEST, "[]")), "there is no image in it");
    assert_eq!(
        error(&|tree| tree.put(MANIFEST, "{}")),
        "manifest.json cannot be understood: invalid type: map, expected a sequence at line 1 column 0"
    );
    assert_eq!(
        error(&|tree| tree.remove(&config_name)),
        format!("the config is missing: there is no '{config_name}' in it")
    );
    assert_eq!(
        error(&|tree| tree.put(&config_name, "{}")),
        format!("sha256 of the config: expected sha256:{}, found {}", &config_name[..64], digest_of(b"{}"))
    );
    assert_eq!(
        error(&|tree| tree.remove(&layer)),
        format!("layer 2 (sha256:{short}): its tar is missing: there is no '{layer}' in it")
    );
    assert_eq!(
        error(&|tree| tree.put(
            MANIFEST,
            json!([{"Config": config_name, "Layers": ["../../etc/passwd", "b"]}]).to_string()
        )),
        format!(
            "layer 1 (sha256:{}): the name '../../etc/passwd' leads out of the archive",
            digest_of(b"a").short()
        )
    );
    assert_eq!(
        error(&|tree| tree.put(MANIFEST, json!([{"Config": config_name, "Layers": [layer]}]).to_string())),
        "number of layers: expected 2 layers, as the config has diff_ids, found 1 layer in the manifest"
    );
}

#[test]
fn one_damaged_image_leaves_the_others() {
    let mut tree =
        archive(&[(Some(&["app:1"]), "linux/amd64", &["a"]), (Some(&["app:2"]), "linux/amd64", &["b"])]);
    let broken = tree.0[0].0.clone();
    tree.put(&broken, "{}");
    assert!(open_tar(&tree, &tag("app:2")).is_ok());
    let error = open_tar(&tree, &tag("app:1")).unwrap_err().to_string();
    assert!(error.starts_with("sha256 of the config: expected "), "{error}");
}

#[test]
fn docker_25_writes_an_oci_layout_beside_and_that_is_read() {
    let mut tree = Tree::single("1.0", &["a"]);
    let blobs: Vec<String> = tree.0.iter().map(|(name, _)| name.clone()).collect();
    let config = blobs.iter().find(|name| {
        tree.0.iter().any(|(other, content)| other == *name && content.starts_with(b"{\"architecture"))
    });
    let layer = format!("blobs/sha256/{}", digest_of(b"a").hex());
    tree.put(MANIFEST, json!([{"Config": config, "RepoTags": ["app:1.0"], "Layers": [layer]}]).to_string());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar");
    tree.write_tar(&path);
    assert_eq!(detect(&path), Ok(Some(Format::OciArchive)));
    let by = |reference: &ImageRef| crate::image::open(reference, &Select::default()).unwrap();
    let oci = by(&ImageRef::Path(path.clone()));
    let docker = by(&ImageRef::DockerArchive { file: path, reference: Some("app:1.0".to_owned()) });
    assert!(oci.manifest_digest.is_some() && docker.manifest_digest.is_none());
    assert_eq!(oci.config_digest, docker.config_digest);
    assert_eq!(oci.layers, docker.layers);
    assert_eq!(docker.layers[0].digest, Some(digest_of(b"a")));
}

#[test]
fn tars_without_an_image_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar");
    let mut tree = Tree::default();
    tree.put("etc/passwd", "");
    tree.write_tar(&path);
    let name = path.display().to_string();
    let error = crate::image::open(&ImageRef::Path(path.clone()), &Select::default()).unwrap_err();
    let expected = format!(
        "image '{name}': it is not an image: it is a tar that has neither 'index.json' nor 'manifest.json'"
    );
    assert_eq!(error.to_string(), expected);
    tree.put("repositories", "{}");
    tree.write_tar(&path);
    let error = crate::image::open(&ImageRef::Path(path), &Select::default()).unwrap_err();
    assert_eq!(error.to_string(), format!("image '{name}': it is an archive of docker before 1.10"));
}

#[test]
fn many_images_of_one_config_take_the_memory_of_one() {
    let mut tree = archive(&[(None, "linux/amd64", &["a"])]);
    let image = json!({"Config": "././c", "Layers": [format!("{}.tar", digest_of(b"a").hex())]});
    let diff_ids = [digest_of(b"a").to_string()];
    let mut large = config("linux/amd64", &diff_ids);
    large["config"]["Env"] = json!([format!("A={}", "x".repeat(1 << 20))]);
    tree.put("c", large.to_string());
    // 10 GiB, if each were kept.
    tree.put(MANIFEST, json!(vec![image.clone(); 10_000]).to_string());
    let opened = open_tar(&tree, &tag("@9999")).unwrap();
    assert_eq!(opened.config_digest, digest_of(large.to_string().as_bytes()));
    tree.put(MANIFEST, json!(vec![image; 10_001]).to_string());
    let error = open_tar(&tree, &Select::default()).unwrap_err().to_string();
    assert!(error.contains("10001 images") && error.contains("10000 images"), "{error}");
}
