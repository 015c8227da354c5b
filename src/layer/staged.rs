//! Objects in the making: they live in the work directory until one rename puts them in place.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

use super::upper::Upper;
use crate::error::{ErrorContext, LayerRef, OpContext, Result};
use crate::path::{Name, NameBuf};
use crate::sys::fs::{self, At, RenameFlag};

/// An object in the work directory. Dropping it removes it; [`Staged::publish`] puts it in place.
#[derive(Debug)]
pub struct Staged<'a> {
    upper: &'a Upper,
    name: NameBuf,
    directory: bool,
    file: Option<OwnedFd>,
    armed: bool,
}

impl<'a> Staged<'a> {
    /// An object that was made in the work directory under `name`.
    pub(super) fn new(upper: &'a Upper, name: NameBuf, directory: bool, file: Option<OwnedFd>) -> Self {
        Staged { upper, name, directory, file, armed: true }
    }

    /// Where it is now.
    pub fn at(&self) -> At<'_> {
        At::Name(self.upper.work(), self.name.as_name())
    }

    /// Its name in the work directory.
    pub fn name(&self) -> Name<'_> {
        self.name.as_name()
    }

    /// The open file, where it is a regular one that was made here.
    pub fn file(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }

    /// Puts it in place under `name`: with [`RenameFlag::Exchange`] what was there is what remains staged, and goes
    /// when the answer is dropped.
    ///
    /// # Errors
    /// Those of renameat2(2); the object is then removed.
    pub fn publish(mut self, dir: BorrowedFd<'_>, name: Name<'_>, flag: RenameFlag) -> Result<Published<'a>> {
        self.upper.keep_literal(self.at(), name)?;
        self.upper
            .rename((self.upper.work(), self.name.as_name()), (dir, name), flag)
            .op("put into the upper")
            .at(name.as_bytes())
            .in_layer(LayerRef::Upper)?;
        let file = self.file.take();
        if flag == RenameFlag::Exchange {
            return Ok(Published { file, displaced: Some(self) });
        }
        self.armed = false;
        Ok(Published { file, displaced: None })
    }

    /// The object there will be of another kind from now on: after an exchange of a file with a directory, say.
    pub fn now_directory(&mut self, directory: bool) {
        self.directory = directory;
    }
}

/// An object in its place.
#[derive(Debug)]
pub struct Published<'a> {
    /// The open file, where it is a regular one that was made here.
    pub file: Option<OwnedFd>,
    /// What was there before, after an exchange.
    pub displaced: Option<Staged<'a>>,
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let removed = if self.directory {
            self.upper.remove_staged_tree(self.name.as_name())
        } else {
            match fs::unlink(self.upper.work(), self.name.as_name()) {
                // After an exchange the object may be a directory.
                Err(Errno::EISDIR | Errno::EPERM) => self.upper.remove_staged_tree(self.name.as_name()),
                other => other.op("remove from the work directory"),
            }
        };
        // What stays is out of sight, and the next mount clears it.
        if let Err(error) = removed {
            log::warn!("{error}");
        }
    }
}
