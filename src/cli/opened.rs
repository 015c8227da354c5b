//! A SOURCE to look into: its stack, opened read-only without a mount, and what is known of each layer.

mod as_mounted;
mod find;
mod legible;
mod resolved;
mod selection;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::find::plain;
use super::Failure;
use super::image_args::{SelectArgs, StoreArgs};
use super::shell::quoted;
use crate::config::{Behaviour, Index, StackSpec, UpperSpec};
use crate::digest::Digest;
use crate::image::store::Lease;
use crate::overlay::Overlay;
use crate::resolve::Depth;

pub use self::find::find;
pub use self::resolved::{AtEnd, Resolved};
pub use self::selection::{Selection, SelectionArgs};

/// What is known of a layer besides its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerFacts {
    /// Its number: 1 is the base; the upper has the one above the topmost lower.
    pub number: usize,
    /// Is it the upper of a mount?
    pub role: Role,
    /// Its directory, or the file with its tar.
    pub path: PathBuf,
    /// The digest of its blob, in an image.
    pub digest: Option<Digest>,
    /// The digest of its tar, in an image.
    pub diff_id: Option<Digest>,
    /// The instruction that made it, cleaned of what builders add.
    pub instruction: Option<String>,
    /// The same as the image has it.
    pub created_by: Option<String>,
}

/// What a layer is in its stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Role {
    Upper,
    Lower,
}

impl LayerFacts {
    /// What people know it by: the instruction, or where it is.
    pub fn made_by(&self) -> String {
        match (&self.instruction, self.role) {
            (Some(instruction), _) => instruction.clone(),
            (None, Role::Upper) => "the upper".to_owned(),
            (None, Role::Lower) => super::terminal::shown(&self.path),
        }
    }
}

/// What a SOURCE is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum SourceKind {
    Layers,
    Image,
    Directory,
    Mount,
}

/// A stack, open.
pub struct Opened {
    /// What it is.
    pub kind: SourceKind,
    /// As the caller named it, on one line.
    pub name: String,
    /// The same, as it was given.
    word: OsString,
    /// The union.
    pub overlay: Overlay,
    /// What is known of each ordinary layer, top first: as the union counts its depths.
    pub layers: Vec<LayerFacts>,
    /// Which of the source's layers these are.
    pub selection: Selection,
    _leases: Vec<Arc<Lease>>,
}

/// A SOURCE, found: what its stack is made of. Nothing of it is open but an image's documents.
pub struct Known {
    /// What it is.
    pub kind: SourceKind,
    /// As the caller named it, on one line.
    pub name: String,
    /// The same, as it was given.
    word: OsString,
    /// What is known of each ordinary layer, top first.
    pub layers: Vec<LayerFacts>,
    spec: StackSpec,
    behaviour: Behaviour,
    leases: Vec<Arc<Lease>>,
}

/// Opens a SOURCE. A mount point of a live mount is its whole stack, the upper too.
pub fn open(word: &OsStr, select: &SelectArgs, store: &StoreArgs) -> Result<Opened, Failure> {
    open_selected(word, select, store, Selection::All)
}

/// Opens some layers of a SOURCE. They keep their numbers.
pub fn open_selected(
    word: &OsStr,
    select: &SelectArgs,
    store: &StoreArgs,
    selection: Selection,
) -> Result<Opened, Failure> {
    find(word, select, store)?.open(selection)
}

impl Known {
    /// This one on top of another: one stack of both, as several SOURCEs of a mount are.
    ///
    /// # Errors
    /// A live mount with an upper below another layer.
    pub fn over(mut self, below: Known) -> Result<Known, Failure> {
        if below.spec.upper.is_some() {
            return Err(Failure::usage(format!(
                "'{}' is a mount with an upper, which lies on top of all",
                below.name
            ))
            .hint("name the layers below it instead"));
        }
        self.spec.lowers.extend(below.spec.lowers);
        self.spec.data_only.extend(below.spec.data_only);
        self.layers.extend(below.layers);
        let count = self.layers.len();
        for (index, layer) in self.layers.iter_mut().enumerate() {
            layer.number = count - index;
        }
        self.leases.extend(below.leases);
        self.kind = SourceKind::Layers;
        Ok(self)
    }

    /// The union with an upper that can be written. Layers as they are: what a mount's options would change is not.
    ///
    /// # Errors
    /// It has an upper already; those of a mount.
    pub fn writable(&self, upper: UpperSpec) -> Result<Overlay, Failure> {
        if self.spec.upper.is_some() {
            return Err(Failure::usage(format!("the mount '{}' has an upper of its own", self.name))
                .hint("name what is below it instead"));
        }
        let spec = StackSpec { upper: Some(upper), ..self.spec.clone() };
        let behaviour = Behaviour { read_only: false, index: Index::Off, ..self.behaviour.clone() };
        Ok(Overlay::open_stack(&spec, &behaviour)?)
    }

    /// With a directory that was the upper over it.
    ///
    /// # Errors
    /// It has an upper already.
    pub fn under(self, upper: &Path) -> Result<Known, Failure> {
        if self.spec.upper.is_some() {
            return Err(Failure::usage(format!("the mount '{}' has an upper of its own", self.name))
                .hint("name what is below it instead"));
        }
        let number = self.layers.len() + 1;
        let topmost = LayerFacts { number, ..plain(upper, Role::Upper) };
        let layers = [topmost].into_iter().chain(self.layers).collect();
        // Nothing is written, so that there is nothing for a work directory to do.
        let upper = UpperSpec { upper: upper.to_owned(), work: PathBuf::new() };
        let spec = StackSpec { upper: Some(upper), ..self.spec };
        Ok(Known { layers, spec, ..self })
    }

    /// Opens some of the layers.
    pub fn open(&self, selection: Selection) -> Result<Opened, Failure> {
        let (mut spec, mut facts) = (self.spec.clone(), self.layers.clone());
        let topmost = selection.topmost(&self.word, &facts)?;
        let selection = match selection {
            // Up to the top are all, and so is said of what is missing.
            Selection::UpTo(_) if topmost == 0 => Selection::All,
            selection => selection,
        };
        let overlay = match selection {
            Selection::All => Overlay::open_stack(&spec, &self.behaviour)?,
            Selection::Only(_) => {
                facts = facts.get(topmost).cloned().into_iter().collect();
                let depth =
                    u16::try_from(topmost).map_err(|_| Failure::trouble("there are too many layers"))?;
                Overlay::open_layer(&spec, &self.behaviour, Depth(depth))?
            }
            Selection::UpTo(_) => {
                facts.drain(..topmost);
                let lowers = topmost.saturating_sub(usize::from(spec.upper.is_some()));
                if topmost > 0 {
                    spec.upper = None;
                }
                spec.lowers.drain(..lowers);
                Overlay::open_stack(&spec, &self.behaviour)?
            }
        };
        Ok(Opened {
            kind: self.kind,
            name: self.name.clone(),
            word: self.word.clone(),
            overlay,
            layers: facts,
            selection: match selection {
                Selection::UpTo(_) if topmost == 0 => Selection::All,
                other => other,
            },
            _leases: self.leases.clone(),
        })
    }
}

impl Opened {
    /// The SOURCE as a word of a command that can be pasted.
    pub fn pasted(&self) -> String {
        quoted(self.word.as_bytes())
    }
}
