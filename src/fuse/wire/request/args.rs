//! The arguments of requests: structures, names and flags, each checked.

use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::super::abi::{self, flag};
use super::{Body, Bytes, CopyAnswer, Room};
use crate::error::Kind;
use crate::overlay::{
    Access, AclSgid, AttrChange, FileKind, FilePlace, FileRef, HandleId, KillPriv, Listing, NodeId, OpenMode,
    Rdev, RenameMode, SpecialKind, Sync, TimeChange, Timestamp, Truncate, WriteCause, XattrMode,
};
use crate::path::{InvalidName, Name};

/// What is left of a request's arguments.
pub(super) struct Args<'a>(pub(super) &'a [u8]);

impl<'a> Args<'a> {
    pub(super) fn take<T: FromBytes + KnownLayout + Immutable>(&mut self) -> Result<T, Kind> {
        let (value, rest) =
            T::read_from_prefix(self.0).map_err(|_| Kind::Protocol("shorter than its arguments"))?;
        self.0 = rest;
        Ok(value)
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<Bytes<'a>, Kind> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(Kind::Protocol("shorter than its data"))?;
        self.0 = rest;
        Ok(Bytes(bytes))
    }

    /// The bytes up to a NUL; there is at least one.
    pub(super) fn string(&mut self) -> Result<Bytes<'a>, Kind> {
        let end = self.0.iter().position(|b| *b == 0).ok_or(Kind::Protocol("a string without its end"))?;
        let string = self.bytes(end)?;
        self.bytes(1)?;
        if string.0.is_empty() { Err(Kind::Protocol("an empty string")) } else { Ok(string) }
    }

    pub(super) fn name(&mut self) -> Result<Name<'a>, Kind> {
        Name::new(self.string()?.0).map_err(|invalid| match invalid {
            InvalidName::TooLong => Kind::NameTooLong,
            InvalidName::Empty => Kind::Protocol("an empty name"),
            InvalidName::Separator => Kind::Protocol("a name with a slash"),
            InvalidName::Dots => Kind::Protocol("a name that is . or .."),
        })
    }

    pub(super) fn xattr_name(&mut self) -> Result<Bytes<'a>, Kind> {
        let name = self.string()?;
        // XATTR_NAME_MAX, and the kernel's own errno for it.
        if name.0.len() > 255 { Err(Kind::BufferTooSmall) } else { Ok(name) }
    }
}

pub(super) fn has(flags: u32, bit: u32) -> bool {
    flags & bit != 0
}

pub(super) fn permissions(mode: u32) -> u32 {
    mode & 0o7777
}

/// Handles begin with 1. The kernel names a file that it has opened by itself by 0, and its node.
pub(super) fn file(node: u64, handle: u64) -> FileRef {
    if handle == 0 { FileRef::Node(NodeId(node)) } else { FileRef::Handle(HandleId(handle)) }
}

/// File offsets and lengths are signed in every system call below us.
pub(super) fn offset(raw: u64) -> Result<u64, Kind> {
    if i64::try_from(raw).is_ok() { Ok(raw) } else { Err(Kind::Invalid("an offset beyond 2^63")) }
}

pub(super) fn kill(header: &abi::InHeader, flags: u32, bit: u32) -> KillPriv {
    if has(flags, bit) { KillPriv::Kill { gid: header.gid } } else { KillPriv::Keep }
}

pub(super) fn room(size: u32) -> Room {
    if size == 0 { Room::Probe } else { Room::Bytes(size) }
}

pub(super) fn sync(flags: u32) -> Sync {
    if has(flags, flag::FSYNC_FDATASYNC) { Sync::DataOnly } else { Sync::All }
}

/// The fourth value of O_ACCMODE opens for neither reading nor writing (for ioctl only), so nothing is copied up.
pub(super) fn access(flags: u32) -> Access {
    match (flags & libc::O_ACCMODE as u32) as i32 {
        libc::O_WRONLY => Access::Write,
        libc::O_RDWR => Access::ReadWrite,
        _ => Access::Read,
    }
}

pub(super) fn open_mode(header: &abi::InHeader, flags: u32, open_flags: u32) -> OpenMode {
    let truncate = match has(flags, libc::O_TRUNC as u32) {
        true => Truncate::Empty(kill(header, open_flags, flag::OPEN_KILL_SUIDGID)),
        false => Truncate::Keep,
    };
    OpenMode { access: access(flags), truncate }
}

/// The kernel's 32-bit form of a device number: 12 bits of major between the low 8 and the high 12 of minor.
pub(super) fn device(raw: u32) -> Rdev {
    Rdev { major: (raw >> 8) & 0xfff, minor: (raw & 0xff) | ((raw >> 12) & 0xfff00) }
}

pub(super) fn special_kind(mode: u32, rdev: u32) -> Result<SpecialKind, Kind> {
    match FileKind::from_mode(mode) {
        Some(FileKind::Regular) => Ok(SpecialKind::Regular),
        Some(FileKind::Fifo) => Ok(SpecialKind::Fifo),
        Some(FileKind::Socket) => Ok(SpecialKind::Socket),
        Some(FileKind::CharDevice) => Ok(SpecialKind::CharDevice(device(rdev))),
        Some(FileKind::BlockDevice) => Ok(SpecialKind::BlockDevice(device(rdev))),
        Some(FileKind::Directory | FileKind::Symlink) | None => Err(Kind::Invalid("mknod of this type")),
    }
}

