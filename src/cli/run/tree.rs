//! The tree of a sandbox: its layers, where it writes, and the mount.

#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::Failure;
use crate::cli::options::{Enforce, Form, Options};
use crate::cli::start::{self, ImageOptions, Process, Ready, Request};
use crate::cli::workdir::MadeDir;
use crate::config::{Durability, IdRange, LowerSpec, StackSpec, StatOverride};
use crate::fuse::Mounted;
use crate::layer::Layer;
use crate::sandbox::ids;
use crate::sandbox::scratch::Scratch;
use crate::source::facts::Privilege;
use crate::source::preflight::Covering;

/// What is to be mounted.
pub struct Tree {
    /// The layers, without upper.
    pub stack: StackSpec,
    /// The upper that the caller keeps.
    pub upper: Option<PathBuf>,
    /// How owners are recorded in it, if not as usual.
    pub owners: Option<StatOverride>,
}

impl Tree {
    /// Mounts it, in the process that serves it: one with a mount namespace of its own.
    pub fn raise(self, scratch: &mut Scratch) -> Result<Mounted, Failure> {
        let Tree { mut stack, upper, owners } = self;
        let map = |name: &str| {
            ids::parse_map(&fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default())
        };
        // Over an image they are recorded, too, where there are few ids to be given.
        let recorded =
            owners == Some(StatOverride::Containers) || (stack.has_tar() && !ids::several(&map("uid_map")));
        if let Some(upper) = &upper
            && recorded
            && fs::metadata(upper).is_ok_and(|found| found.is_dir())
        {
            // Outside, what root has made belongs to the caller.
            Layer::note_symlink_owner(upper, 0, 0)?;
        }
        let request = Request {
            sources: Vec::new(),
            work: upper.is_none().then(|| scratch.work()),
            options: options(upper.as_deref(), owners, &map("uid_map"), &map("gid_map")),
            upper: Some(upper.unwrap_or_else(|| scratch.upper())),
            mountpoint: scratch.root(),
            covering: Covering::Refused,
            images: ImageOptions::default(),
            form: Form::Command,
            enforce: Enforce::WhereUsual,
            process: Process::Foreground,
            name: None,
        };
        stack.upper = start::upper_spec(&request)?;
        let work = look_away(&mut stack, scratch)?;
        stack.lowers.push(LowerSpec::Directory(scratch.base()));
        let Some(Ready { overlay, spec, made, .. }) =
            start::open(&request, stack, Privilege::of_this_process())?
        else {
            return Err(Failure::trouble("the tree was not opened"));
        };
        let mounted = crate::fuse::mount(Arc::new(overlay), &spec)?;
        for made in [work, made].into_iter().flatten() {
            made.keep();
        }
        Ok(mounted)
    }
}

/// The options of the mount, where these ids are mapped.
fn options(
    upper: Option<&Path>,
    owners: Option<StatOverride>,
    uids: &[IdRange],
    gids: &[IdRange],
) -> Options {
    // What belongs to an id that is not mapped can be changed by nobody, whatever the mount says (user_namespaces(7)). Where
    // there is but one, all is root's, then: shown so, for what is recorded stays.
    let only = |map: &[IdRange]| (!ids::several(map)).then_some(0);
    Options {
        stat_override: owners,
        squash_uid: only(uids),
        squash_gid: only(gids),
        // It is thrown away: after a crash it is gone in any case.
        durability: upper.is_none().then_some(Durability::None),
        ..Options::default()
    }
}

/// Has the layers that contain what is written shown without it. Gives the upper's work directory, if it was made for that.
fn look_away(stack: &mut StackSpec, scratch: &mut Scratch) -> Result<Option<MadeDir>, Failure> {
    let Some(upper) = &stack.upper else { return Ok(None) };
    // What is not there is refused later, with its name.
    let directories = stack.lowers.iter_mut().filter_map(directory).chain(&mut stack.data_only);
    let layers: Vec<(&mut PathBuf, PathBuf)> = directories.filter_map(found).collect();
    let Ok(real_upper) = fs::canonicalize(&upper.upper) else { return Ok(None) };
    if scratch.path().starts_with(&real_upper) {
        return Err(Failure::trouble(format!(
            "the temporary directory '{}' lies inside the upper '{}'",
            scratch.path().display(),
            upper.upper.display()
        ))
        .hint("set TMPDIR to a directory outside of it"));
    }
    let within = |path: &Path| layers.iter().any(|(_, layer)| contains(layer, path));
    // Only what is there can be hidden.
    let made = if within(&real_upper) { MadeDir::make(&upper.work, &upper.upper)? } else { None };
    let mut written = vec![scratch.path().to_owned()];
    // Those of the caller; ours are in ours.
    for path in [&upper.upper, &upper.work] {
        written.extend(fs::canonicalize(path).ok().filter(|path| !path.starts_with(scratch.path())));
    }
    for (path, layer) in layers {
        let hidden: Vec<&Path> =
            written.iter().map(PathBuf::as_path).filter(|path| contains(&layer, path)).collect();
        if !hidden.is_empty() {
            *path = scratch.view(&layer, &hidden)?;
        }
    }
    Ok(made)
}

fn directory(lower: &mut LowerSpec) -> Option<&mut PathBuf> {
    match lower {
        LowerSpec::Directory(path) => Some(path),
        LowerSpec::Tar(_) => None,
    }
}

/// With its path without symbolic links.
fn found(path: &mut PathBuf) -> Option<(&mut PathBuf, PathBuf)> {
    fs::canonicalize(&*path).ok().map(|real| (path, real))
}

fn contains(layer: &Path, path: &Path) -> bool {
    path != layer && path.starts_with(layer)
}
