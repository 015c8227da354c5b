//! Two layers, and where each of their names comes from.

use std::fs;
use std::os::fd::AsFd;

use super::*;
use crate::config::{Behaviour, StackSpec, UpperSpec};
use crate::path::Name;

/// Top: `both`, `dir/top`, a whiteout of `gone` and of `dir/gone`, and one beside the name itself. Base: the rest.
fn stack(temp: &std::path::Path) -> StackSpec {
    let top = ["both", "dir/top", ".wh.gone", "dir/.wh.gone", ".wh.again", "again"];
    let base = ["both", "dir/base", "gone", "dir/gone", "again", ".wh.top-has-it", "only", ".wh.nothing"];
    let mut lowers = Vec::new();
    for (layer, names) in [("top", &top[..]), ("base", &base[..])] {
        for name in names {
            let path = temp.join(layer).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, layer).unwrap();
        }
        lowers.push(temp.join(layer).into());
    }
    fs::write(temp.join("top/top-has-it"), "").unwrap();
    StackSpec { lowers, data_only: Vec::new(), upper: None }
}

fn read_only() -> Behaviour {
    Behaviour { read_only: true, ..Behaviour::default() }
}

/// Each name in a directory with its layer, and each that is deleted.
fn told(overlay: &Overlay, node: NodeId) -> (Vec<String>, Vec<String>) {
    let layer = |name: &NameBuf| {
        let entry = overlay.lookup(node, name.as_name()).unwrap()?;
        Some(format!("{name} {}", overlay.layer_of(entry.node).unwrap().0))
    };
    let names = overlay.names(node).unwrap().iter().filter_map(layer).collect();
    let deleted = overlay.deleted(node).unwrap();
    (names, deleted.iter().map(|(name, depth)| format!("{name} {}", depth.0)).collect())
}

fn dir_of(overlay: &Overlay) -> NodeId {
    overlay.lookup(NodeId::ROOT, Name::new(b"dir").unwrap()).unwrap().unwrap().node
}

#[test]
fn each_name_has_the_layer_that_supplies_or_deletes_it() {
    let temp = tempfile::tempdir().unwrap();
    let overlay = Overlay::open_stack(&stack(temp.path()), &read_only()).unwrap();
    let (names, deleted) = told(&overlay, NodeId::ROOT);
    assert_eq!(names, ["again 0", "both 0", "dir 0", "only 1", "top-has-it 0"]);
    assert_eq!(deleted, ["gone 0", "nothing 1"]);
    let (names, deleted) = told(&overlay, dir_of(&overlay));
    assert_eq!(names, ["base 1", "top 0"]);
    assert_eq!(deleted, ["gone 0"]);
}

#[test]
fn what_fuse_overlayfs_leaves_beside_an_opaque_mark_is_no_deletion() {
    let temp = tempfile::tempdir().unwrap();
    let spec = stack(temp.path());
    fs::write(temp.path().join("top/dir/.wh..wh..opq"), "").unwrap();
    let dir = crate::sys::fs::open_dir_path(&temp.path().join("top/dir")).unwrap();
    for name in [".wh..opq", "base"] {
        let name = Name::new(name.as_bytes()).unwrap();
        crate::sys::fs::mknod(dir.as_fd(), name, libc::S_IFCHR, 0, 0).unwrap();
    }
    let overlay = Overlay::open_stack(&spec, &read_only()).unwrap();
    let (names, deleted) = told(&overlay, dir_of(&overlay));
    assert_eq!((names, deleted), (vec!["top 0".to_owned()], vec!["base 0".to_owned(), "gone 0".to_owned()]));
}

#[test]
fn one_layer_alone_has_its_own_names() {
    let temp = tempfile::tempdir().unwrap();
    let spec = stack(temp.path());
    let top = Overlay::open_layer(&spec, &read_only(), Depth(0)).unwrap();
    assert_eq!(told(&top, NodeId::ROOT).0, ["again 0", "both 0", "dir 0", "top-has-it 0"]);
    assert_eq!(told(&top, NodeId::ROOT).1, ["gone 0"]);
    let base = Overlay::open_layer(&spec, &read_only(), Depth(1)).unwrap();
    assert_eq!(told(&base, dir_of(&base)).0, ["base 0", "gone 0"]);
    assert_eq!(told(&base, NodeId::ROOT).1, ["nothing 0", "top-has-it 0"]);
    for (depth, behaviour) in [(2, read_only()), (u16::MAX, read_only())] {
        assert!(Overlay::open_layer(&spec, &behaviour, Depth(depth)).is_err(), "{depth}");
    }
}

#[test]
fn what_is_of_the_upper_is_known_though_that_be_read_only() {
    let temp = tempfile::tempdir().unwrap();
    let mut spec = stack(temp.path());
    for dir in ["up", "work"] {
        fs::create_dir(temp.path().join(dir)).unwrap();
    }
    fs::write(temp.path().join("up/new"), "").unwrap();
    spec.upper = Some(UpperSpec { upper: temp.path().join("up"), work: temp.path().join("work") });
    let overlay = Overlay::open_stack(&spec, &read_only()).unwrap();
    for (name, of_upper) in [(&b"new"[..], true), (b"both", false), (b"dir", false)] {
        let node = overlay.lookup(NodeId::ROOT, Name::new(name).unwrap()).unwrap().unwrap().node;
        assert_eq!(overlay.is_of_upper(node).unwrap(), of_upper);
    }
}
