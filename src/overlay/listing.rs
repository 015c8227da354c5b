//! The merged listing of a directory, with cookies that outlive changes.
//!
//! A cookie says "after this name". It is given to a name once and never again while the node lives, so a reader that
//! unlinks what it reads (`rm -rf`) goes on where it was.

use std::collections::{BTreeMap, HashMap};

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
    by_cookie: BTreeMap<u64, (NameBuf, Listed)>,
    by_name: HashMap<NameBuf, u64>,
    last: u64,
}

impl Names {
    /// Adds a name, unless it is there.
    pub(super) fn insert(&mut self, name: NameBuf, listed: Listed) {
        if let Some(cookie) = self.by_name.get(&name) {
            self.by_cookie.insert(*cookie, (name, listed));
            return;
        }
        self.last = self.last.max(DOT_DOT) + 1;
        self.by_name.insert(name.clone(), self.last);
        self.by_cookie.insert(self.last, (name, listed));
    }

    /// Removes a name.
    pub(super) fn remove(&mut self, name: Name<'_>) {
        if let Some(cookie) = self.by_name.remove(name.as_bytes()) {
            self.by_cookie.remove(&cookie);
        }
    }

    /// Is the name there?
    pub(super) fn contains(&self, name: Name<'_>) -> bool {
        self.by_name.contains_key(name.as_bytes())
    }

    /// All names, in the order of their cookies.
    pub(super) fn iter(&self) -> impl Iterator<Item = &NameBuf> {
        self.by_cookie.values().map(|(name, _)| name)
    }

    /// The next name after a cookie, with its own.
    pub(super) fn after(&self, cookie: u64) -> Option<(u64, NameBuf)> {
        let (cookie, (name, _)) = self.by_cookie.range(cookie + 1..).next()?;
        Some((*cookie, name.clone()))
    }

    /// The type that a layer's directory gave for the name with this cookie.
    pub(super) fn kind(&self, cookie: u64) -> Option<FileKind> {
        match self.by_cookie.get(&cookie)?.1 {
            Listed::Present(kind) | Listed::BareWhiteout(kind) => kind,
        }
    }

    /// How many names there are.
    pub(super) fn len(&self) -> usize {
        self.by_cookie.len()
    }

    /// About how much memory they take, bytes: each name is shared by both maps.
    pub(super) fn memory(&self) -> usize {
        const COUNTS: usize = 2 * size_of::<usize>();
        let names: usize = self.iter().map(|name| name.as_bytes().len() + COUNTS).sum();
        let by_cookie = self.by_cookie.len() * size_of::<(u64, (NameBuf, Listed))>();
        names + by_cookie + self.by_name.capacity() * (size_of::<(NameBuf, u64)>() + 1)
    }

    /// Does the directory have no entries that exist?
    pub(super) fn is_empty(&self) -> bool {
        self.by_cookie.values().all(|(_, listed)| matches!(listed, Listed::BareWhiteout(_)))
    }

    /// The directory is merged from now on: whiteouts are not listed any more. Were there any?
    pub(super) fn now_merged(&mut self) -> bool {
        let before = self.by_cookie.len();
        self.by_cookie.retain(|_, (name, listed)| {
            let stays = matches!(listed, Listed::Present(_));
            if !stays {
                self.by_name.remove(name);
            }
            stays
        });
        self.by_cookie.len() < before
    }

    /// Takes over what a fresh reading found: names that stay keep their cookies.
    pub(super) fn refresh(&mut self, fresh: Names) {
        let gone: Vec<NameBuf> =
            self.by_name.keys().filter(|name| !fresh.by_name.contains_key(*name)).cloned().collect();
        for name in gone {
            self.remove(name.as_name());
        }
        for (name, listed) in fresh.by_cookie.into_values() {
            self.insert(name, listed);
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
}
