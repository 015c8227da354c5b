//! Tars that are wrong or mean harm: exit code 1, an error that names the layer and the entry, nothing mounted, nothing in the
//! store, nothing written outside.

use std::fs;

use crate::images::{Compression, DockerStyle, Entry, ImageBuilder, Layer, Sparse, TarBuilder, docker};
use crate::place::{Format, Place, image_of, tar_of};

/// Whether a layer that is refused is wrong by itself, and so may not be stored, or in its place only.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    ByItself,
    AboveTheLayersBelow,
}

/// Layer 2 of 2 is this tar, in a gzip blob and in a plain archive: neither may be mounted.
#[track_caller]
fn refused(what: &str, tar: Vec<u8>, words: &[&str]) {
    refused_because(Wrong::ByItself, what, tar, words);
}

/// As above, for a layer that is good where a link's target is below it, and is not here.
#[track_caller]
fn refused_here(what: &str, tar: Vec<u8>, words: &[&str]) {
    refused_because(Wrong::AboveTheLayersBelow, what, tar, words);
}

#[track_caller]
fn refused_because(wrong: Wrong, what: &str, tar: Vec<u8>, words: &[&str]) {
    for compression in [Compression::Gzip, Compression::None] {
        let mut place = Place::new();
        let bad = image_of([tar_of([Entry::file("good", "")]), tar.clone()], compression);
        let format = Format::OciArchive;
        place.may_store(&bad.layers[0]);
        if wrong == Wrong::AboveTheLayersBelow {
            place.may_store(&bad.layers[1]);
        }
        let path = place.write("bad.tar", format, &format.files(&[&bad]));
        let all = [&["layer 2", "bad.tar", &bad.layers[1].digest[7..19]], words].concat();
        place.refuses(&format!("{what}, {compression}"), &[path], &all);
    }
}

#[test]
fn names_that_lead_out() {
    refused("..", tar_of([Entry::file("usr/../x", "")]), &["usr/../x", "'..'"]);
    refused(
        ".. first",
        tar_of([Entry::file("../../../../tmp/lamina-was-here", "x")]),
        &["lamina-was-here", "'..'"],
    );
    refused(".. last", tar_of([Entry::dir("usr/..")]), &["usr/..", "'..'"]);
    refused("a directory ..", tar_of([Entry::dir("/..")]), &["'..'"]);
    assert!(!fs::exists("/tmp/lamina-was-here").unwrap());
}

#[test]
fn links_that_lead_out() {
    refused(
        "a hard link out",
        tar_of([Entry::hardlink("ln", "../../etc/passwd")]),
        &["'ln'", "target of the hard link", "'..'"],
    );
    refused_here(
        "a hard link to nothing",
        tar_of([Entry::hardlink("ln", "nowhere/to")]),
        &["'ln'", "nowhere/to"],
    );
    refused_here("a hard link to itself", tar_of([Entry::hardlink("ln", "ln")]), &["'ln'"]);
    refused_here(
        "hard links in a circle",
        tar_of([Entry::hardlink("one", "two"), Entry::hardlink("two", "one")]),
        &["one", "two"],
    );
    refused(
        "a hard link to a directory",
        tar_of([Entry::dir("dir"), Entry::hardlink("ln", "dir")]),
        &["'ln'", "dir"],
    );
    refused(
        "symlinks as parents in a circle",
        tar_of([Entry::symlink("a", "b"), Entry::symlink("b", "a"), Entry::file("a/x", "")]),
        &["a/x"],
    );
}

#[test]
fn whiteouts_that_are_none() {
    refused("of .", tar_of([Entry::file("dir/.wh..", "")]), &["dir/.wh.."]);
    refused("of ..", tar_of([Entry::file("dir/.wh...", "")]), &["dir/.wh..."]);
    refused("alone", tar_of([Entry::file("dir/.wh.", "")]), &["dir/.wh."]);
}

#[test]
fn names_too_long() {
    let name = "n".repeat(5000);
    refused("5000 bytes", tar_of([Entry::file(&name, "")]), &["nnnnnnnn", "255"]);
    refused("5000 bytes, as GNU tar has it", tar_of([Entry::file(&name, "").gnu()]), &["nnnnnnnn", "255"]);
    refused("256 bytes in a directory", tar_of([Entry::file(format!("d/{}/f", &name[..256]), "")]), &["255"]);
}

