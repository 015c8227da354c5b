//! The upper and its work directory: how things are made, marked and removed in it.
//!
//! Like the kernel's overlay we work in the work directory's `work/` (and `index/`) only, and what is made there
//! becomes visible by one rename. Names in it are spelled here and nowhere else.

mod marks;
mod probe;
mod renames;
#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::directory::{Layer, LayerRules};
use super::staged::Staged;
use super::{unionfs, work};
use crate::config::{Durability, Index, Namespace, UpperSpec, Whiteouts};
use crate::error::{Error, ErrorContext, Kind, LayerRef, OpContext, Result};
use crate::path::{Name, NameBuf};
use crate::sys::file;
use crate::sys::fs::{self, At, RenameFlag};

/// How a deletion is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhiteoutForm {
    /// A character device 0:0.
    Device,
    /// An empty file `.wh.NAME`.
    OciFile,
}

/// How an opaque directory is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpaqueForm {
    /// An attribute in this namespace.
    Xattr(Namespace),
    /// A file `.wh..wh..opq` in it.
    OciFile,
}

/// How an upper is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpperOptions {
    /// How its markers are read.
    pub rules: LayerRules,
    /// The namespace that was asked for; `None` to find out.
    pub namespace: Option<Namespace>,
    /// Which whiteouts may be written.
    pub whiteouts: Whiteouts,
    /// What is synced.
    pub durability: Durability,
    /// Is there an index of hard links?
    pub index: Index,
}

/// What renameat2(2) can do on the upper's file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Renames {
    /// All that is needed.
    WithFlags,
    /// No more than rename(2).
    Plain,
}

/// The writable layer.
#[derive(Debug)]
pub struct Upper {
    /// The layer itself.
    pub layer: Layer,
    /// How deletions are written.
    pub whiteout_form: WhiteoutForm,
    /// How opaque directories are written.
    pub opaque_form: OpaqueForm,
    /// What is synced.
    pub durability: Durability,
    work_root: OwnedFd,
    work: OwnedFd,
    index: Option<Arc<OwnedFd>>,
    next_name: AtomicU64,
    /// A whiteout in the work directory that others are links of.
    whiteout: Mutex<Option<NameBuf>>,
    renames_whiteout: AtomicBool,
    renames: Renames,
}

impl Upper {
    /// Locks upper and work directory against another mount, clears what an earlier mount left in `work/`, and finds
    /// out which marks can be written.
    ///
    /// # Errors
    /// Both in use by another mount; a volatile mount was there before; not on one file system; not writable; the
    /// work directory cannot be emptied; the namespace that was asked for cannot be written.
    pub fn open(spec: &UpperSpec, options: UpperOptions) -> Result<Upper> {
        let layer = Layer::open(&spec.upper, LayerRef::Upper, options.rules)?;
        let in_upper = |error: Error| error.at(spec.upper.as_os_str().as_bytes()).in_layer(LayerRef::Upper);
        let in_work = |error: Error| error.at(spec.work.as_os_str().as_bytes());

        let work_root = fs::open_dir_path(&spec.work).op("open work directory").map_err(in_work)?;
        let work_root =
            fs::reopen_dir(work_root.as_fd(), libc::O_RDONLY).op("open work directory").map_err(in_work)?;
        let stat = fs::stat(At::Fd(work_root.as_fd())).op("stat work directory").map_err(in_work)?;
        if stat.dev != layer.dev {
            return Err(in_work(Error::new(
                "use work directory",
                Kind::Invalid("it must be on the same file system as the upper"),
            )));
        }
        probe::tells_case(layer.root_io(), "use upper").map_err(in_upper)?;
        probe::tells_case(work_root.as_fd(), "use work directory").map_err(in_work)?;
        if options.whiteouts == Whiteouts::UnionfsFuse {
            unionfs::not_in_upper(&layer).map_err(in_upper)?;
        }
        work::lock(layer.root_io(), "use upper").map_err(in_upper)?;
        work::lock(work_root.as_fd(), "use work directory").map_err(in_work)?;
        let work =
            work::open(work_root.as_fd()).map_err(|error| error.below(spec.work.as_os_str().as_bytes()))?;

        let mut upper = Upper {
            layer,
            whiteout_form: WhiteoutForm::Device,
            opaque_form: OpaqueForm::OciFile,
            durability: options.durability,
            work_root,
            work,
            index: None,
            next_name: AtomicU64::new(0),
            whiteout: Mutex::new(None),
            renames_whiteout: AtomicBool::new(true),
            renames: Renames::WithFlags,
        };
        upper.probe(options).map_err(in_work)?;
        if options.index == Index::On {
            upper.index = Some(Arc::new(work::open_index(upper.work_root.as_fd()).map_err(in_work)?));
        }
        if options.durability == Durability::Volatile {
            work::mark_volatile(upper.work()).map_err(in_work)?;
        }
        Ok(upper)
    }

