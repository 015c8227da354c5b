//! Threads that do related things at once. Each test runs many short rounds, so that what can go wrong has many
//! chances; the threads of a round start together.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use lamina::overlay::*;

use super::stack::*;

/// Runs both at once: each spins until the other is there, since being woken up takes longer than what they do.
fn together<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    let there = AtomicUsize::new(0);
    let meet = || {
        there.fetch_add(1, Ordering::AcqRel);
        while there.load(Ordering::Acquire) < 2 {
            thread::yield_now();
        }
    };
    thread::scope(|scope| {
        let a = scope.spawn(|| {
            meet();
            a()
        });
        meet();
        let b = b();
        (a.join().unwrap(), b)
    })
}

#[test]
fn names_are_found_while_their_directory_is_copied_up() {
    let stack = Stack::new(2);
    for round in 0..400 {
        for n in 0..20 {
            put(stack.lower(0), &format!("d{round}/top{n}"), "top");
            put(stack.lower(1), &format!("d{round}/base{n}"), "base");
            put(stack.lower(1), &format!("d{round}/top{n}"), "hidden");
        }
        put(stack.lower(0), &format!("d{round}/sub/file"), "");
    }
    let overlay = stack.open();
    for round in 0..400 {
        let dir = find(&overlay, &format!("d{round}"));
        let sub = find(&overlay, &format!("d{round}/sub"));
        let look = || {
            for n in 0..20 {
                for layer in ["top", "base"] {
                    let found = overlay.lookup(dir, name(&format!("{layer}{n}"))).unwrap().unwrap();
                    assert_eq!(read_all(&overlay, found.node).unwrap(), layer.as_bytes());
                }
            }
        };
        together(look, || overlay.setattr(sub, None, &CHMOD).unwrap());
    }
}

#[test]
fn two_names_of_an_upper_file_looked_up_at_once_are_one_node() {
    let stack = Stack::new(1);
    for round in 0..1000 {
        put(&stack.upper(), &format!("a/{round}"), "");
        std::fs::create_dir_all(stack.upper().join("b")).unwrap();
        std::fs::hard_link(
            stack.upper().join(format!("a/{round}")),
            stack.upper().join(format!("b/{round}")),
        )
        .unwrap();
    }
    let overlay = stack.open();
    let (a, b) = (find(&overlay, "a"), find(&overlay, "b"));
    for round in 0..1000 {
        let text = round.to_string();
        let look = |dir| {
            let text = text.as_str();
            let overlay = &overlay;
            move || overlay.lookup(dir, name(text)).unwrap().unwrap().node
        };
        let (one, two) = together(look(a), look(b));
        assert_eq!(one, two, "round {round}");
    }
}

#[test]
fn a_name_looked_up_while_another_is_forgotten_stays_known() {
    let stack = Stack::new(1);
    put(&stack.upper(), "a/file", "");
    std::fs::create_dir_all(stack.upper().join("b")).unwrap();
    std::fs::hard_link(stack.upper().join("a/file"), stack.upper().join("b/file")).unwrap();
    let overlay = stack.open();
    let (a, b) = (find(&overlay, "a"), find(&overlay, "b"));
    for round in 0..3000 {
        let first = overlay.lookup(a, name("file")).unwrap().unwrap().node;
        let look = || overlay.lookup(b, name("file")).unwrap().unwrap().node;
        let ((), second) = together(|| overlay.forget(first, 1), look);
        overlay.getattr(second).unwrap_or_else(|error| panic!("round {round}: {error}"));
        overlay.forget(second, 1);
        assert_eq!(overlay.node_count(), 3, "round {round}");
    }
    overlay.forget(a, 1);
    overlay.forget(b, 1);
    assert_eq!(overlay.node_count(), 1);
}

#[test]
fn two_hard_links_exchanged_in_two_directories_do_not_wait_for_each_other_for_ever() {
    let stack = Stack::new(1);
    let overlay = stack.open();
    let mkdir = |text| overlay.mkdir(&caller(), at(NodeId::ROOT, text), 0o755).unwrap().node;
    let (left, right) = (mkdir("left"), mkdir("right"));
    for text in ["one", "two"] {
        let made = overlay.mknod(&caller(), at(left, text), SpecialKind::Regular, 0o644).unwrap().node;
        overlay.link(made, at(right, text)).unwrap();
    }
    let exchange = |dir, from, to| {
        for _ in 0..5000 {
            overlay.rename(at(dir, from), at(dir, to), RenameMode::Exchange).unwrap();
        }
    };
    together(|| exchange(left, "one", "two"), || exchange(right, "two", "one"));
    assert_eq!(list(&overlay, left), list(&overlay, right));
}

#[test]
fn directories_are_opened_again_while_those_above_move() {
    let stack = Stack::new(1);
    let overlay = open_with_few_descriptors(&stack);
    let mkdir = |dir, text: &str| overlay.mkdir(&caller(), at(dir, text), 0o755).unwrap().node;
    let top = mkdir(NodeId::ROOT, "here");
    let below = mkdir(top, "below");
    let dirs: Vec<NodeId> = (0..400).map(|n| mkdir(below, &format!("d{n}"))).collect();
    let walk = || {
        for _ in 0..20 {
            for dir in &dirs {
                overlay.getattr(*dir).unwrap();
            }
        }
    };
    let rename = || {
        for _ in 0..2000 {
            overlay.rename(at(NodeId::ROOT, "here"), at(NodeId::ROOT, "there"), RenameMode::Replace).unwrap();
            overlay.rename(at(NodeId::ROOT, "there"), at(NodeId::ROOT, "here"), RenameMode::Replace).unwrap();
        }
    };
    together(walk, rename);
}
