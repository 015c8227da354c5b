//! The tree of names: which directories are open, what is known of the names in them, and which lines that makes.
//!
//! A line is computed when it is shown: an open directory costs its names, and nothing for each line.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::ask::Listing;
use super::detail::Known;
use crate::path::{NameBuf, RelPath};

/// How many names' details are kept in a directory beyond those that are shown.
const MOST_KNOWN: usize = 4096;
/// How many directories may be open, one in the other.
pub const MOST_LEVELS: usize = 1000;

/// A tree of which some directories are open.
#[derive(Debug)]
pub struct Tree {
    root: Dir,
    of_root: Option<Known>,
}

/// An open directory.
#[derive(Debug, Default)]
struct Dir {
    names: Vec<NameBuf>,
    state: State,
    known: HashMap<NameBuf, Known>,
    open: BTreeMap<NameBuf, Dir>,
}

/// What is known of an open directory's names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum State {
    /// They are to be asked for; those of before are shown until then.
    #[default]
    Wanted,
    /// They are there.
    Listed,
    /// They cannot be had.
    Failed(String),
}

/// A line.
#[derive(Debug)]
pub struct Line<'t> {
    /// What it is about.
    pub path: RelPath,
    /// How many directories it is in.
    pub level: usize,
    /// What is known of it yet.
    pub known: Option<&'t Known>,
    /// Whether it is an open directory, and what is known of what is in that.
    pub open: Option<&'t State>,
}

impl Dir {
    fn len(&self) -> usize {
        let within =
            self.open.iter().filter(|(name, _)| self.position(name).is_some()).map(|(_, dir)| dir.len());
        self.names.len() + within.sum::<usize>()
    }

    fn position(&self, name: &NameBuf) -> Option<usize> {
        self.names.binary_search(name).ok()
    }

    fn at(&self, path: &RelPath) -> Option<&Dir> {
        path.names().try_fold(self, |dir, name| dir.open.get(name.as_bytes()))
    }

    fn at_mut(&mut self, path: &RelPath) -> Option<&mut Dir> {
        path.names().try_fold(self, |dir, name| dir.open.get_mut(name.as_bytes()))
    }

    /// Adds the lines of `wanted`, which counts from this directory's first.
    fn lines<'t>(&'t self, path: &RelPath, level: usize, wanted: Range<usize>, lines: &mut Vec<Line<'t>>) {
        // What comes before the next open directory, and that with its lines.
        let mut first_of_run = 0;
        let mut line = 0;
        let positions = self.open.iter().filter_map(|(name, dir)| Some((self.position(name)?, Some(dir))));
        for (position, dir) in positions.chain([(self.names.len(), None)]) {
            let run = self
                .names
                .get(first_of_run..position.saturating_add(1))
                .or_else(|| self.names.get(first_of_run..));
            let run = run.unwrap_or_default();
            let skipped = wanted.start.saturating_sub(line).min(run.len());
            let end = wanted.end.saturating_sub(line).min(run.len());
            for (index, name) in run.iter().enumerate().take(end).skip(skipped) {
                let is_open = index + 1 == run.len();
                lines.push(Line {
                    path: path.join(name.as_name()),
                    level,
                    known: self.known.get(name),
                    open: dir.filter(|_| is_open).map(|dir| &dir.state),
                });
            }
            line += run.len();
            first_of_run = position + 1;
            let (Some(dir), Some(name)) = (dir, run.last()) else { continue };
            let len = dir.len();
            if line < wanted.end && line + len > wanted.start {
                let below = wanted.start.saturating_sub(line)..wanted.end - line;
                dir.lines(&path.join(name.as_name()), level + 1, below, lines);
            }
            line += len;
            if line >= wanted.end {
                return;
            }
        }
    }

    fn wanted(&self, path: &RelPath) -> Option<RelPath> {
        if self.state == State::Wanted {
            return Some(path.clone());
        }
        self.open.iter().find_map(|(name, dir)| dir.wanted(&path.join(name.as_name())))
    }

    fn want_all(&mut self) {
        self.state = State::Wanted;
        self.known.clear();
        self.open.values_mut().for_each(Dir::want_all);
    }
}

impl Tree {
    /// The root, open; its names are to be asked for.
    pub fn new() -> Self {
        Tree { root: Dir::default(), of_root: None }
    }

    /// How many lines there are: the root is the first.
    pub fn len(&self) -> usize {
        1 + self.root.len()
    }

