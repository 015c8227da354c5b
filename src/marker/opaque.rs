//! Opaque directories.

use super::{Corrupt, YES, quoted};

/// What [`super::Marker::Opaque`] says of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpaqueMark {
    /// It hides everything at its place in the layers below (`y`).
    Opaque,
    /// It merges, and files with [`super::Marker::Whiteout`] in it are whiteouts (`x`).
    XWhiteouts,
}

impl OpaqueMark {
    /// Decodes the attribute's value; `None` where there is no attribute.
    ///
    /// # Errors
    /// Any value but `y` and `x`. (The kernel takes those for no mark at all, and would show what was deleted.)
    pub fn decode(value: Option<&[u8]>) -> Result<Option<Self>, Corrupt> {
        match value {
            None => Ok(None),
            Some(b"y") => Ok(Some(OpaqueMark::Opaque)),
            Some(b"x") => Ok(Some(OpaqueMark::XWhiteouts)),
            Some(other) => Err(Corrupt::new("opaque", format!("is {}, not y or x", quoted(other)))),
        }
    }

    /// The attribute's value.
    pub const fn encode(self) -> &'static [u8] {
        match self {
            OpaqueMark::Opaque => YES,
            OpaqueMark::XWhiteouts => b"x",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opaque_is_y_or_x_and_nothing_else() {
        for mark in [OpaqueMark::Opaque, OpaqueMark::XWhiteouts] {
            assert_eq!(OpaqueMark::decode(Some(mark.encode())), Ok(Some(mark)));
        }
        assert_eq!(OpaqueMark::decode(None), Ok(None));
        for bad in [&b""[..], b"n", b"Y", b"yes", b"y\0", b"yy", b"xy", b"\xff"] {
            assert!(OpaqueMark::decode(Some(bad)).is_err(), "{}", bad.escape_ascii());
        }
        assert_eq!(OpaqueMark::decode(Some(b"q")).unwrap_err().to_string(), "opaque is \"q\", not y or x");
    }
}
