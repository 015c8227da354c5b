//! Nodes and descriptors: kept as long as the kernel knows of them, and no longer.

use lamina::error::Kind;
use lamina::overlay::*;

use super::stack::*;

#[test]
fn forgotten_nodes_are_freed() {
    let stack = Stack::new(2);
    put(stack.lower(0), "a/b/c/file", "top");
    put(stack.lower(1), "a/b/c/other", "base");
    let overlay = stack.open();
    let mut known = Vec::new();
    let mut dir = NodeId::ROOT;
    for part in ["a", "b", "c"] {
        dir = overlay.lookup(dir, name(part)).unwrap().unwrap().node;
        known.push(dir);
    }
    known.push(overlay.lookup(dir, name("file")).unwrap().unwrap().node);
    let (made, opened) =
        overlay.create(&caller(), at(dir, "made"), 0o644, READ_WRITE, Existing::Refuse).unwrap();
    overlay.release(opened.handle);
    known.push(made.node);
    let linked = overlay.link(made.node, at(known[0], "linked")).unwrap();
    known.push(linked.node);
    overlay.unlink(at(dir, "file")).unwrap();
    overlay.rename(at(dir, "made"), at(known[0], "moved"), RenameMode::Replace).unwrap();
    list(&overlay, dir);
    assert!(overlay.node_count() > 1);
    // The top first: what is below keeps its parents.
    for node in known {
        overlay.forget(node, 1);
    }
    assert_eq!(overlay.node_count(), 1);
}

#[test]
fn what_is_refused_leaves_no_node() {
    let stack = Stack::new(1);
    put(stack.lower(0), "file", "");
    put(stack.lower(0), "dir/file", "");
    let overlay = stack.open();
    let kind = |result: lamina::error::Result<Entry>| result.unwrap_err().kind().clone();
    assert_eq!(kind(overlay.mkdir(&caller(), at(NodeId::ROOT, "dir"), 0o755)), Kind::Exists);
    assert_eq!(overlay.node_count(), 1);
    assert_eq!(kind(overlay.symlink(&caller(), at(NodeId::ROOT, "file"), b"to")), Kind::Exists);
    assert_eq!(overlay.node_count(), 1);
    assert!(overlay.unlink(at(NodeId::ROOT, "dir")).is_err());
    assert!(overlay.rmdir(at(NodeId::ROOT, "dir")).is_err());
    assert!(overlay.rmdir(at(NodeId::ROOT, "file")).is_err());
    assert_eq!(overlay.node_count(), 1);
}

#[test]
fn a_file_that_is_open_is_served_after_its_last_lookup_is_forgotten() {
    let stack = Stack::new(1);
    put(stack.lower(0), "file", "content");
    let overlay = stack.open();
    let node = find(&overlay, "file");
    let opened = overlay.open(node, READ_WRITE).unwrap();
    overlay.forget(node, 1);
    assert_eq!(overlay.write(opened.handle, 0, b"C", KillPriv::Keep, WriteCause::Caller).unwrap(), 1);
    overlay.release(opened.handle);
    assert_eq!(overlay.node_count(), 1);
    assert_eq!(read_all(&overlay, find(&overlay, "file")).unwrap(), b"Content");
}

#[test]
fn descriptors_stay_bounded_while_a_wide_tree_is_walked() {
    let stack = Stack::new(2);
    for n in 0..600 {
        put(stack.lower(0), &format!("d{n}/file"), "");
        put(stack.lower(1), &format!("d{n}/file"), "");
    }
    let overlay = open_with_few_descriptors(&stack);
    let below = || {
        let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        open.filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to.starts_with(stack.temp.path())))
            .count()
    };
    let mut most = 0;
    for n in 0..600 {
        let dir = find(&overlay, &format!("d{n}"));
        overlay.mknod(&caller(), at(dir, "made"), SpecialKind::Regular, 0o644).unwrap();
        assert_eq!(list(&overlay, dir).len(), 2);
        most = most.max(below());
    }
    assert!(most < 200, "{most} descriptors were open");
    // All of them still work.
    for n in 0..600 {
        assert!(walk(&overlay, &format!("d{n}/made")).unwrap().is_some());
    }
}