    /// Some of the lines.
    pub fn lines(&self, wanted: Range<usize>) -> Vec<Line<'_>> {
        let mut lines = Vec::new();
        if wanted.start == 0 && wanted.end > 0 {
            let known = self.of_root.as_ref();
            lines.push(Line { path: RelPath::root(), level: 0, known, open: Some(&self.root.state) });
        }
        let below = wanted.start.saturating_sub(1)..wanted.end.saturating_sub(1);
        self.root.lines(&RelPath::root(), 1, below, &mut lines);
        lines
    }

    /// One line.
    pub fn line(&self, index: usize) -> Option<Line<'_>> {
        self.lines(index..index + 1).pop()
    }

    /// The number of the line of a path, or of the nearest directory above it that has one.
    pub fn nearest(&self, path: &RelPath) -> usize {
        let mut line = 0;
        let mut dir = &self.root;
        for name in path.names() {
            let Ok(position) = dir.names.binary_search_by(|there| there.as_bytes().cmp(name.as_bytes()))
            else {
                break;
            };
            let before = dir.open.iter().take_while(|(open, _)| open.as_bytes() < name.as_bytes());
            let within: usize =
                before.filter(|(open, _)| dir.position(open).is_some()).map(|(_, dir)| dir.len()).sum();
            line += 1 + position + within;
            match dir.open.get(name.as_bytes()) {
                Some(below) => dir = below,
                None => break,
            }
        }
        line
    }

    /// Is this directory open?
    pub fn is_open(&self, path: &RelPath) -> bool {
        self.root.at(path).is_some()
    }

    /// Opens a directory, and those it is in; `false`: it is too deep.
    pub fn open(&mut self, path: &RelPath) -> bool {
        if path.names().count() >= MOST_LEVELS {
            return false;
        }
        let mut dir = &mut self.root;
        for name in path.names() {
            dir = dir.open.entry(name.to_owned()).or_default();
        }
        true
    }

    /// Closes a directory; what was open in it is forgotten. The root stays open.
    pub fn close(&mut self, path: &RelPath) {
        let Some((parent, name)) = path.split_last() else { return };
        if let Some(dir) = self.root.at_mut(&parent) {
            dir.open.remove(name.as_bytes());
        }
    }

    /// An open directory whose names are to be asked for.
    pub fn wanted(&self) -> Option<RelPath> {
        self.root.wanted(&RelPath::root())
    }

    /// All is to be asked for again: another stack is shown.
    pub fn want_all(&mut self) {
        self.of_root = None;
        self.root.want_all();
    }

    /// Are the names of this directory there, or known to be none?
    pub fn is_settled(&self, path: &RelPath) -> bool {
        self.root.at(path).is_none_or(|dir| dir.state != State::Wanted)
    }

    /// Takes the names of a directory.
    pub fn listed(&mut self, path: &RelPath, listing: Listing) {
        let Some(dir) = self.root.at_mut(path) else { return };
        let (names, state) = match listing {
            Listing::Names(names) => (names, State::Listed),
            Listing::Failed(problem) => (Vec::new(), State::Failed(problem)),
            Listing::NoDirectory if path.is_root() => (Vec::new(), State::Listed),
            Listing::NoDirectory => return self.close(path),
        };
        dir.names = names;
        dir.state = state;
        dir.known.clear();
        let names = &dir.names;
        dir.open.retain(|name, _| names.binary_search(name).is_ok());
    }

    /// Takes what is known of names in a directory; of the root itself, by no name, with [`Tree::root_looked`].
    pub fn looked(&mut self, path: &RelPath, looked: Vec<(NameBuf, Known)>) {
        let Some(dir) = self.root.at_mut(path) else { return };
        if dir.known.len() > MOST_KNOWN {
            dir.known.clear();
        }
        dir.known.extend(looked);
    }

    /// Takes what is known of the root.
    pub fn root_looked(&mut self, known: Known) {
        self.of_root = Some(known);
    }

    /// Is the root unknown?
    pub fn wants_root(&self) -> bool {
        self.of_root.is_none()
    }

    /// Names in one directory, among these lines, of which nothing is known yet.
    pub fn unknown(&self, shown: Range<usize>) -> Option<(RelPath, Vec<NameBuf>)> {
        let lines = self.lines(shown);
        let mut unknown: Option<(RelPath, Vec<NameBuf>)> = None;
        for line in lines.iter().filter(|line| line.known.is_none()) {
            let Some((parent, name)) = line.path.split_last() else { continue };
            if !self.is_settled(&parent) {
                continue;
            }
            match &mut unknown {
                None => unknown = Some((parent, vec![name.to_owned()])),
                Some((dir, names)) if *dir == parent => names.push(name.to_owned()),
                Some(_) => {}
            }
        }
        unknown
    }
}

#[cfg(test)]
mod tests;
