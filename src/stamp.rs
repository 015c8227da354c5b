//! What a file was when it was looked at: whether it may have changed since.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// A file's device, inode, size and times. As long as all are the same, its content is taken to be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileStamp {
    /// `st_dev`.
    pub dev: u64,
    /// `st_ino`.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Last change of the content: seconds and nanoseconds since 1970.
    pub mtime: (i64, i64),
    /// Last change of the inode: seconds and nanoseconds since 1970.
    pub ctime: (i64, i64),
}

impl From<&Metadata> for FileStamp {
    fn from(metadata: &Metadata) -> Self {
        FileStamp {
            dev: metadata.dev(),
            ino: metadata.ino(),
            size: metadata.size(),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            ctime: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}
