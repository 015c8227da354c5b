//! Runs operations on the union and on the model, side by side, as the kernel would call the union: every name is
//! looked up from the root, every answer's lookup is counted, and open files keep their nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use lamina::config::{Behaviour, StackSpec, UpperSpec};
use lamina::error::Error;
use lamina::overlay::*;
use lamina::path::Name;
use proptest::sample::Index;
use tempfile::TempDir;

use super::layers::{Entries, Powers, build, merge, prune};
use super::ops::Spot;
use super::snapshot::Snapshot;
use super::tree::{Body, Id, Links, Model, Node, Path, ROOT, Rules};

/// What was found wrong.
pub type Check<T = ()> = Result<T, String>;

macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}
pub(super) use ensure;

/// An open file.
#[derive(Debug, Clone, Copy)]
pub struct Handle {
    pub id: Id,
    pub node: NodeId,
    pub handle: HandleId,
    pub access: Access,
    /// Made without a name, and may still be given one.
    pub nameless: bool,
}

impl Handle {
    /// How a request names it: half of the files by their nodes, as the kernel does that has opened them by itself.
    pub fn file(&self) -> FileRef {
        if self.node.0.is_multiple_of(2) { self.node.into() } else { self.handle.into() }
    }
}

/// A place for a name, as it is now.
pub struct At {
    pub path: Path,
    pub dir: Id,
    pub name: Vec<u8>,
}

pub struct Runner {
    pub temp: TempDir,
    pub spec: StackSpec,
    pub behaviour: Behaviour,
    pub lists_parts: ListParts,
    pub powers: Powers,
    /// None only while it is mounted again.
    pub overlay: Option<Overlay>,
    pub model: Model,
    pub handles: Vec<Handle>,
    /// The kernel's lookup counts.
    pub counts: BTreeMap<NodeId, u64>,
    /// What each node that was ever named stands for.
    pub ids: BTreeMap<NodeId, Id>,
    /// The node by which the kernel now knows an object.
    pub nodes: BTreeMap<Id, NodeId>,
    /// `st_ino` as it was first seen.
    pub inos: BTreeMap<Id, u64>,
    pub lowers: Vec<(PathBuf, Snapshot)>,
    /// Are the inode numbers of all kinds of objects kept over a remount?
    pub all_stable: bool,
    pub steps: Vec<String>,
}

pub fn show(path: &Path) -> String {
    path.iter().map(|name| format!("/{}", name.escape_ascii())).collect::<String>()
}

pub fn name(bytes: &[u8]) -> Name<'_> {
    Name::new(bytes).unwrap()
}

pub fn context(what: impl std::fmt::Display) -> impl FnOnce(Error) -> String {
    move |error| format!("{what}: unexpected error: {error}")
}

fn fresh_root(powers: Powers) -> Node {
    Node {
        body: Body::Dir(BTreeMap::new()),
        perm: 0o755,
        uid: powers.uid,
        gid: powers.gid,
        xattrs: BTreeMap::new(),
        mtime: None,
        links: Links::Count(1),
        from_lower: true,
    }
}

fn open(spec: &StackSpec, behaviour: &Behaviour, lists: ListParts) -> Check<Overlay> {
    let mut overlay = Overlay::open_stack(spec, behaviour).map_err(context("open the stack"))?;
    if lists == ListParts::AtOnce {
        overlay.list_parts_at_once();
    }
    Ok(overlay)
}

/// When a directory lists its lower parts for lookups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListParts {
    /// Seldom, with so few names.
    WhenWorthIt,
    AtOnce,
}

