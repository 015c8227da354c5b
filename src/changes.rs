//! What a layer changes in the union of the layers below it, counted.
//!
//! A path is *added* where the union below has none such, *changed* where it has and the layer has an entry for it, and
//! *deleted* where the union below has it and the union with the layer has not: by a whiteout, by an opaque directory, or
//! because something else has taken the place of a directory above it. Everything in a deleted directory counts. A directory
//! in both counts as changed only where its mode, owner or attributes are other ones: its times change with each name in it,
//! and an entry for it need not mean more.

use std::collections::HashSet;

use crate::error::{Error, ErrorContext, Kind, Result};
use crate::layer::{Attributes, EntryId, Found, FoundDir};
use crate::path::{Name, NameBuf, RelPath};
use crate::resolve::{Ask, Depth, Depths, DirPart, Redirects, Resolution, Resolver, Step, Walked};
use crate::tarball::TarLayer;

/// How many paths a layer changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// Paths that are new.
    pub added: u64,
    /// Paths that were there, and are others or have other content or attributes.
    pub changed: u64,
    /// Paths that are gone.
    pub deleted: u64,
}

impl Changes {
    /// Counts what the last layer of `stack` (the base first) changes in the union of the others.
    ///
    /// # Errors
    /// A layer that cannot be read; names layer and path.
    pub fn of_top(stack: &[TarLayer]) -> Result<Changes> {
        let Some((layer, below)) = stack.split_last() else { return Ok(Changes::default()) };
        let below = Below::new(below)?;
        let mut counter = Counter { layer, below, changes: Changes::default() };
        counter.count().in_layer(layer.id)?;
        Ok(counter.changes)
    }
}

/// A directory of the union below: its parts, top first. Never empty.
type Parts = Vec<(Depth, EntryId)>;

/// What the union below has at a name.
enum There {
    Nothing,
    Leaf,
    Dir {
        parts: Parts,
        /// What has its attributes.
        attributes: (Depth, EntryId),
        found: Box<FoundDir>,
    },
}

/// The union of the layers below.
struct Below<'a> {
    /// Top first.
    layers: Vec<&'a TarLayer>,
    depths: Depths,
    /// Where searches begin: the roots, down to the first that hides the others.
    root: Parts,
}

impl<'a> Below<'a> {
    fn new(base_first: &'a [TarLayer]) -> Result<Self> {
        let layers: Vec<&TarLayer> = base_first.iter().rev().collect();
        let mut root = Parts::new();
        for (index, layer) in layers.iter().enumerate() {
            let depth = u16::try_from(index)
                .map_err(|_| Error::new("open stack", Kind::Invalid("there are more than 65,535 layers")))?;
            root.push((Depth(depth), EntryId::ROOT));
            if layer.look_root()?.opaque {
                break;
            }
        }
        let depths = Depths { ordinary: u16::try_from(layers.len()).unwrap_or(u16::MAX), data_only: 0 };
        Ok(Below { layers, depths, root })
    }

    fn layer(&self, depth: Depth) -> Result<&'a TarLayer> {
        let unknown = || Error::new("look up", Kind::Invalid("there is no such layer"));
        self.layers.get(usize::from(depth.0)).copied().ok_or_else(unknown)
    }

    fn look(&self, dir: &Parts, name: Name<'_>) -> Result<There> {
        let depths: Vec<Depth> = dir.iter().map(|(depth, _)| *depth).collect();
        let mut resolver = Resolver::new(&depths, 0, name, self.depths, Redirects::Follow);
        loop {
            match resolver.step()? {
                Step::Ask(Ask::InPart { part, name }) => {
                    let found = match dir.get(part) {
                        Some((depth, entry)) => self.layer(*depth)?.look(*entry, name.as_name())?,
                        None => Found::Absent,
                    };
                    resolver.answer(found);
                }
                // There are no redirects in tars.
                Step::Ask(Ask::AtPath { .. }) => {
                    resolver.answer_walked(Walked { found: Found::Absent, stop: true, moved: None });
                }
                Step::Done(Resolution::Absent(_)) => return Ok(There::Nothing),
                Step::Done(Resolution::Leaf { .. }) => return Ok(There::Leaf),
                Step::Done(Resolution::Dir(merged)) => {
                    let entry = |part: &DirPart| {
                        let entry = part.found.entry.ok_or_else(no_entry)?;
                        Ok::<_, Error>((part.depth, entry))
                    };
                    let attributes = merged.attributes().ok_or_else(no_entry)?;
                    return Ok(There::Dir {
                        attributes: entry(attributes)?,
                        found: Box::new(attributes.found.clone()),
                        parts: merged.parts.iter().map(entry).collect::<Result<_>>()?,
                    });
                }
            }
        }
    }

    /// Every name that one of the parts has, whiteouts among them.
    fn names(&self, dir: &Parts) -> Result<HashSet<NameBuf>> {
        let mut names = HashSet::new();
        for (depth, entry) in dir {
            self.layer(*depth)?.list(*entry, |listed| {
                names.insert(listed.name.to_owned());
            })?;
        }
        Ok(names)
    }

    /// How many paths there are in a directory.
    fn count_in(&self, dir: Parts) -> Result<u64> {
        let mut count = 0;
        let mut waiting = vec![dir];
        while let Some(dir) = waiting.pop() {
            for name in self.names(&dir)? {
                match self.look(&dir, name.as_name())? {
                    There::Nothing => {}
                    There::Leaf => count += 1,
                    There::Dir { parts, .. } => {
                        count += 1;
                        waiting.push(parts);
                    }
                }
            }
        }
        Ok(count)
    }
}

