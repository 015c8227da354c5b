//! Copying an object's content and attributes from a lower layer into the work directory.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use crate::error::{Error, OpContext, Result};
use crate::marker::XattrRules;
use crate::sys::fs::At;
use crate::sys::xattr::SetMode;
use crate::sys::{file, xattr};

/// One read or copy, bytes.
const CHUNK: usize = 1 << 20;

/// Copies `size` bytes; holes stay holes. Shares the data where the file system can, copies within the kernel where it
/// can, reads and writes elsewhere.
pub fn copy_data(from: BorrowedFd<'_>, to: BorrowedFd<'_>, size: u64) -> Result<()> {
    if size == 0 || file::clone_whole(from, to).is_ok() {
        return Ok(());
    }
    let mut buffer = Vec::new();
    let mut offset = 0;
    while offset < size {
        let (start, end) = match file::seek(from, offset, libc::SEEK_DATA) {
            Ok(start) => (start, file::seek(from, start, libc::SEEK_HOLE).unwrap_or(size)),
            // No data to the end.
            Err(Errno::ENXIO) => break,
            // The file system does not know holes.
            Err(_) => (offset, size),
        };
        copy_extent((from, start), (to, start), end.min(size).saturating_sub(start), &mut buffer)?;
        offset = end;
    }
    // A hole at the end is only a size.
    file::truncate(to, size).op("truncate the copy")
}

/// Copies `len` bytes from a place of one file to a place of another, and says how many: fewer only where the first file
/// ends. Within the kernel where it can; else through `buffer`, which is kept for the next piece.
pub(crate) fn copy_extent(
    from: (BorrowedFd<'_>, u64),
    to: (BorrowedFd<'_>, u64),
    len: u64,
    buffer: &mut Vec<u8>,
) -> Result<u64> {
    let mut done = 0;
    while done < len {
        let (from, to) = ((from.0, from.1 + done), (to.0, to.1 + done));
        let len = usize::try_from(len - done).unwrap_or(CHUNK).min(CHUNK * 64);
        let copied = if buffer.is_empty() { file::copy_range(from, to, len) } else { Ok(0) };
        match copied {
            Ok(n) if n > 0 => done += n as u64,
            // Nothing copied though there is data, or not between these file systems: by hand from here on.
            Ok(_)
            | Err(
                Errno::EXDEV | Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EPERM | Errno::EIO,
            ) => {
                buffer.resize(CHUNK, 0);
                let want = len.min(CHUNK);
                let n = file::read_at(from.0, &mut buffer[..want], from.1).op("read the lower file")?;
                if n == 0 {
                    break;
                }
                let written = file::write_full_at(to.0, &buffer[..n], to.1).op("write the copy")?;
                if written < n {
                    return Err(Error::new("write the copy", Errno::ENOSPC));
                }
                done += n as u64;
            }
            Err(errno) => return Err(Error::new("copy data", errno)),
        }
    }
    Ok(done)
}

/// Which attributes a copy keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyRules {
    /// How the target's layer spells attributes.
    pub target: XattrRules,
    /// Keep POSIX ACLs?
    pub acl: bool,
    /// May this process set every attribute? If not, those it may not set are left behind.
    pub privileged: bool,
}

/// Copies extended attributes. `names` are those that users see, without the overlay's own; `value` gives theirs.
pub fn copy_xattrs(
    names: Vec<Vec<u8>>,
    value: impl Fn(&[u8]) -> Result<Vec<u8>>,
    to: At<'_>,
    rules: CopyRules,
) -> Result<()> {
    for name in &names {
        let is_acl = name.starts_with(b"system.posix_acl_");
        if is_acl && !rules.acl {
            continue;
        }
        let Ok(stored) = rules.target.stored(name) else { continue };
        let value = match value(name) {
            Ok(value) => value,
            // Listed, but not for this user to read.
            Err(error) if matches!(error.errno(), Errno::ENODATA | Errno::EPERM | Errno::EACCES) => continue,
            Err(error) => return Err(error.at(name)),
        };
        match xattr::set(to, &stored, &value, SetMode::Any) {
            Ok(()) => {}
            // Permissions and capabilities are never dropped silently; anything else a file system may lack.
            Err(Errno::ENOTSUP) if !is_acl && !name.starts_with(b"security.") => {}
            Err(Errno::EPERM | Errno::ENOTSUP) if !rules.privileged && !is_acl => {
                log::warn!("copy up: attribute {} cannot be set without privilege", name.escape_ascii());
            }
            Err(errno) => return Err(Error::new("copy attribute", errno).at(name)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::io::{Read, Seek, SeekFrom, Write};
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn data_is_copied_and_holes_stay_holes() {
        let dir = tempfile::tempdir().unwrap();
        let mut source = File::create_new(dir.path().join("source")).unwrap();
        source.write_all(b"head").unwrap();
        source.seek(SeekFrom::Start(8 << 20)).unwrap();
        source.write_all(b"middle").unwrap();
        source.set_len(16 << 20).unwrap();
        let copy =
            OpenOptions::new().read(true).write(true).create_new(true).open(dir.path().join("copy")).unwrap();
        copy_data(source.as_fd(), copy.as_fd(), 16 << 20).unwrap();
        let (mut a, mut b) = (Vec::new(), Vec::new());
        File::open(dir.path().join("source")).unwrap().read_to_end(&mut a).unwrap();
        File::open(dir.path().join("copy")).unwrap().read_to_end(&mut b).unwrap();
        assert!(a == b);
        assert!(copy.metadata().unwrap().blocks() * 512 < 1 << 20);
    }
}
