//! Listing directories.

use std::collections::HashSet;
use std::sync::Arc;

use super::listing::{DOT, DOT_DOT, Listed, Names};
use super::lookup::directory;
use super::node::{DirNode, DirState, Node};
use super::object::DirIn;
use super::types::{Attr, DirEntry, DirSink, Entry, FileKind, Listing, NodeId, SinkAnswer};
use super::{ListParts, Overlay, part_index};
use crate::error::{ErrorContext, Result};
use crate::layer::{ByName, RawListing};
use crate::path::NameBuf;

/// What a listing shows for a name that cannot be looked up: neither 0, which means "deleted", nor a number of ours.
const UNKNOWN_INO: u64 = u32::MAX as u64;

impl Overlay {
    /// Offers the entries after `cookie` (0: from the start, `.` and `..` first) to `sink` until it is full.
    ///
    /// # Errors
    /// Failing system calls. A name with a corrupt marker is listed; looking it up is what fails.
    pub fn readdir(&self, node: NodeId, cookie: u64, listing: Listing, sink: &mut dyn DirSink) -> Result<()> {
        let node = self.node(node)?;
        let dir = directory(&node)?;
        if cookie < DOT_DOT && !self.list_dots(dir, cookie, sink)? {
            return Ok(());
        }
        {
            let mut state = dir.lock();
            match cookie {
                0 => self.fresh_names(&node, dir, &mut state)?,
                _ => self.load_names(&node, dir, &mut state)?,
            }
        }
        let mut cookie = cookie.max(DOT_DOT);
        loop {
            // Locked for one name at a time: others get their turn in a long listing.
            let mut state = dir.lock();
            let Some((next, name)) = state.names.as_ref().and_then(|names| names.after(cookie)) else {
                return Ok(());
            };
            cookie = next;
            let found = match self.child(&node, dir, &mut state, name.as_name()) {
                Ok(found) => found,
                Err(error) => {
                    log::debug!("list {}: {error}", self.path_of(&node, dir).join(name.as_name()));
                    None
                }
            };
            let answer = match &found {
                Some((child, attr)) => {
                    let entry = Entry { node: child.id, attr: *attr };
                    let entry = (listing == Listing::Plus).then_some(&entry);
                    sink.push(dirent(&name, cookie, attr), entry)
                }
                None => {
                    let kind = state.names.as_ref().and_then(|names| names.kind(cookie));
                    sink.push(DirEntry { name: name.as_bytes(), cookie, ino: UNKNOWN_INO, kind }, None)
                }
            };
            drop(state);
            if let Some((child, _)) = found
                && (answer, listing) != (SinkAnswer::Taken, Listing::Plus)
            {
                // What was only looked at is not kept.
                self.release_node(&child, 1);
            }
            if answer == SinkAnswer::Full {
                return Ok(());
            }
        }
    }

