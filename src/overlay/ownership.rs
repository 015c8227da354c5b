//! Who owns what: id mapping, squash and recorded owners, in both directions.
//!
//! The meaning of each option is fuse-overlayfs's, tried with version 1.10: `uidmapping=0:100000:10` shows the layers'
//! ids 0..10 as 100000..100010 and any other as 65534, and keeps what users of the mount set the other way round;
//! squashing changes only what is shown, so a chown still reaches the layer; records hold the layers' ids. One thing
//! differs: an id of no range is refused when it is set, where fuse-overlayfs would keep 65534 in its place.

use super::types::{FileKind, Rdev};
use crate::config::{Behaviour, IdRange, Squash};
use crate::error::Kind;
use crate::marker::{RecordedType, StatRecord};
use crate::sys::fs::Stat;

/// What is shown for an id of no range (the kernel's `overflowuid` and `overflowgid` as they are by default).
pub const OVERFLOW_ID: u32 = 65534;

/// How owners in the layers and owners as the mount shows them belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    uids: IdMap,
    gids: IdMap,
    squash_uid: Option<u32>,
    squash_gid: Option<u32>,
}

impl Ownership {
    /// As the options say.
    pub fn new(behaviour: &Behaviour) -> Self {
        let (squash_uid, squash_gid) = match behaviour.squash {
            Squash::None => (None, None),
            Squash::To { uid, gid } => (uid, gid),
        };
        Ownership {
            uids: IdMap(behaviour.uid_map.clone()),
            gids: IdMap(behaviour.gid_map.clone()),
            squash_uid,
            squash_gid,
        }
    }

    /// The owner and group that the mount shows for those of a layer.
    pub fn shown(&self, uid: u32, gid: u32) -> (u32, u32) {
        let uid = self.squash_uid.unwrap_or_else(|| self.shown_uid(uid));
        let gid = self.squash_gid.unwrap_or_else(|| self.shown_gid(gid));
        (uid, gid)
    }

    /// A user of a layer as the mount shows it, in an ACL say, which is never squashed.
    pub fn shown_uid(&self, uid: u32) -> u32 {
        self.uids.inside(uid).unwrap_or(OVERFLOW_ID)
    }

    /// A group of a layer as the mount shows it, in an ACL say, which is never squashed.
    pub fn shown_gid(&self, gid: u32) -> u32 {
        self.gids.inside(gid).unwrap_or(OVERFLOW_ID)
    }

    /// The owner and group that a layer keeps for those that a caller has or sets.
    ///
    /// # Errors
    /// [`Kind::Invalid`] where either is in no range, as the kernel answers in a user namespace.
    pub fn stored(&self, uid: u32, gid: u32) -> Result<(u32, u32), Kind> {
        Ok((self.stored_uid(uid)?, self.stored_gid(gid)?))
    }

    /// The owner that a layer keeps for one that a caller sets.
    ///
    /// # Errors
    /// As [`Ownership::stored`].
    pub fn stored_uid(&self, uid: u32) -> Result<u32, Kind> {
        self.uids.outside(uid).ok_or(Kind::Invalid("the user id is not mapped"))
    }

    /// The group that a layer keeps for one that a caller sets.
    ///
    /// # Errors
    /// As [`Ownership::stored`].
    pub fn stored_gid(&self, gid: u32) -> Result<u32, Kind> {
        self.gids.outside(gid).ok_or(Kind::Invalid("the group id is not mapped"))
    }
}

/// One half of the mapping; without ranges every id is itself. Where ranges overlap the first counts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct IdMap(Vec<IdRange>);

impl IdMap {
    fn inside(&self, outside: u32) -> Option<u32> {
        self.map(outside, |range| (range.outside, range.inside))
    }

    fn outside(&self, inside: u32) -> Option<u32> {
        self.map(inside, |range| (range.inside, range.outside))
    }

    fn map(&self, id: u32, from_to: impl Fn(&IdRange) -> (u32, u32)) -> Option<u32> {
        if self.0.is_empty() {
            return Some(id);
        }
        self.0.iter().find_map(|range| {
            let (from, to) = from_to(range);
            let offset = id.checked_sub(from).filter(|offset| *offset < range.len)?;
            to.checked_add(offset)
        })
    }
}

/// Owner, mode and type of an object, in the layer's ids: what an inode has, or a record says in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LayerStat {
    /// Owner.
    pub(super) uid: u32,
    /// Group.
    pub(super) gid: u32,
    /// Permission bits with suid, sgid and sticky: 0..=0o7777.
    pub(super) perm: u32,
    /// Type.
    pub(super) kind: FileKind,
    /// Device number of a device, else 0.
    pub(super) rdev: Rdev,
}

impl LayerStat {
    /// What a layer says of an object, its record in force.
    pub(super) fn of(stat: &Stat) -> Self {
        LayerStat {
            uid: stat.uid,
            gid: stat.gid,
            perm: stat.mode & 0o7777,
            kind: FileKind::from_mode(stat.mode).unwrap_or(FileKind::Regular),
            rdev: Rdev { major: stat.rdev_major, minor: stat.rdev_minor },
        }
    }

    /// The record that says this of an object.
    pub(super) fn record(self) -> StatRecord {
        let Rdev { major, minor } = self.rdev;
        let kind = match self.kind {
            FileKind::Regular => RecordedType::Regular,
            FileKind::Directory => RecordedType::Directory,
            FileKind::Symlink => RecordedType::Symlink,
            FileKind::Fifo => RecordedType::Fifo,
            FileKind::Socket => RecordedType::Socket,
            FileKind::CharDevice => RecordedType::CharDevice { major, minor },
            FileKind::BlockDevice => RecordedType::BlockDevice { major, minor },
        };
        StatRecord { uid: self.uid, gid: self.gid, perm: self.perm, kind: Some(kind) }
    }
}

#[cfg(test)]
mod tests;
