//! Owner, mode and type recorded in an extended attribute, for layers made without privilege.

use std::ffi::CStr;
use std::fmt::Write;

use super::{Corrupt, decimal, number, quoted};
use crate::config::StatOverride;

/// The attribute in which records are written; `None` where owner and mode are those of the inode.
pub const fn override_xattr(mode: StatOverride) -> Option<&'static CStr> {
    match mode {
        StatOverride::Off => None,
        StatOverride::Privileged => Some(c"security.fuseoverlayfs.override_stat"),
        StatOverride::Containers => Some(c"user.containers.override_stat"),
    }
}

/// The attributes in which a record may be found, in the order in which they are asked: the one that is written, and
/// the one fuse-overlayfs 1.10 wrote in its place.
pub const fn override_xattrs_read(mode: StatOverride) -> &'static [&'static CStr] {
    match mode {
        StatOverride::Off => &[],
        StatOverride::Privileged => &[c"security.fuseoverlayfs.override_stat"],
        StatOverride::Containers => &[c"user.containers.override_stat", c"user.fuseoverlayfs.override_stat"],
    }
}

/// Is it an attribute that says, on a layer's root, that owners are recorded in the whole layer? Only who makes the layer may
/// say so, and never an image whose data it is.
pub fn switches_on_a_root(name: &[u8]) -> bool {
    [StatOverride::Containers, StatOverride::Privileged]
        .iter()
        .flat_map(|mode| override_xattrs_read(*mode))
        .any(|known| known.to_bytes() == name)
}

/// On the root of a layer with records: the owner of the symlinks in it that belong to the owner of that root. They can carry no
/// record themselves: `user.` attributes exist on files and directories only (xattr(7)). Who writes a layer as root of a user
/// namespace sets it, for outside of that its own id is another. It is ours; where records are read, users never see it.
pub const SYMLINK_OWNER: &CStr = c"user.containers.override_symlinks";

/// The value of [`SYMLINK_OWNER`].
pub fn encode_symlink_owner(uid: u32, gid: u32) -> Vec<u8> {
    format!("{uid}:{gid}").into_bytes()
}

/// Reads the value of [`SYMLINK_OWNER`]: user and group.
///
/// # Errors
/// Anything but two numbers with a colon between them.
pub fn decode_symlink_owner(value: &[u8]) -> Result<(u32, u32), Corrupt> {
    let mut parts = value.split(|byte| *byte == b':').map(decimal);
    match (parts.next().flatten(), parts.next().flatten(), parts.next()) {
        (Some(uid), Some(gid), None) => Ok((uid, gid)),
        _ => Err(Corrupt::new("override_symlinks", format!("is {}, not UID:GID", quoted(value)))),
    }
}

/// The type an object is recorded to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum RecordedType {
    Regular,
    Directory,
    Symlink,
    Fifo,
    Socket,
    BlockDevice { major: u32, minor: u32 },
    CharDevice { major: u32, minor: u32 },
}

/// A record: `UID:GID:MODE[:TYPE]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatRecord {
    /// Owner, as the layer has ids.
    pub uid: u32,
    /// Group, as the layer has ids.
    pub gid: u32,
    /// Permission bits with suid, sgid and sticky: 0..=0o7777.
    pub perm: u32,
    /// Type, where the record says it; else it is the inode's.
    pub kind: Option<RecordedType>,
}

/// The type bits of a mode (`S_IFMT`) and what they may be without a device number: older records of fuse-overlayfs
/// hold the whole mode (`0:0:104755`).
const TYPE_BITS: u32 = 0o170_000;
const PERM_BITS: u32 = 0o7777;

impl StatRecord {
    /// Decodes the attribute's value.
    ///
    /// # Errors
    /// Fewer or more parts than a record has, a number that is none, a mode beyond 0o177777, an unknown type.
    pub fn decode(value: &[u8]) -> Result<Self, Corrupt> {
        StatRecord::parse(value).ok_or_else(|| {
            Corrupt::new("override_stat", format!("is {}, not UID:GID:MODE[:TYPE]", quoted(value)))
        })
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let mut parts = value.split(|byte| *byte == b':');
        let uid = decimal(parts.next()?)?;
        let gid = decimal(parts.next()?)?;
        let mode = number(parts.next()?, 8).filter(|mode| *mode <= TYPE_BITS | PERM_BITS)?;
        let kind = match parts.next() {
            Some(spelled) => Some(RecordedType::decode(spelled)?),
            None => RecordedType::from_type_bits(mode & TYPE_BITS)?,
        };
        if parts.next().is_some() {
            return None;
        }
        Some(StatRecord { uid, gid, perm: mode & PERM_BITS, kind })
    }

    /// The attribute's value, with four octal digits of mode.
    pub fn encode(&self) -> Vec<u8> {
        let StatRecord { uid, gid, perm, kind } = self;
        let mut value = format!("{uid}:{gid}:{:04o}", perm & PERM_BITS);
        if let Some(kind) = kind {
            // Writing to a String does not fail.
            let _ = match kind {
                RecordedType::Regular => write!(value, ":file"),
                RecordedType::Directory => write!(value, ":dir"),
                RecordedType::Symlink => write!(value, ":symlink"),
                RecordedType::Fifo => write!(value, ":pipe"),
                RecordedType::Socket => write!(value, ":socket"),
                RecordedType::BlockDevice { major, minor } => write!(value, ":block-{major}-{minor}"),
                RecordedType::CharDevice { major, minor } => write!(value, ":char-{major}-{minor}"),
            };
        }
        value.into_bytes()
    }
}

