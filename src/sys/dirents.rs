//! Reading a directory with large buffers.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;

use super::SysResult;

/// One raw entry.
#[derive(Debug, Clone, Copy)]
pub struct RawEntry<'a> {
    /// The name, never `.` or `..`.
    pub name: &'a [u8],
    /// The inode number.
    pub ino: u64,
    /// `d_type`; 0 where the file system does not say.
    pub kind: u8,
}

/// Bytes a getdents64(2) call may fill.
const BUFFER: usize = 64 * 1024;
/// Offsets in struct linux_dirent64: d_ino 0, d_off 8, d_reclen 16, d_type 18, d_name 19.
const RECLEN: usize = 16;
const TYPE: usize = 18;
const NAME: usize = 19;

/// Hands every entry of a freshly opened directory to `each`, but for `.` and `..`.
pub fn for_each<E: From<Errno>>(
    dir: &OwnedFd,
    mut each: impl FnMut(RawEntry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut buf = vec![0u8; BUFFER];
    loop {
        let len = fill(dir, &mut buf)?;
        if len == 0 {
            return Ok(());
        }
        let mut rest = &buf[..len];
        while let Some(entry) = split_entry(&mut rest) {
            if !matches!(entry.name, b"." | b"..") {
                each(entry)?;
            }
        }
    }
}

fn fill(dir: &OwnedFd, buf: &mut [u8]) -> SysResult<usize> {
    // SAFETY: the buffer's length is given.
    let rc = unsafe { libc::syscall(libc::SYS_getdents64, dir.as_raw_fd(), buf.as_mut_ptr(), buf.len()) };
    Errno::result(rc).map(|n| n as usize)
}

/// Takes the next entry off the front; `None` at the end, or where the bytes make no sense.
fn split_entry<'a>(rest: &mut &'a [u8]) -> Option<RawEntry<'a>> {
    let ino = u64::from_ne_bytes(rest.get(0..8)?.try_into().ok()?);
    let reclen = usize::from(u16::from_ne_bytes(rest.get(RECLEN..RECLEN + 2)?.try_into().ok()?));
    let record = rest.get(..reclen)?;
    let kind = *record.get(TYPE)?;
    let name = record.get(NAME..)?;
    let name = &name[..name.iter().position(|b| *b == 0)?];
    *rest = &rest[reclen..];
    Some(RawEntry { name, ino, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_large_directory_comes_once() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..5000 {
            std::fs::write(dir.path().join(format!("name-{i:04}")), b"").unwrap();
        }
        let fd: OwnedFd = std::fs::File::open(dir.path()).unwrap().into();
        let mut names = std::collections::BTreeSet::new();
        for_each::<Errno>(&fd, |entry| {
            assert!(names.insert(entry.name.to_vec()), "twice: {:?}", entry.name);
            Ok(())
        })
        .unwrap();
        assert_eq!(names.len(), 5000);
    }

    #[test]
    fn a_cut_record_ends_the_list() {
        let mut bytes: &[u8] = &[0; 10];
        assert!(split_entry(&mut bytes).is_none());
    }
}