pub(super) fn setattr<'a>(header: &abi::InHeader, arg: &abi::SetattrIn) -> Result<Body<'a>, Kind> {
    let given = |bit: u32| has(arg.valid, bit);
    let time = |set: u32, now: u32, sec: u64, nsec: u32| -> Result<Option<TimeChange>, Kind> {
        if given(now) {
            return Ok(Some(TimeChange::Now));
        }
        if !given(set) {
            return Ok(None);
        }
        if nsec >= 1_000_000_000 {
            return Err(Kind::Protocol("nanoseconds of a second or more"));
        }
        // Seconds before 1970 travel as two's complement.
        Ok(Some(TimeChange::To(Timestamp { sec: sec as i64, nsec })))
    };
    let mut change = AttrChange {
        perm: given(flag::FATTR_MODE).then_some(permissions(arg.mode)),
        uid: given(flag::FATTR_UID).then_some(arg.uid),
        gid: given(flag::FATTR_GID).then_some(arg.gid),
        size: if given(flag::FATTR_SIZE) { Some(offset(arg.size)?) } else { None },
        atime: time(flag::FATTR_ATIME, flag::FATTR_ATIME_NOW, arg.atime, arg.atimensec)?,
        mtime: time(flag::FATTR_MTIME, flag::FATTR_MTIME_NOW, arg.mtime, arg.mtimensec)?,
        kill_priv: kill(header, arg.valid, flag::FATTR_KILL_SUIDGID),
    };
    // By a chown of root's the bits go as far as chown(2) takes them, and for no other reason.
    if header.uid == 0 && change.size.is_none() {
        change.kill_priv = KillPriv::Keep;
    } else if change.is_nothing() {
        change.kill_priv = KillPriv::Kill { gid: header.gid };
    }
    Ok(Body::Setattr { file: given(flag::FATTR_FH).then_some(file(header.nodeid, arg.fh)), change })
}

pub(super) fn rename<'a>(args: &mut Args<'a>, new_dir: u64, flags: u32) -> Result<Body<'a>, Kind> {
    let mode = match flags {
        0 => RenameMode::Replace,
        flag::RENAME_NOREPLACE => RenameMode::NoReplace,
        flag::RENAME_EXCHANGE => RenameMode::Exchange,
        _ if has(flags, flag::RENAME_WHITEOUT) => {
            return Err(Kind::Invalid("RENAME_WHITEOUT through a union"));
        }
        _ => return Err(Kind::Invalid("these rename flags")),
    };
    Ok(Body::Rename { name: args.name()?, new_dir: NodeId(new_dir), new_name: args.name()?, mode })
}

pub(super) fn write<'a>(header: &abi::InHeader, args: &mut Args<'a>) -> Result<Body<'a>, Kind> {
    let arg = args.take::<abi::WriteIn>()?;
    let size = usize::try_from(arg.size).map_err(|_| Kind::Protocol("its size is absurd"))?;
    offset(arg.offset.checked_add(u64::from(arg.size)).ok_or(Kind::Invalid("an offset beyond 2^63"))?)?;
    Ok(Body::Write {
        file: file(header.nodeid, arg.fh),
        offset: arg.offset,
        data: args.bytes(size)?,
        kill: kill(header, arg.write_flags, flag::WRITE_KILL_SUIDGID),
        cause: match has(arg.write_flags, flag::WRITE_CACHE) {
            true => WriteCause::PageCache,
            false => WriteCause::Caller,
        },
    })
}

pub(super) fn setxattr<'a>(args: &mut Args<'a>) -> Result<Body<'a>, Kind> {
    let arg = args.take::<abi::SetxattrIn>()?;
    let name = args.xattr_name()?;
    let size = usize::try_from(arg.size).map_err(|_| Kind::Protocol("its size is absurd"))?;
    Ok(Body::Setxattr {
        name,
        value: args.bytes(size)?,
        mode: match arg.flags {
            0 => XattrMode::Set,
            flag::XATTR_CREATE => XattrMode::Create,
            flag::XATTR_REPLACE => XattrMode::Replace,
            _ => return Err(Kind::Invalid("these setxattr flags")),
        },
        sgid: match has(arg.setxattr_flags, flag::SETXATTR_ACL_KILL_SGID) {
            true => AclSgid::Kill,
            false => AclSgid::Keep,
        },
    })
}

pub(super) fn readdir<'a>(arg: &abi::ReadIn, listing: Listing) -> Body<'a> {
    Body::Readdir { cookie: arg.offset, size: arg.size, listing }
}

pub(super) fn copy_file_range<'a>(
    header: &abi::InHeader,
    arg: &abi::CopyFileRangeIn,
    answer: CopyAnswer,
) -> Result<Body<'a>, Kind> {
    if arg.flags != 0 {
        return Err(Kind::Invalid("copy_file_range flags"));
    }
    Ok(Body::CopyFileRange {
        from: FilePlace { file: file(header.nodeid, arg.fh_in), offset: offset(arg.off_in)? },
        to: FilePlace { file: file(arg.nodeid_out, arg.fh_out), offset: offset(arg.off_out)? },
        len: arg.len,
        answer,
    })
}