impl RecordedType {
    fn decode(spelled: &[u8]) -> Option<Self> {
        let numbers = |numbers: &[u8]| {
            let mut parts = numbers.split(|byte| *byte == b'-');
            let pair = (decimal(parts.next()?)?, decimal(parts.next()?)?);
            parts.next().is_none().then_some(pair)
        };
        Some(match spelled {
            b"file" => RecordedType::Regular,
            b"dir" => RecordedType::Directory,
            b"symlink" => RecordedType::Symlink,
            b"pipe" => RecordedType::Fifo,
            b"socket" => RecordedType::Socket,
            _ => {
                if let Some(rest) = spelled.strip_prefix(b"block-") {
                    let (major, minor) = numbers(rest)?;
                    RecordedType::BlockDevice { major, minor }
                } else {
                    let (major, minor) = numbers(spelled.strip_prefix(b"char-")?)?;
                    RecordedType::CharDevice { major, minor }
                }
            }
        })
    }

    /// `Some(None)`: the bits say nothing, or a device whose number they lack. `None`: no such type.
    fn from_type_bits(bits: u32) -> Option<Option<Self>> {
        Some(match bits {
            0 | 0o020_000 | 0o060_000 => None,
            0o010_000 => Some(RecordedType::Fifo),
            0o040_000 => Some(RecordedType::Directory),
            0o100_000 => Some(RecordedType::Regular),
            0o120_000 => Some(RecordedType::Symlink),
            0o140_000 => Some(RecordedType::Socket),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(uid: u32, gid: u32, perm: u32, kind: Option<RecordedType>) -> StatRecord {
        StatRecord { uid, gid, perm, kind }
    }

    #[test]
    fn records_are_read() {
        for (value, expected) in [
            ("0:0:0755", record(0, 0, 0o755, None)),
            ("0:0:755", record(0, 0, 0o755, None)),
            ("1000:4294967295:4711:file", record(1000, u32::MAX, 0o4711, Some(RecordedType::Regular))),
            ("1:2:1777:dir", record(1, 2, 0o1777, Some(RecordedType::Directory))),
            ("1:2:0777:symlink", record(1, 2, 0o777, Some(RecordedType::Symlink))),
            ("1:2:0:pipe", record(1, 2, 0, Some(RecordedType::Fifo))),
            ("1:2:0600:socket", record(1, 2, 0o600, Some(RecordedType::Socket))),
            (
                "0:6:0660:block-8-0",
                record(0, 6, 0o660, Some(RecordedType::BlockDevice { major: 8, minor: 0 })),
            ),
            ("0:0:0666:char-1-3", record(0, 0, 0o666, Some(RecordedType::CharDevice { major: 1, minor: 3 }))),
            // Written by fuse-overlayfs 1.10.
            ("0:0:104755", record(0, 0, 0o4755, Some(RecordedType::Regular))),
            ("0:0:40755", record(0, 0, 0o755, Some(RecordedType::Directory))),
            ("0:0:20666", record(0, 0, 0o666, None)),
        ] {
            assert_eq!(StatRecord::decode(value.as_bytes()), Ok(expected), "{value}");
        }
    }

    #[test]
    fn other_shapes_are_corrupt() {
        for bad in [
            "",
            "0",
            "0:0",
            "0:0:",
            ":0:0755",
            "0::0755",
            "-1:0:0755",
            "+1:0:0755",
            " 1:0:0755",
            "0:0:0788",
            "0:0:+755",
            "0:0:200000",
            "0:0:170755",
            "4294967296:0:0755",
            "0:0:0755:",
            "0:0:0755:door",
            "0:0:0755:file:x",
            "0:0:0755:block",
            "0:0:0755:block-",
            "0:0:0755:block-1",
            "0:0:0755:block-1-2-3",
            "0:0:0755:char--1-2",
            "0:0:0755:char-1-x",
            "0:0:0755:FILE",
            "0:0:0755\n",
            "0:0:0x1",
        ] {
            assert!(StatRecord::decode(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(StatRecord::decode(b"0:0:\xff").is_err());
        assert!(StatRecord::decode("0:0:\u{665}".as_bytes()).is_err());
    }

    #[test]
    fn a_records_mode_has_four_digits() {
        assert_eq!(record(5, 6, 0o44, None).encode(), b"5:6:0044");
        assert_eq!(record(0, 0, 0o4755, Some(RecordedType::Regular)).encode(), b"0:0:4755:file");
    }

    fn any_kind() -> impl Strategy<Value = Option<RecordedType>> {
        prop_oneof![
            Just(None),
            Just(Some(RecordedType::Regular)),
            Just(Some(RecordedType::Directory)),
            Just(Some(RecordedType::Symlink)),
            Just(Some(RecordedType::Fifo)),
            Just(Some(RecordedType::Socket)),
            any::<(u32, u32)>().prop_map(|(major, minor)| Some(RecordedType::BlockDevice { major, minor })),
            any::<(u32, u32)>().prop_map(|(major, minor)| Some(RecordedType::CharDevice { major, minor })),
        ]
    }

    proptest! {
        #[test]
        fn encoding_comes_back(uid: u32, gid: u32, perm in 0..=0o7777u32, kind in any_kind()) {
            let record = record(uid, gid, perm, kind);
            prop_assert_eq!(StatRecord::decode(&record.encode()), Ok(record));
        }

        #[test]
        fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..40), text in "[0-9:a-z-]{0,30}") {
            for value in [&bytes[..], text.as_bytes()] {
                if let Ok(record) = StatRecord::decode(value) {
                    prop_assert_eq!(StatRecord::decode(&record.encode()), Ok(record));
                }
            }
        }
    }
}
