//! What something is, and what is different in two such.

use bitflags::bitflags;

use super::Times;
use crate::overlay::{Attr, FileKind, Timestamp};
use crate::resolve::Depth;

bitflags! {
    /// What is different.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub struct Differences: u8 {
        /// It is something else: nothing more is compared.
        const TYPE = 1;
        /// The bytes of a regular file.
        const CONTENT = 1 << 1;
        /// Where a symlink leads.
        const TARGET = 1 << 2;
        /// The number of a device.
        const DEVICE = 1 << 3;
        /// The permission bits.
        const MODE = 1 << 4;
        /// User or group.
        const OWNER = 1 << 5;
        /// Extended attributes, ACLs and capabilities among them.
        const XATTR = 1 << 6;
        /// The time of the last change.
        const TIME = 1 << 7;
    }
}

impl Differences {
    /// A word for each, in a fixed order.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        const WORDS: [(Differences, &str); 8] = [
            (Differences::TYPE, "type"),
            (Differences::CONTENT, "content"),
            (Differences::TARGET, "target"),
            (Differences::DEVICE, "device"),
            (Differences::MODE, "mode"),
            (Differences::OWNER, "owner"),
            (Differences::XATTR, "xattr"),
            (Differences::TIME, "time"),
        ];
        WORDS.into_iter().filter(move |(one, _)| self.contains(*one)).map(|(_, word)| word)
    }
}

/// What something is, in one of the unions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its attributes.
    pub attr: Attr,
    /// Where a symlink leads.
    pub target: Option<Vec<u8>>,
    /// The layer that supplies it; of a directory, the topmost that has a part of it.
    pub layer: Depth,
}

impl Facts {
    /// The bytes of a regular file; 0 for anything else.
    pub fn bytes(&self) -> u64 {
        if self.attr.kind == FileKind::Regular { self.attr.size } else { 0 }
    }

    /// Is it a directory?
    pub fn is_dir(&self) -> bool {
        self.attr.kind == FileKind::Directory
    }

    /// What is different in what it became, as far as attributes say: contents of the same size, and extended attributes, are to
    /// be looked at.
    pub fn differences(&self, after: &Facts, times: Times) -> Differences {
        let (old, new) = (&self.attr, &after.attr);
        if old.kind != new.kind {
            return Differences::TYPE;
        }
        // On Linux a symlink has no permissions, whatever an archive says.
        let has_mode = old.kind != FileKind::Symlink;
        let is_device = matches!(old.kind, FileKind::CharDevice | FileKind::BlockDevice);
        let mut what = Differences::empty();
        what.set(Differences::CONTENT, self.bytes() != after.bytes());
        what.set(Differences::TARGET, self.target != after.target);
        what.set(Differences::DEVICE, is_device && old.rdev != new.rdev);
        what.set(Differences::MODE, has_mode && old.perm != new.perm);
        what.set(Differences::OWNER, (old.uid, old.gid) != (new.uid, new.gid));
        what.set(Differences::TIME, times == Times::Compared && !is_same_time(old.mtime, new.mtime));
        what
    }
}

/// Many tars have whole seconds, so a time in whole seconds is any within that second.
fn is_same_time(one: Timestamp, other: Timestamp) -> bool {
    one.sec == other.sec && (one.nsec == other.nsec || one.nsec == 0 || other.nsec == 0)
}
