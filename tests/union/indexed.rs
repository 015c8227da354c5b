//! An index of hard links, read beside the union that writes it.

use std::collections::BTreeMap;
use std::path::Path;

use lamina::config::{Behaviour, Index};
use lamina::overlay::*;

use super::stack::*;

fn linked() -> Stack {
    let mut stack = Stack::new(1);
    stack.behaviour.index = Index::On;
    put(stack.lower(0), "a", "before");
    std::fs::create_dir(stack.lower(0).join("d")).unwrap();
    for other in ["b", "d/c"] {
        std::fs::hard_link(stack.lower(0).join("a"), stack.lower(0).join(other)).unwrap();
    }
    stack
}

/// The same stack, to be looked into only.
fn look(stack: &Stack) -> Overlay {
    let behaviour = Behaviour { read_only: true, ..stack.behaviour.clone() };
    Overlay::open_stack(&stack.spec, &behaviour).unwrap()
}

fn text(overlay: &Overlay, path: &str) -> String {
    let opened = overlay.open(find(overlay, path), READ).unwrap();
    let mut bytes = [0; 64];
    let read = overlay.read(opened.handle, 0, &mut bytes).unwrap();
    overlay.release(opened.handle);
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

/// Every path with its modification time.
fn times(root: &Path, all: &mut BTreeMap<std::path::PathBuf, std::time::SystemTime>) {
    all.insert(root.to_owned(), root.symlink_metadata().unwrap().modified().unwrap());
    for entry in std::fs::read_dir(root).into_iter().flatten() {
        times(&entry.unwrap().path(), all);
    }
}

#[test]
fn all_names_of_a_changed_file_are_read_by_whoever_looks_into_the_stack() {
    let stack = linked();
    let overlay = stack.open();
    let opened = overlay.open(find(&overlay, "a"), READ_WRITE).unwrap();
    overlay.write(opened.handle, 0, b"after!", KillPriv::Keep, WriteCause::Caller).unwrap();
    overlay.release(opened.handle);
    let mut before = BTreeMap::new();
    times(stack.temp.path(), &mut before);

    // The first union holds its locks all the while.
    let seen = look(&stack);
    for path in ["a", "b", "d/c"] {
        assert_eq!(text(&seen, path), "after!", "{path}");
        let entry = walk(&seen, path).unwrap().unwrap();
        assert_eq!((entry.attr.nlink, entry.attr.ino), (3, find_attr(&overlay, path).ino), "{path}");
        assert_eq!(seen.layer_of(entry.node).unwrap().0, 0, "{path}");
        assert!(seen.is_of_upper(entry.node).unwrap(), "{path}");
    }
    let mut after = BTreeMap::new();
    times(stack.temp.path(), &mut after);
    assert_eq!(after, before, "looking changes nothing");

    // A name that goes is gone there, too, and one that is the last of the upper's.
    overlay.unlink(at(NodeId::ROOT, "a")).unwrap();
    let seen = look(&stack);
    assert!(walk(&seen, "a").unwrap().is_none());
    assert_eq!((text(&seen, "b").as_str(), find_attr(&seen, "b").nlink), ("after!", 2));
}

#[test]
fn without_an_index_there_is_nothing_to_read() {
    let mut stack = linked();
    // Only looked into: no index was ever made, and none is.
    let seen = look(&stack);
    assert_eq!(text(&seen, "b"), "before");
    drop(seen);
    let work = stack.spec.upper.as_ref().unwrap().work.clone();
    assert_eq!(std::fs::read_dir(&work).unwrap().count(), 0);
    std::fs::remove_dir(&work).unwrap();
    assert_eq!(text(&look(&stack), "d/c"), "before");
    std::fs::create_dir(&work).unwrap();
    // One that is not asked for is not read.
    let overlay = stack.open();
    let opened = overlay.open(find(&overlay, "a"), READ_WRITE).unwrap();
    overlay.write(opened.handle, 0, b"after!", KillPriv::Keep, WriteCause::Caller).unwrap();
    stack.behaviour.index = Index::Off;
    let seen = look(&stack);
    assert_eq!((text(&seen, "a").as_str(), text(&seen, "b").as_str()), ("after!", "before"));
}

fn find_attr(overlay: &Overlay, path: &str) -> Attr {
    walk(overlay, path).unwrap().unwrap().attr
}
