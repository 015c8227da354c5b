//! The names below a path, one directory at a time.

use std::vec;

use super::Sink;
use crate::cli::Failure;
use crate::cli::opened::{Opened, Resolved};
use crate::cli::terminal::Reader;
use crate::error::{Error, ErrorContext, Result as LayerResult};
use crate::overlay::{Attr, Entry, FileKind, NodeId};
use crate::path::RelPath;

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
        let first = self.directory(&path, entry.node, &mut failed);
        // A list and no recursion: a tree may be deeper than a stack.
        let mut open = vec![(entry.node, self.begin(first.map_err(|e| self.opened.failure(&e))?, sink))];
        while let Some((node, rows)) = open.last_mut() {
            let Some((row, inner)) = rows.next() else {
                self.opened.overlay.forget(*node, 1);
                open.pop();
                continue;
            };
            if sink.row(&row)? == Reader::Gone {
                return Ok(failed);
            }
            let Some(inner) = inner else { continue };
            match self.directory(&row.path, inner, &mut failed) {
                Ok(rows) => open.push((inner, self.begin(rows, sink))),
                Err(error) => {
                    self.opened.overlay.forget(inner, 1);
                    self.note(&error, &mut failed);
                }
            }
        }
        Ok(failed)
    }

    fn begin(&self, rows: Vec<Held>, sink: &mut dyn Sink) -> vec::IntoIter<Held> {
        sink.announce(&mut rows.iter().map(|(row, _)| row));
        rows.into_iter()
    }

    /// What is in a directory, sorted.
    fn directory(
        &self,
        path: &RelPath,
        node: NodeId,
        failed: &mut Option<Failure>,
    ) -> LayerResult<Vec<Held>> {
        let overlay = &self.opened.overlay;
        let names = overlay.names(node).at(path.as_bytes())?;
        let mut rows: Vec<Held> = Vec::with_capacity(names.len());
        for name in names {
            let path = path.join(name.as_name());
            match overlay.lookup(node, name.as_name()).at(path.as_bytes()) {
                Ok(Some(entry)) => match self.child(path, entry) {
                    Ok(held) => rows.push(held),
                    Err(error) => self.note(&error, failed),
                },
                // A whiteout that the layer lists as what it is stored as.
                Ok(None) => {}
                Err(error) => self.note(&error, failed),
            }
        }
        if self.deleted == Deleted::Shown {
            for (name, depth) in overlay.deleted(node).at(path.as_bytes())? {
                let path = path.join(name.as_name());
                let layer = self.opened.number(depth)?;
                rows.push((Row { path, layer, what: What::Deleted }, None));
            }
            // What is there comes first, and is what is shown of its name.
            rows.sort_by(|(one, _), (other, _)| one.path.as_bytes().cmp(other.path.as_bytes()));
            rows.dedup_by(|(later, _), (first, _)| later.path == first.path);
        }
        Ok(rows)
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
