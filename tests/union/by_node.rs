//! Files that requests name by their nodes, since the kernel has opened them by itself (`io=cached`).

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use lamina::error::Kind;
use lamina::overlay::*;

use super::stack::*;

fn read(overlay: &Overlay, node: NodeId) -> String {
    let mut content = vec![0; 1 << 16];
    let len = overlay.read(node, 0, &mut content).unwrap();
    content.truncate(len);
    String::from_utf8(content).unwrap()
}

fn write(overlay: &Overlay, node: NodeId, offset: u64, data: &str) {
    let written = overlay.write(node, offset, data.as_bytes(), KillPriv::Keep, WriteCause::Caller).unwrap();
    assert_eq!(written, data.len());
}

fn chmod(overlay: &Overlay, node: NodeId, perm: u32) {
    overlay.setattr(node, None, &AttrChange { perm: Some(perm), ..AttrChange::NONE }).unwrap();
}

/// Makes a file as CREATE does, and leaves what is open of it to its node.
fn create(overlay: &Overlay, name: &str, perm: u32) -> NodeId {
    let (made, opened) =
        overlay.create(&caller(), at(NodeId::ROOT, name), perm, READ_WRITE, Existing::Refuse).unwrap();
    overlay.leave_to_node(opened.handle);
    made.node
}

#[test]
fn a_lower_file_is_copied_up_when_it_is_written_and_readers_follow() {
    let stack = Stack::new(1);
    put(stack.lower(0), "f", "lower");
    let overlay = stack.open();
    let node = find(&overlay, "f");
    assert_eq!(read(&overlay, node), "lower");
    assert!(!stack.upper().join("f").exists());
    write(&overlay, node, 5, " and more");
    assert_eq!(read(&overlay, node), "lower and more");
    assert_eq!(std::fs::read_to_string(stack.upper().join("f")).unwrap(), "lower and more");
    assert_eq!(std::fs::read_to_string(stack.lower(0).join("f")).unwrap(), "lower");
    assert_eq!(overlay.census().node_files, 1, "the lower file is closed");
    overlay.fsync(node, Sync::All).unwrap();
    overlay.forget(node, 1);
    assert_eq!(overlay.census().node_files, 0);
}

#[test]
fn truncation_by_node_copies_no_data() {
    let stack = Stack::new(1);
    put(stack.lower(0), "f", "lower");
    let overlay = stack.open();
    let node = find(&overlay, "f");
    assert_eq!(read(&overlay, node), "lower");
    let change = AttrChange { size: Some(0), ..AttrChange::NONE };
    assert_eq!(overlay.setattr(node, Some(node.into()), &change).unwrap().size, 0);
    assert_eq!(read(&overlay, node), "");
    write(&overlay, node, 0, "new");
    assert_eq!(read(&overlay, node), "new");
}

#[test]
fn what_has_lost_its_names_is_read_and_written_until_it_is_forgotten() {
    let stack = Stack::new(1);
    put(stack.lower(0), "lower", "lower");
    put(stack.lower(0), "other", "other");
    put(&stack.upper(), "upper", "upper");
    let mut overlay = stack.open();
    overlay.keep_node_files(8);
    let made = create(&overlay, "made", 0o644);
    write(&overlay, made, 0, "made");
    let nodes = [find(&overlay, "lower"), find(&overlay, "upper"), made];
    let over = create(&overlay, "over", 0o644);
    // One by being replaced, the others by unlink(2); that of the upper has never been read.
    overlay.rename(at(NodeId::ROOT, "over"), at(NodeId::ROOT, "upper"), RenameMode::Replace).unwrap();
    for name in ["lower", "made"] {
        overlay.unlink(at(NodeId::ROOT, name)).unwrap();
    }
    // All that is open is closed in favour of others.
    fill(&overlay);
    for (node, content) in nodes.into_iter().zip(["lower", "upper", "made"]) {
        assert_eq!(read(&overlay, node), content);
        write(&overlay, node, content.len() as u64, "!");
        fill(&overlay);
        assert_eq!(read(&overlay, node), format!("{content}!"));
        overlay.forget(node, 1);
    }
    assert_eq!(read(&overlay, over), "");
    assert!(overlay.getattr(nodes[0]).is_err());
}

/// Has as many other files open as are kept.
fn fill(overlay: &Overlay) {
    let limit = overlay.census().node_files_limit;
    let dir = walk(overlay, "many").unwrap();
    let dir = dir.unwrap_or_else(|| overlay.mkdir(&caller(), at(NodeId::ROOT, "many"), 0o755).unwrap()).node;
    // Used ones have a second chance.
    for n in 0..limit * 3 {
        let name = format!("f{n}");
        let known = overlay.lookup(dir, self::name(&name)).unwrap();
        let made = known.unwrap_or_else(|| {
            overlay.mknod(&caller(), at(dir, &name), SpecialKind::Regular, 0o644).unwrap()
        });
        assert_eq!(read(overlay, made.node), "");
    }
}

