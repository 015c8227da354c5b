//! What an extended attribute of a layer is, by its name: for who looks at all of them, in either namespace.

use std::ffi::CStr;

use super::names::prefix;
use super::own::{InodeMark, literal_xattr};
use super::{FUSE_OVERLAYFS_OPAQUE, Marker, override_xattrs_read};
use crate::config::{Namespace, StatOverride};

/// Both, in the order in which they count.
const NAMESPACES: [Namespace; 2] = [Namespace::Trusted, Namespace::User];

/// What an attribute is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelled {
    /// A marker of the overlay's.
    Marker(Namespace, Marker),
    /// The inode number of what was copied up: [`InodeMark`].
    Inode(Namespace),
    /// A `.wh.` name is an ordinary one: [`literal_xattr`].
    Literal(Namespace),
    /// A name of the overlay's that nobody knows here.
    Unknown(Namespace),
    /// An opaque directory, as fuse-overlayfs marks it.
    FuseOverlayfsOpaque,
    /// A recorded owner and mode: [`super::StatRecord`].
    Record,
    /// No marker: a user's own attribute, escaped ones among them.
    Other,
}

impl Spelled {
    /// Says what the attribute `name` is.
    pub fn of(name: &[u8]) -> Self {
        for namespace in NAMESPACES {
            let Some(rest) = name.strip_prefix(prefix(namespace)) else { continue };
            let is = |known: &CStr| known.to_bytes() == name;
            if let Some(marker) = Marker::ALL.into_iter().find(|marker| is(marker.xattr(namespace))) {
                return Spelled::Marker(namespace, marker);
            }
            return match rest {
                _ if is(InodeMark::xattr(namespace)) => Spelled::Inode(namespace),
                _ if is(literal_xattr(namespace)) => Spelled::Literal(namespace),
                // A user's own attribute of such a name, as the kernel's overlay keeps it.
                _ if rest.starts_with(super::visibility::ESCAPE) => Spelled::Other,
                _ => Spelled::Unknown(namespace),
            };
        }
        let is_record = [StatOverride::Containers, StatOverride::Privileged]
            .into_iter()
            .flat_map(override_xattrs_read)
            .any(|known| known.to_bytes() == name);
        match name {
            _ if name == FUSE_OVERLAYFS_OPAQUE.to_bytes() => Spelled::FuseOverlayfsOpaque,
            _ if is_record => Spelled::Record,
            _ => Spelled::Other,
        }
    }

    /// The attribute that says the same in `namespace`; `None` for what is in no namespace, or not known.
    pub fn in_namespace(self, namespace: Namespace) -> Option<&'static CStr> {
        match self {
            Spelled::Marker(_, marker) => Some(marker.xattr(namespace)),
            Spelled::Inode(_) => Some(InodeMark::xattr(namespace)),
            Spelled::Literal(_) => Some(literal_xattr(namespace)),
            Spelled::Unknown(_) | Spelled::FuseOverlayfsOpaque | Spelled::Record | Spelled::Other => None,
        }
    }

    /// The namespace that it is in.
    pub fn namespace(self) -> Option<Namespace> {
        match self {
            Spelled::Marker(namespace, _)
            | Spelled::Inode(namespace)
            | Spelled::Literal(namespace)
            | Spelled::Unknown(namespace) => Some(namespace),
            Spelled::FuseOverlayfsOpaque | Spelled::Record | Spelled::Other => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_they_are() {
        for (name, expected) in [
            ("trusted.overlay.opaque", Spelled::Marker(Namespace::Trusted, Marker::Opaque)),
            ("user.overlay.nlink", Spelled::Marker(Namespace::User, Marker::Nlink)),
            ("user.overlay.lamina.ino", Spelled::Inode(Namespace::User)),
            ("trusted.overlay.lamina.literal", Spelled::Literal(Namespace::Trusted)),
            ("trusted.overlay.overlay.opaque", Spelled::Other),
            ("trusted.overlay.else", Spelled::Unknown(Namespace::Trusted)),
            ("user.fuseoverlayfs.opaque", Spelled::FuseOverlayfsOpaque),
            ("user.containers.override_stat", Spelled::Record),
            ("security.fuseoverlayfs.override_stat", Spelled::Record),
            ("user.containers", Spelled::Other),
            ("security.capability", Spelled::Other),
        ] {
            assert_eq!(Spelled::of(name.as_bytes()), expected, "{name}");
        }
        let opaque = Spelled::of(b"trusted.overlay.opaque");
        assert_eq!(opaque.in_namespace(Namespace::User), Some(c"user.overlay.opaque"));
        assert_eq!(Spelled::Other.in_namespace(Namespace::User), None);
    }
}
