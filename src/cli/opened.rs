//! A SOURCE to look into: its stack, opened read-only without a mount, and what is known of each layer.

mod as_mounted;
mod legible;
mod resolved;
mod selection;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;

use super::Failure;
use super::image_args::{SelectArgs, StoreArgs};
use super::layers::instruction;
use crate::config::{Behaviour, Index, LowerSpec, StackSpec, UpperSpec};
use crate::control::mounts::{self, State};
use crate::control::{LayerInfo, MountInfo, table};
use crate::digest::Digest;
use crate::image::store::Lease;
use crate::image::{Image, ImageRef};
use crate::overlay::Overlay;
use crate::resolve::Depth;
use crate::source::Source;
use crate::source::images::Images;

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

/// Finds a SOURCE, and makes an image's layers ready.
pub fn find(word: &OsStr, select: &SelectArgs, store: &StoreArgs) -> Result<Known, Failure> {
    let progress = store.progress();
    let mut images = Images::new(select.select(), store.dir()?, store.options(), &progress);
    let mut behaviour = Behaviour { read_only: true, ..Behaviour::default() };
    let mut spec = StackSpec { lowers: Vec::new(), data_only: Vec::new(), upper: None };
    let mut facts = Vec::new();
    let kind = match Source::parse(word)? {
        Source::Overlay(list) => {
            facts.extend(list.lowers.iter().map(|path| plain(path, Role::Lower)));
            spec.lowers = list.lowers.into_iter().map(LowerSpec::from).collect();
            spec.data_only = list.data_only;
            SourceKind::Layers
        }
        Source::Image(reference) => {
            add_image(&reference, &mut images, &mut spec, &mut facts)?;
            SourceKind::Image
        }
        Source::Path(path) => match live(&path)? {
            Some(info) => {
                add_mount(&path, &info, &mut images, &mut spec, &mut facts, &mut behaviour)?;
                SourceKind::Mount
            }
            None if add_image(&ImageRef::Path(path.clone()), &mut images, &mut spec, &mut facts)? => {
                SourceKind::Image
            }
            None => {
                there(&path)?;
                facts.push(plain(&path, Role::Lower));
                spec.lowers.push(path.into());
                SourceKind::Directory
            }
        },
    };
    if spec.lowers.is_empty() {
        return Err(Failure::trouble(format!("source '{}' has no layers", word.display())));
    }
    let count = facts.len();
    for (index, layer) in facts.iter_mut().enumerate() {
        layer.number = count - index;
    }
    let name = super::terminal::shown(Path::new(word));
    Ok(Known { kind, name, layers: facts, spec, behaviour, leases: images.into_leases() })
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
        let topmost = selection.topmost(&self.name, &facts)?;
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

/// Is something at the path? Where a tag was appended to a layout's path, says how tags are told.
fn there(path: &Path) -> Result<(), Failure> {
    let Err(error) = fs::metadata(path) else { return Ok(()) };
    let shown = super::terminal::shown(path);
    let word = path.as_os_str().as_bytes();
    let colons = word.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at);
    let before_tag = colons
        .filter_map(|at| word.get(..at).map(|before| Path::new(OsStr::from_bytes(before))))
        .find(|before| before.exists());
    let hint = match before_tag {
        Some(before) if before.is_dir() => format!("an image in a directory, with its tag, is oci:{shown}"),
        Some(before) => {
            format!("--tag names one of several images in {}", super::terminal::shown(before))
        }
        None => "check the path".to_owned(),
    };
    let problem = Errno::from_raw(error.raw_os_error().unwrap_or_default()).desc();
    Err(Failure::trouble(format!("source '{shown}' cannot be opened: {problem}")).hint(hint))
}

/// A directory. Its number is given once all layers are known.
fn plain(path: &Path, role: Role) -> LayerFacts {
    LayerFacts {
        number: 0,
        role,
        path: path.to_owned(),
        digest: None,
        diff_id: None,
        instruction: None,
        created_by: None,
    }
}

/// Adds an image's layers, top first; `false` where there is no image.
fn add_image(
    reference: &ImageRef,
    images: &mut Images<'_>,
    spec: &mut StackSpec,
    facts: &mut Vec<LayerFacts>,
) -> Result<bool, Failure> {
    let Some(opened) = images.open(reference)? else { return Ok(false) };
    for (index, lower) in opened.lowers.into_iter().enumerate() {
        let number = opened.image.layers.len().saturating_sub(index + 1);
        facts.push(of_image(&opened.image, number, lower.path()));
        spec.lowers.push(lower);
    }
    Ok(true)
}

