//! Addresses: the descriptor and the one name by which an object is reached, in whichever layer it is.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, PoisonError};

use super::Overlay;
use super::node::{DirNode, LeafData, LeafState, LowerFile, LowerPart, Node, Source, UpperPart};
use crate::error::{Error, ErrorContext, Kind, LayerRef, OpContext, Result};
use crate::layer::Layer;
use crate::path::{NameBuf, RelPath};
use crate::resolve::Depth;
use crate::sys::fs::{self, At};

/// An object's address, held open.
#[derive(Debug)]
pub(super) enum Held {
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

    /// The descriptor of a directory's part in a lower layer.
    pub(super) fn lower_fd(&self, part: &LowerPart) -> Result<Arc<OwnedFd>> {
        part.fd.get(&self.descriptors, || self.stack.layer(part.depth).open_dir(&part.path))
    }

    /// The topmost part of a directory, with its layer: where its attributes are.
    pub(super) fn top_part(&self, node: &Node, dir: &DirNode) -> Result<(Held, &Layer)> {
        if let (Some(part), Some(upper)) = (dir.upper.get(), self.stack.upper()) {
            return Ok((Held::Itself(self.upper_fd(node, dir, part)?), &upper.layer));
        }
        match dir.lowers.first() {
            Some(part) => Ok((Held::Itself(self.lower_fd(part)?), self.stack.layer(part.depth))),
            None => Err(Error::new("find directory", Kind::Stale)),
        }
    }

    /// Where a file's metadata is, with its layer. Holds as long as the state is locked.
    pub(super) fn held(&self, state: &LeafState) -> Result<(Held, &Layer)> {
        match &state.source {
            Source::Lower(file) => self.held_lower(file),
            Source::Upper => {
                let upper = self.stack.upper().ok_or_else(|| Error::new("find file", Kind::Stale))?;
                let place = state.places.first().ok_or_else(|| Error::new("find file", Kind::Stale))?;
                let dir = place.dir.as_dir().ok_or_else(|| Error::new("find file", Kind::Stale))?;
                let part = dir.upper.get().ok_or_else(|| Error::new("find file", Kind::Stale))?;
                let fd = self.upper_fd(&place.dir, dir, part)?;
                Ok((Held::InDir(fd, place.name.clone()), &upper.layer))
            }
            Source::Indexed(name) => {
                let upper = self.stack.upper().ok_or_else(|| Error::new("find file", Kind::Stale))?;
                let index = upper.index_fd().ok_or_else(|| Error::new("find file", Kind::Stale))?;
                Ok((Held::InDir(index, name.clone()), &upper.layer))
            }
            Source::Nameless(fd) => {
                let upper = self.stack.upper().ok_or_else(|| Error::new("find file", Kind::Stale))?;
                Ok((Held::Itself(Arc::clone(fd)), &upper.layer))
            }
        }
    }

    /// Where a file's data is, with its layer.
    pub(super) fn held_data(&self, state: &LeafState) -> Result<(Held, &Layer)> {
        match &state.data {
            LeafData::Here => self.held(state),
            LeafData::Below(file) => self.held_lower(file),
            LeafData::Missing => Err(Error::new(
                "find the data of a metadata-only copy",
                Kind::Corrupt("no layer below has its data".into()),
            )),
        }
    }

    pub(super) fn held_lower(&self, file: &LowerFile) -> Result<(Held, &Layer)> {
        match file {
            LowerFile::InPart { dir, part, name } => {
                let part = dir
                    .as_dir()
                    .and_then(|dir| dir.lowers.get(usize::from(*part)))
                    .ok_or_else(|| Error::new("find file", Kind::Stale))?;
                Ok((Held::InDir(self.lower_fd(part)?, name.clone()), self.stack.layer(part.depth)))
            }
            LowerFile::AtPath { depth, path } => {
                let layer = self.stack.layer(*depth);
                let Some((parent, name)) = path.split_last() else {
                    return Err(Error::new("find file", Kind::Stale));
                };
                let dir = layer.open_dir(&parent)?;
                Ok((Held::InDir(Arc::new(dir), name.to_owned()), layer))
            }
        }
    }

    /// The depths of a directory's parts, top first.
    pub(super) fn part_depths(&self, dir: &DirNode) -> Vec<Depth> {
        let upper = dir.upper.get().map(|_| Depth(0));
        upper.into_iter().chain(dir.lowers.iter().map(|part| part.depth)).collect()
    }
}
