//! Whiteouts as unionfs-fuse has them: `PATH` is deleted where `.unionfs-fuse/PATH_HIDDEN~` exists, a file for a file and a
//! directory for a directory.
//!
//! Source: layers that unionfs-fuse 1.0 of Debian 12 wrote; its manual, unionfs(8), calls the directory `.unionfs`, as older
//! versions did.

use crate::path::{Name, NameBuf};

/// The directories in a layer's root that hold the whiteouts, by the version that wrote them; they are no part of the tree.
const META: [&[u8]; 2] = [b".unionfs-fuse", b".unionfs"];
const SUFFIX: &[u8] = b"_HIDDEN~";

/// Where a layer may have whiteouts.
pub fn unionfs_meta() -> impl Iterator<Item = Name<'static>> {
    META.iter().filter_map(|name| Name::new(name).ok())
}

/// Is a name in a layer's root one of those?
pub fn is_unionfs_meta(name: Name<'_>) -> bool {
    META.contains(&name.as_bytes())
}

/// The name of what hides `name`; `None` where that would be longer than a name can be.
pub fn unionfs_whiteout(name: Name<'_>) -> Option<NameBuf> {
    NameBuf::new([name.as_bytes(), SUFFIX].concat()).ok()
}

/// What a name below such a directory means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnionfsName<'a> {
    /// It hides this name in the layers below.
    Whiteout(Name<'a>),
    /// If it is a directory, it is for the whiteouts in the directory of that name.
    Directory(Name<'a>),
}

impl<'a> UnionfsName<'a> {
    /// Says what `name` means.
    pub fn of(name: Name<'a>) -> Self {
        let hidden = name.as_bytes().strip_suffix(SUFFIX).and_then(|hidden| Name::new(hidden).ok());
        hidden.map_or(UnionfsName::Directory(name), UnionfsName::Whiteout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whiteout_is_a_name_with_an_end() {
        let name = |text: &'static str| Name::new(text.as_bytes()).unwrap();
        assert_eq!(UnionfsName::of(name("a_HIDDEN~")), UnionfsName::Whiteout(name("a")));
        assert_eq!(unionfs_whiteout(name("a")).unwrap().as_bytes(), b"a_HIDDEN~");
        assert_eq!(UnionfsName::of(name("a_HIDDEN~_HIDDEN~")), UnionfsName::Whiteout(name("a_HIDDEN~")));
        for text in ["a", "_HIDDEN~", "a_HIDDEN", ".._HIDDEN~", "._HIDDEN~"] {
            assert_eq!(UnionfsName::of(name(text)), UnionfsName::Directory(name(text)), "{text}");
        }
    }
}