impl Runner {
    /// `layers` are top first; `behaviour.namespace` says where the builder puts markers.
    pub fn new(
        layers: &[Entries],
        behaviour: Behaviour,
        powers: Powers,
        lists_parts: ListParts,
    ) -> Check<Self> {
        let temp = TempDir::new().unwrap();
        let namespace = behaviour.namespace.unwrap();
        let rules = Rules {
            redirects: behaviour.redirect_dir == lamina::config::RedirectDir::On,
            links_survive: behaviour.index == lamina::config::Index::On,
        };
        let mut model = Model::new(rules, fresh_root(powers));
        let mut lowers = Vec::new();
        for (at, layer) in layers.iter().rev().enumerate() {
            let layer = prune(&model, layer, (at > 0).then_some(ROOT));
            let path = temp.path().join(format!("lower{at}"));
            std::fs::create_dir(&path).unwrap();
            build(&layer, &path, powers, namespace);
            merge(&mut model, &layer);
            lowers.insert(0, (path.clone(), Snapshot::of(&path)));
        }
        let upper = new_upper(&temp, 0);
        let spec = StackSpec {
            lowers: lowers.iter().map(|(path, _)| path.clone().into()).collect(),
            data_only: Vec::new(),
            upper: Some(upper),
        };
        let overlay = Some(open(&spec, &behaviour, lists_parts)?);
        Ok(Runner {
            temp,
            spec,
            powers,
            overlay,
            model,
            handles: Vec::new(),
            counts: BTreeMap::new(),
            ids: BTreeMap::from([(NodeId::ROOT, ROOT)]),
            nodes: BTreeMap::from([(ROOT, NodeId::ROOT)]),
            inos: BTreeMap::new(),
            lowers,
            all_stable: namespace == lamina::config::Namespace::Trusted,
            behaviour,
            lists_parts,
            steps: Vec::new(),
        })
    }

    /// What was done so far, a step a line.
    pub fn story(&self) -> String {
        self.steps.join("\n")
    }

    pub fn overlay(&self) -> &Overlay {
        self.overlay.as_ref().expect("it is mounted")
    }

    pub fn say(&mut self, step: String) {
        self.steps.push(step);
    }

    // ---- finding things ----

    pub fn pick(&self, index: &Index) -> (Path, Id) {
        index.get(&self.model.paths()).clone()
    }

    pub fn pick_where(&self, index: &Index, wanted: impl Fn(&Node) -> bool) -> Option<(Path, Id)> {
        let paths: Vec<(Path, Id)> =
            self.model.paths().into_iter().filter(|(_, id)| wanted(self.model.node(*id))).collect();
        (!paths.is_empty()).then(|| index.get(&paths).clone())
    }

    pub fn pick_handle(&self, index: &Index, wanted: impl Fn(&Handle) -> bool) -> Option<Handle> {
        let handles: Vec<Handle> = self.handles.iter().filter(|handle| wanted(handle)).copied().collect();
        (!handles.is_empty()).then(|| *index.get(&handles))
    }

    pub fn spot(&self, spot: &Spot) -> Option<At> {
        match spot {
            Spot::Taken(index) => {
                let paths = self.model.paths();
                let taken = &paths[1..];
                if taken.is_empty() {
                    return None;
                }
                let (name, path) = index.get(taken).0.split_last()?;
                let dir = path.iter().fold(ROOT, |dir, name| self.model.child(dir, name).unwrap());
                Some(At { path: path.to_vec(), dir, name: name.clone() })
            }
            Spot::Any(index, name) => {
                let (path, dir) = self.pick_where(index, Node::is_dir)?;
                Some(At { path, dir, name: super::layers::NAMES[*name].to_vec() })
            }
        }
    }

    /// Looks a path up from the root, as the kernel does.
    pub fn walk(&mut self, path: &Path) -> Check<NodeId> {
        let (mut node, mut id) = (NodeId::ROOT, ROOT);
        for part in path {
            id = self.model.child(id, part).unwrap();
            let entry = self.overlay().lookup(node, name(part)).map_err(context(show(path)))?;
            let entry = entry.ok_or_else(|| format!("{} is not found", show(path)))?;
            self.note(id, &entry).map_err(|why| format!("{}: {why}", show(path)))?;
            node = entry.node;
        }
        Ok(node)
    }

    pub fn place(&mut self, at: &At) -> Check<NodeId> {
        self.walk(&at.path)
    }

