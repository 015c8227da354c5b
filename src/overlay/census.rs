//! How much of everything there is now.

use super::node::DirNode;
use super::{Overlay, lock};

/// What a union holds at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Nodes that are known, the root among them.
    pub nodes: usize,
    /// Files that are known by several of their names.
    pub hard_links: usize,
    /// Files that are open.
    pub open_files: usize,
    /// Descriptors of directories that are open.
    pub directory_descriptors: usize,
    /// How many of those are kept at most.
    pub directory_descriptors_limit: usize,
    /// Files that are open by their nodes (`io=cached`).
    pub node_files: usize,
    /// How many of those are kept at most.
    pub node_files_limit: usize,
    /// Directories whose merged listing is kept.
    pub listings: usize,
    /// Names in those.
    pub listed_names: usize,
    /// The memory of those, about.
    pub listing_bytes: usize,
}

impl Overlay {
    /// Counts what there is. Each directory is locked for a moment, one after the other: with a million nodes it takes some tens
    /// of milliseconds.
    pub fn census(&self) -> Census {
        let (directory_descriptors, directory_descriptors_limit) = self.descriptors.count();
        let (node_files, node_files_limit) = self.node_files.open_now();
        let mut census = Census {
            nodes: self.nodes.len(),
            hard_links: lock(&self.hard_links).len(),
            open_files: self.handles.len(),
            directory_descriptors,
            directory_descriptors_limit,
            node_files,
            node_files_limit,
            ..Census::default()
        };
        self.nodes.for_each_shard(|nodes| {
            for dir in nodes.iter().filter_map(|node| node.as_dir()) {
                count_listing(dir, &mut census);
            }
        });
        census
    }
}

fn count_listing(dir: &DirNode, census: &mut Census) {
    if let Some(names) = &dir.lock().names {
        census.listings += 1;
        census.listed_names += names.len();
        census.listing_bytes += names.memory();
    }
    if let Some(index) = &dir.known_parts().index {
        census.listing_bytes += index.memory();
    }
}
