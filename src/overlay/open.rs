//! From a configuration to an open union.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, RwLock};

use super::descriptors::{Cell, Descriptors};
use super::file::Handles;
use super::inode_numbers::InodeNumbers;
use super::node::{AttributesAt, Body, DirNode, LowerPart, Node, UpperPart};
use super::node_files::NodeFiles;
use super::nodes::Table;
use super::ownership::Ownership;
use super::stack::{AnyLayer, Stack};
use super::types::{NodeId, Validity};
use super::{ListParts, Options, Overlay};
use crate::config::{Behaviour, Index, RedirectDir, StackSpec, StatOverride};
use crate::error::Result;
use crate::layer::Attributes;
use crate::marker::switches_on_a_root;
use crate::path::RelPath;
use crate::resolve::{Depth, Redirects};
use crate::sys::fs::At;
use crate::sys::{handle, identity, selinux};

/// Descriptors that may stay open for directories, if the process may have more than twice as many.
const DIRECTORY_DESCRIPTORS: usize = 16 * 1024;

impl Overlay {
    /// Opens the layers and checks everything that can be checked before anything is touched; then prepares the
    /// work directory.
    ///
    /// # Errors
    /// Names the path and says what is wrong: a missing or non-directory layer, an upper that cannot be written, a
    /// work directory on another file system, in use, left volatile or that cannot be emptied, a namespace that
    /// cannot be written.
    pub fn open_stack(spec: &StackSpec, behaviour: &Behaviour) -> Result<Overlay> {
        Overlay::over(Stack::open(spec, behaviour)?, behaviour)
    }

    /// Opens one layer of a stack, alone and read-only. Its hard links to files of layers below lead there all the same;
    /// nothing else of those is seen. In errors the layer has the number that it has in the stack.
    ///
    /// # Errors
    /// A layer of the stack cannot be opened; there is none at that depth; the behaviour is not read-only.
    pub fn open_layer(spec: &StackSpec, behaviour: &Behaviour, depth: Depth) -> Result<Overlay> {
        Overlay::over(Stack::open(spec, behaviour)?.only(depth)?, behaviour)
    }

    fn over(stack: Stack, behaviour: &Behaviour) -> Result<Overlay> {
        let numbers = InodeNumbers::new(stack.layers().map(|layer| layer.dev()), behaviour);
        let root = Arc::new(root_node(&stack, &numbers)?);
        let options = options(&stack, behaviour);
        let nodes = Table::new();
        nodes.insert(Arc::clone(&root));
        let overlay = Overlay {
            ownership: Ownership::new(behaviour),
            numbers,
            options,
            nodes,
            root,
            hard_links: Mutex::new(HashMap::new()),
            handles: Handles::new(),
            node_files: NodeFiles::new(descriptor_limit() / 2),
            descriptors: Descriptors::new(descriptor_limit()),
            renames: Mutex::new(()),
            moving: RwLock::new(()),
            invalidations: Mutex::new(Vec::new()),
            any_invalidation: AtomicBool::new(false),
            complained: Mutex::default(),
            lowers_changed: AtomicBool::new(false),
            questions: AtomicU64::new(0),
            stack,
        };
        overlay.dress_root();
        Ok(overlay)
    }

    /// An upper that is still empty takes the attributes of an image's root: they would be hidden by those of a directory
    /// that somebody has just made. Without them the mount works as well, with a root that looks otherwise. Where owners are
    /// recorded it takes those of a directory, too: by the record of its root everybody knows that there are others.
    fn dress_root(&self) {
        let lower = self.stack.lower_depths().next().map(|depth| self.stack.layer(depth));
        let (Some(upper), Some(lower)) = (self.stack.upper(), lower) else { return };
        let records = upper.layer.rules.stat_override != StatOverride::Off;
        match lower {
            AnyLayer::Tar(_) => {}
            AnyLayer::Directory(_) if records && !upper.layer.says_that_owners_are_recorded() => {}
            AnyLayer::Directory(_) => return,
        }
        let dress = || {
            let root = At::Fd(upper.layer.root());
            let mut entries = 0;
            upper.layer.list(upper.layer.root(), false, |_| entries += 1)?;
            let (Body::Dir(dir), 0) = (&self.root.body, entries) else { return Ok(()) };
            let from = self.lower_dir_object(dir)?;
            // Data of the image must not say how the upper is read.
            self.copy_chosen_attributes(upper, &from, &from.stat()?, root, |name| !switches_on_a_root(name))
        };
        if let Err(error) = dress() {
            log::warn!("the upper's root keeps the attributes it has: {error}");
        }
    }
}