    /// `.` and `..`; `false` when the sink is full.
    fn list_dots(&self, dir: &DirNode, cookie: u64, sink: &mut dyn DirSink) -> Result<bool> {
        let parent = dir.place().and_then(|place| place.dir.as_dir().map(|parent| parent.ino));
        let dots = [(DOT, &b"."[..], dir.ino), (DOT_DOT, &b".."[..], parent.unwrap_or(dir.ino))];
        for (own, name, ino) in dots {
            if cookie < own {
                let dirent = DirEntry { name, cookie: own, ino, kind: Some(FileKind::Directory) };
                if sink.push(dirent, None) == SinkAnswer::Full {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Sees to it that the directory's merged listing is known.
    pub(super) fn load_names(&self, node: &Arc<Node>, dir: &DirNode, state: &mut DirState) -> Result<()> {
        if state.names.is_none() {
            let (names, parts) = self.read_names(node, dir, state.removed)?;
            self.learn_parts(dir, parts);
            state.names = Some(names);
        }
        Ok(())
    }

    /// As [`Overlay::load_names`]; where others change the layers, the listing is that of now.
    pub(super) fn fresh_names(&self, node: &Arc<Node>, dir: &DirNode, state: &mut DirState) -> Result<()> {
        if self.options.trusts_listings {
            return self.load_names(node, dir, state);
        }
        let (fresh, _) = self.read_names(node, dir, state.removed)?;
        match &mut state.names {
            Some(names) => names.refresh(fresh),
            None => state.names = Some(fresh),
        }
        Ok(())
    }

    /// Reads every part, top first: what is above hides what is below. What each lower part has is noted, too.
    pub(super) fn read_names(
        &self,
        node: &Arc<Node>,
        dir: &DirNode,
        removed: bool,
    ) -> Result<(Names, part_index::Builder)> {
        let mut names = Names::default();
        let mut having = part_index::Builder::default();
        if removed {
            return Ok((names, having));
        }
        let merged = dir.is_merged();
        let mut hidden: HashSet<NameBuf> = HashSet::new();
        let mut parts = Vec::new();
        if let (Some(part), Some(upper)) = (dir.upper.get(), self.stack.upper()) {
            parts.push((DirIn::Fd(self.upper_fd(node, dir, part)?, &upper.layer), part.xwhiteouts, None));
        }
        for (number, part) in (0..).zip(&dir.lowers) {
            match self.lower_dir_now(part)? {
                Some(dir) => parts.push((dir, part.xwhiteouts, Some(number))),
                None => having.is_unlisted(number),
            }
        }
        for (part, xwhiteouts, number) in parts {
            // Whiteouts act on the layers below, not on what their own layer lists later.
            let mut hides = Vec::new();
            part.list(xwhiteouts, |entry| {
                if let Some(number) = number {
                    having.has(number, entry.name);
                    // A `.wh.` name has no type. (Nor has a whiteout that is a device, where no entry says its type.)
                    if entry.whiteout && entry.kind == 0 {
                        having.is_marked(number);
                    }
                }
                if names.contains(entry.name) || hidden.contains(entry.name.as_bytes()) {
                    return;
                }
                let name = entry.name.to_owned();
                match (entry.whiteout, merged) {
                    (false, _) => {
                        names.insert(name, Listed::Present(FileKind::from_dirent(entry.kind)));
                    }
                    (true, true) => hides.push(name),
                    // A `.wh.` name (which has no type) is no entry of its layer.
                    (true, false) if entry.kind != 0 => {
                        names.insert(name, Listed::BareWhiteout(FileKind::from_dirent(entry.kind)));
                    }
                    (true, false) => {}
                }
            })
            .map_err(|e| e.at(self.path_of(node, dir).as_bytes()))
            .in_layer(part.id())?;
            hidden.extend(hides);
        }
        names.fit();
        Ok((names, having))
    }

    /// Keeps what a listing has told of the lower parts. The directory's state is locked, and was while it was listed.
    pub(super) fn learn_parts(&self, dir: &DirNode, parts: part_index::Builder) {
        if self.options.trusts_listings && !dir.lowers.is_empty() {
            dir.known_parts().index = Some(Arc::new(parts.finish(&dir.lowers)));
        }
    }

    /// Lists the lower parts of a directory whose state is locked, where more questions have been asked in vain than that costs.
    pub(super) fn list_parts_if_worth_it(&self, dir: &DirNode) {
        if !self.options.trusts_listings {
            return;
        }
        let mut budget = {
            let mut known = dir.known_parts();
            let unlisted = known.index.as_ref().map_or(dir.lowers.len(), |index| index.unlisted().len());
            let names = match self.options.lists_parts {
                ListParts::WhenWorthIt => known.in_vain.names(unlisted),
                ListParts::AtOnce => known.index.is_none().then_some(usize::MAX),
            };
            let Some(names) = names else { return };
            names
        };
        let mut having = part_index::Builder::default();
        for (number, part) in (0..).zip(&dir.lowers) {
            let before = having.len();
            let listed = self.lower_dir(part).and_then(|dir| {
                dir.list_raw(budget, |name, by_name| {
                    having.has(number, name);
                    if by_name == ByName::Perhaps {
                        having.is_marked(number);
                    }
                })
            });
            let read = having.len() - before;
            if !matches!(listed, Ok(RawListing::Complete)) {
                // What cannot be listed is asked, and says what is wrong when it is.
                having.take_back(before);
                having.is_unlisted(number);
            }
            budget = budget.saturating_sub(read);
        }
        dir.known_parts().index = Some(Arc::new(having.finish(&dir.lowers)));
    }
}

fn dirent<'a>(name: &'a NameBuf, cookie: u64, attr: &Attr) -> DirEntry<'a> {
    DirEntry { name: name.as_bytes(), cookie, ino: attr.ino, kind: Some(attr.kind) }
}
