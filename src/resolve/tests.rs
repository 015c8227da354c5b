//! Tables: layers as a few lines of text, and what a name in them is.

use super::*;
use crate::layer::Attributes;
use crate::sys::fs::Stat;

fn stat(mode: u32) -> Stat {
    Stat {
        dev: 1,
        ino: 1,
        mode,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev_major: 0,
        rdev_minor: 0,
        size: 0,
        blocks: 0,
        blksize: 4096,
        atime: (0, 0),
        mtime: (0, 0),
        ctime: (0, 0),
        btime: None,
    }
}

/// `f` file, `l` symlink, `d` directory, `o` opaque directory, `w` whiteout, `m` metacopy, `d>R` and `m>R` with a
/// redirect, `i` a directory without attributes of its own, `p` such a one that is opaque, anything else nothing.
fn found(spec: &str) -> Found {
    let (kind, redirect) = match spec.split_once('>') {
        Some((kind, target)) => (kind, Some(Redirect::decode(target.as_bytes()).unwrap())),
        None => (spec, None),
    };
    let leaf = |mode, metacopy| Found::Leaf(FoundLeaf { stat: stat(mode), metacopy, entry: None });
    match kind {
        "f" => leaf(libc::S_IFREG, None),
        "l" => leaf(libc::S_IFLNK, None),
        "m" => leaf(libc::S_IFREG, Some(redirect)),
        "w" => Found::Whiteout,
        "d" | "o" | "i" | "p" => Found::Dir(FoundDir {
            stat: stat(libc::S_IFDIR),
            opaque: kind == "o" || kind == "p",
            xwhiteouts: false,
            redirect,
            attributes: if kind == "i" || kind == "p" { Attributes::Below } else { Attributes::Own },
            entry: None,
        }),
        _ => Found::Absent,
    }
}

/// Resolves `name` in a root that every layer has. `layers`: top first, each a list of `path=spec`; `data` of them are
/// data-only. It makes no difference whether layers that have nothing are asked.
fn resolve(layers: &[&[&str]], data: u16, redirects: Redirects, name: &str) -> String {
    let asking_all = converse(layers, data, redirects, name, Absent::Asked);
    assert_eq!(converse(layers, data, redirects, name, Absent::PassedOver), asking_all);
    asking_all
}

/// What is done with layers that have nothing.
#[derive(PartialEq)]
enum Absent {
    Asked,
    PassedOver,
}

fn converse(layers: &[&[&str]], data: u16, redirects: Redirects, name: &str, absent: Absent) -> String {
    let look = |depth: usize, path: &str| {
        let spec = layers[depth].iter().find_map(|line| line.split_once('=').filter(|(p, _)| *p == path));
        found(spec.map_or("", |(_, spec)| spec))
    };
    let ordinary = layers.len() as u16 - data;
    let parent: Vec<Depth> = (0..ordinary).map(Depth).collect();
    let name = Name::new(name.as_bytes()).unwrap();
    let mut resolver = Resolver::new(&parent, 0, name, Depths { ordinary, data_only: data }, redirects);
    let place = |depth: Depth, origin: &Origin| match origin {
        Origin::Part { name, .. } => format!("{}:{name}", depth.0),
        Origin::Path(path) => format!("{}:{path}", depth.0),
    };
    loop {
        match resolver.step() {
            Err(error) => return error.to_string(),
            Ok(Step::Ask(Ask::InPart { part, name })) => {
                let look = |part| look(part, std::str::from_utf8(name.as_bytes()).unwrap());
                let next = (part..parent.len()).find(|part| !matches!(look(*part), Found::Absent));
                match next.unwrap_or(parent.len()) {
                    next if absent == Absent::PassedOver && next > part => resolver.none_before(next),
                    _ => resolver.answer(look(part)),
                }
            }
            Ok(Step::Ask(Ask::AtPath { depth, path })) => {
                let found = look(usize::from(depth.0), std::str::from_utf8(path.as_bytes()).unwrap());
                resolver.answer_walked(Walked { found, stop: false, moved: None });
            }
            Ok(Step::Done(Resolution::Absent(why))) => return format!("{why:?}"),
            Ok(Step::Done(Resolution::Leaf { meta, data })) => {
                let data = match data {
                    Data::Here => String::new(),
                    Data::Below(data) => format!(" data {}", place(data.depth, &data.origin)),
                    Data::Missing => " data missing".to_owned(),
                };
                return format!("leaf {}{data}", place(meta.depth, &meta.origin));
            }
            Ok(Step::Done(Resolution::Dir(merged))) => {
                let attributes = merged.attributes().unwrap();
                let shown = |part: &DirPart| {
                    let mark = if part.depth == attributes.depth && part.depth.0 > 0 { "*" } else { "" };
                    format!("{}{mark}", place(part.depth, &part.origin))
                };
                let parts: Vec<_> = merged.parts.iter().map(shown).collect();
                let hidden = merged.hidden.as_deref().map(|part| format!(" hidden {}", shown(part)));
                return format!("dir {}{}", parts.join(" "), hidden.unwrap_or_default());
            }
        }
    }
}

