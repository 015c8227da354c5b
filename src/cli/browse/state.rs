//! What is on the screen, and how that changes: events in, questions out. Nothing here does anything.

mod answers;
mod commands;
mod prompt;

use std::collections::HashMap;
use std::ops::Range;

use nix::sys::signal::Signal;
use ratatui::crossterm::event::KeyEvent;

pub use self::prompt::{Prompt, PromptKind};
use super::ask::{Ask, Searched, Told, Total};
use super::detail::{Against, Known, Shown};
use super::filter::Filter;
use super::keys::Context;
use super::layout::{self, Areas};
use super::pager::Pager;
use super::tree::Tree;
use crate::cli::explain::Contents;
use crate::cli::opened::LayerFacts;
use crate::path::RelPath;

/// Files at a path with more bytes than this together are read for the explanation only when somebody asks for that.
pub const READ_UNASKED: u64 = 16 << 20;

/// What happens.
#[derive(Debug)]
pub enum Event {
    /// A key was pressed.
    Key(KeyEvent),
    /// The terminal has so many columns and rows now.
    Resized(u16, u16),
    /// A question was answered.
    Told(Told),
    /// A thread that answers has failed.
    Broken,
    /// The terminal cannot be read any more.
    NoInput(String),
    /// The process was told to end.
    Ended(Signal),
}

/// Why it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // the events say it
pub enum End {
    Quit,
    Broken,
    NoInput(String),
    Signal(Signal),
}

/// Which pane the keys are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Pane {
    Layers,
    Tree,
    Explanation,
}

/// Which columns are before a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// Marks, layer and size.
    Few,
    /// Mode, owner and time, too.
    All,
}

/// What lies over the panes.
#[derive(Debug)]
pub enum Cover {
    /// Nothing.
    None,
    /// A line to type into.
    Prompt(Prompt),
    /// A file.
    File(Box<Pager>),
    /// The help, from this line on.
    Help(usize),
}

/// What was searched for and found.
#[derive(Debug, Default)]
pub struct Search {
    /// In the order of the tree.
    pub found: Vec<(RelPath, Known)>,
    /// The selected one.
    pub cursor: usize,
    /// How it has ended.
    pub ended: Option<Searched>,
}

/// The explanation of the selected path.
#[derive(Debug)]
pub struct Explanation {
    /// What it is about.
    pub of: Option<Subject>,
    /// The text.
    pub text: Result<String, String>,
    /// The first line that is shown.
    pub top: usize,
}

/// What an explanation is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The path.
    pub path: RelPath,
    /// Of what.
    pub shown: Shown,
    /// For so many cells.
    pub width: usize,
    /// Whether large files were read.
    pub contents: Contents,
}

/// What has been asked and not been answered yet.
#[derive(Debug, Default)]
pub(super) struct Busy {
    pub quick: bool,
    pub explain: bool,
    pub measure: bool,
}

/// Everything that is shown.
#[derive(Debug)]
pub struct Model {
    /// The source, as the caller named it.
    pub source: String,
    /// Its layers, the top first.
    pub layers: Vec<LayerFacts>,
    /// Which stack is shown.
    pub shown: Shown,
    /// The names in it.
    pub tree: Tree,
    /// Where in it: the selected path, or, as long as that is not there, the nearest above it.
    pub cursor: RelPath,
    /// The first line that is shown of the tree, or of what was found.
    pub top: usize,
    /// What is searched for.
    pub filter: Filter,
    /// What was found, if anything is searched for.
    pub search: Option<Search>,
    /// The pane that has the keys.
    pub pane: Pane,
    /// Which columns there are.
    pub columns: Columns,
    /// The explanation.
    pub explanation: Explanation,
    /// The sizes of directories that have been counted.
    pub totals: HashMap<RelPath, Option<Total>>,
    /// What lies over the panes.
    pub cover: Cover,
    /// What somebody must be told.
    pub message: Option<String>,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// Whether it is over.
    pub end: Option<End>,
    /// The shell is to have the terminal.
    pub stops: bool,
    /// Of this path, large files are read for the explanation.
    reads: Option<RelPath>,
    /// A path that somebody wants to go to.
    locate: Option<Vec<u8>>,
    /// A search that is to be started.
    start: Option<Filter>,
    busy: Busy,
}

impl Model {
    /// Of a source with these layers, the top first: all of them, and the root open.
    pub fn new(source: String, layers: Vec<LayerFacts>, size: (u16, u16)) -> Self {
        let layer = layers.first().map_or(0, |top| top.number);
        Model {
            source,
            layers,
            shown: Shown { layer, against: Against::Below },
            tree: Tree::new(),
            cursor: RelPath::root(),
            top: 0,
            filter: Filter::default(),
            search: None,
            pane: Pane::Tree,
            columns: if size.0 >= layout::WIDE { Columns::All } else { Columns::Few },
            explanation: Explanation { of: None, text: Ok(String::new()), top: 0 },
            totals: HashMap::new(),
            cover: Cover::None,
            message: None,
            size,
            end: None,
            stops: false,
            reads: None,
            locate: None,
            start: None,
            busy: Busy::default(),
        }
    }

