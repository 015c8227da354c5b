//! The layers of a union, from the top down.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use crate::config::{Behaviour, Index, LowerSpec, StackSpec, UpperSpec, Whiteouts};
use crate::error::{Error, Kind, LayerRef, Result};
use crate::layer::{self, FoundDir, Layer, LayerRules, Upper, UpperOptions};
use crate::marker::MarkersRead;
use crate::resolve::{Depth, Depths};
use crate::tarball::TarLayer;

/// The layers. There is always at least one lower.
#[derive(Debug)]
pub(super) enum Stack {
    /// Nothing can be changed. The index of hard links of an upper that is its topmost layer, if there is one, is read.
    ReadOnly(Lowers, Option<Arc<OwnedFd>>),
    /// Changes go to the upper.
    Writable(Box<Upper>, Lowers),
}

/// A layer below the upper.
#[derive(Debug)]
enum Lower {
    Directory(Layer),
    Tar(Box<TarLayer>),
}

impl Lower {
    fn any(&self) -> AnyLayer<'_> {
        match self {
            Lower::Directory(layer) => AnyLayer::Directory(layer),
            Lower::Tar(layer) => AnyLayer::Tar(layer),
        }
    }
}

/// Any layer of the stack.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AnyLayer<'s> {
    /// A directory: the upper among them.
    Directory(&'s Layer),
    /// A tar.
    Tar(&'s TarLayer),
}

impl<'s> AnyLayer<'s> {
    pub(crate) fn id(self) -> LayerRef {
        match self {
            AnyLayer::Directory(layer) => layer.id,
            AnyLayer::Tar(layer) => layer.id,
        }
    }

    /// `st_dev` of its root, or what stands for it.
    pub(crate) fn dev(self) -> u64 {
        match self {
            AnyLayer::Directory(layer) => layer.dev,
            AnyLayer::Tar(layer) => layer.dev,
        }
    }

    /// The uuid of its file system, or what stands for it.
    pub(crate) fn uuid(self) -> [u8; 16] {
        match self {
            AnyLayer::Directory(layer) => layer.uuid,
            AnyLayer::Tar(layer) => layer.uuid,
        }
    }

    /// Where it is, for people.
    pub(crate) fn path(self) -> &'s Path {
        match self {
            AnyLayer::Directory(layer) => &layer.path,
            AnyLayer::Tar(layer) => &layer.spec.file,
        }
    }

    /// It as a directory.
    pub(crate) fn directory(self) -> Option<&'s Layer> {
        match self {
            AnyLayer::Directory(layer) => Some(layer),
            AnyLayer::Tar(_) => None,
        }
    }

    /// What it says of its root. On a directory's root an opaque mark means nothing, as with the kernel's overlay; a tar's
    /// hides the layers below.
    pub(crate) fn look_root(self) -> Result<FoundDir> {
        match self {
            AnyLayer::Directory(layer) => Ok(FoundDir { opaque: false, ..layer.look_root()? }),
            AnyLayer::Tar(layer) => layer.look_root(),
        }
    }

    /// A descriptor on the file system it lies on.
    pub(crate) fn on_file_system(self) -> BorrowedFd<'s> {
        match self {
            AnyLayer::Directory(layer) => layer.root_io(),
            AnyLayer::Tar(layer) => layer.file(),
        }
    }
}

/// Everything below the upper.
#[derive(Debug)]
pub(super) struct Lowers {
    /// Searched by name, top first; never empty.
    ordinary: Vec<Lower>,
    /// Reached by redirects of metacopy files, top first.
    data_only: Vec<Layer>,
}

