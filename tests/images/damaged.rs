//! Images whose parts do not fit: manifests, configurations, blobs. Exit code 1, what is wrong and where, nothing left.

use serde_json::{Value, json};

use crate::images::build::blob_name;
use crate::images::{
    Built, Compression, DockerStyle, Entry, Files, ImageBuilder, Layer, digest, docker, index_of, oci,
};
use crate::place::{Format, Place, image_of, tar_of};

fn good() -> Built {
    builder().build()
}

fn builder() -> ImageBuilder {
    ImageBuilder::new()
        .layer(Layer::new(tar_of([Entry::file("one", "1")])).compressed(Compression::Gzip))
        .layer(Layer::new(tar_of([Entry::file("two", "2")])).compressed(Compression::Gzip))
        .tag("latest")
}

/// The files as an OCI layout and as an OCI archive.
#[track_caller]
fn refused(what: &str, files: &Files, words: &[&str]) {
    for format in [Format::OciDir, Format::OciArchive] {
        let mut place = Place::new();
        place.may_store(&good().layers[0]);
        let path = place.write("image", format, files);
        place.refuses(&format!("{what}, {format:?}"), &[path], &[&["image"], words].concat());
    }
}

#[test]
fn what_is_undamaged_is_mounted() {
    for format in Format::ALL {
        let place = Place::new();
        let mounted = place.mount(&[place.write("image", format, &format.files(&[&good()]))]);
        assert_eq!(mounted.names(""), ["one", "two"]);
    }
}

#[test]
fn blobs_that_are_not_what_they_should_be() {
    let image = good();
    let blob = image.layers[1].blob();
    let short = &image.layers[1].digest[7..19];
    let size = image.layers[1].stored.len();
    refused("missing", &oci(&[&image]).remove(&blob), &["layer 2", short]);
    refused(
        "shorter",
        &oci(&[&image]).truncate(&blob, size - 1),
        &["layer 2", short, &size.to_string(), &(size - 1).to_string()],
    );
    let mut longer = oci(&[&image]);
    longer.bytes_mut(&blob).push(0);
    refused("longer", &longer, &["layer 2", short, &size.to_string(), &(size + 1).to_string()]);
    // Of the header, which is not data: a flip that leaves the tar as it is, and the digest not.
    let flipped = oci(&[&image]).flip(&blob, 4);
    let found = digest(flipped.bytes(&blob));
    refused("another digest", &flipped, &["layer 2", short, &found[7..19]]);
}

#[test]
fn a_layer_of_another_size_than_the_manifest_says() {
    for wrong in [1u64, 1 << 40] {
        let image = builder().edit_manifest(move |m| m["layers"][1]["size"] = wrong.into()).build();
        refused("size", &oci(&[&image]), &["layer 2", &image.layers[1].digest[7..19], &wrong.to_string()]);
    }
    let image = builder().edit_manifest(|m| m["layers"][1]["size"] = (-1).into()).build();
    refused("negative", &oci(&[&image]), &["manifest"]);
}

#[test]
fn a_docker_archive_whose_layer_is_damaged() {
    let place = Place::new();
    let image =
        image_of([tar_of([Entry::file("one", "1")]), tar_of([Entry::file("two", "2")])], Compression::None);
    for style in DockerStyle::ALL {
        let good = docker(&[&image], style);
        let layer = good.edit_json("manifest.json", |_| {});
        let name = {
            let manifest: Value = serde_json::from_slice(layer.bytes("manifest.json")).unwrap();
            manifest[0]["Layers"][1].as_str().unwrap().to_owned()
        };
        let path = place.path(format!("{style:?}.tar"));
        // Of the content of the file: no header is damaged.
        layer.flip(&name, 512 + 512).to_archive(&path);
        let outcome = place.run("mount", &[path, place.path("mnt")]);
        outcome.refuses(&format!("{style:?}"), &["layer 2", &image.layers[1].diff_id[7..19]]);
    }
}

#[test]
fn documents_that_are_no_json() {
    let image = good();
    for bytes in ["", "{", "[]", "null", "\u{feff}{}", "not JSON at all"] {
        refused("index.json", &oci(&[&image]).replace("index.json", bytes), &["index.json"]);
    }
    // The digests agree, so that it is read at all.
    let mut manifest = image.clone();
    manifest.manifest = b"{\"schemaVersion\": 2, ".to_vec();
    refused("the manifest", &oci(&[&manifest]), &["manifest"]);
    let config = builder().edit_config(|config| *config = json!("text")).build();
    refused("the configuration", &oci(&[&config]), &["config"]);
    let place = Place::new();
    for (n, bytes) in ["", "{", "{}", "null", "[{}]"].into_iter().enumerate() {
        let path = place.path(format!("{n}.tar"));
        docker(&[&image], DockerStyle::Skopeo).replace("manifest.json", bytes).to_archive(&path);
        place.refuses("manifest.json", &[path], &["manifest.json"]);
    }
    docker(&[], DockerStyle::Skopeo).to_archive(&place.path("none.tar"));
    place.refuses("no image", &["none.tar"], &["none.tar", "no image"]);
}

#[test]
fn documents_that_nest_without_end() {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    refused("brackets", &oci(&[&good()]).replace("index.json", deep(100_000)), &["index.json"]);
}

