//! Which kind a request is, before anything else of it is looked at.

use zerocopy::FromBytes;

use super::abi::{GetxattrIn, InHeader, opcode};
use crate::control::OWN_XATTRS;
use crate::overlay::NodeId;

/// The kind of a request: the kernel's number for it (`enum fuse_opcode`), or one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKind(u32);

impl RequestKind {
    /// Where numbers end: every kind that has a name is below.
    pub const END: usize = 64;

    /// What has no header, or a number that this lamina does not know.
    const OTHER: Self = RequestKind(0);

    /// Questions to the mount about itself (`lamina list`, `lamina stats`): no part of what its users do. As GETXATTR they would
    /// hide how many of those there are.
    const OWN: Self = RequestKind(63);

    /// The kind of a request, by its bytes.
    pub fn of(request: &[u8]) -> Self {
        let Ok((header, rest)) = InHeader::read_from_prefix(request) else { return Self::OTHER };
        if header.opcode == opcode::GETXATTR
            && header.nodeid == NodeId::ROOT.0
            && rest.get(size_of::<GetxattrIn>()..).is_some_and(|name| name.starts_with(OWN_XATTRS))
        {
            return Self::OWN;
        }
        match opcode::known(header.opcode) {
            Some(_) => RequestKind(header.opcode),
            None => Self::OTHER,
        }
    }

    /// All kinds, each once.
    pub fn all() -> impl Iterator<Item = Self> {
        let known = (0..Self::END as u32).filter(|number| opcode::known(*number).is_some());
        [Self::OTHER, Self::OWN].into_iter().chain(known.map(RequestKind))
    }

    /// Its number, below [`RequestKind::END`].
    pub fn number(self) -> usize {
        self.0 as usize % Self::END
    }

    /// What it is called: `LOOKUP`.
    pub fn name(self) -> &'static str {
        match self {
            Self::OWN => "user.lamina.*",
            known => opcode::known(known.0).unwrap_or("OTHER"),
        }
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
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_has_a_number_of_its_own() {
        let known = (0..4096).filter(|n| opcode::known(*n).is_some()).count();
        let numbers: BTreeSet<usize> = RequestKind::all().map(RequestKind::number).collect();
        assert_eq!((RequestKind::all().count(), numbers.len()), (known + 2, known + 2));
        assert!(known > 40 && numbers.iter().all(|number| *number < RequestKind::END));
    }

    fn named(bytes: &[u8]) -> &'static str {
        RequestKind::of(bytes).name()
    }

    #[test]
    fn the_kind_is_in_the_header() {
        let mut request = [0; 40];
        request[4..8].copy_from_slice(&opcode::LOOKUP.to_ne_bytes());
        assert_eq!(named(&request), "LOOKUP");
        request[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
        for odd in [&request[..], &request[..6], b""] {
            assert_eq!((named(odd), RequestKind::of(odd).number()), ("OTHER", 0));
        }
    }

    #[test]
    fn questions_about_the_mount_itself_are_no_getxattr() {
        let get = |node: u64, name: &[u8]| {
            let mut request = vec![0; 48];
            request[4..8].copy_from_slice(&opcode::GETXATTR.to_ne_bytes());
            request[16..24].copy_from_slice(&node.to_ne_bytes());
            [&request, name].concat()
        };
        assert_eq!(named(&get(1, b"user.lamina.stats\0")), "user.lamina.*");
        assert_eq!(named(&get(2, b"user.lamina.layer\0")), "GETXATTR");
        assert_eq!(named(&get(1, b"user.laminar\0")), "GETXATTR");
        assert_eq!(named(&get(1, b"")), "GETXATTR");
    }
}
