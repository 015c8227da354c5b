//! Redirects: where a renamed directory, or the data of a metacopy file, is in the layers below.

use super::{Corrupt, quoted};
use crate::error::Kind;
use crate::path::{Name, NameBuf, RelPath};

/// The longest redirect that is written, bytes; a rename that needs a longer one is EXDEV (as under Linux 6.18).
pub const REDIRECT_MAX: usize = 256;

/// What [`super::Marker::Redirect`] says: where to look on, in the layers below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redirect {
    /// A path from the overlay's root; never the root itself.
    Absolute(RelPath),
    /// Another name in the same directory.
    Sibling(NameBuf),
}

impl Redirect {
    /// Decodes the attribute's value. Longer values than are written are taken, as by the kernel.
    ///
    /// # Errors
    /// Nothing at all, a relative path of more than one name, an absolute one with a doubled or trailing slash or
    /// without any name, `.` or `..`, a NUL byte, a name over 255 bytes: nothing that could lead out of the layer.
    pub fn decode(value: &[u8]) -> Result<Self, Corrupt> {
        let corrupt =
            |why: &dyn std::fmt::Display| Corrupt::new("redirect", format!("is {}: {why}", quoted(value)));
        let Some(absolute) = value.strip_prefix(b"/") else {
            return NameBuf::new(value).map(Redirect::Sibling).map_err(|why| corrupt(&why));
        };
        let mut path = RelPath::root();
        for part in absolute.split(|b| *b == b'/') {
            path.push(Name::new(part).map_err(|why| corrupt(&why))?);
        }
        Ok(Redirect::Absolute(path))
    }

    /// The attribute's value.
    ///
    /// # Errors
    /// [`Kind::CrossDevice`] where it is over [`REDIRECT_MAX`] bytes, or the root.
    pub fn encode(&self) -> Result<Vec<u8>, Kind> {
        let value = match self {
            Redirect::Sibling(name) => name.as_bytes().to_vec(),
            Redirect::Absolute(path) if path.is_root() => {
                return Err(Kind::CrossDevice("the root cannot be the target of a redirect"));
            }
            Redirect::Absolute(path) => [b"/", path.as_bytes()].concat(),
        };
        if value.len() > REDIRECT_MAX {
            return Err(Kind::CrossDevice("its redirect would be over 256 bytes"));
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn absolute(path: &[u8]) -> Redirect {
        Redirect::Absolute(RelPath::new(path).unwrap())
    }

    #[test]
    fn redirects_are_a_sibling_or_a_path_from_the_root() {
        assert_eq!(Redirect::decode(b"f"), Ok(Redirect::Sibling(NameBuf::new(*b"f").unwrap())));
        assert_eq!(Redirect::decode(b"/dd"), Ok(absolute(b"dd")));
        assert_eq!(Redirect::decode(b"/a b/\xff/c"), Ok(absolute(b"a b/\xff/c")));
        assert_eq!(Redirect::decode(b"..x"), Ok(Redirect::Sibling(NameBuf::new(*b"..x").unwrap())));
    }

    #[test]
    fn what_could_lead_elsewhere_is_corrupt() {
        let long = [&b"/a/"[..], &[b'x'; 256]].concat();
        for bad in [
            &b""[..],
            b"/",
            b"//",
            b"a/b",
            b"a/",
            b"/a/",
            b"//a",
            b"/a//b",
            b".",
            b"..",
            b"/..",
            b"/.",
            b"/a/..",
            b"/a/../b",
            b"/./a",
            b"a\0",
            b"/a\0b",
            b"/\0",
            &long,
        ] {
            assert!(Redirect::decode(bad).is_err(), "{}", bad.escape_ascii());
        }
        let error = Redirect::decode(b"/../etc").unwrap_err();
        assert_eq!(error.to_string(), "redirect is \"/../etc\": the name is . or ..");
    }

    #[test]
    fn a_redirect_of_256_bytes_is_written_and_a_longer_one_is_exdev() {
        let path = [&[b'a'; 200][..], b"/", &[b'b'; 54]].concat();
        assert_eq!(absolute(&path).encode().map(|v| v.len()), Ok(REDIRECT_MAX));
        let long = [&path[..], b"c"].concat();
        assert!(matches!(absolute(&long).encode(), Err(Kind::CrossDevice(_))));
        assert!(Redirect::decode(&[b"/", &long[..]].concat()).is_ok());
        assert!(matches!(absolute(b"").encode(), Err(Kind::CrossDevice(_))));
    }

    proptest! {
        #[test]
        fn decoding_never_panics_and_undoes_encoding(value in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(redirect) = Redirect::decode(&value)
                && let Ok(encoded) = redirect.encode()
            {
                prop_assert_eq!(&encoded, &value);
            }
        }

        #[test]
        fn every_path_of_names_comes_back(names in prop::collection::vec("[a-z.\u{e4} ]{3,9}", 1..6)) {
            let redirect = absolute(names.join("/").as_bytes());
            prop_assert_eq!(Redirect::decode(&redirect.encode().unwrap()), Ok(redirect));
        }
    }
}
