//! What the answers change.

use super::super::ask::{Answer, Lane, Place, Told};
use super::{Cover, Model, Search, Subject};
use crate::cli::terminal;
use crate::path::RelPath;

impl Model {
    pub(super) fn told(&mut self, Told { shown, answer }: Told) {
        match answer.lane() {
            Lane::Quick => self.busy.quick = false,
            Lane::Explain => self.busy.explain = false,
            Lane::Measure => self.busy.measure = false,
            Lane::Search => {}
        }
        if shown != self.shown {
            return;
        }
        match answer {
            Answer::Listed(path, listing) => self.tree.listed(&path, listing),
            Answer::Looked(path, looked) => self.tree.looked(&path, looked),
            Answer::RootLooked(known) => self.tree.root_looked(known),
            Answer::Explained(path, width, contents, text) => {
                let told = Subject { path, shown, width, contents };
                if self.explanation.of.as_ref().is_none_or(|of| of.path != told.path) {
                    self.explanation.top = 0;
                }
                self.explanation.of = Some(told);
                self.explanation.text = text;
            }
            Answer::Located(place) => {
                self.locate = None;
                match place {
                    Ok(Place { path, absent }) => {
                        self.message = absent;
                        self.go_to(path);
                    }
                    Err(problem) => self.message = Some(problem),
                }
            }
            Answer::Read(path, start, piece) => {
                if let Cover::File(pager) = &mut self.cover
                    && pager.path == path
                {
                    pager.take(start, piece);
                }
            }
            Answer::Measured(path, total) => {
                self.totals.insert(path, total.ok());
            }
            Answer::Found(filter, found) => {
                if let Some(search) = self.search.as_mut().filter(|_| filter == self.filter) {
                    search.found.extend(found);
                }
            }
            Answer::Searched(filter, searched) => {
                if let Some(search) = self.search.as_mut().filter(|_| filter == self.filter) {
                    search.ended = Some(searched);
                }
            }
        }
    }

    /// Selects a path in the tree, opening what it is in.
    pub(super) fn go_to(&mut self, path: RelPath) {
        if self.search.is_some() {
            self.filter = Default::default();
            self.search_again();
        }
        let parent = path.split_last().map(|(parent, _)| parent).unwrap_or_default();
        match self.tree.open(&parent) {
            true => self.cursor = path,
            false => {
                let shown = terminal::shown_bytes(path.as_bytes());
                self.message = Some(format!("/{shown} is in too many directories to be shown"));
            }
        }
    }

    /// Begins the search for what the filter lets through, or ends it.
    pub(super) fn search_again(&mut self) {
        self.search = (!self.filter.is_open()).then(Search::default);
        // Told of one that lets everything through, the one that searches stops.
        self.start = Some(self.filter.clone());
        self.top = 0;
    }
}
