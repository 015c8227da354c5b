//! Addresses: the descriptor and the one name by which an object is reached, in whichever layer it is.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, PoisonError};

use super::Overlay;
use super::node::{DirNode, LeafData, LeafState, LowerFile, LowerPart, Node, Reached, Source, UpperPart};
use super::object::{DirIn, Object};
use super::stack::AnyLayer;
use crate::error::{Error, ErrorContext, Kind, LayerRef, OpContext, Result};
use crate::layer::Layer;
use crate::path::{NameBuf, RelPath};
use crate::resolve::Depth;
use crate::sys::fs::{self, At};

/// An object's address, held open.
#[derive(Debug, Clone)]
pub(crate) enum Held {
    /// By one name in a directory.
    InDir(Arc<OwnedFd>, NameBuf),
    /// By its own descriptor, which may be O_PATH.
    Itself(Arc<OwnedFd>),
}

impl Held {
    pub(super) fn at(&self) -> At<'_> {
        match self {
            Held::InDir(dir, name) => At::Name(dir.as_fd(), name.as_name()),
            Held::Itself(fd) => At::Fd(fd.as_fd()),
        }
    }

    /// Opens it for I/O.
    pub(super) fn open(&self, flags: i32) -> crate::sys::SysResult<OwnedFd> {
        match self {
            Held::InDir(dir, name) => fs::open_at(dir.as_fd(), name.as_name(), flags, 0),
            Held::Itself(fd) => fs::reopen(fd.as_fd(), flags),
        }
    }
}

impl Overlay {
    /// The descriptor of a directory's part in the upper.
    pub(super) fn upper_fd(&self, node: &Node, dir: &DirNode, part: &UpperPart) -> Result<Arc<OwnedFd>> {
        part.fd.get(&self.descriptors, || self.open_upper(node, dir, part))
    }

    /// Finds the directory by its path from the upper's root, while no directory moves. What is found must be the same
    /// inode: others may have changed the upper behind our back.
    fn open_upper(&self, node: &Node, dir: &DirNode, part: &UpperPart) -> Result<OwnedFd> {
        let Some(upper) = self.stack.upper() else {
            return Err(Error::new("open directory", Kind::ReadOnly));
        };
        let _still = self.moving.read().unwrap_or_else(PoisonError::into_inner);
        let path = self.path_of(node, dir);
        let fd = upper.layer.open_dir(&path)?;
        let stat = fs::stat(At::Fd(fd.as_fd())).op("stat").at(path.as_bytes())?;
        if stat.ino != part.ino {
            return Err(Error::new("open directory", Kind::Stale)
                .at(path.as_bytes())
                .in_layer(LayerRef::Upper));
        }
        Ok(fd)
    }

    /// The path of a directory in the union, for people and for opening; empty for the root.
    pub(super) fn path_of(&self, node: &Node, dir: &DirNode) -> RelPath {
        let mut names = Vec::new();
        if node.id != super::NodeId::ROOT {
            let mut place = dir.place();
            while let Some(here) = place {
                names.push(here.name);
                place = here.dir.as_dir().and_then(DirNode::place);
            }
        }
        let mut path = RelPath::root();
        for name in names.iter().rev() {
            path.push(name.as_name());
        }
        path
    }