#[test]
fn lookup_goes_down_and_stops_where_it_must() {
    for (layers, expected) in [
        (&[&["x=f"][..], &["x=f"]][..], "leaf 0:x"),
        (&[&[], &["x=l"]], "leaf 1:x"),
        (&[&[], &[]], "NeverExisted"),
        (&[&["x=w"], &["x=f"]], "Deleted(Depth(0))"),
        (&[&[], &["x=w"], &["x=f"]], "Deleted(Depth(1))"),
        (&[&["x=d"], &[], &["x=d"]], "dir 0:x 2:x"),
        (&[&["x=d"], &["x=o"], &["x=d"]], "dir 0:x 1:x"),
        (&[&["x=o"], &["x=d"]], "dir 0:x"),
        (&[&["x=d"], &["x=w"], &["x=d"]], "dir 0:x"),
        (&[&["x=d"], &["x=f"], &["x=d"]], "dir 0:x"),
        (&[&["x=f"], &["x=d"]], "leaf 0:x"),
    ] {
        assert_eq!(resolve(layers, 0, Redirects::Follow, "x"), expected, "{layers:?}");
    }
}

#[test]
fn a_directory_without_an_entry_of_its_own_has_the_attributes_of_the_next_below() {
    for (layers, expected) in [
        (&[&["x=i"][..], &["x=d"]][..], "dir 0:x 1:x*"),
        (&[&["x=i"], &["x=i"], &["x=d"], &["x=d"]], "dir 0:x 1:x 2:x* 3:x"),
        (&[&["x=i"], &["x=o"], &["x=d"]], "dir 0:x 1:x*"),
        (&[&["x=p"], &["x=d"], &["x=d"]], "dir 0:x hidden 1:x*"),
        (&[&["x=p"], &["x=i"], &["x=p"], &["x=d"]], "dir 0:x hidden 3:x*"),
        (&[&["x=d"], &["x=p"], &["x=d"]], "dir 0:x 1:x"),
        (&[&["x=i"], &["x=p"], &["x=d"]], "dir 0:x 1:x hidden 2:x*"),
        // Nothing below has any: the topmost part shows what it can.
        (&[&["x=i"]], "dir 0:x"),
        (&[&["x=p"], &[]], "dir 0:x"),
        (&[&["x=i"], &["x=w"], &["x=d"]], "dir 0:x"),
        (&[&["x=p"], &["x=w"], &["x=d"]], "dir 0:x"),
        (&[&["x=p"], &["x=l"], &["x=d"]], "dir 0:x"),
    ] {
        assert_eq!(resolve(layers, 0, Redirects::Follow, "x"), expected, "{layers:?}");
    }
}

