//! Replies: from typed values to bytes.

use std::borrow::Cow;
use std::io::IoSlice;
use std::time::Duration;

use nix::errno::Errno;
use zerocopy::{FromZeros, Immutable, IntoBytes};

use super::abi::{self, flag};
use super::request::Unique;
use crate::overlay::{Attr, Entry, HandleId, Rdev, StatFs, Timestamp, Validity};

/// What an open file does with the data that the kernel has cached of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelCache {
    /// They are still true (`FOPEN_KEEP_CACHE`).
    Keep,
    /// They are thrown away.
    Drop,
}

/// What a request is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply<'b> {
    /// Nothing at all: the request has no reply.
    Silence,
    /// It is done.
    Done,
    /// It failed.
    Failed(Errno),
    /// A name found or made.
    Entry(Entry, Validity),
    /// A name that does not exist, and may be remembered as such.
    NoEntry(Validity),
    /// Attributes.
    Attr(Attr, Validity),
    /// Attributes with the time of birth.
    Statx(Attr, Validity),
    /// An open file.
    Opened(HandleId, KernelCache),
    /// A name made, and opened.
    Created(Entry, Validity, HandleId, KernelCache),
    /// So many bytes were written, or copied in the narrow form.
    Written(u32),
    /// So many bytes were copied.
    Copied(u64),
    /// A place in a file.
    Offset(u64),
    /// The length of an extended attribute, or of the list of their names.
    XattrSize(u32),
    /// statfs(2).
    Statfs(StatFs),
    /// Data: of a file, a link, an attribute, a listing.
    Bytes(Cow<'b, [u8]>),
}

/// The longest reply but for data: the header and a `fuse_statx_out`.
const HEAD: usize = size_of::<abi::OutHeader>() + size_of::<abi::StatxOut>();

/// A reply as the kernel reads it, to be written with one writev(2).
#[derive(Debug)]
pub struct Encoded<'r> {
    head: [u8; HEAD],
    len: usize,
    data: &'r [u8],
}

impl Encoded<'_> {
    /// The parts, in order.
    pub fn slices(&self) -> [IoSlice<'_>; 2] {
        [IoSlice::new(self.head.get(..self.len).unwrap_or_default()), IoSlice::new(self.data)]
    }

    /// All bytes in one piece.
    pub fn to_vec(&self) -> Vec<u8> {
        self.slices().iter().flat_map(|part| part.iter().copied()).collect()
    }
}

impl Reply<'_> {
    /// The reply's bytes; `None` where there is nothing to be sent.
    pub fn encode(&self, to: Unique) -> Option<Encoded<'_>> {
        let valid = |validity: &Validity| validity.attr;
        Some(match self {
            Reply::Silence => return None,
            Reply::Done => message(to, 0, &(), &[]),
            Reply::Failed(errno) => message(to, -(*errno as i32), &(), &[]),
            Reply::Entry(entry, validity) => message(to, 0, &entry_out(entry, validity), &[]),
            Reply::NoEntry(validity) => {
                let (entry_valid, entry_valid_nsec) = seconds(validity.negative);
                let out = abi::EntryOut { entry_valid, entry_valid_nsec, ..Default::default() };
                message(to, 0, &out, &[])
            }
            Reply::Attr(attr, validity) => {
                let (attr_valid, attr_valid_nsec) = seconds(valid(validity));
                message(
                    to,
                    0,
                    &abi::AttrOut { attr_valid, attr_valid_nsec, dummy: 0, attr: attr_out(attr) },
                    &[],
                )
            }
            Reply::Statx(attr, validity) => message(to, 0, &statx_out(attr, valid(validity)), &[]),
            Reply::Opened(handle, cache) => message(to, 0, &open_out(*handle, *cache), &[]),
            Reply::Created(entry, validity, handle, cache) => {
                let out =
                    abi::CreateOut { entry: entry_out(entry, validity), open: open_out(*handle, *cache) };
                message(to, 0, &out, &[])
            }
            Reply::Written(size) => message(to, 0, &abi::WriteOut { size: *size, padding: 0 }, &[]),
            Reply::Copied(bytes_copied) => {
                message(to, 0, &abi::CopyFileRangeOut { bytes_copied: *bytes_copied }, &[])
            }
            Reply::Offset(offset) => message(to, 0, &abi::LseekOut { offset: *offset }, &[]),
            Reply::XattrSize(size) => message(to, 0, &abi::GetxattrOut { size: *size, padding: 0 }, &[]),
            Reply::Statfs(statfs) => message(to, 0, &statfs_out(statfs), &[]),
            Reply::Bytes(bytes) => message(to, 0, &(), bytes),
        })
    }
}