/// What an image says of its layer number `index`, from 0 at the base.
fn of_image(image: &Image, index: usize, path: &Path) -> LayerFacts {
    let layer = image.layers.get(index);
    let step = image.history.iter().find(|step| step.layer == Some(index));
    LayerFacts {
        number: 0,
        role: Role::Lower,
        path: path.to_owned(),
        digest: layer.and_then(|layer| layer.digest),
        diff_id: layer.map(|layer| layer.diff_id),
        instruction: step.and_then(|step| step.created_by.as_deref()).map(instruction::cleaned),
        created_by: step.and_then(|step| step.created_by.clone()),
    }
}

/// What a mount says of itself, if there is one of ours at the path.
fn live(path: &Path) -> Result<Option<MountInfo>, Failure> {
    let Ok(real) = fs::canonicalize(path) else { return Ok(None) };
    let mounts = table::read()
        .map_err(|error| Failure::trouble(format!("the table of mounts cannot be read: {error}")))?;
    let Some(mount) = table::at(&mounts, &real).filter(|mount| mounts::is_fuse(&mount.fs_type)) else {
        return Ok(None);
    };
    match mounts::ask(mount) {
        State::Live(info) => {
            legible::refuse(path, mount.owner, &info)?;
            Ok(Some(*info))
        }
        State::Foreign => Ok(None),
        State::Dead => {
            Err(Failure::trouble(format!("the daemon of the mount '{}' has ended", path.display())).hint(
                "unmount it with lamina umount; its layers and its upper can be looked into by themselves",
            ))
        }
        State::Closed => Err(Failure::trouble(format!(
            "the mount '{}' is another user's, and closed to you",
            path.display()
        ))),
        State::Silent(problem) => Err(Failure::trouble(format!(
            "the mount '{}' does not say what it is: {problem}",
            path.display()
        ))),
    }
}

/// Adds the stack of a live mount. Layers of an image are found again by the image's name.
fn add_mount(
    path: &Path,
    info: &MountInfo,
    images: &mut Images<'_>,
    spec: &mut StackSpec,
    facts: &mut Vec<LayerFacts>,
    behaviour: &mut Behaviour,
) -> Result<(), Failure> {
    if info.layers_left_out > 0 {
        return Err(Failure::trouble(format!(
            "the mount '{}' has too many layers to tell them",
            path.display()
        ))
        .hint("name its layers instead: overlay:TOP:...:BASE"));
    }
    *behaviour = as_mounted::understand(&info.options)?;
    if let (Some(upper), Some(work)) = (&info.upper, &info.work) {
        let upper = UpperSpec { upper: upper.into(), work: work.into() };
        facts.push(plain(&upper.upper, Role::Upper));
        spec.upper = Some(upper);
    }
    let mut rest = info.layers.as_slice();
    while let Some(first) = rest.first() {
        let Some(name) = &first.image else {
            let path = PathBuf::from(&first.path);
            facts.push(plain(&path, Role::Lower));
            spec.lowers.push(path.into());
            rest = rest.get(1..).unwrap_or_default();
            continue;
        };
        let count = rest.iter().take_while(|layer| layer.image.as_ref() == Some(name)).count();
        let (of_it, after) = rest.split_at(count);
        add_mounted_image(path, name, of_it, images, spec, facts)?;
        rest = after;
    }
    spec.data_only = info.data_layers.iter().map(|layer| PathBuf::from(&layer.path)).collect();
    Ok(())
}

fn add_mounted_image(
    path: &Path,
    name: &str,
    layers: &[LayerInfo],
    images: &mut Images<'_>,
    spec: &mut StackSpec,
    facts: &mut Vec<LayerFacts>,
) -> Result<(), Failure> {
    let reference = ImageRef::parse(OsStr::new(name))
        .map_err(|error| Failure::trouble(error.to_string()).hint(error.hint()))?;
    let before = facts.len();
    if !add_image(&reference, images, spec, facts)? {
        return Err(Failure::trouble(format!(
            "the image '{name}', mounted at '{}', is not there any more",
            path.display()
        ))
        .hint("put it back to look into the mount"));
    }
    let now = facts.get(before..).unwrap_or_default();
    let same = now.len() == layers.len()
        && now
            .iter()
            .zip(layers)
            .all(|(found, mounted)| found.diff_id.map(|digest| digest.to_string()) == mounted.diff_id);
    match same {
        true => Ok(()),
        false => Err(Failure::trouble(format!(
            "'{name}' is not the image any more that is mounted at '{}': its layers are others",
            path.display()
        ))
        .hint("if it holds several images, say which with --tag or --platform")),
    }
}
