//! The walk over two unions in step.

use std::collections::BTreeMap;
use std::ops::ControlFlow::{self, Continue};
use std::vec;

use nix::errno::Errno;

use super::content::{self, Buffers, File};
use super::facts::{Differences, Facts};
use super::{Change, Detail, Held, Options, Parents, Side, Sink, Trusted};
use crate::error::{Error, ErrorContext, Result};
use crate::image::commit::is_portable;
use crate::overlay::{self, Entry, FileKind, NodeId, Overlay, SharedBase};
use crate::path::{NameBuf, RelPath};

/// Two unions to be compared.
#[derive(Debug, Clone, Copy)]
pub struct Comparison<'a> {
    before: Option<&'a Overlay>,
    after: &'a Overlay,
    shared: SharedBase,
    options: Options,
}

/// What both unions have at a path. Their nodes are held, and let go by the walk.
#[derive(Debug)]
#[allow(missing_docs)] // the names say it
pub struct Entries {
    pub before: Option<Entry>,
    pub after: Option<Entry>,
}

impl<'a> Comparison<'a> {
    /// A comparison of `after` with what was before it; with nothing, everything is added. Neither may be written to meanwhile.
    ///
    /// # Errors
    /// Failing system calls.
    pub fn new(before: Option<&'a Overlay>, after: &'a Overlay, options: Options) -> Result<Self> {
        let shared = match before {
            Some(before) => before.shared_base(after)?,
            None => SharedBase::NOTHING,
        };
        Ok(Comparison { before, after, shared, options })
    }

    /// The same, but nothing is passed over.
    #[cfg(test)]
    pub(super) fn of_all(self) -> Self {
        Comparison { shared: SharedBase::NOTHING, ..self }
    }

    /// The roots of both.
    ///
    /// # Errors
    /// Failing system calls.
    pub fn roots(&self) -> Result<Entries> {
        let root =
            |union: &Overlay| union.getattr(NodeId::ROOT).map(|attr| Entry { node: NodeId::ROOT, attr });
        Ok(Entries { before: self.before.map(root).transpose()?, after: Some(root(self.after)?) })
    }

    /// Tells what is different at a path and below it, until the sink has enough.
    pub fn run(&self, path: &RelPath, entries: Entries, sink: &mut dyn Sink) {
        let before = entries.before.zip(self.before).map(|(entry, union)| Node { union, entry });
        let after = entries.after.map(|entry| Node { union: self.after, entry });
        let mut walk = Walk { comparison: self, sink, open: Vec::new(), buffers: Buffers::new() };
        let _: ControlFlow<()> = walk.run(path, before, after); // stopped or at the end: there is no more to do
    }
}

/// A node, held.
struct Node<'a> {
    union: &'a Overlay,
    entry: Entry,
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        self.union.forget(self.entry.node, 1);
    }
}

impl<'a> Node<'a> {
    fn is_dir(&self) -> bool {
        self.entry.attr.kind == FileKind::Directory
    }

    fn file(&self) -> File<'a> {
        File { union: self.union, node: self.entry.node }
    }

    fn facts(&self) -> Result<Facts> {
        let Entry { node, attr } = self.entry;
        let target = match attr.kind {
            FileKind::Symlink => Some(self.union.readlink(node)?),
            _ => None,
        };
        Ok(Facts { attr, target, layer: self.union.layer_of(node)? })
    }

    /// The extended attributes that mean the same on another machine.
    fn xattrs(&self, trusted: Trusted) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        let listed = match trusted {
            Trusted::Compared => overlay::Trusted::Shown,
            Trusted::Ignored => overlay::Trusted::Hidden,
        };
        let names = self.union.listxattr(self.entry.node, listed)?;
        let mut xattrs = BTreeMap::new();
        for name in names.split(|byte| *byte == 0).filter(|name| is_portable(name)) {
            match self.union.getxattr(self.entry.node, name) {
                Ok(value) => drop(xattrs.insert(name.to_vec(), value)),
                // Removed since it was listed.
                Err(error) if error.errno() == Errno::ENODATA => {}
                Err(error) => return Err(error),
            }
        }
        Ok(xattrs)
    }
}

/// An error of a name, with the whole path: what looks into one directory knows no more than the name.
fn located(error: Error, dir: &RelPath, name: &NameBuf) -> Error {
    match error.path() {
        Some(path) if path == name.as_bytes() && !dir.is_root() => error.below(dir.as_bytes()),
        _ => error.at(dir.join(name.as_name()).as_bytes()),
    }
}

/// A directory on one side or both, with the names in it that are still to be compared.
struct Open<'a> {
    path: RelPath,
    before: Option<Node<'a>>,
    after: Option<Node<'a>>,
    names: vec::IntoIter<NameBuf>,
    /// What it is on both sides, while it has not been told and is to be if something in it is different.
    untold: Option<(Facts, Facts)>,
}

