//! Requests: from bytes to typed values. Every byte is checked; nothing here can panic.

use std::fmt;

use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::abi::{self, flag, opcode};
use crate::error::{Error, Kind};
use crate::overlay::{
    Access, AclSgid, AttrChange, Caller, Existing, FallocateMode, FileKind, FilePlace, HandleId, KillPriv,
    Listing, NodeId, OpenMode, Rdev, RenameMode, Seek, SpecialKind, Sync, TimeChange, Timestamp, Truncate,
    Trusted, WriteCause, XattrMode,
};
use crate::path::{InvalidName, Name};

/// What a reply refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Unique(pub u64);

/// Who asks, and about what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// To be repeated in the reply.
    pub unique: Unique,
    /// The node it is about; for requests with a name, the directory that holds it.
    pub node: NodeId,
    /// File-system user id of the caller.
    pub uid: u32,
    /// File-system group id of the caller.
    pub gid: u32,
    /// Thread id of the caller; 0 where it lies outside our pid namespace.
    pub pid: u32,
}

impl Header {
    /// The caller as the owner of what is made. `umask` comes with the request (`FUSE_DONT_MASK`).
    pub fn caller(&self, umask: u32) -> Caller {
        Caller { uid: self.uid, gid: self.gid, umask: umask & 0o777 }
    }

    /// Does the caller lose suid and sgid bits by changing a file, where the request itself does not say it? The
    /// kernel asks for CAP_FSETID, which a request does not tell; root is who has it.
    pub fn kill_priv(&self) -> KillPriv {
        if self.uid == 0 { KillPriv::Keep } else { KillPriv::Kill { gid: self.gid } }
    }

    /// Does the caller see `trusted.` attributes? The kernel filters lists of its own file systems by CAP_SYS_ADMIN,
    /// those of FUSE it leaves to us; root is who has it.
    pub fn trusted(&self) -> Trusted {
        if self.uid == 0 { Trusted::Shown } else { Trusted::Hidden }
    }
}

/// Bytes of a request that are no name of a directory entry: data, an attribute's name or value, a link's target.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Bytes<'a>(pub &'a [u8]);

/// Readable, and never long: a WRITE may hold a megabyte.
impl fmt::Debug for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_at_checked(64) {
            Some((start, rest)) if !rest.is_empty() => {
                write!(f, "\"{}\"... ({} bytes)", start.escape_ascii(), self.0.len())
            }
            _ => write!(f, "\"{}\"", self.0.escape_ascii()),
        }
    }
}

/// A decoded request; names and data borrow from its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What its kind is called in messages: `LOOKUP`.
    pub kind: &'static str,
    /// Who asks, and about what.
    pub header: Header,
    /// What is asked.
    pub body: Body<'a>,
}

/// How much room the caller of getxattr or listxattr has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// It asks for the length only.
    Probe,
    /// This many bytes; a longer answer is ERANGE.
    Bytes(u32),
}

/// In which form the length of a copy_file_range is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyAnswer {
    /// As a WRITE's (`FUSE_COPY_FILE_RANGE`): 32 bits.
    Narrow,
    /// `FUSE_COPY_FILE_RANGE_64`.
    Wide,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // the fields are the arguments of the system call of that name
