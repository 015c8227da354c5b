//! A look into images without a mount: `lamina ls`, `cat` and `extract`.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::documented::prints_what_the_page_shows;
use crate::images::{Compression, DockerStyle, Entry, ImageBuilder, Layer, Sparse, docker};
use crate::place::{Outcome, Place, image_of, outcome, tar_of};
use crate::rows::{assert_rows, rows};
use crate::support::Who;
use crate::tree;

/// Three layers: files that are overwritten, deleted and linked to from above.
fn image(place: &Place) -> PathBuf {
    let base = tar_of([
        Entry::dir("etc"),
        Entry::file("etc/.hidden", "."),
        Entry::symlink("etc/link", "passwd"),
        Entry::file("etc/passwd", "root").mode(0o640).owner(0, 42),
        Entry::dir("old"),
        Entry::file("old/file", "of the base"),
        Entry::file("odd\n\u{e9}", "odd"),
        Entry::symlink("conf", "etc"),
        Entry::sparse("holes", Sparse::Pax10, 5000, &[(4096, b"data")]),
    ]);
    let middle = tar_of([
        Entry::dir("dev"),
        Entry::char_device("dev/null", 1, 3).mode(0o666),
        Entry::whiteout("old/file"),
        Entry::file("etc/suid", "suid").mode(0o4755),
    ]);
    let top = tar_of([
        Entry::file("etc/passwd", "others"),
        Entry::hardlink("etc/hard", "etc/suid"),
        Entry::whiteout("odd\n\u{e9}"),
        Entry::whiteout("nothing"),
    ]);
    let image = ImageBuilder::new()
        .layer(Layer::new(base).by("ADD rootfs /"))
        .step("ENV A=b")
        .layer(Layer::new(middle).by("RUN /bin/sh -c rm /old/file # buildkit"))
        .layer(Layer::new(top).compressed(Compression::Gzip))
        .build();
    let path = place.path("image.tar");
    docker(&[&image], DockerStyle::Skopeo).to_archive(&path);
    path
}

fn run(place: &Place, command: &str, args: &[&str]) -> Outcome {
    place.run(command, &[&["image.tar"], args].concat())
}

#[track_caller]
fn lists(place: &Place, args: &[&str], expected: &[&str]) {
    let said = run(place, "ls", args).succeeds();
    assert_eq!(said.out.lines().collect::<Vec<_>>(), expected, "ls {args:?}");
    assert_eq!(said.err, "", "ls {args:?}");
}

#[test]
fn ls_tells_the_layer_of_each_name() {
    let place = Place::new();
    image(&place);
    lists(
        &place,
        &[],
        &["LAYER  NAME", "1      conf", "2      dev", "1      etc", "1      holes", "1      old"],
    );
    let etc = [
        "LAYER  MODE        LINKS  OWNER  SIZE  MODIFIED             NAME",
        "1      -rw-r--r--      1  0:0       1  2020-09-13 12:26:40  .hidden",
        "3      -rwsr-xr-x      1  0:0       4  2020-09-13 12:26:40  hard",
        "1      lrwxrwxrwx      1  0:0       6  2020-09-13 12:26:40  link -> passwd",
        "3      -rw-r--r--      1  0:0       6  2020-09-13 12:26:40  passwd",
        "2      -rwsr-xr-x      1  0:0       4  2020-09-13 12:26:40  suid",
    ];
    lists(&place, &["-l", "/etc"], &etc);
    lists(&place, &["-la", "conf/"], &etc);
    // A symlink itself, and, without -l, where it leads.
    lists(
        &place,
        &["-l", "/conf"],
        &[etc[0], "1      lrwxrwxrwx      1  0:0       3  2020-09-13 12:26:40  /conf -> etc"],
    );
    let names =
        ["LAYER  NAME", "1      .hidden", "3      hard", "1      link", "3      passwd", "2      suid"];
    lists(&place, &["/conf"], &names);
    lists(&place, &["conf/link"], &["LAYER  NAME", "1      conf/link"]);
    lists(
        &place,
        &["-l", "dev"],
        &[
            "LAYER  MODE        LINKS  OWNER  SIZE  MODIFIED             NAME",
            "2      crw-rw-rw-      1  0:0     1,3  2020-09-13 12:26:40  null",
        ],
    );
    run(&place, "ls", &["/none"])
        .refuses("a missing path", &["'/none' in 'image.tar' does not exist: no layer has"]);
    run(&place, "ls", &["etc/passwd/"]).refuses("a slash", &["etc/passwd", "no directory in layer 3"]);
    // It is said of the layers that were looked into, and of no other.
    run(&place, "ls", &["--layer", "3", "/dev"])
        .refuses("one layer", &["does not exist: layer 3 has no /dev"]);
    run(&place, "ls", &["--up-to", "1", "/dev"])
        .refuses("a lower stack", &["does not exist: no layer up to 1 has /dev"]);
}