fn message<'r, T: IntoBytes + Immutable>(to: Unique, error: i32, body: &T, data: &'r [u8]) -> Encoded<'r> {
    let body = body.as_bytes();
    let len = size_of::<abi::OutHeader>() + body.len();
    // Data are at most MAX_IO bytes; a longer reply the kernel would refuse, whatever its header said.
    let total = u32::try_from(len + data.len()).unwrap_or(u32::MAX);
    let header = abi::OutHeader { len: total, error, unique: to.0 };
    let mut head = [0; HEAD];
    let (start, rest) = head.split_at_mut(size_of::<abi::OutHeader>());
    start.copy_from_slice(header.as_bytes());
    // No body is longer than HEAD allows for; were one, the kernel would refuse the reply by its length.
    if let Some(to) = rest.get_mut(..body.len()) {
        to.copy_from_slice(body);
    }
    Encoded { head, len, data }
}

fn seconds(duration: Duration) -> (u64, u32) {
    (duration.as_secs(), duration.subsec_nanos())
}

/// The kernel's 32-bit form of a device number.
fn device(rdev: Rdev) -> u32 {
    (rdev.minor & 0xff) | ((rdev.major & 0xfff) << 8) | ((rdev.minor & 0xfff00) << 12)
}

pub(super) fn entry_out(entry: &Entry, validity: &Validity) -> abi::EntryOut {
    let (entry_valid, entry_valid_nsec) = seconds(validity.entry);
    let (attr_valid, attr_valid_nsec) = seconds(validity.attr);
    abi::EntryOut {
        nodeid: entry.node.0,
        // Node ids are never reused, so one generation is enough.
        generation: 0,
        entry_valid,
        attr_valid,
        entry_valid_nsec,
        attr_valid_nsec,
        attr: attr_out(&entry.attr),
    }
}

fn attr_out(attr: &Attr) -> abi::Attr {
    abi::Attr {
        ino: attr.ino,
        size: attr.size,
        blocks: attr.blocks,
        // Seconds before 1970 travel as two's complement.
        atime: attr.atime.sec as u64,
        mtime: attr.mtime.sec as u64,
        ctime: attr.ctime.sec as u64,
        atimensec: attr.atime.nsec,
        mtimensec: attr.mtime.nsec,
        ctimensec: attr.ctime.nsec,
        mode: attr.kind.mode_bits() | (attr.perm & 0o7777),
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        rdev: device(attr.rdev),
        blksize: attr.blksize,
        flags: 0,
    }
}

fn statx_out(attr: &Attr, valid: Duration) -> abi::StatxOut {
    let time = |t: Timestamp| abi::SxTime { tv_sec: t.sec, tv_nsec: t.nsec, reserved: 0 };
    let (attr_valid, attr_valid_nsec) = seconds(valid);
    let birth = if attr.btime.is_some() { flag::STATX_BTIME } else { 0 };
    abi::StatxOut {
        attr_valid,
        attr_valid_nsec,
        stat: abi::Statx {
            mask: flag::STATX_BASIC_STATS | birth,
            blksize: attr.blksize,
            nlink: attr.nlink,
            uid: attr.uid,
            gid: attr.gid,
            // The type and permission bits are 16 bits wide.
            mode: ((attr.kind.mode_bits() | (attr.perm & 0o7777)) & 0xffff) as u16,
            ino: attr.ino,
            size: attr.size,
            blocks: attr.blocks,
            atime: time(attr.atime),
            btime: time(attr.btime.unwrap_or_default()),
            ctime: time(attr.ctime),
            mtime: time(attr.mtime),
            rdev_major: attr.rdev.major,
            rdev_minor: attr.rdev.minor,
            ..abi::Statx::new_zeroed()
        },
        ..abi::StatxOut::new_zeroed()
    }
}

fn open_out(handle: HandleId, cache: KernelCache) -> abi::OpenOut {
    let keep = match cache {
        KernelCache::Keep => flag::FOPEN_KEEP_CACHE,
        KernelCache::Drop => 0,
    };
    abi::OpenOut { fh: handle.0, open_flags: keep | flag::FOPEN_NOFLUSH, backing_id: 0 }
}

fn statfs_out(statfs: &StatFs) -> abi::StatfsOut {
    abi::StatfsOut {
        blocks: statfs.blocks,
        bfree: statfs.bfree,
        bavail: statfs.bavail,
        files: statfs.files,
        ffree: statfs.ffree,
        bsize: statfs.bsize,
        namelen: statfs.namelen,
        frsize: statfs.frsize,
        ..abi::StatfsOut::new_zeroed()
    }
}
