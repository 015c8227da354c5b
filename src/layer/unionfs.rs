//! The whiteouts of a layer that unionfs-fuse wrote: they lie in a tree of their own, beside what the layer holds.
//!
//! unionfs-fuse makes no directory in the layer for a deletion alone. Such a directory is stood in for by that of the tree of
//! whiteouts: it has no attributes of its own, and nothing in it but deletions.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;

use super::directory::Layer;
use crate::error::{Error, Kind, OpContext, Result, errno_of};
use crate::marker::{UnionfsName, is_unionfs_meta, unionfs_meta, unionfs_whiteout};
use crate::path::{Name, NameBuf, RelPath};
use crate::sys::dirents;
use crate::sys::fs::{self, At, Stat};

/// The trees of whiteouts.
#[derive(Debug)]
pub(super) struct Hidden {
    /// Their roots.
    metas: Vec<OwnedFd>,
    /// The root's path as /proc has it.
    root: Vec<u8>,
}

/// Which directory a descriptor is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Which {
    /// One of the layer's.
    Real(RelPath),
    /// One that the layer does not have, with whiteouts in it.
    StandIn(RelPath),
}

/// What the tree of whiteouts says of a directory.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// The names that are deleted.
    pub whiteouts: BTreeSet<NameBuf>,
    /// The directories in it that have whiteouts in them.
    pub directories: BTreeSet<NameBuf>,
}

impl Hidden {
    /// The whiteouts of a layer; `None` where it has none.
    pub(super) fn open(root: BorrowedFd<'_>) -> Result<Option<Self>> {
        let mut metas = Vec::new();
        for name in unionfs_meta() {
            match fs::open_at(root, name, libc::O_PATH | libc::O_DIRECTORY, 0) {
                Ok(meta) => metas.push(meta),
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                Err(errno) => return Err(Error::new("open whiteouts", errno).at(name.as_bytes())),
            }
        }
        Ok(if metas.is_empty() { None } else { Some(Hidden { metas, root: path_of(root)? }) })
    }

    /// Which directory it is. The layer is not changed while it is mounted, so that a path says it.
    pub(super) fn which(&self, dir: BorrowedFd<'_>) -> Result<Which> {
        let path = path_of(dir)?;
        let path = path.strip_prefix(self.root.as_slice()).unwrap_or_default();
        let path = RelPath::new(path).unwrap_or_default();
        let stand_in = {
            let mut names = path.names();
            let is_meta = names.next().is_some_and(is_unionfs_meta);
            is_meta.then(|| names.fold(RelPath::root(), |inner, name| inner.join(name)))
        };
        Ok(stand_in.map_or(Which::Real(path), Which::StandIn))
    }

    /// What is deleted in a directory.
    pub(super) fn marks(&self, which: &Which) -> Result<Marks> {
        let (Which::Real(path) | Which::StandIn(path)) = which;
        let mut marks = Marks::default();
        for dir in self.directories(path, libc::O_RDONLY) {
            let dir = dir?;
            dirents::for_each::<Error>(&dir, |entry| {
                let Ok(name) = Name::new(entry.name) else { return Ok(()) };
                match UnionfsName::of(name) {
                    UnionfsName::Whiteout(hidden) => {
                        marks.whiteouts.insert(hidden.to_owned());
                    }
                    UnionfsName::Directory(name) => {
                        let stat = fs::stat(At::Name(dir.as_fd(), name)).op("look into whiteouts")?;
                        if stat.is_dir() {
                            marks.directories.insert(name.to_owned());
                        }
                    }
                }
                Ok(())
            })?;
        }
        Ok(marks)
    }

    /// Is this name deleted in a directory?
    pub(super) fn deletes(&self, which: &Which, name: Name<'_>) -> Result<bool> {
        let (Which::Real(path) | Which::StandIn(path)) = which;
        let Some(whiteout) = unionfs_whiteout(name) else { return Ok(false) };
        for dir in self.directories(path, libc::O_PATH) {
            match fs::stat(At::Name(dir?.as_fd(), whiteout.as_name())) {
                Ok(_) => return Ok(true),
                Err(Errno::ENOENT | Errno::ENAMETOOLONG) => {}
                Err(errno) => return Err(Error::new("look into whiteouts", errno).at(name.as_bytes())),
            }
        }
        Ok(false)
    }

    /// The stand-in for a directory that the layer does not have, as an O_PATH descriptor; `None` where nothing is deleted in it.
    pub(super) fn stand_in(&self, path: &RelPath) -> Result<Option<OwnedFd>> {
        if path.names().any(|name| matches!(UnionfsName::of(name), UnionfsName::Whiteout(_))) {
            return Ok(None);
        }
        self.directories(path, libc::O_PATH).next().transpose()
    }

    /// The attributes of a stand-in.
    pub(super) fn stand_in_stat(&self, path: &RelPath) -> Result<Option<Stat>> {
        let dir = self.stand_in(path)?;
        dir.map(|dir| fs::stat(At::Fd(dir.as_fd())).op("look into whiteouts")).transpose()
    }

    /// The directories with the whiteouts of a directory.
    fn directories(&self, path: &RelPath, flags: i32) -> impl Iterator<Item = Result<OwnedFd>> {
        self.metas.iter().filter_map(move |meta| {
            let opened = fs::open_dir_below(meta.as_fd(), path.as_bytes());
            match opened.and_then(|dir| fs::reopen_dir(dir.as_fd(), flags)) {
                Ok(dir) => Some(Ok(dir)),
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG | Errno::ELOOP) => None,
                Err(errno) => Some(Err(Error::new("look into whiteouts", errno).at(path.as_bytes()))),
            }
        })
    }
}

/// Deletions in an upper are not written in this form, nor read: what unionfs-fuse has deleted there would be back.
pub(super) fn not_in_upper(layer: &Layer) -> Result<()> {
    let Some(hidden) = Hidden::open(layer.root())? else { return Ok(()) };
    let marks = hidden.marks(&Which::Real(RelPath::root()))?;
    if marks.whiteouts.is_empty() && marks.directories.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        "use upper",
        Kind::Invalid(
            "unionfs-fuse has deleted names in it: give it as the top layer, and another directory as upper",
        ),
    ))
}

fn path_of(dir: BorrowedFd<'_>) -> Result<Vec<u8>> {
    let link = format!("/proc/self/fd/{}", dir.as_raw_fd());
    let path =
        std::fs::read_link(link).map_err(|error| Error::new("find a directory's path", errno_of(&error)))?;
    Ok(path.as_os_str().as_bytes().to_vec())
}
