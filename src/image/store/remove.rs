//! Taking layers out of the store.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::layout::Layout;
use super::lock::{Exclusion, Lease, WorkLock};
use super::problem::StoreProblem;
use crate::digest::Digest;

/// What became of a layer that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// It is gone, and so many bytes are free.
    Freed(u64),
    /// It is mounted.
    InUse,
    /// Somebody works on it.
    Busy,
}

/// Removes a layer's files, unless somebody uses it. Its record goes first: without that, the rest is not believed.
pub fn layer(layout: &Layout, diff_id: &Digest) -> Result<Removed, StoreProblem> {
    let Some(_lock) = WorkLock::try_acquire(&layout.lock(diff_id))? else {
        return Ok(Removed::Busy);
    };
    let index = layout.index(diff_id);
    let held = match Lease::exclude(&index)? {
        Exclusion::Free(held) => held,
        Exclusion::InUse => return Ok(Removed::InUse),
    };
    let mut freed = 0u64;
    for path in [layout.layer_record(diff_id), layout.tar(diff_id), index] {
        freed = freed.saturating_add(file(&path)?);
    }
    drop(held);
    Ok(Removed::Freed(freed))
}

/// Something that was put into the store.
#[derive(Debug)]
pub enum Part {
    /// The files of a layer.
    Layer(Digest),
    /// The record of a blob.
    Seen(PathBuf),
}

/// What was put into the store for an image. Dropping it takes all of that out again, unless [`Made::keep`] was called:
/// an image that is refused leaves nothing, not even its good layers.
#[derive(Debug)]
pub struct Made<'a> {
    layout: &'a Layout,
    parts: Mutex<Vec<Part>>,
    kept: AtomicBool,
}

impl<'a> Made<'a> {
    /// Nothing yet.
    pub fn new(layout: &'a Layout) -> Self {
        Made { layout, parts: Mutex::default(), kept: AtomicBool::new(false) }
    }

    /// Something is about to be put there.
    pub fn note(&self, part: Part) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).push(part);
    }

    /// All of it stays.
    pub fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        if self.kept.load(Ordering::Relaxed) {
            return;
        }
        for part in self.parts.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // What somebody else uses by now stays: it was verified.
            let removed = match part {
                Part::Layer(diff_id) => layer(self.layout, &diff_id).map(drop),
                Part::Seen(path) => file(&path).map(drop),
            };
            if let Err(problem) = removed {
                log::warn!("{problem}");
            }
        }
    }
}

/// Removes a file, if there is one; how many bytes it had.
pub fn file(path: &Path) -> Result<u64, StoreProblem> {
    let size = fs::symlink_metadata(path).map_or(0, |metadata| metadata.size());
    match fs::remove_file(path) {
        Ok(()) => Ok(size),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(StoreProblem::io("remove", path, &error)),
    }
}
