//! `lamina explain`, and what a mount says of each object: `user.lamina.layer` and `user.lamina.shadowed`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use serde_json::{Value, json};

use crate::documented::prints_what_the_page_shows;
use crate::images::{Compression, Entry};
use crate::place::{Place, image_of, outcome, tar_of};
use crate::support::{Errno, sys};

/// Three layers with an answer of each kind.
fn place() -> Place {
    place_owned((3, 4), (5, 6))
}

/// The same for who writes to it: whom else files belong to, nobody but root can give a copy.
fn writable_place() -> Place {
    place_owned((0, 0), (0, 0))
}

fn place_owned(dir: (u64, u64), top: (u64, u64)) -> Place {
    let place = Place::new();
    let base = tar_of([
        Entry::dir("d").mode(0o750).owner(dir.0, dir.1).mtime(1_000_000_000, 0),
        Entry::file("d/a", "base").mode(0o600),
        Entry::file("gone", ""),
        Entry::file("tree/sub/x", ""),
        Entry::file("opaque/old", ""),
        Entry::file("was/f", ""),
        Entry::symlink("link", "d"),
        Entry::fifo("fifo"),
        Entry::char_device("null", 1, 3),
        Entry::file(b"odd\xff\nname", ""),
    ]);
    let middle = tar_of([
        Entry::whiteout("gone"),
        Entry::whiteout("tree"),
        Entry::opaque("opaque"),
        Entry::file("opaque/new", ""),
        Entry::file("was", "a file"),
    ]);
    let top = tar_of([Entry::file("d/a", "other").mode(0o640).owner(top.0, top.1).mtime(1_600_000_000, 9)]);
    place.archive("image.tar", &image_of([base, middle, top], Compression::Gzip));
    place
}

fn explained(place: &Place, source: &OsStr, path: &[u8]) -> Value {
    let said = place.run("explain", &["--json".as_ref(), source, OsStr::from_bytes(path)]).succeeds();
    let mut all: Vec<Value> = serde_json::from_str(&said.out).unwrap();
    assert_eq!(all.len(), 1, "one object a path");
    all.remove(0)
}

/// Status, layer, reason, and what each layer has, the top first.
fn in_short(one: &Value) -> Value {
    let entries: Vec<&Value> =
        one["layers"].as_array().unwrap().iter().map(|layer| &layer["entry"]).collect();
    json!([one["status"], one["layer"], one["reason"], one["by_layer"], entries])
}

#[test]
fn each_answer_is_told_in_json() {
    let place = place();
    for (path, expected) in [
        ("/d/a", json!(["file", 3, null, null, ["file", "absent", "file"]])),
        ("d//../d/./a", json!(["file", 3, null, null, ["file", "absent", "file"]])),
        ("/link/a", json!(["file", 3, null, null, ["file", "absent", "file"]])),
        ("/link", json!(["symlink", 1, null, null, ["absent", "absent", "symlink"]])),
        ("/link/", json!(["directory", 1, null, null, ["directory", "absent", "directory"]])),
        ("/fifo", json!(["fifo", 1, null, null, ["absent", "absent", "fifo"]])),
        ("/null", json!(["device", 1, null, null, ["absent", "absent", "device"]])),
        ("/opaque", json!(["directory", 2, null, null, ["absent", "opaque_directory", "directory"]])),
        ("/", json!(["directory", 3, null, null, ["directory", "directory", "directory"]])),
        ("/none", json!(["absent", null, "never_existed", null, ["absent", "absent", "absent"]])),
        ("/gone", json!(["absent", null, "deleted", 2, ["absent", "whiteout", "file"]])),
        ("/tree/sub/x", json!(["absent", null, "deleted", 2, ["absent", "absent", "file"]])),
        ("/opaque/old", json!(["absent", null, "hidden_by_opaque", 2, ["absent", "absent", "file"]])),
        ("/was/f", json!(["absent", null, "parent_not_a_directory", 2, ["absent", "absent", "file"]])),
        ("/d/a/", json!(["absent", null, "parent_not_a_directory", 3, ["file", "absent", "file"]])),
    ] {
        let one = explained(&place, "image.tar".as_ref(), path.as_bytes());
        assert_eq!(in_short(&one), expected, "{path}");
        assert_eq!(one["path"], path);
    }
    let odd = explained(&place, "image.tar".as_ref(), b"/odd\xff\nname");
    assert_eq!(odd["path"], json!({"bytes": b"/odd\xff\nname"}));
    assert_eq!(odd["status"], "file");
}