    /// A directory's part in a lower layer.
    pub(super) fn lower_dir(&self, part: &LowerPart) -> Result<DirIn<'_>> {
        match (&part.reached, self.stack.layer(part.depth)) {
            (Reached::Descriptor(cell), AnyLayer::Directory(layer)) => {
                Ok(DirIn::Fd(cell.get(&self.descriptors, || layer.open_dir(&part.path))?, layer))
            }
            (Reached::Entry(entry), AnyLayer::Tar(layer)) => Ok(DirIn::Entry(*entry, layer)),
            (_, layer) => Err(Error::new("open directory", Kind::Stale).in_layer(layer.id())),
        }
    }

    /// What has a directory's attributes.
    pub(super) fn dir_object(&self, node: &Node, dir: &DirNode) -> Result<Object<'_>> {
        if let (Some(part), Some(upper)) = (dir.upper.get(), self.stack.upper()) {
            return Ok(Object::Held(Held::Itself(self.upper_fd(node, dir, part)?), &upper.layer));
        }
        self.lower_dir_object(dir)
    }

    /// What has a directory's attributes below the upper.
    pub(super) fn lower_dir_object(&self, dir: &DirNode) -> Result<Object<'_>> {
        let part = dir.attributes_part().ok_or_else(|| Error::new("find directory", Kind::Stale))?;
        Ok(self.lower_dir(part)?.into_object())
    }

    /// What has a file's metadata. Holds as long as the state is locked.
    pub(super) fn object(&self, state: &LeafState) -> Result<Object<'_>> {
        match &state.source {
            Source::Lower(file) => self.lower_object(file),
            Source::Upper | Source::Indexed(_) | Source::Nameless(_) => {
                let (held, layer) = self.held(state)?;
                Ok(Object::Held(held, layer))
            }
        }
    }

    /// Where a file's metadata is in the upper, with its layer. Holds as long as the state is locked.
    ///
    /// # Errors
    /// [`Kind::Stale`] for what has not been copied up.
    pub(super) fn held(&self, state: &LeafState) -> Result<(Held, &Layer)> {
        let stale = || Error::new("find file", Kind::Stale);
        let layer = self.stack.upper_layer().ok_or_else(stale)?;
        let held = match &state.source {
            Source::Lower(_) => return Err(stale()),
            Source::Upper => {
                let place = state.places.first().ok_or_else(stale)?;
                let dir = place.dir.as_dir().ok_or_else(stale)?;
                let part = dir.upper.get().ok_or_else(stale)?;
                Held::InDir(self.upper_fd(&place.dir, dir, part)?, place.name.clone())
            }
            Source::Indexed(name) => Held::InDir(self.stack.index_fd().ok_or_else(stale)?, name.clone()),
            Source::Nameless(fd) => Held::Itself(Arc::clone(fd)),
        };
        Ok((held, layer))
    }

    /// What has a file's data.
    pub(super) fn data_object(&self, state: &LeafState) -> Result<Object<'_>> {
        match &state.data {
            LeafData::Here => self.object(state),
            LeafData::Below(file) => self.lower_object(file),
            LeafData::Missing => Err(Error::new(
                "find the data of a metadata-only copy",
                Kind::Corrupt("no layer below has its data".into()),
            )),
        }
    }

    pub(super) fn lower_object(&self, file: &LowerFile) -> Result<Object<'_>> {
        let stale = || Error::new("find file", Kind::Stale);
        match file {
            LowerFile::InPart { dir, part, name } => {
                let dir = dir.as_dir().ok_or_else(stale)?;
                let part = dir.lowers.get(usize::from(*part)).ok_or_else(stale)?;
                match self.lower_dir(part)? {
                    DirIn::Fd(fd, layer) => Ok(Object::Held(Held::InDir(fd, name.clone()), layer)),
                    DirIn::Entry(..) => Err(stale()),
                }
            }
            LowerFile::AtPath { depth, path } => {
                let layer = self.stack.layer(*depth).directory().ok_or_else(stale)?;
                let (parent, name) = path.split_last().ok_or_else(stale)?;
                let dir = layer.open_dir(&parent)?;
                Ok(Object::Held(Held::InDir(Arc::new(dir), name.to_owned()), layer))
            }
            LowerFile::Entry { depth, entry } => match self.stack.layer(*depth) {
                AnyLayer::Tar(layer) => Ok(Object::Entry(*entry, layer)),
                AnyLayer::Directory(_) => Err(stale()),
            },
        }
    }

    /// The depths of a directory's parts, top first.
    pub(super) fn part_depths(&self, dir: &DirNode) -> Vec<Depth> {
        let upper = dir.upper.get().map(|_| Depth(0));
        upper.into_iter().chain(dir.lowers.iter().map(|part| part.depth)).collect()
    }
}
