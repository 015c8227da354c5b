//! Descriptors of directories: opened when first needed, closed again when there are many.
//!
//! A cell belongs to one part of one directory node. A queue of cells gives each a second chance before it is closed:
//! those used since they were last passed go to the back.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::error::Result;

/// A descriptor that can be opened again.
#[derive(Debug, Clone)]
pub(super) struct Cell(Arc<Slot>);

#[derive(Debug)]
struct Slot {
    fd: Mutex<Option<Arc<OwnedFd>>>,
    used: AtomicBool,
    pinned: AtomicBool,
}

impl Cell {
    /// Nothing is open yet.
    pub(super) fn empty() -> Self {
        Cell(Arc::new(Slot {
            fd: Mutex::new(None),
            used: AtomicBool::new(false),
            pinned: AtomicBool::new(false),
        }))
    }

    /// The descriptor, opened by `open` if it is not.
    pub(super) fn get(
        &self,
        cache: &Descriptors,
        open: impl FnOnce() -> Result<OwnedFd>,
    ) -> Result<Arc<OwnedFd>> {
        if let Some(fd) = self.open_one() {
            return Ok(fd);
        }
        let fd = match open() {
            Ok(fd) => Arc::new(fd),
            // Who removes a directory opens it first, and it cannot be found any more: what was opened then is right.
            Err(error) => return self.open_one().ok_or(error),
        };
        let kept = {
            let mut slot = self.0.fd.lock().unwrap_or_else(PoisonError::into_inner);
            // Somebody else may have opened it meanwhile: one is enough.
            slot.get_or_insert(fd).clone()
        };
        cache.admit(&self.0);
        Ok(kept)
    }

    /// Closes the descriptor if it is open and not what it should be, so that it is opened again when it is needed.
    pub(super) fn close_unless(&self, is_right: impl FnOnce(&OwnedFd) -> bool) {
        if self.0.pinned.load(Ordering::Relaxed) {
            return;
        }
        let mut slot = self.0.fd.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.as_ref().is_some_and(|fd| !is_right(fd)) {
            *slot = None;
        }
    }

    /// The descriptor, if it is open now.
    fn open_one(&self) -> Option<Arc<OwnedFd>> {
        let fd = self.0.fd.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        self.0.used.store(true, Ordering::Relaxed);
        Some(fd)
    }

    /// From now on it stays open: the directory is about to lose its name and could not be opened again.
    pub(super) fn pin(&self) {
        self.0.pinned.store(true, Ordering::Relaxed);
    }
}

/// All open cells.
#[derive(Debug)]
pub(super) struct Descriptors {
    limit: usize,
    queue: Mutex<VecDeque<Weak<Slot>>>,
}

impl Descriptors {
    /// At most about `limit` descriptors stay open.
    pub(super) fn new(limit: usize) -> Self {
        Descriptors { limit: limit.max(16), queue: Mutex::default() }
    }

    fn admit(&self, slot: &Arc<Slot>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.push_back(Arc::downgrade(slot));
        let mut chances = queue.len();
        while queue.len() > self.limit && chances > 0 {
            chances -= 1;
            let Some(oldest) = queue.pop_front() else { break };
            let Some(cell) = oldest.upgrade() else { continue };
            if cell.pinned.load(Ordering::Relaxed) {
                continue;
            }
            if cell.used.swap(false, Ordering::Relaxed) {
                queue.push_back(oldest);
                continue;
            }
            // Whoever holds the descriptor at this moment keeps it to the end of the request.
            cell.fd.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }

    /// How many are open now, and how many are kept at most. Those that stay open whatever happens (pinned) may be missing.
    pub(super) fn count(&self) -> (usize, usize) {
        // The queue's lock comes before a cell's, as where one is closed.
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let is_open = |slot: &Arc<Slot>| slot.fd.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let open = queue.iter().filter_map(Weak::upgrade).filter(is_open).count();
        (open, self.limit)
    }

    /// Cells in the queue; those of nodes that are gone count until they are passed.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Kind};

    fn open() -> Result<OwnedFd> {
        Ok(std::fs::File::open("/").unwrap().into())
    }

    #[test]
    fn unused_descriptors_are_closed_and_pinned_ones_are_not() {
        let cache = Descriptors::new(16);
        let pinned = Cell::empty();
        pinned.get(&cache, open).unwrap();
        pinned.pin();
        let cells: Vec<Cell> = (0..100).map(|_| Cell::empty()).collect();
        for cell in &cells {
            cell.get(&cache, open).unwrap();
        }
        assert!(cache.len() <= 16);
        let open_now = cells.iter().filter(|cell| cell.open_one().is_some()).count();
        assert!(open_now <= 16, "{open_now} of 100 are open");
        assert!(pinned.open_one().is_some());
    }

    #[test]
    fn what_cannot_be_opened_any_more_was_opened_by_who_removed_it() {
        let cache = Descriptors::new(16);
        let cell = Cell::empty();
        let gone = || Error::new("open directory", Kind::Stale);
        let found = cell.get(&cache, || {
            // Between the look at the cell and the opening, somebody else removes the directory.
            cell.pin();
            cell.get(&cache, open)?;
            Err(gone())
        });
        assert!(found.is_ok());
        assert_eq!(Cell::empty().get(&cache, || Err(gone())).unwrap_err(), gone());
    }

    #[test]
    fn a_closed_descriptor_is_opened_again() {
        let cache = Descriptors::new(16);
        let cells: Vec<Cell> = (0..40).map(|_| Cell::empty()).collect();
        for cell in cells.iter().chain(&cells) {
            cell.get(&cache, open).unwrap();
        }
    }
}
