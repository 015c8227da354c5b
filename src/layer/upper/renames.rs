//! Renames within an upper, also where its file system takes no flags.

use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;

use nix::errno::Errno;

use super::{Renames, Upper, WhiteoutForm};
use crate::error::{ErrorContext, LayerRef, OpContext, Result};
use crate::path::Name;
use crate::sys::SysResult;
use crate::sys::fs::{self, At, RenameFlag};

impl Upper {
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
}