#[test]
fn redirects_lead_the_layers_below() {
    for (layers, expected) in [
        (&[&["x=d>y"][..], &["y=d", "x=d"]][..], "dir 0:x 1:y"),
        (&[&["x=d>/a/b"], &["a/b=d", "x=d"]], "dir 0:x 1:/a/b"),
        (&[&["x=d>/a/b"], &["a/b=d>c"], &["a/c=d", "a/b=d"]], "dir 0:x 1:/a/b 2:/a/c"),
        (&[&["x=d>/a/b"], &["a/b=d>/c"], &["c=d"]], "dir 0:x 1:/a/b 2:/c"),
        (&[&["x=d>y"], &[], &["y=d>z"], &["z=d"]], "dir 0:x 2:y 3:z"),
        (&[&["x=d>/gone"], &["x=d"]], "dir 0:x"),
        (&[&["x=d>/a"], &["a=w"], &["a=d"]], "dir 0:x"),
        (&[&["x=d>/a"], &["a=f"], &["a=d"]], "dir 0:x"),
    ] {
        assert_eq!(resolve(layers, 0, Redirects::Follow, "x"), expected, "{layers:?}");
    }
    let refused = resolve(&[&["x=d>y"], &["y=d", "x=d"]], 0, Redirects::Refuse, "x");
    assert!(refused.contains("redirect_dir=nofollow"), "{refused}");
    assert_eq!(resolve(&[&["x=d"], &["x=d"]], 0, Redirects::Refuse, "x"), "dir 0:x 1:x");
    assert_eq!(resolve(&[&["x=d"], &["x=d>y"]], 0, Redirects::Refuse, "x"), "dir 0:x 1:x");
}

#[test]
fn a_metadata_only_copy_finds_its_data_below() {
    const LOST: &str = "leaf 0:x data missing";
    for (layers, data, expected) in [
        (&[&["x=m"][..], &["x=f"]][..], 0, "leaf 0:x data 1:x"),
        (&[&["x=m"], &["x=m"], &["x=f"]], 0, "leaf 0:x data 2:x"),
        (&[&["x=m>/a/b"], &["a/b=f"]], 0, "leaf 0:x data 1:/a/b"),
        (&[&["x=m>y"], &["y=f", "x=f"]], 0, "leaf 0:x data 1:y"),
        (&[&["x=m>/a/b"], &["a/b=f"]], 1, "leaf 0:x data 1:/a/b"),
        (&[&["x=m>/a/b"], &[], &["a/b=f"]], 2, "leaf 0:x data 2:/a/b"),
        (&[&["x=m"], &["x=f"]], 1, LOST),
        (&[&["x=m"], &["x=w"], &["x=f"]], 0, LOST),
        (&[&["x=m"], &["x=d"]], 0, LOST),
        (&[&["x=m"], &["x=l"]], 0, LOST),
        (&[&["x=m"], &[]], 0, LOST),
    ] {
        assert_eq!(resolve(layers, data, Redirects::Follow, "x"), expected, "{layers:?}");
    }
}

#[test]
fn a_data_only_layer_has_no_names_of_its_own() {
    assert_eq!(resolve(&[&[], &["x=f"]], 1, Redirects::Follow, "x"), "NeverExisted");
    assert_eq!(resolve(&[&["x=d>/a"], &["a=d"]], 1, Redirects::Follow, "x"), "dir 0:x");
}

#[test]
fn a_redirect_on_the_way_moves_the_rest_of_the_path() {
    let path = RelPath::new(b"a/b/c").unwrap();
    for (at, redirect, expected) in
        [(1, "/x/y", "/x/y/b/c"), (1, "z", "/z/b/c"), (2, "z", "/a/z/c"), (3, "/q", "/q"), (3, "z", "/a/b/z")]
    {
        let redirect = Redirect::decode(redirect.as_bytes()).unwrap();
        assert_eq!(moved_on_the_way(&path, at, &redirect).to_string(), expected);
    }
}
