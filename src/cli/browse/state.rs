//! What is on the screen, and how that changes: events in, questions out. Nothing here does anything.

mod answers;
mod asks;
mod commands;
mod prompt;

use std::collections::HashMap;
use std::ops::Range;

use nix::sys::signal::Signal;
use ratatui::crossterm::event::KeyEvent;

pub use self::prompt::{Prompt, PromptKind};
use super::ask::{Searched, Told, Total};
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

impl Columns {
    /// Those that a terminal of this width has room for, until somebody asks for others.
    fn at_first(width: u16) -> Self {
        if width >= layout::WIDE { Columns::All } else { Columns::Few }
    }
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
            shown: Shown { layer, against: Against::Below, round: 0 },
            tree: Tree::new(),
            cursor: RelPath::root(),
            top: 0,
            filter: Filter::default(),
            search: None,
            pane: Pane::Tree,
            columns: Columns::at_first(size.0),
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
            Event::Resized(width, height) => {
                // All columns would leave no room for names; and what somebody chose stays as long as it can.
                if Columns::at_first(width) != Columns::at_first(self.size.0) {
                    self.columns = Columns::at_first(width);
                }
                self.size = (width, height);
            }
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
}
