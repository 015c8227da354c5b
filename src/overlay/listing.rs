//! The merged listing of a directory, with cookies that outlive changes.
//!
//! A cookie says "after this name". It is given to a name once and never again while the node lives, so a reader that
//! unlinks what it reads (`rm -rf`) goes on where it was.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::types::FileKind;
use crate::path::{Name, NameBuf};

/// The cookie of `.`; that of `..` follows, then the names.
pub(super) const DOT: u64 = 1;
/// The cookie of `..`.
pub(super) const DOT_DOT: u64 = 2;

/// What a listing knows of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listed {
    /// It exists; of this type, if a layer's directory says so.
    Present(Option<FileKind>),
    /// A whiteout in a directory that is not merged: listed there, as the kernel's overlay lists it, though looking
    /// it up finds nothing. It does not keep its directory from being removed.
    BareWhiteout(Option<FileKind>),
}

/// The names of a directory.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// In the order of their cookies. A name that was removed leaves a hole, until there are many.
    entries: Vec<Entry>,
    /// Where in `entries` a name is.
    positions: HashTable<u32>,
    /// A directory's names come from images: who made one must not choose where they collide.
    hashes: RandomState,
    last: u64,
}

#[derive(Debug)]
struct Entry {
    cookie: u64,
    /// None: a hole.
    name: Option<NameBuf>,
    listed: Listed,
}

impl Entry {
    fn is(&self, name: &[u8]) -> bool {
        self.name.as_ref().is_some_and(|own| own.as_bytes() == name)
    }
}

/// The hash of the name at a position.
fn hash_at<'n>(entries: &'n [Entry], hashes: &'n RandomState) -> impl Fn(&u32) -> u64 + 'n {
    let name = |position: &u32| entries.get(*position as usize)?.name.as_ref();
    move |position| name(position).map_or(0, |name| hashes.hash_one(name.as_bytes()))
}

impl Names {
    /// Adds a name, unless it is there: then what is known of it is new.
    pub(super) fn insert(&mut self, name: NameBuf, listed: Listed) {
        if let Some(position) = self.position(name.as_bytes()) {
            if let Some(entry) = self.entries.get_mut(position) {
                entry.listed = listed;
            }
            return;
        }
        // So many names do not fit into any memory.
        let Ok(position) = u32::try_from(self.entries.len()) else { return };
        self.last = self.last.max(DOT_DOT) + 1;
        let hash = self.hashes.hash_one(name.as_bytes());
        self.entries.push(Entry { cookie: self.last, name: Some(name), listed });
        self.positions.insert_unique(hash, position, hash_at(&self.entries, &self.hashes));
    }

    /// Removes a name.
    pub(super) fn remove(&mut self, name: Name<'_>) {
        let hash = self.hashes.hash_one(name.as_bytes());
        let is = |position: &u32| self.entries.get(*position as usize).is_some_and(|e| e.is(name.as_bytes()));
        let Ok(found) = self.positions.find_entry(hash, is) else { return };
        let (position, _) = found.remove();
        if let Some(entry) = self.entries.get_mut(position as usize) {
            entry.name = None;
        }
        // Each move of an entry is paid by the removal of another.
        if self.entries.len() > 2 * self.positions.len() + 16 {
            self.close_holes();
        }
    }

    /// Moves the names together. Cookies stay what they are.
    fn close_holes(&mut self) {
        self.entries.retain(|entry| entry.name.is_some());
        self.fit();
        self.positions.clear();
        for (position, entry) in (0u32..).zip(&self.entries) {
            let Some(name) = &entry.name else { continue };
            let hash = self.hashes.hash_one(name.as_bytes());
            self.positions.insert_unique(hash, position, hash_at(&self.entries, &self.hashes));
        }
        self.positions.shrink_to_fit(hash_at(&self.entries, &self.hashes));
    }

    /// Gives back the room for names that will hardly come: to be called when a directory has been read.
    pub(super) fn fit(&mut self) {
        self.entries.shrink_to_fit();
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        let is = |position: &u32| self.entries.get(*position as usize).is_some_and(|e| e.is(name));
        self.positions.find(self.hashes.hash_one(name), is).map(|position| *position as usize)
    }

    /// Is the name there?
    pub(super) fn contains(&self, name: Name<'_>) -> bool {
        self.position(name.as_bytes()).is_some()
    }

    /// The name as it is kept here, to be shared.
    pub(super) fn get(&self, name: Name<'_>) -> Option<&NameBuf> {
        self.entries.get(self.position(name.as_bytes())?)?.name.as_ref()
    }

    /// All names, in the order of their cookies.
    pub(super) fn iter(&self) -> impl Iterator<Item = &NameBuf> {
        self.entries.iter().filter_map(|entry| entry.name.as_ref())
    }

    /// The next name after a cookie, with its own.
    pub(super) fn after(&self, cookie: u64) -> Option<(u64, NameBuf)> {
        let first = self.entries.partition_point(|entry| entry.cookie <= cookie);
        let after = self.entries.get(first..)?.iter();
        let (cookie, name) =
            after.map(|entry| (entry.cookie, &entry.name)).find(|(_, name)| name.is_some())?;
        Some((cookie, name.clone()?))
    }

