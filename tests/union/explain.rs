//! The explanation of a path is what the union shows there.

use std::fs;
use std::path::Path;

use lamina::config::LowerSpec;
use lamina::layer::Found;
use lamina::overlay::*;
use lamina::path::RelPath;

use super::stack::*;

const NAMES: [&str; 3] = ["a", "b", "c"];

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

/// Files, directories, whiteouts and opaque directories, three levels deep. The content of a file tells its layer.
fn fill(rng: &mut Rng, dir: &Path, layer: usize, level: usize) {
    for name in NAMES {
        let at = dir.join(name);
        match rng.below(6) {
            0 => fs::write(&at, format!("layer {layer}")).unwrap(),
            1 => fs::write(dir.join(format!(".wh.{name}")), "").unwrap(),
            2..=4 if level < 3 => {
                fs::create_dir(&at).unwrap();
                if rng.below(3) == 0 {
                    fs::write(at.join(".wh..wh..opq"), "").unwrap();
                }
                fill(rng, &at, layer, level + 1);
            }
            _ => {}
        }
    }
}

fn paths() -> Vec<String> {
    let mut all = vec![String::new()];
    let mut last = all.clone();
    for _ in 0..3 {
        last = last.iter().flat_map(|path| NAMES.map(|name| format!("{path}/{name}"))).collect();
        all.extend_from_slice(&last);
    }
    all
}

/// What the union shows at a path: nothing, too, below what is no directory.
fn shown(overlay: &Overlay, path: &str) -> Option<Entry> {
    match walk(overlay, path) {
        Ok(entry) => entry,
        Err(error) if error.errno() == nix::errno::Errno::ENOTDIR => None,
        Err(error) => panic!("{path}: {error}"),
    }
}

#[test]
fn an_explanation_is_what_the_union_shows() {
    let mut seen = [0; 6];
    for seed in 1..=60_u64 {
        let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let stack = Stack::new(3);
        for (layer, lower) in stack.spec.lowers.iter().map(LowerSpec::path).enumerate() {
            fill(&mut rng, lower, layer + 1, 1);
        }
        fill(&mut rng, &stack.upper(), 0, 1);
        let overlay = stack.open();
        for path in paths() {
            let what = format!("seed {seed}, '{path}'");
            let trace = overlay.trace(path.as_bytes()).unwrap_or_else(|error| panic!("{what}: {error}"));
            let there = shown(&overlay, &path);
            // Asked in its directory, it hides what it hides by itself.
            let place = RelPath::new(path.as_bytes()).unwrap();
            if let Some((parent, name)) = place.split_last()
                && let Some(dir) = overlay.trace_dir(&parent).unwrap()
            {
                let shadows = trace.layers.iter().any(Said::is_shadowed);
                assert_eq!(dir.shadows(name).unwrap(), shadows, "{what}");
            }
            match (trace.outcome, there) {
                (Outcome::There { depth, kind, data }, Some(entry)) => {
                    assert_eq!(kind, entry.attr.kind, "{what}");
                    let said = trace.layers.iter().find(|said| said.depth == depth).unwrap();
                    assert_eq!(said.part, Part::Counts, "{what}");
                    let stat =
                        said.stat().unwrap_or_else(|| panic!("{what}: the layer that wins has nothing"));
                    assert_eq!(stat.mode & 0o7777, entry.attr.perm, "{what}");
                    seen[0] += 1;
                    if kind == FileKind::Regular {
                        assert_eq!(data, Some(depth), "{what}");
                        let mut content = Vec::new();
                        said.read(|piece| content.extend_from_slice(piece)).unwrap();
                        assert_eq!(content, read_all(&overlay, entry.node).unwrap(), "{what}");
                        assert_eq!(content, format!("layer {}", depth.0).into_bytes(), "{what}");
                        seen[1] += 1;
                    }
                }
                (Outcome::Absent(reason), None) => {
                    let is_there = |said: &Said<'_>| matches!(said.found, Found::Leaf(_) | Found::Dir(_));
                    match reason {
                        Reason::NeverExisted => {
                            assert!(!trace.layers.iter().any(is_there), "{what}: a layer has it");
                            seen[2] += 1;
                        }
                        Reason::Deleted(by) => {
                            let below = |said: &Said<'_>| said.depth > by && is_there(said);
                            let whiteout = |said: &Said<'_>| matches!(said.found, Found::Whiteout);
                            let here = trace.layers.iter().find(|said| said.depth == by).unwrap();
                            assert!(
                                whiteout(here) || trace.layers.iter().any(below),
                                "{what}: nothing is deleted"
                            );
                            seen[3] += 1;
                        }
                        Reason::HiddenByOpaque(by) => {
                            let below = |said: &Said<'_>| said.depth > by && is_there(said);
                            assert!(trace.layers.iter().any(below), "{what}: nothing is hidden");
                            seen[4] += 1;
                        }
                        Reason::ParentNotADirectory(_) => seen[5] += 1,
                    }
                }
                (outcome, there) => panic!("{what}: explained as {outcome:?}, shown is {there:?}"),
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 20), "what was seen too seldom proves nothing: {seen:?}");
}

#[test]
fn the_layer_that_supplies_an_object_is_told_and_those_that_it_hides() {
    let stack = Stack::new(2);
    put(stack.lower(1), "dir/file", "base");
    put(stack.lower(0), "dir/file", "top");
    put(stack.lower(1), "dir/other", "base");
    let overlay = stack.open();
    let ask = |node, what| String::from_utf8(overlay.supplied(node, what).unwrap()).unwrap();
    let file = find(&overlay, "dir/file");
    assert_eq!(ask(file, Supplied::By), "2");
    assert_eq!(ask(file, Supplied::Shadowed), "1");
    assert_eq!(ask(find(&overlay, "dir/other"), Supplied::By), "1");
    assert_eq!(ask(find(&overlay, "dir/other"), Supplied::Shadowed), "");
    assert_eq!(ask(NodeId::ROOT, Supplied::By), "3");
    // Copied up, it is the upper's.
    let opened = overlay.open(file, READ_WRITE).unwrap();
    overlay.write(opened.handle, 0, b"new", KillPriv::Keep, WriteCause::Caller).unwrap();
    assert_eq!(ask(file, Supplied::By), "3");
    assert_eq!(ask(file, Supplied::Shadowed), "2,1");
    // Without a name it is nowhere.
    overlay.unlink(at(find(&overlay, "dir"), "file")).unwrap();
    assert!(overlay.supplied(file, Supplied::By).is_err());
    overlay.release(opened.handle);
}