#[test]
fn ls_shows_what_is_deleted_and_all_that_is_below() {
    let place = Place::new();
    image(&place);
    lists(
        &place,
        &["-R", "--deleted"],
        &[
            "LAYER  NAME",
            "1      conf",
            "2      dev",
            "2      dev/null",
            "1      etc",
            "1      etc/.hidden",
            "3      etc/hard",
            "1      etc/link",
            "3      etc/passwd",
            "2      etc/suid",
            "1      holes",
            "3      nothing (deleted)",
            "3      odd\\né (deleted)",
            "1      old",
            "2      old/file (deleted)",
        ],
    );
    lists(&place, &["old"], &[]);
}

#[test]
fn one_layer_and_the_stack_up_to_one() {
    let place = Place::new();
    image(&place);
    lists(
        &place,
        &["-R", "--deleted", "--layer", "3"],
        &[
            "LAYER  NAME",
            "3      etc",
            // Its target is in a layer below.
            "3      etc/hard",
            "3      etc/passwd",
            "3      nothing (deleted)",
            "3      odd\\né (deleted)",
        ],
    );
    lists(&place, &["--up-to", "1", "/old"], &["LAYER  NAME", "1      file"]);
    lists(&place, &["--layer", "2", "--deleted", "/old"], &["LAYER  NAME", "2      file (deleted)"]);
    assert_eq!(run(&place, "cat", &["/etc/passwd", "--up-to", "2"]).succeeds().out, "root");
    assert_eq!(run(&place, "cat", &["/etc/passwd", "--layer", "3"]).succeeds().out, "others");
    assert_eq!(run(&place, "cat", &["/etc/hard", "--layer", "3"]).succeeds().out, "suid");
    run(&place, "cat", &["/etc/passwd", "--layer", "2"]).refuses("not in it", &["does not exist"]);
    for flag in ["--layer", "--up-to"] {
        run(&place, "ls", &[flag, "4"])
            .refuses("no such layer", &["'image.tar' has no layer 4: it has layers 1 (the base) to 3"]);
        assert_eq!(run(&place, "ls", &[flag, "0"]).code, 2);
    }
    assert_eq!(run(&place, "ls", &["--layer", "1", "--up-to", "2"]).code, 2);
}

#[test]
fn ls_is_read_by_programs() {
    let place = Place::new();
    image(&place);
    let listed = |args: &[&str]| -> Value {
        let said = run(&place, "ls", &[&["--json"], args].concat()).succeeds();
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.out))
    };
    assert_eq!(
        listed(&["/dev"]),
        json!([{"path": "/dev/null", "type": "device", "layer": 2, "mode": 0o666, "nlink": 1, "uid": 0, "gid": 0,
                "size": 0, "mtime": 1_600_000_000, "target": null,
                "device": {"kind": "character", "major": 1, "minor": 3}}])
    );
    assert_eq!(listed(&["/conf"])[0]["target"], "etc");
    assert_eq!(listed(&["/old"]), json!([]));
    let deleted = listed(&["--deleted", "/old"]);
    assert_eq!((&deleted[0]["type"], &deleted[0]["layer"]), (&json!("whiteout"), &json!(2)));
    let whole = listed(&["-R"]);
    let paths: Vec<&str> =
        whole.as_array().unwrap().iter().map(|name| name["path"].as_str().unwrap()).collect();
    assert_eq!(paths[..3], ["/conf", "/dev", "/dev/null"]);
    // A name that is not UTF-8 comes back as it was.
    let odd = image_of([tar_of([Entry::file(b"a\xff", "odd")])], Compression::None);
    place.archive("odd.tar", &odd);
    let said = place.run("ls", &["odd.tar", "--json"]).succeeds();
    let said: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(said[0]["path"], json!({"bytes": [47, 97, 255]}));
    assert_eq!(place.run("ls", &["odd.tar"]).succeeds().out, "LAYER  NAME\n1      a\\xff\n");
}

