//! Three layers of a few names, and what is said of each path.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::config::{Behaviour, StackSpec};
use crate::layer::Found;
use crate::sys::fs::At;
use crate::sys::xattr::{self, SetMode};

struct Layers {
    temp: tempfile::TempDir,
    overlay: Overlay,
}

/// `path` is an empty file (whiteouts are `.wh.` names), `path/` a directory, `path=text` a file, `path>target` a
/// symlink. Layers are given top first.
fn layers(layers: &[&[&str]]) -> Layers {
    let temp = tempfile::tempdir().unwrap();
    let mut spec = StackSpec { lowers: Vec::new(), data_only: Vec::new(), upper: None };
    for (number, entries) in layers.iter().enumerate() {
        let root = temp.path().join(number.to_string());
        fs::create_dir(&root).unwrap();
        for entry in *entries {
            make(&root, entry);
        }
        spec.lowers.push(root.into());
    }
    let overlay = Overlay::open_stack(&spec, &Behaviour::default()).unwrap();
    Layers { temp, overlay }
}

fn make(root: &Path, entry: &str) {
    let (path, what) = match entry.split_once(['=', '>']) {
        Some((path, what)) => (path, Some(what)),
        None => (entry, None),
    };
    let at = root.join(path);
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    match what {
        Some(target) if entry.contains('>') => symlink(target, at).unwrap(),
        Some(text) => fs::write(at, text).unwrap(),
        None if path.ends_with('/') => fs::create_dir_all(at).unwrap(),
        None => fs::write(at, "").unwrap(),
    }
}

/// The outcome, and a word for each layer, top first; in brackets what is hidden.
fn explain(layers: &Layers, path: &str) -> String {
    let trace = match layers.overlay.trace(path.as_bytes()) {
        Ok(trace) => trace,
        Err(error) => return error.to_string(),
    };
    let outcome = match trace.outcome {
        Outcome::There { depth, kind, .. } => format!("{kind:?} of {}", depth.0),
        Outcome::Absent(reason) => format!("{reason:?}"),
    };
    let word = |said: &Said<'_>| {
        let what = match &said.found {
            Found::Absent => return "-".to_owned(),
            Found::Whiteout => "whiteout",
            Found::Leaf(_) => "leaf",
            Found::Dir(dir) if dir.opaque => "opaque",
            Found::Dir(_) => "dir",
        };
        match said.part {
            Part::Counts => what.to_owned(),
            Part::Hidden => format!("({what})"),
        }
    };
    let words: Vec<String> = trace.layers.iter().map(word).collect();
    format!("{}: {outcome}: {}", trace.path.to_string().trim_start_matches('/'), words.join(" "))
}

#[test]
fn what_is_there_shadows_what_is_below() {
    let layers = layers(&[&["d/a=top"], &["d/a=middle", "d/b"], &["d/a=base", "d/c/x", "f"]]);
    for (path, expected) in [
        ("/d/a", "d/a: Regular of 0: leaf (leaf) (leaf)"),
        ("d//./b", "d/b: Regular of 1: - leaf -"),
        ("d", "d: Directory of 0: dir dir dir"),
        ("d/c", "d/c: Directory of 2: - - dir"),
        ("", ": Directory of 0: dir dir dir"),
        ("/d/..", ": Directory of 0: dir dir dir"),
        ("/../d/c/../a", "d/a: Regular of 0: leaf (leaf) (leaf)"),
        ("d/none", "d/none: NeverExisted: - - -"),
        ("none/none", "none/none: NeverExisted: - - -"),
        ("f/x", "f/x: ParentNotADirectory(Depth(2)): - - -"),
        ("f/", "f: ParentNotADirectory(Depth(2)): - - leaf"),
        ("d/", "d: Directory of 0: dir dir dir"),
    ] {
        assert_eq!(explain(&layers, path), expected, "{path}");
    }
    let trace = layers.overlay.trace(b"d/a").unwrap();
    let mut content = Vec::new();
    trace.layers[1].read(|piece| content.extend_from_slice(piece)).unwrap();
    assert_eq!(content, b"middle");
}

