//! What an upper's file system can do: tried in the work directory when it is opened, and what it cannot is said once.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use super::{OpaqueForm, Renames, Upper, UpperOptions, WhiteoutForm};
use crate::config::{Namespace, StatOverride, Whiteouts};
use crate::error::{Error, Kind, OpContext, Result};
use crate::layer::Staged;
use crate::marker::{Marker, OpaqueMark};
use crate::path::{Name, NameBuf};
use crate::sys::SysResult;
use crate::sys::file;
use crate::sys::fs::{self, At, RenameFlag};
use crate::sys::xattr::{self, SetMode};

/// What an upper does not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// Attributes that are marks.
    Marks,
    /// RENAME_EXCHANGE.
    Exchange,
    /// Permissions.
    Modes,
    /// Owners.
    Owners,
    /// Hard links cannot be made.
    Links,
    /// Each name of a file has a number of its own.
    LinkNumbers,
    /// Symbolic links cannot be made.
    Symlinks,
}

impl Loss {
    /// What that means for who uses the mount.
    fn meaning(self) -> &'static str {
        match self {
            Loss::Marks => {
                "its file system takes no extended attributes: inode numbers change with a copy-up, merged directories cannot be \
                 renamed, attributes and ACLs of lower files are lost when they are changed"
            }
            Loss::Exchange => {
                "its file system cannot exchange names (RENAME_EXCHANGE): what takes one step elsewhere takes several, and a \
                 crash between them can bring a deleted directory of a lower layer back"
            }
            Loss::Modes => "it keeps no permissions: what is written there has those of its file system",
            Loss::Owners => "it keeps no owners: what is written there belongs to whom its file system says",
            Loss::Links => "its file system has no hard links: making one fails",
            Loss::LinkNumbers => {
                "its file system gives each name of a file a number of its own: hard links are files of their own here, and what \
                 is changed through one name is seen through another only once the mount is made again"
            }
            Loss::Symlinks => "its file system has no symbolic links: making one fails",
        }
    }
}

/// In lamina names differ by case: of two, one would be lost.
const ONE_NAME: Kind = Kind::Unsupported(
    "names that differ only in case are one there; put the upper and the work directory on another file system",
);

/// Does this directory keep names apart that differ only in case, as far as it says?
///
/// # Errors
/// It does not.
pub(super) fn tells_case(dir: BorrowedFd<'_>, op: &'static str) -> Result<()> {
    if file::ignores_case(dir) { Err(Error::new(op, ONE_NAME)) } else { Ok(()) }
}

