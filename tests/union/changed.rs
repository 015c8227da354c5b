//! What the tests of layers that others change begin with, and how they look.

use lamina::overlay::*;

use super::stack::*;

/// Fills two lowers with a directory that both have, opens the union, and looks at all of it once.
pub fn looked_at(stack: Stack) -> (Stack, Overlay) {
    for (layer, path) in [(0, "d/top"), (0, "d/sub/in"), (1, "d/base"), (1, "d/sub/below"), (1, "e/f/g")] {
        put(stack.lower(layer), path, path);
    }
    let overlay = stack.open();
    for dir in ["d", "d/sub", "e", "e/f"] {
        list(&overlay, find(&overlay, dir));
    }
    for file in ["d/top", "d/base", "d/sub/in", "d/sub/below", "e/f/g"] {
        assert_eq!(text(&overlay, file), file);
    }
    (stack, overlay)
}

pub fn text(overlay: &Overlay, path: &str) -> String {
    String::from_utf8(read_all(overlay, find(overlay, path)).unwrap()).unwrap()
}

pub fn names(overlay: &Overlay, dir: &str) -> Vec<String> {
    list(overlay, find(overlay, dir)).into_iter().map(|(name, _)| name).collect()
}

pub fn is_there(overlay: &Overlay, path: &str) -> bool {
    walk(overlay, path).unwrap().is_some()
}
