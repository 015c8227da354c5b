//! Text for people: standard output, and paths in it.

mod json;

use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use unicode_width::UnicodeWidthStr;

pub use self::json::write_indented;
use super::Failure;
use crate::error::describe;

/// Writes to standard output. A reader that has gone (`lamina list | head -1`) is no failure.
pub fn print(text: &[u8]) -> Result<(), Failure> {
    let mut out = Out::new();
    out.write(text)?;
    out.finish()
}

/// Is anybody still reading what is written?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Reader {
    There,
    Gone,
}

/// Standard output, for text that is written in pieces.
pub struct Out {
    out: io::BufWriter<io::StdoutLock<'static>>,
    reader: Reader,
}

impl Out {
    /// Nothing is written yet.
    pub fn new() -> Self {
        Out { out: io::BufWriter::with_capacity(64 << 10, io::stdout().lock()), reader: Reader::There }
    }

    /// Writes. Once the reader has gone, which is no failure, nothing more needs to be written.
    pub fn write(&mut self, text: &[u8]) -> Result<Reader, Failure> {
        if self.reader == Reader::There {
            let written = self.out.write_all(text);
            self.reader = reader(written)?;
        }
        Ok(self.reader)
    }

    /// Writes what is left for now: whoever watches sees it. Once the reader has gone nothing more needs to be written.
    pub fn flush(&mut self) -> Result<Reader, Failure> {
        if self.reader == Reader::There {
            self.reader = reader(self.out.flush())?;
        }
        Ok(self.reader)
    }

    /// Writes what is left.
    pub fn finish(mut self) -> Result<(), Failure> {
        if self.reader == Reader::There {
            reader(self.out.flush())?;
        }
        Ok(())
    }
}

fn reader(written: io::Result<()>) -> Result<Reader, Failure> {
    match written {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::trouble(format!("standard output: {}", describe(&error)))),
    }
}

/// An array in JSON on standard output, with each element on a line of its own as soon as it is there.
pub struct JsonArray {
    out: Out,
    before: &'static str,
}

impl JsonArray {
    /// Nothing is written yet.
    pub fn new() -> Self {
        JsonArray { out: Out::new(), before: "[\n" }
    }

    /// Writes an element.
    pub fn push(&mut self, element: &impl serde::Serialize) -> Result<Reader, Failure> {
        let mut line = Vec::new();
        json::write(&mut line, element).map_err(|error| unmade(&error))?;
        let before = std::mem::replace(&mut self.before, ",\n");
        self.out.write(before.as_bytes())?;
        self.out.write(&line)
    }

    /// Writes the end.
    pub fn finish(mut self) -> Result<(), Failure> {
        let end = if self.before == ",\n" { "\n]\n" } else { "[]\n" };
        self.out.write(end.as_bytes())?;
        self.out.finish()
    }
}

/// A value as indented JSON, for [`print`].
pub fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    let mut text = Vec::new();
    write_indented(&mut text, value).map_err(|error| unmade(&error))?;
    text.push(b'\n');
    String::from_utf8(text).map_err(|_| Failure::trouble("JSON cannot be made: it is not UTF-8"))
}

fn unmade(error: &serde_json::Error) -> Failure {
    Failure::trouble(format!("JSON cannot be made: {error}"))
}

/// Does a character do something else on a terminal than to be drawn? Control characters do, those that end a line, and those that
/// turn the direction of what follows (Unicode Standard Annex #9, 2 "Directional Formatting Characters"), by which a name looks like another.
pub fn acts(c: char) -> bool {
    let separates = matches!(c, '\u{2028}' | '\u{2029}');
    let directs =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || separates || directs
}

/// A path on one line: characters that act on a terminal are escaped, and so are bytes that are not UTF-8.
pub fn shown(path: &Path) -> String {
    shown_bytes(path.as_os_str().as_bytes())
}

/// As [`shown`], of any bytes.
pub fn shown_bytes(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match acts(c) {
                true => text.extend(c.escape_default()),
                false => text.push(c),
            }
        }
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

/// Is standard output a terminal that shows colours, and are they wanted (<https://no-color.org>)?
pub fn colours() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    io::stdout().is_terminal() && set("NO_COLOR").is_none() && set("TERM").is_some_and(|term| term != "dumb")
}

/// How wide the terminal is that standard output goes to, in cells; `None` where it goes elsewhere.
pub fn width() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// Rows under a head: in columns, or, where those are too wide, in a block for each row.
///
/// Every row has as many cells as the head; the first cell says what the row is about.
pub fn table(head: &[&str], rows: &[Vec<String>], width: Option<usize>) -> String {
    let mut all = vec![head.iter().map(|&cell| cell.to_owned()).collect()];
    all.extend_from_slice(rows);
    let text = columns(&all);
    match width {
        Some(width) if text.lines().any(|line| line.width() > width) => blocks(head, rows),
        _ => text,
    }
}

/// Columns of which the last holds text of any length: it is cut where the line would be wider than the terminal. `None` where
/// less than [`LEAST_CUT`] cells would be left of it.
pub fn columns_with_text(head: &[&str], rows: &[Vec<String>], width: Option<usize>) -> Option<String> {
    columns_with_cut_text(head, rows, width, LEAST_CUT)
}

/// The same; `None` where less than `least` cells would be left of the text.
pub fn columns_with_cut_text(
    head: &[&str],
    rows: &[Vec<String>],
    width: Option<usize>,
    least: usize,
) -> Option<String> {
    let (Some(width), Some(last)) = (width, head.len().checked_sub(1)) else {
        return Some(table(head, rows, None));
    };
    let head_cells: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let cells =
        |column: usize| std::iter::once(&head_cells).chain(rows).filter_map(move |row| row.get(column));
    let before: usize =
        (0..last).map(|column| cells(column).map(|cell| cell.width()).max().unwrap_or(0) + 2).sum();
    let left = width.saturating_sub(before);
    if left < least {
        return None;
    }
    let shorten = |row: &Vec<String>| {
        row.iter()
            .enumerate()
            .map(|(at, cell)| if at == last { cut(cell, left) } else { cell.clone() })
            .collect()
    };
    let rows: Vec<Vec<String>> = rows.iter().map(shorten).collect();
    Some(table(head, &rows, None))
}

