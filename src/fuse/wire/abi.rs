//! The kernel's structures, laid out as it writes and reads them: `include/uapi/linux/fuse.h` of Linux 6.18, interface
//! 7.45. Names and fields are the kernel's; a field that nothing here reads keeps its place under a leading underscore.

#![allow(missing_docs)] // the source above documents each field

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Declares structures that are read from requests.
macro_rules! incoming {
    ($($(#[$meta:meta])* struct $name:ident { $($field:ident: $ty:ty,)* })*) => {$(
        $(#[$meta])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, FromBytes, Immutable, KnownLayout)]
        pub struct $name { $(pub $field: $ty,)* }
    )*};
}

/// Declares structures that are written into replies.
macro_rules! outgoing {
    ($($(#[$meta:meta])* struct $name:ident { $($field:ident: $ty:ty,)* })*) => {$(
        $(#[$meta])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
        pub struct $name { $(pub $field: $ty,)* }
    )*};
}

incoming! {
    struct InHeader {
        len: u32, opcode: u32, unique: u64, nodeid: u64, uid: u32, gid: u32, pid: u32,
        total_extlen: u16, _padding: u16,
    }
    struct ForgetIn { nlookup: u64, }
    struct ForgetOne { nodeid: u64, nlookup: u64, }
    struct BatchForgetIn { count: u32, _dummy: u32, }
    struct SetattrIn {
        valid: u32, _padding: u32, fh: u64, size: u64, _lock_owner: u64, atime: u64, mtime: u64, _ctime: u64,
        atimensec: u32, mtimensec: u32, _ctimensec: u32, mode: u32, _unused4: u32, uid: u32, gid: u32, _unused5: u32,
    }
    struct MknodIn { mode: u32, rdev: u32, umask: u32, _padding: u32, }
    struct MkdirIn { mode: u32, umask: u32, }
    struct RenameIn { newdir: u64, }
    struct Rename2In { newdir: u64, flags: u32, _padding: u32, }
    struct LinkIn { oldnodeid: u64, }
    struct OpenIn { flags: u32, open_flags: u32, }
    struct CreateIn { flags: u32, mode: u32, umask: u32, open_flags: u32, }
    struct ReleaseIn { fh: u64, _flags: u32, _release_flags: u32, _lock_owner: u64, }
    struct ReadIn {
        fh: u64, offset: u64, size: u32, _read_flags: u32, _lock_owner: u64, _flags: u32, _padding: u32,
    }
    struct WriteIn {
        fh: u64, offset: u64, size: u32, write_flags: u32, _lock_owner: u64, _flags: u32, _padding: u32,
    }
    struct FsyncIn { fh: u64, fsync_flags: u32, _padding: u32, }
    /// The long form, asked for with `FUSE_SETXATTR_EXT`.
    struct SetxattrIn { size: u32, flags: u32, setxattr_flags: u32, _padding: u32, }
    struct GetxattrIn { size: u32, _padding: u32, }
    struct InterruptIn { unique: u64, }
    struct FallocateIn { fh: u64, offset: u64, length: u64, mode: u32, _padding: u32, }
    struct LseekIn { fh: u64, offset: u64, whence: u32, _padding: u32, }
    struct CopyFileRangeIn {
        fh_in: u64, off_in: u64, nodeid_out: u64, fh_out: u64, off_out: u64, len: u64, flags: u64,
    }
}

outgoing! {
    struct OutHeader { len: u32, error: i32, unique: u64, }
    struct Attr {
        ino: u64, size: u64, blocks: u64, atime: u64, mtime: u64, ctime: u64,
        atimensec: u32, mtimensec: u32, ctimensec: u32, mode: u32, nlink: u32, uid: u32, gid: u32, rdev: u32,
        blksize: u32, flags: u32,
    }
    struct EntryOut {
        nodeid: u64, generation: u64, entry_valid: u64, attr_valid: u64, entry_valid_nsec: u32, attr_valid_nsec: u32,
        attr: Attr,
    }
    struct AttrOut { attr_valid: u64, attr_valid_nsec: u32, dummy: u32, attr: Attr, }
    struct OpenOut { fh: u64, open_flags: u32, backing_id: i32, }
    struct CreateOut { entry: EntryOut, open: OpenOut, }
    struct WriteOut { size: u32, padding: u32, }
    struct StatfsOut {
        blocks: u64, bfree: u64, bavail: u64, files: u64, ffree: u64, bsize: u32, namelen: u32, frsize: u32,
        padding: u32, spare: [u32; 6],
    }
    struct GetxattrOut { size: u32, padding: u32, }
    struct LseekOut { offset: u64, }
    struct CopyFileRangeOut { bytes_copied: u64, }
    struct SxTime { tv_sec: i64, tv_nsec: u32, reserved: i32, }
    struct Statx {
        mask: u32, blksize: u32, attributes: u64, nlink: u32, uid: u32, gid: u32, mode: u16, spare0: u16,
        ino: u64, size: u64, blocks: u64, attributes_mask: u64,
        atime: SxTime, btime: SxTime, ctime: SxTime, mtime: SxTime,
        rdev_major: u32, rdev_minor: u32, dev_major: u32, dev_minor: u32, spare2: [u64; 14],
    }
    struct StatxOut { attr_valid: u64, attr_valid_nsec: u32, flags: u32, spare: [u64; 2], stat: Statx, }
    struct Dirent { ino: u64, off: u64, namelen: u32, kind: u32, }
}

/// Request numbers (`enum fuse_opcode`).
pub mod opcode {
    pub const LOOKUP: u32 = 1;
    pub const FORGET: u32 = 2;
    pub const GETATTR: u32 = 3;
    pub const SETATTR: u32 = 4;
    pub const READLINK: u32 = 5;
    pub const SYMLINK: u32 = 6;
    pub const MKNOD: u32 = 8;
    pub const MKDIR: u32 = 9;
    pub const UNLINK: u32 = 10;
    pub const RMDIR: u32 = 11;
    pub const RENAME: u32 = 12;
    pub const LINK: u32 = 13;
    pub const OPEN: u32 = 14;
    pub const READ: u32 = 15;
    pub const WRITE: u32 = 16;
    pub const STATFS: u32 = 17;
    pub const RELEASE: u32 = 18;
    pub const FSYNC: u32 = 20;
    pub const SETXATTR: u32 = 21;
    pub const GETXATTR: u32 = 22;
    pub const LISTXATTR: u32 = 23;
    pub const REMOVEXATTR: u32 = 24;
    pub const FLUSH: u32 = 25;
    pub const OPENDIR: u32 = 27;
    pub const READDIR: u32 = 28;
    pub const RELEASEDIR: u32 = 29;
    pub const FSYNCDIR: u32 = 30;
    pub const ACCESS: u32 = 34;
    pub const CREATE: u32 = 35;
    pub const INTERRUPT: u32 = 36;
    pub const DESTROY: u32 = 38;
    pub const IOCTL: u32 = 39;
    pub const POLL: u32 = 40;
    pub const BATCH_FORGET: u32 = 42;
    pub const FALLOCATE: u32 = 43;
    pub const READDIRPLUS: u32 = 44;
    pub const RENAME2: u32 = 45;
    pub const LSEEK: u32 = 46;
    pub const COPY_FILE_RANGE: u32 = 47;
    pub const TMPFILE: u32 = 51;
    pub const STATX: u32 = 52;
    pub const COPY_FILE_RANGE_64: u32 = 53;

    /// What a request is called in messages.
    pub fn name(opcode: u32) -> &'static str {
        known(opcode).unwrap_or("unknown request")
    }

    /// The name of a request of which the kernel's source has told us.
    pub fn known(opcode: u32) -> Option<&'static str> {
        Some(match opcode {
            LOOKUP => "LOOKUP",
            FORGET => "FORGET",
            GETATTR => "GETATTR",
            SETATTR => "SETATTR",
            READLINK => "READLINK",
            SYMLINK => "SYMLINK",
            MKNOD => "MKNOD",
            MKDIR => "MKDIR",
            UNLINK => "UNLINK",
            RMDIR => "RMDIR",
            RENAME => "RENAME",
            LINK => "LINK",
            OPEN => "OPEN",
            READ => "READ",
            WRITE => "WRITE",
            STATFS => "STATFS",
            RELEASE => "RELEASE",
            FSYNC => "FSYNC",
            SETXATTR => "SETXATTR",
            GETXATTR => "GETXATTR",
            LISTXATTR => "LISTXATTR",
            REMOVEXATTR => "REMOVEXATTR",
            FLUSH => "FLUSH",
            OPENDIR => "OPENDIR",
            READDIR => "READDIR",
            RELEASEDIR => "RELEASEDIR",
            FSYNCDIR => "FSYNCDIR",
            ACCESS => "ACCESS",
            CREATE => "CREATE",
            INTERRUPT => "INTERRUPT",
            DESTROY => "DESTROY",
            IOCTL => "IOCTL",
            POLL => "POLL",
            BATCH_FORGET => "BATCH_FORGET",
            FALLOCATE => "FALLOCATE",
            READDIRPLUS => "READDIRPLUS",
            RENAME2 => "RENAME2",
            LSEEK => "LSEEK",
            COPY_FILE_RANGE => "COPY_FILE_RANGE",
            TMPFILE => "TMPFILE",
            STATX => "STATX",
            COPY_FILE_RANGE_64 => "COPY_FILE_RANGE_64",
            _ => return None,
        })
    }
}

/// Flags inside requests and replies.
pub mod flag {
    pub const FATTR_MODE: u32 = 1 << 0;
    pub const FATTR_UID: u32 = 1 << 1;
    pub const FATTR_GID: u32 = 1 << 2;
    pub const FATTR_SIZE: u32 = 1 << 3;
    pub const FATTR_ATIME: u32 = 1 << 4;
    pub const FATTR_MTIME: u32 = 1 << 5;
    pub const FATTR_FH: u32 = 1 << 6;
    pub const FATTR_ATIME_NOW: u32 = 1 << 7;
    pub const FATTR_MTIME_NOW: u32 = 1 << 8;
    pub const FATTR_KILL_SUIDGID: u32 = 1 << 11;
    pub const OPEN_KILL_SUIDGID: u32 = 1 << 0;
    pub const WRITE_CACHE: u32 = 1 << 0;
    pub const WRITE_KILL_SUIDGID: u32 = 1 << 2;
    pub const FSYNC_FDATASYNC: u32 = 1 << 0;
    pub const SETXATTR_ACL_KILL_SGID: u32 = 1 << 0;
    pub const FOPEN_KEEP_CACHE: u32 = 1 << 1;
    pub const FOPEN_NOFLUSH: u32 = 1 << 5;
    pub const XATTR_CREATE: u32 = 1;
    pub const XATTR_REPLACE: u32 = 2;
    pub const RENAME_NOREPLACE: u32 = 1 << 0;
    pub const RENAME_EXCHANGE: u32 = 1 << 1;
    pub const RENAME_WHITEOUT: u32 = 1 << 2;
    pub const STATX_BASIC_STATS: u32 = 0x7ff;
    pub const STATX_BTIME: u32 = 0x800;
}

// The kernel checks the length of every reply; a structure of another size would make it fail.
const _: () = {
    assert!(size_of::<InHeader>() == 40);
    assert!(size_of::<SetattrIn>() == 88);
    assert!(size_of::<WriteIn>() == 40);
    assert!(size_of::<CopyFileRangeIn>() == 56);
    assert!(size_of::<OutHeader>() == 16);
    assert!(size_of::<Attr>() == 88);
    assert!(size_of::<EntryOut>() == 128);
    assert!(size_of::<AttrOut>() == 104);
    assert!(size_of::<CreateOut>() == 144);
    assert!(size_of::<StatfsOut>() == 80);
    assert!(size_of::<Statx>() == 256);
    assert!(size_of::<StatxOut>() == 288);
    assert!(size_of::<Dirent>() == 24);
};
