//! The model: a tree in memory, on which every operation does the plainest thing that is right.

use std::collections::{BTreeMap, BTreeSet};

use lamina::overlay::{FallocateMode, FileKind, Rdev, RenameMode, Timestamp, XattrMode};
use nix::errno::Errno;

/// An object's number in the model.
pub type Id = usize;
/// A path by its names; empty is the root.
pub type Path = Vec<Vec<u8>>;

pub const ROOT: Id = 0;
pub const SUID: u32 = 0o4000;
pub const SGID: u32 = 0o2000;
pub const CAPABILITY: &[u8] = b"security.capability";

#[derive(Debug, Clone)]
pub enum Body {
    File(Vec<u8>),
    Dir(BTreeMap<Vec<u8>, Id>),
    Symlink(Vec<u8>),
    Fifo,
    CharDevice(Rdev),
}

/// What the number of links says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// As many names as this.
    Count(u32),
    /// One name of a lower file with several, not copied up (`index=off`): it shows the lower file's number of
    /// links, and the lower file is the group.
    Lower { group: usize, count: u32 },
    /// As before, but something that failed may have copied it up.
    Doubtful,
}

#[derive(Debug, Clone)]
pub struct Node {
    pub body: Body,
    pub perm: u32,
    pub uid: u32,
    pub gid: u32,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Where it was set and nothing has changed it since.
    pub mtime: Option<Timestamp>,
    pub links: Links,
    /// Does a directory have a part in a lower layer?
    pub from_lower: bool,
}

impl Node {
    pub fn kind(&self) -> FileKind {
        match self.body {
            Body::File(_) => FileKind::Regular,
            Body::Dir(_) => FileKind::Directory,
            Body::Symlink(_) => FileKind::Symlink,
            Body::Fifo => FileKind::Fifo,
            Body::CharDevice(_) => FileKind::CharDevice,
        }
    }

    pub fn is_dir(&self) -> bool {
        matches!(self.body, Body::Dir(_))
    }
}

/// How the union under test was asked to behave, as far as the outcome depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// May directories with lower parts be renamed?
    pub redirects: bool,
    /// Do hard links survive copy-up (`index=on`)?
    pub links_survive: bool,
}

/// Why the model refuses: any of these is right.
pub type Refused = Vec<Errno>;

fn refused<T>(errno: Errno) -> Result<T, Refused> {
    Err(vec![errno])
}

/// Who makes something.
#[derive(Debug, Clone, Copy)]
pub struct Who {
    pub uid: u32,
    pub gid: u32,
    pub umask: u32,
}

#[derive(Debug, Clone)]
pub struct Model {
    pub rules: Rules,
    nodes: BTreeMap<Id, Node>,
    next: Id,
}

impl Model {
    pub fn new(rules: Rules, root: Node) -> Self {
        Model { rules, nodes: BTreeMap::from([(ROOT, root)]), next: ROOT + 1 }
    }

    pub fn node(&self, id: Id) -> &Node {
        &self.nodes[&id]
    }

    pub fn node_mut(&mut self, id: Id) -> &mut Node {
        self.nodes.get_mut(&id).unwrap()
    }

    pub fn add(&mut self, node: Node) -> Id {
        let id = self.next;
        self.next += 1;
        self.nodes.insert(id, node);
        id
    }

    pub fn entries(&self, dir: Id) -> &BTreeMap<Vec<u8>, Id> {
        match &self.node(dir).body {
            Body::Dir(entries) => entries,
            other => panic!("{dir} is no directory but {other:?}"),
        }
    }

    pub fn entries_mut(&mut self, dir: Id) -> &mut BTreeMap<Vec<u8>, Id> {
        match &mut self.node_mut(dir).body {
            Body::Dir(entries) => entries,
            other => panic!("{dir} is no directory but {other:?}"),
        }
    }

    pub fn child(&self, dir: Id, name: &[u8]) -> Option<Id> {
        self.entries(dir).get(name).copied()
    }

    /// Every path and what is there, parents before children.
    pub fn paths(&self) -> Vec<(Path, Id)> {
        let mut paths = vec![(Path::new(), ROOT)];
        let mut at = 0;
        while at < paths.len() {
            let (path, id) = paths[at].clone();
            if let Body::Dir(entries) = &self.node(id).body {
                paths.extend(
                    entries
                        .iter()
                        .map(|(name, child)| ([&path[..], std::slice::from_ref(name)].concat(), *child)),
                );
            }
            at += 1;
        }
        paths
    }

    /// Is `below` the directory `above` or something in it, at any depth?
    pub fn contains(&self, above: Id, below: Id) -> bool {
        above == below
            || match &self.node(above).body {
                Body::Dir(entries) => entries.values().any(|child| self.contains(*child, below)),
                _ => false,
            }
    }

    /// Drops what has no name, but for the `held`.
    pub fn collect(&mut self, held: impl IntoIterator<Item = Id>) {
        let mut live: BTreeSet<Id> = self.paths().into_iter().map(|(_, id)| id).collect();
        live.extend(held);
        self.nodes.retain(|id, _| live.contains(id));
    }

