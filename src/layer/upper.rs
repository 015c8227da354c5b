//! The upper and its work directory: how things are made, marked and removed in it.
//!
//! Like the kernel's overlay we work in the work directory's `work/` (and `index/`) only, and what is made there
//! becomes visible by one rename. Names in it are spelled here and nowhere else.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use nix::errno::Errno;

use super::directory::{Layer, LayerRules};
use super::staged::Staged;
use super::{unionfs, work};
use crate::config::{Durability, Index, Namespace, UpperSpec, Whiteouts};
use crate::error::{Error, ErrorContext, Kind, LayerRef, OpContext, Result};
use crate::marker::{Marker, OCI_OPAQUE, OciName, OpaqueMark, YES, literal_xattr, oci_whiteout};
use crate::path::{Name, NameBuf};
use crate::sys::SysResult;
use crate::sys::file;
use crate::sys::fs::{self, At, RenameFlag};
use crate::sys::xattr::{self, SetMode};

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
        // In lamina names differ by case: of two, one would be lost.
        let tells_case = |dir, op| match file::ignores_case(dir) {
            false => Ok(()),
            true => Err(Error::new(
                op,
                Kind::Unsupported("names that differ only in case are one there (casefold)"),
            )),
        };
        tells_case(layer.root_io(), "use upper").map_err(in_upper)?;
        tells_case(work_root.as_fd(), "use work directory").map_err(in_work)?;
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
        upper.probe_renames().map_err(in_work)?;
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

    /// Finds out which marks this file system and this user can write.
    fn probe(&mut self, options: UpperOptions) -> Result<()> {
        let namespaces = match options.namespace {
            Some(namespace) => vec![namespace],
            None => vec![Namespace::Trusted, Namespace::User],
        };
        let probe = self.stage_directory()?;
        let written = namespaces.iter().find(|namespace| {
            xattr::set(
                probe.at(),
                Marker::Opaque.xattr(**namespace).to_bytes(),
                OpaqueMark::Opaque.encode(),
                SetMode::Any,
            )
            .is_ok()
        });
        let form = match (written, options.namespace) {
            (Some(namespace), _) => OpaqueForm::Xattr(*namespace),
            (None, Some(_)) => {
                return Err(Error::new(
                    "write overlay marks",
                    Kind::Unsupported(
                        "the file system does not take attributes of the namespace that was asked for",
                    ),
                ));
            }
            (None, None) => OpaqueForm::OciFile,
        };
        drop(probe);
        self.opaque_form = form;
        let device = self.stage_special(libc::S_IFCHR, 0, 0).map(drop);
        let oci = options.whiteouts == Whiteouts::Auto;
        match device {
            Ok(_) => {}
            Err(error) if oci => {
                log::warn!(
                    "upper {}: {error}: deletions are written as .wh. files, which take 4 bytes of each name",
                    self.layer.path.display()
                );
                self.whiteout_form = WhiteoutForm::OciFile;
                self.probe_oci_whiteout()?;
            }
            Err(error) => return Err(error),
        }
        if self.opaque_form == OpaqueForm::OciFile {
            if !oci {
                return Err(Error::new(
                    "write overlay marks",
                    Kind::Unsupported("whiteouts=kernel needs a file system with extended attributes"),
                ));
            }
            log::warn!(
                "upper {}: its file system takes no extended attributes: inode numbers change with a copy-up, merged \
                 directories cannot be renamed, attributes and ACLs of lower files are lost when they are changed",
                self.layer.path.display()
            );
        }
        Ok(())
    }

    /// Finds out whether names can be exchanged: not on NFS, nor on most file systems in user space.
    fn probe_renames(&mut self) -> Result<()> {
        let (one, other) = (self.stage_file()?, self.stage_file()?);
        let names = ((self.work(), one.name()), (self.work(), other.name()));
        let exchanged = fs::rename(names.0, names.1, RenameFlag::Exchange);
        drop((one, other));
        match exchanged {
            Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => {
                log::warn!(
                    "upper {}: its file system cannot exchange names (RENAME_EXCHANGE): what takes one step elsewhere takes \
                     several, and a crash between them can bring a deleted directory of a lower layer back",
                    self.layer.path.display()
                );
                self.renames = Renames::Plain;
                Ok(())
            }
            result => result.op("exchange names"),
        }
    }

    /// A union that writes its own deletions as `.wh.` files keeps such names for itself: on it, nothing could be
    /// deleted or moved.
    fn probe_oci_whiteout(&self) -> Result<()> {
        let name = self.fresh_name();
        let written = self.write_whiteout(self.work(), name.as_name());
        written.and_then(|()| self.erase_oci_whiteout(self.work(), name.as_name())).map_err(|error| {
            log::debug!("{error}");
            Error::new(
                "write deletions",
                Kind::Unsupported(
                    "neither devices 0:0 nor .wh. files can be made there; put the upper and the work directory on \
                     another file system",
                ),
            )
        })
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

    /// A whiteout device, to be renamed over something.
    pub fn stage_whiteout(&self) -> Result<Staged<'_>> {
        let staged = self.fresh_name();
        self.link_whiteout(self.work(), staged.as_name())?;
        Ok(Staged::new(self, staged, false, None))
    }

    /// Writes that `name` is deleted, where the upper has nothing of that name.
    ///
    /// # Errors
    /// [`Kind::NameTooLong`] for over 251 bytes where deletions are `.wh.` files.
    pub fn write_whiteout(&self, dir: BorrowedFd<'_>, name: Name<'_>) -> Result<()> {
        match self.whiteout_form {
            WhiteoutForm::Device => self.link_whiteout(dir, name),
            WhiteoutForm::OciFile => {
                let mark = oci_whiteout(name).map_err(|kind| Error::new("write a whiteout", kind))?;
                match fs::open_at(dir, mark.as_name(), libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY, 0o600) {
                    Ok(_) | Err(Errno::EEXIST) => Ok(()),
                    Err(errno) => Err(Error::new("write a whiteout", errno)),
                }
            }
        }
        .at(name.as_bytes())
        .in_layer(LayerRef::Upper)
    }

    /// Removes a `.wh.` file, where deletions may be written so; the name is there again.
    pub fn erase_oci_whiteout(&self, dir: BorrowedFd<'_>, name: Name<'_>) -> Result<()> {
        let Ok(mark) = oci_whiteout(name) else { return Ok(()) };
        match fs::unlink(dir, mark.as_name()) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => {
                Err(Error::new("remove a whiteout", errno).at(name.as_bytes()).in_layer(LayerRef::Upper))
            }
        }
    }

    /// Makes a whiteout device, as a further link of one in the work directory where the file system lets us: it
    /// then costs no inode.
    fn link_whiteout(&self, dir: BorrowedFd<'_>, name: Name<'_>) -> Result<()> {
        let mut cached = self.whiteout.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(source) = cached.as_ref() {
            match fs::link(At::Name(self.work(), source.as_name()), dir, name) {
                Err(Errno::EMLINK | Errno::ENOENT | Errno::EPERM | Errno::EOPNOTSUPP) => *cached = None,
                result => return result.op("write a whiteout"),
            }
        }
        fs::mknod(dir, name, libc::S_IFCHR, 0, 0).op("write a whiteout")?;
        let source = self.fresh_name();
        if fs::link(At::Name(dir, name), self.work(), source.as_name()).is_ok() {
            *cached = Some(source);
        }
        Ok(())
    }

    /// Marks a directory opaque.
    pub fn mark_opaque(&self, at: At<'_>) -> Result<()> {
        match self.opaque_form {
            OpaqueForm::Xattr(_) => {
                self.write_marker(at, Marker::Opaque, OpaqueMark::Opaque.encode()).map(drop)
            }
            OpaqueForm::OciFile => {
                let dir = match at {
                    At::Name(dir, name) => fs::open_at(dir, name, libc::O_PATH | libc::O_DIRECTORY, 0),
                    At::Fd(fd) => fs::reopen_dir(fd, libc::O_PATH),
                }
                .op("mark opaque")?;
                let flags = libc::O_CREAT | libc::O_WRONLY;
                fs::open_at(dir.as_fd(), work::name(OCI_OPAQUE)?, flags, 0o600).op("mark opaque").map(drop)
            }
        }
    }

    /// Writes a marker. `Ok(false)`: this object or file system takes none, and the caller says what that means.
    pub fn write_marker(&self, at: At<'_>, marker: Marker, value: &[u8]) -> Result<bool> {
        let OpaqueForm::Xattr(namespace) = self.opaque_form else { return Ok(false) };
        match xattr::set(at, marker.xattr(namespace).to_bytes(), value, SetMode::Any) {
            Ok(()) => Ok(true),
            // `user.` attributes exist on regular files and directories only.
            Err(Errno::EPERM | Errno::ENOTSUP) if namespace == Namespace::User => Ok(false),
            Err(errno) => Err(Error::new("write marker", errno).in_layer(LayerRef::Upper)),
        }
    }

    /// Removes a marker, in whichever namespace it is.
    pub fn remove_marker(&self, at: At<'_>, marker: Marker) -> Result<()> {
        for namespace in self.layer.rules.markers.namespaces() {
            match xattr::remove(at, marker.xattr(*namespace).to_bytes()) {
                Ok(()) | Err(Errno::ENODATA | Errno::ENOTSUP | Errno::EPERM) => {}
                Err(errno) => return Err(Error::new("remove marker", errno).in_layer(LayerRef::Upper)),
            }
        }
        Ok(())
    }

    /// Renames within the upper and the work directory, also where the file system takes no flags. The caller's locks keep
    /// everybody else from both names meanwhile: nobody but this mount may change an upper.
    ///
    /// # Errors
    /// Those of renameat2(2).
    pub fn rename(
        &self,
        from: (BorrowedFd<'_>, Name<'_>),
        to: (BorrowedFd<'_>, Name<'_>),
        flag: RenameFlag,
    ) -> SysResult<()> {
        match (self.renames, flag) {
            (Renames::WithFlags, flag) | (Renames::Plain, flag @ RenameFlag::Replace) => {
                fs::rename(from, to, flag)
            }
            (Renames::Plain, RenameFlag::NoReplace) => match fs::stat(At::Name(to.0, to.1)) {
                Ok(_) => Err(Errno::EEXIST),
                Err(Errno::ENOENT) => fs::rename(from, to, RenameFlag::Replace),
                Err(errno) => Err(errno),
            },
            (Renames::Plain, RenameFlag::Exchange) => {
                let aside = self.fresh_name();
                let aside = (self.work(), aside.as_name());
                fs::rename(to, aside, RenameFlag::Replace)?;
                if let Err(errno) = fs::rename(from, to, RenameFlag::Replace) {
                    if let Err(second) = fs::rename(aside, to, RenameFlag::Replace) {
                        log::error!(
                            "upper {}: '{}' could not be put back, and is lost: {}",
                            self.layer.path.display(),
                            to.1.as_bytes().escape_ascii(),
                            second.desc()
                        );
                    }
                    return Err(errno);
                }
                fs::rename(aside, from, RenameFlag::Replace)
            }
            (Renames::Plain, RenameFlag::Whiteout) => Err(Errno::EINVAL),
        }
    }

    /// Moves within the upper and leaves a whiteout device in the old place, in one step where the file system can.
    pub fn rename_leaving_whiteout(
        &self,
        from: (BorrowedFd<'_>, Name<'_>),
        to: (BorrowedFd<'_>, Name<'_>),
    ) -> Result<()> {
        if self.whiteout_form == WhiteoutForm::Device && self.renames_whiteout.load(Ordering::Relaxed) {
            match self.rename(from, to, RenameFlag::Whiteout) {
                Err(Errno::EINVAL | Errno::EPERM | Errno::EOPNOTSUPP) => {
                    self.renames_whiteout.store(false, Ordering::Relaxed);
                }
                result => return result.op("rename").in_layer(LayerRef::Upper),
            }
        }
        // A crash between the two steps shows the lower object in the old place again; nothing is lost.
        if self.whiteout_form == WhiteoutForm::OciFile {
            self.write_whiteout(from.0, from.1)?;
        }
        fs::rename(from, to, RenameFlag::Replace).op("rename").in_layer(LayerRef::Upper)?;
        match self.whiteout_form {
            WhiteoutForm::Device => self.write_whiteout(from.0, from.1),
            WhiteoutForm::OciFile => Ok(()),
        }
    }

    /// May a caller make this name? Where whiteouts are `.wh.` files, not one that would be read as one, nor one that is
    /// too long to be deleted.
    ///
    /// # Errors
    /// [`Kind::Invalid`] and [`Kind::NameTooLong`].
    pub fn check_new_name(&self, name: Name<'_>) -> Result<()> {
        let marks = self.whiteout_form == WhiteoutForm::OciFile;
        if self.layer.rules.oci && (marks || self.namespace().is_none()) {
            OciName::check_ordinary(name).map_err(|kind| Error::new("make", kind).at(name.as_bytes()))?;
        }
        if marks {
            oci_whiteout(name).map_err(|kind| Error::new("make", kind).at(name.as_bytes()))?;
        }
        Ok(())
    }

    /// Marks an object that is about to get this name, if it would be read as a whiteout otherwise.
    pub fn keep_literal(&self, at: At<'_>, name: Name<'_>) -> Result<()> {
        if !self.layer.rules.oci || matches!(OciName::of(name), OciName::Plain(_)) {
            return Ok(());
        }
        let Some(namespace) = self.namespace() else { return Ok(()) };
        match xattr::set(at, literal_xattr(namespace).to_bytes(), YES, SetMode::Any) {
            // What takes no `user.` attribute is no whiteout, whatever it is called.
            Ok(()) | Err(Errno::EPERM | Errno::ENOTSUP) => Ok(()),
            Err(errno) => Err(Error::new("mark an ordinary name", errno).in_layer(LayerRef::Upper)),
        }
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

#[cfg(test)]
mod tests;
