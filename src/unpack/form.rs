//! In which form things are written, found out by trying.

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;

use crate::config::{Namespace, StatOverride};
use crate::error::{Error, Kind, OpContext, Result};
use crate::marker::{Marker, MarkersRead, OpaqueMark, XattrRules};
use crate::path::Name;
use crate::sys::fs::{self, At};
use crate::sys::xattr::{self, SetMode};

/// Where owners, modes and devices go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// Into the inodes: for root, and for root of a user namespace with enough ids (which may make no devices).
    Exact,
    /// Into `user.containers.override_stat`; everything belongs to the user who unpacks, and can be read, entered and
    /// removed by them. Suid and sgid bits are recorded only: the files are another's by now.
    Recorded,
    /// Into the inodes as far as this user may, as `cp -a` does; what they may not is counted. No suid and sgid bits where
    /// the owner is another than should be.
    AsPermitted,
}

/// How a layer says that something below it is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletions {
    /// A device 0:0.
    Device,
    /// An empty file with an attribute of this namespace.
    Attribute(Namespace),
    /// An empty file `.wh.NAME`.
    OciFile,
}

/// How a layer says that a directory hides what is below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpaqueMarks {
    /// An attribute of this namespace.
    Attribute(Namespace),
    /// An empty file `.wh..wh..opq` in it.
    OciFile,
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// Layers for an overlay: attributes that it would take for markers are escaped.
    Layers,
    /// A tree to be used as it is.
    Tree,
}

/// In which form everything is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// What it is for.
    pub product: Product,
    /// Owners, modes and devices.
    pub owners: Owners,
    /// Deletions.
    pub deletions: Deletions,
    /// Opaque directories.
    pub opaque: OpaqueMarks,
}

impl Form {
    /// A copy that is used as it is: nothing in it is marked.
    pub fn copy() -> Form {
        Form {
            product: Product::Tree,
            owners: Owners::AsPermitted,
            deletions: Deletions::OciFile,
            opaque: OpaqueMarks::OciFile,
        }
    }

    /// Finds out which marks this user can write in `dir`, by writing them and removing them again.
    pub fn probe(dir: BorrowedFd<'_>, product: Product, owners: Owners) -> Result<Form> {
        const OP: &str = "find out which marks can be written";
        let name = Name::new(b"probe").map_err(|_| Error::new(OP, Kind::Invalid("not a name")))?;
        fs::mkdir(dir, name, 0o700).op(OP)?;
        let takes = |marker: Marker, value: &[u8]| {
            [Namespace::Trusted, Namespace::User].into_iter().find(|namespace| {
                let xattr_name = marker.xattr(*namespace).to_bytes();
                xattr::set(At::Name(dir, name), xattr_name, value, SetMode::Any).is_ok()
            })
        };
        let namespace = takes(Marker::Opaque, OpaqueMark::Opaque.encode());
        let device = {
            let probe = fs::open_at(dir, name, libc::O_PATH | libc::O_DIRECTORY, 0).op(OP)?;
            match fs::mknod(probe.as_fd(), name, libc::S_IFCHR, 0, 0) {
                Ok(()) => {
                    fs::unlink(probe.as_fd(), name).op(OP)?;
                    true
                }
                Err(Errno::ENOSPC) => return Err(Error::new(OP, Errno::ENOSPC)),
                Err(_) => false,
            }
        };
        fs::rmdir(dir, name).op(OP)?;
        Ok(Form {
            product,
            owners,
            deletions: match (device, namespace) {
                (true, _) => Deletions::Device,
                (false, Some(namespace)) => Deletions::Attribute(namespace),
                (false, None) => Deletions::OciFile,
            },
            opaque: namespace.map_or(OpaqueMarks::OciFile, OpaqueMarks::Attribute),
        })
    }

    /// Under which names attributes are kept; `None`: under their own. A tree with recorded owners is for overlays, too:
    /// nothing else reads the records.
    pub(super) fn xattr_rules(&self) -> Option<XattrRules> {
        match (self.product, self.owners) {
            (Product::Tree, Owners::Exact) | (_, Owners::AsPermitted) => None,
            (_, Owners::Exact) => Some(XattrRules::new(MarkersRead::Both, StatOverride::Off)),
            (_, Owners::Recorded) => Some(XattrRules::new(MarkersRead::Both, StatOverride::Containers)),
        }
    }
}
