//! Layers of a few words, and the definitions followed to the letter, without regard to time and memory.

use std::collections::{BTreeMap, BTreeSet};

use super::super::dive::Named;
use super::super::tally::{Here, Said, Tally};
use super::super::{Keep, LayerNumber, Wanted, Waste};

/// What a layer's tar says of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    File(u64),
    Dir,
    Opaque,
    Whiteout,
}

/// A layer: each path once, with all directories above it.
#[derive(Debug, Clone, Default)]
pub struct Layer(BTreeMap<Vec<String>, Node>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    File(u64),
    Whiteout,
    Dir { named: Named, opaque: bool },
}

fn number(index: usize) -> LayerNumber {
    LayerNumber(u16::try_from(index + 1).unwrap())
}

impl Layer {
    /// What lies below something that is no directory is left out, and so is what is there twice.
    pub fn of(entries: &[(&str, Entry)]) -> Layer {
        let mut layer = Layer::default();
        for (path, entry) in entries {
            let path: Vec<String> = path.split('/').map(str::to_owned).collect();
            let implied = Node::Dir { named: Named::Implied, opaque: false };
            let fits = (1..path.len())
                .all(|len| layer.0.get(&path[..len]).is_none_or(|above| matches!(above, Node::Dir { .. })));
            let node = match entry {
                Entry::File(bytes) => Node::File(*bytes),
                Entry::Whiteout => Node::Whiteout,
                Entry::Dir => Node::Dir { named: Named::Entry, opaque: false },
                Entry::Opaque => Node::Dir { named: Named::Entry, opaque: true },
            };
            let is_new = match (layer.0.get(&path), node) {
                (None, _) => true,
                (Some(there), Node::Dir { .. }) => *there == implied,
                _ => false,
            };
            if fits && is_new {
                for len in 1..path.len() {
                    layer.0.entry(path[..len].to_vec()).or_insert(implied);
                }
                layer.0.insert(path, node);
            }
        }
        layer
    }

    fn is_leaf(&self, path: &[String]) -> bool {
        !self.0.keys().any(|other| other.len() > path.len() && other.starts_with(path))
    }
}

/// Everything.
pub fn measured(layers: &[Layer]) -> Waste {
    walk(layers, Wanted { rows: Keep::All, references: Keep::All })
}

/// Tells the sums name by name, as the walk through real layers does.
pub fn walk(layers: &[Layer], wanted: Wanted) -> Waste {
    let root = |index| Said {
        layer: number(index),
        here: Here::Dir { named: Named::Entry, opaque: false, empty: false },
    };
    let root: Vec<Said> = (0..layers.len()).map(root).collect();
    let mut tally = Tally::new(&root, wanted);
    let paths: BTreeSet<&Vec<String>> = layers.iter().flat_map(|layer| layer.0.keys()).collect();
    let mut open: Vec<&[String]> = Vec::new();
    for path in paths {
        while open.last().is_some_and(|dir| !path.starts_with(dir)) {
            open.pop();
            tally.leave();
        }
        let mut said = Vec::new();
        for (index, layer) in layers.iter().enumerate() {
            let here = match layer.0.get(path) {
                None => continue,
                Some(Node::Whiteout) => Here::Whiteout,
                Some(Node::File(bytes)) => Here::Leaf { bytes: *bytes, link: None },
                Some(Node::Dir { named, opaque }) => {
                    Here::Dir { named: *named, opaque: *opaque, empty: layer.is_leaf(path) }
                }
            };
            said.push(Said { layer: number(index), here });
        }
        tally.name(path.last().unwrap().as_bytes(), &said);
        if said.iter().any(|said| matches!(said.here, Here::Dir { .. })) {
            open.push(path);
        }
    }
    tally.finish()
}

/// Bytes and files by whose they are and who hides them first.
pub fn hidden(layers: &[Layer]) -> BTreeMap<(u16, u16), (u64, u64)> {
    let mut sums: BTreeMap<(u16, u16), (u64, u64)> = BTreeMap::new();
    for (of, layer) in layers.iter().enumerate() {
        for (path, node) in &layer.0 {
            let Node::File(bytes @ 1..) = node else { continue };
            let hides = |above: &Layer| {
                above.0.contains_key(path)
                    || (1..path.len()).any(|len| match above.0.get(&path[..len]) {
                        None | Some(Node::Dir { opaque: false, .. }) => false,
                        Some(Node::File(_) | Node::Whiteout | Node::Dir { opaque: true, .. }) => true,
                    })
            };
            if let Some(by) = (of + 1..layers.len()).find(|by| hides(&layers[*by])) {
                let sum = sums.entry((number(of).0, number(by).0)).or_default();
                *sum = (sum.0 + bytes, sum.1 + 1);
            }
        }
    }
    sums
}

/// dive's pile: what is at each path, with its bytes, and whether it is known to be a directory.
type Pile = BTreeMap<Vec<String>, (u64, bool)>;

fn pile_up(pile: &mut Pile, layer: &Layer) {
    for (path, node) in &layer.0 {
        if *node == Node::Whiteout {
            pile.retain(|other, _| !other.starts_with(path));
        }
    }
    for (path, node) in &layer.0 {
        let entry = match node {
            Node::Whiteout => continue,
            Node::File(bytes) => (*bytes, false),
            Node::Dir { named, .. } => (0, *named == Named::Entry),
        };
        pile.insert(path.clone(), entry);
    }
}

/// The score, the wasted bytes, and each inefficient path with its count and bytes.
pub fn dive(layers: &[Layer]) -> (f64, u64, Vec<(String, u32, u64)>) {
    let mut paths: BTreeMap<&Vec<String>, Vec<u64>> = BTreeMap::new();
    let mut pile = Pile::new();
    for layer in layers {
        for (path, node) in &layer.0 {
            let bytes = match node {
                Node::File(bytes) => *bytes,
                Node::Dir { .. } if layer.is_leaf(path) => 0,
                Node::Dir { .. } => continue,
                Node::Whiteout => match pile.get(path) {
                    None => continue,
                    Some((_, false)) => 0,
                    Some((_, true)) => pile
                        .iter()
                        .filter(|(other, _)| other.starts_with(path))
                        .map(|(_, (size, _))| size)
                        .sum(),
                },
            };
            paths.entry(path).or_default().push(bytes);
        }
        pile_up(&mut pile, layer);
    }
    let found: u64 = paths.values().flatten().sum();
    let least: u64 = paths.values().filter_map(|sizes| sizes.iter().min()).sum();
    let mut inefficient: Vec<(String, u32, u64)> = paths
        .iter()
        .filter(|(_, sizes)| sizes.len() >= 2)
        .map(|(path, sizes)| {
            (format!("/{}", path.join("/")), u32::try_from(sizes.len()).unwrap(), sizes.iter().sum())
        })
        .collect();
    inefficient.sort_by(|one, other| other.2.cmp(&one.2).then_with(|| one.0.cmp(&other.0)));
    let wasted = inefficient.iter().map(|(_, _, bytes)| bytes).sum();
    let score = if found == 0 { 1.0 } else { least as f64 / found as f64 };
    (score, wasted, inefficient)
}
