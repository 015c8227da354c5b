//! How long nodes live: as long as the kernel knows them, or a child of theirs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::node::Node;
use super::types::NodeId;
use super::{Overlay, lock};
use crate::sys::memory;

impl Overlay {
    /// Lowers the node's lookup count; at zero the node is freed.
    pub fn forget(&self, node: NodeId, count: u64) {
        if node == NodeId::ROOT {
            return;
        }
        if let Some(node) = self.nodes.get(node) {
            self.release_node(&node, count);
        }
    }

    /// Takes `count` off a node's count. No lock may be held: at zero the node leaves its directories, and these may
    /// follow it.
    pub(super) fn release_node(&self, node: &Arc<Node>, count: u64) {
        if !node.let_go(count) {
            return;
        }
        // A list and no recursion: a tree may be deeper than a stack.
        let mut unused = vec![Arc::clone(node)];
        while let Some(node) = unused.pop() {
            unused.extend(self.reap(&node).into_iter().filter(|dir| dir.let_go(1)));
        }
        if self.nodes.much_has_gone() {
            memory::give_back();
            self.stack.give_back();
        }
    }

    /// Frees a node that nobody knows of any more, unless somebody has just looked it up again. Gives the directories
    /// that it has left, each of which it was counted in.
    ///
    /// Lookups find a node through its directories' names or the hard links, and raise its count under their lock; so
    /// each is asked, under its lock, whether the count is still zero. Once it has no place left nobody can find it.
    fn reap(&self, node: &Arc<Node>) -> Vec<Arc<Node>> {
        let mut left = Vec::new();
        if node.id == NodeId::ROOT {
            return left;
        }
        loop {
            for place in node.places() {
                let Some(parent) = place.dir.as_dir() else { continue };
                let mut state = parent.lock();
                if !node.is_unused() {
                    return left;
                }
                if state.children.get(place.name.as_bytes()).is_some_and(|known| Arc::ptr_eq(known, node)) {
                    state.forget_child(place.name.as_bytes());
                }
                if node.leave(&place) {
                    left.push(Arc::clone(&place.dir));
                }
            }
            let key = node.as_leaf().and_then(|leaf| leaf.read().link_key.as_deref().cloned());
            if let Some(key) = key {
                let mut links = lock(&self.hard_links);
                if !node.is_unused() {
                    return left;
                }
                if links.get(&key).is_some_and(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(node))) {
                    links.remove(&key);
                }
            }
            if node.places().is_empty() {
                break;
            }
            // Another name of it was looked up and forgotten meanwhile.
        }
        if node.is_unused() && !node.gone.swap(true, Ordering::AcqRel) {
            self.nodes.remove(node);
            self.node_files.close(node.id);
        }
        left
    }
}
