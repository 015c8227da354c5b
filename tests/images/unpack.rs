//! Layers written out: the exact tree, whoever mounts them, and nothing anywhere else.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::images::{Compression, Entry};
use crate::place::{Outcome, Place, image_of, outcome, tar_of};
use crate::rows::{assert_rows, rows};
use crate::support::{Who, sys};
use crate::tree;

/// Unpacks an image of these layers, base first, into `out`.
fn unpack(place: &Place, layers: impl IntoIterator<Item = Vec<u8>>, flags: &[&str]) -> Outcome {
    let image = place.archive("image.tar", &image_of(layers, Compression::None));
    let mut command = place.command("unpack", flags);
    outcome(command.arg(image).arg("out"))
}

/// The layers' directories, base first.
fn layer_dirs(place: &Place) -> Vec<PathBuf> {
    let dirs = fs::read_dir(place.path("out/layers")).unwrap();
    let mut dirs: Vec<PathBuf> = dirs.map(|entry| entry.unwrap().path()).collect();
    dirs.sort();
    dirs
}

fn exact() -> bool {
    Who::current() == Who::Root
}

/// A line without mode and owner, which are recorded where only root can set them; and without what only root can make.
fn for_anybody(line: &str) -> Option<String> {
    let mut words: Vec<&str> = line.split(' ').collect();
    if [" char ", " block ", " fifo "].iter().any(|kind| line.contains(kind)) {
        return None;
    }
    words.retain(|word| !word.starts_with("security.") && !word.starts_with("user.containers."));
    let at = words.iter().position(|word| ["file", "dir", "link"].contains(word))?;
    words.drain(at + 1..at + 3);
    Some(words.join(" "))
}

#[test]
fn flat_is_the_exact_tree() {
    let place = Place::new();
    let said = unpack(&place, tree::layers(), &["--flat"]).succeeds();
    assert_eq!(said.out, "", "there is no lowerdir= to be mounted");
    let found = rows(&place.path("out"));
    if exact() {
        assert_rows("flat", &found, &tree::expected());
        return;
    }
    let special = ["dev/disk", "dev/null", "opt/pipe"];
    let found: Vec<String> = found
        .iter()
        .filter(|line| !special.iter().any(|path| line.starts_with(&format!("{path} "))))
        .filter_map(|line| for_anybody(line))
        .collect();
    let expected: Vec<String> = tree::expected().iter().filter_map(|line| for_anybody(line)).collect();
    assert_eq!(found, expected);
    let record = |path: &str| {
        let value = sys::get_xattr(&place.path("out").join(path), b"user.containers.override_stat").unwrap();
        String::from_utf8(value).unwrap()
    };
    for (path, recorded) in [
        ("", "7:8:0751"),
        ("etc/shadow", "0:42:0000"),
        ("opt/tool", "0:0:6755"),
        ("opt/second", "33:44:0600"),
        ("opt/pipe", "0:0:0620:pipe"),
        ("dev/disk", "0:6:0660:block-259-70000"),
        ("tmp", "0:0:1777"),
    ] {
        assert_eq!(record(path), recorded, "{path}");
    }
    assert_eq!(
        fs::metadata(place.path("out/opt/tool")).unwrap().mode() & 0o7777,
        0o755,
        "suid is recorded only"
    );
    assert!(said.err.contains("owners and modes are recorded"), "{}", said.err);
}

#[test]
fn layers_mounted_again_show_the_exact_tree() {
    let place = Place::new();
    let said = unpack(&place, tree::layers(), &[]).succeeds();
    let dirs = layer_dirs(&place);
    let top_first: Vec<&str> = dirs.iter().rev().map(|dir| dir.to_str().unwrap()).collect();
    assert_eq!(said.out, format!("lowerdir={}\n", top_first.join(":")));
    if !exact() {
        // Recorded owners are checked by the kernel, and most of the tree is another's.
        assert!(!said.err.contains("mount -t overlay"), "the kernel knows no records: {}", said.err);
        return;
    }
    let mut mount = place.lamina();
    mount.arg("mount").args(&top_first);
    let mounted = place.start("mnt", mount).unwrap();
    assert_rows("by lamina", &rows(&mounted.at("")), &tree::expected());
    drop(mounted);

    let point = place.path("kernel");
    fs::create_dir(&point).unwrap();
    let options = said.out.trim_end();
    let run =
        Command::new("mount").args(["-t", "overlay", "overlay", "-o", options]).arg(&point).output().unwrap();
    if !run.status.success() {
        crate::support::say(
            "the kernel's overlay cannot be mounted here: its view of unpacked layers is not compared",
        );
        return;
    }
    let found = std::panic::catch_unwind(|| rows(&point));
    nix::mount::umount(&point).unwrap();
    assert_rows("by the kernel", &found.unwrap(), &tree::expected());
}

