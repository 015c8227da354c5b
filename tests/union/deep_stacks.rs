//! Stacks of many layers: how many questions the layers are asked, which is what a lookup costs.

use std::fs;
use std::os::unix::fs::symlink;

use lamina::overlay::*;

use super::stack::*;

const LAYERS: usize = 128;

/// A directory `d` in all layers: a file of its own in each, one in the base alone, one above its whiteout, and a directory
/// that the layers 3 and 77 have.
fn deep() -> Stack {
    let stack = Stack::new(LAYERS);
    for layer in 0..LAYERS {
        put(stack.lower(layer), &format!("d/own{layer}"), "");
    }
    put(stack.lower(LAYERS - 1), "d/base", "base");
    put(stack.lower(LAYERS - 1), "d/gone", "gone");
    put(stack.lower(9), "d/.wh.gone", "");
    put(stack.lower(3), "d/sub/a", "");
    put(stack.lower(77), "d/sub/b", "");
    put(stack.lower(60), "d/hidden/a", "");
    put(stack.lower(40), "d/hidden/.wh..wh..opq", "");
    stack
}

/// What is done asks the layers so many questions.
fn asked<T>(overlay: &Overlay, what: impl FnOnce() -> T) -> (u64, T) {
    let before = overlay.layer_questions();
    let done = what();
    (overlay.layer_questions() - before, done)
}

/// Looks a name up and has it forgotten, as if it had never been looked up.
fn look(overlay: &Overlay, dir: NodeId, text: &str) -> (u64, bool) {
    let (questions, found) = asked(overlay, || overlay.lookup(dir, name(text)).unwrap());
    if let Some(entry) = &found {
        overlay.forget(entry.node, 1);
    }
    (questions, found.is_some())
}

#[test]
fn after_a_listing_a_lookup_asks_the_layers_that_have_the_name() {
    let stack = deep();
    let overlay = stack.open();
    let dir = find(&overlay, "d");
    let (questions, names) = asked(&overlay, || list(&overlay, dir));
    assert_eq!(names.len(), LAYERS + 3);
    // Each name in the layers that have it. (`hidden` ends at the opaque one.) Nothing is asked of a whiteout twice.
    assert!(questions <= LAYERS as u64 + 1 + 2 + 1 + 4, "{questions}");
    assert_eq!(look(&overlay, dir, "base"), (1, true));
    assert_eq!(look(&overlay, dir, "own100"), (1, true));
    assert_eq!(look(&overlay, dir, "sub"), (2, true));
    assert_eq!(look(&overlay, dir, "hidden"), (1, true));
    assert_eq!(look(&overlay, dir, "gone"), (0, false));
    assert_eq!(look(&overlay, dir, "none"), (0, false));
    let sub = find(&overlay, "d/sub");
    assert_eq!(list(&overlay, sub).len(), 2);
    assert_eq!(list(&overlay, find(&overlay, "d/hidden")).len(), 0);
}

#[test]
fn with_an_upper_part_there_is_one_question_more() {
    let stack = deep();
    let overlay = stack.open();
    let dir = find(&overlay, "d");
    list(&overlay, dir);
    overlay.mkdir(&caller(), at(dir, "new"), 0o755).unwrap();
    assert_eq!(look(&overlay, dir, "base"), (2, true));
    assert_eq!(look(&overlay, dir, "sub"), (3, true));
    // Removing what is in the upper alone: no lower has the name.
    let (questions, ()) = asked(&overlay, || overlay.rmdir(at(dir, "new")).unwrap());
    assert_eq!(questions, 0);
    // And one that is in the base leaves a whiteout.
    let (questions, ()) = asked(&overlay, || overlay.unlink(at(dir, "base")).unwrap());
    assert!(questions <= 3, "{questions}");
    assert_eq!(look(&overlay, dir, "base"), (0, false));
    drop(overlay);
    let overlay = stack.open();
    assert!(walk(&overlay, "d/base").unwrap().is_none());
}