/// Rows of which the last cell holds text of any length: a block for each, headed by as much of that as the terminal shows.
pub fn blocks_with_text(head: &[&str], rows: &[Vec<String>], width: Option<usize>) -> String {
    let mut head = head.to_vec();
    head.rotate_right(1);
    let text_first = |row: &Vec<String>| {
        let mut row = row.clone();
        row.rotate_right(1);
        if let (Some(text), Some(width)) = (row.first_mut(), width) {
            *text = cut(text, width);
        }
        row
    };
    blocks(&head, &rows.iter().map(text_first).collect::<Vec<_>>())
}

/// What must be left of a text for a table to make sense, cells.
pub const LEAST_CUT: usize = 20;

/// The beginning of a text that fits into so many cells; that something is missing is shown by an ellipsis.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        short.push(c);
        if short.width() + 1 > width {
            short.pop();
            break;
        }
    }
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

/// Rows without a head, in columns.
pub fn lines(rows: &[Vec<String>]) -> String {
    columns(rows)
}

/// Lines of columns, as wide as their widest cell.
fn columns(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.width()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..rows.iter().map(Vec::len).max().unwrap_or(0)).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.width() + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The first cell of each row on a line of its own, and the others below it, each after its head. What is not known
/// (`-`) is left out; where that is the first cell, the next one is the first, with its head.
pub fn blocks(head: &[&str], rows: &[Vec<String>]) -> String {
    let block = |row: &Vec<String>| {
        let mut lines = row.iter().zip(head).filter(|(cell, _)| *cell != "-");
        let is_known = row.first().is_some_and(|cell| cell != "-");
        let title = lines.next().map(|(cell, head)| match is_known {
            true => cell.clone(),
            false => format!("{} {cell}", head.to_lowercase()),
        });
        let title = title.unwrap_or_default();
        let fields: Vec<Vec<String>> =
            lines.map(|(cell, head)| vec![format!("  {}", head.to_lowercase()), cell.clone()]).collect();
        format!("{title}\n{}", columns(&fields))
    };
    rows.iter().map(block).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows =
            [vec!["A".into(), "B".into()], vec!["long".into(), "x".into()], vec!["é".into(), "y".into()]];
        assert_eq!(columns(&rows), "A     B\nlong  x\né     y\n");
    }

    #[test]
    fn columns_count_cells() {
        let rows = [vec!["/層".into(), "B".into()], vec!["/e\u{301}".into(), "y".into()]];
        assert_eq!(columns(&rows), "/層  B\n/e\u{301}   y\n");
    }

    #[test]
    fn a_table_that_is_too_wide_becomes_blocks() {
        let rows =
            [vec!["/a".into(), "live".into(), "/up".into()], vec!["/b".into(), "dead".into(), "-".into()]];
        let head = ["MOUNT POINT", "STATE", "UPPER"];
        let columns = "MOUNT POINT  STATE  UPPER\n/a           live   /up\n/b           dead   -\n";
        assert_eq!(table(&head, &rows, None), columns);
        assert_eq!(table(&head, &rows, Some(25)), columns);
        let blocks = "/a\n  state  live\n  upper  /up\n\n/b\n  state  dead\n";
        assert_eq!(table(&head, &rows, Some(24)), blocks);
    }

    #[test]
    fn a_long_text_at_the_end_is_cut_to_the_terminal() {
        let head = ["#", "INSTRUCTION"];
        let rows = [vec!["1".into(), "RUN make all install clean".into()], vec!["-".into(), "CMD sh".into()]];
        let whole = "#  INSTRUCTION\n1  RUN make all install clean\n-  CMD sh\n";
        assert_eq!(columns_with_text(&head, &rows, None).unwrap(), whole);
        assert_eq!(columns_with_text(&head, &rows, Some(29)).unwrap(), whole);
        assert_eq!(
            columns_with_text(&head, &rows, Some(28)).unwrap(),
            "#  INSTRUCTION\n1  RUN make all install cle…\n-  CMD sh\n"
        );
        assert_eq!(columns_with_text(&head, &rows, Some(22)), None);
        let blocks = "RUN make all install…\n  #  1\n\nCMD sh\n";
        assert_eq!(blocks_with_text(&head, &rows, Some(22)), blocks);
        let unnamed = [vec!["1".into(), "-".into()]];
        assert_eq!(blocks_with_text(&head, &unnamed, Some(22)), "# 1\n");
        assert_eq!(cut("層層層", 5), "層層…");
        assert_eq!(cut("層層層", 4), "層…");
        assert_eq!(cut("ab", 2), "ab");
    }

    #[test]
    fn a_path_stays_on_its_line() {
        assert_eq!(shown(Path::new("/a\nb\u{1b}[2Jé")), "/a\\nb\\u{1b}[2Jé");
        assert_eq!(shown_bytes(b"a\xff\xc3b"), "a\\xff\\xc3b");
        assert_eq!(
            shown_bytes("a\u{202e}gpj.exe\u{9b}\u{2028}".as_bytes()),
            r"a\u{202e}gpj.exe\u{9b}\u{2028}"
        );
        assert_eq!(shown_bytes("\u{5d0}e\u{301}\u{200d}".as_bytes()), "\u{5d0}e\u{301}\u{200d}");
    }
}
