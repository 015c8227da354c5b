//! What an upper says of its names.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd};

use super::changes::{Changes, at};
use super::{CommitError, EntryProblem};
use crate::config::Whiteouts;
use crate::error::LayerRef;
use crate::layer::{Found, Layer, LayerRules, OciMarks};
use crate::marker::{Marker, MarkersRead, Nlink, NlinkBase};
use crate::path::{Name, NameBuf, RelPath};
use crate::sys::fs::{At, Stat};

/// What the upper says of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// It is deleted.
    Whiteout,
    /// There is something, which hides what is below it if it is a directory.
    Opaque,
    /// There is something, and if it is a directory, it goes on below.
    Plain,
    /// As above, and what is below is elsewhere.
    Renamed,
}

/// Is it known what lies below?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BaseKnown {
    Yes,
    No,
}

/// An upper, to be asked for its names.
#[derive(Debug)]
pub(super) struct Upper {
    layer: Layer,
    base: BaseKnown,
}

impl Upper {
    pub(super) fn open(changes: &Changes<'_>) -> Result<Self, CommitError> {
        let rules = LayerRules {
            markers: MarkersRead::Both,
            oci: changes.whiteouts == Whiteouts::Auto,
            stat_override: changes.stat_override,
        };
        let base = if changes.base.is_some() { BaseKnown::Yes } else { BaseKnown::No };
        Ok(Upper { layer: Layer::open(changes.upper, LayerRef::Upper, rules)?, base })
    }

    /// The names that the upper has in a directory, each once, and what it says of them.
    pub(super) fn names(
        &self,
        path: &RelPath,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<(NameBuf, Mark)>, CommitError> {
        let dir = self.layer.open_dir(path)?;
        let oci = self.layer.oci_marks(dir.as_fd())?;
        let mut names = HashSet::new();
        // An empty file that is marked as a whiteout is one by its own mark, as lookups have it.
        self.layer
            .list(dir.as_fd(), false, |listed| {
                names.insert(listed.name.to_owned());
            })
            .map_err(|error| error.at(path.as_bytes()))?;
        let mut marked = Vec::with_capacity(names.len());
        for name in names {
            if let Some(mark) = self.mark(path, dir.as_fd(), oci.as_deref(), name.as_name(), warnings)? {
                marked.push((name, mark));
            }
        }
        Ok(marked)
    }

    /// What the upper says of a name; `None` where it has gone.
    fn mark(
        &self,
        parent: &RelPath,
        dir: BorrowedFd<'_>,
        oci: Option<&OciMarks>,
        name: Name<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Mark>, CommitError> {
        let path = || parent.join(name);
        Ok(Some(match self.layer.look(dir, oci, name).map_err(|error| error.below(parent.as_bytes()))? {
            Found::Absent => return Ok(None),
            Found::Whiteout => Mark::Whiteout,
            Found::Leaf(leaf) => {
                if leaf.metacopy.is_some() && self.base == BaseKnown::No {
                    return Err(at(&path(), EntryProblem::DataBelow));
                }
                self.check_index(&path(), At::Name(dir, name), &leaf.stat, warnings)?;
                Mark::Plain
            }
            Found::Dir(found) if found.opaque => Mark::Opaque,
            Found::Dir(found) if found.redirect.is_some() => {
                if self.base == BaseKnown::No {
                    return Err(at(&path(), EntryProblem::Renamed));
                }
                Mark::Renamed
            }
            Found::Dir(_) => Mark::Plain,
        }))
    }

    /// With `index=on` a name in a layer below may stand for a file of the upper. Which names do is nowhere recorded.
    fn check_index(
        &self,
        path: &RelPath,
        object: At<'_>,
        stat: &Stat,
        warnings: &mut Vec<String>,
    ) -> Result<(), CommitError> {
        let Some(value) = self.layer.marker(object, Marker::Nlink)? else { return Ok(()) };
        let here = stat.nlink.saturating_sub(1);
        let behind = match Nlink::decode(&value) {
            Ok(nlink) if nlink.base == NlinkBase::Upper => nlink.shown(stat.nlink) > here,
            // It is counted from the names below, so there were some.
            Ok(_) => true,
            Err(_) => false,
        };
        if behind {
            warnings.push(format!(
                "'{path}' is a hard link whose other names are in the layers below: there, the image keeps the old content"
            ));
        }
        Ok(())
    }
}
