//! Layers that others change behind the union's back, where it was told to expect that (`timeout=0`) or that it has happened
//! (`lamina refresh`): what is known of a name is held against what the layers say now.
//!
//! Only what comes from the lowers is in question. What has a part in the upper is the union's own, which nobody else may
//! change while it is mounted.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::errno::Errno;

use super::Overlay;
use super::lookup::lower_file;
use super::node::{Body, DirNode, DirState, LeafData, LowerFile, LowerPart, Node, Reached, Source};
use super::object::DirIn;
use super::remove::forget_name;
use super::types::FileKind;
use crate::error::Result;
use crate::path::Name;
use crate::resolve::{Data, DirPart, LeafPart, MergedDir, Resolution};
use crate::sys::fs::{self, At};

impl Overlay {
    /// Is what is known at a name still what the layers have there? A directory that was replaced part by part is opened
    /// anew.
    ///
    /// # Errors
    /// Those of looking the name up: what has become of it is not known.
    pub(super) fn is_still(
        &self,
        node: &Arc<Node>,
        dir: &DirNode,
        name: Name<'_>,
        child: &Arc<Node>,
    ) -> Result<bool> {
        if let Body::Leaf(leaf) = &child.body
            && !matches!(leaf.read().source, Source::Lower(_))
        {
            return Ok(true);
        }
        let found = self.resolve(node, dir, name, 0)?;
        Ok(match (&child.body, &found) {
            (Body::Dir(known), _) if known.upper.get().is_some() => {
                // Its own part keeps it, whatever has become of the others.
                if let Resolution::Dir(merged) = &found {
                    close_others(known, merged);
                }
                true
            }
            (Body::Dir(known), Resolution::Dir(merged)) => self.is_same_dir(known, merged),
            (Body::Leaf(known), Resolution::Leaf { meta, data }) => {
                let state = known.read();
                let Source::Lower(file) = &state.source else { return Ok(true) };
                // A file of the upper where there was none: somebody is copying this one up, and has not said so yet.
                let Some(now) = lower_file(node, dir, meta) else { return Ok(true) };
                let stat = &meta.found.stat;
                FileKind::from_mode(stat.mode) == Some(known.kind)
                    && is_same_file(file, &now)
                    && state.ino == self.numbers.shown(stat.dev, stat.ino)
                    && is_same_data(&state.data, node, dir, data)
            }
            (Body::Dir(_), Resolution::Leaf { .. } | Resolution::Absent(_))
            | (Body::Leaf(_), Resolution::Dir(_) | Resolution::Absent(_)) => false,
        })
    }

    /// A directory's part in a lower layer; `None` where somebody has taken it away, which counts as empty.
    pub(super) fn lower_dir_now(&self, part: &LowerPart) -> Result<Option<DirIn<'_>>> {
        match self.lower_dir(part) {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if self.expects_changes() && is_gone(error.errno()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Do others change the lowers, or have they?
    fn expects_changes(&self) -> bool {
        !self.options.trusts_listings || self.lowers_changed.load(Ordering::Acquire)
    }

    fn is_same_dir(&self, known: &DirNode, merged: &MergedDir) -> bool {
        let same_parts = known.lowers.len() == merged.parts.len()
            && known.lowers.iter().zip(&merged.parts).all(|(known, now)| known.depth == now.depth);
        let first = merged.parts.first().map(|part| &part.found.stat);
        let same = first.is_some_and(|stat| known.ino == self.numbers.shown(stat.dev, stat.ino));
        if !same_parts || !same {
            return false;
        }
        close_others(known, merged);
        true
    }

    /// What was known at a name is not there any more. It stays what it is for those who have it open.
    pub(super) fn lose(&self, node: &Arc<Node>, names: &mut DirState, name: Name<'_>, child: &Arc<Node>) {
        match &child.body {
            Body::Leaf(leaf) => self.forget_place(names, node, &mut leaf.write(), name),
            Body::Dir(dir) => {
                let mut state = dir.lock();
                state.removed = true;
                state.names = None;
                dir.set_place(None);
                forget_name(names, name);
                node.refs.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }
}

/// Is there no directory any more?
fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP)
}

/// Of the known parts, closes those that are not what is found now.
fn close_others(known: &DirNode, merged: &MergedDir) {
    for part in &known.lowers {
        match merged.parts.iter().find(|now| now.depth == part.depth) {
            Some(now) => close_replaced(part, now),
            None => {
                if let Reached::Descriptor(cell) = &part.reached {
                    cell.close_unless(|_| false);
                }
            }
        }
    }
}

/// A directory that another one has taken the place of is opened again when it is needed.
fn close_replaced(part: &LowerPart, now: &DirPart) {
    if let Reached::Descriptor(cell) = &part.reached {
        let stat = &now.found.stat;
        cell.close_unless(|fd| {
            fs::stat(At::Fd(fd.as_fd())).is_ok_and(|open| (open.dev, open.ino) == (stat.dev, stat.ino))
        });
    }
}

fn is_same_file(known: &LowerFile, now: &LowerFile) -> bool {
    match (known, now) {
        (
            LowerFile::InPart { dir, part, name },
            LowerFile::InPart { dir: now_dir, part: now_part, name: now_name },
        ) => Arc::ptr_eq(dir, now_dir) && part == now_part && name == now_name,
        (LowerFile::AtPath { depth, path }, LowerFile::AtPath { depth: now_depth, path: now_path }) => {
            depth == now_depth && path == now_path
        }
        (LowerFile::Entry { depth, entry }, LowerFile::Entry { depth: now_depth, entry: now_entry }) => {
            depth == now_depth && entry == now_entry
        }
        (LowerFile::InPart { .. } | LowerFile::AtPath { .. } | LowerFile::Entry { .. }, _) => false,
    }
}

fn is_same_data(known: &LeafData, node: &Arc<Node>, dir: &DirNode, now: &Data) -> bool {
    let below = |part: &LeafPart| lower_file(node, dir, part);
    match (known, now) {
        (LeafData::Here, Data::Here) | (LeafData::Missing, Data::Missing) => true,
        (LeafData::Below(file), Data::Below(part)) => below(part).is_some_and(|now| is_same_file(file, &now)),
        (LeafData::Missing, Data::Below(part)) => below(part).is_none(),
        (LeafData::Here | LeafData::Below(_) | LeafData::Missing, _) => false,
    }
}
