//! Which image of several is meant: tags, references, platforms. What is ambiguous is an error that lists them.

use crate::images::{
    Built, Compression, DockerStyle, Entry, ImageBuilder, Layer, architecture, docker, oci, oci_nested,
};
use crate::place::{Format, Place, image_of, tar_of};

fn tagged(name: &str, tags: &[&str], platform: Option<&str>) -> Built {
    let layer = Layer::new(tar_of([Entry::file(name, "")])).compressed(Compression::Gzip);
    let builder = tags.iter().fold(ImageBuilder::new().layer(layer), |builder, tag| builder.tag(tag));
    match platform {
        Some(platform) => builder.platform(platform).build(),
        None => builder.build(),
    }
}

fn other_architecture() -> &'static str {
    if architecture() == "riscv64" { "linux/s390x" } else { "linux/riscv64" }
}

#[test]
fn several_tags() {
    let place = Place::new();
    let files = oci(&[&tagged("one", &["v1", "stable"], None), &tagged("two", &["v2"], None)]);
    for format in [Format::OciDir, Format::OciArchive] {
        let path = place.write(&format!("{format:?}"), format, &files);
        place.refuses("ambiguous", &[&path], &["v1", "stable", "v2", "--tag"]);
        assert_eq!(place.mount(&["--tag".as_ref(), "v2".as_ref(), path.as_os_str()]).names(""), ["two"]);
        let named = |tag: &str| format!("{}:{}:{tag}", format.transport(), path.display());
        assert_eq!(place.mount(&[named("stable")]).names(""), ["one"]);
        assert_eq!(place.mount(&[named("v1")]).names(""), ["one"]);
        place.refuses("no such tag", &[named("v3")], &["v3", "v1", "v2"]);
    }
}

#[test]
fn two_tags_of_one_image_are_not_ambiguous() {
    let place = Place::new();
    let files = oci(&[&tagged("one", &["v1", "stable"], None)]);
    let path = place.write("image", Format::OciDir, &files);
    assert_eq!(place.mount(&[path]).names(""), ["one"]);
}

#[test]
fn several_references_in_a_docker_archive() {
    let place = Place::new();
    let images = ["one", "two"].map(|name| {
        let layer = Layer::new(tar_of([Entry::file(name, "")]));
        ImageBuilder::new().layer(layer).tag(&format!("localhost:5000/test/{name}:latest")).build()
    });
    let path = place.path("images.tar");
    docker(&[&images[0], &images[1]], DockerStyle::Skopeo).to_archive(&path);
    place.refuses(
        "ambiguous",
        &[&path],
        &["localhost:5000/test/one:latest", "localhost:5000/test/two:latest"],
    );
    let named = |reference: &str| format!("docker-archive:{}:{reference}", path.display());
    assert_eq!(place.mount(&[named("localhost:5000/test/two:latest")]).names(""), ["two"]);
    place.refuses("no such", &[named("localhost:5000/test/three:latest")], &["three", "test/one"]);
}

#[test]
fn several_platforms() {
    let place = Place::new();
    let here = tagged("here", &[], None);
    let there = tagged("there", &[], Some(other_architecture()));
    let path = place.write("image", Format::OciDir, &oci_nested(&[&there, &here], "latest"));
    assert_eq!(place.mount(&[&path]).names(""), ["here"], "this machine's by default");
    let arguments = ["--platform".as_ref(), other_architecture().as_ref(), path.as_os_str()];
    assert_eq!(place.mount(&arguments).names(""), ["there"]);
    let arguments = ["--platform".as_ref(), "linux/mips".as_ref(), path.as_os_str()];
    place.refuses("no such platform", &arguments, &["linux/mips", other_architecture()]);
}

#[test]
fn the_only_platform_is_taken_though_it_is_anothers() {
    // A root file system can be looked at on any machine; where there is nothing to choose, nothing is asked.
    let place = Place::new();
    let image = tagged("there", &["latest"], Some(other_architecture()));
    let path = place.write("image", Format::OciDir, &oci(&[&image]));
    assert_eq!(place.mount(&[path]).names(""), ["there"]);
}

#[test]
fn a_path_that_looks_like_a_transport() {
    let place = Place::new();
    let image = image_of([tar_of([Entry::file("file", "")])], Compression::None);
    let path = place.path("oci:x");
    docker(&[&image], DockerStyle::Skopeo).to_archive(&path);
    // Relative to the directory where the program runs.
    assert_eq!(place.mount(&["./oci:x"]).names(""), ["file"]);
}

#[test]
fn content_and_not_the_name_says_what_it_is() {
    let place = Place::new();
    let image = image_of([tar_of([Entry::file("file", "")])], Compression::None);
    docker(&[&image], DockerStyle::Old).to_archive(&place.path("image.oci"));
    oci(&[&image]).to_archive(&place.path("docker-image"));
    oci(&[&image]).to_dir(&place.path("layer.tar"));
    for name in ["image.oci", "docker-image", "layer.tar"] {
        assert_eq!(place.mount(&[name]).names(""), ["file"], "{name}");
    }
}
