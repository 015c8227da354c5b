//! Text for people: standard output, and paths in it.

use std::io::{self, Write};
use std::path::Path;

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

/// Lines of columns, as wide as their widest cell. The first row is the head.
pub fn columns(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..rows.iter().map(Vec::len).max().unwrap_or(0)).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
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
    fn a_path_stays_on_its_line() {
        assert_eq!(shown(Path::new("/a\nb\u{1b}[2Jé")), "/a\\nb\\u{1b}[2Jé");
    }
}