#[test]
fn the_json_has_these_fields_in_this_order() {
    let place = place();
    let said = place.run("explain", &["image.tar", "/d/a", "--json"]).succeeds().out;
    let keys: Vec<&str> = said
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.split_once("\":").map(|(key, _)| key))
        .collect();
    let of_path = ["path", "status", "layer", "reason", "by_layer", "layers"];
    let of_layer =
        ["layer", "digest", "diff_id", "instruction", "size", "mode", "uid", "gid", "mtime", "entry"];
    let expected: Vec<&str> = of_path.into_iter().chain([of_layer; 3].concat()).collect();
    assert_eq!(keys, expected, "{said}");

    let one = explained(&place, "image.tar".as_ref(), b"/d/a");
    let top = &one["layers"][0];
    for (field, value) in [
        ("layer", json!(3)),
        ("instruction", json!("COPY . /")),
        ("size", json!(5)),
        ("mode", json!(0o640)),
        ("uid", json!(5)),
        ("gid", json!(6)),
        ("mtime", json!(1_600_000_000)),
        ("entry", json!("file")),
    ] {
        assert_eq!(top[field], value, "{field}");
    }
    let middle = &one["layers"][1];
    for field in ["size", "mode", "uid", "gid", "mtime"] {
        assert_eq!(middle[field], Value::Null, "{field} of what is not there");
    }
    // The tar of the top layer has no entry for the directory itself: it gives it no attributes.
    let dir = explained(&place, "image.tar".as_ref(), b"/d");
    assert_eq!((&dir["layer"], &dir["layers"][0]["mode"]), (&json!(1), &Value::Null));
    assert_eq!(dir["layers"][2]["mode"], 0o750);
}

#[test]
fn people_are_told_in_a_sentence_and_a_table() {
    let place = place();
    for (path, verdict) in [
        ("/d/a", "/d/a: file of layer 3 (COPY . /)"),
        ("/d", "/d: directory, merged from 2 layers; its attributes are those of layer 1 (COPY . /)"),
        (
            "",
            "/: directory, merged from 3 layers; no layer has an entry for it, so that its attributes are implied",
        ),
        ("/gone", "/gone: does not exist: deleted in layer 2 (COPY . /)"),
        ("/tree/sub/x", "/tree/sub/x: does not exist: /tree was deleted in layer 2 (COPY . /)"),
        ("/opaque/old", "/opaque/old: does not exist: hidden by the opaque /opaque of layer 2 (COPY . /)"),
        ("/was/f", "/was/f: does not exist: /was is no directory in layer 2 (COPY . /)"),
        ("/none/none", "/none/none: does not exist: no layer has /none"),
    ] {
        let said = place.run("explain", &["image.tar", path]).succeeds().out;
        assert_eq!(said.lines().next(), Some(verdict), "{said}");
        assert!(!said.contains('\u{1b}'), "no colours where no terminal is");
    }
    let odd =
        place.run("explain", &[OsStr::new("image.tar"), OsStr::from_bytes(b"/odd\xff\nname")]).succeeds();
    assert!(odd.out.starts_with("/odd\\xff\\nname: file of layer 1 "), "{}", odd.out);
    let linked = place.run("explain", &["image.tar", "/link/a"]).succeeds().out;
    assert_eq!(linked.lines().nth(1), Some("  by the symlink /link -> d"), "{linked}");
}

#[test]
fn what_cannot_be_explained_is_an_error_that_names_the_path() {
    let place = place();
    let long = format!("/{}", "n".repeat(300));
    place.run("explain", &["image.tar", &long]).refuses("a name of 300 bytes", &["/nnn", "too long"]);
    // The others are explained all the same.
    let paths = [&long, "/d/a", "/none", &long.replace('n', "m")];
    let mixed = place.run("explain", &[&["image.tar"], &paths[..]].concat());
    assert_eq!(mixed.code, 1, "{mixed:?}");
    let verdicts: Vec<&str> = mixed.out.lines().filter(|line| line.starts_with('/')).collect();
    assert!(verdicts[0].starts_with("/d/a: file") && verdicts[1].starts_with("/none: does not"), "{mixed:?}");
    assert_eq!(verdicts.len(), 2, "{mixed:?}");
    assert!(mixed.err.contains("/nnn") && mixed.err.contains("/mmm"), "{mixed:?}");
    let mixed = place.run("explain", &[&["image.tar", "--json"], &paths[..]].concat());
    assert_eq!(mixed.code, 1, "{mixed:?}");
    let said: Value = serde_json::from_str(&mixed.out).unwrap();
    let told: Vec<&Value> = said.as_array().unwrap().iter().map(|one| &one["path"]).collect();
    assert_eq!(told, ["/d/a", "/none"]);
    let none = place.run("explain", &["image.tar", "--json", &long]);
    assert_eq!((none.code, none.out.trim()), (1, "[]"));
    place.run("explain", &["nothing.tar", "/"]).refuses("no source", &["nothing.tar"]);
    let usage = outcome(place.lamina().args(["explain", "image.tar"]));
    assert_eq!(usage.code, 2, "{usage:?}");
}