#[test]
fn a_directory_that_is_asked_again_and_again_is_listed() {
    let stack = deep();
    let overlay = stack.open();
    let dir = find(&overlay, "d");
    let (questions, _) = asked(&overlay, || {
        for _ in 0..1000 {
            assert!(look(&overlay, dir, "base").1);
        }
    });
    // A few times all layers, with a question for the `.wh.` name each, then one layer.
    assert!(questions < 8 * 2 * LAYERS as u64 + 1000, "{questions}");
    assert_eq!(look(&overlay, dir, "base"), (1, true));
    assert_eq!(look(&overlay, dir, "none"), (0, false));
    // The base is not asked: the whiteout is above it.
    assert_eq!(look(&overlay, dir, "gone"), (1, false));
    assert_eq!(overlay.census().listings, 0, "only which part has a name is kept");
}

#[test]
fn large_directories_are_not_listed_for_a_few_lookups() {
    let stack = Stack::new(3);
    for layer in 0..3 {
        fs::create_dir(stack.lower(layer).join("d")).unwrap();
        for file in 0..2000 {
            fs::write(stack.lower(layer).join(format!("d/{layer}-{file}")), "").unwrap();
        }
    }
    let overlay = stack.open();
    let dir = find(&overlay, "d");
    for _ in 0..40 {
        assert_eq!(look(&overlay, dir, "2-7"), (5, true));
    }
    for _ in 0..2000 {
        look(&overlay, dir, "2-7");
    }
    assert_eq!(look(&overlay, dir, "2-7"), (1, true));
    // The base was never asked in vain, and is not listed until it has been.
    assert_eq!(look(&overlay, dir, "none"), (2, false));
    for _ in 0..4000 {
        look(&overlay, dir, "none");
    }
    assert_eq!(look(&overlay, dir, "none"), (0, false));
}

#[test]
fn what_is_refreshed_is_asked_anew() {
    let stack = deep();
    let mut overlay = stack.open();
    overlay.list_parts_at_once();
    let dir = find(&overlay, "d");
    assert_eq!(look(&overlay, dir, "late"), (0, false));
    assert!(look(&overlay, dir, "own5").1);
    list(&overlay, dir);
    put(stack.lower(70), "d/late", "late");
    put(stack.lower(4), "d/.wh.own5", "");
    put(stack.lower(0), "d/sub/c", "");
    overlay.refresh().unwrap();
    assert!(look(&overlay, dir, "late").1);
    assert!(!look(&overlay, dir, "own5").1);
    let names: Vec<String> =
        list(&overlay, find(&overlay, "d/sub")).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

#[test]
fn with_a_timeout_of_zero_every_layer_is_asked_every_time() {
    let mut stack = deep();
    stack.behaviour.timeout = std::time::Duration::ZERO;
    let overlay = stack.open();
    let dir = find(&overlay, "d");
    list(&overlay, dir);
    // Each for the name and, where that is not, for its `.wh.` name.
    assert_eq!(look(&overlay, dir, "base"), (2 * (LAYERS as u64 - 1) + 1, true));
    put(stack.lower(70), "d/late", "late");
    assert!(look(&overlay, dir, "late").1);
    put(stack.lower(5), "d/.wh.late", "");
    assert!(!look(&overlay, dir, "late").1);
}

#[test]
fn what_a_link_to_nowhere_hides_is_found_by_its_layer() {
    // The topmost entry counts, of whatever type; and a name that is only below a file of the same name is not merged.
    let stack = Stack::new(3);
    symlink("nowhere", stack.lower(0).join("x")).unwrap();
    put(stack.lower(1), "x/in", "");
    put(stack.lower(2), "y/in", "");
    put(stack.lower(1), "y", "a file");
    put(stack.lower(0), "y/top", "");
    let mut overlay = stack.open();
    overlay.list_parts_at_once();
    assert_eq!(overlay.getattr(find(&overlay, "x")).unwrap().kind, FileKind::Symlink);
    let names: Vec<String> = list(&overlay, find(&overlay, "y")).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["top"]);
}
