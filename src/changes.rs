//! What a layer changes in the union of the layers below it, counted.
//!
//! A path is *added* where the union below has none such, *changed* where it has and the layer has an entry for it, and
//! *deleted* where the union below has it and the union with the layer has not: by a whiteout, by an opaque directory, or
//! because something else has taken the place of a directory above it. Everything in a deleted directory counts. A directory
//! in both counts as changed only where its mode, owner or attributes are other ones: its times change with each name in it,
//! and an entry for it need not mean more.

mod size;
mod union;

use nix::errno::Errno;

pub use self::size::unpacked;
use self::union::{At, Dir, OpenDir, Parts, There, count_in};
use crate::config::LowerSpec;
use crate::error::{ErrorContext, Result};
use crate::image::commit::is_portable;
use crate::overlay::{DirIn, Layers};
use crate::path::RelPath;
use crate::resolve::Depth;

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

/// What was counted of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// The bytes of its files: see [`unpacked`].
    pub unpacked: u64,
    /// What it changes in the union of the layers below.
    pub changes: Changes,
}

/// Counts each layer, the base first: tars, and directories in any of the overlay's forms.
///
/// # Errors
/// A layer that cannot be read; names layer (1 is the base) and path.
pub fn count(base_first: &[LowerSpec]) -> Result<Vec<Counted>> {
    if base_first.is_empty() {
        return Ok(Vec::new());
    }
    let layers = Layers::open(base_first)?;
    let counted = |depth| {
        let layer = layers.get(depth)?;
        let mut counter = Counter { layers: &layers, top: depth, changes: Changes::default() };
        counter.count().in_layer(layer.id())?;
        Ok(Counted { unpacked: size::of_layer(layer)?, changes: counter.changes })
    };
    layers.base_first().map(counted).collect()
}

/// A directory of the union with the layer, and the one at its place in the union without it.
struct Pair {
    path: RelPath,
    with: Parts,
    without: Parts,
}

struct Counter<'a> {
    layers: &'a Layers,
    /// The layer that is counted: the topmost of the union.
    top: Depth,
    changes: Changes,
}

impl Counter<'_> {
    fn count(&mut self) -> Result<()> {
        let below = Depth(self.top.0.saturating_add(1));
        let with = union::root(self.layers, self.top)?;
        let without = union::root(self.layers, below)?;
        let mut waiting = vec![Pair { path: RelPath::root(), with, without }];
        while let Some(pair) = waiting.pop() {
            self.compare(&pair, &mut waiting).at(pair.path.as_bytes())?;
        }
        Ok(())
    }

    fn compare(&mut self, pair: &Pair, waiting: &mut Vec<Pair>) -> Result<()> {
        let with = OpenDir::open(self.layers, &pair.with)?;
        let without = OpenDir::open(self.layers, &pair.without)?;
        // Where all of the union below shows through, only what the layer says can differ; not in an opaque directory, or one
        // that an overlay has moved.
        let shows_through = match pair.with.split_first() {
            Some((first, rest)) => first.at.depth == self.top && rest == pair.without,
            None => false,
        };
        let names = match shows_through {
            true => with.names_on_top()?,
            false => &with.names()? | &without.names()?,
        };
        for name in names {
            let name = name.as_name();
            let before = match pair.without.is_empty() {
                true => There::Nothing,
                false => without.look(name)?,
            };
            let (with, without) = match (with.look(name)?, before) {
                (There::Nothing, There::Nothing) => continue,
                (There::Nothing, There::Leaf(_)) => {
                    self.changes.deleted += 1;
                    continue;
                }
                (There::Nothing, There::Dir(before)) => {
                    self.changes.deleted += 1 + count_in(self.layers, before.parts)?;
                    continue;
                }
                (There::Leaf(_), There::Nothing) => {
                    self.changes.added += 1;
                    continue;
                }
                (There::Leaf(now), There::Leaf(before)) => {
                    self.changes.changed += u64::from(now != before);
                    continue;
                }
                (There::Leaf(_), There::Dir(before)) => {
                    self.changes.changed += 1;
                    self.changes.deleted += count_in(self.layers, before.parts)?;
                    continue;
                }
                (There::Dir(now), There::Nothing) => {
                    self.changes.added += 1;
                    (now.parts, Parts::new())
                }
                (There::Dir(now), There::Leaf(_)) => {
                    self.changes.changed += 1;
                    (now.parts, Parts::new())
                }
                (There::Dir(now), There::Dir(before)) => {
                    self.changes.changed += u64::from(!self.is_same_dir(&now, &before)?);
                    (now.parts, before.parts)
                }
            };
            if with != without {
                waiting.push(Pair { path: pair.path.join(name), with, without });
            }
        }
        Ok(())
    }

    fn is_same_dir(&self, now: &Dir, before: &Dir) -> Result<bool> {
        if now.attributes == before.attributes {
            return Ok(true);
        }
        let owner_and_mode = |dir: &Dir| (dir.found.stat.mode, dir.found.stat.uid, dir.found.stat.gid);
        Ok(owner_and_mode(now) == owner_and_mode(before)
            && self.attributes(&now.attributes)? == self.attributes(&before.attributes)?)
    }

    /// The extended attributes of a directory that mean the same on another machine, in the order of their names.
    fn attributes(&self, at: &At) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let object = DirIn::open(self.layers.get(at.depth)?, &at.place)?.into_object();
        let mut attributes = Vec::new();
        for name in object.xattr_names()?.into_iter().filter(|name| is_portable(name)) {
            match object.xattr(&name) {
                Ok(value) => attributes.push((name, value)),
                // Listed, but nothing that this user could read.
                Err(error) if matches!(error.errno(), Errno::ENODATA | Errno::EPERM | Errno::EACCES) => {}
                Err(error) => return Err(error.at(name)),
            }
        }
        attributes.sort_unstable();
        Ok(attributes)
    }
}

#[cfg(test)]
mod tests;
