//! Times of a directory that stay as they are while names in it are made and removed.

use std::os::fd::BorrowedFd;

use super::SysResult;
use super::fs::{self, At, Time};

/// The times of a directory; they are its again when this is dropped.
#[derive(Debug)]
pub struct KeptTimes<'d> {
    dir: BorrowedFd<'d>,
    atime: (i64, u32),
    mtime: (i64, u32),
}

impl<'d> KeptTimes<'d> {
    /// Takes note of them. O_PATH will do.
    pub fn of(dir: BorrowedFd<'d>) -> SysResult<Self> {
        let stat = fs::stat(At::Fd(dir))?;
        Ok(KeptTimes { dir, atime: stat.atime, mtime: stat.mtime })
    }
}

impl Drop for KeptTimes<'_> {
    fn drop(&mut self) {
        let to = |(seconds, nanoseconds)| Time::To(seconds, nanoseconds);
        if let Err(errno) = fs::utimens(At::Fd(self.dir), to(self.atime), to(self.mtime)) {
            log::warn!("the times of a directory cannot be set again: {}", errno.desc());
        }
    }
}
