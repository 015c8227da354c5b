//! Objects, made by one name below a directory's descriptor.

use std::borrow::Cow;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;

use super::Losses;
use super::form::{Form, Owners};
use crate::config::StatOverride;
use crate::error::{Error, Kind, OpContext, Result};
use crate::marker::{RecordedType, StatRecord, override_xattr, switches_on_a_root};
use crate::path::Name;
use crate::sys::fs::{self, At, Time};
use crate::sys::identity;
use crate::sys::xattr::{self, SetMode};

/// The largest device number that the kernel keeps (include/linux/kdev_t.h): 12 and 20 bits.
const MAJOR_END: u32 = 1 << 12;
const MINOR_END: u32 = 1 << 20;

const SUID_SGID: u32 = libc::S_ISUID | libc::S_ISGID;

/// What an object is given once it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attributes {
    /// Permission bits with suid, sgid and sticky: 0..=0o7777.
    pub perm: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last access: seconds and nanoseconds since 1970.
    pub atime: (i64, u32),
    /// Last change of the content.
    pub mtime: (i64, u32),
    /// Extended attributes by the names that users see.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Writes the content of a regular file into a descriptor.
pub(super) type WriteData<'a> = &'a mut dyn FnMut(BorrowedFd<'_>) -> Result<()>;

/// What an object is, directories aside.
pub(super) enum Content<'a> {
    /// A regular file.
    Regular(WriteData<'a>),
    /// A symlink to this.
    Symlink(&'a [u8]),
    /// A device, fifo or socket.
    Special {
        /// As in a mode.
        type_bits: u32,
        /// Of a device.
        major: u32,
        /// Of a device.
        minor: u32,
    },
}

/// Of what sort an object is, as far as its attributes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// The root of a layer or tree: what is recorded on it says that owners are recorded in the whole.
    Root,
    /// Any other directory.
    Directory,
    /// A symlink: it has no mode, and takes no `user.` attributes.
    Symlink,
    /// A regular file.
    Regular,
    /// An object that is recorded on an empty file.
    Recorded(RecordedType),
    /// A device, fifo or socket.
    Special,
}

/// Makes objects in one form, and counts what cannot be made.
#[derive(Debug)]
pub(super) struct Maker {
    pub form: Form,
    pub losses: Losses,
    user: (u32, u32),
}

impl Maker {
    pub fn new(form: Form) -> Self {
        Maker { form, losses: Losses::default(), user: identity::effective() }
    }

    /// Is everything in the inode itself?
    pub fn records_nothing(&self) -> bool {
        self.form.owners != Owners::Recorded
    }

    /// Makes anything but a directory, complete. A device that this user may not make is left out, and counted.
    pub fn make(
        &mut self,
        dir: BorrowedFd<'_>,
        name: Name<'_>,
        content: Content<'_>,
        attributes: &Attributes,
    ) -> Result<()> {
        let sort = match content {
            Content::Regular(write) => {
                let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
                let file = fs::open_at(dir, name, flags, 0o600).op("make file")?;
                write(file.as_fd())?;
                Sort::Regular
            }
            Content::Symlink(target) => {
                fs::symlink(target, dir, name).op("make symlink")?;
                Sort::Symlink
            }
            Content::Special { type_bits, major, minor } => {
                let Some(sort) = self.make_special(dir, name, type_bits, (major, minor))? else {
                    return Ok(());
                };
                sort
            }
        };
        self.finish(At::Name(dir, name), sort, attributes)
    }

    fn make_special(
        &mut self,
        dir: BorrowedFd<'_>,
        name: Name<'_>,
        type_bits: u32,
        (major, minor): (u32, u32),
    ) -> Result<Option<Sort>> {
        if major >= MAJOR_END || minor >= MINOR_END {
            return Err(Error::new(
                "make device",
                Kind::Invalid("its number is larger than the kernel keeps"),
            ));
        }
        if self.form.owners != Owners::Recorded {
            return match fs::mknod(dir, name, type_bits | 0o600, major, minor) {
                Ok(()) => Ok(Some(Sort::Special)),
                // Root of a user namespace may make no devices.
                Err(Errno::EPERM) => {
                    self.losses.devices += 1;
                    Ok(None)
                }
                Err(errno) => Err(Error::new("make device", errno)),
            };
        }
        let recorded = match type_bits {
            libc::S_IFCHR => RecordedType::CharDevice { major, minor },
            libc::S_IFBLK => RecordedType::BlockDevice { major, minor },
            libc::S_IFIFO => RecordedType::Fifo,
            _ => RecordedType::Socket,
        };
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
        drop(fs::open_at(dir, name, flags, 0o600).op("make file")?);
        self.losses.recorded_specials += 1;
        Ok(Some(Sort::Recorded(recorded)))
    }

    /// Gives an object its attributes. For a directory: once everything in it is made.
    pub fn finish(&mut self, at: At<'_>, sort: Sort, attributes: &Attributes) -> Result<()> {
        // In this order: changing the owner clears suid bits and capabilities, and an ACL changes the mode.
        let perm = self.own(at, attributes)?;
        for (name, value) in &attributes.xattrs {
            self.set_xattr(at, sort, name, value)?;
        }
        if self.form.owners == Owners::Recorded {
            self.record(at, sort, attributes)?;
        }
        if sort != Sort::Symlink {
            fs::chmod(at, self.inode_perm(sort, perm)).op("set mode")?;
        }
        let time = |(seconds, nanoseconds)| Time::To(seconds, nanoseconds);
        fs::utimens(at, time(attributes.atime), time(attributes.mtime)).op("set times")
    }

    /// Gives an object its owner, where that goes into the inode; the mode that may follow.
    fn own(&mut self, at: At<'_>, attributes: &Attributes) -> Result<u32> {
        let Attributes { perm, uid, gid, .. } = *attributes;
        match self.form.owners {
            Owners::Recorded => return Ok(perm),
            Owners::Exact => fs::chown(at, Some(uid), Some(gid)).op("set owner")?,
            Owners::AsPermitted => match fs::chown(at, Some(uid), Some(gid)) {
                Ok(()) => {}
                // Nobody may give files away, or there is no such user in this user namespace.
                Err(Errno::EPERM | Errno::EINVAL) => {
                    self.losses.own += 1;
                    match fs::chown(at, None, Some(gid)) {
                        // It may be one of their groups, and may not.
                        Ok(()) | Err(Errno::EPERM | Errno::EINVAL) => {}
                        Err(errno) => return Err(Error::new("set group", errno)),
                    }
                    return Ok(perm & !SUID_SGID);
                }
                Err(errno) => return Err(Error::new("set owner", errno)),
            },
        }
        Ok(perm)
    }

    /// The permission bits that the inode gets.
    fn inode_perm(&self, sort: Sort, perm: u32) -> u32 {
        match (self.form.owners, sort) {
            (Owners::Exact | Owners::AsPermitted, _) => perm,
            (Owners::Recorded, Sort::Root | Sort::Directory) => (perm & !SUID_SGID) | 0o700,
            (Owners::Recorded, _) => (perm & !SUID_SGID) | 0o600,
        }
    }

    fn record(&mut self, at: At<'_>, sort: Sort, attributes: &Attributes) -> Result<()> {
        let Attributes { perm, uid, gid, .. } = *attributes;
        let kind = match sort {
            Sort::Symlink | Sort::Special => {
                self.losses.owners += u64::from((uid, gid) != self.user);
                return Ok(());
            }
            Sort::Root | Sort::Directory | Sort::Regular => None,
            Sort::Recorded(kind) => Some(kind),
        };
        let Some(name) = override_xattr(StatOverride::Containers) else { return Ok(()) };
        let record = StatRecord { uid, gid, perm, kind };
        match xattr::set(at, name.to_bytes(), &record.encode(), SetMode::Any) {
            Ok(()) => Ok(()),
            Err(Errno::ENOTSUP) => Err(Error::new(
                "record owner",
                Kind::Unsupported(
                    "the file system keeps no user. attributes; choose a directory on another one",
                ),
            )),
            Err(errno) => Err(Error::new("record owner", errno)),
        }
    }

    fn set_xattr(&mut self, at: At<'_>, sort: Sort, name: &[u8], value: &[u8]) -> Result<()> {
        let Some(stored) = self.stored_xattr(sort, name) else {
            self.losses.attributes += 1;
            return Ok(());
        };
        match xattr::set(at, &stored, value, SetMode::Any) {
            Ok(()) => Ok(()),
            // Not on this file system, not on this sort of object, or not by this user.
            Err(
                Errno::ENOTSUP | Errno::EPERM | Errno::EACCES | Errno::EINVAL | Errno::ERANGE | Errno::E2BIG,
            ) => {
                self.losses.attributes += 1;
                Ok(())
            }
            Err(errno) => Err(Error::new("set attribute", errno)),
        }
    }

    /// Under which name an attribute is kept; `None` where it cannot be.
    fn stored_xattr<'n>(&self, sort: Sort, name: &'n [u8]) -> Option<Cow<'n, [u8]>> {
        let Some(rules) = self.form.xattr_rules() else { return Some(Cow::Borrowed(name)) };
        let stored = rules.stored(name).ok()?;
        // On a root it would say that owners are recorded in the whole layer.
        (sort != Sort::Root || !switches_on_a_root(&stored)).then_some(stored)
    }
}
