//! The names of the overlay's extended attributes.

use std::ffi::CStr;

use crate::config::Namespace;

/// An extended attribute the overlay keeps for itself, in either namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Marker {
    /// An opaque directory, or one with xattr whiteouts: [`super::OpaqueMark`].
    Opaque,
    /// Where a renamed directory, or the data of a metacopy file, is below: [`super::Redirect`].
    Redirect,
    /// The file's data is in a lower layer: [`super::Metacopy`].
    Metacopy,
    /// What was copied up: [`super::Origin`].
    Origin,
    /// The directory holds copies, so that its listing must look for their numbers; the value is [`YES`].
    Impure,
    /// The link count shown by a hard link with an index entry: [`super::Nlink`].
    Nlink,
    /// The upper object that an index entry stands for: [`super::Origin`].
    Upper,
    /// An empty regular file that is a whiteout, in a directory marked [`super::OpaqueMark::XWhiteouts`]; the value
    /// means nothing.
    Whiteout,
    /// The persistent identity of the overlay: [`UUID_LEN`] bytes on the upper's root.
    Uuid,
    /// File attributes (append-only, immutable) kept beside the inode.
    ProtAttr,
}

/// The value of a marker that is only there or not (impure, opaque).
pub const YES: &[u8] = b"y";

/// The value of [`Marker::Origin`] where something was copied up and its origin could not be recorded.
pub const ORIGIN_UNKNOWN: &[u8] = b"";

/// The length of [`Marker::Uuid`]'s value, bytes.
pub const UUID_LEN: usize = 16;

/// How fuse-overlayfs marks an opaque directory where it cannot write `trusted.`; the value is [`YES`].
pub const FUSE_OVERLAYFS_OPAQUE: &CStr = c"user.fuseoverlayfs.opaque";

impl Marker {
    /// All of them.
    pub const ALL: [Marker; 10] = [
        Marker::Opaque,
        Marker::Redirect,
        Marker::Metacopy,
        Marker::Origin,
        Marker::Impure,
        Marker::Nlink,
        Marker::Upper,
        Marker::Whiteout,
        Marker::Uuid,
        Marker::ProtAttr,
    ];

    /// The full name of the attribute in `namespace`.
    pub const fn xattr(self, namespace: Namespace) -> &'static CStr {
        use Namespace::{Trusted, User};
        match (self, namespace) {
            (Marker::Opaque, Trusted) => c"trusted.overlay.opaque",
            (Marker::Opaque, User) => c"user.overlay.opaque",
            (Marker::Redirect, Trusted) => c"trusted.overlay.redirect",
            (Marker::Redirect, User) => c"user.overlay.redirect",
            (Marker::Metacopy, Trusted) => c"trusted.overlay.metacopy",
            (Marker::Metacopy, User) => c"user.overlay.metacopy",
            (Marker::Origin, Trusted) => c"trusted.overlay.origin",
            (Marker::Origin, User) => c"user.overlay.origin",
            (Marker::Impure, Trusted) => c"trusted.overlay.impure",
            (Marker::Impure, User) => c"user.overlay.impure",
            (Marker::Nlink, Trusted) => c"trusted.overlay.nlink",
            (Marker::Nlink, User) => c"user.overlay.nlink",
            (Marker::Upper, Trusted) => c"trusted.overlay.upper",
            (Marker::Upper, User) => c"user.overlay.upper",
            (Marker::Whiteout, Trusted) => c"trusted.overlay.whiteout",
            (Marker::Whiteout, User) => c"user.overlay.whiteout",
            (Marker::Uuid, Trusted) => c"trusted.overlay.uuid",
            (Marker::Uuid, User) => c"user.overlay.uuid",
            (Marker::ProtAttr, Trusted) => c"trusted.overlay.protattr",
            (Marker::ProtAttr, User) => c"user.overlay.protattr",
        }
    }
}

/// What every marker of `namespace` begins with.
pub(super) const fn prefix(namespace: Namespace) -> &'static [u8] {
    match namespace {
        Namespace::Trusted => b"trusted.overlay.",
        Namespace::User => b"user.overlay.",
    }
}

/// The namespaces whose attributes are markers when layers are read. In the others they are ordinary attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkersRead {
    /// One namespace only, as a mount of the kernel does.
    Only(Namespace),
    /// Both; where an object carries the same marker twice, `trusted.` counts.
    Both,
}

impl MarkersRead {
    /// The namespaces, in the order in which they are asked.
    pub const fn namespaces(self) -> &'static [Namespace] {
        match self {
            MarkersRead::Only(Namespace::Trusted) => &[Namespace::Trusted],
            MarkersRead::Only(Namespace::User) => &[Namespace::User],
            MarkersRead::Both => &[Namespace::Trusted, Namespace::User],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_marker_has_its_own_name_with_its_namespaces_prefix() {
        let mut seen = std::collections::HashSet::new();
        for namespace in [Namespace::Trusted, Namespace::User] {
            for marker in Marker::ALL {
                let name = marker.xattr(namespace).to_bytes();
                assert!(name.starts_with(prefix(namespace)), "{marker:?}");
                assert!(seen.insert(name), "{marker:?}");
                let short = &name[prefix(namespace).len()..];
                assert_eq!(short, format!("{marker:?}").to_lowercase().as_bytes());
            }
        }
    }
}
