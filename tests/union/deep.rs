//! Deep trees: deeper than a path can say, and deeper than a stack can recurse.

use lamina::overlay::*;

use super::stack::*;

const LONG: &str = "a-name-of-fifty-bytes-so-that-a-path-soon-is-toolong";

#[test]
fn directories_deeper_than_a_path_can_say() {
    let stack = Stack::new(1);
    put(stack.lower(0), "x/file", "");
    let overlay = stack.open();
    let mut dirs = vec![find(&overlay, "x")];
    for _ in 0..120 {
        let made = overlay.mkdir(&caller(), at(*dirs.last().unwrap(), LONG), 0o755).unwrap();
        dirs.push(made.node);
    }
    drop(overlay);
    let overlay = stack.open();
    let mut dir = find(&overlay, "x");
    for _ in 0..120 {
        dir = overlay.lookup(dir, name(LONG)).unwrap().unwrap().node;
        assert!(list(&overlay, dir).len() <= 1);
    }
    // And as a lower.
    let mut spec = stack.spec.clone();
    spec.lowers.insert(0, stack.upper().into());
    spec.upper = None;
    drop(overlay);
    let overlay = Overlay::open_stack(&spec, &stack.behaviour).unwrap();
    let mut dir = find(&overlay, "x");
    for _ in 0..120 {
        dir = overlay.lookup(dir, name(LONG)).unwrap().unwrap().node;
        assert!(list(&overlay, dir).len() <= 1);
    }
}

#[test]
fn a_deep_chain_is_freed_without_recursion() {
    let stack = Stack::new(1);
    let overlay = stack.open();
    // Fewer levels than a mount could have; a small stack stands for the rest.
    let mut chain = Vec::new();
    let mut dir = NodeId::ROOT;
    for _ in 0..1500 {
        dir = overlay.mkdir(&caller(), at(dir, "d"), 0o755).unwrap().node;
        chain.push(dir);
    }
    std::thread::scope(|scope| {
        let free = || {
            for node in &chain {
                overlay.forget(*node, 1);
            }
            assert_eq!(overlay.node_count(), 1);
        };
        std::thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, free).unwrap().join().unwrap();
    });
}

#[test]
fn a_union_with_a_deep_chain_is_dropped_without_recursion() {
    let stack = Stack::new(1);
    let overlay = stack.open();
    let mut dir = NodeId::ROOT;
    for _ in 0..1500 {
        dir = overlay.mkdir(&caller(), at(dir, "d"), 0o755).unwrap().node;
    }
    std::thread::Builder::new().stack_size(128 << 10).spawn(move || drop(overlay)).unwrap().join().unwrap();
}
