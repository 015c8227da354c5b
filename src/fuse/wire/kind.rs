//! Which kind a request is, before anything else of it is looked at.

use super::abi::{InHeader, opcode};

/// The kind of a request: the kernel's number for it (`enum fuse_opcode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKind(u32);

impl RequestKind {
    /// Where numbers end: every kind that has a name is below.
    pub const END: usize = 64;

    /// The kind of a request, by its bytes. What has no header, or a number that no kernel has told us of, is of the kind
    /// that [`RequestKind::name`] calls `OTHER`.
    pub fn of(request: &[u8]) -> Self {
        let at = std::mem::offset_of!(InHeader, opcode);
        let number =
            request.get(at..).and_then(|rest| rest.first_chunk()).map(|bytes| u32::from_ne_bytes(*bytes));
        match number {
            Some(number) if opcode::known(number).is_some() => RequestKind(number),
            _ => RequestKind(0),
        }
    }

    /// The kind with this number, for a table of all kinds.
    pub fn numbered(number: usize) -> Self {
        match u32::try_from(number) {
            Ok(number) if opcode::known(number).is_some() => RequestKind(number),
            _ => RequestKind(0),
        }
    }

    /// Its number, below [`RequestKind::END`].
    pub fn number(self) -> usize {
        self.0 as usize % Self::END
    }

    /// What it is called: `LOOKUP`.
    pub fn name(self) -> &'static str {
        opcode::known(self.0).unwrap_or("OTHER")
    }

    /// Does its answer carry what was read of a file?
    pub fn reads(self) -> bool {
        self.0 == opcode::READ
    }

    /// Does its answer say how much was written to a file?
    pub fn writes(self) -> bool {
        self.0 == opcode::WRITE
    }

    /// Does its answer say how much was copied from file to file?
    pub fn copies(self) -> bool {
        matches!(self.0, opcode::COPY_FILE_RANGE | opcode::COPY_FILE_RANGE_64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_with_a_name_has_a_number_of_its_own() {
        let named: Vec<RequestKind> =
            (0..4096).filter(|n| opcode::known(*n).is_some()).map(RequestKind).collect();
        assert!(named.len() > 40);
        for kind in named {
            assert_eq!(RequestKind::numbered(kind.number()), kind);
            assert!((1..RequestKind::END).contains(&kind.number()), "{}", kind.name());
        }
    }

    #[test]
    fn the_kind_is_in_the_header() {
        let mut request = [0; 40];
        request[4..8].copy_from_slice(&opcode::LOOKUP.to_ne_bytes());
        assert_eq!(RequestKind::of(&request).name(), "LOOKUP");
        request[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
        for odd in [&request[..], &request[..6], b""] {
            assert_eq!((RequestKind::of(odd).name(), RequestKind::of(odd).number()), ("OTHER", 0));
        }
    }
}
