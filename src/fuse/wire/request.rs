//! Requests: from bytes to typed values. Every byte is checked; nothing here can panic.

mod args;

use std::fmt;

use zerocopy::FromBytes;

use self::args::{
    Args, access, copy_file_range, file, has, offset, open_mode, permissions, readdir, rename, room, setattr,
    setxattr, special_kind, sync, write,
};
use super::abi::{self, opcode};
use crate::error::{Error, Kind};
use crate::overlay::{
    Access, AclSgid, AttrChange, Caller, Existing, FallocateMode, FilePlace, FileRef, HandleId, KillPriv,
    Listing, NodeId, OpenMode, RenameMode, Seek, SpecialKind, Sync, Trusted, WriteCause, XattrMode,
};
use crate::path::Name;

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
    Setattr { file: Option<FileRef>, change: AttrChange },
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
    Read { file: FileRef, offset: u64, size: u32 },
    Write { file: FileRef, offset: u64, data: Bytes<'a>, kill: KillPriv, cause: WriteCause },
    Statfs,
    Release { handle: HandleId },
    Fsync { file: FileRef, sync: Sync },
    FsyncDir { sync: Sync },
    Setxattr { name: Bytes<'a>, value: Bytes<'a>, mode: XattrMode, sgid: AclSgid },
    Getxattr { name: Bytes<'a>, room: Room },
    Listxattr { room: Room },
    Removexattr { name: Bytes<'a> },
    Readdir { cookie: u64, size: u32, listing: Listing },
    Fallocate { file: FileRef, mode: FallocateMode, offset: u64, len: u64 },
    Lseek { file: FileRef, offset: u64, seek: Seek },
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

/// What can be seen of a request at a glance, before it is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glance {
    /// The thread that asks; 0 where it lies outside our pid namespace, or is the kernel's.
    pub caller: u32,
    /// How many bytes it moves about: its own, or of a READ those that are asked for.
    pub moves: usize,
}

/// Looks at the bytes of a request, whether or not they can be decoded.
pub fn glance(bytes: &[u8]) -> Glance {
    let Ok((header, rest)) = abi::InHeader::read_from_prefix(bytes) else {
        return Glance { caller: 0, moves: bytes.len() };
    };
    let asked = match (header.opcode, abi::ReadIn::read_from_prefix(rest)) {
        (opcode::READ, Ok((read, _))) => usize::try_from(read.size).unwrap_or(usize::MAX),
        _ => 0,
    };
    Glance { caller: header.pid, moves: bytes.len().max(asked) }
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
            Body::Read { file: file(header.nodeid, arg.fh), offset: offset(arg.offset)?, size: arg.size }
        }
        opcode::WRITE => write(header, &mut args)?,
        opcode::STATFS => Body::Statfs,
        opcode::RELEASE => Body::Release { handle: HandleId(args.take::<abi::ReleaseIn>()?.fh) },
        opcode::FSYNC => {
            let arg = args.take::<abi::FsyncIn>()?;
            Body::Fsync { file: file(header.nodeid, arg.fh), sync: sync(arg.fsync_flags) }
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
                file: file(header.nodeid, arg.fh),
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
            Body::Lseek { file: file(header.nodeid, arg.fh), offset: offset(arg.offset)?, seek }
        }
        opcode::COPY_FILE_RANGE => copy_file_range(header, &args.take()?, CopyAnswer::Narrow)?,
        opcode::COPY_FILE_RANGE_64 => copy_file_range(header, &args.take()?, CopyAnswer::Wide)?,
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