#[test]
fn what_is_missing_says_why() {
    let layers = layers(&[
        &["again/new", "back=a file"],
        &[".wh.gone", ".wh.tree", "opaque/.wh..wh..opq", ".wh.again", "was=a file", "back=b"],
        &["gone", "tree/sub/x", "opaque/old", "again/old", "was/f", "back/f"],
    ]);
    for (path, expected) in [
        ("gone", "gone: Deleted(Depth(1)): - whiteout (leaf)"),
        ("tree", "tree: Deleted(Depth(1)): - whiteout (dir)"),
        ("tree/sub/x", "tree/sub/x: Deleted(Depth(1)): - - (leaf)"),
        ("tree/none", "tree/none: NeverExisted: - - -"),
        ("opaque/old", "opaque/old: HiddenByOpaque(Depth(1)): - - (leaf)"),
        ("opaque/none", "opaque/none: NeverExisted: - - -"),
        ("opaque", "opaque: Directory of 1: - opaque (dir)"),
        ("again/old", "again/old: Deleted(Depth(1)): - - (leaf)"),
        ("again", "again: Directory of 0: dir whiteout (dir)"),
        ("was/f", "was/f: ParentNotADirectory(Depth(1)): - - (leaf)"),
        ("back/f", "back/f: ParentNotADirectory(Depth(0)): - - (leaf)"),
    ] {
        assert_eq!(explain(&layers, path), expected, "{path}");
    }
}

#[test]
fn what_is_not_merged_is_hidden() {
    let layers = layers(&[&["a/x", "b=file"], &["a=file", "b/x"], &["a/y", "b/y"]]);
    assert_eq!(explain(&layers, "a"), "a: Directory of 0: dir (leaf) (dir)");
    assert_eq!(explain(&layers, "b"), "b: Regular of 0: leaf (dir) (dir)");
}

#[test]
fn what_ends_the_search_first_is_the_reason() {
    let layers = layers(&[&["d/s/"], &["d/.wh..wh..opq"], &["d/.wh.s"], &["d/s/x"]]);
    assert_eq!(explain(&layers, "d/s/x"), "d/s/x: HiddenByOpaque(Depth(1)): - - - (leaf)");
}

#[test]
fn a_corrupt_marker_counts_only_where_the_union_would_run_into_it() {
    let layers = layers(&[&["hidden=a file"], &["hidden/", "met/"]]);
    for path in ["1/hidden", "1/met"] {
        let dir = fs::File::open(layers.temp.path().join(path)).unwrap();
        xattr::set(At::Fd(dir.as_fd()), b"user.overlay.redirect", b"../x", SetMode::Any).unwrap();
    }
    assert_eq!(explain(&layers, "hidden"), "hidden: Regular of 0: leaf -");
    let trace = layers.overlay.trace(b"hidden").unwrap();
    assert!(trace.layers[0].problem.is_none());
    assert!(matches!(trace.layers[1].problem.as_ref().unwrap().kind(), Kind::Corrupt(_)));
    assert!(explain(&layers, "met").contains("corrupt"), "{}", explain(&layers, "met"));
}

#[test]
fn the_path_that_the_reason_is_found_at_is_told() {
    let layers = layers(&[
        &[".wh.tree", "opaque/.wh..wh..opq", "was=a file"],
        &["tree/sub/x", "opaque/sub/old", "was/f", "there/"],
    ]);
    for (path, expected) in [
        ("tree", Some("/tree")),
        ("tree/sub/x", Some("/tree")),
        ("opaque/sub", Some("/opaque")),
        ("opaque/sub/old", Some("/opaque")),
        ("was/f", Some("/was")),
        ("was/", Some("/was")),
        ("none/none", Some("/none")),
        ("there/none", Some("/there/none")),
        ("there", None),
    ] {
        let cause = layers.overlay.trace(path.as_bytes()).unwrap().cause.map(|cause| cause.to_string());
        assert_eq!(cause.as_deref(), expected, "{path}");
    }
}

#[test]
fn symlinks_on_the_way_are_followed_and_a_last_one_is_not() {
    let layers =
        layers(&[&["lib>usr/lib", "abs>/usr", "up>usr/../up2", "loop>loop"], &["usr/lib/a", "up2/x"]]);
    for (path, expected) in [
        ("lib/a", "usr/lib/a: Regular of 1: - leaf"),
        ("lib", "lib: Symlink of 0: leaf -"),
        ("abs/lib/a", "usr/lib/a: Regular of 1: - leaf"),
        ("up/x", "up2/x: Regular of 1: - leaf"),
        ("lib/", "usr/lib: Directory of 1: - dir"),
    ] {
        assert_eq!(explain(&layers, path), expected, "{path}");
    }
    let links = layers.overlay.trace(b"abs/lib/a").unwrap().links;
    assert_eq!(links.len(), 1);
    assert_eq!((links[0].at.to_string().as_str(), links[0].target.as_slice()), ("/abs", &b"/usr"[..]));
    assert!(explain(&layers, "loop/x").contains("symbolic links"), "{}", explain(&layers, "loop/x"));
    let long = format!("d/{}", "n".repeat(256));
    assert!(explain(&layers, &long).contains("too long"));
}