impl Upper {
    /// Finds out which marks can be written, and what else this file system and this user can do.
    ///
    /// # Errors
    /// What a mount cannot do without.
    pub(super) fn probe(&mut self, options: UpperOptions) -> Result<()> {
        self.probe_case()?;
        self.opaque_form = self.probe_marks(options.namespace)?;
        let oci = options.whiteouts == Whiteouts::Auto;
        match self.stage_special(libc::S_IFCHR, 0, 0).map(drop) {
            Ok(()) => {}
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
        if self.opaque_form == OpaqueForm::OciFile && !oci {
            return Err(Error::new(
                "write overlay marks",
                Kind::Unsupported("whiteouts=kernel needs a file system with extended attributes"),
            ));
        }
        self.renames = self.probe_renames()?;
        for loss in self.losses()? {
            log::warn!("upper {}: {}", self.layer.path.display(), loss.meaning());
        }
        Ok(())
    }

    /// All that it does not keep.
    pub(super) fn losses(&self) -> Result<Vec<Loss>> {
        let mut losses = Vec::new();
        losses.extend((self.opaque_form == OpaqueForm::OciFile).then_some(Loss::Marks));
        losses.extend((self.renames == Renames::Plain).then_some(Loss::Exchange));
        let file = self.stage_file()?;
        // Elsewhere they are attributes, and the inode's own do not count.
        if self.layer.rules.stat_override == StatOverride::Off {
            losses.extend(lost_mode(file.at())?.then_some(Loss::Modes));
            losses.extend(lost_owner(file.at())?.then_some(Loss::Owners));
        }
        losses.extend(self.lost_links(&file)?);
        losses.extend(self.lost_symlinks()?);
        Ok(losses)
    }

    /// A name is not found by another that differs in case.
    fn probe_case(&self) -> Result<()> {
        let (given, other) = (work_name(b"#case")?, work_name(b"#CASE")?);
        fs::mkdir(self.work(), given.as_name(), 0o700).op("make a work directory")?;
        let _made = Staged::new(self, given, true, None);
        match fs::stat(At::Name(self.work(), other.as_name())) {
            Ok(_) => Err(Error::new("use work directory", ONE_NAME)),
            Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(Error::new("look into the work directory", errno)),
        }
    }

    /// Finds out in which namespace this file system and this user can write marks that are found again: some file systems
    /// keep attributes of `trusted.` and do not list them (ntfs-3g).
    fn probe_marks(&self, wanted: Option<Namespace>) -> Result<OpaqueForm> {
        let namespaces = match wanted {
            Some(namespace) => vec![namespace],
            None => vec![Namespace::Trusted, Namespace::User],
        };
        for namespace in namespaces {
            let probe = self.stage_directory()?;
            let mark = Marker::Opaque.xattr(namespace).to_bytes();
            let written = xattr::set(probe.at(), mark, OpaqueMark::Opaque.encode(), SetMode::Any).is_ok();
            let listed = || xattr::list(probe.at()).is_ok_and(|names| names.iter().any(|name| name == mark));
            if written && listed() {
                return Ok(OpaqueForm::Xattr(namespace));
            }
        }
        match wanted {
            None => Ok(OpaqueForm::OciFile),
            Some(_) => Err(Error::new(
                "write overlay marks",
                Kind::Unsupported(
                    "the file system does not take, or does not list, attributes of the namespace that was asked for",
                ),
            )),
        }
    }

    /// Finds out whether names can be exchanged: not on NFS, nor on most file systems in user space.
    fn probe_renames(&self) -> Result<Renames> {
        let (one, other) = (self.stage_file()?, self.stage_file()?);
        let names = ((self.work(), one.name()), (self.work(), other.name()));
        match fs::rename(names.0, names.1, RenameFlag::Exchange) {
            Ok(()) => Ok(Renames::WithFlags),
            Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => Ok(Renames::Plain),
            Err(errno) => Err(Error::new("exchange names", errno)),
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

    fn lost_links(&self, file: &Staged<'_>) -> Result<Option<Loss>> {
        let link = match self.stage_link(file.at()) {
            Ok(link) => link,
            Err(error) if cannot(error.errno()) => return Ok(Some(Loss::Links)),
            Err(error) => return Err(error),
        };
        let number = |at| fs::stat(at).op("stat").map(|stat| stat.ino);
        Ok((number(file.at())? != number(link.at())?).then_some(Loss::LinkNumbers))
    }

    fn lost_symlinks(&self) -> Result<Option<Loss>> {
        match self.stage_symlink(b"#") {
            Ok(_) => Ok(None),
            Err(error) if cannot(error.errno()) => Ok(Some(Loss::Symlinks)),
            Err(error) => Err(error),
        }
    }
}

fn work_name(bytes: &[u8]) -> Result<NameBuf> {
    Name::new(bytes).map(Name::to_owned).map_err(|_| Error::new("name", Kind::Invalid("not a name")))
}

/// Is it that something cannot be done here at all, and not that it failed now?
fn cannot(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EPERM | Errno::EACCES | Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EINVAL | Errno::EIO
    )
}

/// Was nothing changed, though it was asked for?
pub(super) fn lost(changed: SysResult<()>, at: At<'_>, kept: impl Fn(&fs::Stat) -> bool) -> Result<bool> {
    match changed {
        Ok(()) => Ok(!kept(&fs::stat(at).op("stat")?)),
        Err(errno) if cannot(errno) => Ok(true),
        Err(errno) => Err(Error::new("change a work file", errno)),
    }
}

fn lost_mode(at: At<'_>) -> Result<bool> {
    // A mode that no umask and no file system gives to everything.
    const PERM: u32 = 0o614;
    lost(fs::chmod(at, PERM), at, |stat| stat.mode & 0o7777 == PERM)
}

/// Only root can give a file away, and only to an owner that its user namespace knows.
fn lost_owner(at: At<'_>) -> Result<bool> {
    const OTHER: u32 = 1;
    if !nix::unistd::geteuid().is_root() {
        return Ok(false);
    }
    match fs::chown(at, Some(OTHER), Some(OTHER)) {
        Err(Errno::EINVAL) => Ok(false),
        changed => lost(changed, at, |stat| (stat.uid, stat.gid) == (OTHER, OTHER)),
    }
}
