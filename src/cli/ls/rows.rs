//! The names below a path, one directory at a time.

use std::collections::BTreeMap;
use std::vec;

use super::{Sink, Wants};
use crate::cli::Failure;
use crate::cli::opened::{Opened, Resolved};
use crate::cli::terminal::Reader;
use crate::error::{Error, ErrorContext, Result as LayerResult};
use crate::overlay::{Attr, Entry, FileKind, NodeId};
use crate::path::{NameBuf, RelPath};
use crate::resolve::Depth as LayerDepth;

/// How far down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The names in the directory.
    One,
    /// All below it.
    Whole,
}

/// Are deleted names shown?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Deleted {
    Shown,
    LeftOut,
}

/// A name, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// From the root of the source.
    pub path: RelPath,
    /// The number of the layer that supplies or deletes it.
    pub layer: usize,
    /// What it is.
    pub what: What,
}

/// What a name is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// There is something.
    There {
        /// Its attributes.
        attr: Attr,
        /// Where it leads, a symlink.
        target: Option<Vec<u8>>,
    },
    /// A layer deletes it.
    Deleted,
}

/// A row with its node, if it is a directory to go into. Such a node is held.
type Held = (Row, Option<NodeId>);

/// How a name is listed in its directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listed {
    There,
    Deleted(LayerDepth),
    /// As something that may not be there, and as deleted.
    Both(LayerDepth),
}

/// A directory that is being listed. Its node is held.
struct Listing {
    path: RelPath,
    node: NodeId,
    /// Rows that are made already: they come first.
    ready: vec::IntoIter<Held>,
    names: vec::IntoIter<(NameBuf, Listed)>,
    /// To be told before the next name.
    deleted: Option<(RelPath, LayerDepth)>,
}

/// Lists a source.
pub struct Lister<'a> {
    /// The source.
    pub opened: &'a Opened,
    /// How far down.
    pub depth: Depth,
    /// Whether deleted names are shown.
    pub deleted: Deleted,
}

impl Lister<'_> {
    /// Hands what is at a place to `sink`: of a directory what is in it, of anything else that itself. A name that cannot be
    /// looked up does not end the listing: it is told on standard error, and the last such failure is the answer.
    ///
    /// # Errors
    /// The place itself cannot be listed; the rows cannot be written.
    pub fn list(&self, place: Resolved, sink: &mut dyn Sink) -> Result<Option<Failure>, Failure> {
        let Resolved { path, entry } = place;
        if entry.attr.kind != FileKind::Directory {
            let row = self.row(path, entry).map_err(|error| self.opened.failure(&error))?;
            sink.announce(&mut std::iter::once(&row));
            sink.row(&row)?;
            return Ok(None);
        }
        let mut failed = None;
        let first = self.directory(path, entry.node).map_err(|error| self.opened.failure(&error))?;
        // A list and no recursion: a tree may be deeper than a stack.
        let mut open = vec![self.begin(first, sink, &mut failed)];
        while let Some(here) = open.last_mut() {
            let Some((row, inner)) = self.next(here, &mut failed) else {
                self.opened.overlay.forget(here.node, 1);
                open.pop();
                continue;
            };
            if sink.row(&row)? == Reader::Gone {
                return Ok(failed);
            }
            let Some(inner) = inner else { continue };
            match self.directory(row.path, inner) {
                Ok(names) => {
                    let below = self.begin(names, sink, &mut failed);
                    open.push(below);
                }
                Err(error) => {
                    self.opened.overlay.forget(inner, 1);
                    self.note(&error, &mut failed);
                }
            }
        }
        Ok(failed)
    }

    /// Rows that are wanted ahead are made now; others one by one, so that only names are kept of a directory with many.
    fn begin(&self, mut dir: Listing, sink: &mut dyn Sink, failed: &mut Option<Failure>) -> Listing {
        if sink.wants() == Wants::Ahead {
            let rows: Vec<Held> = std::iter::from_fn(|| self.next(&mut dir, failed)).collect();
            sink.announce(&mut rows.iter().map(|(row, _)| row));
            dir.ready = rows.into_iter();
        }
        dir
    }

    /// The next row of a directory.
    fn next(&self, dir: &mut Listing, failed: &mut Option<Failure>) -> Option<Held> {
        if let Some(held) = dir.ready.next() {
            return Some(held);
        }
        loop {
            match self.made(dir)? {
                Ok(Some(held)) => return Some(held),
                Ok(None) => {}
                Err(error) => self.note(&error, failed),
            }
        }
    }

    /// What the next name of a directory is; nothing, where it turns out not to be there.
    fn made(&self, dir: &mut Listing) -> Option<LayerResult<Option<Held>>> {
        let overlay = &self.opened.overlay;
        if let Some((path, depth)) = dir.deleted.take() {
            return Some(
                self.opened.number(depth).map(|layer| Some((Row { path, layer, what: What::Deleted }, None))),
            );
        }
        let (name, listed) = dir.names.next()?;
        let path = dir.path.join(name.as_name());
        // What is there comes first, and is what is shown of its name; else that it is deleted, with the next turn.
        if let Listed::Deleted(depth) | Listed::Both(depth) = listed {
            dir.deleted = Some((path.clone(), depth));
        }
        if let Listed::Deleted(_) = listed {
            return Some(Ok(None));
        }
        Some(match overlay.lookup(dir.node, name.as_name()).at(path.as_bytes()) {
            Ok(Some(entry)) => {
                let held = self.child(path, entry);
                if held.is_ok() {
                    dir.deleted = None;
                }
                held.map(Some)
            }
            // A whiteout that the layer lists as what it is stored as.
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        })
    }

    /// The names in a directory, sorted.
    fn directory(&self, path: RelPath, node: NodeId) -> LayerResult<Listing> {
        let overlay = &self.opened.overlay;
        let mut names: Vec<(NameBuf, Listed)> = Vec::new();
        let mut deleted = match self.deleted {
            Deleted::Shown => overlay.deleted(node).at(path.as_bytes())?,
            Deleted::LeftOut => BTreeMap::new(),
        };
        for name in overlay.names(node).at(path.as_bytes())? {
            let listed = deleted.remove(&name).map_or(Listed::There, Listed::Both);
            names.push((name, listed));
        }
        if !deleted.is_empty() {
            names.extend(deleted.into_iter().map(|(name, depth)| (name, Listed::Deleted(depth))));
            names.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        }
        Ok(Listing { path, node, ready: Vec::new().into_iter(), names: names.into_iter(), deleted: None })
    }

    fn child(&self, path: RelPath, entry: Entry) -> LayerResult<Held> {
        let goes_in = self.depth == Depth::Whole && entry.attr.kind == FileKind::Directory;
        let row = self.row(path, entry);
        if !goes_in || row.is_err() {
            self.opened.overlay.forget(entry.node, 1);
        }
        Ok((row?, goes_in.then_some(entry.node)))
    }

    fn row(&self, path: RelPath, Entry { node, attr }: Entry) -> LayerResult<Row> {
        let layer = self.opened.layer_of(node).at(path.as_bytes())?;
        let target = match attr.kind {
            FileKind::Symlink => Some(self.opened.overlay.readlink(node).at(path.as_bytes())?),
            _ => None,
        };
        Ok(Row { path, layer, what: What::There { attr, target } })
    }

    fn note(&self, error: &Error, failed: &mut Option<Failure>) {
        if let Some(before) = failed.replace(self.opened.failure(error)) {
            eprintln!("{before}");
        }
    }
}