struct Walk<'a, 's> {
    comparison: &'s Comparison<'a>,
    sink: &'s mut dyn Sink,
    /// From the root down. A list and no recursion: a tree may be deeper than a stack.
    open: Vec<Open<'a>>,
    buffers: Buffers,
}

impl<'a> Walk<'a, '_> {
    fn run(&mut self, path: &RelPath, before: Option<Node<'a>>, after: Option<Node<'a>>) -> ControlFlow<()> {
        self.compare(path.clone(), before, after)?;
        while let Some(open) = self.open.last_mut() {
            let Some(name) = open.names.next() else {
                self.open.pop();
                continue;
            };
            let path = open.path.join(name.as_name());
            let child = |dir: &Option<Node<'a>>| match dir {
                Some(dir) => {
                    let found = dir.union.lookup(dir.entry.node, name.as_name());
                    let found = found.map_err(|error| located(error, &open.path, &name))?;
                    Ok(found.map(|entry| Node { union: dir.union, entry }))
                }
                None => Ok(None),
            };
            match (child(&open.before), child(&open.after)) {
                (Ok(before), Ok(after)) => self.compare(path, before, after)?,
                (before, after) => {
                    before.err().map_or(Continue(()), |error| self.sink.trouble(Side::Before, &error))?;
                    after.err().map_or(Continue(()), |error| self.sink.trouble(Side::After, &error))?;
                }
            }
        }
        Continue(())
    }

    /// Compares what is at a path, and goes into it.
    fn compare(
        &mut self,
        path: RelPath,
        before: Option<Node<'a>>,
        after: Option<Node<'a>>,
    ) -> ControlFlow<()> {
        if let (Some(before), Some(after)) = (&before, &after)
            && self.is_same_leaf(before, after)
        {
            return Continue(());
        }
        let facts =
            |node: &Option<Node<'a>>| node.as_ref().map(|node| node.facts().at(path.as_bytes())).transpose();
        let (old, new) = match (facts(&before), facts(&after)) {
            (Ok(old), Ok(new)) => (old, new),
            (old, new) => {
                old.err().map_or(Continue(()), |error| self.sink.trouble(Side::Before, &error))?;
                return new.err().map_or(Continue(()), |error| self.sink.trouble(Side::After, &error));
            }
        };
        let mut untold = None;
        match (old, new) {
            (None, None) => return Continue(()),
            (None, Some(new)) => self.tell(&path, &Change::Added(new))?,
            (Some(was), None) => {
                let held = match &before {
                    Some(before) if before.is_dir() => self.count(&path, before)?,
                    _ => Held::default(),
                };
                return self.tell(&path, &Change::Deleted { was, held });
            }
            (Some(old), Some(new)) => {
                let what = match (&before, &after) {
                    (Some(before), Some(after)) => self.differences(&path, (before, &old), (after, &new))?,
                    _ => Differences::empty(),
                };
                if !what.is_empty() {
                    self.tell(&path, &Change::Changed { before: old, after: new, what })?;
                } else if self.comparison.options.parents == Parents::Told && !path.is_root() {
                    untold = Some((old, new));
                }
            }
        }
        let before = before.filter(Node::is_dir);
        let after = after.filter(Node::is_dir);
        match self.names(&path, before.as_ref(), after.as_ref()) {
            Ok(names) if names.is_empty() => {}
            Ok(names) => self.open.push(Open { path, before, after, names: names.into_iter(), untold }),
            Err((side, error)) => self.sink.trouble(side, &error)?,
        }
        Continue(())
    }

    /// Tells a change, after the directories above it that are to be told.
    fn tell(&mut self, path: &RelPath, change: &Change) -> ControlFlow<()> {
        if self.comparison.options.parents == Parents::Told {
            for open in &mut self.open {
                if let Some((before, after)) = open.untold.take() {
                    self.sink.change(&open.path, &Change::Parent { before, after })?;
                }
            }
        }
        self.sink.change(path, change)
    }

    /// Is all of it in layers that both have? What cannot be told is compared.
    fn is_same_leaf(&self, before: &Node<'a>, after: &Node<'a>) -> bool {
        let place = |node: &Node<'a>| match node.is_dir() {
            true => None,
            false => node.union.leaf_place(node.entry.node, self.comparison.shared).ok().flatten(),
        };
        place(before).is_some_and(|before| place(after) == Some(before))
    }

    /// What is different in what is on both sides.
    fn differences(
        &mut self,
        path: &RelPath,
        (before, old): (&Node<'a>, &Facts),
        (after, new): (&Node<'a>, &Facts),
    ) -> ControlFlow<(), Differences> {
        let Options { times, trusted, detail, .. } = self.comparison.options;
        let mut what = old.differences(new, times);
        if what.contains(Differences::TYPE) || (detail == Detail::Existence && !what.is_empty()) {
            return Continue(what);
        }
        let xattrs = |node: &Node<'a>| node.xattrs(trusted).at(path.as_bytes());
        match (xattrs(before), xattrs(after)) {
            (Ok(before), Ok(after)) => what.set(Differences::XATTR, before != after),
            (Err(error), _) => self.sink.trouble(Side::Before, &error)?,
            (_, Err(error)) => self.sink.trouble(Side::After, &error)?,
        }
        let is_file = old.attr.kind == FileKind::Regular;
        if is_file && !what.contains(Differences::CONTENT) && (detail == Detail::Whole || what.is_empty()) {
            match self.is_same_content(before, after) {
                Ok(same) => what.set(Differences::CONTENT, !same),
                Err((side, error)) => self.sink.trouble(side, &error.at(path.as_bytes()))?,
            }
        }
        Continue(what)
    }

    /// Have two regular files of one size the same content?
    fn is_same_content(&mut self, before: &Node<'a>, after: &Node<'a>) -> Result<bool, (Side, Error)> {
        let place = |node: &Node<'a>| node.union.content_place(node.entry.node);
        let one = place(before).map_err(|error| (Side::Before, error))?;
        let other = place(after).map_err(|error| (Side::After, error))?;
        if one == other {
            return Ok(true);
        }
        content::is_same(before.file(), after.file(), before.entry.attr.size, &mut self.buffers)
    }

    /// The names in a directory that may be different, sorted.
    fn names(
        &self,
        path: &RelPath,
        before: Option<&Node<'a>>,
        after: Option<&Node<'a>>,
    ) -> Result<Vec<NameBuf>, (Side, Error)> {
        let of = |side: Side| move |error: Error| (side, error.at(path.as_bytes()));
        let shared = self.comparison.shared;
        if let (Some(before), Some(after)) = (before, after) {
            let parts = |node: &Node<'a>| node.union.parts(node.entry.node, shared);
            let own = |node: &Node<'a>| node.union.own_names(node.entry.node, shared);
            let (one, other) =
                (parts(before).map_err(of(Side::Before))?, parts(after).map_err(of(Side::After))?);
            if one.shared == other.shared {
                let mut names = match one.own {
                    0 => Default::default(),
                    _ => own(before).map_err(of(Side::Before))?,
                };
                if other.own > 0 {
                    names.append(&mut own(after).map_err(of(Side::After))?);
                }
                return Ok(names.into_iter().collect());
            }
        }
        let all = |node: Option<&Node<'a>>| node.map(|node| node.union.names(node.entry.node)).transpose();
        let mut names = all(before).map_err(of(Side::Before))?.unwrap_or_default();
        names.append(&mut all(after).map_err(of(Side::After))?.unwrap_or_default());
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// What is in a directory that is gone.
    fn count(&mut self, path: &RelPath, dir: &Node<'a>) -> ControlFlow<(), Held> {
        let mut held = Held::default();
        if self.comparison.options.detail == Detail::Existence {
            return Continue(held);
        }
        let union = dir.union;
        let names = |path: &RelPath, node: NodeId| Ok(union.names(node).at(path.as_bytes())?.into_iter());
        let mut open: Vec<(RelPath, NodeId, Option<Node<'a>>, vec::IntoIter<NameBuf>)> = Vec::new();
        match names(path, dir.entry.node) {
            Ok(names) => open.push((path.clone(), dir.entry.node, None, names)),
            Err(error) => self.sink.trouble(Side::Before, &error)?,
        }
        while let Some((path, node, _, names_left)) = open.last_mut() {
            let Some(name) = names_left.next() else {
                open.pop();
                continue;
            };
            let inner_path = path.join(name.as_name());
            let entry = match union.lookup(*node, name.as_name()) {
                Ok(Some(entry)) => entry,
                Ok(None) => continue,
                Err(error) => {
                    self.sink.trouble(Side::Before, &located(error, path, &name))?;
                    continue;
                }
            };
            let inner = Node { union, entry };
            held.names = held.names.saturating_add(1);
            if entry.attr.kind == FileKind::Regular {
                held.bytes = held.bytes.saturating_add(entry.attr.size);
            }
            if inner.is_dir() {
                match names(&inner_path, entry.node) {
                    Ok(names) => open.push((inner_path, entry.node, Some(inner), names)),
                    Err(error) => self.sink.trouble(Side::Before, &error)?,
                }
            }
        }
        Continue(held)
    }
}
