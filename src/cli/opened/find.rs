//! Finding a SOURCE: an image by its documents, a live mount by what its daemon says, directories by their paths.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::{Known, LayerFacts, Role, SourceKind, as_mounted, legible};
use crate::cli::image_args::{SelectArgs, StoreArgs};
use crate::cli::layers::instruction;
use crate::cli::{Failure, terminal};
use crate::config::{Behaviour, LowerSpec, StackSpec, UpperSpec};
use crate::control::mounts::{self, State};
use crate::control::{LayerInfo, MountInfo, table};
use crate::image::{Image, ImageRef};
use crate::source::Source;
use crate::source::images::Images;

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
    let name = terminal::shown(Path::new(word));
    let word = word.to_owned();
    Ok(Known { kind, name, word, layers: facts, spec, behaviour, leases: images.into_leases() })
}

/// Is something at the path? Where a tag was appended to a layout's path, says how tags are told.
fn there(path: &Path) -> Result<(), Failure> {
    let Err(error) = fs::metadata(path) else { return Ok(()) };
    let shown = terminal::shown(path);
    let word = path.as_os_str().as_bytes();
    let colons = word.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at);
    let before_tag = colons
        .filter_map(|at| word.get(..at).map(|before| Path::new(OsStr::from_bytes(before))))
        .find(|before| before.exists());
    let hint = match before_tag {
        Some(before) if before.is_dir() => format!("an image in a directory, with its tag, is oci:{shown}"),
        Some(before) => {
            format!("--tag names one of several images in {}", terminal::shown(before))
        }
        None => "check the path".to_owned(),
    };
    let problem = Errno::from_raw(error.raw_os_error().unwrap_or_default()).desc();
    Err(Failure::trouble(format!("source '{shown}' cannot be opened: {problem}")).hint(hint))
}

/// A directory. Its number is given once all layers are known.
pub(super) fn plain(path: &Path, role: Role) -> LayerFacts {
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