impl Stack {
    /// Opens every layer; the upper, with its work directory, last: nothing is touched before the rest is known to be
    /// there. With `ro` the upper is the topmost read-only layer.
    pub(super) fn open(spec: &StackSpec, behaviour: &Behaviour) -> Result<Stack> {
        let rules = LayerRules {
            markers: MarkersRead::Both,
            oci: behaviour.whiteouts == Whiteouts::Auto,
            stat_override: crate::config::StatOverride::Off,
        };
        let mut ordinary = Vec::with_capacity(spec.lowers.len() + 1);
        if let (Some(upper), true) = (&spec.upper, behaviour.read_only) {
            let rules = LayerRules { stat_override: behaviour.stat_override, ..rules };
            ordinary.push(Lower::Directory(Layer::open(&upper.upper, LayerRef::Upper, rules)?));
        }
        for (index, lower) in spec.lowers.iter().enumerate() {
            let id = LayerRef::Lower(number(spec.lowers.len(), index)?);
            ordinary.push(match lower {
                LowerSpec::Directory(path) => {
                    let layer = Layer::open(path, id, rules)?;
                    Lower::Directory(match behaviour.whiteouts {
                        Whiteouts::UnionfsFuse => layer.with_unionfs_fuse()?,
                        Whiteouts::Auto | Whiteouts::Kernel => layer,
                    })
                }
                LowerSpec::Tar(tar) => Lower::Tar(Box::new(TarLayer::open(tar, id)?)),
            });
        }
        link_tars(&mut ordinary)?;
        let mut data_only = Vec::with_capacity(spec.data_only.len());
        for (index, path) in spec.data_only.iter().enumerate() {
            data_only.push(Layer::open(path, LayerRef::Data(number(spec.data_only.len(), index)?), rules)?);
        }
        if ordinary.is_empty() {
            return Err(Error::new("open stack", Kind::Invalid("there must be at least one layer")));
        }
        let lowers = Lowers { ordinary, data_only };
        match &spec.upper {
            Some(upper) if !behaviour.read_only => {
                let options = UpperOptions {
                    rules: LayerRules { stat_override: behaviour.stat_override, ..rules },
                    namespace: behaviour.namespace,
                    whiteouts: behaviour.whiteouts,
                    durability: behaviour.durability,
                    index: behaviour.index,
                };
                Ok(Stack::Writable(Box::new(Upper::open(upper, options)?), lowers))
            }
            Some(upper) if behaviour.index == Index::On => Ok(Stack::ReadOnly(lowers, index_to_read(upper))),
            _ => Ok(Stack::ReadOnly(lowers, None)),
        }
    }

    /// A read-only stack of one of the layers. What its hard links lead to in layers below stays open with it.
    ///
    /// # Errors
    /// There is none at that depth, or the stack is writable.
    pub(super) fn only(self, depth: Depth) -> Result<Stack> {
        let no_layer = || Error::new("open layer", Kind::Invalid("there is no such layer"));
        let Stack::ReadOnly(mut lowers, _) = self else {
            return Err(Error::new("open layer", Kind::Invalid("the stack must be opened read-only")));
        };
        let index = usize::from(depth.0);
        lowers.ordinary.truncate(index.saturating_add(1));
        let layer = lowers.ordinary.pop().filter(|_| lowers.ordinary.len() == index).ok_or_else(no_layer)?;
        Ok(Stack::ReadOnly(Lowers { ordinary: vec![layer], data_only: Vec::new() }, None))
    }

    /// The upper, to change something in.
    ///
    /// # Errors
    /// [`Kind::ReadOnly`], which comes from here only.
    pub(super) fn writable(&self) -> Result<&Upper> {
        match self {
            Stack::Writable(upper, _) => Ok(upper),
            Stack::ReadOnly(..) => Err(Error::new("write", Kind::ReadOnly)),
        }
    }

    /// The upper, to look into.
    pub(super) fn upper(&self) -> Option<&Upper> {
        match self {
            Stack::Writable(upper, _) => Some(upper),
            Stack::ReadOnly(..) => None,
        }
    }

    /// The layer of the upper, be that writable or not.
    pub(super) fn upper_layer(&self) -> Option<&Layer> {
        match self {
            Stack::Writable(upper, _) => Some(&upper.layer),
            Stack::ReadOnly(lowers, _) => match lowers.ordinary.first() {
                Some(Lower::Directory(layer)) if layer.id == LayerRef::Upper => Some(layer),
                _ => None,
            },
        }
    }

