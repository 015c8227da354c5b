//! Is what was copied up still there?

use nix::errno::Errno;

use super::Overlay;
use crate::marker::Origin;
use crate::sys::handle::{self, FileHandle};

/// What becomes of an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginFound {
    /// The object is there.
    There,
    /// A layer is on its file system, and has it no more.
    Gone,
    /// No layer is on its file system.
    OtherFileSystem,
    /// This user may not open objects by their handles.
    Unsaid,
}

impl Overlay {
    /// Looks for the origin of a copy in the layers that are directories.
    pub fn find_origin(&self, origin: &Origin) -> OriginFound {
        let handle = FileHandle { kind: origin.handle_type(), bytes: origin.handle().to_vec() };
        let mut answer = OriginFound::OtherFileSystem;
        let layers = self.stack.layers().filter_map(|layer| layer.directory());
        for layer in layers.filter(|layer| layer.uuid == origin.uuid()) {
            match handle::open(layer.root_io(), &handle) {
                Ok(_) => return OriginFound::There,
                // A handle of another file system is invalid, where file systems have no uuids to be told apart by.
                Err(Errno::ESTALE | Errno::ENOENT) => answer = OriginFound::Gone,
                Err(_) if answer == OriginFound::OtherFileSystem => answer = OriginFound::Unsaid,
                Err(_) => {}
            }
        }
        answer
    }
}
