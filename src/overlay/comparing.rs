//! What two unions have in common: so that comparing them costs what differs.
//!
//! The layers that both have at their base, one after the other from the lowest up, say the same in both. So do directories whose
//! parts are the same places of those, with all that is in them: whatever redirects, opaque marks and copies of metadata lead
//! to from there is in those layers, too.

use std::collections::BTreeSet;
use std::os::fd::AsFd;

use super::Overlay;
use super::lookup::{directory, leaf};
use super::node::{DirNode, LeafData, LowerFile, LowerPart, Reached, Source};
use super::object::{DirIn, Object};
use super::reading::InLayer;
use super::stack::AnyLayer;
use super::types::{FileKind, NodeId};
use crate::digest::Digest;
use crate::error::{Error, ErrorContext, Kind, OpContext, Result};
use crate::layer::EntryId;
use crate::path::NameBuf;
use crate::resolve::Depth;
use crate::sys::fs::{self, At};

/// How many layers two unions share, from the base up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SharedBase(u16);

impl SharedBase {
    /// None.
    pub(crate) const NOTHING: SharedBase = SharedBase(0);

    /// So many, of two stacks of the same layers.
    pub(crate) fn lowest(layers: usize) -> Self {
        SharedBase(u16::try_from(layers).unwrap_or(u16::MAX))
    }
}

/// A place in a layer that two unions share: the layer's number (1 is the base), and where in it.
type SharedPlace = (u16, InLayer);

/// What a directory is merged from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DirParts {
    /// How many of its parts are in layers of this union alone.
    pub own: usize,
    /// The others, top first.
    pub shared: Vec<SharedPlace>,
}

/// Where something other than a directory is, if all of it is in layers that are shared.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LeafPlace {
    meta: SharedPlace,
    /// `None`: with the metadata.
    data: Option<SharedPlace>,
}

/// Where the content of a regular file is, whatever the union: what is at the same place is the same.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ContentPlace {
    /// A file.
    Inode { dev: u64, ino: u64 },
    /// A part of a tar, which is known by the digest of all of it.
    Tar(Digest, EntryId),
}

impl Overlay {
    /// How many layers this union and another have in common, from the base up.
    ///
    /// # Errors
    /// Failing system calls.
    pub(crate) fn shared_base(&self, other: &Overlay) -> Result<SharedBase> {
        let (own, theirs) = (self.stack.depths(), other.stack.depths());
        // Data-only layers are below all others, and the options say how all are read.
        let mut same = self.options.redirects == other.options.redirects
            // What an index leads to is in no layer that they share.
            && !self.is_indexed()?
            && !other.is_indexed()?
            && own.data_only == theirs.data_only;
        for (own, theirs) in self.stack.data_only().zip(other.stack.data_only()) {
            same = same && same_layer(own, theirs)?;
        }
        if !same {
            return Ok(SharedBase::NOTHING);
        }
        let mut shared = 0;
        for number in 1..=own.ordinary.min(theirs.ordinary) {
            let own = self.stack.layer(Depth(own.ordinary - number));
            if !same_layer(own, other.stack.layer(Depth(theirs.ordinary - number)))? {
                break;
            }
            shared = number;
        }
        Ok(SharedBase(shared))
    }

    /// What a directory is merged from.
    ///
    /// # Errors
    /// The node is no directory.
    pub(crate) fn parts(&self, node: NodeId, base: SharedBase) -> Result<DirParts> {
        let node = self.node(node)?;
        let dir = directory(&node)?;
        let mut parts = DirParts { own: usize::from(dir.upper.get().is_some()), shared: Vec::new() };
        for part in &dir.lowers {
            match self.shared_number(part.depth, base) {
                Some(number) => parts.shared.push((number, place_of(part))),
                None => parts.own += 1,
            }
        }
        Ok(parts)
    }

