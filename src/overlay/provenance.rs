//! Which layer something comes from.

use std::collections::{BTreeMap, HashSet};

use super::Overlay;
use super::lookup::directory;
use super::node::{Body, LowerFile, Source};
use super::object::DirIn;
use super::types::NodeId;
use crate::error::{Error, ErrorContext, Kind, LayerRef, Result};
use crate::marker::FUSE_OVERLAYFS_OPAQUE_DEVICE;
use crate::path::NameBuf;
use crate::resolve::Depth;

impl Overlay {
    /// The layer that supplies a node: of a directory, the one that its attributes come from.
    ///
    /// # Errors
    /// [`Kind::Stale`]: the node is not known.
    pub fn layer_of(&self, node: NodeId) -> Result<Depth> {
        let stale = || Error::new("find the layer", Kind::Stale);
        let node = self.node(node)?;
        match &node.body {
            Body::Dir(dir) if dir.upper.get().is_some() => Ok(Depth(0)),
            Body::Dir(dir) => Ok(dir.attributes_part().ok_or_else(stale)?.depth),
            Body::Leaf(leaf) => match &leaf.read().source {
                Source::Upper | Source::Indexed(_) | Source::Nameless(_) => Ok(Depth(0)),
                Source::Lower(LowerFile::AtPath { depth, .. } | LowerFile::Entry { depth, .. }) => Ok(*depth),
                Source::Lower(LowerFile::InPart { dir, part, .. }) => {
                    let part = dir.as_dir().and_then(|dir| dir.lowers.get(usize::from(*part)));
                    part.map(|part| part.depth).ok_or_else(stale)
                }
            },
        }
    }

    /// Is a node supplied by the upper, be that writable or not? A directory is if it has a part there: that is one with
    /// attributes.
    ///
    /// # Errors
    /// As [`Overlay::layer_of`].
    pub fn is_of_upper(&self, node: NodeId) -> Result<bool> {
        let depth = self.layer_of(node)?;
        Ok(self.stack.layer(depth).id() == LayerRef::Upper)
    }

    /// The names that a directory lists, sorted by bytes. One with a corrupt marker is among them; looking it up is what fails.
    ///
    /// # Errors
    /// The node is no directory; failing system calls.
    pub fn names(&self, node: NodeId) -> Result<Vec<NameBuf>> {
        let node = self.node(node)?;
        let dir = directory(&node)?;
        let mut state = dir.lock();
        self.load_names(&node, dir, &mut state)?;
        let mut cookie = 0;
        let mut sorted = Vec::new();
        while let Some((next, name)) = state.names.as_ref().and_then(|names| names.after(cookie)) {
            sorted.push(name);
            cookie = next;
        }
        sorted.sort_unstable();
        Ok(sorted)
    }

    /// The names in a directory that are deleted, each with the topmost layer that deletes it; sorted. A name that a layer
    /// above has made again is there, and not deleted.
    ///
    /// # Errors
    /// The node is no directory; failing system calls.
    pub fn deleted(&self, node: NodeId) -> Result<BTreeMap<NameBuf, Depth>> {
        let node = self.node(node)?;
        let dir = directory(&node)?;
        let mut parts = Vec::new();
        if let (Some(part), Some(upper)) = (dir.upper.get(), self.stack.upper()) {
            let fd = self.upper_fd(&node, dir, part)?;
            parts.push((Depth(0), DirIn::Fd(fd, &upper.layer), part.xwhiteouts));
        }
        for part in &dir.lowers {
            parts.push((part.depth, self.lower_dir(part)?, part.xwhiteouts));
        }
        let mut there: HashSet<NameBuf> = HashSet::new();
        let mut deleted = BTreeMap::new();
        for (depth, part, xwhiteouts) in parts {
            // Beside its whiteout a layer may have the name itself.
            let mut whiteouts = Vec::new();
            part.list(xwhiteouts, |entry| match entry.whiteout {
                // As a whiteout of a `.wh.` name it has no type.
                true if entry.kind == 0 && entry.name.as_bytes() == FUSE_OVERLAYFS_OPAQUE_DEVICE => {}
                true => whiteouts.push(entry.name.to_owned()),
                false => {
                    there.insert(entry.name.to_owned());
                }
            })
            .map_err(|error| error.at(self.path_of(&node, dir).as_bytes()))
            .in_layer(part.id())?;
            for name in whiteouts {
                if !there.contains(&name) {
                    deleted.entry(name).or_insert(depth);
                }
            }
        }
        Ok(deleted)
    }
}

#[cfg(test)]
mod tests;
