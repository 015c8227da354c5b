//! Runs operations on the union and on the model, side by side, as the kernel would call the union: every name is
//! looked up from the root, every answer's lookup is counted, and open files keep their nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use lamina::config::{Behaviour, StackSpec, UpperSpec};
use lamina::error::Error;
use lamina::overlay::*;
use lamina::path::Name;
use nix::errno::Errno;
use proptest::sample::Index;
use tempfile::TempDir;

use super::layers::{Entries, Powers, build, merge, prune};
use super::listing::{Batch, Seen};
use super::ops::{Op, Opening, Spot};
use super::snapshot::Snapshot;
use super::tree::{Body, CAPABILITY, Id, Links, Model, Node, Path, ROOT, Refused, Rules, SGID, SUID, Who};

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
struct Handle {
    id: Id,
    node: NodeId,
    handle: HandleId,
    access: Access,
    /// Made without a name, and may still be given one.
    nameless: bool,
}

/// A place for a name, as it is now.
struct At {
    path: Path,
    dir: Id,
    name: Vec<u8>,
}

pub struct Runner {
    temp: TempDir,
    spec: StackSpec,
    behaviour: Behaviour,
    powers: Powers,
    /// None only while it is mounted again.
    overlay: Option<Overlay>,
    pub(super) model: Model,
    handles: Vec<Handle>,
    /// The kernel's lookup counts.
    counts: BTreeMap<NodeId, u64>,
    /// What each node that was ever named stands for.
    ids: BTreeMap<NodeId, Id>,
    /// The node by which the kernel now knows an object.
    nodes: BTreeMap<Id, NodeId>,
    /// `st_ino` as it was first seen.
    inos: BTreeMap<Id, u64>,
    lowers: Vec<(PathBuf, Snapshot)>,
    /// Are the inode numbers of all kinds of objects kept over a remount?
    all_stable: bool,
    steps: Vec<String>,
}

pub(super) fn show(path: &Path) -> String {
    path.iter().map(|name| format!("/{}", name.escape_ascii())).collect::<String>()
}

fn name(bytes: &[u8]) -> Name<'_> {
    Name::new(bytes).unwrap()
}

fn caller(who: Who) -> Caller {
    Caller { uid: who.uid, gid: who.gid, umask: who.umask }
}

fn context(what: impl std::fmt::Display) -> impl FnOnce(Error) -> String {
    move |error| format!("{what}: unexpected error: {error}")
}