    /// The directory in which objects are made.
    pub fn work(&self) -> BorrowedFd<'_> {
        self.work.as_fd()
    }

    /// The index of hard links, where there is one (`index=on`).
    pub fn index(&self) -> Option<BorrowedFd<'_>> {
        self.index.as_ref().map(|index| index.as_fd())
    }

    /// [`Upper::index`], to be held.
    pub fn index_fd(&self) -> Option<Arc<OwnedFd>> {
        self.index.clone()
    }

    /// The namespace in which markers are written, where any can be.
    pub fn namespace(&self) -> Option<Namespace> {
        match self.opaque_form {
            OpaqueForm::Xattr(namespace) => Some(namespace),
            OpaqueForm::OciFile => None,
        }
    }

    fn fresh_name(&self) -> NameBuf {
        loop {
            let n = self.next_name.fetch_add(1, Ordering::Relaxed);
            if let Ok(name) = NameBuf::new(format!("#{n:x}").into_bytes()) {
                return name;
            }
        }
    }

    /// An empty regular file, open for reading and writing, mode 0600.
    pub fn stage_file(&self) -> Result<Staged<'_>> {
        let name = self.fresh_name();
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
        let file = fs::open_at(self.work(), name.as_name(), flags, 0o600).op("make a work file")?;
        Ok(Staged::new(self, name, false, Some(file)))
    }

    /// A file without a name, open for reading and writing, that may be linked later (O_TMPFILE), mode 0600.
    pub fn open_nameless(&self) -> Result<OwnedFd> {
        fs::open_tmpfile(self.work(), 0o600).op("make a nameless file").in_layer(LayerRef::Upper)
    }

    /// An empty directory, mode 0700.
    pub fn stage_directory(&self) -> Result<Staged<'_>> {
        let name = self.fresh_name();
        fs::mkdir(self.work(), name.as_name(), 0o700).op("make a work directory")?;
        Ok(Staged::new(self, name, true, None))
    }

    /// A symlink.
    pub fn stage_symlink(&self, target: &[u8]) -> Result<Staged<'_>> {
        let name = self.fresh_name();
        fs::symlink(target, self.work(), name.as_name()).op("make a symlink")?;
        Ok(Staged::new(self, name, false, None))
    }

    /// A device, fifo or socket: `type_bits` as in a mode.
    pub fn stage_special(&self, type_bits: u32, major: u32, minor: u32) -> Result<Staged<'_>> {
        let name = self.fresh_name();
        fs::mknod(self.work(), name.as_name(), type_bits | 0o600, major, minor).op("make a special file")?;
        Ok(Staged::new(self, name, false, None))
    }

    /// Another name for an object of the upper.
    pub fn stage_link(&self, object: At<'_>) -> Result<Staged<'_>> {
        let name = self.fresh_name();
        fs::link(object, self.work(), name.as_name()).op("link")?;
        Ok(Staged::new(self, name, false, None))
    }

    /// Takes an object of the upper out of sight, to be removed at leisure: when the answer is dropped.
    pub fn take_away(&self, dir: BorrowedFd<'_>, name: Name<'_>, directory: bool) -> Result<Staged<'_>> {
        let staged = self.fresh_name();
        self.rename((dir, name), (self.work(), staged.as_name()), RenameFlag::NoReplace)
            .op("remove from the upper")
            .at(name.as_bytes())
            .in_layer(LayerRef::Upper)?;
        Ok(Staged::new(self, staged, directory, None))
    }

    /// Syncs a finished copy, unless the mount is to sync nothing.
    pub fn sync_copy(&self, fd: BorrowedFd<'_>) -> Result<()> {
        match self.durability {
            Durability::SyncCopyUp => file::fsync(fd).op("sync the copy").in_layer(LayerRef::Upper),
            Durability::None | Durability::Volatile => Ok(()),
        }
    }

    /// Removes a directory of the work directory with all that is in it.
    pub(super) fn remove_staged_tree(&self, name: Name<'_>) -> Result<()> {
        work::remove_tree(self.work(), name)
    }
}
