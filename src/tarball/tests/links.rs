//! Hard links whose targets are in layers below.

use std::path::Path;

use super::layer::{at, stored};
use super::*;
use crate::error::{LayerRef, Result};
use crate::path::RelPath;
use crate::tarball::TarLayer;

/// Layers, base first, linked as a stack links them.
fn stack(dir: &Path, tars: Vec<Tar>) -> Result<Vec<TarLayer>> {
    let mut layers: Vec<TarLayer> = Vec::new();
    for (number, tar) in (1..).zip(tars) {
        let spec = stored(dir, &number.to_string(), tar);
        let mut layer = TarLayer::open(&spec, LayerRef::Lower(number))?;
        let below: Vec<&TarLayer> = layers.iter().rev().collect();
        layer.link_below(&below)?;
        layers.push(layer);
    }
    Ok(layers)
}

/// Which layer a link of the topmost layer finds its target in (from 1 at the base), and the content.
fn finds(tars: Vec<Tar>, path: &str) -> (usize, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let layers = stack(dir.path(), tars).unwrap();
    let top = layers.last().unwrap();
    let link = at(top, path);
    let stat = top.stat(link).unwrap();
    let mut content = vec![0; stat.size as usize];
    assert_eq!(top.data(link).unwrap().read_at(&mut content, 0).unwrap(), content.len());
    (layers.iter().position(|layer| layer.dev == stat.dev).unwrap() + 1, content)
}

#[track_caller]
fn is_missing(tars: Vec<Tar>) {
    let dir = tempfile::tempdir().unwrap();
    let top = tars.len();
    let error = stack(dir.path(), tars).unwrap_err().to_string();
    let start = format!("link link in layer {top}: it is a hard link to '");
    assert!(error.starts_with(&start) && error.contains("neither in its layer nor below"), "{error}");
}

fn file(name: &str, data: &str) -> Tar {
    Tar::new().file(name, data.as_bytes())
}

fn link(target: &str) -> Tar {
    Tar::new().link("link", target)
}

#[test]
fn the_topmost_that_has_the_name_is_found() {
    assert_eq!(finds(vec![file("d/a", "1"), link("d/a")], "link"), (1, b"1".to_vec()));
    assert_eq!(finds(vec![file("d/a", "1"), file("d/a", "2"), link("d/a")], "link"), (2, b"2".to_vec()));
    assert_eq!(finds(vec![file("d/a", "1"), file("d/b", "2"), link("d/a")], "link"), (1, b"1".to_vec()));
    assert_eq!(
        finds(vec![file("d/a", "1"), link("d/a"), Tar::new().link("l", "link")], "l"),
        (1, b"1".to_vec())
    );
    // In this layer it was not there yet.
    assert_eq!(finds(vec![file("a", "1"), link("a").file("a", b"2")], "link"), (1, b"1".to_vec()));
    // A name that cannot be one leads nowhere: not to the directory above.
    let long = Tar::new().symlink("s", &format!("d/{}", "x".repeat(256)));
    is_missing(vec![file("d/a", "1").file("b", b"2"), long.link("link", "s/b")]);
    // Where it is not below, what comes later in this layer will do.
    assert_eq!(finds(vec![file("b", "1"), link("a").file("a", b"2")], "link"), (2, b"2".to_vec()));
    assert_eq!(finds(vec![link("d/a").file("d/a", b"2")], "link"), (1, b"2".to_vec()));
    // What this layer deletes is still there for its links.
    assert_eq!(finds(vec![file("a", "1"), link("a").file(".wh.a", b"")], "link"), (1, b"1".to_vec()));
}

#[test]
fn what_is_hidden_is_not_found() {
    is_missing(vec![link("a")]);
    is_missing(vec![link("link")]);
    is_missing(vec![link("b").link("b", "link")]);
    is_missing(vec![link("d").file("d/a", b"")]);
    is_missing(vec![file("b", ""), link("a")]);
    is_missing(vec![file("d/a", ""), file("d/.wh.a", ""), link("d/a")]);
    is_missing(vec![file("d/a", ""), file(".wh.d", ""), link("d/a")]);
    is_missing(vec![file("d/a", ""), file("d/.wh..wh..opq", ""), link("d/a")]);
    is_missing(vec![file("d/a", ""), file(".wh..wh..opq", ""), link("d/a")]);
    is_missing(vec![file("d/a", ""), file("d", ""), link("d/a")]);
    is_missing(vec![file("a", ""), link("a/b")]);
    is_missing(vec![Tar::new().symlink("a", "a"), link("a/b")]);
    is_missing(vec![Tar::new().symlink("a", "/"), link("a/b")]);
}

#[test]
fn symlinks_on_the_way_are_followed_in_all_layers_together() {
    let base = || Tar::new().symlink("lib", "/usr/lib").file("usr/lib/a", b"1");
    assert_eq!(finds(vec![base(), link("lib/a")], "link"), (1, b"1".to_vec()));
    assert_eq!(finds(vec![base(), file("usr/lib/a", "2"), link("lib/a")], "link"), (2, b"2".to_vec()));
    let up = Tar::new().symlink("s/up", "../../../usr/./lib/../lib");
    assert_eq!(finds(vec![base(), up, link("s/up/a")], "link"), (1, b"1".to_vec()));
}

#[test]
fn directories_have_one_name() {
    let dir = tempfile::tempdir().unwrap();
    let error = stack(dir.path(), vec![Tar::new().dir("d"), link("d")]).unwrap_err();
    assert_eq!(error.to_string(), "link link in layer 2: it is a hard link to a directory of a layer below");
}

#[test]
fn a_link_is_the_object_below_in_all_it_shows() {
    let dir = tempfile::tempdir().unwrap();
    let base = Tar::new().pax(&[("SCHILY.xattr.user.a", b"v")]).symlink("s", "target").link("t", "s");
    let layers = stack(dir.path(), vec![base, link("t"), Tar::new().link("x/y", "link")]).unwrap();
    let own = at(&layers[0], "s");
    for (layer, path) in [(&layers[1], "link"), (&layers[2], "x/y")] {
        let found = at(layer, path);
        assert_eq!(layer.stat(found).unwrap(), layers[0].stat(own).unwrap());
        assert_eq!(layer.readlink(found).unwrap(), b"target");
        assert_eq!(layer.xattr(found, b"user.a").unwrap(), b"v");
        assert_eq!(layer.xattr_names(found).unwrap(), [b"user.a"]);
        let (parent, _) = RelPath::new(path.as_bytes()).unwrap().split_last().unwrap();
        let mut kinds = Vec::new();
        layer.list(layer.directory_at(&parent).unwrap(), |entry| kinds.push(entry.kind)).unwrap();
        assert_eq!(kinds, [libc::DT_LNK]);
    }
}

#[test]
fn links_before_their_target_count_as_names_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let tar = link("f").link("again", "f").file("f", b"1").link("after", "f");
    let layers = stack(dir.path(), vec![tar]).unwrap();
    let f = layers[0].stat(at(&layers[0], "f")).unwrap();
    assert_eq!(f.nlink, 4);
    for name in ["link", "again", "after"] {
        assert_eq!(layers[0].stat(at(&layers[0], name)).unwrap(), f, "{name}");
    }
}

#[test]
fn a_link_is_an_error_until_it_is_linked() {
    let dir = tempfile::tempdir().unwrap();
    let layer = TarLayer::open(&stored(dir.path(), "tar", link("a")), LayerRef::Lower(1)).unwrap();
    let error = layer.look(EntryId::ROOT, super::layer::name("link")).unwrap_err();
    assert!(error.to_string().contains("was not resolved"), "{error}");
}