#[test]
fn marks_are_those_that_overlays_read() {
    let place = Place::new();
    unpack(&place, tree::layers(), &["-q"]).succeeds();
    let [_, middle, top] = layer_dirs(&place).try_into().unwrap();
    let gone = middle.join("etc/gone").symlink_metadata().unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0, "a whiteout is a device 0:0");
    let opaque: &[u8] = if exact() { b"trusted.overlay.opaque" } else { b"user.overlay.opaque" };
    assert_eq!(sys::get_xattr(&middle.join("fresh"), opaque).unwrap(), b"y");
    assert!(sys::get_xattr(&middle.join("etc"), opaque).is_err());
    assert!(!middle.join("fresh/.wh..wh..opq").exists());
    assert!(!top.join("etc/.wh.gone").exists());
}

#[test]
fn a_directory_without_an_entry_is_as_it_is_below() {
    let place = Place::new();
    let base = tar_of([
        Entry::dir("a").mode(0o1770).owner(3, 4),
        Entry::dir("a/b").mode(0o700),
        Entry::dir("gone").mode(0o711),
    ]);
    let middle = tar_of([Entry::file("a/b/new", ""), Entry::whiteout("gone")]);
    let top =
        tar_of([Entry::file("a/b/newer", ""), Entry::file("gone/new", ""), Entry::file("nowhere/new", "")]);
    unpack(&place, [base, middle, top], &["-q"]).succeeds();
    let [_, middle, top] = layer_dirs(&place).try_into().unwrap();
    let mode = |path: PathBuf| match exact() {
        true => format!("{:04o}", path.metadata().unwrap().mode() & 0o7777),
        false => {
            let record = sys::get_xattr(&path, b"user.containers.override_stat").unwrap();
            String::from_utf8(record).unwrap().rsplit(':').next().unwrap().to_owned()
        }
    };
    assert_eq!(mode(middle.join("a")), "1770");
    assert_eq!(mode(top.join("a")), "1770");
    assert_eq!(mode(top.join("a/b")), "0700");
    assert_eq!(mode(top.join("gone")), "0755", "what is deleted in between gives nothing");
    assert_eq!(mode(top.join("nowhere")), "0755");
}

#[test]
fn hard_links_into_layers_below_are_copies_and_links_of_each_other() {
    let place = Place::new();
    let base = tar_of([Entry::file("file", "data").mode(0o600)]);
    let top = tar_of([Entry::hardlink("one", "file"), Entry::hardlink("two", "file")]);
    unpack(&place, [base.clone(), top.clone()], &["-q"]).succeeds();
    let [base_dir, top_dir] = layer_dirs(&place).try_into().unwrap();
    let (file, one, two) = (base_dir.join("file"), top_dir.join("one"), top_dir.join("two"));
    assert_eq!(fs::read(&one).unwrap(), b"data");
    let ino = |path: &Path| path.metadata().unwrap().ino();
    assert_eq!(ino(&one), ino(&two));
    assert_ne!(ino(&one), ino(&file));

    // A link may come before what it leads to.
    let forward = Place::new();
    unpack(&forward, [tar_of([Entry::hardlink("link", "late"), Entry::file("late", "data")])], &["-q"])
        .succeeds();
    let [dir] = layer_dirs(&forward).try_into().unwrap();
    assert_eq!(ino(&dir.join("link")), ino(&dir.join("late")));

    let flat = Place::new();
    unpack(&flat, [base, top], &["--flat", "-q"]).succeeds();
    let inos: Vec<u64> =
        ["file", "one", "two"].iter().map(|name| ino(&flat.path("out").join(name))).collect();
    assert!(inos.iter().all(|ino| *ino == inos[0]), "one file with three names: {inos:?}");
}

