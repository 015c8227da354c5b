//! A file's bytes in memory, read as they are touched.

use std::fs::File;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, munmap};

use super::SysResult;
use crate::error::errno_of;

/// A private, read-only mapping of a whole file.
///
/// **The file must stay as it is while it is mapped.** A page beyond the end of a file that was cut short is SIGBUS,
/// and bytes that another process writes change under the reader. Nothing here can prevent that: it is for whoever
/// keeps such files to make them once, in full, under another name, to rename them into place, and never to write to
/// them again. Unlinking a mapped file, or renaming another over it, is harmless.
#[derive(Debug)]
pub struct Map {
    /// `None`: the file is empty, of which there is no mapping.
    start: Option<NonNull<u8>>,
    len: usize,
}

// SAFETY: the mapping is read-only and belongs to this value alone; it is not bound to a thread.
unsafe impl Send for Map {}
// SAFETY: as above; shared references only read.
unsafe impl Sync for Map {}

impl Map {
    /// Maps the whole file. The descriptor is not needed any longer.
    ///
    /// # Errors
    /// Those of fstat(2) and mmap(2); EFBIG where the address space cannot hold the file.
    pub fn of(file: &File) -> SysResult<Map> {
        let len = file.metadata().map_err(|e| errno_of(&e))?.len();
        let len = usize::try_from(len).map_err(|_| Errno::EFBIG)?;
        let Some(size) = NonZeroUsize::new(len) else { return Ok(Map { start: None, len: 0 }) };
        // SAFETY: the kernel chooses a place that nothing else uses; the length is that of the file.
        let start = unsafe { mmap(None, size, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, file, 0)? };
        Ok(Map { start: Some(start.cast()), len })
    }

    /// The pages that were touched leave this process's memory. They stay in the page cache as long as the kernel likes, and
    /// come back when they are touched again.
    pub fn give_back(&self) {
        if let Some(start) = self.start {
            // SAFETY: nobody has ever written to the mapping, so that each page is the file's again when it is read, also by
            // those who hold a reference now.
            // An error would mean that it was not a mapping: then there is nothing to give back.
            let _ = unsafe { madvise(start.cast(), self.len, MmapAdvise::MADV_DONTNEED) };
        }
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self.start {
            // SAFETY: the mapping is `len` readable bytes as long as this value lives, and the file's keeper answers for
            // their staying as they are.
            Some(start) => unsafe { std::slice::from_raw_parts(start.as_ptr(), self.len) },
            None => &[],
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        if let Some(start) = self.start {
            // SAFETY: the mapping was made with this length, and no reference to it outlives this value.
            // An error would mean that it was not a mapping: then there is nothing to release.
            let _ = unsafe { munmap(start.cast(), self.len) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_map_is_the_files_content() {
        let mut file = tempfile::tempfile().unwrap();
        assert_eq!(&*Map::of(&file).unwrap(), b"");
        file.write_all(b"content").unwrap();
        let map = Map::of(&file).unwrap();
        drop(file);
        assert_eq!(&*map, b"content");
        map.give_back();
        assert_eq!(&*map, b"content");
    }
}
