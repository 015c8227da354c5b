//! Text for people: standard output, and paths in it.

use std::io::{self, Write};
use std::path::Path;

use unicode_width::UnicodeWidthStr;

use super::Failure;
use crate::error::describe;

/// Writes to standard output. A reader that has gone (`lamina list | head -1`) is no failure.
pub fn print(text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::trouble(format!("standard output: {}", describe(&error))))
        }
        _ => Ok(()),
    }
}

/// A path on one line: control characters are escaped, what is not UTF-8 is replaced.
pub fn shown(path: &Path) -> String {
    let mut text = String::new();
    for c in path.to_string_lossy().chars() {
        match c.is_control() {
            true => text.extend(c.escape_default()),
            false => text.push(c),
        }
    }
    text
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
/// (`-`) is left out.
fn blocks(head: &[&str], rows: &[Vec<String>]) -> String {
    let block = |row: &Vec<String>| {
        let mut lines = row.iter().zip(head).filter(|(cell, _)| *cell != "-");
        let title = lines.next().map(|(cell, _)| cell.clone()).unwrap_or_default();
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
    fn a_path_stays_on_its_line() {
        assert_eq!(shown(Path::new("/a\nb\u{1b}[2Jé")), "/a\\nb\\u{1b}[2Jé");
    }
}
