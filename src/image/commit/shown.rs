//! Reading the union: names of a directory, content of a file.

use std::io::{self, Read};

use crate::error::Result;
use crate::overlay::{
    Access, DirEntry, DirSink, Entry, HandleId, Listing, NodeId, OpenMode, Overlay, SinkAnswer, Truncate,
};
use crate::path::NameBuf;

/// All names of a directory but the dots.
pub(super) fn names(union: &Overlay, dir: NodeId) -> Result<Vec<NameBuf>> {
    let mut names = All(Vec::new());
    union.readdir(dir, 0, Listing::Names, &mut names)?;
    Ok(names.0)
}

/// All names but the dots.
struct All(Vec<NameBuf>);

impl DirSink for All {
    fn push(&mut self, dirent: DirEntry<'_>, _: Option<&Entry>) -> SinkAnswer {
        // The dots are no names.
        if let Ok(name) = NameBuf::new(dirent.name) {
            self.0.push(name);
        }
        SinkAnswer::Taken
    }
}

/// The content of a file of the union, from its beginning.
pub(super) struct Content<'a> {
    union: &'a Overlay,
    handle: HandleId,
    offset: u64,
}

impl<'a> Content<'a> {
    pub(super) fn open(union: &'a Overlay, node: NodeId) -> Result<Self> {
        let mode = OpenMode { access: Access::Read, truncate: Truncate::Keep };
        Ok(Content { union, handle: union.open(node, mode)?.handle, offset: 0 })
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.union.read(self.handle, self.offset, buf)?;
        self.offset = self.offset.saturating_add(n as u64);
        Ok(n)
    }
}

impl Drop for Content<'_> {
    fn drop(&mut self) {
        self.union.release(self.handle);
    }
}