#[test]
fn ls_and_explain_say_the_same_layer_of_each_name() {
    let place = Place::new();
    image(&place);
    place.archive("tree.tar", &image_of(tree::layers(), Compression::None));
    // A whiteout keeps the attributes of the base from a directory that no layer above has an entry for.
    let cut = [
        tar_of([Entry::dir("dir"), Entry::dir("dir/sub")]),
        tar_of([Entry::whiteout("dir")]),
        tar_of([Entry::dir("dir/sub")]),
    ];
    place.archive("cut.tar", &image_of(cut, Compression::None));
    let back = place.run("explain", &["cut.tar", "--json", "dir", "dir/sub/.."]).succeeds();
    let back: Value = serde_json::from_str(&back.out).unwrap();
    assert_eq!((&back[0]["layer"], &back[1]["layer"]), (&json!(3), &json!(3)), "{back}");
    for source in ["image.tar", "tree.tar", "cut.tar"] {
        let json = |command: &str, args: &[&OsStr]| -> Vec<Value> {
            let args = [&[OsStr::new(source), OsStr::new("--json")], args].concat();
            serde_json::from_str(&place.run(command, &args).succeeds().out).unwrap()
        };
        let listed = json("ls", &[OsStr::new("-R")]);
        let paths: Vec<OsString> = listed.iter().map(|row| os_path(&row["path"])).collect();
        let explained = json("explain", &paths.iter().map(OsString::as_os_str).collect::<Vec<_>>());
        assert!(listed.len() > 1, "{source}");
        assert_eq!(listed.len(), explained.len(), "{source}");
        for (row, one) in listed.iter().zip(&explained) {
            assert_eq!(row["layer"], one["layer"], "{source}: {}", row["path"]);
        }
    }
}

/// A path of the JSON.
fn os_path(path: &Value) -> OsString {
    match path {
        Value::String(path) => path.into(),
        odd => OsString::from_vec(serde_json::from_value(odd["bytes"].clone()).unwrap()),
    }
}

#[test]
fn cat_prints_bytes_and_tells_what_has_none() {
    let place = Place::new();
    image(&place);
    assert_eq!(run(&place, "cat", &["/conf/link", "/etc/suid"]).succeeds().out, "otherssuid");
    let output = place.command("cat", &["image.tar", "holes"]).output().unwrap();
    let mut expected = vec![0; 5000];
    expected[4096..4100].copy_from_slice(b"data");
    assert!(output.stdout == expected, "holes are zeros");
    run(&place, "cat", &["/etc"])
        .refuses("a directory", &["'/etc' in 'image.tar' is a directory", "lamina ls"]);
    run(&place, "cat", &["/dev/null"]).refuses("a device", &["is a device"]);
    run(&place, "cat", &["/old/file"])
        .refuses("deleted", &["does not exist: deleted in layer 2 (RUN rm /old/file)", "lamina explain"]);
    let both = run(&place, "cat", &["/none", "/etc/passwd", "/etc"]);
    assert_eq!((both.code, both.out.as_str()), (1, "others"));
    assert!(both.err.contains("'/none'") && both.err.contains("'/etc'"), "{}", both.err);
}