/// The root has a part in every ordinary layer, down to a tar that hides what is below it.
fn root_node(stack: &Stack, numbers: &InodeNumbers) -> Result<Node> {
    let mut lowers = Vec::new();
    let mut ino = None;
    let mut attributes = None;
    let mut hidden = false;
    for depth in stack.lower_depths() {
        let layer = stack.layer(depth);
        let found = layer.look_root()?;
        ino.get_or_insert(numbers.shown(found.stat.dev, found.stat.ino));
        let part = LowerPart::new(depth, RelPath::root(), &found);
        let gives = attributes.is_none() && found.attributes == Attributes::Own;
        match (hidden, gives) {
            (false, true) => {
                attributes = Some(AttributesAt::Part(lowers.len()));
                lowers.push(part);
            }
            (false, false) => lowers.push(part),
            (true, true) => attributes = Some(AttributesAt::Hidden(Box::new(part))),
            (true, false) => {}
        }
        hidden |= found.opaque;
        if hidden && attributes.is_some() {
            break;
        }
    }
    let attributes = attributes.unwrap_or(AttributesAt::Part(0));
    let upper = match stack.upper() {
        Some(upper) => {
            let found = upper.layer.look_root()?;
            ino.get_or_insert(numbers.shown(found.stat.dev, found.stat.ino));
            Some(UpperPart::new(Cell::empty(), found.stat.ino, found.xwhiteouts))
        }
        None => None,
    };
    let dir =
        DirNode::new(None, upper, lowers.into(), attributes, RelPath::root(), ino.unwrap_or(NodeId::ROOT.0));
    // The kernel never forgets the root.
    Ok(Node {
        id: NodeId::ROOT,
        refs: AtomicU64::new(1),
        gone: AtomicBool::new(false),
        body: Body::Dir(Box::new(dir)),
    })
}

fn options(stack: &Stack, behaviour: &Behaviour) -> Options {
    let timeout = behaviour.timeout;
    Options {
        redirects: match behaviour.redirect_dir {
            RedirectDir::On | RedirectDir::Follow => Redirects::Follow,
            RedirectDir::NoFollow => Redirects::Refuse,
        },
        // Without attributes a redirect cannot be written at all.
        writes_redirects: behaviour.redirect_dir == RedirectDir::On
            && stack.upper().is_some_and(|upper| upper.namespace().is_some()),
        index: index(stack, behaviour.index),
        acl: behaviour.acl,
        xattrs: behaviour.xattrs,
        static_nlink: behaviour.static_nlink,
        validity: Validity { entry: timeout, negative: timeout, attr: timeout },
        io: behaviour.io,
        trusts_listings: !timeout.is_zero(),
        lists_parts: ListParts::WhenWorthIt,
        opens_handles: opens_handles(stack),
        labels: selinux::is_enabled(),
        privileged: identity::effective().0 == 0 && identity::in_first_user_namespace(),
    }
}

/// An index names its entries by file handles: without them hard links are broken by a copy-up, as with `index=off`.
fn index(stack: &Stack, asked: Index) -> Index {
    let lacking = stack
        .layers()
        .find(|layer| layer.directory().is_none_or(|layer| layer.handle(At::Fd(layer.root())).is_none()));
    match (asked, lacking) {
        (Index::On, _) if stack.index_fd().is_none() => Index::Off,
        // Who made the index that is only read here has said so.
        (Index::On, Some(_)) if stack.upper().is_none() => Index::Off,
        (Index::On, Some(layer)) => {
            log::warn!(
                "index=on: the file system of {} has no file handles, so there is no index",
                layer.path().display()
            );
            Index::Off
        }
        (asked, _) => asked,
    }
}

/// May this process open by handle on the layers' file systems? Asked by trying, of every layer's root.
fn opens_handles(stack: &Stack) -> bool {
    stack.layers().all(|layer| {
        let Some(layer) = layer.directory() else { return false };
        handle::of(At::Fd(layer.root()))
            .and_then(|found| handle::open(layer.root_io().as_fd(), &found))
            .is_ok()
    })
}

fn descriptor_limit() -> usize {
    let (soft, _) =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    // A quarter of the limit for directories, half as much for files that are named by their nodes; the rest stays free for
    // open files and for what lies outside.
    usize::try_from(soft / 4).unwrap_or(usize::MAX).min(DIRECTORY_DESCRIPTORS)
}
