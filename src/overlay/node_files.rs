//! Files that requests name by their node alone, because the kernel opens files by itself (`io=cached`): opened when first
//! needed, closed again when there are many, as [`super::descriptors`] has it for directories.
//!
//! Nobody says when such a file is closed. What is open here goes with the node.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::open_file::OpenFile;
use super::types::{Access, NodeId};

/// A file of a layer, and for which count of the node it is the right one.
#[derive(Debug, Clone)]
pub(super) struct Open {
    pub(super) version: u32,
    pub(super) file: Arc<OpenFile>,
}

/// Can a file that was evicted be opened again by its mode?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reopening {
    /// As far as is known.
    Usual,
    /// Only by changing its mode for the moment: it is evicted when nothing else is left.
    Costly,
}

/// What is open of one node.
#[derive(Debug, Default)]
struct Slot {
    reader: Option<Open>,
    /// To be written, and read where its descriptor allows.
    writer: Option<(Open, Access)>,
    used: bool,
    costly: bool,
}

impl Slot {
    fn find(&self, version: u32, access: Access) -> Option<Arc<OpenFile>> {
        let right = |open: &&Open| open.version == version;
        let writer = self.writer.as_ref().filter(|(_, can)| access.writes() || *can == Access::ReadWrite);
        let writer = writer.map(|(open, _)| open);
        let reader = self.reader.as_ref().filter(|_| !access.writes());
        [writer, reader].into_iter().flatten().find(right).map(|open| Arc::clone(&open.file))
    }

    fn len(&self) -> usize {
        usize::from(self.reader.is_some()) + usize::from(self.writer.is_some())
    }
}

const SHARDS: usize = 16;

/// All files that are open by their nodes.
#[derive(Debug)]
pub(super) struct NodeFiles {
    limit: usize,
    shards: [Mutex<HashMap<u64, Slot>>; SHARDS],
    open: AtomicUsize,
    queue: Mutex<VecDeque<NodeId>>,
}

impl NodeFiles {
    /// At most about `limit` files stay open.
    pub(super) fn new(limit: usize) -> Self {
        NodeFiles {
            limit: limit.max(8),
            shards: Default::default(),
            open: AtomicUsize::new(0),
            queue: Mutex::default(),
        }
    }

    fn shard(&self, node: NodeId) -> std::sync::MutexGuard<'_, HashMap<u64, Slot>> {
        self.shards[node.0 as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is open of a node at this version, for this access.
    pub(super) fn find(&self, node: NodeId, version: u32, access: Access) -> Option<Arc<OpenFile>> {
        let mut shard = self.shard(node);
        let slot = shard.get_mut(&node.0)?;
        let found = slot.find(version, access)?;
        slot.used = true;
        Some(found)
    }

    /// Keeps a file open. Others are closed if there are too many.
    pub(super) fn keep(&self, node: NodeId, open: Open, reopening: Reopening) {
        let can = open.file.access();
        let is_new = {
            let mut shard = self.shard(node);
            let is_new = !shard.contains_key(&node.0);
            let slot = shard.entry(node.0).or_default();
            let before = slot.len();
            // What is of another version is of before a copy-up.
            slot.reader.take_if(|reader| reader.version != open.version);
            slot.writer.take_if(|(writer, _)| writer.version != open.version);
            slot.costly |= reopening == Reopening::Costly;
            match can {
                Access::Read => slot.reader = Some(open),
                Access::Write | Access::ReadWrite => slot.writer = Some((open, can)),
            }
            self.count(before, slot.len());
            is_new
        };
        if is_new {
            self.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(node);
        }
        self.evict();
    }

    /// Closes what is open of a node that is gone, or that may be another file now.
    pub(super) fn close(&self, node: NodeId) {
        if self.open.load(Ordering::Relaxed) == 0 {
            return;
        }
        let gone = self.shard(node).remove(&node.0);
        if let Some(slot) = &gone {
            self.count(slot.len(), 0);
        }
    }

    fn count(&self, before: usize, after: usize) {
        match after.checked_sub(before) {
            Some(more) => self.open.fetch_add(more, Ordering::Relaxed),
            None => self.open.fetch_sub(before - after, Ordering::Relaxed),
        };
    }

    /// The first round spares what was used since it was last passed, the second what opens again only at a cost.
    fn evict(&self) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut chances = queue.len().saturating_mul(3);
        // Nodes that are gone stay in the queue until they are passed.
        while (self.open.load(Ordering::Relaxed) > self.limit || queue.len() > self.limit.saturating_mul(2))
            && chances > 0
        {
            let Some(oldest) = queue.pop_front() else { break };
            let spares_costly = chances > queue.len();
            chances -= 1;
            let mut shard = self.shard(oldest);
            let Some(slot) = shard.get_mut(&oldest.0) else { continue };
            if std::mem::take(&mut slot.used) || (slot.costly && spares_costly) {
                drop(shard);
                queue.push_back(oldest);
                continue;
            }
            // Whoever uses the file at this moment keeps it to the end of the request.
            let gone = shard.remove(&oldest.0);
            drop(shard);
            self.count(gone.map_or(0, |slot| slot.len()), 0);
        }
    }

