//! What follows the options, in the help of a command and in its man page: examples and notes.

use std::fmt::Write;

use clap_mangen::roff::{Roff, bold, roman};

use super::args::STYLES;

/// A command line, and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Example {
    /// One line, at most 76 columns.
    pub what: &'static str,
    /// One line, at most 78 columns.
    pub command: &'static str,
}

/// A paragraph with a heading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note {
    /// In the case of a sentence; man pages have it in capitals.
    pub heading: &'static str,
    /// Filled to the width of the terminal.
    pub text: &'static str,
}

/// The end of a command's help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epilogue {
    /// Shown in this order.
    pub examples: &'static [Example],
    /// Shown in this order, after the examples.
    pub notes: &'static [Note],
}

impl Epilogue {
    /// For the help. The comments are those of a shell, so that all of it can be pasted.
    pub fn help(&self) -> String {
        let style = STYLES.get_header();
        let mut text = String::new();
        let heading = |text: &mut String, heading: &str| {
            let gap = if text.is_empty() { "" } else { "\n" };
            // Writing to a string does not fail.
            let _ = writeln!(text, "{gap}{style}{heading}:{style:#}");
        };
        if !self.examples.is_empty() {
            heading(&mut text, "Examples");
        }
        for Example { what, command } in self.examples {
            // As above.
            let _ = writeln!(text, "  # {what}\n  {command}");
        }
        for note in self.notes {
            heading(&mut text, note.heading);
            for line in note.text.lines() {
                // As above.
                let _ = writeln!(text, "  {line}");
            }
        }
        text.truncate(text.trim_end().len());
        text
    }

    /// For the man page.
    pub fn roff(&self, page: &mut Roff) {
        if !self.examples.is_empty() {
            page.control("SH", ["EXAMPLES"]);
        }
        for Example { what, command } in self.examples {
            page.control("TP", []);
            page.text([roman(*what)]);
            // An example is one line, and is not filled.
            page.control("nf", []);
            page.text([bold(*command)]);
            page.control("fi", []);
        }
        for note in self.notes {
            page.control("SH", [note.heading.to_uppercase().as_str()]);
            for line in note.text.lines() {
                page.text([roman(line)]);
            }
        }
    }
}
