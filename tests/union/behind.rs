//! With `timeout=0`, what others change in a lower layer is seen at the next lookup or listing.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use lamina::overlay::*;

use super::changed::{self, is_there, names, text};
use super::stack::*;

/// As [`changed::looked_at`], with a union that expects changes.
fn looked_at() -> (Stack, Overlay) {
    let mut stack = Stack::new(2);
    stack.behaviour.timeout = Duration::ZERO;
    changed::looked_at(stack)
}

#[test]
fn a_name_that_is_new_or_gone() {
    let (stack, overlay) = looked_at();
    put(stack.lower(1), "d/new", "new");
    fs::remove_file(stack.lower(0).join("d/top")).unwrap();
    assert_eq!(names(&overlay, "d"), ["base", "new", "sub"]);
    assert_eq!(text(&overlay, "d/new"), "new");
    assert!(!is_there(&overlay, "d/top"));
    // What was hidden shows.
    put(stack.lower(1), "d/top", "from below");
    assert_eq!(text(&overlay, "d/top"), "from below");
}

#[test]
fn content_and_size_that_changed() {
    let (stack, overlay) = looked_at();
    let node = find(&overlay, "d/base");
    fs::write(stack.lower(1).join("d/base"), "something longer").unwrap();
    assert_eq!(find(&overlay, "d/base"), node, "it is the same file");
    assert_eq!(overlay.getattr(node).unwrap().size, 16);
    assert_eq!(text(&overlay, "d/base"), "something longer");
}

#[test]
fn a_file_that_another_one_replaced() {
    let (stack, overlay) = looked_at();
    let node = find(&overlay, "d/base");
    let old = overlay.open(node, READ).unwrap().handle;
    put(stack.lower(1), "d/fresh", "fresh");
    fs::rename(stack.lower(1).join("d/fresh"), stack.lower(1).join("d/base")).unwrap();
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
    let node = find(&overlay, "d/sub");
    // One of its parts, the lower one: the directory is the same, with other names.
    fs::rename(stack.lower(1).join("d/sub"), stack.lower(1).join("away")).unwrap();
    put(stack.lower(1), "d/sub/other", "other");
    assert_eq!(names(&overlay, "d/sub"), ["in", "other"]);
    assert_eq!(find(&overlay, "d/sub"), node);
    assert_eq!(text(&overlay, "d/sub/other"), "other");
    assert!(!is_there(&overlay, "d/sub/below"));
    // All of one.
    let old = find(&overlay, "e/f");
    fs::rename(stack.lower(1).join("e/f"), stack.lower(1).join("old")).unwrap();
    put(stack.lower(1), "e/f/h", "h");
    assert_eq!(names(&overlay, "e/f"), ["h"]);
    assert_ne!(find(&overlay, "e/f"), old);
    assert!(try_list(&overlay, old).unwrap().is_empty());
    assert_eq!(text(&overlay, "e/f/h"), "h");
}

#[test]
fn a_file_becomes_a_directory_and_back() {
    let (stack, overlay) = looked_at();
    let path = stack.lower(1).join("d/base");
    fs::remove_file(&path).unwrap();
    put(stack.lower(1), "d/base/within", "within");
    assert_eq!(text(&overlay, "d/base/within"), "within");
    assert_eq!(names(&overlay, "d/base"), ["within"]);
    fs::remove_dir_all(&path).unwrap();
    symlink("elsewhere", &path).unwrap();
    assert_eq!(overlay.readlink(find(&overlay, "d/base")).unwrap(), b"elsewhere");
}

#[test]
fn deletions_that_are_made_in_a_lower() {
    let (stack, overlay) = looked_at();
    put(stack.lower(0), "d/.wh.base", "");
    assert!(!is_there(&overlay, "d/base"));
    assert_eq!(names(&overlay, "d"), ["sub", "top"]);
    fs::remove_file(stack.lower(0).join("d/.wh.base")).unwrap();
    assert_eq!(text(&overlay, "d/base"), "d/base");
}

#[test]
fn a_directory_that_is_not_empty_any_more_is_not_removed() {
    let (stack, overlay) = looked_at();
    let parent = find(&overlay, "e");
    overlay.unlink(at(find(&overlay, "e/f"), "g")).unwrap();
    assert!(names(&overlay, "e/f").is_empty());
    put(stack.lower(1), "e/f/late", "late");
    assert_eq!(*overlay.rmdir(at(parent, "f")).unwrap_err().kind(), lamina::error::Kind::NotEmpty);
    fs::remove_file(stack.lower(1).join("e/f/late")).unwrap();
    overlay.rmdir(at(parent, "f")).unwrap();
    assert!(!is_there(&overlay, "e/f"));
}

#[test]
fn what_was_written_stays_whatever_happens_below() {
    let (stack, overlay) = looked_at();
    let file = find(&overlay, "d/base");
    overlay.setattr(file, None, &CHMOD).unwrap();
    fs::remove_dir_all(stack.lower(1).join("d")).unwrap();
    assert_eq!(find(&overlay, "d/base"), file);
    assert_eq!(text(&overlay, "d/base"), "d/base");
    assert_eq!(overlay.getattr(file).unwrap().perm, 0o640);
    assert_eq!(names(&overlay, "d"), ["base", "sub", "top"]);
}

#[test]
fn what_is_lost_takes_no_change_and_is_freed() {
    let (stack, overlay) = looked_at();
    let lost = find(&overlay, "e/f");
    let inside = find(&overlay, "e/f/g");
    fs::rename(stack.lower(1).join("e/f"), stack.lower(1).join("away")).unwrap();
    assert!(!is_there(&overlay, "e/f"));
    assert!(overlay.create(&caller(), at(lost, "x"), 0o644, READ_WRITE, Existing::Refuse).is_err());
    assert!(overlay.setattr(inside, None, &CHMOD).is_err());
    assert!(!stack.upper().join("e/f").exists());
    // Each was looked up more often than it is forgotten here; forgetting more than that is no error.
    overlay.forget(inside, 1 << 20);
    overlay.forget(lost, 1 << 20);
    assert!(overlay.getattr(lost).is_err());
    assert!(overlay.getattr(inside).is_err());
}
