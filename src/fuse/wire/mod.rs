//! Our own codec of the FUSE protocol: bytes of a request to typed values, typed replies to bytes. It knows no file
//! descriptor, so that it serves any transport, and no union, so that a table of bytes can test it.
//!
//! Written against interface 7.45 (Linux 6.18); [`OLDEST_ABI`] is the oldest a mount accepts.

mod abi;
mod dirents;
mod kind;
mod reply;
mod request;
#[cfg(test)]
mod tests;

pub use dirents::DirBuffer;
pub use kind::RequestKind;
pub use reply::{Encoded, KernelCache, Reply};
pub use request::{
    Body, Bytes, CopyAnswer, DecodeError, Forgets, Glance, Header, Request, Room, Unique, decode, glance,
};

/// The oldest interface we speak: `FUSE_SETXATTR_EXT` and `FUSE_HANDLE_KILLPRIV_V2` (7.33) are relied upon, and from
/// 7.36 on INIT has room for all its flags.
pub const OLDEST_ABI: (u32, u32) = (7, 36);

/// The most bytes of data in one READ or WRITE.
pub const MAX_IO: u32 = 1 << 20;

/// How many bytes a buffer for requests needs: a WRITE's data and its headers, in whole pages. The kernel refuses every
/// read with a smaller one.
pub const REQUEST_BUFFER: usize = MAX_IO as usize + 2 * 4096;
