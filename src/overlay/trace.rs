//! Why a path is what it is: the walk of the resolver, with what every layer says on the way.
//!
//! It is the same conversation that a lookup holds, with the same layers. When it has come to its end, the layers that
//! were not asked any more are looked at, too: what they have is what is hidden.

mod component;
mod dir;
mod reason;
mod said;
mod walk;
mod way;

pub use self::dir::TracedDir;
pub use self::said::{Part, Said};

use self::component::{Component, components};
use self::reason::reason;
use self::said::is_there;
use self::walk::enter;
use self::way::Way;
use super::Overlay;
use super::types::FileKind;
use crate::error::{Error, Kind, Result};
use crate::path::RelPath;
use crate::resolve::{Data, Depth, Resolution};
use crate::sys::fs::Stat;

/// How many symlinks are followed on the way to a path, as in the kernel.
const MAX_SYMLINKS: usize = 40;

/// What a path is, and why.
#[derive(Debug)]
pub struct Trace<'s> {
    /// The path itself: without the symlinks that led to it.
    pub path: RelPath,
    /// The symlinks on the way, in the order they were followed.
    pub links: Vec<Link>,
    /// What it is.
    pub outcome: Outcome,
    /// Where there is nothing: the path that the reason is found at, which is this one or one above it.
    pub cause: Option<RelPath>,
    /// What each ordinary layer has there, the top first.
    pub layers: Vec<Said<'s>>,
}

/// A symlink that was followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where it is.
    pub at: RelPath,
    /// Its target, as it is written.
    pub target: Vec<u8>,
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There is something: its attributes come from this layer.
    There {
        /// The layer.
        depth: Depth,
        /// What it is.
        kind: FileKind,
        /// The layer that its content comes from; none where a metadata-only copy has lost it, and for directories.
        data: Option<Depth>,
    },
    /// There is nothing.
    Absent(Reason),
}

/// Why there is nothing.
#[derive(Debug, Clone, PartialEq, Eq, Copy)]
pub enum Reason {
    /// No layer has it.
    NeverExisted,
    /// A whiteout in this layer hides it, or a directory above it.
    Deleted(Depth),
    /// A layer below this one has it, in a directory that is opaque in this one.
    HiddenByOpaque(Depth),
    /// A directory above it is something else, in this layer.
    ParentNotADirectory(Depth),
}

impl Overlay {
    /// Follows a path from the root, and says why it is what it is. A symlink at its end is followed only if a slash comes
    /// after it; a slash after anything else but a directory leads nowhere.
    ///
    /// # Errors
    /// A corrupt marker on the way, failing system calls, more than 40 symlinks.
    pub fn trace(&self, path: &[u8]) -> Result<Trace<'_>> {
        let mut rest = components(path)?;
        let path_ends_in_slash = path.ends_with(b"/");
        let mut links = Vec::new();
        let mut way = Way::new(self)?;
        let mut absent = None;
        let mut end = None;
        while let Some(component) = rest.pop() {
            let Component::Name(name) = component else {
                way.up()?;
                continue;
            };
            let here = way.here()?;
            let path = here.path.join(name.as_name());
            let (resolution, layers) = self.look_everywhere(here, name.as_name())?;
            let is_last = rest.is_empty();
            let follows = !is_last || path_ends_in_slash;
            if absent.is_none() {
                absent = match &resolution {
                    Resolution::Absent(why) => Some(reason(*why, here.cut.as_ref(), &path, &layers)),
                    Resolution::Leaf { meta, .. } if follows && !is_symlink(&meta.found.stat) => {
                        Some((Reason::ParentNotADirectory(meta.depth), path.clone()))
                    }
                    Resolution::Leaf { .. } | Resolution::Dir(_) => None,
                };
            }
            if let (Resolution::Leaf { meta, .. }, None) = (&resolution, &absent)
                && is_symlink(&meta.found.stat)
                && follows
            {
                if links.len() == MAX_SYMLINKS {
                    return Err(Error::new("follow symlinks", nix::errno::Errno::ELOOP).at(path.as_bytes()));
                }
                let said = layers.iter().find(|said| said.depth == meta.depth);
                let target = said.map(Said::target).transpose()?.flatten().unwrap_or_default();
                if target.starts_with(b"/") {
                    way.back_to_root()?;
                }
                rest.extend(components(&target)?);
                links.push(Link { at: path, target });
                continue;
            }
            if is_last {
                end = Some((path, resolution, layers));
                break;
            }
            let below = enter(here, path, &resolution, layers)?;
            way.down(below);
        }
        let (path, outcome, layers) = match end {
            Some((path, resolution, layers)) => (path, there(&resolution), layers),
            // The root, or a directory that `..` led back to.
            None => {
                let here = way.end()?;
                (here.path, Ok(directory(here.attributes)), here.layers)
            }
        };
        // A directory above it may be deleted or hidden: of what was never in it, that is not the reason.
        if let Some((reason @ (Reason::Deleted(_) | Reason::HiddenByOpaque(_)), cause)) = &mut absent
            && *cause != path
            && !layers.iter().any(is_there)
        {
            (*reason, *cause) = (Reason::NeverExisted, path.clone());
        }
        let (outcome, cause) = match (absent, outcome) {
            (Some((reason, cause)), _) => (Outcome::Absent(reason), Some(cause)),
            (None, outcome) => (outcome?, None),
        };
        Ok(Trace { path, links, outcome, cause, layers })
    }
}

fn there(resolution: &Resolution) -> Result<Outcome> {
    match resolution {
        Resolution::Leaf { meta, data } => {
            let data = match data {
                Data::Here => Some(meta.depth),
                Data::Below(part) => Some(part.depth),
                Data::Missing => None,
            };
            Ok(Outcome::There { depth: meta.depth, kind: kind(&meta.found.stat)?, data })
        }
        Resolution::Dir(merged) => Ok(directory(merged.attributes().map_or(Depth(0), |part| part.depth))),
        Resolution::Absent(_) => Ok(Outcome::Absent(Reason::NeverExisted)),
    }
}

fn directory(depth: Depth) -> Outcome {
    Outcome::There { depth, kind: FileKind::Directory, data: None }
}

fn kind(stat: &Stat) -> Result<FileKind> {
    FileKind::from_mode(stat.mode)
        .ok_or_else(|| Error::new("explain", Kind::Corrupt("no such file type".to_owned())))
}

fn is_symlink(stat: &Stat) -> bool {
    stat.mode & libc::S_IFMT == libc::S_IFLNK
}

#[cfg(test)]
mod tests;
