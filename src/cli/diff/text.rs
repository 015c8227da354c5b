//! The differences for people: a line for each.

use clap::builder::styling::{AnsiColor, Style};

use super::Output;
use crate::cli::Failure;
use crate::cli::terminal::{self, Out, Reader};
use crate::diff::{Change, Held};
use crate::path::RelPath;

/// Lines, in colours where the terminal shows them.
pub struct Text {
    out: Out,
    colours: bool,
}

impl Text {
    /// Nothing is written yet.
    pub fn new() -> Self {
        Text { out: Out::new(), colours: terminal::colours() }
    }
}

impl Output for Text {
    fn change(&mut self, path: &RelPath, change: &Change) -> Result<Reader, Failure> {
        let line = line(path, change);
        let style = if self.colours { style(change) } else { Style::new() };
        self.out.write(format!("{style}{line}{style:#}\n").as_bytes())
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        self.out.finish()
    }
}

fn style(change: &Change) -> Style {
    match change {
        Change::Added(_) => AnsiColor::Green.on_default(),
        Change::Deleted { .. } => AnsiColor::Red.on_default(),
        Change::Changed { .. } => AnsiColor::Yellow.on_default(),
        Change::Parent { .. } => Style::new().dimmed(),
    }
}

fn line(path: &RelPath, change: &Change) -> String {
    let path = terminal::shown_bytes(path.as_bytes());
    match change {
        Change::Added(_) => format!("A /{path}"),
        Change::Deleted { held: Held { names: 0, .. }, .. } => format!("D /{path}"),
        Change::Deleted { held: Held { names: 1, .. }, .. } => format!("D /{path} (with 1 path in it)"),
        Change::Deleted { held: Held { names, .. }, .. } => format!("D /{path} (with {names} paths in it)"),
        Change::Changed { what, .. } => {
            format!("C /{path} ({})", what.words().collect::<Vec<_>>().join(" "))
        }
        Change::Parent { .. } => format!("C /{path}"),
    }
}
