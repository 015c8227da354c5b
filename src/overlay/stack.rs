//! The layers of a union, from the top down.

use crate::config::{Behaviour, StackSpec, Whiteouts};
use crate::error::{Error, Kind, LayerRef, Result};
use crate::layer::{Layer, LayerRules, Upper, UpperOptions};
use crate::marker::MarkersRead;
use crate::resolve::{Depth, Depths};

/// The layers. There is always at least one lower.
#[derive(Debug)]
pub(super) enum Stack {
    /// Nothing can be changed.
    ReadOnly(Lowers),
    /// Changes go to the upper.
    Writable(Box<Upper>, Lowers),
}

/// Everything below the upper.
#[derive(Debug)]
pub(super) struct Lowers {
    /// Searched by name, top first; never empty.
    ordinary: Vec<Layer>,
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
            ordinary.push(Layer::open(&upper.upper, LayerRef::Upper, rules)?);
        }
        for (index, lower) in spec.lowers.iter().enumerate() {
            ordinary.push(Layer::open(
                lower.path(),
                LayerRef::Lower(number(spec.lowers.len(), index)?),
                rules,
            )?);
        }
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
            _ => Ok(Stack::ReadOnly(lowers)),
        }
    }

    /// The upper, to change something in.
    ///
    /// # Errors
    /// [`Kind::ReadOnly`], which comes from here only.
    pub(super) fn writable(&self) -> Result<&Upper> {
        match self {
            Stack::Writable(upper, _) => Ok(upper),
            Stack::ReadOnly(_) => Err(Error::new("write", Kind::ReadOnly)),
        }
    }

    /// The upper, to look into.
    pub(super) fn upper(&self) -> Option<&Upper> {
        match self {
            Stack::Writable(upper, _) => Some(upper),
            Stack::ReadOnly(_) => None,
        }
    }

    fn lowers(&self) -> &Lowers {
        match self {
            Stack::Writable(_, lowers) | Stack::ReadOnly(lowers) => lowers,
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
    pub(super) fn layer(&self, depth: Depth) -> &Layer {
        let lowers = self.lowers();
        let index = usize::from(depth.0);
        match self.upper() {
            Some(upper) if index == 0 => &upper.layer,
            upper => {
                let index = index - usize::from(upper.is_some());
                let below = index.checked_sub(lowers.ordinary.len());
                below.map_or_else(|| &lowers.ordinary[index], |data| &lowers.data_only[data])
            }
        }
    }

    /// The depths of the ordinary lowers, top first.
    pub(super) fn lower_depths(&self) -> impl Iterator<Item = Depth> + use<> {
        let first = u16::from(self.upper().is_some());
        (first..self.depths().ordinary).map(Depth)
    }

    /// All layers, top first.
    pub(super) fn layers(&self) -> impl Iterator<Item = &Layer> {
        let lowers = self.lowers();
        self.upper().map(|upper| &upper.layer).into_iter().chain(&lowers.ordinary).chain(&lowers.data_only)
    }

    /// The topmost layer.
    pub(super) fn top(&self) -> &Layer {
        self.layer(Depth(0))
    }
}

/// A layer's number: 1 is the base.
fn number(len: usize, index_from_top: usize) -> Result<u16> {
    u16::try_from(len - index_from_top)
        .map_err(|_| Error::new("open stack", Kind::Invalid("there are more than 65,535 layers")))
}
