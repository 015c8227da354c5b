//! How deletions, opaque directories and other marks are written in an upper.

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;

use super::{OpaqueForm, Upper, WhiteoutForm};
use crate::config::Namespace;
use crate::error::{Error, ErrorContext, LayerRef, OpContext, Result};
use crate::layer::Staged;
use crate::layer::work;
use crate::marker::{Marker, OCI_OPAQUE, OciName, OpaqueMark, YES, literal_xattr, oci_whiteout};
use crate::path::Name;
use crate::sys::fs::{self, At};
use crate::sys::xattr::{self, SetMode};

impl Upper {
    /// A whiteout device, to be renamed over something.
    pub fn stage_whiteout(&self) -> Result<Staged<'_>> {
        let staged = self.fresh_name();
        self.link_whiteout(self.work(), staged.as_name())?;
        Ok(Staged::new(self, staged, false, None))
    }

    /// Writes that `name` is deleted, where the upper has nothing of that name.
    ///
    /// # Errors
    /// [`crate::error::Kind::NameTooLong`] for over 251 bytes where deletions are `.wh.` files.
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

    /// May a caller make this name? Where whiteouts are `.wh.` files, not one that would be read as one, nor one that is
    /// too long to be deleted.
    ///
    /// # Errors
    /// [`crate::error::Kind::Invalid`] and [`crate::error::Kind::NameTooLong`].
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
}
