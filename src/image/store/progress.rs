//! Who is told how far the work on an image's layers is.

use crate::digest::Digest;

/// What is done to a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Its blob is hashed; its tar is in the store already.
    Check,
    /// Its tar is hashed and gets an index.
    Index,
    /// Its blob is hashed and decompressed into the store.
    Unpack,
    /// It is made of changes: a tar is written, compressed and hashed.
    Write,
    /// Its blob is copied into another image, and hashed.
    Copy,
}

/// Work on one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// The layer's number; 1 is the base.
    pub layer: usize,
    /// How many layers the image has.
    pub of: usize,
    /// What people know the layer by: the digest of its blob, or else its diff_id. `None`: it is being made.
    pub digest: Option<Digest>,
    /// What is done.
    pub task: Task,
    /// How many bytes are read or written for it. `None`: nobody knows beforehand.
    pub bytes: Option<u64>,
}

/// Is told of the work. Several threads tell at once; a layer that is ready already is not told of.
pub trait Progress: Sync {
    /// Before anything: so many layers are not ready, and their blobs have so many bytes.
    fn plan(&self, layers: usize, bytes: u64);
    /// Work on a layer begins. A layer may need two pieces of work, one after the other.
    fn begin(&self, work: &Work);
    /// So many more bytes of a layer are read or written.
    fn advance(&self, layer: usize, bytes: u64);
    /// For half a second already, another process does this layer's work.
    fn waiting(&self, layer: usize);
    /// Work on a layer has ended, well or not.
    fn end(&self, layer: usize);
}

/// Nobody is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn plan(&self, _layers: usize, _bytes: u64) {}
    fn begin(&self, _work: &Work) {}
    fn advance(&self, _layer: usize, _bytes: u64) {}
    fn waiting(&self, _layer: usize) {}
    fn end(&self, _layer: usize) {}
}

/// Tells that work has begun, and when it ends.
pub(in crate::image) struct Running<'a> {
    progress: &'a dyn Progress,
    layer: usize,
}

impl<'a> Running<'a> {
    pub fn begin(progress: &'a dyn Progress, work: &Work) -> Self {
        progress.begin(work);
        Running { progress, layer: work.layer }
    }

    /// So many more bytes.
    pub fn advance(&self, bytes: u64) {
        self.progress.advance(self.layer, bytes);
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.progress.end(self.layer);
    }
}
