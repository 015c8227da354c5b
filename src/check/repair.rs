//! Doing what repairs a finding.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;

use super::Target;
use super::facts::Kind;
use super::finding::{Finding, Place, Remedy};
use super::look;
use crate::error::{Error, ErrorContext, Kind as ErrorKind, LayerRef, OpContext, Result};
use crate::layer;
use crate::path::{Name, RelPath};
use crate::sys::fs::{self, At};
use crate::sys::times::KeptTimes;
use crate::sys::xattr::{self, SetMode};

/// What became of a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repaired {
    /// It is repaired.
    Done,
    /// There is no remedy: it is left.
    Left,
    /// The remedy could not be done.
    Failed(Error),
}

/// Repairs a finding, if there is a remedy. Each is one system call: whatever ends it in between, it can be run again.
pub fn repair(target: &Target, finding: &Finding) -> Repaired {
    let Some(remedy) = &finding.verdict.remedy else { return Repaired::Left };
    match apply(target, &finding.place, remedy) {
        Ok(()) => Repaired::Done,
        Err(error) => Repaired::Failed(error),
    }
}

fn apply(target: &Target, place: &Place, remedy: &Remedy) -> Result<()> {
    let no_work = || Error::new("repair", ErrorKind::Invalid("there is no work directory"));
    match (place, remedy) {
        (_, Remedy::RemoveFromWork(name)) => {
            layer::remove_left(target.work().ok_or_else(no_work)?, name.as_name())
        }
        (_, Remedy::RemoveFromIndex(name)) => {
            let index = layer::index_of_work(target.work().ok_or_else(no_work)?)?.ok_or_else(no_work)?;
            fs::unlink(index.as_fd(), name.as_name()).op("remove from the index").at(name.as_bytes())
        }
        (Place::Upper(path), remedy) => in_upper(target, path, remedy)
            .map_err(|error| error.at(path.as_bytes()).in_layer(LayerRef::Upper)),
        (Place::Work(_), _) => Err(Error::new("repair", ErrorKind::Invalid("not in a work directory"))),
    }
}

fn in_upper(target: &Target, path: &RelPath, remedy: &Remedy) -> Result<()> {
    match path.split_last() {
        None => on(At::Fd(target.upper.root()), None, remedy),
        Some((dir, name)) => {
            let dir = target.upper.open_dir(&dir)?;
            on(At::Name(dir.as_fd(), name), Some((&dir, name)), remedy)
        }
    }
}

fn on(at: At<'_>, named: Option<(&OwnedFd, Name<'_>)>, remedy: &Remedy) -> Result<()> {
    match remedy {
        Remedy::RemoveMarker(name) => match xattr::remove(at, name.to_bytes()) {
            Ok(()) | Err(Errno::ENODATA) => Ok(()),
            Err(errno) => Err(Error::new("remove marker", errno)),
        },
        Remedy::SetMarker(name, value) => {
            xattr::set(at, name.to_bytes(), value, SetMode::Any).op("write marker")
        }
        Remedy::RemoveWhiteout => {
            let Some((dir, name)) = named else {
                return Err(Error::new("remove whiteout", ErrorKind::Invalid("the root is none")));
            };
            // It is what it was, or it stays.
            match look::kind(&fs::stat(at).op("remove whiteout")?) {
                Kind::Whiteout | Kind::Regular { size: 0 } => {}
                Kind::Directory | Kind::Regular { .. } | Kind::Other => {
                    return Err(Error::new("remove whiteout", ErrorKind::Invalid("it is none any more")));
                }
            }
            // A mount shows the directory's times.
            let _times = KeptTimes::of(dir.as_fd()).op("remove whiteout")?;
            fs::unlink(dir.as_fd(), name).op("remove whiteout")
        }
        Remedy::RemoveFromWork(_) | Remedy::RemoveFromIndex(_) => {
            Err(Error::new("repair", ErrorKind::Invalid("not in the upper")))
        }
    }
}
