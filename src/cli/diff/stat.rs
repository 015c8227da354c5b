//! The differences in numbers, by directory.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Output;
use super::json::path_text;
use crate::cli::terminal::{self, Reader};
use crate::cli::{Failure, human};
use crate::control::PathText;
use crate::diff::{Change, Differences, Facts};
use crate::path::RelPath;

/// For whom it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Form {
    Text,
    Json,
}

/// Counts, and prints at the end.
pub struct Stat {
    depth: usize,
    form: Form,
    /// By the first names of their paths.
    directories: BTreeMap<Vec<u8>, Counts>,
}

/// What was counted. The fields are a format: see `docs/cli.md`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
struct Counts {
    added: Paths,
    changed: Changed,
    deleted: Paths,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
struct Paths {
    paths: u64,
    bytes: u64,
}

/// Sizes are those of files that became other ones, or others in content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
struct Changed {
    paths: u64,
    bytes_before: u64,
    bytes_after: u64,
}

impl Stat {
    /// Nothing is counted yet. Directories are told apart by the first `depth` names.
    pub fn new(depth: usize, form: Form) -> Self {
        Stat { depth, form, directories: BTreeMap::new() }
    }

    /// In which directory something is counted: in itself, if it is one that is told apart.
    fn directory(&self, path: &RelPath, is_dir: bool) -> Vec<u8> {
        let names = path.names().count();
        let most = if is_dir { names } else { names.saturating_sub(1) };
        let mut directory = Vec::new();
        for name in path.names().take(most.min(self.depth)) {
            directory.push(b'/');
            directory.extend_from_slice(name.as_bytes());
        }
        if directory.is_empty() { b"/".to_vec() } else { directory }
    }

    fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.directories.values().for_each(|counts| total.add(counts));
        total
    }

    fn text(&self, width: Option<usize>) -> String {
        if self.directories.is_empty() {
            return String::new();
        }
        let mut rows: Vec<(String, Counts)> = Vec::new();
        for (directory, counts) in &self.directories {
            rows.push((terminal::shown_bytes(directory), *counts));
        }
        if rows.len() > 1 {
            rows.push(("in all".to_owned(), self.total()));
        }
        let rows: Vec<Vec<String>> = rows.iter().map(|(name, counts)| counts.row(name)).collect();
        terminal::table(&["DIRECTORY", "ADDED", "CHANGED", "DELETED", "SIZE"], &rows, width)
    }
}

impl Output for Stat {
    fn change(&mut self, path: &RelPath, change: &Change) -> Result<Reader, Failure> {
        let (is_dir, counts) = match change {
            Change::Added(facts) => (
                facts.is_dir(),
                Counts { added: Paths { paths: 1, bytes: facts.bytes() }, ..Counts::default() },
            ),
            Change::Deleted { was, held } => {
                let paths = held.names.saturating_add(1);
                let bytes = held.bytes.saturating_add(was.bytes());
                (was.is_dir(), Counts { deleted: Paths { paths, bytes }, ..Counts::default() })
            }
            Change::Changed { before, after, what } => {
                let counts = Counts { changed: Changed::of(before, after, *what), ..Counts::default() };
                (before.is_dir() || after.is_dir(), counts)
            }
            Change::Parent { .. } => return Ok(Reader::There),
        };
        let directory = self.directory(path, is_dir);
        self.directories.entry(directory).or_default().add(&counts);
        Ok(Reader::There)
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        let text = match self.form {
            Form::Text => self.text(terminal::width()),
            Form::Json => terminal::json(&Told {
                total: self.total(),
                directories: self
                    .directories
                    .iter()
                    .map(|(path, counts)| Directory { path: path_text(path), counts: *counts })
                    .collect(),
            })?,
        };
        terminal::print(text.as_bytes())
    }
}

#[derive(Debug, Serialize)]
struct Told {
    #[serde(flatten)]
    total: Counts,
    directories: Vec<Directory>,
}

#[derive(Debug, Serialize)]
struct Directory {
    path: PathText,
    #[serde(flatten)]
    counts: Counts,
}

impl Changed {
    fn of(before: &Facts, after: &Facts, what: Differences) -> Self {
        let replaced = what.intersects(Differences::CONTENT | Differences::TYPE);
        let bytes = |facts: &Facts| if replaced { facts.bytes() } else { 0 };
        Changed { paths: 1, bytes_before: bytes(before), bytes_after: bytes(after) }
    }
}

impl Counts {
    fn add(&mut self, more: &Counts) {
        let add = |to: &mut u64, more: u64| *to = to.saturating_add(more);
        add(&mut self.added.paths, more.added.paths);
        add(&mut self.added.bytes, more.added.bytes);
        add(&mut self.changed.paths, more.changed.paths);
        add(&mut self.changed.bytes_before, more.changed.bytes_before);
        add(&mut self.changed.bytes_after, more.changed.bytes_after);
        add(&mut self.deleted.paths, more.deleted.paths);
        add(&mut self.deleted.bytes, more.deleted.bytes);
    }

    fn row(&self, name: &str) -> Vec<String> {
        let cell = |paths: u64, bytes: String| match paths {
            0 => "-".to_owned(),
            paths => format!("{paths} ({bytes})"),
        };
        let Counts { added, changed, deleted } = self;
        let before = deleted.bytes.saturating_add(changed.bytes_before);
        let after = added.bytes.saturating_add(changed.bytes_after);
        vec![
            name.to_owned(),
            cell(added.paths, human::size(added.bytes)),
            cell(changed.paths, grown(changed.bytes_before, changed.bytes_after)),
            cell(deleted.paths, human::size(deleted.bytes)),
            grown(before, after),
        ]
    }
}

/// By how much a size has changed.
fn grown(before: u64, after: u64) -> String {
    match after.checked_sub(before) {
        Some(0) => human::size(0),
        Some(more) => format!("+{}", human::size(more)),
        None => format!("-{}", human::size(before.abs_diff(after))),
    }
}
