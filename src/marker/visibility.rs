//! Which extended attributes users of the mount see, and under which names theirs are kept.
//!
//! The kernel's rule: an attribute that begins like a marker is hidden; a user's own attribute of such a name is
//! *escaped*, `trusted.overlay.X` kept as `trusted.overlay.overlay.X`, so that nobody can plant a marker and overlays
//! can be nested. Every namespace that is read for markers is treated so. fuse-overlayfs's own names
//! (`user.fuseoverlayfs.`, and `security.fuseoverlayfs.` where records are read from there) are escaped by the same
//! rule; fuse-overlayfs refuses them instead, so no attribute of its own begins with `….overlay.`.
//!
//! With `xattr_permissions=2`, `security.X` is kept as `user.containers.override_security.X`, as fuse-overlayfs keeps
//! it, and a user's own `user.containers.override_X` is escaped by the same prefix.

use std::borrow::Cow;

use super::names::{MarkersRead, prefix};
use crate::config::StatOverride;
use crate::error::Kind;

/// What is put between a marker prefix and the rest of a user's own attribute.
pub(super) const ESCAPE: &[u8] = b"overlay.";
const FUSE_OVERLAYFS: &[u8] = b"user.fuseoverlayfs.";
const FUSE_OVERLAYFS_PRIVILEGED: &[u8] = b"security.fuseoverlayfs.";
/// What masks an attribute that cannot be set without privilege.
const MASK: &[u8] = b"user.containers.override_";
const MASKED: &[u8] = b"security.";
/// The longest name of an attribute (`XATTR_NAME_MAX`), bytes.
const NAME_MAX: usize = 255;

/// Which attributes of a layer are markers. A copy-up between layers of different rules takes what [`Self::shown`]
/// of the one shows and keeps it under [`Self::stored`] of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XattrRules {
    markers: MarkersRead,
    records: StatOverride,
}

impl XattrRules {
    /// `markers`: the namespaces that are read for markers. `records`: where owners and modes are read from.
    pub const fn new(markers: MarkersRead, records: StatOverride) -> Self {
        XattrRules { markers, records }
    }

    /// The name under which users see the layer's attribute `stored`; `None` where it is hidden.
    pub fn shown<'a>(&self, stored: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        if let Some((reserved, rest)) = self.split_reserved(stored) {
            let own = rest.strip_prefix(ESCAPE).filter(|own| !own.is_empty())?;
            return Some(Cow::Owned([reserved, own].concat()));
        }
        if self.records == StatOverride::Containers {
            if let Some(inner) = stored.strip_prefix(MASK) {
                return is_masked(inner).then_some(Cow::Borrowed(inner));
            }
            if stored.starts_with(MASKED) {
                return None;
            }
        }
        Some(Cow::Borrowed(stored))
    }

    /// The name under which the layer keeps a user's attribute `asked`: for set, get and remove alike.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a bare prefix, [`Kind::Unsupported`] for a name that is over 255 bytes when escaped: both
    /// as under Linux 6.18.
    pub fn stored<'a>(&self, asked: &'a [u8]) -> Result<Cow<'a, [u8]>, Kind> {
        let stored = if let Some((reserved, rest)) = self.split_reserved(asked) {
            if rest.is_empty() {
                return Err(Kind::Invalid("the attribute's name ends at its prefix"));
            }
            [reserved, ESCAPE, rest].concat()
        } else if self.records == StatOverride::Containers && is_masked(asked) {
            [MASK, asked].concat()
        } else {
            return Ok(Cow::Borrowed(asked));
        };
        if stored.len() > NAME_MAX {
            return Err(Kind::Unsupported("the attribute's name is too long to be escaped"));
        }
        Ok(Cow::Owned(stored))
    }

    /// Splits a name that begins like a marker at the end of that prefix.
    fn split_reserved<'a>(&self, name: &'a [u8]) -> Option<(&'static [u8], &'a [u8])> {
        let markers = self.markers.namespaces().iter().map(|namespace| prefix(*namespace));
        let privileged = (self.records == StatOverride::Privileged).then_some(FUSE_OVERLAYFS_PRIVILEGED);
        markers
            .chain([FUSE_OVERLAYFS])
            .chain(privileged)
            .find_map(|reserved| Some((reserved, name.strip_prefix(reserved)?)))
    }
}

/// Is `name`, as users say it, kept under [`MASK`] where owners are recorded there?
fn is_masked(name: &[u8]) -> bool {
    name.starts_with(MASKED) || name.starts_with(MASK)
}

#[cfg(test)]
mod tests;
