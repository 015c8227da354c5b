//! Whiteouts as names: the form of OCI layers, and of directories where no other form can be made.

use crate::error::Kind;
use crate::path::{NAME_MAX, Name, NameBuf};

/// What the name of a whiteout begins with.
const PREFIX: &[u8] = b".wh.";
/// What AUFS's own names begin with (`.wh..wh.plnk`, `.wh..wh.aufs`, `.wh..wh.orph`, ...).
const AUFS_PREFIX: &[u8] = b".wh..wh.";

/// How much longer than the name it hides a whiteout's name is, bytes.
pub const OCI_PREFIX_LEN: usize = PREFIX.len();
/// The name of the file that makes its directory opaque.
pub const OCI_OPAQUE: &[u8] = b".wh..wh..opq";
/// Beside an opaque mark fuse-overlayfs leaves a device 0:0 of this name. It hides nothing.
pub const FUSE_OVERLAYFS_OPAQUE_DEVICE: &[u8] = b".wh..opq";

/// What a name means where `.wh.` names are markers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OciName<'a> {
    /// An ordinary name.
    Plain(Name<'a>),
    /// It hides this name in the layers below.
    Whiteout(Name<'a>),
    /// It makes its directory opaque.
    Opaque,
    /// AUFS left it: it is not shown and hides nothing.
    AufsMeta,
    /// `.wh.` and no name a directory could hold: not shown, and worth a warning.
    Invalid,
}

impl<'a> OciName<'a> {
    /// Says what `name` means.
    pub fn of(name: Name<'a>) -> Self {
        let bytes = name.as_bytes();
        let Some(target) = bytes.strip_prefix(PREFIX) else { return OciName::Plain(name) };
        if bytes == OCI_OPAQUE {
            OciName::Opaque
        } else if bytes.starts_with(AUFS_PREFIX) {
            OciName::AufsMeta
        } else {
            Name::new(target).map_or(OciName::Invalid, OciName::Whiteout)
        }
    }

    /// Is it a name a caller may make where `.wh.` names are markers?
    ///
    /// # Errors
    /// [`Kind::Invalid`] for every name that begins with `.wh.`.
    pub fn check_ordinary(name: Name<'a>) -> Result<(), Kind> {
        match OciName::of(name) {
            OciName::Plain(_) => Ok(()),
            _ => Err(Kind::Invalid("names that begin with .wh. are whiteouts here")),
        }
    }
}

/// The name of the file that hides `name`.
///
/// # Errors
/// [`Kind::NameTooLong`] where `name` is over 251 bytes; [`Kind::Invalid`] where it begins with `.wh.` itself.
pub fn oci_whiteout(name: Name<'_>) -> Result<NameBuf, Kind> {
    OciName::check_ordinary(name)?;
    if PREFIX.len() + name.as_bytes().len() > NAME_MAX {
        return Err(Kind::NameTooLong);
    }
    NameBuf::new([PREFIX, name.as_bytes()].concat())
        .map_err(|_| Kind::Invalid("no whiteout can hide this name"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(bytes: &[u8]) -> Name<'_> {
        Name::new(bytes).unwrap()
    }

    #[test]
    fn every_wh_name_has_one_meaning() {
        for (bytes, meaning) in [
            (&b"file"[..], OciName::Plain(name(b"file"))),
            (b".wh", OciName::Plain(name(b".wh"))),
            (b".wha", OciName::Plain(name(b".wha"))),
            (b"a.wh.b", OciName::Plain(name(b"a.wh.b"))),
            (b".WH.a", OciName::Plain(name(b".WH.a"))),
            (b".wh.file", OciName::Whiteout(name(b"file"))),
            (b".wh.\xff", OciName::Whiteout(name(b"\xff"))),
            (b".wh..hidden", OciName::Whiteout(name(b".hidden"))),
            (b".wh....", OciName::Whiteout(name(b"..."))),
            (b".wh..wh", OciName::Whiteout(name(b".wh"))),
            (b".wh..wh..opq", OciName::Opaque),
            (b".wh..wh..opqx", OciName::AufsMeta),
            (b".wh..wh.plnk", OciName::AufsMeta),
            (b".wh..wh.aufs", OciName::AufsMeta),
            (b".wh..wh.orph", OciName::AufsMeta),
            (b".wh..wh.", OciName::AufsMeta),
            (b".wh.", OciName::Invalid),
            (b".wh..", OciName::Invalid),
            (b".wh...", OciName::Invalid),
        ] {
            assert_eq!(OciName::of(name(bytes)), meaning, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_whiteouts_name_takes_four_bytes() {
        assert_eq!(oci_whiteout(name(b"a")).unwrap().as_bytes(), b".wh.a");
        assert_eq!(oci_whiteout(name(&[b'x'; 251])).unwrap().as_bytes().len(), NAME_MAX);
        assert_eq!(oci_whiteout(name(&[b'x'; 252])), Err(Kind::NameTooLong));
        assert!(matches!(oci_whiteout(name(b".wh.a")), Err(Kind::Invalid(_))));
        assert!(matches!(OciName::check_ordinary(name(b".wh..wh..opq")), Err(Kind::Invalid(_))));
        assert_eq!(OciName::check_ordinary(name(b".wh")), Ok(()));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_as_a_whiteout(bytes in prop::collection::vec(1u8.., 1..=255)) {
            if let Ok(name) = Name::new(&bytes)
                && let Ok(whiteout) = oci_whiteout(name)
            {
                prop_assert_eq!(OciName::of(whiteout.as_name()), OciName::Whiteout(name));
            }
        }
    }
}
