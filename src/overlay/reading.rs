//! Layers to be looked into one by one, whichever form each has: for who counts what they change, or copies them.

use super::Overlay;
use super::address::Held;
use super::object::{DirIn, Object};
use super::stack::{AnyLayer, Stack};
use crate::config::{Behaviour, LowerSpec, StackSpec};
use crate::error::{Error, Kind, Result};
use crate::layer::{EntryId, FoundLeaf};
use crate::path::{Name, RelPath};
use crate::resolve::{Depth, Depths};

/// Layers, open for reading.
#[derive(Debug)]
pub(crate) struct Layers(Stack);

impl Layers {
    /// Opens them, the base first. In errors they are numbered from 1 at the base.
    ///
    /// # Errors
    /// A layer cannot be opened; there is none.
    pub(crate) fn open(base_first: &[LowerSpec]) -> Result<Layers> {
        let lowers = base_first.iter().rev().cloned().collect();
        let spec = StackSpec { lowers, data_only: Vec::new(), upper: None };
        Stack::open(&spec, &Behaviour::default()).map(Layers)
    }

    /// All of them by their depth, the base first.
    pub(crate) fn base_first(&self) -> impl Iterator<Item = Depth> + use<> {
        (0..self.depths().ordinary).rev().map(Depth)
    }

    /// How many there are.
    pub(crate) fn depths(&self) -> Depths {
        self.0.depths()
    }

    /// The layer at a depth.
    ///
    /// # Errors
    /// There are not so many.
    pub(crate) fn get(&self, depth: Depth) -> Result<AnyLayer<'_>> {
        match depth.0 < self.depths().ordinary {
            true => Ok(self.0.layer(depth)),
            false => Err(Error::new("look up", Kind::Invalid("there is no such layer"))),
        }
    }
}

impl Overlay {
    /// The ordinary layers of the union one by one, the base first, each for itself.
    pub(crate) fn each_layer(&self) -> impl Iterator<Item = AnyLayer<'_>> {
        (0..self.stack.depths().ordinary).rev().map(|depth| self.stack.layer(Depth(depth)))
    }
}

/// Where an object is in its layer. Nothing is open for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InLayer {
    /// In a directory.
    Path(RelPath),
    /// In a tar.
    Entry(EntryId),
}

impl InLayer {
    /// The root of a layer.
    pub(crate) fn root(layer: AnyLayer<'_>) -> Self {
        match layer {
            AnyLayer::Directory(_) => InLayer::Path(RelPath::root()),
            AnyLayer::Tar(_) => InLayer::Entry(EntryId::ROOT),
        }
    }

    /// What was found by a name in the directory at this place.
    ///
    /// # Errors
    /// A tar's index gives every object a number; this one has none.
    pub(crate) fn child(&self, name: Name<'_>, entry: Option<EntryId>) -> Result<Self> {
        match (self, entry) {
            (_, Some(entry)) => Ok(InLayer::Entry(entry)),
            (InLayer::Path(path), None) => Ok(InLayer::Path(path.join(name))),
            (InLayer::Entry(_), None) => {
                Err(Error::new("look up", Kind::Invalid("the layer's index gives it no number"))
                    .at(name.as_bytes()))
            }
        }
    }
}

impl<'s> DirIn<'s> {
    /// The directory at a place of its layer.
    pub(crate) fn open(layer: AnyLayer<'s>, place: &InLayer) -> Result<Self> {
        match (layer, place) {
            (AnyLayer::Directory(layer), InLayer::Path(path)) => {
                Ok(DirIn::Fd(layer.open_dir(path)?.into(), layer))
            }
            (AnyLayer::Tar(layer), InLayer::Entry(entry)) => Ok(DirIn::Entry(*entry, layer)),
            (layer, _) => Err(Error::new("open directory", Kind::Stale).in_layer(layer.id())),
        }
    }

    /// Anything but a directory in it, of which the layer has said what it is.
    pub(crate) fn leaf(&self, name: Name<'_>, found: &FoundLeaf) -> Result<Object<'s>> {
        match (self, found.entry) {
            (DirIn::Fd(fd, layer), _) => {
                Ok(Object::Held(Held::InDir(std::sync::Arc::clone(fd), name.to_owned()), layer))
            }
            (DirIn::Entry(_, layer), Some(entry)) => Ok(Object::Entry(entry, layer)),
            (DirIn::Entry(_, layer), None) => {
                Err(Error::new("look up", Kind::Stale).at(name.as_bytes()).in_layer(layer.id))
            }
        }
    }
}