#[test]
fn attributes_that_look_like_marks_are_data() {
    let place = Place::new();
    let base = tar_of([Entry::dir("dir"), Entry::file("dir/below", "")]);
    let top = tar_of([
        Entry::dir(".").xattr("user.containers.override_stat", "5:5:0000"),
        Entry::dir("dir").xattr("user.overlay.opaque", "y").xattr("user.fuseoverlayfs.opaque", "y"),
        Entry::file("file", "").xattr("user.overlay.whiteout", "").xattr("user.overlay.redirect", "/etc"),
    ]);
    unpack(&place, [base, top], &["-q"]).succeeds();
    let mut mount = place.lamina();
    mount.arg("mount").args(layer_dirs(&place).iter().rev());
    let mounted = place.start("mnt", mount).unwrap();
    assert_eq!(mounted.names(""), ["dir", "file"]);
    assert_eq!(mounted.names("dir"), ["below"]);
    assert_eq!(sys::get_xattr(&mounted.at("dir"), b"user.overlay.opaque").unwrap(), b"y");
    assert_eq!(sys::get_xattr(&mounted.at("file"), b"user.overlay.redirect").unwrap(), b"/etc");
    assert_eq!(mounted.stat("").mode() & 0o7777, 0o755);
}

#[test]
fn a_root_that_hides_all_below_is_the_base_of_what_is_mounted() {
    let place = Place::new();
    let layers = [
        tar_of([Entry::file("hidden", "")]),
        tar_of([Entry::file(".wh..wh..opq", ""), Entry::file("seen", "")]),
        tar_of([Entry::file("top", "")]),
    ];
    let said = unpack(&place, layers, &["-q"]).succeeds();
    let [_, middle, top] = layer_dirs(&place).try_into().unwrap();
    assert_eq!(said.out, format!("lowerdir={}:{}\n", top.display(), middle.display()));
}

#[test]
fn nothing_is_written_through_symlinks_of_a_layer() {
    let place = Place::new();
    let outside = place.path("outside");
    fs::create_dir(&outside).unwrap();
    let to = outside.as_os_str().as_bytes();
    let layers = [
        tar_of([Entry::symlink("way", to), Entry::symlink("dir", to)]),
        tar_of([Entry::file("way/planted", "x"), Entry::dir("dir"), Entry::file("dir/planted", "x")]),
    ];
    for (n, flags) in [&["-q"][..], &["-q", "--flat"]].into_iter().enumerate() {
        unpack(&place, layers.clone(), flags).succeeds();
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{flags:?}");
        fs::rename(place.path("out"), place.path(format!("out-{n}"))).unwrap();
    }
    assert_eq!(fs::read(place.path("out-1/way/planted")).unwrap(), b"x");
}

#[test]
fn only_an_empty_or_missing_directory_is_taken() {
    let place = Place::new();
    let layers = || [tar_of([Entry::file("file", "x")])];
    fs::create_dir(place.path("out")).unwrap();
    fs::write(place.path("out/mine"), "").unwrap();
    unpack(&place, layers(), &[]).refuses("a full directory", &["'out' is not empty"]);
    fs::remove_dir_all(place.path("out")).unwrap();
    fs::write(place.path("out"), "").unwrap();
    unpack(&place, layers(), &[]).refuses("a file", &["'out' is not a directory"]);
    fs::remove_file(place.path("out")).unwrap();
    symlink("nowhere", place.path("out")).unwrap();
    unpack(&place, layers(), &[]).refuses("a symlink to nothing", &["'out' is not a directory"]);
    fs::remove_file(place.path("out")).unwrap();
    let image = place.path("image.tar");
    outcome(place.command("unpack", &[&image]).arg("missing/out")).refuses("no parent", &["missing/out"]);

    fs::create_dir(place.path("out")).unwrap();
    fs::set_permissions(place.path("out"), PermissionsExt::from_mode(0o700)).unwrap();
    // What a killed process left is in nobody's way.
    fs::create_dir_all(place.path(".out.lamina-unpack/left/behind")).unwrap();
    unpack(&place, layers(), &["-q"]).succeeds();
    assert_eq!(place.path("out").metadata().unwrap().mode() & 0o7777, 0o700, "an empty one's mode stays");
    assert!(!place.path(".out.lamina-unpack").exists());
}

#[test]
fn a_failure_leaves_nothing() {
    let place = Place::new();
    let bad = tar_of([Entry::file("fine", "x"), Entry::file("../bad", "x")]);
    unpack(&place, [tar_of([]), bad], &[]).refuses("a bad layer", &["layer 2", "image.tar", "../bad"]);
    assert!(!place.path("out").exists());
    assert!(!place.path(".out.lamina-unpack").exists());
}