/// A directory of the layer that is to be compared.
struct Pair {
    path: RelPath,
    entry: EntryId,
    /// The directory at its place below; empty where there is none.
    below: Parts,
    /// Nothing of that shows through.
    hides: bool,
}

struct Counter<'a> {
    layer: &'a TarLayer,
    below: Below<'a>,
    changes: Changes,
}

impl Counter<'_> {
    fn count(&mut self) -> Result<()> {
        let hides = self.layer.look_root()?.opaque;
        let below = self.below.root.clone();
        let mut waiting = vec![Pair { path: RelPath::root(), entry: EntryId::ROOT, below, hides }];
        while let Some(pair) = waiting.pop() {
            self.compare(&pair, &mut waiting).at(pair.path.as_bytes())?;
        }
        Ok(())
    }

    fn compare(&mut self, pair: &Pair, waiting: &mut Vec<Pair>) -> Result<()> {
        let mut names = Vec::new();
        self.layer.list(pair.entry, |listed| names.push(listed.name.to_owned()))?;
        let mut present = HashSet::new();
        for name in names {
            let found = self.layer.look(pair.entry, name.as_name())?;
            let there = match pair.below.is_empty() {
                true => There::Nothing,
                false => self.below.look(&pair.below, name.as_name())?,
            };
            match (found, there) {
                (Found::Absent, _) | (Found::Whiteout, There::Nothing) => continue,
                // Counted with all else that the directory hides.
                (Found::Whiteout, _) if pair.hides => continue,
                (Found::Whiteout, There::Leaf) => self.changes.deleted += 1,
                (Found::Whiteout, There::Dir { parts, .. }) => {
                    self.changes.deleted += 1 + self.below.count_in(parts)?;
                }
                (Found::Leaf(_), There::Nothing) => self.changes.added += 1,
                (Found::Leaf(_), There::Leaf) => self.changes.changed += 1,
                (Found::Leaf(_), There::Dir { parts, .. }) => {
                    self.changes.changed += 1;
                    self.changes.deleted += self.below.count_in(parts)?;
                }
                (Found::Dir(found), there) => {
                    let below = self.compare_dir(&found, there)?;
                    waiting.push(Pair {
                        path: pair.path.join(name.as_name()),
                        entry: found.entry.ok_or_else(no_entry)?,
                        below,
                        hides: pair.hides || found.opaque,
                    });
                }
            }
            if pair.hides {
                present.insert(name);
            }
        }
        if pair.hides && !pair.below.is_empty() {
            self.count_hidden(pair, &present)?;
        }
        Ok(())
    }

    /// What the directory itself is to the union below; gives the directory there.
    fn compare_dir(&mut self, found: &FoundDir, there: There) -> Result<Parts> {
        match there {
            There::Nothing => {
                self.changes.added += 1;
                Ok(Parts::new())
            }
            There::Leaf => {
                self.changes.changed += 1;
                Ok(Parts::new())
            }
            There::Dir { parts, attributes, found: before } => {
                let own = found.attributes == Attributes::Own;
                if own && !self.is_same_dir(found, &before, attributes)? {
                    self.changes.changed += 1;
                }
                Ok(parts)
            }
        }
    }

    fn is_same_dir(&self, found: &FoundDir, before: &FoundDir, at: (Depth, EntryId)) -> Result<bool> {
        let owner_and_mode = |dir: &FoundDir| (dir.stat.mode, dir.stat.uid, dir.stat.gid);
        if owner_and_mode(found) != owner_and_mode(before) {
            return Ok(false);
        }
        let entry = found.entry.ok_or_else(no_entry)?;
        Ok(attributes(self.layer, entry)? == attributes(self.below.layer(at.0)?, at.1)?)
    }

    /// The directory hides what is below it: whatever is not in it again is deleted.
    fn count_hidden(&mut self, pair: &Pair, present: &HashSet<NameBuf>) -> Result<()> {
        for name in self.below.names(&pair.below)? {
            if present.contains(&name) {
                continue;
            }
            match self.below.look(&pair.below, name.as_name())? {
                There::Nothing => {}
                There::Leaf => self.changes.deleted += 1,
                There::Dir { parts, .. } => self.changes.deleted += 1 + self.below.count_in(parts)?,
            }
        }
        Ok(())
    }
}

/// The extended attributes of an entry, in the order of their names.
fn attributes(layer: &TarLayer, entry: EntryId) -> Result<Vec<(&[u8], &[u8])>> {
    let mut attributes = Vec::new();
    for name in layer.xattr_names(entry)? {
        attributes.push((name, layer.xattr(entry, name)?));
    }
    attributes.sort_unstable();
    Ok(attributes)
}

/// A layer with an index gives every object its number there.
fn no_entry() -> Error {
    Error::new("look up", Kind::Invalid("the layer's index gives it no number"))
}

#[cfg(test)]
mod tests;