#[test]
fn a_live_mount_is_explained_with_its_upper() {
    let place = writable_place();
    fs::create_dir(place.path("upper")).unwrap();
    let mounted = place.mount(&["--upper".as_ref(), place.path("upper").as_os_str(), "image.tar".as_ref()]);
    fs::write(mounted.at("d/a"), "mine").unwrap();
    fs::remove_file(mounted.at("opaque/new")).unwrap();
    fs::rename(mounted.at("d"), mounted.at("moved")).unwrap();
    let point = mounted.at("");
    let explain = |path: &str| in_short(&explained(&place, point.as_os_str(), path.as_bytes()));
    assert_eq!(explain("/moved/a"), json!(["file", 4, null, null, ["file", "file", "absent", "file"]]));
    assert_eq!(explain("/d/a"), json!(["absent", null, "deleted", 4, ["absent", "file", "absent", "file"]]));
    assert_eq!(
        explain("/opaque/new"),
        json!(["absent", null, "deleted", 4, ["whiteout", "absent", "file", "absent"]])
    );
    assert_eq!(explain("/fifo"), json!(["fifo", 1, null, null, ["absent", "absent", "absent", "fifo"]]));
    let said = place.run("explain", &[point.as_os_str(), "/moved/a".as_ref()]).succeeds().out;
    assert!(said.starts_with("/moved/a: file of layer 4 (the upper)\n"), "{said}");
    assert!(said.contains("(file at /d/a)"), "the redirect is shown:\n{said}");
}

#[test]
fn a_mount_says_which_layer_supplies_an_object_and_which_it_hides() {
    let place = writable_place();
    fs::create_dir(place.path("upper")).unwrap();
    let mounted = place.mount(&["--upper".as_ref(), place.path("upper").as_os_str(), "image.tar".as_ref()]);
    let get = |path: &str, name: &str| {
        let value = sys::get_xattr(&mounted.at(path), name.as_bytes());
        value.map(|value| String::from_utf8(value).unwrap())
    };
    let layers = place.run("layers", &["image.tar", "--json"]).succeeds().out;
    let layers: Vec<Value> = serde_json::from_str(&layers).unwrap();
    let told = |number: usize| format!("{number} {}", layers[number - 1]["diff_id"].as_str().unwrap());
    assert_eq!(get("d/a", "user.lamina.layer"), Ok(told(3)));
    assert_eq!(get("d/a", "user.lamina.shadowed"), Ok(told(1)));
    assert_eq!(get("d", "user.lamina.layer"), Ok(told(1)));
    assert_eq!(get("d", "user.lamina.shadowed"), Ok(String::new()), "its parts are merged");
    assert_eq!(get("opaque", "user.lamina.layer"), Ok(told(2)));
    assert_eq!(get("opaque", "user.lamina.shadowed"), Ok(told(1)));
    let names = sys::list_xattr(&mounted.at("d/a")).unwrap();
    assert!(!names.iter().any(|name| name.starts_with(b"user.lamina")), "they are not listed");
    for name in [&b"user.lamina.layer"[..], b"user.lamina.shadowed"] {
        let set = sys::set_xattr(&mounted.at("d/a"), name, b"x", sys::SetXattr::Always);
        assert_eq!(set, Err(Errno::EPERM));
        assert_eq!(sys::remove_xattr(&mounted.at("d/a"), name), Err(Errno::EPERM));
    }
    fs::write(mounted.at("d/a"), "mine").unwrap();
    assert_eq!(get("d/a", "user.lamina.layer"), Ok("4".to_owned()), "the upper has no digest");
    assert_eq!(get("d/a", "user.lamina.shadowed"), Ok(format!("{},{}", told(3), told(1))));
}

#[test]
fn every_line_of_the_example_in_the_documents_is_printed() {
    prints_what_the_page_shows("explain", &[0; 5]);
}
