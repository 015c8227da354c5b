//! Overlay markers: whiteouts, opaque directories, redirects, origins, recorded owners. How they are spelled, encoded
//! and decoded is known here and nowhere else. Pure: no system call is made.
//!
//! Sources: the kernel's `Documentation/filesystems/overlayfs.rst`, values recorded from overlay mounts of Linux 6.18,
//! the OCI image specification's `layer.md`, and records written by fuse-overlayfs 1.10 and containers/storage.

mod metacopy;
mod names;
mod nlink;
mod oci;
mod opaque;
mod origin;
mod own;
mod redirect;
mod spelled;
mod stat_override;
mod unionfs;
mod visibility;

pub use metacopy::{Metacopy, Verity};
pub use names::{FUSE_OVERLAYFS_OPAQUE, Marker, MarkersRead, ORIGIN_UNKNOWN, UUID_LEN, YES};
pub use nlink::{Nlink, NlinkBase};
pub use oci::{FUSE_OVERLAYFS_OPAQUE_DEVICE, OCI_OPAQUE, OCI_PREFIX_LEN, OciName, oci_whiteout};
pub use opaque::OpaqueMark;
pub use origin::{Origin, OriginFlags, OriginMark};
pub use own::{InodeMark, literal_xattr};
pub use redirect::{REDIRECT_MAX, Redirect};
pub use spelled::Spelled;
pub use stat_override::{
    RecordedType, SYMLINK_OWNER, StatRecord, decode_symlink_owner, encode_symlink_owner, override_xattr,
    override_xattrs_read, switches_on_a_root,
};
pub use unionfs::{UnionfsName, is_unionfs_meta, unionfs_meta, unionfs_whiteout};
pub use visibility::XattrRules;

use crate::error::Kind;

/// A marker that cannot be understood. The name it belongs to is EIO; the rest of the tree stays usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{marker} {why}")]
pub struct Corrupt {
    marker: &'static str,
    why: String,
}

impl Corrupt {
    fn new(marker: &'static str, why: impl Into<String>) -> Self {
        Corrupt { marker, why: why.into() }
    }
}

impl From<Corrupt> for Kind {
    fn from(corrupt: Corrupt) -> Self {
        Kind::Corrupt(corrupt.to_string())
    }
}

/// A value of unknown bytes as a person can read it, cut where it is long.
fn quoted(value: &[u8]) -> String {
    const SHOWN: usize = 40;
    let head = value.get(..SHOWN).unwrap_or(value);
    let cut = if value.len() > SHOWN { "..." } else { "" };
    format!("\"{}{cut}\"", head.escape_ascii())
}

/// A decimal number of ASCII digits only: no sign, no space, at least one digit.
fn decimal(digits: &[u8]) -> Option<u32> {
    number(digits, 10)
}

/// A number of ASCII digits of `radix` only: no sign, no space, at least one digit.
fn number(digits: &[u8], radix: u32) -> Option<u32> {
    let digits = std::str::from_utf8(digits).ok()?;
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    u32::from_str_radix(digits, radix).ok()
}
