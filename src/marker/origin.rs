//! What was copied up: the file handle of the lower object.
//!
//! The kernel's format (`struct ovl_fb`), checked against the values Linux 6.18 wrote on tmpfs and ext4: version 0,
//! magic 0xfb, length of the whole, flags, type of the file handle, 16 bytes of uuid, file handle. The handle is what
//! name_to_handle_at(2) gives; asking for it takes no privilege, opening one does.

use bitflags::bitflags;

use super::{Corrupt, quoted};
use crate::path::NameBuf;

/// The bytes before the file handle.
const HEADER: usize = 21;
const VERSION: u8 = 0;
const MAGIC: u8 = 0xfb;
/// The longest file handle the kernel gives (`MAX_HANDLE_SZ`), bytes.
const HANDLE_MAX: usize = 128;

bitflags! {
    /// What an origin says about itself.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct OriginFlags: u8 {
        /// The file handle was made on a big-endian machine.
        const BIG_ENDIAN = 1;
        /// The file handle is good on machines of either byte order.
        const ANY_ENDIAN = 2;
        /// It is an object of the upper ([`super::Marker::Upper`]).
        const PATH_UPPER = 4;
    }
}

impl OriginFlags {
    /// What handles made on this machine carry.
    pub const NATIVE: OriginFlags =
        if cfg!(target_endian = "big") { OriginFlags::BIG_ENDIAN } else { OriginFlags::empty() };
}

/// A lower object, by its file system and its file handle. Equal origins are the same object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    uuid: [u8; 16],
    handle_type: u8,
    handle: Box<[u8]>,
    flags: OriginFlags,
}

/// What [`super::Marker::Origin`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginMark {
    /// It was copied up from this.
    Known(Origin),
    /// It was copied up; from what was not recorded, or in a way that this machine cannot read.
    Unknown,
}

impl Origin {
    /// `uuid` is the file system's (zero where it has none), `handle_type` and `handle` are what
    /// name_to_handle_at(2) gave. `None` where they cannot be recorded: a type beyond 0..=254, no handle, or one
    /// over 128 bytes.
    pub fn new(uuid: [u8; 16], handle_type: i32, handle: &[u8], flags: OriginFlags) -> Option<Self> {
        let handle_type = u8::try_from(handle_type).ok().filter(|kind| *kind != u8::MAX)?;
        if handle.is_empty() || handle.len() > HANDLE_MAX {
            return None;
        }
        Some(Origin { uuid, handle_type, handle: handle.into(), flags })
    }

    /// The uuid of the object's file system; zero where it has none.
    pub fn uuid(&self) -> [u8; 16] {
        self.uuid
    }

    /// The file handle's type, as open_by_handle_at(2) takes it.
    pub fn handle_type(&self) -> i32 {
        i32::from(self.handle_type)
    }

    /// The file handle, 1 to 128 bytes.
    pub fn handle(&self) -> &[u8] {
        &self.handle
    }

    /// What it says about itself.
    pub fn flags(&self) -> OriginFlags {
        self.flags
    }

    /// The attribute's value.
    pub fn encode(&self) -> Vec<u8> {
        // At most 21 + 128: `new` and `decode` see to it.
        let len = (HEADER + self.handle.len()) as u8;
        let mut value = vec![VERSION, MAGIC, len, self.flags.bits(), self.handle_type];
        value.extend_from_slice(&self.uuid);
        value.extend_from_slice(&self.handle);
        value
    }

    /// The name of the object's entry in the index: the value in lower-case hexadecimal. `None` where the handle is
    /// too long for a name.
    pub fn index_name(&self) -> Option<NameBuf> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let value = self.encode();
        let hex =
            value.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| DIGITS[usize::from(digit)]);
        NameBuf::new(hex.collect::<Vec<u8>>()).ok()
    }
}

impl OriginMark {
    /// Decodes the attribute's value.
    ///
    /// # Errors
    /// A value that is cut short, of a wrong length, or not of this format at all. A newer version, unknown flags or
    /// the other byte order are no errors: the origin is then [`OriginMark::Unknown`], as in the kernel.
    pub fn decode(value: &[u8]) -> Result<Self, Corrupt> {
        let corrupt = |why: &str| Err(Corrupt::new("origin", format!("{why}: {}", quoted(value))));
        if value.is_empty() {
            return Ok(OriginMark::Unknown);
        }
        let [version, magic, len, flags, handle_type, rest @ ..] = value else {
            return corrupt("is too short");
        };
        if *magic != MAGIC {
            return corrupt("is no file handle");
        }
        if *version > VERSION {
            return Ok(OriginMark::Unknown);
        }
        if usize::from(*len) != value.len() {
            return corrupt("has a wrong length");
        }
        let Some((uuid, handle)) = rest.split_first_chunk::<16>() else { return corrupt("is too short") };
        let Some(flags) = OriginFlags::from_bits(*flags) else { return Ok(OriginMark::Unknown) };
        let foreign = flags.contains(OriginFlags::BIG_ENDIAN) != cfg!(target_endian = "big");
        if foreign && !flags.contains(OriginFlags::ANY_ENDIAN) {
            return Ok(OriginMark::Unknown);
        }
        match Origin::new(*uuid, i32::from(*handle_type), handle, flags) {
            Some(origin) => Ok(OriginMark::Known(origin)),
            None => corrupt("has no usable handle"),
        }
    }

    /// Decodes the name of an index entry. `None` where it is not two lower-case hexadecimal digits a byte (the
    /// kernel's temporary `#N` names, for instance).
    ///
    /// # Errors
    /// As [`OriginMark::decode`].
    pub fn from_index_name(name: &[u8]) -> Option<Result<Self, Corrupt>> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let value: Option<Vec<u8>> = name
            .chunks(2)
            .map(|pair| match *pair {
                [high, low] => Some(digit(high)? << 4 | digit(low)?),
                _ => None,
            })
            .collect();
        value.filter(|value| !value.is_empty()).map(|value| OriginMark::decode(&value))
    }
}

#[cfg(test)]
mod tests;
