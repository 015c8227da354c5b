//! Lowers that others have changed, and somebody says so (`lamina refresh`): all that is known is held against what the layers
//! say now.
//!
//! Top down, so that a directory is read when its own parts are those of now. Each name is checked, and each directory listed,
//! under the directory's lock, one at a time: others get their turn. What is found meanwhile is of now by itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::lookup::directory;
use super::node::{Body, DirNode, DirState, KnownParts, LeafData, LeafState, Node, Source};
use super::types::{Invalidation, NodeId};
use super::{Overlay, lock};
use crate::error::{Error, Result};

/// What a refresh has come to.
#[derive(Debug, Default)]
struct Found {
    stale: Vec<Invalidation>,
    failed: Option<Error>,
}

impl Found {
    /// The first failure is the answer; each is logged. The others are looked at all the same.
    fn fail(&mut self, error: Error) {
        log::warn!("refresh: {error}");
        self.failed.get_or_insert(error);
    }
}

impl Overlay {
    /// Forgets what is not so any more after others have changed lower layers. What it is that the kernel must forget is then
    /// found by [`Overlay::take_invalidations`], on the same thread, also after a failure.
    ///
    /// It looks at every name that is known and lists every known directory that is in a lower: some ten microseconds each.
    ///
    /// # Errors
    /// The first that a layer's file system gave, or a corrupt marker. What could be looked at is refreshed.
    pub fn refresh(&self) -> Result<()> {
        self.lowers_changed.store(true, Ordering::Release);
        lock(&self.complained).clear();
        let mut found = Found::default();
        self.root.hold();
        let mut todo = vec![Arc::clone(&self.root)];
        while let Some(node) = todo.pop() {
            if let Err(error) = self.refresh_dir(&node, &mut todo, &mut found) {
                found.fail(error);
            }
            self.release_node(&node, 1);
        }
        self.invalidate_all(found.stale);
        found.failed.map_or(Ok(()), Err)
    }

    fn refresh_dir(&self, node: &Arc<Node>, todo: &mut Vec<Arc<Node>>, found: &mut Found) -> Result<()> {
        let dir = directory(node)?;
        let known: Vec<_> = {
            let state = dir.lock();
            if state.removed {
                return Ok(());
            }
            *dir.known_parts() = KnownParts::default();
            state.children.keys().cloned().collect()
        };
        for name in known {
            let mut state = dir.lock();
            let Some(child) = state.children.get(name.as_bytes()).cloned() else { continue };
            match (self.is_still(node, dir, name.as_name(), &child), &child.body) {
                (Ok(true), Body::Dir(_)) => {
                    child.hold();
                    todo.push(child);
                }
                (Ok(true), Body::Leaf(leaf)) => {
                    let stale = stale_content(child.id, &leaf.read());
                    if stale.is_some() {
                        self.node_files.close(child.id);
                    }
                    found.stale.extend(stale);
                }
                (Ok(false), _) => {
                    self.lose(node, &mut state, name.as_name(), &child);
                    found.stale.push(Invalidation::Entry(node.id, name));
                }
                (Err(error), _) => found.fail(error),
            }
        }
        if dir.lowers.is_empty() {
            return Ok(());
        }
        found.stale.push(Invalidation::Content(node.id));
        // After the names: what is lost leaves the listing, and what has come in its place is in it again.
        self.list_anew(node, dir, &mut dir.lock(), &mut found.stale)
    }

    /// Lists a directory again. The kernel may believe of any name that has no node that there is none.
    fn list_anew(
        &self,
        node: &Arc<Node>,
        dir: &DirNode,
        state: &mut DirState,
        stale: &mut Vec<Invalidation>,
    ) -> Result<()> {
        let fresh = match self.read_names(node, dir, state.removed) {
            Ok((fresh, parts)) => {
                self.learn_parts(dir, parts);
                fresh
            }
            Err(error) => {
                state.names = None;
                return Err(error);
            }
        };
        let unknown = fresh.iter().filter(|name| !state.children.contains_key(*name));
        stale.extend(unknown.map(|name| Invalidation::Entry(node.id, name.clone())));
        if let Some(names) = &mut state.names {
            names.refresh(fresh);
        }
        Ok(())
    }
}

/// Attributes and data that come from a lower may have been changed in place; what is in the upper is the union's own.
fn stale_content(id: NodeId, state: &LeafState) -> Option<Invalidation> {
    let own = !matches!(state.source, Source::Lower(_)) && matches!(state.data, LeafData::Here);
    (!own).then_some(Invalidation::Content(id))
}
