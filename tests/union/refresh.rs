//! After a refresh, what others have changed in a lower layer is seen; before it, what was known is believed.

use std::fs;

use lamina::overlay::*;

use super::changed::{self, is_there, names, text};
use super::stack::*;

fn looked_at() -> (Stack, Overlay) {
    changed::looked_at(Stack::new(2))
}

/// Refreshes, and gives what the kernel is to forget.
fn refreshed(overlay: &Overlay) -> Vec<Invalidation> {
    overlay.take_invalidations();
    overlay.refresh().unwrap();
    overlay.take_invalidations()
}

fn entry(dir: NodeId, name: &str) -> Invalidation {
    Invalidation::Entry(dir, at(dir, name).name.to_owned())
}

#[test]
fn a_name_that_is_new_or_gone() {
    let (stack, overlay) = looked_at();
    let dir = find(&overlay, "d");
    put(stack.lower(1), "d/new", "new");
    fs::remove_file(stack.lower(0).join("d/top")).unwrap();
    assert_eq!(names(&overlay, "d"), ["base", "sub", "top"], "what was listed is believed");
    assert!(!is_there(&overlay, "d/new"));
    let stale = refreshed(&overlay);
    for what in [entry(dir, "new"), entry(dir, "top"), Invalidation::Content(dir)] {
        assert!(stale.contains(&what), "{what:?}: {stale:?}");
    }
    assert!(!stale.contains(&entry(dir, "sub")), "what is still there may have mounts in it");
    assert_eq!(names(&overlay, "d"), ["base", "new", "sub"]);
    assert_eq!(text(&overlay, "d/new"), "new");
    assert!(!is_there(&overlay, "d/top"));
    // Until the next time.
    put(stack.lower(1), "d/later", "later");
    assert!(!is_there(&overlay, "d/later"));
    refreshed(&overlay);
    assert_eq!(text(&overlay, "d/later"), "later");
}

#[test]
fn content_that_changed_is_asked_for_again_and_what_was_written_is_not() {
    let (stack, overlay) = looked_at();
    let (base, top) = (find(&overlay, "d/base"), find(&overlay, "d/top"));
    overlay.setattr(top, None, &CHMOD).unwrap();
    fs::write(stack.lower(1).join("d/base"), "D/BASE").unwrap();
    fs::write(stack.lower(0).join("d/top"), "of the layer").unwrap();
    let stale = refreshed(&overlay);
    assert!(stale.contains(&Invalidation::Content(base)), "{stale:?}");
    assert!(!stale.contains(&Invalidation::Content(top)), "{stale:?}");
    assert_eq!(find(&overlay, "d/base"), base, "it is the same file");
    assert_eq!((text(&overlay, "d/base"), text(&overlay, "d/top")), ("D/BASE".into(), "d/top".into()));
}

#[test]
fn a_file_that_another_one_replaced() {
    let (stack, overlay) = looked_at();
    let node = find(&overlay, "d/base");
    let old = overlay.open(node, READ).unwrap().handle;
    put(stack.lower(1), "d/fresh", "fresh");
    fs::rename(stack.lower(1).join("d/fresh"), stack.lower(1).join("d/base")).unwrap();
    refreshed(&overlay);
    assert_ne!(find(&overlay, "d/base"), node);
    assert_eq!(text(&overlay, "d/base"), "fresh");
    let mut content = [0; 16];
    assert_eq!(overlay.read(old, 0, &mut content).unwrap(), 6, "what is open stays what it is");
    assert_eq!(&content[..6], b"d/base");
    overlay.release(old);
}

#[test]
fn a_directory_that_another_one_replaced() {
    let (stack, overlay) = looked_at();
    let (node, old) = (find(&overlay, "d/sub"), find(&overlay, "e/f"));
    // One of its parts, the lower one: the directory is the same, with other names.
    fs::rename(stack.lower(1).join("d/sub"), stack.lower(1).join("away")).unwrap();
    put(stack.lower(1), "d/sub/other", "other");
    // All of one.
    fs::rename(stack.lower(1).join("e/f"), stack.lower(1).join("old")).unwrap();
    put(stack.lower(1), "e/f/h", "h");
    let stale = refreshed(&overlay);
    assert!(stale.contains(&entry(node, "other")), "{stale:?}");
    assert!(stale.contains(&entry(find(&overlay, "e"), "f")), "{stale:?}");
    assert_eq!(names(&overlay, "d/sub"), ["in", "other"]);
    assert_eq!(find(&overlay, "d/sub"), node);
    assert_eq!(text(&overlay, "d/sub/other"), "other");
    assert!(!is_there(&overlay, "d/sub/below"));
    assert_eq!(names(&overlay, "e/f"), ["h"]);
    assert_ne!(find(&overlay, "e/f"), old);
    assert!(try_list(&overlay, old).unwrap().is_empty());
}

#[test]
fn a_file_becomes_a_directory_and_deletions_are_seen() {
    let (stack, overlay) = looked_at();
    let path = stack.lower(1).join("d/base");
    fs::remove_file(&path).unwrap();
    put(stack.lower(1), "d/base/within", "within");
    put(stack.lower(0), "e/.wh.f", "");
    put(stack.lower(0), "d/sub/.wh.below", "");
    refreshed(&overlay);
    assert_eq!(text(&overlay, "d/base/within"), "within");
    assert!(!is_there(&overlay, "e/f"));
    assert!(!is_there(&overlay, "d/sub/below"));
    assert_eq!(names(&overlay, "d/sub"), ["in"]);
    fs::remove_file(stack.lower(0).join("d/sub/.wh.below")).unwrap();
    refreshed(&overlay);
    assert_eq!(text(&overlay, "d/sub/below"), "d/sub/below");
}

#[test]
fn what_was_written_stays_and_nothing_is_held_for_ever() {
    let (stack, overlay) = looked_at();
    let file = find(&overlay, "d/base");
    let lost = ["d/top", "d/sub/below", "d/sub/in", "d/sub"].map(|path| find(&overlay, path));
    overlay.setattr(file, None, &CHMOD).unwrap();
    let made =
        overlay.create(&caller(), at(find(&overlay, "e"), "made"), 0o644, READ_WRITE, Existing::Refuse);
    overlay.release(made.unwrap().1.handle);
    overlay.unlink(at(find(&overlay, "d"), "top")).unwrap();
    fs::remove_dir_all(stack.lower(1).join("d")).unwrap();
    put(stack.lower(0), "d/top", "again");
    refreshed(&overlay);
    assert_eq!(find(&overlay, "d/base"), file);
    assert_eq!(text(&overlay, "d/base"), "d/base");
    assert_eq!(names(&overlay, "d"), ["base", "sub"], "what was deleted stays deleted");
    assert_eq!(names(&overlay, "e"), ["f", "made"]);
    // All that is known is forgotten: more often than it was looked up, which is no error.
    for node in lost {
        overlay.forget(node, 1 << 20);
    }
    for path in ["d/base", "d/sub/in", "e/f/g", "e/made", "d/sub", "e/f", "d", "e"] {
        overlay.forget(find(&overlay, path), 1 << 20);
    }
    refreshed(&overlay);
    assert_eq!(overlay.node_count(), 1, "the root");
}
