//! A file on the screen: a window of it is in memory, whatever its size.

use super::ask::{PIECE, Piece};
use crate::cli::terminal::shown_bytes;
use crate::path::RelPath;

/// A line of more bytes is shown as several.
const LONGEST_LINE: usize = 4096;
/// Bytes in a line of the hexadecimal form.
const HEX_LINE: u64 = 16;
/// How much of the window is kept before the first line that is shown.
const BEFORE: u64 = 64 << 10;
/// Where less than this is left of the window, another one is asked for.
const SCARCE: u64 = 32 << 10;
/// How far to the side one step goes, cells.
const SIDE_STEP: usize = 8;

/// How a file is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Form {
    Text,
    Hex,
}

/// A file that is shown.
#[derive(Debug)]
pub struct Pager {
    /// Where it is.
    pub path: RelPath,
    /// Its bytes; none before the first piece has come.
    pub size: Option<u64>,
    /// How it is shown; `None` before it is known what it holds.
    pub form: Option<Form>,
    /// Why it cannot be shown.
    pub problem: Option<String>,
    /// Cells that are cut off at the left.
    pub left: usize,
    /// Where in the file the first line begins, bytes.
    at: u64,
    window: Window,
    /// So many lines up, once the window is there.
    then_up: usize,
}

/// A part of the file.
#[derive(Debug, Default)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// What is in it from a place on.
    fn from(&self, at: u64) -> &[u8] {
        let offset = at.checked_sub(self.start).and_then(|offset| usize::try_from(offset).ok());
        offset.and_then(|offset| self.bytes.get(offset..)).unwrap_or_default()
    }
}

impl Pager {
    /// A file of which nothing is there yet.
    pub fn new(path: RelPath) -> Self {
        let window = Window::default();
        Pager { path, size: None, form: None, problem: None, left: 0, at: 0, window, then_up: 0 }
    }

    /// From where a piece is needed.
    pub fn wanted(&self) -> Option<u64> {
        let Some(size) = self.size else { return self.problem.is_none().then_some(0) };
        let lacks_before = self.at < self.window.start.saturating_add(SCARCE) && self.window.start > 0;
        let lacks_after = self.window.end() < size && self.window.end() < self.at.saturating_add(SCARCE);
        let start = self.at.saturating_sub(BEFORE);
        // Lines of the hexadecimal form begin at multiples.
        let start = start - start % HEX_LINE;
        ((lacks_before || lacks_after) && start != self.window.start && self.problem.is_none())
            .then_some(start)
    }

    /// Takes a piece.
    pub fn take(&mut self, start: u64, piece: Result<Piece, String>) {
        match piece {
            Ok(piece) => {
                self.form.get_or_insert_with(|| form_of(&piece.bytes));
                // It may be shorter than it was said to be.
                let end = start + piece.bytes.len() as u64;
                let is_last = piece.bytes.len() < PIECE;
                self.size = Some(if is_last { end } else { piece.size.max(end) });
                self.window = Window { start, bytes: piece.bytes };
                self.at = self.at.min(self.size.unwrap_or(0));
            }
            Err(problem) => self.problem = Some(problem),
        }
        let lines = std::mem::take(&mut self.then_up);
        self.up(lines);
    }

    /// Where the line that begins at `at` ends, and the next one begins.
    fn next(&self, at: u64) -> u64 {
        let rest = self.window.from(at);
        let len = match self.form {
            Some(Form::Hex) => rest.len().min(HEX_LINE as usize),
            _ => {
                let line = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
                line.min(LONGEST_LINE)
            }
        };
        at + len as u64
    }

    /// Where the line before the one at `at` begins.
    fn before(&self, at: u64) -> u64 {
        if self.form == Some(Form::Hex) {
            return at.saturating_sub(1) / HEX_LINE * HEX_LINE;
        }
        let known = at.saturating_sub(self.window.start);
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        let before = self.window.bytes.get(..known.saturating_sub(1)).unwrap_or_default();
        let before = before.get(before.len().saturating_sub(LONGEST_LINE)..).unwrap_or_default();
        let len = before.iter().rev().position(|byte| *byte == b'\n').unwrap_or(before.len());
        at.saturating_sub(len as u64 + 1)
    }