pub enum Body<'a> {
    Lookup { name: Name<'a> },
    Forget { count: u64 },
    BatchForget(Forgets<'a>),
    Getattr,
    Statx,
    Setattr { handle: Option<HandleId>, change: AttrChange },
    Readlink,
    Symlink { name: Name<'a>, target: Bytes<'a> },
    Mknod { name: Name<'a>, kind: SpecialKind, perm: u32, umask: u32 },
    Mkdir { name: Name<'a>, perm: u32, umask: u32 },
    Unlink { name: Name<'a> },
    Rmdir { name: Name<'a> },
    Rename { name: Name<'a>, new_dir: NodeId, new_name: Name<'a>, mode: RenameMode },
    Link { node: NodeId, name: Name<'a> },
    Open { mode: OpenMode },
    Create { name: Name<'a>, perm: u32, umask: u32, mode: OpenMode, existing: Existing },
    Tmpfile { perm: u32, umask: u32, access: Access },
    Read { handle: HandleId, offset: u64, size: u32 },
    Write { handle: HandleId, offset: u64, data: Bytes<'a>, kill: KillPriv, cause: WriteCause },
    Statfs,
    Release { handle: HandleId },
    Fsync { handle: HandleId, sync: Sync },
    FsyncDir { sync: Sync },
    Setxattr { name: Bytes<'a>, value: Bytes<'a>, mode: XattrMode, sgid: AclSgid },
    Getxattr { name: Bytes<'a>, room: Room },
    Listxattr { room: Room },
    Removexattr { name: Bytes<'a> },
    Readdir { cookie: u64, size: u32, listing: Listing },
    Fallocate { handle: HandleId, mode: FallocateMode, offset: u64, len: u64 },
    Lseek { handle: HandleId, offset: u64, seek: Seek },
    CopyFileRange { from: FilePlace, to: FilePlace, len: u64, answer: CopyAnswer },
    Interrupt { of: Unique },
    Flush,
    Opendir,
    Releasedir,
    Access,
    Ioctl,
    Poll,
    Destroy,
    Unknown(u32),
}

impl Body<'_> {
    /// Does the kernel wait for a reply to it?
    pub fn has_reply(&self) -> bool {
        !matches!(self, Body::Forget { .. } | Body::BatchForget(_) | Body::Interrupt { .. })
    }
}

/// The pairs of a `FUSE_BATCH_FORGET`.
#[derive(Clone, Copy)]
pub struct Forgets<'a>(&'a [u8]);

impl fmt::Debug for Forgets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(node, count)| (node.0, count))).finish()
    }
}

impl Forgets<'_> {
    /// Each node, and by how much its lookup count falls.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, u64)> + '_ {
        self.0
            .chunks_exact(size_of::<abi::ForgetOne>())
            .filter_map(|bytes| abi::ForgetOne::read_from_bytes(bytes).ok())
            .map(|one| (NodeId(one.nodeid), one.nlookup))
    }
}

/// A request that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    /// Whom to answer; `None` where there is no header to be read, or a request of a kind that has no reply.
    pub unique: Option<Unique>,
    /// What is wrong with it.
    pub error: Error,
}

/// Decodes the bytes of one request, exactly as they were read from the kernel.
///
/// # Errors
/// `Protocol` where the bytes do not make the request they claim to be, `NameTooLong` for a name over 255 bytes,
/// `Invalid` or `Unsupported` for arguments that no file system of ours takes.
pub fn decode(bytes: &[u8]) -> Result<Request<'_>, DecodeError> {
    let Ok((raw, rest)) = abi::InHeader::read_from_prefix(bytes) else {
        let error = Error::new("decode a request", Kind::Protocol("shorter than its header"));
        return Err(DecodeError { unique: None, error });
    };
    let header = Header {
        unique: Unique(raw.unique),
        node: NodeId(raw.nodeid),
        uid: raw.uid,
        gid: raw.gid,
        pid: raw.pid,
    };
    let kind = opcode::name(raw.opcode);
    decode_body(&raw, bytes.len(), rest).map(|body| Request { kind, header, body }).map_err(|error| {
        DecodeError {
            unique: match raw.opcode {
                opcode::FORGET | opcode::BATCH_FORGET | opcode::INTERRUPT => None,
                _ => Some(header.unique),
            },
            error: Error::new(kind, error),
        }
    })
}

