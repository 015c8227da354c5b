//! The inode number of what was copied up, kept where nobody may open its origin by handle.
//!
//! The kernel's overlay finds the number through [`super::Origin`], which takes privilege. An ordinary user's mount
//! keeps the number itself beside it. The kernel hides the attribute like every one of its prefix.

use std::ffi::CStr;

use super::{Corrupt, quoted};
use crate::config::Namespace;

/// The file system and the number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InodeMark {
    /// The uuid of the file system, zero where it has none.
    pub uuid: [u8; 16],
    /// The inode number.
    pub ino: u64,
}

impl InodeMark {
    /// The full name of the attribute in `namespace`.
    pub const fn xattr(namespace: Namespace) -> &'static CStr {
        match namespace {
            Namespace::Trusted => c"trusted.overlay.lamina.ino",
            Namespace::User => c"user.overlay.lamina.ino",
        }
    }

    /// The attribute's value: uuid and number (little endian), 24 bytes.
    pub fn encode(self) -> [u8; 24] {
        let mut value = [0; 24];
        value[..16].copy_from_slice(&self.uuid);
        value[16..].copy_from_slice(&self.ino.to_le_bytes());
        value
    }

    /// Decodes the attribute's value.
    ///
    /// # Errors
    /// Any other length than 24 bytes.
    pub fn decode(value: &[u8]) -> Result<Self, Corrupt> {
        let split = || {
            let (uuid, ino) = value.split_first_chunk::<16>()?;
            Some(InodeMark { uuid: *uuid, ino: u64::from_le_bytes(ino.try_into().ok()?) })
        };
        split().ok_or_else(|| Corrupt::new("lamina.ino", format!("is {}, not 24 bytes", quoted(value))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_back_and_anything_else_is_corrupt() {
        let mark = InodeMark { uuid: *b"0123456789abcdef", ino: u64::MAX - 7 };
        assert_eq!(InodeMark::decode(&mark.encode()), Ok(mark));
        for len in (0..24).chain(25..30) {
            assert!(InodeMark::decode(&vec![1; len]).is_err());
        }
    }
}