    /// Takes what happens.
    pub fn take(&mut self, event: Event) {
        match event {
            Event::Key(key) => self.key(key),
            Event::Resized(width, height) => self.size = (width, height),
            Event::Told(told) => self.told(told),
            Event::Broken => self.end = Some(End::Broken),
            Event::NoInput(problem) => self.end = Some(End::NoInput(problem)),
            Event::Ended(signal) => self.end = Some(End::Signal(signal)),
        }
        self.follow();
    }

    /// What is where; `None`: the terminal is too small.
    pub fn areas(&self) -> Option<Areas> {
        let explanation = match self.pane {
            Pane::Explanation => layout::Explanation::Large,
            Pane::Layers | Pane::Tree => layout::Explanation::Small,
        };
        layout::areas(self.size, explanation)
    }

    /// What the keys are for.
    pub fn context(&self) -> Context {
        match self.cover {
            Cover::File(_) => Context::File,
            Cover::Help(_) => Context::Help,
            Cover::None | Cover::Prompt(_) => Context::Panes,
        }
    }

    /// How many lines of names are shown: the first line is the head.
    pub fn height(&self) -> usize {
        self.areas().map_or(0, |areas| layout::within(areas.tree).1.saturating_sub(1))
    }

    /// The number of lines of names there are.
    pub fn len(&self) -> usize {
        self.search.as_ref().map_or_else(|| self.tree.len(), |search| search.found.len())
    }

    /// The number of the selected line.
    pub fn selected_line(&self) -> usize {
        match &self.search {
            Some(search) => search.cursor,
            None => self.tree.nearest(&self.cursor),
        }
    }

    /// The selected path, and what is known of it.
    pub fn selected(&self) -> (RelPath, Option<Known>) {
        match &self.search {
            Some(search) => match search.found.get(search.cursor) {
                Some((path, known)) => (path.clone(), Some(known.clone())),
                None => (RelPath::root(), None),
            },
            None => match self.tree.line(self.selected_line()) {
                Some(line) => (line.path, line.known.cloned()),
                None => (RelPath::root(), None),
            },
        }
    }

    /// The lines of names that are shown.
    pub fn visible(&self) -> Range<usize> {
        let end = self.top.saturating_add(self.height()).min(self.len());
        self.top.min(end)..end
    }

    /// Keeps the selected line on the screen.
    fn follow(&mut self) {
        let (line, height, len) = (self.selected_line(), self.height().max(1), self.len());
        self.top = self.top.min(len.saturating_sub(height)).min(line).max((line + 1).saturating_sub(height));
    }

    /// What is to be asked now. Of each lane there is one question at a time.
    pub fn asks(&mut self) -> Vec<(Shown, Ask)> {
        let mut asks = Vec::new();
        if let Some(filter) = self.start.take() {
            asks.push(Ask::Search(filter));
        }
        if !self.busy.quick
            && let Some(ask) = self.quick()
        {
            self.busy.quick = true;
            asks.push(ask);
        }
        if !self.busy.explain
            && let Some(subject) = self.subject()
            && self.explanation.of.as_ref() != Some(&subject)
        {
            self.busy.explain = true;
            asks.push(Ask::Explain(subject.path, subject.width, subject.contents));
        }
        if !self.busy.measure
            && let Some(path) = self.unmeasured()
        {
            self.busy.measure = true;
            asks.push(Ask::Measure(path));
        }
        asks.into_iter().map(|ask| (self.shown, ask)).collect()
    }

    fn quick(&self) -> Option<Ask> {
        if let Cover::File(pager) = &self.cover
            && let Some(start) = pager.wanted()
        {
            return Some(Ask::Read(pager.path.clone(), start));
        }
        if let Some(path) = &self.locate {
            return Some(Ask::Locate(path.clone()));
        }
        if let Some(path) = self.tree.wanted() {
            return Some(Ask::List(path));
        }
        if self.tree.wants_root() {
            return Some(Ask::LookRoot);
        }
        let shown = self.search.is_none().then(|| self.visible())?;
        let (path, names) = self.tree.unknown(shown)?;
        Some(Ask::Look(path, names))
    }

    /// What the explanation should be about.
    pub(super) fn subject(&self) -> Option<Subject> {
        // What is being listed may move the selection.
        let is_settled = match &self.search {
            Some(search) => !search.found.is_empty(),
            None => self.tree.wanted().is_none() && self.locate.is_none(),
        };
        let areas = self.areas().filter(|_| is_settled)?;
        let (path, _) = self.selected();
        let contents = match self.reads.as_ref() == Some(&path) {
            true => Contents::All,
            false => Contents::UpTo(READ_UNASKED),
        };
        Some(Subject { path, shown: self.shown, width: layout::within(areas.explanation).0, contents })
    }

    /// A directory on the screen whose size is not known yet.
    fn unmeasured(&self) -> Option<RelPath> {
        if self.search.is_some() || self.tree.wanted().is_some() {
            return None;
        }
        let lines = self.tree.lines(self.visible());
        let wants = |known: Option<&Known>| {
            known.is_some_and(|known| {
                known.as_ref().is_ok_and(|detail| detail.is(crate::overlay::FileKind::Directory))
            })
        };
        let is_there = |known: Option<&Known>| {
            known.is_some_and(|known| {
                known.as_ref().is_ok_and(|detail| detail.change != super::detail::Change::Deleted)
            })
        };
        lines
            .into_iter()
            .find(|line| wants(line.known) && is_there(line.known) && !self.totals.contains_key(&line.path))
            .map(|line| line.path)
    }
}

#[cfg(test)]
mod tests;