fn decode_body<'a>(header: &abi::InHeader, read: usize, rest: &'a [u8]) -> Result<Body<'a>, Kind> {
    if usize::try_from(header.len) != Ok(read) {
        return Err(Kind::Protocol("its length is not what was read"));
    }
    // Extensions (security contexts, supplementary groups) stand at the end; we ask for none of them.
    let extensions = usize::from(header.total_extlen) * 8;
    let body = rest
        .len()
        .checked_sub(extensions)
        .and_then(|len| rest.get(..len))
        .ok_or(Kind::Protocol("its extensions are longer than it is"))?;
    let mut args = Args(body);

    Ok(match header.opcode {
        opcode::LOOKUP => Body::Lookup { name: args.name()? },
        opcode::FORGET => Body::Forget { count: args.take::<abi::ForgetIn>()?.nlookup },
        opcode::BATCH_FORGET => {
            let count = args.take::<abi::BatchForgetIn>()?.count;
            let len = usize::try_from(count).ok().and_then(|n| n.checked_mul(size_of::<abi::ForgetOne>()));
            Body::BatchForget(Forgets(args.bytes(len.ok_or(Kind::Protocol("its count is absurd"))?)?.0))
        }
        // Their arguments name a handle at most, and attributes are those of the node either way.
        opcode::GETATTR => Body::Getattr,
        opcode::STATX => Body::Statx,
        opcode::SETATTR => setattr(header, &args.take()?)?,
        opcode::READLINK => Body::Readlink,
        opcode::SYMLINK => Body::Symlink { name: args.name()?, target: args.string()? },
        opcode::MKNOD => {
            let arg = args.take::<abi::MknodIn>()?;
            Body::Mknod {
                name: args.name()?,
                kind: special_kind(arg.mode, arg.rdev)?,
                perm: permissions(arg.mode),
                umask: arg.umask,
            }
        }
        opcode::MKDIR => {
            let arg = args.take::<abi::MkdirIn>()?;
            Body::Mkdir { name: args.name()?, perm: permissions(arg.mode), umask: arg.umask }
        }
        opcode::UNLINK => Body::Unlink { name: args.name()? },
        opcode::RMDIR => Body::Rmdir { name: args.name()? },
        opcode::RENAME => {
            let arg = args.take::<abi::RenameIn>()?;
            rename(&mut args, arg.newdir, 0)?
        }
        opcode::RENAME2 => {
            let arg = args.take::<abi::Rename2In>()?;
            rename(&mut args, arg.newdir, arg.flags)?
        }
        opcode::LINK => {
            let arg = args.take::<abi::LinkIn>()?;
            Body::Link { node: NodeId(arg.oldnodeid), name: args.name()? }
        }
        opcode::OPEN => {
            let arg = args.take::<abi::OpenIn>()?;
            Body::Open { mode: open_mode(header, arg.flags, arg.open_flags) }
        }
        opcode::CREATE => {
            let arg = args.take::<abi::CreateIn>()?;
            Body::Create {
                name: args.name()?,
                perm: permissions(arg.mode),
                umask: arg.umask,
                mode: open_mode(header, arg.flags, arg.open_flags),
                existing: match has(arg.flags, libc::O_EXCL as u32) {
                    true => Existing::Refuse,
                    false => Existing::Open,
                },
            }
        }
        opcode::TMPFILE => {
            // A name follows which means nothing: the file has none.
            let arg = args.take::<abi::CreateIn>()?;
            Body::Tmpfile { perm: permissions(arg.mode), umask: arg.umask, access: access(arg.flags) }
        }
        opcode::READ => {
            let arg = args.take::<abi::ReadIn>()?;
            Body::Read { handle: HandleId(arg.fh), offset: offset(arg.offset)?, size: arg.size }
        }
        opcode::WRITE => write(header, &mut args)?,
        opcode::STATFS => Body::Statfs,
        opcode::RELEASE => Body::Release { handle: HandleId(args.take::<abi::ReleaseIn>()?.fh) },
        opcode::FSYNC => {
            let arg = args.take::<abi::FsyncIn>()?;
            Body::Fsync { handle: HandleId(arg.fh), sync: sync(arg.fsync_flags) }
        }
        opcode::FSYNCDIR => Body::FsyncDir { sync: sync(args.take::<abi::FsyncIn>()?.fsync_flags) },
        opcode::SETXATTR => setxattr(&mut args)?,
        opcode::GETXATTR => {
            let room = room(args.take::<abi::GetxattrIn>()?.size);
            Body::Getxattr { name: args.xattr_name()?, room }
        }
        opcode::LISTXATTR => Body::Listxattr { room: room(args.take::<abi::GetxattrIn>()?.size) },
        opcode::REMOVEXATTR => Body::Removexattr { name: args.xattr_name()? },
        opcode::READDIR => readdir(&args.take()?, Listing::Names),
        opcode::READDIRPLUS => readdir(&args.take()?, Listing::Plus),
        opcode::FALLOCATE => {
            let arg = args.take::<abi::FallocateIn>()?;
            Body::Fallocate {
                handle: HandleId(arg.fh),
                mode: FallocateMode::from_bits(arg.mode).ok_or(Kind::Unsupported("this fallocate mode"))?,
                offset: offset(arg.offset)?,
                len: offset(arg.length)?,
            }
        }
        opcode::LSEEK => {
            let arg = args.take::<abi::LseekIn>()?;
            let seek = match i32::try_from(arg.whence) {
                Ok(libc::SEEK_DATA) => Seek::Data,
                Ok(libc::SEEK_HOLE) => Seek::Hole,
                _ => return Err(Kind::Invalid("only SEEK_DATA and SEEK_HOLE are asked of a file system")),
            };
            Body::Lseek { handle: HandleId(arg.fh), offset: offset(arg.offset)?, seek }
        }
        opcode::COPY_FILE_RANGE => copy_file_range(&args.take()?, CopyAnswer::Narrow)?,
        opcode::COPY_FILE_RANGE_64 => copy_file_range(&args.take()?, CopyAnswer::Wide)?,
        opcode::INTERRUPT => Body::Interrupt { of: Unique(args.take::<abi::InterruptIn>()?.unique) },
        opcode::FLUSH => Body::Flush,
        opcode::OPENDIR => Body::Opendir,
        opcode::RELEASEDIR => Body::Releasedir,
        opcode::ACCESS => Body::Access,
        opcode::IOCTL => Body::Ioctl,
        opcode::POLL => Body::Poll,
        opcode::DESTROY => Body::Destroy,
        other => Body::Unknown(other),
    })
}

