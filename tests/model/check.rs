//! Comparing the union with the model.

use std::collections::{BTreeMap, BTreeSet};

use lamina::overlay::*;

use super::listing::{Batch, Seen};
use super::run::{Check, Runner, context, ensure, show};
use super::tree::{Body, CAPABILITY, Id, Links, Path};

impl Runner {
    /// The attributes are the model's, and the inode number is the one it always was.
    pub fn check_attr(&mut self, id: Id, attr: &Attr) -> Check {
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

    pub fn has_name(&self, id: Id) -> bool {
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

    pub fn same_lower(&self, one: Id, other: Id) -> bool {
        match (self.model.node(one).links, self.model.node(other).links) {
            (Links::Lower { group: one, .. }, Links::Lower { group: other, .. }) => one == other,
            _ => false,
        }
    }

    pub fn check_object(&mut self, path: &Path, id: Id, turn: usize) -> Check {
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

    pub fn check_content(&self, id: Id, handle: HandleId) -> Check {
        let data = self.model.data(id);
        let mut got = vec![0xaa; data.len() + 100];
        let read = self.overlay().read(handle, 0, &mut got).map_err(context("read"))?;
        got.truncate(read);
        let differs = got.iter().zip(data).position(|(got, data)| got != data);
        ensure!(got == data, "has {read} bytes, should have {}; first difference at {differs:?}", data.len());
        Ok(())
    }

    pub fn check_xattrs(&self, id: Id, node: NodeId) -> Check {
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
    pub fn list(
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

    pub fn check_seen(&mut self, expected: &BTreeMap<Vec<u8>, Id>, seen: &Seen, listing: Listing) -> Check {
        let dots = seen.name == b"." || seen.name == b"..";
        let text = seen.name.escape_ascii();
        let Some(id) = expected.get(&seen.name).copied() else {
            ensure!(dots, "the listing has {text}, which does not exist");
            ensure!(seen.entry.is_none(), "the listing looked {text} up");
            ensure!(seen.kind == Some(FileKind::Directory), "the listing says {text} is a {:?}", seen.kind);
            return Ok(());
        };
        let node = self.model.node(id);
        ensure!(seen.kind == Some(node.kind()), "the listing says {text} is a {:?}", seen.kind);
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
}

fn is_tested_xattr(name: &[u8]) -> bool {
    name.starts_with(b"user.") || name.starts_with(b"trusted.") || name == CAPABILITY
}
