//! What is to be asked next.

use super::super::ask::Ask;
use super::super::detail::{Change, Known, Shown};
use super::super::layout;
use super::{Cover, Model, READ_UNASKED, Subject};
use crate::cli::explain::Contents;
use crate::overlay::FileKind;
use crate::path::RelPath;

impl Model {
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
        let has_size = |known: &Known| {
            known
                .as_ref()
                .is_ok_and(|detail| detail.is(FileKind::Directory) && detail.change != Change::Deleted)
        };
        lines
            .into_iter()
            .find(|line| line.known.is_some_and(has_size) && !self.totals.contains_key(&line.path))
            .map(|line| line.path)
    }
}
