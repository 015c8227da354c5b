//! What is in a directory of a layer: its entries, and the names that are deleted by others.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use super::Layer;
use crate::error::{Error, ErrorContext, OpContext, Result};
use crate::layer::unionfs::Which;
use crate::marker::{Marker, OciName, is_unionfs_meta};
use crate::path::{Name, NameBuf};
use crate::sys::fs::At;
use crate::sys::{dirents, fs, xattr};

/// The `.wh.` names in one directory of one layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OciMarks {
    /// The names they delete in the layers below.
    pub whiteouts: HashSet<NameBuf>,
}

/// One entry of one layer's directory.
#[derive(Debug, Clone, Copy)]
pub struct Listed<'a> {
    /// The name.
    pub name: Name<'a>,
    /// The type bits as the directory has them (`d_type`), 0 where it does not say, and for a whiteout that is a `.wh.` name.
    pub kind: u8,
    /// It says that the name is deleted.
    pub whiteout: bool,
}

/// Has a listing with a limit come to its end?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawListing {
    /// These were all names.
    Complete,
    /// There may be more.
    Cut,
}

/// May a name be deleted by another one?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByName {
    /// It is an entry.
    No,
    /// There is a `.wh.` name for it.
    Perhaps,
}

impl Layer {
    /// The `.wh.` names of a directory; `None` where there are none, or where they mean nothing.
    pub fn oci_marks(&self, dir: BorrowedFd<'_>) -> Result<Option<Box<OciMarks>>> {
        let mut marks = OciMarks::default();
        if let Some(hidden) = &self.hidden {
            marks.whiteouts.extend(hidden.marks(&hidden.which(dir)?)?.whiteouts);
        }
        if !self.rules.oci {
            return Ok((!marks.whiteouts.is_empty()).then(|| Box::new(marks)));
        }
        self.for_each_raw(dir, |entry| {
            if let Ok(name) = Name::new(entry.name)
                && let OciName::Whiteout(target) = self.oci_meaning(dir, name)?
            {
                marks.whiteouts.insert(target.to_owned());
            }
            Ok(())
        })?;
        Ok((!marks.whiteouts.is_empty()).then(|| Box::new(marks)))
    }