/// What is left of a request's arguments.
struct Args<'a>(&'a [u8]);

impl<'a> Args<'a> {
    fn take<T: FromBytes + KnownLayout + Immutable>(&mut self) -> Result<T, Kind> {
        let (value, rest) =
            T::read_from_prefix(self.0).map_err(|_| Kind::Protocol("shorter than its arguments"))?;
        self.0 = rest;
        Ok(value)
    }

    fn bytes(&mut self, len: usize) -> Result<Bytes<'a>, Kind> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(Kind::Protocol("shorter than its data"))?;
        self.0 = rest;
        Ok(Bytes(bytes))
    }

    /// The bytes up to a NUL; there is at least one.
    fn string(&mut self) -> Result<Bytes<'a>, Kind> {
        let end = self.0.iter().position(|b| *b == 0).ok_or(Kind::Protocol("a string without its end"))?;
        let string = self.bytes(end)?;
        self.bytes(1)?;
        if string.0.is_empty() { Err(Kind::Protocol("an empty string")) } else { Ok(string) }
    }

    fn name(&mut self) -> Result<Name<'a>, Kind> {
        Name::new(self.string()?.0).map_err(|invalid| match invalid {
            InvalidName::TooLong => Kind::NameTooLong,
            InvalidName::Empty => Kind::Protocol("an empty name"),
            InvalidName::Separator => Kind::Protocol("a name with a slash"),
            InvalidName::Dots => Kind::Protocol("a name that is . or .."),
        })
    }

    fn xattr_name(&mut self) -> Result<Bytes<'a>, Kind> {
        let name = self.string()?;
        // XATTR_NAME_MAX, and the kernel's own errno for it.
        if name.0.len() > 255 { Err(Kind::BufferTooSmall) } else { Ok(name) }
    }
}

fn has(flags: u32, bit: u32) -> bool {
    flags & bit != 0
}

fn permissions(mode: u32) -> u32 {
    mode & 0o7777
}

/// File offsets and lengths are signed in every system call below us.
fn offset(raw: u64) -> Result<u64, Kind> {
    if i64::try_from(raw).is_ok() { Ok(raw) } else { Err(Kind::Invalid("an offset beyond 2^63")) }
}

fn kill(header: &abi::InHeader, flags: u32, bit: u32) -> KillPriv {
    if has(flags, bit) { KillPriv::Kill { gid: header.gid } } else { KillPriv::Keep }
}

