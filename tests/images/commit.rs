//! `lamina commit`: what a mount shows is what the image holds that is made of it, in every format.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use serde_json::Value;

use crate::images::{Compression, Entry};
use crate::place::{Mounted, Place, image_of, outcome, tar_of};
use crate::rows::rows;

/// A place with `image.tar` of two layers.
fn place() -> Place {
    let place = Place::new();
    let base = tar_of([
        Entry::dir("dir").mode(0o750),
        Entry::file("dir/one", "one").mtime(1_000_000_000, 7),
        Entry::dir("dir/sub"),
        Entry::file("dir/sub/deep", "deep"),
        Entry::hardlink("dir/sub/deeper", "dir/sub/deep"),
        Entry::file("gone", "gone"),
        Entry::dir("emptied"),
        Entry::file("emptied/old", "old"),
        Entry::file("noted", "n").xattr("user.note", "kept"),
    ]);
    let top = tar_of([Entry::file("two", "two"), Entry::symlink("link", "dir/one")]);
    place.archive("image.tar", &image_of([base, top], Compression::Gzip));
    place
}

/// Mounts it with an upper, and changes what can be changed.
fn changed(place: &Place) -> Mounted {
    fs::create_dir_all(place.path("upper")).unwrap();
    fs::set_permissions(place.path("upper"), fs::Permissions::from_mode(0o755)).unwrap();
    let mounted = place.mount(&["--upper".as_ref(), place.path("upper").as_os_str(), "image.tar".as_ref()]);
    fs::rename(mounted.at("dir"), mounted.at("moved")).unwrap();
    fs::write(mounted.at("moved/one"), "changed").unwrap();
    fs::remove_file(mounted.at("gone")).unwrap();
    fs::remove_dir_all(mounted.at("emptied")).unwrap();
    fs::create_dir(mounted.at("emptied")).unwrap();
    fs::write(mounted.at("emptied/new"), "new").unwrap();
    fs::hard_link(mounted.at("emptied/new"), mounted.at("linked")).unwrap();
    fs::write(mounted.at("n".repeat(200)), "long").unwrap();
    symlink("t".repeat(300), mounted.at("long-target")).unwrap();
    fs::set_permissions(mounted.at("noted"), fs::Permissions::from_mode(0o4711)).unwrap();
    mounted
}

#[test]
fn the_image_is_the_tree_that_the_mount_showed() {
    let place = place();
    let mounted = changed(&place);
    let shown = rows(&mounted.at(""));
    let targets = [
        ("oci:layout:one", &["--compression", "zstd"][..]),
        ("oci:layout:two", &[]),
        ("oci-archive:new.oci:three", &["--compression", "none"]),
        ("docker-archive:new.docker:app:four", &[]),
    ];
    for (target, more) in targets {
        let live = ["--base", "image.tar", "mnt", target];
        place.run("commit", &[&live[..], more].concat()).succeeds();
    }
    drop(mounted);
    for (target, _) in targets {
        let again = place.mount(&[target]);
        let found = rows(&again.at(""));
        assert_eq!(found, shown, "{target}");
        assert_eq!(again.stat("moved/sub/deep").ino(), again.stat("moved/sub/deeper").ino());
    }
}

#[test]
fn a_mount_knows_its_base_and_what_is_said_of_it_is_kept() {
    let place = place();
    let mounted = changed(&place);
    let commit = |target: &str| {
        let mut command = place.command("commit", &["mnt", target, "-m", "why", "--author", "me"]);
        outcome(command.env("SOURCE_DATE_EPOCH", "1700000000")).succeeds().out
    };
    let id = commit("oci-archive:one.tar:x");
    // The same tree gives the same bytes.
    assert_eq!(commit("oci-archive:two.tar:x"), id);
    assert!(fs::read(place.path("one.tar")).unwrap() == fs::read(place.path("two.tar")).unwrap());
    drop(mounted);

    let said = outcome(place.lamina().args(["inspect", "--json", "one.tar"])).succeeds().out;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["config_digest"].as_str(), Some(id.trim()));
    assert_eq!(said["layers"].as_array().unwrap().len(), 3);
    assert_eq!(
        (said["author"].as_str(), said["created"].as_str()),
        (Some("me"), Some("2023-11-14T22:13:20Z"))
    );
    let rows = place.run("layers", &["one.tar"]).succeeds().out;
    assert!(rows.contains("lamina commit -m 'why'"), "{rows}");
}

