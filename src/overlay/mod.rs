//! The union file system as a plain library: usable and tested without FUSE.
//!
//! [`node`](self) has the order of the locks; `docs/architecture.md` the plan of the whole.

mod acl;
mod address;
mod attributes;
mod behind;
mod census;
#[cfg(feature = "image")]
mod comparing;
mod copy_up;
mod create;
mod descriptors;
mod file;
mod index;
mod inode_numbers;
mod lifetime;
mod listing;
mod lookup;
mod node;
mod node_files;
mod nodes;
mod object;
mod open;
mod open_file;
mod origins;
mod ownership;
mod part_index;
mod provenance;
mod readdir;
#[cfg(feature = "image")]
mod reading;
mod refresh;
mod remove;
mod rename;
mod stack;
mod supplied;
mod trace;
mod types;
mod xattrs;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock, Weak};
use std::thread::ThreadId;

pub use census::Census;
#[cfg(feature = "image")]
pub(crate) use comparing::SharedBase;
pub use file::Opened;
#[cfg(feature = "image")]
pub(crate) use object::{DirIn, Object};
pub use origins::OriginFound;
pub use ownership::{OVERFLOW_ID, Ownership};
#[cfg(feature = "image")]
pub(crate) use reading::{InLayer, Layers};
#[cfg(feature = "image")]
pub(crate) use stack::AnyLayer;
pub use supplied::Supplied;
pub use trace::{Link, Outcome, Part, Reason, Said, Trace, TracedDir};
pub use types::*;

use crate::config::{Acl, Index, Io, Xattrs};
use crate::error::{Error, Kind, Result};
use crate::path::RelPath;
use crate::resolve::Redirects;

/// A union of layers, open. All methods may be called from any thread at once.
#[derive(Debug)]
pub struct Overlay {
    stack: stack::Stack,
    ownership: Ownership,
    numbers: inode_numbers::InodeNumbers,
    options: Options,
    nodes: nodes::Table,
    root: Arc<node::Node>,
    hard_links: Mutex<HashMap<node::InodeKey, Weak<node::Node>>>,
    handles: file::Handles,
    node_files: node_files::NodeFiles,
    descriptors: descriptors::Descriptors,
    renames: Mutex<()>,
    moving: RwLock<()>,
    /// What each thread's request has changed under the kernel's cache.
    invalidations: Mutex<Vec<(ThreadId, Invalidation)>>,
    any_invalidation: AtomicBool,
    complained: Mutex<HashSet<RelPath>>,
    /// Somebody has said that lowers were changed ([`Overlay::refresh`]).
    lowers_changed: AtomicBool,
    /// What the layers' directories have been asked about names.
    questions: AtomicU64,
}

impl Drop for Overlay {
    fn drop(&mut self) {
        self.nodes.clear();
    }
}

/// What of the configuration is asked for later.
#[derive(Debug, Clone, Copy)]
struct Options {
    redirects: Redirects,
    writes_redirects: bool,
    index: Index,
    acl: Acl,
    xattrs: Xattrs,
    static_nlink: bool,
    validity: Validity,
    io: Io,
    /// Nobody but us changes the layers, so what was listed stays true.
    trusts_listings: bool,
    /// When a directory in which names are looked up lists its lower parts for that.
    lists_parts: ListParts,
    /// Objects can be opened by their file handles.
    opens_handles: bool,
    /// Security labels are in use on this machine: without, asking for one is answered ENOTSUP, which callers
    /// remember, and not ENODATA, which they do not.
    labels: bool,
    /// This process may set any owner and attribute.
    privileged: bool,
}

/// When does a directory in which names are looked up list its lower parts, to know which of them have a name?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ListParts {
    /// When as much has been asked in vain as that costs.
    WhenWorthIt,
    /// At the first lookup.
    AtOnce,
}

impl Overlay {
    /// Has every directory list its lower parts at the first lookup in it: for tests, which do not ask often enough in one
    /// directory for it to be worth it.
    pub fn list_parts_at_once(&mut self) {
        self.options.lists_parts = ListParts::AtOnce;
    }

    /// How many questions about names the layers' directories have been asked, each at least one system call where the layer is a
    /// directory: for tests and statistics.
    pub fn layer_questions(&self) -> u64 {
        self.questions.load(Ordering::Relaxed)
    }

    /// How long the kernel may cache answers.
    pub fn validity(&self) -> Validity {
        self.options.validity
    }

    /// At most about so many files stay open by their nodes (`io=cached`), in place of an eighth of the limit of descriptors.
    pub fn keep_node_files(&mut self, files: usize) {
        self.node_files = node_files::NodeFiles::new(files);
    }

    /// Who was asked to open files.
    pub fn io(&self) -> Io {
        self.options.io
    }

    /// Takes what the kernel must be told to forget after this thread's calls. To be called after every request, with
    /// no locks held; usually empty and then free.
    pub fn take_invalidations(&self) -> Vec<Invalidation> {
        if !self.any_invalidation.load(Ordering::Acquire) {
            return Vec::new();
        }
        let own = std::thread::current().id();
        let mut all = lock(&self.invalidations);
        let taken = all.extract_if(.., |(thread, _)| *thread == own).map(|(_, what)| what).collect();
        self.any_invalidation.store(!all.is_empty(), Ordering::Release);
        taken
    }

    fn invalidate(&self, what: Invalidation) {
        let mut all = lock(&self.invalidations);
        all.push((std::thread::current().id(), what));
        self.any_invalidation.store(true, Ordering::Release);
    }

    fn invalidate_all(&self, what: Vec<Invalidation>) {
        let own = std::thread::current().id();
        let mut all = lock(&self.invalidations);
        all.extend(what.into_iter().map(|what| (own, what)));
        self.any_invalidation.store(!all.is_empty(), Ordering::Release);
    }

    /// Nodes that are known now: for tests and statistics.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    fn node(&self, id: NodeId) -> Result<Arc<node::Node>> {
        if id == NodeId::ROOT {
            return Ok(Arc::clone(&self.root));
        }
        self.nodes.get(id).ok_or_else(|| Error::new("find node", Kind::Stale))
    }
}

/// Locks, also after a panic in another request: what is guarded is changed by completed steps only.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