#[test]
fn wrong_media_types() {
    let other = "application/vnd.example.other";
    let manifest =
        oci(&[&good()]).edit_json("index.json", |index| index["manifests"][0]["mediaType"] = other.into());
    refused("of the manifest", &manifest, &[other]);
    let config = builder().edit_manifest(move |m| m["config"]["mediaType"] = other.into()).build();
    refused("of the configuration", &oci(&[&config]), &[other]);
    let layer = builder().edit_manifest(move |m| m["layers"][1]["mediaType"] = other.into()).build();
    refused("of a layer", &oci(&[&layer]), &["layer 2", other]);
    let foreign = builder()
        .edit_manifest(move |m| m["mediaType"] = "application/vnd.oci.image.index.v1+json".into())
        .build();
    refused("a manifest that says it is an index", &oci(&[&foreign]), &["manifest"]);
}

#[test]
fn more_or_fewer_layers_than_diff_ids() {
    let push = |config: &mut Value| {
        let first = config["rootfs"]["diff_ids"][0].clone();
        config["rootfs"]["diff_ids"].as_array_mut().unwrap().push(first);
    };
    let pop = |config: &mut Value| drop(config["rootfs"]["diff_ids"].as_array_mut().unwrap().pop());
    for (what, image, counts) in [
        ("more", builder().edit_config(push).build(), "3"),
        ("fewer", builder().edit_config(pop).build(), "1"),
    ] {
        refused(what, &oci(&[&image]), &["2", counts, "diff_id"]);
        let place = Place::new();
        let path = place.path("docker.tar");
        docker(&[&image], DockerStyle::Skopeo).to_archive(&path);
        place.refuses(what, &[path], &["2", counts, "diff_id"]);
    }
}

#[test]
fn an_index_that_nests_itself() {
    // No index can hold its own digest, but one can say that it does.
    let own = format!("sha256:{}", "ab".repeat(32));
    let nested = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
        {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": own, "size": 300}
    ]});
    let mut files = oci(&[&good()]).edit_json("index.json", |index| *index = nested.clone());
    files.put(blob_name(&own), nested.to_string());
    refused("by a lie", &files, &[&own[7..19]]);
    // A hundred indexes within each other agree in all digests.
    let image = good();
    let mut files = oci(&[&image]);
    let mut inner = index_of(&[&image]);
    for _ in 0..100 {
        let bytes = inner.to_string().into_bytes();
        inner = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
            {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest(&bytes), "size": bytes.len()}
        ]});
        files.put(blob_name(&digest(&bytes)), bytes);
    }
    let files = files.edit_json("index.json", |index| *index = inner);
    refused("a hundred times", &files, &["nest"]);
}

#[test]
fn digests_that_are_none() {
    for (bad, word) in [
        ("sha256:../../../../etc/passwd", "../../../../etc/passwd"),
        ("../../../etc/passwd", "../../../etc/passwd"),
        ("sha256:abc", "sha256:abc"),
        ("", "digest"),
        ("sha512:0123456789abcdef", "sha512"),
        ("md5:d41d8cd98f00b204e9800998ecf8427e", "md5"),
    ] {
        let image = good();
        let files =
            oci(&[&image]).edit_json("index.json", |index| index["manifests"][0]["digest"] = bad.into());
        refused("of the manifest", &files, &[word]);
        let config = builder().edit_manifest(move |m| m["config"]["digest"] = bad.into()).build();
        refused("of the configuration", &oci(&[&config]), &[word]);
        let layer = builder().edit_manifest(move |m| m["layers"][1]["digest"] = bad.into()).build();
        refused("of a layer", &oci(&[&layer]), &[word]);
        let diff = builder().edit_config(move |c| c["rootfs"]["diff_ids"][1] = bad.into()).build();
        refused("a diff_id", &oci(&[&diff]), &[word]);
    }
}

#[test]
fn a_configuration_or_manifest_that_was_changed() {
    let image = good();
    let config = blob_name(&digest(&image.config));
    refused("the configuration", &oci(&[&image]).flip(&config, 20), &[&digest(&image.config)[7..19]]);
    refused("no configuration", &oci(&[&image]).remove(&config), &[&digest(&image.config)[7..19]]);
    let manifest = blob_name(&digest(&image.manifest));
    refused("the manifest", &oci(&[&image]).flip(&manifest, 20), &[&digest(&image.manifest)[7..19]]);
    refused("no manifest", &oci(&[&image]).remove(&manifest), &[&digest(&image.manifest)[7..19]]);
}

#[test]
fn what_is_no_image() {
    let place = Place::new();
    std::fs::write(place.path("empty"), "").unwrap();
    std::fs::write(place.path("text"), "no image\n".repeat(1000)).unwrap();
    std::fs::write(place.path("a.tar"), tar_of([Entry::file("file", "")])).unwrap();
    std::fs::write(place.path("short.tar"), &tar_of([Entry::file("file", "x")])[..700]).unwrap();
    for name in ["empty", "text", "a.tar", "short.tar"] {
        place.refuses(name, &[place.path(name)], &[name]);
    }
    place.refuses("no such file", &["docker-archive:none.tar"], &["none.tar", "No such file"]);
    place.refuses("no such layout", &["oci:none"], &["none", "No such file"]);
    std::fs::create_dir(place.path("dir")).unwrap();
    place.refuses("an empty directory as a layout", &["oci:dir"], &["dir"]);
}

#[test]
fn a_layout_of_another_version() {
    let files =
        oci(&[&good()]).edit_json("oci-layout", |layout| layout["imageLayoutVersion"] = "2.0.0".into());
    refused("version", &files, &["2.0.0"]);
}

#[test]
fn an_archive_that_is_cut_off() {
    let place = Place::new();
    let archive = docker(&[&good()], DockerStyle::Skopeo).archive();
    // Within a layer, so that the manifest, which comes last, is missing.
    std::fs::write(place.path("cut.tar"), &archive[..700]).unwrap();
    place.refuses("cut", &[place.path("cut.tar")], &["cut.tar"]);
}
