//! What is answered while one stack is shown.

use super::ask::{Answer, Ask, Listing, Searched};
use super::detail::Known;
use super::source::{Dir, View};
use super::walk;
use crate::error::Result as LayerResult;
use crate::path::{NameBuf, RelPath};

/// How many directories are held: what is known of them need not be found out for each page of their names again.
const MOST_HELD: usize = 2;

/// A stack that is looked at, with the directories that were looked at last.
pub struct Session<'v> {
    view: &'v View,
    /// The one used last is the last.
    held: Vec<Dir<'v>>,
}

impl<'v> Session<'v> {
    /// Nothing has been looked at yet.
    pub fn new(view: &'v View) -> Self {
        Session { view, held: Vec::new() }
    }

    /// The answer to a question that has one.
    pub fn answer(&mut self, ask: Ask) -> Answer {
        let view = self.view;
        match ask {
            Ask::List(path) => {
                let listing = self.list(&path);
                Answer::Listed(path, listing)
            }
            Ask::Look(path, names) => {
                let looked = self.look(&path, names);
                Answer::Looked(path, looked)
            }
            Ask::LookRoot => Answer::RootLooked(view.root()),
            Ask::Explain(path, width, contents) => {
                let text = view.explain(&path, width, contents);
                Answer::Explained(path, width, contents, text)
            }
            Ask::Locate(path) => Answer::Located(view.locate(&path)),
            Ask::Read(path, start) => {
                let piece = view.read(&path, start);
                Answer::Read(path, start, piece)
            }
            Ask::Measure(path) => {
                let total = walk::measure(view, &path);
                Answer::Measured(path, total)
            }
            // It has many answers, and its own thread.
            Ask::Search(filter) => Answer::Searched(filter, Searched::Whole(0)),
        }
    }

    fn list(&mut self, path: &RelPath) -> Listing {
        let names = self.dir(path).and_then(|dir| dir.map(Dir::names).transpose());
        match names {
            Ok(Some(names)) => Listing::Names(names),
            Ok(None) => Listing::NoDirectory,
            Err(error) => Listing::Failed(self.view.told(&error)),
        }
    }

    fn look(&mut self, path: &RelPath, names: Vec<NameBuf>) -> Vec<(NameBuf, Known)> {
        let problem = match self.dir(path) {
            Ok(Some(dir)) => {
                let look = |name: NameBuf| {
                    let known = dir.look(name.as_name());
                    (name, known)
                };
                return names.into_iter().map(look).collect();
            }
            Ok(None) => "it is gone".to_owned(),
            Err(error) => self.view.told(&error),
        };
        names.into_iter().map(|name| (name, Err(problem.clone()))).collect()
    }

    fn dir(&mut self, path: &RelPath) -> LayerResult<Option<&Dir<'v>>> {
        let dir = match self.held.iter().position(|dir| dir.path() == path) {
            Some(index) => self.held.remove(index),
            None => match self.view.dir(path)? {
                Some(dir) => dir,
                None => return Ok(None),
            },
        };
        if self.held.len() >= MOST_HELD {
            self.held.remove(0);
        }
        self.held.push(dir);
        Ok(self.held.last())
    }
}

/// The answer where the stack cannot be opened any more.
pub fn unanswered(ask: Ask, problem: String) -> Answer {
    match ask {
        Ask::List(path) => Answer::Listed(path, Listing::Failed(problem)),
        Ask::Look(path, names) => {
            Answer::Looked(path, names.into_iter().map(|name| (name, Err(problem.clone()))).collect())
        }
        Ask::LookRoot => Answer::RootLooked(Err(problem)),
        Ask::Explain(path, width, contents) => Answer::Explained(path, width, contents, Err(problem)),
        Ask::Locate(_) => Answer::Located(Err(problem)),
        Ask::Read(path, start) => Answer::Read(path, start, Err(problem)),
        Ask::Measure(path) => Answer::Measured(path, Err(problem)),
        Ask::Search(filter) => Answer::Searched(filter, Searched::Whole(1)),
    }
}