    /// How many are open now, and how many are kept at most.
    pub(super) fn open_now(&self) -> (usize, usize) {
        (self.open.load(Ordering::Relaxed), self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(version: u32, access: Access) -> Open {
        let mut options = std::fs::File::options();
        let options = match access {
            Access::Read => options.read(true),
            Access::Write => options.write(true),
            Access::ReadWrite => options.read(true).write(true),
        };
        let file: std::os::fd::OwnedFd = options.open("/dev/null").unwrap().into();
        Open { version, file: Arc::new(OpenFile::from(file)) }
    }

    #[test]
    fn a_reader_is_found_by_its_version_and_a_writer_reads_where_it_can() {
        let files = NodeFiles::new(8);
        let node = NodeId(7);
        files.keep(node, open(1, Access::Read), Reopening::Usual);
        assert!(files.find(node, 1, Access::Read).is_some());
        assert!(files.find(node, 1, Access::Write).is_none());
        assert!(files.find(node, 2, Access::Read).is_none());
        files.keep(node, open(2, Access::Write), Reopening::Usual);
        assert_eq!(files.open_now().0, 1, "the reader of before is closed");
        assert!(files.find(node, 2, Access::Write).is_some());
        assert!(files.find(node, 2, Access::Read).is_none());
        files.keep(node, open(2, Access::ReadWrite), Reopening::Usual);
        assert!(files.find(node, 2, Access::Read).is_some());
        files.close(node);
        assert_eq!(files.open_now().0, 0);
        assert!(files.find(node, 2, Access::Write).is_none());
    }

    #[test]
    fn few_stay_open_and_what_is_used_or_costly_stays_longest() {
        let files = NodeFiles::new(8);
        let (used, costly) = (NodeId(1), NodeId(2));
        files.keep(used, open(0, Access::Read), Reopening::Usual);
        files.keep(costly, open(0, Access::ReadWrite), Reopening::Costly);
        for id in 3..100 {
            files.keep(NodeId(id), open(0, Access::Read), Reopening::Usual);
            assert!(files.open_now().0 <= 8);
            assert!(files.find(used, 0, Access::Read).is_some(), "{id}");
        }
        assert!(files.find(costly, 0, Access::Write).is_some());
        for id in 100..200 {
            files.keep(NodeId(id), open(0, Access::ReadWrite), Reopening::Costly);
            assert!(files.open_now().0 <= 8, "{id}");
        }
    }

    #[test]
    fn the_queue_does_not_grow_with_nodes_that_are_gone() {
        let files = NodeFiles::new(8);
        for id in 0..1000 {
            files.keep(NodeId(id), open(0, Access::Read), Reopening::Usual);
            files.close(NodeId(id));
        }
        assert!(files.queue.lock().unwrap().len() <= 17);
        assert_eq!(files.open_now().0, 0);
    }
}