fn room(size: u32) -> Room {
    if size == 0 { Room::Probe } else { Room::Bytes(size) }
}

fn sync(flags: u32) -> Sync {
    if has(flags, flag::FSYNC_FDATASYNC) { Sync::DataOnly } else { Sync::All }
}

/// The fourth value of O_ACCMODE opens for neither reading nor writing (for ioctl only), so nothing is copied up.
fn access(flags: u32) -> Access {
    match (flags & libc::O_ACCMODE as u32) as i32 {
        libc::O_WRONLY => Access::Write,
        libc::O_RDWR => Access::ReadWrite,
        _ => Access::Read,
    }
}

fn open_mode(header: &abi::InHeader, flags: u32, open_flags: u32) -> OpenMode {
    let truncate = match has(flags, libc::O_TRUNC as u32) {
        true => Truncate::Empty(kill(header, open_flags, flag::OPEN_KILL_SUIDGID)),
        false => Truncate::Keep,
    };
    OpenMode { access: access(flags), truncate }
}

/// The kernel's 32-bit form of a device number: 12 bits of major between the low 8 and the high 12 of minor.
fn device(raw: u32) -> Rdev {
    Rdev { major: (raw >> 8) & 0xfff, minor: (raw & 0xff) | ((raw >> 12) & 0xfff00) }
}

fn special_kind(mode: u32, rdev: u32) -> Result<SpecialKind, Kind> {
    match FileKind::from_mode(mode) {
        Some(FileKind::Regular) => Ok(SpecialKind::Regular),
        Some(FileKind::Fifo) => Ok(SpecialKind::Fifo),
        Some(FileKind::Socket) => Ok(SpecialKind::Socket),
        Some(FileKind::CharDevice) => Ok(SpecialKind::CharDevice(device(rdev))),
        Some(FileKind::BlockDevice) => Ok(SpecialKind::BlockDevice(device(rdev))),
        Some(FileKind::Directory | FileKind::Symlink) | None => Err(Kind::Invalid("mknod of this type")),
    }
}

fn setattr<'a>(header: &abi::InHeader, arg: &abi::SetattrIn) -> Result<Body<'a>, Kind> {
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
    Ok(Body::Setattr { handle: given(flag::FATTR_FH).then_some(HandleId(arg.fh)), change })
}

fn rename<'a>(args: &mut Args<'a>, new_dir: u64, flags: u32) -> Result<Body<'a>, Kind> {
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

fn write<'a>(header: &abi::InHeader, args: &mut Args<'a>) -> Result<Body<'a>, Kind> {
    let arg = args.take::<abi::WriteIn>()?;
    let size = usize::try_from(arg.size).map_err(|_| Kind::Protocol("its size is absurd"))?;
    offset(arg.offset.checked_add(u64::from(arg.size)).ok_or(Kind::Invalid("an offset beyond 2^63"))?)?;
    Ok(Body::Write {
        handle: HandleId(arg.fh),
        offset: arg.offset,
        data: args.bytes(size)?,
        kill: kill(header, arg.write_flags, flag::WRITE_KILL_SUIDGID),
        cause: match has(arg.write_flags, flag::WRITE_CACHE) {
            true => WriteCause::PageCache,
            false => WriteCause::Caller,
        },
    })
}

fn setxattr<'a>(args: &mut Args<'a>) -> Result<Body<'a>, Kind> {
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

fn readdir<'a>(arg: &abi::ReadIn, listing: Listing) -> Body<'a> {
    Body::Readdir { cookie: arg.offset, size: arg.size, listing }
}

fn copy_file_range<'a>(arg: &abi::CopyFileRangeIn, answer: CopyAnswer) -> Result<Body<'a>, Kind> {
    if arg.flags != 0 {
        return Err(Kind::Invalid("copy_file_range flags"));
    }
    Ok(Body::CopyFileRange {
        from: FilePlace { handle: HandleId(arg.fh_in), offset: offset(arg.off_in)? },
        to: FilePlace { handle: HandleId(arg.fh_out), offset: offset(arg.off_out)? },
        len: arg.len,
        answer,
    })
}
