//! The table of all nodes, by their ids.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;

use super::node::Node;
use super::types::NodeId;
use crate::sys::memory;

const SHARDS: usize = 16;

/// From so many nodes on, memory is given back to the system when most of them have gone.
const MANY: usize = 2048;

/// All nodes by their ids.
#[derive(Debug)]
pub(super) struct Table {
    shards: [Mutex<Shard>; SHARDS],
    next: AtomicU64,
    /// How many there are: of shards that change meanwhile, about.
    count: AtomicUsize,
    /// How many there were at most since memory was given back.
    peak: AtomicUsize,
}

/// A node has its id itself, so that a table without keys is enough.
type Shard = HashTable<Arc<Node>>;

/// Ids are given out one after the other, and every [`SHARDS`]th is in the same shard. The table takes the low bits for the place
/// and the highest for a first comparison: a product with an odd number spreads both, and nobody outside chooses the ids.
fn hash(id: NodeId) -> u64 {
    (id.0 / SHARDS as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn hash_of(node: &Arc<Node>) -> u64 {
    hash(node.id)
}

impl Table {
    pub(super) fn new() -> Self {
        Table {
            shards: Default::default(),
            next: AtomicU64::new(NodeId::ROOT.0 + 1),
            count: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        }
    }

    fn shard(&self, id: NodeId) -> MutexGuard<'_, Shard> {
        self.shards[id.0 as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fresh_id(&self) -> NodeId {
        NodeId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes a node whose id is fresh.
    pub(super) fn insert(&self, node: Arc<Node>) {
        self.shard(node.id).insert_unique(hash_of(&node), node, hash_of);
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        if count > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(count, Ordering::Relaxed);
        }
    }

    pub(super) fn get(&self, id: NodeId) -> Option<Arc<Node>> {
        self.shard(id).find(hash(id), |node| node.id == id).cloned()
    }

    pub(super) fn remove(&self, id: NodeId) {
        let removed = {
            let mut shard = self.shard(id);
            let Ok(found) = shard.find_entry(hash(id), |node| node.id == id) else { return };
            let removed = found.remove().0;
            if shard.capacity() > 64 && shard.len() < shard.capacity() / 8 {
                let twice = 2 * shard.len();
                shard.shrink_to(twice, hash_of);
            }
            removed
        };
        // Outside of the lock: it may be the last to know the node.
        drop(removed);
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Gives memory back to the system, once less than half of the nodes are left that there were. Takes time in
    /// proportion to what is free: to be called with no lock held, when nodes have been forgotten.
    pub(super) fn give_back(&self) {
        if self.take_peak() {
            memory::give_back();
        }
    }

    /// Has it become worth while? Said to one thread only, and then not before half of the rest has gone.
    fn take_peak(&self) -> bool {
        let count = self.count.load(Ordering::Relaxed);
        let peak = self.peak.load(Ordering::Relaxed);
        peak >= MANY
            && count < peak / 2
            && self.peak.compare_exchange(peak, count, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Lets go of all nodes. They hold their parents, and these hold them: neither would go by itself.
    pub(super) fn clear(&self) {
        for shard in &self.shards {
            let nodes = std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
            for dir in nodes.iter().filter_map(|node| node.as_dir()) {
                dir.lock().children.clear();
                // Or a deep chain would go by recursion.
                dir.set_place(None);
            }
        }
    }

    /// Hands the nodes of directories over, those of a shard at a time; no lock is held meanwhile.
    pub(super) fn for_each_shard(&self, mut look: impl FnMut(Vec<Arc<Node>>)) {
        for shard in &self.shards {
            let nodes = {
                let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
                shard.iter().filter(|node| node.as_dir().is_some()).cloned().collect()
            };
            look(nodes);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|s| s.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }
}
