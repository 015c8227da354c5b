//! What the keys change.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::super::detail::Shown;
use super::super::draw::help_len;
use super::super::filter::{Filter, Pattern, SizeRange, Which};
use super::super::keys::{self, Command, Context};
use super::super::layout;
use super::super::pager::Pager;
use super::prompt::Typed;
use super::{Columns, Cover, End, Model, Pane, Prompt, PromptKind};
use crate::overlay::FileKind;
use crate::path::RelPath;

impl Model {
    pub(super) fn key(&mut self, key: KeyEvent) {
        self.message = None;
        if let Cover::Prompt(prompt) = &mut self.cover {
            match prompt.key(key) {
                Typed::On => {}
                Typed::Left => self.cover = Cover::None,
                Typed::Entered => self.entered(),
            }
            return;
        }
        // Whatever is shown, this ends it: also on a screen that is too small for a status line that says how.
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            self.end = Some(End::Quit);
            return;
        }
        let Some(command) = keys::command(self.context(), key) else { return };
        if command == Command::Suspend {
            self.stops = true;
            return;
        }
        match self.context() {
            Context::File => self.in_file(command),
            Context::Help => self.in_help(command),
            Context::Panes => self.in_panes(command),
        }
    }

    fn entered(&mut self) {
        let Cover::Prompt(prompt) = &mut self.cover else { return };
        let text = prompt.text.trim();
        match prompt.kind {
            PromptKind::Name => {
                self.filter.name = Pattern::new(&prompt.text);
                self.search_again();
            }
            PromptKind::Size if matches!(text, "" | ">" | "<") => {
                self.filter.size = None;
                self.search_again();
            }
            PromptKind::Size => match SizeRange::parse(text) {
                Ok(range) => {
                    self.filter.size = Some(range);
                    self.search_again();
                }
                Err(problem) => {
                    prompt.problem = Some(problem.to_string());
                    return;
                }
            },
            PromptKind::Jump if text.is_empty() => {}
            PromptKind::Jump => self.locate = Some(prompt.text.clone().into_bytes()),
        }
        self.cover = Cover::None;
        self.pane = Pane::Tree;
    }

    fn in_file(&mut self, command: Command) {
        let page = usize::from(self.size.1).saturating_sub(3).max(1);
        let Cover::File(pager) = &mut self.cover else { return };
        match command {
            Command::Quit | Command::Back => self.cover = Cover::None,
            Command::Help => self.cover = Cover::Help(0),
            Command::Up => pager.up(1),
            Command::Down => pager.down(1),
            Command::PageUp => pager.up(page),
            Command::PageDown => pager.down(page),
            Command::Begin => pager.begin(),
            Command::End => pager.end(page),
            Command::Left => pager.left(),
            Command::Right => pager.right(),
            Command::Turn => pager.turn(),
            _ => {}
        }
    }

    fn in_help(&mut self, command: Command) {
        let Cover::Help(top) = &mut self.cover else { return };
        let page = usize::from(self.size.1).saturating_sub(3).max(1);
        let last = help_len(usize::from(self.size.0)).saturating_sub(page);
        *top = match command {
            Command::Quit | Command::Back | Command::Help => {
                self.cover = Cover::None;
                return;
            }
            Command::Up => top.saturating_sub(1),
            Command::Down => *top + 1,
            Command::PageUp => top.saturating_sub(page),
            Command::PageDown => *top + page,
            Command::Begin => 0,
            Command::End => last,
            _ => *top,
        }
        .min(last);
    }

    fn in_panes(&mut self, command: Command) {
        match command {
            Command::Quit => self.end = Some(End::Quit),
            Command::Back => self.back(),
            Command::Help => self.cover = Cover::Help(0),
            Command::NextPane => {
                self.pane = match self.pane {
                    Pane::Layers => Pane::Tree,
                    Pane::Tree => Pane::Explanation,
                    Pane::Explanation => Pane::Layers,
                }
            }
            Command::PreviousPane => {
                self.pane = match self.pane {
                    Pane::Layers => Pane::Explanation,
                    Pane::Tree => Pane::Layers,
                    Pane::Explanation => Pane::Tree,
                }
            }
            Command::Explain => {
                self.pane = match self.pane {
                    Pane::Explanation => Pane::Tree,
                    Pane::Layers | Pane::Tree => Pane::Explanation,
                }
            }
            Command::LowerLayer => self.show_layer(1),
            Command::HigherLayer => self.show_layer(-1),
            Command::Against => {
                self.show(Shown { against: self.shown.against.other(), ..self.shown });
            }
            Command::Columns => {
                self.columns = match self.columns {
                    Columns::Few => Columns::All,
                    Columns::All => Columns::Few,
                }
            }
            Command::FilterName => self.cover = Cover::Prompt(Prompt::new(PromptKind::Name, String::new())),
            Command::FilterSize => self.ask_for_size(""),
            Command::FilterLarger => self.ask_for_size(">"),
            Command::FilterSmaller => self.ask_for_size("<"),
            Command::FilterChanges => {
                self.filter.which = match self.filter.which {
                    Which::All => Which::Changed,
                    Which::Changed => Which::All,
                };
                self.search_again();
            }
            Command::Jump => self.cover = Cover::Prompt(Prompt::new(PromptKind::Jump, String::new())),
            Command::Refresh => self.show(Shown { round: self.shown.round.wrapping_add(1), ..self.shown }),
            Command::ReadContents => self.reads = Some(self.selected().0),
            Command::View => self.view(),
            Command::Up
            | Command::Down
            | Command::PageUp
            | Command::PageDown
            | Command::Begin
            | Command::End => {
                self.move_in_pane(command);
            }
            Command::Open | Command::Toggle | Command::Left | Command::Right => match self.pane {
                Pane::Tree => self.on_name(command),
                Pane::Layers => self.pane = Pane::Tree,
                Pane::Explanation => {}
            },
            Command::Turn | Command::Suspend => {}
        }
    }

    fn back(&mut self) {
        if self.pane == Pane::Explanation {
            self.pane = Pane::Tree;
        } else if self.search.is_some() {
            self.filter = Filter::default();
            self.search_again();
        }
    }

    fn ask_for_size(&mut self, sign: &str) {
        self.cover = Cover::Prompt(Prompt::new(PromptKind::Size, sign.to_owned()));
    }

    /// How far to go, and where that ends.
    fn moved(from: usize, len: usize, page: usize, command: Command) -> usize {
        let last = len.saturating_sub(1);
        match command {
            Command::Up => from.saturating_sub(1),
            Command::Down => from + 1,
            Command::PageUp => from.saturating_sub(page),
            Command::PageDown => from + page,
            Command::Begin => 0,
            Command::End => last,
            _ => from,
        }
        .min(last)
    }

    fn move_in_pane(&mut self, command: Command) {
        match self.pane {
            Pane::Tree => {
                let line = Self::moved(self.selected_line(), self.len(), self.height().max(1), command);
                match &mut self.search {
                    Some(search) => search.cursor = line,
                    None => self.cursor = self.tree.line(line).map(|line| line.path).unwrap_or_default(),
                }
            }
            Pane::Layers => {
                let page = self.areas().map_or(1, |areas| layout::within(areas.layers).1).max(1);
                let index = Self::moved(self.layer_index(), self.layers.len(), page, command);
                self.show_index(index);
            }
            Pane::Explanation => {
                let page = self.areas().map_or(1, |areas| layout::within(areas.explanation).1).max(1);
                let len = self.explanation_len().saturating_sub(page) + 1;
                self.explanation.top = Self::moved(self.explanation.top, len, page, command);
            }
        }
    }

    /// How many lines the explanation has on this screen.
    pub fn explanation_len(&self) -> usize {
        let width = self.areas().map_or(1, |areas| layout::within(areas.explanation).0);
        super::super::draw::explanation(self, width).len()
    }

    /// The selected layer, from the top.
    pub fn layer_index(&self) -> usize {
        self.layers.iter().position(|layer| layer.number == self.shown.layer).unwrap_or(0)
    }

    /// Shows the stack of which this layer, from the top, is the topmost.
    fn show_index(&mut self, index: usize) {
        if let Some(layer) = self.layers.get(index).map(|layer| layer.number) {
            self.show(Shown { layer, ..self.shown });
        }
    }

    fn show_layer(&mut self, down: isize) {
        self.show_index(self.layer_index().saturating_add_signed(down));
    }

    /// Shows another stack. What is open stays open, as far as it is there.
    fn show(&mut self, shown: Shown) {
        if shown == self.shown {
            return;
        }
        self.shown = shown;
        self.tree.want_all();
        self.totals.clear();
        if !self.filter.is_open() {
            self.search_again();
        }
    }

    /// Opens, closes, or goes on from the selected name.
    fn on_name(&mut self, command: Command) {
        let (path, known) = self.selected();
        if self.search.is_some() {
            if matches!(command, Command::Open | Command::Right) && known.is_some() {
                self.go_to(path);
            }
            return;
        }
        let is_open = self.tree.is_open(&path);
        let Some(Ok(detail)) = known else {
            if command == Command::Left {
                self.leave(&path);
            }
            return;
        };
        match command {
            Command::Left if !is_open || path.is_root() => self.leave(&path),
            Command::Left => self.tree.close(&path),
            Command::Right if is_open => self.move_in_pane(Command::Down),
            Command::Open | Command::Toggle if is_open => self.tree.close(&path),
            Command::Open if detail.is(FileKind::Regular) => self.view(),
            Command::Open if detail.is(FileKind::Symlink) => {
                let target = detail.target.unwrap_or_default();
                let parent = path.split_last().map(|(parent, _)| parent).unwrap_or_default();
                self.locate = Some(match target.starts_with(b"/") {
                    true => target,
                    false => [b"/", parent.as_bytes(), b"/", &target].concat(),
                });
            }
            Command::Open | Command::Toggle | Command::Right if detail.is_dir => self.open_dir(&path),
            _ => {}
        }
    }

    fn open_dir(&mut self, path: &RelPath) {
        if !self.tree.open(path) {
            self.message = Some("it is in too many directories to be opened".to_owned());
        }
    }

    /// Goes to the directory that a path is in.
    fn leave(&mut self, path: &RelPath) {
        self.cursor = path.split_last().map(|(parent, _)| parent).unwrap_or_default();
    }

    /// Shows the selected file.
    fn view(&mut self) {
        let (path, known) = self.selected();
        match known {
            Some(Ok(detail)) if detail.is(FileKind::Regular) || detail.is(FileKind::Symlink) => {
                self.cover = Cover::File(Box::new(Pager::new(path)));
            }
            Some(Ok(_)) => self.message = Some("it is no file".to_owned()),
            Some(Err(problem)) => self.message = Some(problem),
            None => {}
        }
    }
}