    /// The type that a layer's directory gave for the name with this cookie.
    pub(super) fn kind(&self, cookie: u64) -> Option<FileKind> {
        let position = self.entries.binary_search_by_key(&cookie, |entry| entry.cookie).ok()?;
        match self.entries.get(position)?.listed {
            Listed::Present(kind) | Listed::BareWhiteout(kind) => kind,
        }
    }

    /// How many names there are.
    pub(super) fn len(&self) -> usize {
        self.positions.len()
    }

    /// About how much memory they take, bytes. A name is counted here, though nodes share it.
    pub(super) fn memory(&self) -> usize {
        const COUNTS: usize = 2 * size_of::<usize>();
        let names: usize = self.iter().map(|name| name.as_bytes().len() + COUNTS).sum();
        names + self.entries.capacity() * size_of::<Entry>() + self.positions.allocation_size()
    }

    /// Does the directory have no entries that exist?
    pub(super) fn is_empty(&self) -> bool {
        let exists = |entry: &Entry| entry.name.is_some() && matches!(entry.listed, Listed::Present(_));
        !self.entries.iter().any(exists)
    }

    /// The directory is merged from now on: whiteouts are not listed any more. Were there any?
    pub(super) fn now_merged(&mut self) -> bool {
        let before = self.len();
        let bare = |entry: &&mut Entry| matches!(entry.listed, Listed::BareWhiteout(_));
        for entry in self.entries.iter_mut().filter(bare) {
            entry.name = None;
        }
        self.close_holes();
        self.len() < before
    }

    /// Takes over what a fresh reading found: names that stay keep their cookies.
    pub(super) fn refresh(&mut self, fresh: Names) {
        let gone: Vec<NameBuf> =
            self.iter().filter(|name| !fresh.contains(name.as_name())).cloned().collect();
        for name in gone {
            self.remove(name.as_name());
        }
        for entry in fresh.entries {
            if let Some(name) = entry.name {
                self.insert(name, entry.listed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NameBuf {
        NameBuf::new(text.as_bytes()).unwrap()
    }

    fn walk(names: &Names, mut cookie: u64) -> Vec<String> {
        let mut seen = Vec::new();
        while let Some((next, name)) = names.after(cookie) {
            seen.push(name.to_string());
            cookie = next;
        }
        seen
    }

    #[test]
    fn a_reader_that_unlinks_what_it_reads_misses_nothing() {
        let mut names = Names::default();
        for i in 0..100 {
            names.insert(name(&format!("n{i}")), Listed::Present(None));
        }
        let mut cookie = DOT_DOT;
        let mut seen = 0;
        while let Some((next, found)) = names.after(cookie) {
            names.remove(found.as_name());
            cookie = next;
            seen += 1;
        }
        assert_eq!(seen, 100);
        assert!(names.is_empty());
    }

    #[test]
    fn a_name_made_anew_gets_a_new_cookie() {
        let mut names = Names::default();
        names.insert(name("a"), Listed::Present(None));
        names.insert(name("b"), Listed::Present(None));
        let (first, _) = names.after(DOT_DOT).unwrap();
        names.remove(name("a").as_name());
        names.insert(name("a"), Listed::Present(None));
        assert_eq!(walk(&names, first), ["b", "a"]);
    }

    #[test]
    fn a_fresh_reading_keeps_the_cookies_of_what_stays() {
        let mut names = Names::default();
        for text in ["a", "b", "c"] {
            names.insert(name(text), Listed::Present(None));
        }
        let (b, _) = names.after(names.after(DOT_DOT).unwrap().0).unwrap();
        let mut fresh = Names::default();
        for text in ["d", "c", "b"] {
            fresh.insert(name(text), Listed::Present(None));
        }
        names.refresh(fresh);
        assert_eq!(walk(&names, DOT_DOT), ["b", "c", "d"]);
        assert_eq!(walk(&names, b), ["c", "d"]);
    }

    #[test]
    fn bare_whiteouts_do_not_fill_a_directory() {
        let mut names = Names::default();
        names.insert(name("w"), Listed::BareWhiteout(None));
        assert!(names.is_empty() && names.contains(name("w").as_name()));
        names.insert(name("f"), Listed::Present(None));
        assert!(!names.is_empty());
        names.now_merged();
        assert_eq!(walk(&names, DOT_DOT), ["f"]);
    }

    #[test]
    fn many_removals_give_memory_back_and_keep_cookies() {
        let mut names = Names::default();
        for i in 0..1000 {
            names.insert(name(&format!("n{i}")), Listed::Present(None));
        }
        names.fit();
        let full = names.memory();
        let (first_kept, _) = names.after(DOT_DOT + 989).unwrap();
        for i in 0..990 {
            names.remove(name(&format!("n{i}")).as_name());
        }
        assert_eq!(names.len(), 10);
        assert!(names.memory() < full / 10, "{} of {full} bytes", names.memory());
        assert_eq!(walk(&names, DOT_DOT).len(), 10);
        assert_eq!(names.after(first_kept).unwrap().1, name("n990"));
        assert!(names.contains(name("n999").as_name()) && !names.contains(name("n989").as_name()));
    }

    #[test]
    fn a_name_in_a_listing_takes_at_most_64_bytes_and_itself() {
        let mut names = Names::default();
        for i in 0..100_000 {
            names.insert(name(&format!("{i:06}")), Listed::Present(Some(FileKind::Regular)));
        }
        names.fit();
        assert!(names.memory() / names.len() <= 64 + 6, "{} bytes a name", names.memory() / names.len());
    }
}