/// Both refused, or neither did.
fn agree<T, U>(expected: Result<T, Refused>, got: Result<U, Error>) -> Check<Option<(T, U)>> {
    match (expected, got) {
        (Ok(expected), Ok(got)) => Ok(Some((expected, got))),
        (Err(errnos), Err(error)) if errnos.contains(&error.errno()) => Ok(None),
        (Ok(_), Err(error)) => Err(format!("failed: {error} ({})", error.errno())),
        (Err(errnos), Ok(_)) => Err(format!("succeeded, but should have been {errnos:?}")),
        (Err(errnos), Err(error)) => {
            Err(format!("failed with {error} ({}), but should have been {errnos:?}", error.errno()))
        }
    }
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

fn open(spec: &StackSpec, behaviour: &Behaviour) -> Check<Overlay> {
    Overlay::open_stack(spec, behaviour).map_err(context("open the stack"))
}

impl Runner {
    /// `layers` are top first; `behaviour.namespace` says where the builder puts markers.
    pub fn new(layers: &[Entries], behaviour: Behaviour, powers: Powers) -> Check<Self> {
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
            lowers: lowers.iter().map(|(path, _)| path.clone()).collect(),
            data_only: Vec::new(),
            upper: Some(upper),
        };
        let overlay = Some(open(&spec, &behaviour)?);
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
            steps: Vec::new(),
        })
    }

    /// What was done so far, a step a line.
    pub fn story(&self) -> String {
        self.steps.join("\n")
    }

    fn overlay(&self) -> &Overlay {
        self.overlay.as_ref().expect("it is mounted")
    }

    fn say(&mut self, step: String) {
        self.steps.push(step);
    }

    // ---- finding things ----

    fn pick(&self, index: &Index) -> (Path, Id) {
        index.get(&self.model.paths()).clone()
    }

    fn pick_where(&self, index: &Index, wanted: impl Fn(&Node) -> bool) -> Option<(Path, Id)> {
        let paths: Vec<(Path, Id)> =
            self.model.paths().into_iter().filter(|(_, id)| wanted(self.model.node(*id))).collect();
        (!paths.is_empty()).then(|| index.get(&paths).clone())
    }

    fn pick_handle(&self, index: &Index, wanted: impl Fn(&Handle) -> bool) -> Option<Handle> {
        let handles: Vec<Handle> = self.handles.iter().filter(|handle| wanted(handle)).copied().collect();
        (!handles.is_empty()).then(|| *index.get(&handles))
    }

    fn spot(&self, spot: &Spot) -> Option<At> {
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
    pub(super) fn walk(&mut self, path: &Path) -> Check<NodeId> {
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

    fn place(&mut self, at: &At) -> Check<NodeId> {
        self.walk(&at.path)
    }

    /// Counts a lookup, and checks what was answered.
    fn note(&mut self, id: Id, entry: &Entry) -> Check {
        *self.counts.entry(entry.node).or_insert(0) += 1;
        let known = *self.ids.entry(entry.node).or_insert(id);
        ensure!(known == id, "{:?} stands for two objects ({known} and {id})", entry.node);
        let node = *self.nodes.entry(id).or_insert(entry.node);
        ensure!(node == entry.node, "one object ({id}) is both {node:?} and {:?}", entry.node);
        self.check_attr(id, &entry.attr)
    }

    // ---- checking ----

    /// The attributes are the model's, and the inode number is the one it always was.
    fn check_attr(&mut self, id: Id, attr: &Attr) -> Check {
        let node = self.model.node(id);
        ensure!(attr.kind == node.kind(), "is a {:?}, should be a {:?}", attr.kind, node.kind());
        ensure!(attr.perm == node.perm, "has mode {:o}, should have {:o}", attr.perm, node.perm);
        let (owner, expected) = ((attr.uid, attr.gid), (node.uid, node.gid));
        ensure!(owner == expected, "belongs to {owner:?}, should belong to {expected:?}");
        if let Some(mtime) = node.mtime {
            ensure!(attr.mtime == mtime, "has mtime {:?}, should have {mtime:?}", attr.mtime);
        }
        let size = match &node.body {
            Body::File(data) => Some(data.len() as u64),
            Body::Symlink(target) => Some(target.len() as u64),
            Body::CharDevice(rdev) => {
                ensure!(attr.rdev == *rdev, "is device {:?}, should be {rdev:?}", attr.rdev);
                None
            }
            Body::Dir(_) | Body::Fifo => None,
        };
        if let Some(size) = size {
            ensure!(attr.size == size, "has size {}, should have {size}", attr.size);
        }
        match node.links {
            // A lower file without a name has the links it had under the kernel's overlay.
            Links::Count(count) | Links::Lower { count, .. } if !node.is_dir() && self.has_name(id) => {
                ensure!(attr.nlink == count, "has {} links, should have {count}", attr.nlink);
            }
            _ => {}
        }
        if node.links != Links::Doubtful {
            let first = *self.inos.entry(id).or_insert(attr.ino);
            ensure!(first == attr.ino, "has inode number {}, had {first}", attr.ino);
        }
        Ok(())
    }

    fn has_name(&self, id: Id) -> bool {
        self.model.paths().iter().any(|(_, other)| *other == id)
    }

    /// The whole tree is the model's.
    pub fn check_tree(&mut self) -> Check {
        let mut seen: BTreeMap<u64, Id> = BTreeMap::new();
        for (at, (path, id)) in self.model.paths().into_iter().enumerate() {
            self.check_object(&path, id, at).map_err(|why| format!("{}: {why}", show(&path)))?;
            // Two objects have two numbers, but for the names of one lower file.
            let ino = self.inos.get(&id).copied().filter(|_| self.model.node(id).links != Links::Doubtful);
            if let Some(ino) = ino {
                let other = *seen.entry(ino).or_insert(id);
                ensure!(
                    other == id || self.same_lower(other, id),
                    "{}: inode number {ino} is also another object's",
                    show(&path)
                );
            }
        }
        for handle in self.handles.clone() {
            let what = format!("{handle:?}");
            let attr = self.overlay().getattr(handle.node).map_err(context(&what))?;
            self.check_attr(handle.id, &attr).map_err(|why| format!("{what}: {why}"))?;
            if handle.access != Access::Write {
                self.check_content(handle.id, handle.handle).map_err(|why| format!("{what}: {why}"))?;
            }
        }
        Ok(())
    }

    fn same_lower(&self, one: Id, other: Id) -> bool {
        match (self.model.node(one).links, self.model.node(other).links) {
            (Links::Lower { group: one, .. }, Links::Lower { group: other, .. }) => one == other,
            _ => false,
        }
    }

    fn check_object(&mut self, path: &Path, id: Id, turn: usize) -> Check {
        let node = self.walk(path)?;
        let attr = self.overlay().getattr(node).map_err(context("getattr"))?;
        self.check_attr(id, &attr)?;
        if let Links::Lower { group, .. } = self.model.node(id).links {
            for (other, ino) in &self.inos {
                if *other != id
                    && matches!(self.model.is_live(*other).then(|| self.model.node(*other).links),
                        Some(Links::Lower { group: theirs, .. }) if theirs == group)
                {
                    ensure!(
                        *ino == attr.ino,
                        "is a link of a lower file and has another number: {}",
                        attr.ino
                    );
                }
            }
        }
        self.check_xattrs(id, node)?;
        match self.model.node(id).body.clone() {
            Body::Dir(_) => {
                let listing = if turn.is_multiple_of(2) { Listing::Names } else { Listing::Plus };
                self.list(id, node, 1 + turn % 50, listing, |_, _| Ok(())).map(drop)
            }
            Body::File(_) => {
                let mode = OpenMode { access: Access::Read, truncate: Truncate::Keep };
                let opened = self.overlay().open(node, mode).map_err(context("open"))?;
                let checked = self.check_content(id, opened.handle);
                self.overlay().release(opened.handle);
                checked
            }
            Body::Symlink(target) => {
                let got = self.overlay().readlink(node).map_err(context("readlink"))?;
                ensure!(got == target, "leads to \"{}\"", got.escape_ascii());
                Ok(())
            }
            Body::Fifo | Body::CharDevice(_) => Ok(()),
        }
    }

    fn check_content(&self, id: Id, handle: HandleId) -> Check {
        let data = self.model.data(id);
        let mut got = vec![0xaa; data.len() + 100];
        let read = self.overlay().read(handle, 0, &mut got).map_err(context("read"))?;
        got.truncate(read);
        let differs = got.iter().zip(data).position(|(got, data)| got != data);
        ensure!(got == data, "has {read} bytes, should have {}; first difference at {differs:?}", data.len());
        Ok(())
    }

    fn check_xattrs(&self, id: Id, node: NodeId) -> Check {
        let expected = &self.model.node(id).xattrs;
        let listed = self.overlay().listxattr(node, Trusted::Shown).map_err(context("listxattr"))?;
        ensure!(listed.last().is_none_or(|byte| *byte == 0), "a name in the list of attributes is not ended");
        // The kernel's own attributes (security labels) are no business of the model.
        let names: Vec<&[u8]> =
            listed.split(|byte| *byte == 0).filter(|name| is_tested_xattr(name)).collect();
        let unique: BTreeSet<&[u8]> = names.iter().copied().collect();
        let wanted: BTreeSet<&[u8]> = expected.keys().map(Vec::as_slice).collect();
        let text = |names: &BTreeSet<&[u8]>| {
            names.iter().map(|name| name.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
        };
        ensure!(unique == wanted, "has attributes [{}], should have [{}]", text(&unique), text(&wanted));
        ensure!(unique.len() == names.len(), "lists an attribute twice");
        for (name, value) in expected {
            let got = self.overlay().getxattr(node, name).map_err(context(name.escape_ascii()))?;
            ensure!(got == *value, "attribute {} has another value", name.escape_ascii());
        }
        Ok(())
    }

    /// Reads a listing in batches of at most `room`; `between` is called with each batch.
    fn list(
        &mut self,
        id: Id,
        node: NodeId,
        room: usize,
        listing: Listing,
        mut between: impl FnMut(&mut Self, &[Seen]) -> Check,
    ) -> Check<Vec<Seen>> {
        let expected = self.model.entries(id).clone();
        let mut all: Vec<Seen> = Vec::new();
        loop {
            let cookie = all.last().map_or(0, |seen| seen.cookie);
            let mut batch = Batch::new(room);
            self.overlay().readdir(node, cookie, listing, &mut batch).map_err(context("readdir"))?;
            let seen = batch.finish()?;
            if seen.is_empty() {
                break;
            }
            for one in &seen {
                self.check_seen(&expected, one, listing)?;
            }
            all.extend(seen.iter().cloned());
            between(self, &seen)?;
        }
        let dots: Vec<&[u8]> = all.iter().take(2).map(|seen| &seen.name[..]).collect();
        ensure!(dots == [&b"."[..], b".."], "the listing does not begin with . and ..");
        let names: BTreeSet<&[u8]> = all[2..].iter().map(|seen| &seen.name[..]).collect();
        ensure!(names.len() == all.len() - 2, "the listing has a name twice");
        for name in expected.keys() {
            ensure!(names.contains(&name[..]), "the listing misses {}", name.escape_ascii());
        }
        Ok(all)
    }

    fn check_seen(&mut self, expected: &BTreeMap<Vec<u8>, Id>, seen: &Seen, listing: Listing) -> Check {
        let dots = seen.name == b"." || seen.name == b"..";
        let text = seen.name.escape_ascii();
        let Some(id) = expected.get(&seen.name).copied() else {
            ensure!(dots, "the listing has {text}, which does not exist");
            ensure!(seen.entry.is_none(), "the listing looked {text} up");
            ensure!(seen.kind == FileKind::Directory, "the listing says {text} is a {:?}", seen.kind);
            return Ok(());
        };
        let node = self.model.node(id);
        ensure!(seen.kind == node.kind(), "the listing says {text} is a {:?}", seen.kind);
        let doubtful = node.links == Links::Doubtful;
        match (listing, &seen.entry) {
            (Listing::Names, None) => {}
            (Listing::Plus, Some(entry)) => {
                ensure!(seen.ino == entry.attr.ino, "d_ino of {text} is not its st_ino");
                self.note(id, entry).map_err(|why| format!("listed {text}: {why}"))?;
            }
            (_, entry) => return Err(format!("{listing:?} gave {entry:?} for {text}")),
        }
        if let Some(ino) = self.inos.get(&id)
            && !doubtful
        {
            ensure!(seen.ino == *ino, "d_ino of {text} is {}, its st_ino {ino}", seen.ino);
        }
        Ok(())
    }

    pub fn check_lowers(&self) -> Check {
        for (path, before) in &self.lowers {
            before.check(path)?;
        }
        Ok(())
    }

    // ---- the kernel's side ----

    /// Drops the caches: all nodes that no open file keeps. Directories stay while any file is open, since an open
    /// file keeps the directories it was reached through.
    fn forget(&mut self) {
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

    fn unmount(&mut self) {
        for handle in std::mem::take(&mut self.handles) {
            self.overlay().release(handle.handle);
        }
        self.counts.clear();
        self.ids = BTreeMap::from([(NodeId::ROOT, ROOT)]);
        self.nodes = BTreeMap::from([(ROOT, NodeId::ROOT)]);
        self.model.collect([]);
    }

    fn mount(&mut self) -> Check {
        // The old one lets go of its directories first.
        self.overlay = None;
        self.overlay = Some(open(&self.spec, &self.behaviour)?);
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
    fn forget_numbers(&mut self) {
        let (model, all_stable) = (&self.model, self.all_stable);
        let stable = |kind| all_stable || matches!(kind, FileKind::Regular | FileKind::Directory);
        self.inos.retain(|id, _| model.is_live(*id) && stable(model.node(*id).kind()));
    }

    fn restack(&mut self) -> Check {
        self.unmount();
        let next = new_upper(&self.temp, self.spec.lowers.len());
        if let Some(old) = self.spec.upper.replace(next) {
            self.lowers.push((old.upper.clone(), Snapshot::of(&old.upper)));
            self.spec.lowers.insert(0, old.upper);
        }
        self.model.freeze();
        let root = fresh_root(self.powers);
        let entries = self.model.entries(ROOT).clone();
        *self.model.node_mut(ROOT) = Node { body: Body::Dir(entries), ..root };
        self.inos.clear();
        self.mount()
    }

    fn renumber(&mut self, id: Id, changed: bool) {
        if changed {
            self.inos.remove(&id);
        }
    }

    /// An object is about to be copied up, for a change that does not fail.
    fn copy_up(&mut self, id: Id) {
        let changed = self.model.copy_up(id);
        self.renumber(id, changed);
    }

    // ---- the operations ----

    /// Does one operation on both sides.
    pub fn step(&mut self, op: &Op) -> Check {
        self.do_op(op)?;
        // What the kernel would be told is taken, as the adapter takes it.
        self.overlay().take_invalidations();
        let held: Vec<Id> = self.handles.iter().map(|handle| handle.id).collect();
        self.model.collect(held);
        self.inos.retain(|id, _| self.model.is_live(*id));
        Ok(())
    }

    fn do_op(&mut self, op: &Op) -> Check {
        match op {
            Op::Mkdir { who, at, perm } => {
                let perm = self.powers.perm(*perm, true);
                let make = |run: &Self, dir, name: &[u8]| {
                    run.overlay().mkdir(&caller(*who), Place { dir, name: Name::new(name).unwrap() }, perm)
                };
                self.make("mkdir", *who, at, Body::Dir(BTreeMap::new()), perm, make)
            }
            Op::Mkfifo { who, at, perm } => self.mknod(*who, at, Body::Fifo, SpecialKind::Fifo, *perm),
            Op::Mkfile { who, at, perm } => {
                self.mknod(*who, at, Body::File(Vec::new()), SpecialKind::Regular, *perm)
            }
            Op::Symlink { who, at, target } => {
                let make = |run: &Self, dir, name: &[u8]| {
                    run.overlay().symlink(
                        &caller(*who),
                        Place { dir, name: Name::new(name).unwrap() },
                        target,
                    )
                };
                self.make("symlink", *who, at, Body::Symlink(target.clone()), 0o777, make)
            }
            Op::Create { who, at, perm, access, opening, existing } => {
                self.create(*who, at, *perm, *access, *opening, *existing)
            }
            Op::Link { of, at } => {
                let Some((path, id)) = self.pick_where(of, |node| !node.is_dir()) else { return Ok(()) };
                let Some(at) = self.spot(at) else { return Ok(()) };
                self.say(format!("link {} {}", show(&path), show_at(&at)));
                let node = self.walk(&path)?;
                self.link(id, node, &at)
            }
            Op::LinkHeld { of, at } => {
                let Some(handle) = self.pick_handle(of, |handle| handle.nameless) else { return Ok(()) };
                let Some(at) = self.spot(at) else { return Ok(()) };
                self.say(format!("link {handle:?} {}", show_at(&at)));
                self.link(handle.id, handle.node, &at)?;
                if self.has_name(handle.id) {
                    for held in self.handles.iter_mut().filter(|held| held.id == handle.id) {
                        held.nameless = false;
                    }
                }
                Ok(())
            }
            Op::Unlink { at } => {
                let Some(at) = self.spot(at) else { return Ok(()) };
                self.say(format!("unlink {}", show_at(&at)));
                let dir = self.place(&at)?;
                let got = self.overlay().unlink(Place { dir, name: name(&at.name) });
                agree(self.model.unlink(at.dir, &at.name), got).map(drop)
            }
            Op::Rmdir { at } => {
                let Some(at) = self.spot(at) else { return Ok(()) };
                self.say(format!("rmdir {}", show_at(&at)));
                let dir = self.place(&at)?;
                let got = self.overlay().rmdir(Place { dir, name: name(&at.name) });
                agree(self.model.rmdir(at.dir, &at.name), got).map(drop)
            }
            Op::Rename { from, to, mode } => self.rename(from, to, *mode),
            Op::Chmod { of, perm } => {
                // chmod(2) of a symlink is refused before it comes here.
                let wanted = |node: &Node| !matches!(node.body, Body::Symlink(_));
                let Some((path, id)) = self.pick_where(of, wanted) else { return Ok(()) };
                let perm = self.powers.perm(*perm, self.model.node(id).is_dir());
                self.say(format!("chmod {perm:o} {}", show(&path)));
                let node = self.walk(&path)?;
                self.copy_up(id);
                self.model.node_mut(id).perm = perm;
                self.setattr(id, node, None, &AttrChange { perm: Some(perm), ..AttrChange::NONE })
            }
            Op::Chown { of, uid, gid } => {
                let (path, id) = self.pick(of);
                self.say(format!("chown {uid:?}:{gid:?} {}", show(&path)));
                if uid.is_none() && gid.is_none() {
                    return Ok(());
                }
                let node = self.walk(&path)?;
                self.copy_up(id);
                // chown(2) takes suid and sgid away from everything but directories.
                let keeps = self.model.node(id).is_dir();
                if !keeps {
                    self.model.kill_priv(id);
                    self.model.kill_capability(id);
                }
                let object = self.model.node_mut(id);
                object.uid = uid.unwrap_or(object.uid);
                object.gid = gid.unwrap_or(object.gid);
                let kill_priv = if keeps { KillPriv::Keep } else { KillPriv::Kill };
                self.setattr(
                    id,
                    node,
                    None,
                    &AttrChange { uid: *uid, gid: *gid, kill_priv, ..AttrChange::NONE },
                )
            }
            Op::Truncate { of, size, kill } => {
                let wanted = |node: &Node| matches!(node.body, Body::File(_));
                let Some((path, id)) = self.pick_where(of, wanted) else { return Ok(()) };
                self.say(format!("truncate {size} {} ({kill:?})", show(&path)));
                let node = self.walk(&path)?;
                self.truncate(id, node, None, *size, *kill)
            }
            Op::SetTimes { of, atime, mtime } => {
                let (path, id) = self.pick(of);
                if atime.is_none() && mtime.is_none() {
                    return Ok(());
                }
                self.say(format!("utimens {atime:?} {mtime:?} {}", show(&path)));
                let node = self.walk(&path)?;
                self.copy_up(id);
                let object = self.model.node_mut(id);
                object.mtime = mtime.or(object.mtime);
                let change = AttrChange {
                    atime: atime.map(TimeChange::To),
                    mtime: mtime.map(TimeChange::To),
                    ..AttrChange::NONE
                };
                let attr = self.overlay().setattr(node, None, &change).map_err(context("setattr"))?;
                if let Some(atime) = atime {
                    ensure!(attr.atime == *atime, "has atime {:?}, should have {atime:?}", attr.atime);
                }
                self.check_attr(id, &attr)
            }
            Op::SetXattr { of, name, value, mode } => {
                let Some((path, id)) = self.pick_where(of, |node| may_have(node, name)) else {
                    return Ok(());
                };
                self.say(format!("setxattr {} {mode:?} {}", name.escape_ascii(), show(&path)));
                let node = self.walk(&path)?;
                let got = self.overlay().setxattr(node, name, value, *mode, AclSgid::Keep);
                match agree(self.model.set_xattr(id, name, value, *mode), got)? {
                    Some(_) => self.copy_up(id),
                    None => self.model.doubt(id),
                }
                Ok(())
            }
            Op::RemoveXattr { of, name } => {
                let Some((path, id)) = self.pick_where(of, |node| may_have(node, name)) else {
                    return Ok(());
                };
                self.say(format!("removexattr {} {}", name.escape_ascii(), show(&path)));
                let node = self.walk(&path)?;
                let got = self.overlay().removexattr(node, name);
                let missing = self.overlay().getxattr(node, name);
                ensure!(
                    missing.as_ref().is_err_and(|error| error.errno() == Errno::ENODATA),
                    "after removing, getxattr gave {missing:?}"
                );
                match agree(self.model.remove_xattr(id, name), got)? {
                    Some(_) => self.copy_up(id),
                    None => self.model.doubt(id),
                }
                Ok(())
            }
            Op::Open { of, access, opening } => {
                let wanted = |node: &Node| matches!(node.body, Body::File(_));
                let Some((path, id)) = self.pick_where(of, wanted) else { return Ok(()) };
                self.say(format!("open {} {access:?} {opening:?}", show(&path)));
                let node = self.walk(&path)?;
                let opened =
                    self.overlay().open(node, open_mode(*access, *opening)).map_err(context("open"))?;
                self.opened(id, *access, *opening);
                self.hold(id, node, opened, *access, false);
                Ok(())
            }
            Op::Tmpfile { who, dir, perm } => {
                let Some((path, dir_id)) = self.pick_where(dir, Node::is_dir) else { return Ok(()) };
                let perm = self.powers.perm(*perm, false);
                self.say(format!("tmpfile {perm:o} in {}", show(&path)));
                let dir = self.walk(&path)?;
                let access = Access::ReadWrite;
                let (entry, opened) =
                    self.overlay().tmpfile(&caller(*who), dir, perm, access).map_err(context("tmpfile"))?;
                let id = self.model.make_nameless(*who, dir_id, Body::File(Vec::new()), perm);
                self.note(id, &entry)?;
                self.hold(id, entry.node, opened, access, true);
                Ok(())
            }
            Op::Read { of, offset, len } => {
                let Some(handle) = self.pick_handle(of, Handle::reads) else { return Ok(()) };
                self.say(format!("read {len} at {offset} {handle:?}"));
                let (offset, mut buf) = (usize::from(*offset), vec![0xaa; usize::from(*len)]);
                let read =
                    self.overlay().read(handle.handle, offset as u64, &mut buf).map_err(context("read"))?;
                let data = self.model.data(handle.id);
                let wanted = &data[offset.min(data.len())..(offset + buf.len()).min(data.len())];
                ensure!(buf[..read] == *wanted, "read {read} bytes that are not the {} there", wanted.len());
                Ok(())
            }
            Op::Write { of, offset, data, kill } => {
                let Some(handle) = self.pick_handle(of, Handle::writes) else { return Ok(()) };
                self.say(format!("write {} at {offset} {handle:?} ({kill:?})", data.len()));
                let written = self.overlay().write(handle.handle, u64::from(*offset), data, *kill);
                let written = written.map_err(context("write"))?;
                ensure!(written == data.len(), "wrote {written} of {} bytes", data.len());
                self.model.write(handle.id, usize::from(*offset), data);
                if *kill == KillPriv::Kill && !data.is_empty() {
                    self.model.kill_priv(handle.id);
                } else if data.is_empty() {
                    // Nothing written changes nothing; whether the bits go is not said anywhere.
                    self.settle_perm(handle)?;
                }
                Ok(())
            }
            Op::TruncateHeld { of, size } => {
                let Some(handle) = self.pick_handle(of, Handle::writes) else { return Ok(()) };
                self.say(format!("ftruncate {size} {handle:?}"));
                self.truncate(handle.id, handle.node, Some(handle.handle), *size, KillPriv::Kill)
            }
            Op::ChmodHeld { of, perm } => {
                let Some(handle) = self.pick_handle(of, |_| true) else { return Ok(()) };
                let perm = self.powers.perm(*perm, false);
                self.say(format!("fchmod {perm:o} {handle:?}"));
                self.copy_up(handle.id);
                self.model.node_mut(handle.id).perm = perm;
                let change = AttrChange { perm: Some(perm), ..AttrChange::NONE };
                self.setattr(handle.id, handle.node, Some(handle.handle), &change)
            }
            Op::Fallocate { of, mode, offset, len } => {
                let Some(handle) = self.pick_handle(of, Handle::writes) else { return Ok(()) };
                self.say(format!("fallocate {mode:?} {len} at {offset} {handle:?}"));
                let (offset, len) = (usize::from(*offset), usize::from(*len));
                self.overlay()
                    .fallocate(handle.handle, *mode, offset as u64, len as u64, KillPriv::Keep)
                    .map_err(context("fallocate"))?;
                self.model.fallocate(handle.id, *mode, offset, len);
                self.settle_perm(handle)
            }
            Op::Copy { from, from_offset, to, to_offset, len } => {
                let Some(source) = self.pick_handle(from, Handle::reads) else { return Ok(()) };
                let wanted = |handle: &Handle| handle.writes() && handle.id != source.id;
                let Some(target) = self.pick_handle(to, wanted) else { return Ok(()) };
                self.say(format!("copy {len} from {from_offset} {source:?} to {to_offset} {target:?}"));
                self.copy(
                    source,
                    usize::from(*from_offset),
                    target,
                    usize::from(*to_offset),
                    usize::from(*len),
                )
            }
            Op::Sync { of } => {
                let Some(handle) = self.pick_handle(of, |_| true) else { return Ok(()) };
                self.say(format!("fsync {handle:?}"));
                self.overlay().fsync(handle.handle, Sync::DataOnly).map_err(context("fdatasync"))?;
                self.overlay().fsync(handle.handle, Sync::All).map_err(context("fsync"))
            }
            Op::Release { of } => {
                let Some(handle) = self.pick_handle(of, |_| true) else { return Ok(()) };
                self.say(format!("release {handle:?}"));
                self.handles.retain(|held| held.handle != handle.handle);
                self.overlay().release(handle.handle);
                Ok(())
            }
            Op::List { dir, room, listing } => {
                let Some((path, id)) = self.pick_where(dir, Node::is_dir) else { return Ok(()) };
                self.say(format!("list {} by {room} ({listing:?})", show(&path)));
                let node = self.walk(&path)?;
                self.list(id, node, *room, *listing, |_, _| Ok(())).map(drop)
            }
            Op::Empty { dir, room } => {
                let Some((path, id)) = self.pick_where(dir, Node::is_dir) else { return Ok(()) };
                self.say(format!("empty {} by {room}", show(&path)));
                let node = self.walk(&path)?;
                self.empty(id, node, *room)
            }
            Op::Forget => {
                self.say("forget".to_owned());
                self.forget();
                Ok(())
            }
            Op::Reopen => {
                self.say("reopen".to_owned());
                self.reopen()
            }
            Op::Restack if self.model.rules.links_survive => Ok(()),
            Op::Restack => {
                self.say("restack".to_owned());
                self.restack()
            }
        }
    }

    fn make(
        &mut self,
        what: &str,
        who: Who,
        at: &Spot,
        body: Body,
        perm: u32,
        make: impl FnOnce(&Self, NodeId, &[u8]) -> Result<Entry, Error>,
    ) -> Check {
        let Some(at) = self.spot(at) else { return Ok(()) };
        self.say(format!("{what} {} {perm:o} {who:?}", show_at(&at)));
        let dir = self.place(&at)?;
        let got = make(self, dir, &at.name);
        if let Some((id, entry)) = agree(self.model.make(who, at.dir, &at.name, body, perm), got)? {
            self.note(id, &entry)?;
        }
        Ok(())
    }

    fn mknod(&mut self, who: Who, at: &Spot, body: Body, kind: SpecialKind, perm: u32) -> Check {
        let perm = self.powers.perm(perm, false);
        let make = |run: &Self, dir, name: &[u8]| {
            run.overlay().mknod(&caller(who), Place { dir, name: Name::new(name).unwrap() }, kind, perm)
        };
        self.make("mknod", who, at, body, perm, make)
    }

    fn create(
        &mut self,
        who: Who,
        at: &Spot,
        perm: u32,
        access: Access,
        opening: Opening,
        existing: Existing,
    ) -> Check {
        let perm = self.powers.perm(perm, false);
        let Some(at) = self.spot(at) else { return Ok(()) };
        self.say(format!("create {} {perm:o} {who:?} {access:?} {opening:?} {existing:?}", show_at(&at)));
        let old = self.model.child(at.dir, &at.name);
        let refuses = existing == Existing::Refuse;
        if let Some(old) = old
            && !refuses
            && !matches!(self.model.node(old).body, Body::File(_))
        {
            // The kernel would not open it by this call.
            return Ok(());
        }
        let dir = self.place(&at)?;
        let place = Place { dir, name: name(&at.name) };
        let got = self.overlay().create(&caller(who), place, perm, open_mode(access, opening), existing);
        let expected = match old {
            Some(_) if refuses => Err(vec![Errno::EEXIST]),
            Some(old) => Ok(old),
            None => self.model.make(who, at.dir, &at.name, Body::File(Vec::new()), perm),
        };
        if let Some((id, (entry, opened))) = agree(expected, got)? {
            if old.is_some() {
                self.opened(id, access, opening);
            }
            self.note(id, &entry)?;
            self.hold(id, entry.node, opened, access, false);
        }
        Ok(())
    }

    /// What opening does to the file.
    fn opened(&mut self, id: Id, access: Access, opening: Opening) {
        if access.writes() || matches!(opening, Opening::Empty(_)) {
            self.copy_up(id);
        }
        if let Opening::Empty(kill) = opening {
            self.model.change_data(id).clear();
            if kill == KillPriv::Kill {
                self.model.kill_priv(id);
            }
        }
    }

    fn hold(&mut self, id: Id, node: NodeId, opened: Opened, access: Access, nameless: bool) {
        self.handles.push(Handle { id, node, handle: opened.handle, access, nameless });
    }

    fn link(&mut self, id: Id, node: NodeId, at: &At) -> Check {
        let dir = self.place(at)?;
        let got = self.overlay().link(node, Place { dir, name: name(&at.name) });
        if let Some((renumbered, entry)) = agree(self.model.link(id, at.dir, &at.name), got)? {
            self.renumber(id, renumbered);
            self.note(id, &entry)?;
        }
        Ok(())
    }

    fn rename(&mut self, from: &Spot, to: &Spot, mode: RenameMode) -> Check {
        let (Some(from), Some(to)) = (self.spot(from), self.spot(to)) else { return Ok(()) };
        let (source, target) = (self.model.child(from.dir, &from.name), self.model.child(to.dir, &to.name));
        let below = |object: Option<Id>, dir| object.is_some_and(|object| self.model.contains(object, dir));
        if source.is_some() && source == target || below(source, to.dir) || below(target, from.dir) {
            // The kernel answers these itself.
            return Ok(());
        }
        self.say(format!("rename {} {} {mode:?}", show_at(&from), show_at(&to)));
        let (from_dir, to_dir) = (self.place(&from)?, self.place(&to)?);
        for (dir, at) in [(from_dir, &from), (to_dir, &to)] {
            // The kernel knows both names before it asks.
            let entry = self.overlay().lookup(dir, name(&at.name)).map_err(context("lookup"))?;
            match (self.model.child(at.dir, &at.name), entry) {
                (Some(id), Some(entry)) => self.note(id, &entry)?,
                (None, None) => {}
                (_, entry) => return Err(format!("lookup of {} gave {entry:?}", show_at(at))),
            }
        }
        let got = self.overlay().rename(
            Place { dir: from_dir, name: name(&from.name) },
            Place { dir: to_dir, name: name(&to.name) },
            mode,
        );
        let expected = self.model.rename((from.dir, &from.name), (to.dir, &to.name), mode);
        if let Some((renumbered, ())) = agree(expected, got)? {
            for id in renumbered {
                self.renumber(id, true);
            }
        }
        Ok(())
    }

    fn setattr(&mut self, id: Id, node: NodeId, handle: Option<HandleId>, change: &AttrChange) -> Check {
        let attr = self.overlay().setattr(node, handle, change).map_err(context("setattr"))?;
        self.check_attr(id, &attr)
    }

    fn truncate(
        &mut self,
        id: Id,
        node: NodeId,
        handle: Option<HandleId>,
        size: u16,
        kill_priv: KillPriv,
    ) -> Check {
        self.copy_up(id);
        self.model.change_data(id).resize(usize::from(size), 0);
        if kill_priv == KillPriv::Kill {
            self.model.kill_priv(id);
        }
        self.setattr(
            id,
            node,
            handle,
            &AttrChange { size: Some(u64::from(size)), kill_priv, ..AttrChange::NONE },
        )
    }

    /// Takes over the suid and sgid bits where the interface does not say whether they stay.
    fn settle_perm(&mut self, handle: Handle) -> Check {
        let attr = self.overlay().getattr(handle.node).map_err(context("getattr"))?;
        let object = self.model.node_mut(handle.id);
        let gone = object.perm & !attr.perm;
        if gone & !(SUID | SGID) == 0 {
            object.perm &= !gone;
        }
        self.check_attr(handle.id, &attr)
    }

    fn copy(&mut self, source: Handle, from: usize, target: Handle, to: usize, len: usize) -> Check {
        let data = self.model.data(source.id);
        let bytes = data[from.min(data.len())..(from + len).min(data.len())].to_vec();
        let mut done = 0;
        while done < bytes.len() {
            let copied = self.overlay().copy_file_range(
                FilePlace { handle: source.handle, offset: (from + done) as u64 },
                FilePlace { handle: target.handle, offset: (to + done) as u64 },
                (len - done) as u64,
                KillPriv::Keep,
            );
            let copied = copied.map_err(context("copy_file_range"))? as usize;
            ensure!(
                copied > 0 && copied <= bytes.len() - done,
                "copied {copied} bytes of {}",
                bytes.len() - done
            );
            done += copied;
        }
        if !bytes.is_empty() {
            self.model.write(target.id, to, &bytes);
            self.settle_perm(target)?;
        }
        Ok(())
    }

    fn empty(&mut self, id: Id, node: NodeId, room: usize) -> Check {
        self.list(id, node, room, Listing::Names, |run, seen| {
            for one in seen.iter().filter(|one| one.name != b"." && one.name != b"..") {
                let child = run.model.child(id, &one.name).ok_or("listed after it was removed")?;
                let place = Place { dir: node, name: name(&one.name) };
                if run.model.node(child).is_dir() {
                    let got = run.overlay().rmdir(place);
                    agree(run.model.rmdir(id, &one.name), got)?;
                } else {
                    let got = run.overlay().unlink(place);
                    agree(run.model.unlink(id, &one.name), got)?;
                }
            }
            Ok(())
        })?;
        Ok(())
    }
}

impl Handle {
    fn reads(&self) -> bool {
        self.access != Access::Write
    }

    fn writes(&self) -> bool {
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

fn show_at(at: &At) -> String {
    format!("{}/{}", show(&at.path), at.name.escape_ascii())
}

fn open_mode(access: Access, opening: Opening) -> OpenMode {
    let truncate = match opening {
        Opening::Keep => Truncate::Keep,
        Opening::Empty(kill) => Truncate::Empty(kill),
    };
    OpenMode { access, truncate }
}

/// `user.` attributes are for regular files and directories, capabilities for the former; the kernel refuses others before it asks.
fn may_have(node: &Node, name: &[u8]) -> bool {
    match node.body {
        Body::File(_) => true,
        Body::Dir(_) => name != CAPABILITY,
        _ => !name.starts_with(b"user.") && name != CAPABILITY,
    }
}

fn is_tested_xattr(name: &[u8]) -> bool {
    name.starts_with(b"user.") || name.starts_with(b"trusted.") || name == CAPABILITY
}