#[test]
fn a_file_where_a_parent_should_be() {
    refused("a file", tar_of([Entry::file("a", ""), Entry::file("a/b", "")]), &["a/b"]);
    refused("a device", tar_of([Entry::char_device("a", 1, 3), Entry::dir("a/b")]), &["a/b"]);
}

#[test]
fn sizes_beyond_the_data() {
    let big = |size| TarBuilder::new().add(Entry::file("big", "little").declared_size(size)).finish();
    refused("a terabyte", big(1 << 40), &["big"]);
    refused(
        "one block more",
        TarBuilder::new().add(Entry::file("big", "x").declared_size(1025)).finish_padded(0),
        &["big"],
    );
    refused("the largest", big(i64::MAX as u64), &["big"]);
    refused("negative", big((-5i64) as u64), &["size", "-5"]);
    let wide = Entry::file("big", "")
        .patch(124, &[0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    refused("beyond 64 bits", tar_of([wide]), &["big"]);
    let record = Entry::file("big", "x").record("size", "99999999999999999999999");
    refused("beyond 64 bits, by PAX", tar_of([record]), &["size", "99999999999999999999999"]);
}

#[test]
fn truncated_tars() {
    let whole = tar_of([Entry::file("first", "1"), Entry::file("second", vec![b'x'; 10_000])]);
    refused("within the data", whole[..4000].to_vec(), &["second"]);
    refused("within a header", whole[..1024 + 100].to_vec(), &[]);
    refused("within PAX records", tar_of([Entry::file("n".repeat(200), "")])[..600].to_vec(), &[]);
}

#[test]
fn headers_that_are_none() {
    let tar = |entry| TarBuilder::new().add(Entry::file("before", "")).add(entry).finish();
    refused("a wrong checksum", tar(Entry::file("wrong", "").bad_checksum()), &["checksum"]);
    refused("letters in a number", tar(Entry::file("wrong", "").patch(100, b"rwxr-xr\0")), &["wrong"]);
    refused("no tar at all", vec![b'x'; 4096], &[]);
    refused(
        "a record longer than it is",
        {
            let mut tar = tar_of([Entry::file("long", "").xattr("user.a", "b")]);
            // The first record's length: more than there is.
            tar[512..514].copy_from_slice(b"99");
            tar
        },
        &[],
    );
    refused("a record for a name with a NUL byte", tar(Entry::file("x", "").record("path", b"a\0b")), &[]);
}

#[test]
fn sparse_maps_that_lie() {
    let sparse = |map: &str, size: &str| {
        tar_of([Entry::file("holes", [1; 1024])
            .record("GNU.sparse.size", size)
            .record("GNU.sparse.numblocks", "2")
            .record("GNU.sparse.map", map)])
    };
    refused("beyond the size", sparse("0,512,99488,1024", "100000"), &["holes"]);
    refused("overlapping", sparse("0,1000,500,24", "100000"), &["holes"]);
    refused("backwards", sparse("5000,512,0,512", "100000"), &["holes"]);
    refused("more than the data", sparse("0,512,5000,512000", "1000000"), &["holes"]);
    refused(
        "past the end of numbers",
        sparse("0,512,18446744073709551615,512", "100000"),
        &["sparse map", "18446744073709551615"],
    );
    refused("no numbers", sparse("0,512,x,512", "100000"), &["sparse map", "'x'"]);
    // Four pieces fill the header, which says that the map goes on; what follows is data.
    let pieces: Vec<(u64, &[u8])> = (0..4).map(|n| (n * 1024, &[1; 512][..])).collect();
    let unfinished = Entry::sparse("holes", Sparse::Gnu, 3 * 1024 + 512, &pieces).patch(482, &[1]);
    refused("a map that goes on in what is data", tar_of([unfinished]), &["holes"]);
}

#[test]
fn truncated_gzip_and_zstd() {
    // Not compressible, so that half of the blob is about half of the tar.
    let noise: Vec<u8> = (0..100_000u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).rotate_left(n % 31).to_le_bytes())
        .collect();
    let tar = tar_of([Entry::file("noise", noise)]);
    for compression in [Compression::Gzip, Compression::Zstd] {
        for (what, keep) in [("half", 2), ("all but the end", 1)] {
            let mut stored = compression.compress(&tar);
            stored.truncate(if keep == 2 { stored.len() / 2 } else { stored.len() - 4 });
            let layer = Layer::new(tar.clone()).compressed(compression).stored_as(stored);
            let image = ImageBuilder::new().layer(layer).build();
            let place = Place::new();
            let path = place.write("i.tar", Format::OciArchive, &Format::OciArchive.files(&[&image]));
            let name = compression.to_string();
            place.refuses(&format!("{what} of {name}"), &[path], &["layer 1", "i.tar", &name]);
        }
    }
}

#[test]
fn compressed_data_that_is_damaged() {
    let tar = tar_of([Entry::file("file", vec![7; 50_000])]);
    for compression in [Compression::Gzip, Compression::Zstd] {
        let mut stored = compression.compress(&tar);
        let middle = stored.len() / 2;
        stored[middle] ^= 0xff;
        let image = ImageBuilder::new()
            .layer(Layer::new(tar.clone()).compressed(compression).stored_as(stored))
            .build();
        let place = Place::new();
        let path = place.write("i.tar", Format::OciArchive, &Format::OciArchive.files(&[&image]));
        place.refuses(&format!("{compression}"), &[path], &["layer 1", "i.tar"]);
    }
}

#[test]
fn a_bomb_is_limited() {
    let tar = tar_of([Entry::file("zeroes", vec![0; 64 << 20])]);
    for compression in [Compression::Gzip, Compression::Zstd] {
        let place = Place::new();
        let image = image_of([tar.clone()], compression);
        let path = place.write("i.tar", Format::OciArchive, &Format::OciArchive.files(&[&image]));
        place.refuses(
            &format!("{compression}"),
            &["--max-unpacked".as_ref(), "1048576".as_ref(), path.as_os_str()],
            &["layer 1", "i.tar", "--max-unpacked"],
        );
        // It is no bomb for who allows it.
        let mounted = place.mount(&["--max-unpacked".as_ref(), "128M".as_ref(), path.as_os_str()]);
        assert_eq!(mounted.stat("zeroes").len(), 64 << 20);
    }
}

#[test]
fn a_tar_that_is_another_than_its_diff_id() {
    let other = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let wanted = other.clone();
    let image = ImageBuilder::new()
        .layer(Layer::new(tar_of([Entry::file("good", "")])))
        .layer(Layer::new(tar_of([Entry::file("other", "")])).compressed(Compression::Gzip))
        .edit_config(move |config| config["rootfs"]["diff_ids"][1] = other.into())
        .build();
    let found = &image.layers[1].diff_id;
    let place = Place::new();
    for format in Format::ALL {
        let path = place.write(&format!("{format:?}"), format, &format.files(&[&image]));
        let outcome = place.run("mount", &[path, place.path("mnt")]);
        outcome.refuses(&format!("{format:?}"), &["layer 2", "diff_id", &wanted[7..19], &found[7..19]]);
        assert!(!place.stored().iter().any(|name| name.contains(&found[7..]) || name.contains(&wanted[7..])));
    }
}

#[test]
fn a_layer_of_a_docker_archive_that_is_no_file_of_it() {
    let image = image_of([tar_of([Entry::file("file", "")])], Compression::None);
    let place = Place::new();
    for (what, layer, word) in [
        ("out of the archive", "../../../../etc/passwd", "../../../../etc/passwd"),
        ("absolute", "/etc/passwd", "/etc/passwd"),
        ("missing", "nowhere/layer.tar", "nowhere/layer.tar"),
    ] {
        let layer = layer.to_owned();
        let files = docker(&[&image], DockerStyle::Skopeo)
            .edit_json("manifest.json", |manifest| manifest[0]["Layers"][0] = layer.into());
        let path = place.path(format!("{what}.tar"));
        files.to_archive(&path);
        place.refuses(what, &[path], &[word]);
    }
    for (what, target) in [
        ("a link out", "../../../../etc/passwd"),
        ("a link to itself", "link/layer.tar"),
        ("absolute", "/etc/passwd"),
    ] {
        let mut files = docker(&[&image], DockerStyle::Skopeo)
            .edit_json("manifest.json", |manifest| manifest[0]["Layers"][0] = "link/layer.tar".into());
        files.put_link("link/layer.tar", if target == "link/layer.tar" { "layer.tar" } else { target });
        let path = place.path(format!("{what}, linked.tar"));
        files.to_archive(&path);
        place.refuses(what, &[path], &["link/layer.tar"]);
    }
}