#[test]
fn without_a_base_an_upper_is_an_image_of_one_layer() {
    let place = Place::new();
    fs::create_dir_all(place.path("upper/dir")).unwrap();
    fs::write(place.path("upper/dir/file"), "content").unwrap();
    let done = place.run("commit", &["upper", "oci:new:tag"]).succeeds();
    assert!(
        done.err.contains("layer 1 (sha256:") && done.err.contains("3 entries, 0 deletions"),
        "{}",
        done.err
    );
    let quiet = place.run("commit", &["--quiet", "upper", "oci:new:other"]).succeeds();
    assert_eq!(quiet.err, "");
    assert_eq!(place.mount(&["oci:new:tag"]).text("dir/file"), "content");
}

#[test]
fn what_cannot_be_committed_is_told_and_nothing_is_left() {
    let place = place();
    fs::create_dir_all(place.path("upper/d/.wh.x")).unwrap();
    fs::write(place.path("there"), "mine").unwrap();
    let before = fs::read_dir(place.path("")).unwrap().count();
    for (args, words) in [
        (&["none", "oci:new:t"][..], &["source 'none'", "No such file"][..]),
        (&["image.tar", "oci:new:t"], &["'image.tar' is not a directory"]),
        (&["upper", "oci:new:t"], &["'/d/.wh.x' cannot be put into a layer", "rename it in the mount"]),
        (&["upper", "oci:there:t"], &["open layout 'there': Not a directory"]),
        (&["upper", "docker-archive:there"], &["image 'there': it exists", "--force"]),
        (&["upper", "oci:new:t", "--base", "missing.tar"], &["missing.tar"]),
        (&["upper", "oci:no/where:t"], &["make directory 'no/where'"]),
    ] {
        place.run("commit", args).refuses(&args.join(" "), words);
    }
    for (args, words) in [
        (
            &["upper", "new.tar"][..],
            &["target 'new.tar': the format is missing", "oci-archive:new.tar:TAG"][..],
        ),
        (&["upper", "oci:new:-x"], &["'-x' is not a tag"]),
        (&["upper", "docker-archive:new:App"], &["'App' is not the name of an image"]),
        (&["upper", "docker-archive:new:app", "--compression", "gzip"], &["holds layers uncompressed"]),
        (&["upper", "containers-storage:app"], &["podman load"]),
    ] {
        let said = place.run("commit", args);
        assert_eq!(said.code, 2, "{args:?}: {}", said.err);
        assert!(words.iter().all(|word| said.err.contains(word)), "{args:?}: {}", said.err);
    }
    assert_eq!(fs::read(place.path("there")).unwrap(), b"mine");
    let after: Vec<_> = fs::read_dir(place.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(after.len() <= before + 1, "only the store may be new: {after:?}");
}

#[test]
fn a_mount_of_other_layers_wants_to_be_told_its_base() {
    let place = place();
    fs::create_dir(place.path("upper")).unwrap();
    fs::create_dir(place.path("patch")).unwrap();
    fs::write(place.path("patch/p"), "").unwrap();
    let upper = place.path("upper");
    let mounted =
        place.mount(&["--upper".as_ref(), upper.as_os_str(), "patch".as_ref(), "image.tar".as_ref()]);
    fs::write(mounted.at("new"), "").unwrap();
    let words = &["not those of one image", "--base IMAGE"];
    place.run("commit", &["mnt", "oci:new:t"]).refuses("a mixed stack", words);
    place.run("commit", &["mnt", "oci:new:t", "--base", "image.tar"]).succeeds();
    drop(mounted);
    let mounted = place.mount(&["image.tar"]);
    place.run("commit", &["mnt", "oci:new:t"]).refuses("a mount without upper", &["has no upper"]);
    drop(mounted);
}