#[test]
fn few_files_stay_open() {
    let stack = Stack::new(1);
    (0..200).for_each(|n| put(stack.lower(0), &format!("f{n}"), "content"));
    let mut overlay = stack.open();
    overlay.keep_node_files(8);
    for _ in 0..2 {
        for n in 0..200 {
            assert_eq!(read(&overlay, find(&overlay, &format!("f{n}"))), "content");
            assert!(overlay.census().node_files <= 8);
        }
    }
}

/// As git has it: made with a mode that forbids writing, written, and read again by who has it open.
#[test]
fn who_has_a_file_open_keeps_it_whatever_its_mode() {
    let stack = Stack::new(1);
    let mut overlay = stack.open();
    overlay.keep_node_files(8);
    for perm in [0o444, 0o000, 0o200, 0o400] {
        let name = format!("object{perm:o}");
        let node = create(&overlay, &name, perm);
        write(&overlay, node, 0, "object");
        assert_eq!(read(&overlay, node), "object");
        chmod(&overlay, node, 0o644);
        chmod(&overlay, node, perm);
        fill(&overlay);
        write(&overlay, node, 6, "!");
        fill(&overlay);
        assert_eq!(read(&overlay, node), "object!", "{perm:o}");
        let attr = overlay.getattr(node).unwrap();
        assert_eq!(attr.perm, perm);
        let inode = std::fs::metadata(stack.upper().join(&name)).unwrap();
        assert_eq!(inode.permissions().mode() & 0o7777, perm, "the upper has the mode that is shown");
        overlay.unlink(at(NodeId::ROOT, &name)).unwrap();
        fill(&overlay);
        write(&overlay, node, 0, "O");
        assert_eq!(read(&overlay, node), "Object!", "{perm:o}");
        assert_eq!(inode.nlink(), 1);
    }
}

#[test]
fn a_read_only_stack_is_read_and_not_written() {
    let mut stack = Stack::new(1);
    put(stack.lower(0), "f", "lower");
    stack.spec.upper = None;
    let overlay = stack.open();
    let node = find(&overlay, "f");
    assert_eq!(read(&overlay, node), "lower");
    let refused = overlay.write(node, 0, b"x", KillPriv::Keep, WriteCause::Caller).unwrap_err();
    assert_eq!(*refused.kind(), Kind::ReadOnly);
    assert_eq!(overlay.seek(node, 0, Seek::Hole).unwrap(), 5);
}

#[test]
fn ranges_are_copied_between_nodes() {
    let stack = Stack::new(1);
    put(stack.lower(0), "from", "content");
    put(stack.lower(0), "to", "........");
    let overlay = stack.open();
    let (from, to) = (find(&overlay, "from"), find(&overlay, "to"));
    let place = |node: NodeId, offset| FilePlace { file: node.into(), offset };
    assert_eq!(overlay.copy_file_range(place(from, 0), place(to, 1), 7, KillPriv::Keep).unwrap(), 7);
    assert_eq!(read(&overlay, to), ".content");
    overlay.fallocate(to, FallocateMode::empty(), 0, 16, KillPriv::Keep).unwrap();
    assert_eq!(overlay.getattr(to).unwrap().size, 16);
}

#[test]
fn a_refresh_closes_what_may_be_another_file() {
    let stack = Stack::new(1);
    put(stack.lower(0), "f", "before");
    let overlay = stack.open();
    let node = find(&overlay, "f");
    assert_eq!(read(&overlay, node), "before");
    std::fs::write(stack.lower(0).join("f"), "after").unwrap();
    overlay.refresh().unwrap();
    assert_eq!(overlay.census().node_files, 0);
    assert_eq!(read(&overlay, find(&overlay, "f")), "after");
}

#[test]
fn only_regular_files_have_data() {
    let stack = Stack::new(1);
    let overlay = stack.open();
    let fifo = overlay.mknod(&caller(), at(NodeId::ROOT, "fifo"), SpecialKind::Fifo, 0o644).unwrap().node;
    assert!(overlay.read(fifo, 0, &mut [0; 4]).is_err());
    assert!(overlay.read(NodeId::ROOT, 0, &mut [0; 4]).is_err());
    assert!(overlay.write(fifo, 0, b"x", KillPriv::Keep, WriteCause::Caller).is_err());
}