    /// Counts a lookup, and checks what was answered.
    pub fn note(&mut self, id: Id, entry: &Entry) -> Check {
        *self.counts.entry(entry.node).or_insert(0) += 1;
        let known = *self.ids.entry(entry.node).or_insert(id);
        ensure!(known == id, "{:?} stands for two objects ({known} and {id})", entry.node);
        let node = *self.nodes.entry(id).or_insert(entry.node);
        ensure!(node == entry.node, "one object ({id}) is both {node:?} and {:?}", entry.node);
        self.check_attr(id, &entry.attr)
    }

    // ---- the kernel's side ----

    /// Drops the caches: all nodes that no open file keeps. Directories stay while any file is open, since an open
    /// file keeps the directories it was reached through.
    pub fn forget(&mut self) {
        let held: BTreeSet<NodeId> = self.handles.iter().map(|handle| handle.node).collect();
        let mut kept = BTreeMap::new();
        for (node, count) in std::mem::take(&mut self.counts) {
            let id = self.ids[&node];
            let is_dir = self.model.is_live(id) && self.model.node(id).is_dir();
            let keep = u64::from(held.contains(&node) || is_dir && !held.is_empty());
            if count > keep {
                self.overlay().forget(node, count - keep);
            }
            if keep > 0 {
                kept.insert(node, keep);
            } else if self.nodes.get(&id) == Some(&node) {
                self.nodes.remove(&id);
            }
        }
        self.counts = kept;
        self.forget_numbers();
    }

    pub fn unmount(&mut self) {
        for handle in std::mem::take(&mut self.handles) {
            self.overlay().release(handle.handle);
        }
        self.counts.clear();
        self.ids = BTreeMap::from([(NodeId::ROOT, ROOT)]);
        self.nodes = BTreeMap::from([(ROOT, NodeId::ROOT)]);
        self.model.collect([]);
    }

    pub fn mount(&mut self) -> Check {
        // The old one lets go of its directories first.
        self.overlay = None;
        self.overlay = Some(open(&self.spec, &self.behaviour, self.lists_parts)?);
        Ok(())
    }

    pub fn reopen(&mut self) -> Check {
        self.unmount();
        self.mount()?;
        self.forget_numbers();
        Ok(())
    }

    /// Where origins cannot be recorded, only regular files and directories keep their numbers when they are looked
    /// up anew: `user.` attributes exist on nothing else.
    pub fn forget_numbers(&mut self) {
        let (model, all_stable) = (&self.model, self.all_stable);
        let stable = |kind| all_stable || matches!(kind, FileKind::Regular | FileKind::Directory);
        self.inos.retain(|id, _| model.is_live(*id) && stable(model.node(*id).kind()));
    }

    pub fn restack(&mut self) -> Check {
        self.unmount();
        let next = new_upper(&self.temp, self.spec.lowers.len());
        if let Some(old) = self.spec.upper.replace(next) {
            self.lowers.push((old.upper.clone(), Snapshot::of(&old.upper)));
            self.spec.lowers.insert(0, old.upper.into());
        }
        self.model.freeze();
        let root = fresh_root(self.powers);
        let entries = self.model.entries(ROOT).clone();
        *self.model.node_mut(ROOT) = Node { body: Body::Dir(entries), ..root };
        self.inos.clear();
        self.mount()
    }

    pub fn renumber(&mut self, id: Id, changed: bool) {
        if changed {
            self.inos.remove(&id);
        }
    }

    /// An object is about to be copied up, for a change that does not fail.
    pub fn copy_up(&mut self, id: Id) {
        let changed = self.model.copy_up(id);
        self.renumber(id, changed);
    }
}

impl Handle {
    pub fn reads(&self) -> bool {
        self.access != Access::Write
    }

    pub fn writes(&self) -> bool {
        self.access.writes()
    }
}

fn new_upper(temp: &TempDir, number: usize) -> UpperSpec {
    use std::os::unix::fs::PermissionsExt;
    let upper = temp.path().join(format!("upper{number}"));
    let work = temp.path().join(format!("work{number}"));
    for dir in [&upper, &work] {
        std::fs::create_dir(dir).unwrap();
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    UpperSpec { upper, work }
}

pub fn show_at(at: &At) -> String {
    format!("{}/{}", show(&at.path), at.name.escape_ascii())
}