    /// Hands every entry of a directory to `each`: whiteouts as such, `.wh.` names as the whiteouts they are.
    pub fn list(
        &self,
        dir: BorrowedFd<'_>,
        xwhiteouts: bool,
        mut each: impl FnMut(Listed<'_>),
    ) -> Result<()> {
        let which = self.list_hidden(dir, &mut each)?;
        if matches!(which, Some(Which::StandIn(_))) {
            return Ok(());
        }
        self.for_each_raw(dir, |entry| {
            let Ok(name) = Name::new(entry.name) else { return Ok(()) };
            if is_meta(which.as_ref(), name) {
                return Ok(());
            }
            match self.oci_meaning(dir, name)? {
                OciName::Plain(_) => {}
                OciName::Whiteout(target) => {
                    each(Listed { name: target, kind: 0, whiteout: true });
                    return Ok(());
                }
                OciName::Opaque | OciName::AufsMeta | OciName::Invalid => return Ok(()),
            }
            let whiteout = match entry.kind {
                libc::DT_CHR | libc::DT_UNKNOWN => self.is_whiteout(At::Name(dir, name), xwhiteouts)?,
                libc::DT_REG if xwhiteouts => self.is_whiteout(At::Name(dir, name), xwhiteouts)?,
                _ => false,
            };
            // fuse-overlayfs also marks an opaque directory by a device 0:0 of such a name: no entry in any directory.
            let of_no_name = whiteout && self.rules.oci && !matches!(OciName::of(name), OciName::Plain(_));
            each(Listed { name, kind: if of_no_name { 0 } else { entry.kind }, whiteout });
            Ok(())
        })
    }

    /// Hands every name that the layer may say anything of to `each`, up to `limit` names; without a look at what they are, and so
    /// faster than [`Layer::list`]. With a `.wh.` name comes the name that it deletes, if it deletes one.
    pub fn list_raw(
        &self,
        dir: BorrowedFd<'_>,
        limit: usize,
        mut each: impl FnMut(Name<'_>, ByName),
    ) -> Result<RawListing> {
        if self.hidden.is_some() {
            return Ok(RawListing::Cut);
        }
        let mut count = 0;
        let listed = self.each_raw(dir, |entry| {
            count += 1;
            if count > limit {
                return Err(Stop::Full);
            }
            let Ok(name) = Name::new(entry.name) else { return Ok(()) };
            each(name, ByName::No);
            if let (true, OciName::Whiteout(target)) = (self.rules.oci, OciName::of(name)) {
                each(target, ByName::Perhaps);
            }
            Ok(())
        });
        match listed {
            Ok(()) => Ok(RawListing::Complete),
            Err(Stop::Full) => Ok(RawListing::Cut),
            Err(Stop::Failed(error)) => Err(error.in_layer(self.id)),
        }
    }

    /// Hands out what unionfs-fuse says of a directory; answers which it is.
    fn list_hidden(&self, dir: BorrowedFd<'_>, each: &mut impl FnMut(Listed<'_>)) -> Result<Option<Which>> {
        let Some(hidden) = &self.hidden else { return Ok(None) };
        let which = hidden.which(dir)?;
        let marks = hidden.marks(&which)?;
        for name in &marks.whiteouts {
            each(Listed { name: name.as_name(), kind: 0, whiteout: true });
        }
        for name in marks.directories.difference(&marks.whiteouts) {
            let is_real = matches!(which, Which::Real(_)) && fs::stat(At::Name(dir, name.as_name())).is_ok();
            if !is_real {
                each(Listed { name: name.as_name(), kind: libc::DT_DIR, whiteout: false });
            }
        }
        Ok(Some(which))
    }

    fn is_whiteout(&self, at: At<'_>, xwhiteouts: bool) -> Result<bool> {
        let stat = fs::stat(at).op("stat")?;
        match stat.mode & libc::S_IFMT {
            libc::S_IFCHR => Ok(stat.rdev_major == 0 && stat.rdev_minor == 0),
            libc::S_IFREG if xwhiteouts && stat.size == 0 => {
                let names = xattr::list(at).op("list attributes")?;
                Ok(self.marker_name(&names, Marker::Whiteout).is_some())
            }
            _ => Ok(false),
        }
    }

    fn for_each_raw(
        &self,
        dir: BorrowedFd<'_>,
        each: impl FnMut(dirents::RawEntry<'_>) -> Result<()>,
    ) -> Result<()> {
        self.each_raw(dir, each).in_layer(self.id)
    }

    fn each_raw<E: From<Error> + From<Errno>>(
        &self,
        dir: BorrowedFd<'_>,
        each: impl FnMut(dirents::RawEntry<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        // Its time of last access stays, where this user may ask for that.
        let dir = match fs::reopen_dir(dir, libc::O_RDONLY | libc::O_NOATIME) {
            Err(Errno::EPERM) => fs::reopen_dir(dir, libc::O_RDONLY),
            other => other,
        };
        dirents::for_each(&dir.op("open directory")?, each)
    }
}

/// Is it the directory with the whiteouts, which is no part of the tree?
pub(super) fn is_meta(which: Option<&Which>, name: Name<'_>) -> bool {
    matches!(which, Some(Which::Real(dir)) if dir.is_root()) && is_unionfs_meta(name)
}

/// Why a listing ends early.
enum Stop {
    Full,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Stop::Failed(Error::from(errno))
    }
}

impl From<Errno> for Error {
    /// For reading a directory: everything else names its call.
    fn from(errno: Errno) -> Self {
        Error::new("read directory", errno)
    }
}