    /// The upper's index of hard links, to look into.
    pub(super) fn index_fd(&self) -> Option<Arc<OwnedFd>> {
        match self {
            Stack::Writable(upper, _) => upper.index_fd(),
            Stack::ReadOnly(_, index) => index.clone(),
        }
    }

    fn lowers(&self) -> &Lowers {
        match self {
            Stack::Writable(_, lowers) | Stack::ReadOnly(lowers, _) => lowers,
        }
    }

    /// How deep it is.
    pub(super) fn depths(&self) -> Depths {
        let lowers = self.lowers();
        let upper = usize::from(self.upper().is_some());
        // `number` has seen to it that both fit.
        Depths { ordinary: (lowers.ordinary.len() + upper) as u16, data_only: lowers.data_only.len() as u16 }
    }

    /// The layer at a depth.
    pub(super) fn layer(&self, depth: Depth) -> AnyLayer<'_> {
        let lowers = self.lowers();
        let index = usize::from(depth.0);
        match self.upper() {
            Some(upper) if index == 0 => AnyLayer::Directory(&upper.layer),
            upper => {
                let index = index - usize::from(upper.is_some());
                let below = index.checked_sub(lowers.ordinary.len());
                below.map_or_else(
                    || lowers.ordinary[index].any(),
                    |data| AnyLayer::Directory(&lowers.data_only[data]),
                )
            }
        }
    }

    /// The depths of the ordinary lowers, top first.
    pub(super) fn lower_depths(&self) -> impl Iterator<Item = Depth> + use<> {
        let first = u16::from(self.upper().is_some());
        (first..self.depths().ordinary).map(Depth)
    }

    /// The layers that hold only data, top first.
    #[cfg(feature = "image")]
    pub(super) fn data_only(&self) -> impl Iterator<Item = AnyLayer<'_>> {
        self.lowers().data_only.iter().map(AnyLayer::Directory)
    }

    /// All layers, top first.
    pub(super) fn layers(&self) -> impl Iterator<Item = AnyLayer<'_>> {
        let lowers = self.lowers();
        let upper = self.upper().map(|upper| AnyLayer::Directory(&upper.layer));
        let data_only = lowers.data_only.iter().map(AnyLayer::Directory);
        upper.into_iter().chain(lowers.ordinary.iter().map(Lower::any)).chain(data_only)
    }

    /// Memory that holds what can be had again goes back to the system.
    pub(super) fn give_back(&self) {
        for layer in self.layers() {
            match layer {
                AnyLayer::Tar(layer) => layer.give_back(),
                AnyLayer::Directory(_) => {}
            }
        }
    }

    /// The topmost layer.
    pub(super) fn top(&self) -> AnyLayer<'_> {
        self.layer(Depth(0))
    }
}

/// Hard links whose targets are in a layer below lead there; only tars have such, and only to tars of their own image.
fn link_tars(ordinary: &mut [Lower]) -> Result<()> {
    for top in 0..ordinary.len() {
        let (above, below) = ordinary.split_at_mut(top + 1);
        let Some(Lower::Tar(tar)) = above.last_mut() else { continue };
        let below = below.iter().map_while(|lower| match lower {
            Lower::Tar(below) if below.spec.image == tar.spec.image => Some(&**below),
            Lower::Tar(_) | Lower::Directory(_) => None,
        });
        let below: Vec<&TarLayer> = below.collect();
        tar.link_below(&below)?;
    }
    Ok(())
}

/// The index of an upper that is only read. It is another's, who may be changing it: nothing is made and nothing locked.
fn index_to_read(upper: &UpperSpec) -> Option<Arc<OwnedFd>> {
    match layer::index_to_read(&upper.work) {
        Ok(index) => index.map(Arc::new),
        Err(error) => {
            log::warn!(
                "a file with several names that was changed by one of them is shown unchanged by the others: {error}"
            );
            None
        }
    }
}

/// A layer's number: 1 is the base.
fn number(len: usize, index_from_top: usize) -> Result<u16> {
    u16::try_from(len - index_from_top)
        .map_err(|_| Error::new("open stack", Kind::Invalid("there are more than 65,535 layers")))
}