#[test]
fn a_reader_that_goes_is_no_failure() {
    let place = Place::new();
    let large = image_of([tar_of([Entry::file("large", vec![b'x'; 4 << 20])])], Compression::None);
    place.archive("image.tar", &large);
    let mut child = place.command("cat", &["image.tar", "large"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn extract_copies_as_cp_does() {
    let place = Place::new();
    image(&place);
    run(&place, "extract", &["/etc/passwd", "new"]).succeeds();
    assert_eq!(fs::read_to_string(place.path("new")).unwrap(), "others");
    fs::create_dir(place.path("dir")).unwrap();
    run(&place, "extract", &["/etc/link", "dir"]).succeeds();
    assert_eq!(fs::read_link(place.path("dir/link")).unwrap(), PathBuf::from("passwd"));
    run(&place, "extract", &["/conf/", "dir"]).succeeds();
    let names: Vec<String> = rows(&place.path("dir/conf")).iter().map(|row| row[..4].to_owned()).collect();
    assert_eq!(names, [". di", ".hid", "hard", "link", "pass", "suid"]);
    let (hard, suid) = (place.path("dir/conf/hard").metadata(), place.path("dir/conf/suid").metadata());
    let (hard, suid) = (hard.unwrap(), suid.unwrap());
    assert_eq!((hard.ino(), hard.nlink()), (suid.ino(), 2), "a link to a file of a layer below");
    assert_eq!(suid.mtime(), 1_600_000_000);
    // Whoever may not give it to root may not make it run as root.
    let expected = if Who::current() == Who::User { 0o755 } else { 0o4755 };
    assert_eq!(suid.permissions().mode() & 0o7777, expected);
    run(&place, "extract", &["/etc", "old", "--up-to", "1"]).succeeds();
    assert_eq!(fs::read_to_string(place.path("old/passwd")).unwrap(), "root");
    // Nothing is left beside the copies, and nothing is replaced.
    for (args, words) in [
        (["/etc/passwd", "new"], ["'new' is there already", "nothing is replaced"]),
        (["/conf/", "dir"], ["'dir/conf' is there already", "nothing is replaced"]),
        (["/", "dir"], ["'dir' is not empty", "give one that is empty"]),
        (["/etc/passwd", "none/"], ["'none/' is not a directory", "leave the slash out"]),
        (["/etc/passwd", "none/at/all"], ["'none/at/all' cannot be made", "the directory above it"]),
        (["/old/file", "x"], ["does not exist: deleted in layer 2", "lamina explain"]),
    ] {
        run(&place, "extract", &args).refuses("extract", &words);
    }
    let mut left: Vec<String> = fs::read_dir(place.path(""))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["dir", "image.tar", "mnt", "new", "old", "store"]);
}

#[test]
fn what_a_killed_extract_left_is_removed_whatever_its_modes() {
    let place = Place::new();
    image(&place);
    let left = place.path(".out.lamina-unpack");
    fs::create_dir_all(left.join("sealed/closed/in it")).unwrap();
    fs::write(left.join("sealed/closed/file"), "").unwrap();
    std::os::unix::fs::symlink(place.path(""), left.join("sealed/link")).unwrap();
    for (dir, mode) in [("sealed/closed", 0), ("sealed", 0o555)] {
        fs::set_permissions(left.join(dir), fs::Permissions::from_mode(mode)).unwrap();
    }
    run(&place, "extract", &["/etc", "out"]).succeeds();
    assert!(place.path("out/passwd").exists() && place.path("image.tar").exists());
    assert!(!left.exists());
}

#[test]
fn extract_of_all_is_the_exact_tree() {
    let place = Place::new();
    place.archive("image.tar", &image_of(tree::layers(), Compression::None));
    let said = run(&place, "extract", &["/", "out"]).succeeds();
    if Who::current() == Who::Root {
        assert_rows("all of it", &rows(&place.path("out")), &tree::expected());
        assert_eq!(said.err, "");
        return;
    }
    // Types, modes and times are there for anybody; what is not is counted. (Some files their new owner cannot read.)
    let mut compared = 0;
    for line in tree::expected() {
        let words: Vec<&str> = line.split(' ').collect();
        let [path, kind @ ("file" | "dir" | "link"), mode, _, time, ..] = words[..] else { continue };
        if path.contains('\\') {
            continue;
        }
        let meta = place.path("out").join(path).symlink_metadata().unwrap_or_else(|e| panic!("{path}: {e}"));
        let is = [meta.is_file(), meta.is_dir(), meta.is_symlink()];
        assert_eq!(is, ["file", "dir", "link"].map(|other| other == kind), "{path}");
        assert_eq!(format!("{}.{:09}", meta.mtime(), meta.mtime_nsec()), time, "{path}");
        let mode = u32::from_str_radix(mode, 8).unwrap();
        assert!(
            meta.mode() & 0o7777 == mode || meta.mode() & 0o7777 == mode & 0o1777,
            "{path}: {:o}",
            meta.mode()
        );
        compared += 1;
    }
    assert!(compared > 10, "{compared}");
    assert!(said.err.contains("belong to you, without suid and sgid bits"), "{}", said.err);
    assert!(said.err.contains("devices are left out"), "{}", said.err);
}

#[test]
fn a_directory_and_a_list_of_directories_are_looked_into() {
    let place = Place::new();
    for (dir, text) in [("base", "base"), ("top", "top")] {
        fs::create_dir_all(place.path(dir).join("sub")).unwrap();
        fs::write(place.path(dir).join("sub/file"), text).unwrap();
        fs::write(place.path(dir).join(dir), text).unwrap();
    }
    let said = |command: &str, args: &[&str]| outcome(place.command(command, args).arg("sub")).succeeds().out;
    assert_eq!(said("ls", &["overlay:top:base"]), "LAYER  NAME\n2      file\n");
    assert_eq!(said("ls", &["base"]), "LAYER  NAME\n1      file\n");
    let cat = place.run("cat", &["overlay:top:base", "sub/file", "base", "--up-to", "1"]).succeeds();
    assert_eq!(cat.out, "basebase");
    assert_eq!(place.run("ls", &["overlay:top:base"]).succeeds().out.lines().count(), 4);
}

#[test]
fn a_live_mount_is_looked_into_with_its_upper() {
    let place = Place::new();
    image(&place);
    fs::create_dir(place.path("up")).unwrap();
    let mounted = place.mount(&["image.tar", "--upper", place.path("up").to_str().unwrap()]);
    fs::write(mounted.at("etc/new"), "of the upper").unwrap();
    fs::remove_file(mounted.at("holes")).unwrap();
    let said = |command: &str, args: &[&str]| {
        let mnt = place.path("mnt");
        let args = [&[mnt.to_str().unwrap()], args].concat();
        place.run(command, &args).succeeds().out
    };
    assert_eq!(said("cat", &["/etc/new"]), "of the upper");
    let names = said("ls", &["--deleted", "/"]);
    assert!(names.lines().any(|line| line == "4      holes (deleted)"), "{names}");
    assert!(said("ls", &["/etc"]).lines().any(|line| line == "4      new"));
    assert!(!said("ls", &["/etc", "--up-to", "3"]).contains("new"));
    assert_eq!(said("ls", &["-R", "--layer", "4"]), "LAYER  NAME\n4      etc\n4      etc/new\n");
}

#[test]
fn a_live_mounts_index_tells_of_all_names_of_a_changed_file() {
    let place = Place::new();
    for dir in ["base", "up", "work"] {
        fs::create_dir(place.path(dir)).unwrap();
    }
    fs::write(place.path("base/a"), "before").unwrap();
    fs::hard_link(place.path("base/a"), place.path("base/b")).unwrap();
    let mounted = place.mount(&["overlay:base", "--upper", "up", "--work", "work", "-o", "index=on"]);
    fs::write(mounted.at("a"), "after").unwrap();
    let cat = place.run("cat", &["mnt", "a", "b"]).succeeds();
    assert_eq!((cat.out.as_str(), cat.err.as_str()), ("afterafter", ""));
    let diff = place.run("diff", &["mnt"]);
    assert_eq!(diff.code, 1, "{}", diff.err);
    let changed = |name: &str| diff.out.lines().any(|line| line.starts_with('C') && line.contains(name));
    assert!(changed("/a") && changed("/b"), "{}", diff.out);
    let names = place.run("ls", &["mnt"]).succeeds();
    assert_eq!((names.out.as_str(), names.err.as_str()), ("LAYER  NAME\n2      a\n2      b\n", ""));
    assert_eq!(mounted.text("b"), "after", "and the mount goes on");
}

#[test]
fn the_examples_in_the_documents_are_what_is_printed() {
    prints_what_the_page_shows("ls", &[0]);
    prints_what_the_page_shows("cat", &[0]);
}