    /// The names that the parts of a directory in this union's own layers have, whiteouts among them.
    ///
    /// # Errors
    /// The node is no directory; failing system calls.
    pub(crate) fn own_names(&self, node: NodeId, base: SharedBase) -> Result<BTreeSet<NameBuf>> {
        let node = self.node(node)?;
        let dir = directory(&node)?;
        let mut parts = Vec::new();
        if let (Some(part), Some(upper)) = (dir.upper.get(), self.stack.upper()) {
            parts.push((DirIn::Fd(self.upper_fd(&node, dir, part)?, &upper.layer), part.xwhiteouts));
        }
        for part in dir.lowers.iter().filter(|part| self.shared_number(part.depth, base).is_none()) {
            parts.push((self.lower_dir(part)?, part.xwhiteouts));
        }
        let mut names = BTreeSet::new();
        for (part, xwhiteouts) in parts {
            part.list(xwhiteouts, |listed| {
                names.insert(listed.name.to_owned());
            })
            .map_err(|error| error.at(self.path_of(&node, dir).as_bytes()))
            .in_layer(part.id())?;
        }
        Ok(names)
    }

    /// Where anything but a directory is, if all of it is in layers that are shared.
    ///
    /// # Errors
    /// The node is a directory.
    pub(crate) fn leaf_place(&self, node: NodeId, base: SharedBase) -> Result<Option<LeafPlace>> {
        let node = self.node(node)?;
        let state = leaf(&node)?.read();
        let Source::Lower(file) = &state.source else { return Ok(None) };
        let Some(meta) = self.shared_file(file, base) else { return Ok(None) };
        Ok(match &state.data {
            LeafData::Here => Some(LeafPlace { meta, data: None }),
            LeafData::Below(file) => {
                self.shared_file(file, base).map(|data| LeafPlace { meta, data: Some(data) })
            }
            LeafData::Missing => None,
        })
    }

    /// Where the content of a regular file is.
    ///
    /// # Errors
    /// The node is something else; no layer has the content; failing system calls.
    pub(crate) fn content_place(&self, node: NodeId) -> Result<ContentPlace> {
        let node = self.node(node)?;
        let file = leaf(&node)?;
        if file.kind != FileKind::Regular {
            return Err(Error::new("find content", Kind::Invalid("it is no regular file")));
        }
        match self.data_object(&file.read())? {
            Object::Held(held, layer) => {
                let stat = fs::stat(held.at()).op("stat").in_layer(layer.id)?;
                Ok(ContentPlace::Inode { dev: stat.dev, ino: stat.ino })
            }
            Object::Entry(entry, layer) => {
                let (diff_id, entry) = layer.place(entry);
                Ok(ContentPlace::Tar(diff_id, entry))
            }
        }
    }

    /// The number of the layer at a depth, if it is shared.
    fn shared_number(&self, depth: Depth, base: SharedBase) -> Option<u16> {
        let number = self.stack.depths().ordinary.checked_sub(depth.0)?;
        (1..=base.0).contains(&number).then_some(number)
    }

    fn shared_file(&self, file: &LowerFile, base: SharedBase) -> Option<SharedPlace> {
        let (depth, place) = match file {
            LowerFile::InPart { dir, part, name } => {
                let part = dir.as_dir().map(|dir: &DirNode| dir.lowers.get(usize::from(*part)))??;
                (part.depth, InLayer::Path(part.path.join(name.as_name())))
            }
            LowerFile::AtPath { depth, path } => (*depth, InLayer::Path(path.as_ref().clone())),
            LowerFile::Entry { depth, entry } => (*depth, InLayer::Entry(*entry)),
        };
        Some((self.shared_number(depth, base)?, place))
    }
}

fn place_of(part: &LowerPart) -> InLayer {
    match &part.reached {
        Reached::Descriptor(_) => InLayer::Path(part.path.clone()),
        Reached::Entry(entry) => InLayer::Entry(*entry),
    }
}

/// Do two layers hold the same, and are they read by the same rules?
fn same_layer(one: AnyLayer<'_>, other: AnyLayer<'_>) -> Result<bool> {
    match (one, other) {
        (AnyLayer::Tar(one), AnyLayer::Tar(other)) => Ok(one.spec.diff_id == other.spec.diff_id),
        (AnyLayer::Directory(one), AnyLayer::Directory(other)) => {
            let inode = |layer: &crate::layer::Layer| {
                let stat = fs::stat(At::Fd(layer.root().as_fd())).op("stat").in_layer(layer.id)?;
                Ok::<_, Error>((stat.dev, stat.ino))
            };
            Ok(one.rules == other.rules && inode(one)? == inode(other)?)
        }
        (AnyLayer::Tar(_), AnyLayer::Directory(_)) | (AnyLayer::Directory(_), AnyLayer::Tar(_)) => Ok(false),
    }
}
