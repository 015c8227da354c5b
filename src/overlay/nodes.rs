//! The table of all nodes, by their ids.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;

use super::node::Node;
use super::types::NodeId;

const SHARDS: usize = 16;

/// Memory is given back only when so many nodes and listed names have gone.
const MANY: usize = 2048;

/// All nodes by their ids.
#[derive(Debug)]
pub(super) struct Table {
    shards: [Mutex<Shard>; SHARDS],
    next: AtomicU64,
    /// How many there are; while shards change, about.
    count: AtomicUsize,
    /// Nodes and listed names that have gone since memory was given back.
    gone: AtomicUsize,
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
            gone: AtomicUsize::new(0),
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
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self, id: NodeId) -> Option<Arc<Node>> {
        self.shard(id).find(hash(id), |node| node.id == id).cloned()
    }

    /// Takes a node out, and what nobody can ask it for any more.
    pub(super) fn remove(&self, node: &Node) {
        let removed = {
            let mut shard = self.shard(node.id);
            let Ok(found) = shard.find_entry(hash(node.id), |known| known.id == node.id) else { return };
            let removed = found.remove().0;
            if shard.capacity() > 64 && shard.len() < shard.capacity() / 8 {
                let twice = 2 * shard.len();
                shard.shrink_to(twice, hash_of);
            }
            removed
        };
        // Outside of the shard's lock: it may be the last to know the node, and what that holds goes with it.
        let names = removed.as_dir().and_then(|dir| {
            let mut state = dir.lock();
            dir.known_parts().index = None;
            state.names.take()
        });
        drop(removed);
        self.gone.fetch_add(1 + names.map_or(0, |names| names.len()), Ordering::Relaxed);
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Has so much gone that memory should be given back to the system? That takes time in proportion to all there is, so
    /// there must be less left. Said to one thread only, and then not before as much has gone again.
    pub(super) fn much_has_gone(&self) -> bool {
        let gone = self.gone.load(Ordering::Relaxed);
        gone >= MANY.max(self.count.load(Ordering::Relaxed))
            && self.gone.compare_exchange(gone, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
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

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;
    use crate::overlay::node::{Body, LeafData, LeafNode, LeafState, Source};
    use crate::overlay::types::FileKind;

    fn add(table: &Table) -> Arc<Node> {
        let state = LeafState {
            ino: 1,
            places: smallvec![],
            source: Source::Upper,
            data: LeafData::Here,
            link_key: None,
        };
        let body = Body::Leaf(LeafNode::new(FileKind::Regular, state));
        let node = Arc::new(Node { id: table.fresh_id(), refs: 1.into(), gone: false.into(), body });
        table.insert(Arc::clone(&node));
        node
    }

    #[test]
    fn each_node_is_found_by_its_id_until_it_is_removed() {
        let table = Table::new();
        let nodes: Vec<_> = (0..1000).map(|_| add(&table)).collect();
        for node in &nodes {
            assert!(Arc::ptr_eq(&table.get(node.id).unwrap(), node));
        }
        let (odd, even): (Vec<_>, Vec<_>) = nodes.into_iter().partition(|node| node.id.0 % 2 == 1);
        odd.iter().for_each(|node| table.remove(node));
        // A second time does nothing.
        odd.iter().for_each(|node| table.remove(node));
        assert!(odd.iter().all(|node| table.get(node.id).is_none() && Arc::strong_count(node) == 1));
        assert!(even.iter().all(|node| table.get(node.id).is_some()));
        assert_eq!(table.len(), 500);
    }

    #[test]
    fn the_table_shrinks_with_its_nodes() {
        let table = Table::new();
        let room = || table.shards.iter().map(|shard| shard.lock().unwrap().capacity()).sum::<usize>();
        let nodes: Vec<_> = (0..100_000).map(|_| add(&table)).collect();
        assert!(room() >= 100_000);
        nodes.iter().for_each(|node| table.remove(node));
        assert!(room() <= 2048, "{}", room());
    }

    #[test]
    fn memory_is_given_back_when_more_has_gone_than_is_left() {
        let table = Table::new();
        let nodes: Vec<_> = (0..8 * MANY).map(|_| add(&table)).collect();
        let when: Vec<usize> = nodes
            .iter()
            .enumerate()
            .filter_map(|(number, node)| {
                table.remove(node);
                table.much_has_gone().then_some(number + 1)
            })
            .collect();
        assert_eq!(when, [4 * MANY, 6 * MANY, 7 * MANY, 8 * MANY]);
        // A few that come and go cost nothing.
        for _ in 0..MANY - 1 {
            table.remove(&add(&table));
            assert!(!table.much_has_gone());
        }
    }
}