    /// Goes down; the last line stays on the screen.
    pub fn down(&mut self, lines: usize) {
        for _ in 0..lines {
            let next = self.next(self.at);
            if self.size.is_none_or(|size| next >= size) {
                break;
            }
            self.at = next;
        }
    }

    /// Goes up.
    pub fn up(&mut self, lines: usize) {
        for _ in 0..lines {
            if self.at <= self.window.start {
                break;
            }
            self.at = self.before(self.at).max(self.window.start);
        }
    }

    /// Goes to the first line.
    pub fn begin(&mut self) {
        self.at = 0;
    }

    /// Goes to the last lines, of which so many fit on the screen.
    pub fn end(&mut self, lines: usize) {
        let Some(size) = self.size else { return };
        self.at = size;
        match self.wanted() {
            None => self.up(lines),
            Some(_) => self.then_up = lines,
        }
    }

    /// Goes to the side.
    pub fn right(&mut self) {
        self.left = self.left.saturating_add(SIDE_STEP).min(LONGEST_LINE);
    }

    /// Goes back to it.
    pub fn left(&mut self) {
        self.left = self.left.saturating_sub(SIDE_STEP);
    }

    /// Shows it in the other form.
    pub fn turn(&mut self) {
        self.form = match self.form {
            Some(Form::Text) => {
                self.at -= self.at % HEX_LINE;
                Some(Form::Hex)
            }
            Some(Form::Hex) => Some(Form::Text),
            None => None,
        };
    }

    /// How far through the file the first line is: 0 to 100.
    pub fn percent(&self) -> u64 {
        match self.size {
            Some(size) if size > 0 => {
                u64::try_from(u128::from(self.at) * 100 / u128::from(size)).unwrap_or(100)
            }
            _ => 0,
        }
    }

    /// The lines that are shown, escaped: nothing in the file reaches the terminal as a control character.
    pub fn lines(&self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        let mut at = self.at;
        while lines.len() < count {
            let next = self.next(at);
            let len = usize::try_from(next - at).unwrap_or(0);
            let Some(bytes) = self.window.from(at).get(..len).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            lines.push(match self.form {
                Some(Form::Hex) => hex(at, bytes),
                _ => text(bytes.strip_suffix(b"\n").unwrap_or(bytes)),
            });
            at = next;
        }
        lines
    }
}

/// Text, unless there are bytes in its beginning that no text has.
fn form_of(bytes: &[u8]) -> Form {
    let start = bytes.get(..bytes.len().min(8 << 10)).unwrap_or_default();
    let odd = |byte: &&u8| matches!(byte, 1..=8 | 14..=26 | 28..=31 | 127);
    let invalid: usize = start.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
    let odd = start.iter().filter(odd).count() + invalid;
    match start.contains(&0) || odd * 10 > start.len() {
        true => Form::Hex,
        false => Form::Text,
    }
}

fn text(line: &[u8]) -> String {
    let parts: Vec<String> = line.split(|byte| *byte == b'\t').map(shown_bytes).collect();
    let Some((last, others)) = parts.split_last() else { return String::new() };
    let mut text = String::new();
    for part in others {
        text.push_str(part);
        let width = unicode_width::UnicodeWidthStr::width(text.as_str());
        text.extend(std::iter::repeat_n(' ', 8 - width % 8));
    }
    text.push_str(last);
    text
}

fn hex(at: u64, bytes: &[u8]) -> String {
    let mut line = format!("{at:08x} ");
    for index in 0..HEX_LINE as usize {
        line.push_str(if index % 8 == 0 { " " } else { "" });
        match bytes.get(index) {
            Some(byte) => line.push_str(&format!("{byte:02x} ")),
            None => line.push_str("   "),
        }
    }
    line.push_str(" |");
    line.extend(bytes.iter().map(|byte| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => '.',
    }));
    line.push('|');
    line
}

#[cfg(test)]
mod tests;