    pub fn is_live(&self, id: Id) -> bool {
        self.nodes.contains_key(&id)
    }

    /// A change of the object itself: a lower file is copied up, and is then no longer a link of the lower's others.
    /// Says whether its inode number may change thereby.
    pub fn copy_up(&mut self, id: Id) -> bool {
        let node = self.node_mut(id);
        match node.links {
            Links::Count(_) => false,
            Links::Lower { .. } | Links::Doubtful => {
                node.links = Links::Count(1);
                true
            }
        }
    }

    /// Something that failed may have copied it up.
    pub fn doubt(&mut self, id: Id) {
        let node = self.node_mut(id);
        if matches!(node.links, Links::Lower { .. }) {
            node.links = Links::Doubtful;
        }
    }

    fn touch_dir(&mut self, dir: Id) {
        self.node_mut(dir).mtime = None;
    }

    fn take_name(&mut self, dir: Id, name: &[u8]) -> Id {
        self.touch_dir(dir);
        let id = self.entries_mut(dir).remove(name).unwrap();
        if let Links::Count(count) = &mut self.node_mut(id).links {
            *count -= 1;
        }
        id
    }

    pub fn make(&mut self, who: Who, dir: Id, name: &[u8], body: Body, perm: u32) -> Result<Id, Refused> {
        if self.child(dir, name).is_some() {
            return refused(Errno::EEXIST);
        }
        let id = self.make_nameless(who, dir, body, perm);
        self.node_mut(id).links = Links::Count(1);
        self.entries_mut(dir).insert(name.to_vec(), id);
        self.touch_dir(dir);
        Ok(id)
    }

    pub fn make_nameless(&mut self, who: Who, dir: Id, body: Body, perm: u32) -> Id {
        let parent = self.node(dir);
        let inherits = parent.perm & SGID != 0;
        let gid = if inherits { parent.gid } else { who.gid };
        let perm = match body {
            Body::Symlink(_) => 0o777,
            Body::Dir(_) if inherits => perm & !who.umask | SGID,
            _ => perm & !who.umask,
        };
        self.add(Node {
            body,
            perm,
            uid: who.uid,
            gid,
            xattrs: BTreeMap::new(),
            mtime: None,
            links: Links::Count(0),
            from_lower: false,
        })
    }

    /// Says whether the inode number of `id` may change.
    pub fn link(&mut self, id: Id, dir: Id, name: &[u8]) -> Result<bool, Refused> {
        if self.child(dir, name).is_some() {
            self.doubt(id);
            return refused(Errno::EEXIST);
        }
        let renumbered = self.copy_up(id);
        if let Links::Count(count) = &mut self.node_mut(id).links {
            *count += 1;
        }
        self.entries_mut(dir).insert(name.to_vec(), id);
        self.touch_dir(dir);
        Ok(renumbered)
    }

    pub fn unlink(&mut self, dir: Id, name: &[u8]) -> Result<(), Refused> {
        match self.child(dir, name) {
            None => refused(Errno::ENOENT),
            Some(id) if self.node(id).is_dir() => refused(Errno::EISDIR),
            Some(_) => {
                self.take_name(dir, name);
                Ok(())
            }
        }
    }

    pub fn rmdir(&mut self, dir: Id, name: &[u8]) -> Result<(), Refused> {
        match self.child(dir, name).map(|id| &self.node(id).body) {
            None => refused(Errno::ENOENT),
            Some(Body::Dir(entries)) if !entries.is_empty() => refused(Errno::ENOTEMPTY),
            Some(Body::Dir(_)) => {
                self.take_name(dir, name);
                Ok(())
            }
            Some(_) => refused(Errno::ENOTDIR),
        }
    }

    /// The caller has seen to it that neither place lies below the other's object, and that they are not one object.
    /// Says whose inode numbers may change.
    pub fn rename(
        &mut self,
        from: (Id, &[u8]),
        to: (Id, &[u8]),
        mode: RenameMode,
    ) -> Result<Vec<Id>, Refused> {
        let Some(source) = self.child(from.0, from.1) else { return refused(Errno::ENOENT) };
        let target = self.child(to.0, to.1);
        let errors = self.rename_errors(source, target, mode);
        if !errors.is_empty() {
            // The kernel's overlay may have copied the source up before it looked further.
            self.touch_dir(from.0);
            self.touch_dir(to.0);
            self.doubt(source);
            if let Some(target) = target {
                self.doubt(target);
            }
            return Err(errors);
        }
        let mut renumbered = Vec::new();
        let moved = [Some(source), target.filter(|_| mode == RenameMode::Exchange)];
        for id in moved.into_iter().flatten() {
            if self.copy_up(id) {
                renumbered.push(id);
            }
        }
        if let Some(target) = target {
            if mode == RenameMode::Exchange {
                self.entries_mut(from.0).insert(from.1.to_vec(), target);
            } else {
                self.take_name(to.0, to.1);
            }
        }
        if mode != RenameMode::Exchange {
            self.entries_mut(from.0).remove(from.1);
        }
        self.entries_mut(to.0).insert(to.1.to_vec(), source);
        self.touch_dir(from.0);
        self.touch_dir(to.0);
        Ok(renumbered)
    }

