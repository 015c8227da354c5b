//! Metadata-only copies: files whose data stayed in a lower layer.

use super::{Corrupt, quoted};

/// What [`super::Marker::Metacopy`] holds: that the data is below, and perhaps the digest it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metacopy {
    /// The fs-verity digest of the data, where one was recorded (`verity=on` of the kernel's overlay).
    pub verity: Option<Verity>,
}

/// An fs-verity digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verity {
    /// `FS_VERITY_HASH_ALG_*`: 1 is SHA-256, 2 is SHA-512; never 0.
    pub algorithm: u8,
    /// 1 to 64 bytes.
    pub digest: Vec<u8>,
}

/// Version, length of the whole, flags, algorithm: one byte each.
const HEADER: usize = 4;
/// The longest digest the format takes, bytes.
const DIGEST_MAX: usize = 64;

impl Metacopy {
    /// Decodes the attribute's value: empty, or version 0, length, no flags, algorithm and digest.
    ///
    /// # Errors
    /// A shorter or longer value than it says, another version, any flag, a digest without an algorithm or an
    /// algorithm without a digest.
    pub fn decode(value: &[u8]) -> Result<Self, Corrupt> {
        let corrupt = |why: &str| Err(Corrupt::new("metacopy", format!("{why}: {}", quoted(value))));
        let (version, len, flags, algorithm, digest) = match value {
            [] => return Ok(Metacopy { verity: None }),
            [version, len, flags, algorithm, digest @ ..] => (*version, *len, *flags, *algorithm, digest),
            _ => return corrupt("is too short"),
        };
        if version != 0 {
            return corrupt("is of an unknown version");
        }
        if usize::from(len) != value.len() || digest.len() > DIGEST_MAX {
            return corrupt("has a wrong length");
        }
        if flags != 0 {
            return corrupt("has unknown flags");
        }
        match (algorithm, digest) {
            (0, []) => Ok(Metacopy { verity: None }),
            (0, _) => corrupt("has a digest of no algorithm"),
            (_, []) => corrupt("has an algorithm and no digest"),
            (algorithm, digest) => {
                Ok(Metacopy { verity: Some(Verity { algorithm, digest: digest.to_vec() }) })
            }
        }
    }

    /// The attribute's value. `None` where the digest is empty or too long, or its algorithm 0.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let Some(Verity { algorithm, digest }) = &self.verity else { return Some(Vec::new()) };
        if *algorithm == 0 || digest.is_empty() || digest.len() > DIGEST_MAX {
            return None;
        }
        let len = u8::try_from(HEADER + digest.len()).ok()?;
        let mut value = vec![0, len, 0, *algorithm];
        value.extend_from_slice(digest);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn metacopy_is_empty_or_a_header_with_a_digest() {
        let none = Metacopy { verity: None };
        assert_eq!(Metacopy::decode(b""), Ok(none.clone()));
        assert_eq!(Metacopy::decode(&[0, 4, 0, 0]), Ok(none.clone()));
        assert_eq!(none.encode(), Some(Vec::new()));
        let sha256 = [&[0, 36, 0, 1][..], &[7; 32]].concat();
        let decoded = Metacopy::decode(&sha256).unwrap();
        assert_eq!(decoded.verity, Some(Verity { algorithm: 1, digest: vec![7; 32] }));
        assert_eq!(decoded.encode(), Some(sha256));
    }

    #[test]
    fn other_shapes_are_corrupt() {
        for bad in [
            &[0][..],
            &[0, 3, 0],
            &[1, 4, 0, 0],
            &[0, 5, 0, 0],
            &[0, 3, 0, 0],
            &[0, 4, 1, 0],
            &[0, 4, 0, 1],
            &[0, 5, 0, 0, 9],
            b"y",
            b"yyyy",
            &[&[0, 69, 0, 1][..], &[0; 65]].concat(),
        ] {
            assert!(Metacopy::decode(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn encoding_comes_back(algorithm in 1u8.., digest in prop::collection::vec(any::<u8>(), 1..=64)) {
            let metacopy = Metacopy { verity: Some(Verity { algorithm, digest }) };
            prop_assert_eq!(Metacopy::decode(&metacopy.encode().unwrap()), Ok(metacopy));
        }

        #[test]
        fn decoding_never_panics(value in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(metacopy) = Metacopy::decode(&value) {
                prop_assert!(metacopy.encode().is_some());
            }
        }
    }
}
