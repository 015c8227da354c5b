//! The link count of an indexed hard link.

use super::{Corrupt, quoted};

/// Which object's own link count the recorded number is added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NlinkBase {
    /// The upper inode's (`U`): the names that were copied up, and the index entry.
    Upper,
    /// The lower inode's (`L`).
    Lower,
}

/// What [`super::Marker::Nlink`] says: the link count to show is that of `base` plus `delta`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nlink {
    /// Whose link count.
    pub base: NlinkBase,
    /// What to add.
    pub delta: i32,
}

impl Nlink {
    /// Decodes the attribute's value: `U` or `L` and a decimal number, with or without a sign.
    ///
    /// # Errors
    /// Any other value, or a number beyond 32 bits.
    pub fn decode(value: &[u8]) -> Result<Self, Corrupt> {
        let corrupt = || Corrupt::new("nlink", format!("is {}, not U or L and a number", quoted(value)));
        let (base, number) = match value {
            [b'U', number @ ..] => (NlinkBase::Upper, number),
            [b'L', number @ ..] => (NlinkBase::Lower, number),
            _ => return Err(corrupt()),
        };
        let delta = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
        Ok(Nlink { base, delta: delta.ok_or_else(corrupt)? })
    }

    /// The attribute's value, always with a sign.
    pub fn encode(self) -> Vec<u8> {
        let base = match self.base {
            NlinkBase::Upper => 'U',
            NlinkBase::Lower => 'L',
        };
        format!("{base}{:+}", self.delta).into_bytes()
    }

    /// The link count to show, given that of the base; never below 0.
    pub fn shown(self, of_base: u32) -> u32 {
        of_base.saturating_add_signed(self.delta)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nlink_is_a_base_and_a_signed_number() {
        // Recorded from Linux 6.18: two names copied up and the index entry make three links, of which two show.
        let recorded = Nlink::decode(&[0x55, 0x2d, 0x31]).unwrap();
        assert_eq!(recorded, Nlink { base: NlinkBase::Upper, delta: -1 });
        assert_eq!(recorded.shown(3), 2);
        assert_eq!(Nlink { base: NlinkBase::Lower, delta: 0 }.encode(), b"L+0");
        assert_eq!(Nlink::decode(b"L2"), Ok(Nlink { base: NlinkBase::Lower, delta: 2 }));
        for bad in
            [&b""[..], b"U", b"L", b"X+1", b"u+1", b"U+", b"U+-1", b"U 1", b"U+1 ", b"U99999999999", b"\xff"]
        {
            assert!(Nlink::decode(bad).is_err(), "{}", bad.escape_ascii());
        }
        assert_eq!(Nlink { base: NlinkBase::Upper, delta: -9 }.shown(3), 0);
    }

    proptest! {
        #[test]
        fn encoding_comes_back(delta: i32, upper: bool) {
            let nlink = Nlink { base: if upper { NlinkBase::Upper } else { NlinkBase::Lower }, delta };
            prop_assert_eq!(Nlink::decode(&nlink.encode()), Ok(nlink));
        }

        #[test]
        fn decoding_never_panics(value in prop::collection::vec(any::<u8>(), 0..16)) {
            if let Ok(nlink) = Nlink::decode(&value) {
                prop_assert_eq!(Nlink::decode(&nlink.encode()), Ok(nlink));
            }
        }
    }
}