    fn rename_errors(&self, source: Id, target: Option<Id>, mode: RenameMode) -> Refused {
        let mut errors = Refused::new();
        let source = self.node(source);
        let target = target.map(|target| self.node(target));
        match (mode, target) {
            (RenameMode::NoReplace, Some(_)) => errors.push(Errno::EEXIST),
            (RenameMode::Exchange, None) => errors.push(Errno::ENOENT),
            (RenameMode::Replace, Some(target)) => match (&source.body, &target.body) {
                (Body::Dir(_), Body::Dir(entries)) if !entries.is_empty() => errors.push(Errno::ENOTEMPTY),
                (Body::Dir(_), Body::Dir(_)) => {}
                (Body::Dir(_), _) => errors.push(Errno::ENOTDIR),
                (_, Body::Dir(_)) => errors.push(Errno::EISDIR),
                _ => {}
            },
            _ => {}
        }
        let fixed = |node: &Node| node.is_dir() && node.from_lower && !self.rules.redirects;
        let exchanged = target.filter(|_| mode == RenameMode::Exchange);
        if fixed(source) || exchanged.is_some_and(fixed) {
            errors.push(Errno::EXDEV);
        }
        errors
    }

    /// What changing content does to file capabilities, whoever changes it.
    pub fn kill_capability(&mut self, id: Id) {
        self.node_mut(id).xattrs.remove(CAPABILITY);
    }

    /// What changing content does to suid and sgid, unless the caller is privileged.
    pub fn kill_priv(&mut self, id: Id) {
        // The caller is of no file's group, so sgid goes wherever it is.
        self.node_mut(id).perm &= !(SUID | SGID);
    }

    pub fn data(&self, id: Id) -> &[u8] {
        match &self.node(id).body {
            Body::File(data) => data,
            other => panic!("{id} is no file but {other:?}"),
        }
    }

    /// The content, to be changed.
    pub fn change_data(&mut self, id: Id) -> &mut Vec<u8> {
        self.kill_capability(id);
        let node = self.node_mut(id);
        node.mtime = None;
        match &mut node.body {
            Body::File(data) => data,
            other => panic!("{id} is no file but {other:?}"),
        }
    }

    pub fn write(&mut self, id: Id, offset: usize, bytes: &[u8]) {
        if !bytes.is_empty() {
            let data = self.change_data(id);
            let end = offset + bytes.len();
            data.resize(data.len().max(end), 0);
            data[offset..end].copy_from_slice(bytes);
        }
    }

    pub fn fallocate(&mut self, id: Id, mode: FallocateMode, offset: usize, len: usize) {
        let data = self.change_data(id);
        let end = offset + len;
        if !mode.contains(FallocateMode::KEEP_SIZE) {
            data.resize(data.len().max(end), 0);
        }
        if mode.contains(FallocateMode::PUNCH_HOLE) {
            let size = data.len();
            data[offset.min(size)..end.min(size)].fill(0);
        }
    }

    pub fn set_xattr(&mut self, id: Id, name: &[u8], value: &[u8], mode: XattrMode) -> Result<(), Refused> {
        let present = self.node(id).xattrs.contains_key(name);
        match (mode, present) {
            (XattrMode::Create, true) => refused(Errno::EEXIST),
            (XattrMode::Replace, false) => refused(Errno::ENODATA),
            _ => {
                self.node_mut(id).xattrs.insert(name.to_vec(), value.to_vec());
                Ok(())
            }
        }
    }

    pub fn remove_xattr(&mut self, id: Id, name: &[u8]) -> Result<(), Refused> {
        self.node_mut(id).xattrs.remove(name).map(drop).ok_or(vec![Errno::ENODATA])
    }

    /// The upper becomes the top lower layer: every directory has a lower part now, and names that were one file are
    /// links of one lower file.
    pub fn freeze(&mut self) {
        let mut names: BTreeMap<Id, Vec<Path>> = BTreeMap::new();
        for (path, id) in self.paths() {
            names.entry(id).or_default().push(path);
        }
        for (id, paths) in names {
            let node = self.node_mut(id);
            node.from_lower = node.is_dir();
            if self.rules.links_survive || paths.len() < 2 {
                continue;
            }
            let count = paths.len() as u32;
            // A number that no earlier group has: an object may have been one of another.
            let group = self.next;
            self.next += 1;
            self.node_mut(id).links = Links::Lower { group, count };
            for path in &paths[1..] {
                let other = self.add(self.node(id).clone());
                let (name, dir) = path.split_last().unwrap();
                let dir = dir.iter().fold(ROOT, |dir, name| self.child(dir, name).unwrap());
                self.entries_mut(dir).insert(name.clone(), other);
            }
        }
    }
}
