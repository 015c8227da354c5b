//! The listing for people.

use super::rows::{Row, What};
use super::{Sink, Wants};
use crate::cli::Failure;
use crate::cli::human::{self, Precision};
use crate::cli::terminal::{Out, Reader, shown_bytes};
use crate::overlay::{Attr, FileKind};
use crate::path::RelPath;
use unicode_width::UnicodeWidthStr;

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Layer and name.
    Short,
    /// All attributes.
    Long,
}

/// The columns before the name, and whether numbers are in them, which stand at the right.
const LONG: [(&str, Side); 6] = [
    ("LAYER", Side::Left),
    ("MODE", Side::Left),
    ("LINKS", Side::Right),
    ("OWNER", Side::Left),
    ("SIZE", Side::Right),
    ("MODIFIED", Side::Left),
];
const SHORT: [(&str, Side); 1] = [("LAYER", Side::Left)];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// Lines of columns. A column grows where wider cells come: the lines before are written already.
pub struct Text {
    out: Out,
    lines: Lines,
    head: Head,
}

/// The line above all others: where there are none, there is no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    Due,
    Written,
}

/// What the lines look like.
struct Lines {
    form: Form,
    /// What the names are relative to.
    base: RelPath,
    /// What that itself is called, if it is no directory.
    own_name: Vec<u8>,
    widths: Vec<usize>,
}

impl Text {
    /// For the listing of `base`, which the caller has named `asked`.
    pub fn new(form: Form, base: &RelPath, asked: &[u8], layers: usize) -> Self {
        let mut lines = Lines::new(form, base.clone(), asked.to_vec());
        if let Some(layer) = lines.widths.first_mut() {
            *layer = (*layer).max(layers.to_string().len());
        }
        Text { out: Out::new(), lines, head: Head::Due }
    }
}

impl Sink for Text {
    fn wants(&self) -> Wants {
        match self.lines.form {
            Form::Long => Wants::Ahead,
            // The only column is as wide as the number of layers.
            Form::Short => Wants::InTurn,
        }
    }

    fn announce(&mut self, rows: &mut dyn Iterator<Item = &Row>) {
        self.lines.grow(rows);
    }

    fn row(&mut self, row: &Row) -> Result<Reader, Failure> {
        if self.head == Head::Due {
            self.out.write(self.lines.head().as_bytes())?;
            self.head = Head::Written;
        }
        self.out.write(self.lines.line(row).as_bytes())
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        self.out.finish()
    }
}

impl Lines {
    fn new(form: Form, base: RelPath, own_name: Vec<u8>) -> Self {
        let widths = columns(form).iter().map(|(head, _)| head.len()).collect();
        Lines { form, base, own_name, widths }
    }

    fn grow<'r>(&mut self, rows: impl Iterator<Item = &'r Row>) {
        for row in rows {
            for (width, cell) in self.widths.iter_mut().zip(cells(self.form, row)) {
                *width = (*width).max(cell.width());
            }
        }
    }

    fn head(&self) -> String {
        self.joined(columns(self.form).iter().map(|(head, _)| (*head).to_owned()), "NAME")
    }

    fn line(&self, row: &Row) -> String {
        self.joined(cells(self.form, row).into_iter(), &self.name(row))
    }

    fn joined(&self, cells: impl Iterator<Item = String>, name: &str) -> String {
        let mut line = String::new();
        for ((cell, (_, side)), width) in cells.zip(columns(self.form)).zip(&self.widths) {
            let fill = " ".repeat(width.saturating_sub(cell.width()));
            match side {
                Side::Left => line.extend([&cell, fill.as_str(), "  "]),
                Side::Right => line.extend([fill.as_str(), &cell, "  "]),
            }
        }
        line.push_str(name);
        line.push('\n');
        line
    }

    /// From the place that is listed on, or, of that itself, as the caller has named it.
    fn name(&self, row: &Row) -> String {
        let below = match self.base.is_root() {
            true => Some(row.path.as_bytes()),
            false => {
                let below = row.path.as_bytes().strip_prefix(self.base.as_bytes());
                below.and_then(|below| below.strip_prefix(b"/"))
            }
        };
        let mut name = shown_bytes(below.unwrap_or(&self.own_name));
        match (&row.what, self.form) {
            (What::There { target: Some(target), .. }, Form::Long) => {
                name.push_str(&format!(" -> {}", shown_bytes(target)));
            }
            (What::Deleted, Form::Short) => name.push_str(" (deleted)"),
            _ => {}
        }
        name
    }
}

fn columns(form: Form) -> &'static [(&'static str, Side)] {
    match form {
        Form::Short => &SHORT,
        Form::Long => &LONG,
    }
}

fn cells(form: Form, row: &Row) -> Vec<String> {
    let none = || "-".to_owned();
    let layer = row.layer.to_string();
    match (form, &row.what) {
        (Form::Short, _) => vec![layer],
        (Form::Long, What::Deleted) => vec![layer, "(deleted)".to_owned(), none(), none(), none(), none()],
        (Form::Long, What::There { attr, .. }) => vec![
            layer,
            mode(attr),
            attr.nlink.to_string(),
            format!("{}:{}", attr.uid, attr.gid),
            match attr.kind {
                FileKind::CharDevice | FileKind::BlockDevice => {
                    format!("{},{}", attr.rdev.major, attr.rdev.minor)
                }
                _ => attr.size.to_string(),
            },
            human::time(attr.mtime.sec, Precision::Second).unwrap_or_else(none),
        ],
    }
}

/// Type and mode, as ls(1) has them.
pub fn mode(attr: &Attr) -> String {
    let kind = match attr.kind {
        FileKind::Regular => '-',
        FileKind::Directory => 'd',
        FileKind::Symlink => 'l',
        FileKind::CharDevice => 'c',
        FileKind::BlockDevice => 'b',
        FileKind::Fifo => 'p',
        FileKind::Socket => 's',
    };
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = attr.perm >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (attr.perm & special != 0, bits & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::{Rdev, Timestamp};

    fn attr(kind: FileKind, perm: u32) -> Attr {
        let time = Timestamp { sec: 0, nsec: 0 };
        Attr {
            ino: 1,
            size: 1234,
            blocks: 8,
            atime: time,
            mtime: time,
            ctime: time,
            btime: None,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 50,
            rdev: Rdev { major: 1, minor: 3 },
            blksize: 4096,
        }
    }

    fn row(path: &[u8], what: What) -> Row {
        Row { path: RelPath::new(path).unwrap(), layer: 2, what }
    }

    #[test]
    fn modes_are_those_of_ls() {
        for (kind, perm, text) in [
            (FileKind::Regular, 0o644, "-rw-r--r--"),
            (FileKind::Directory, 0o1777, "drwxrwxrwt"),
            (FileKind::Directory, 0o1770, "drwxrwx--T"),
            (FileKind::Regular, 0o6755, "-rwsr-sr-x"),
            (FileKind::Regular, 0o6644, "-rwSr-Sr--"),
            (FileKind::CharDevice, 0o000, "c---------"),
            (FileKind::Socket, 0o421, "sr---w---x"),
        ] {
            assert_eq!(mode(&attr(kind, perm)), text);
        }
    }

    #[test]
    fn lines_are_in_columns_and_names_from_the_place_that_is_listed() {
        let there = |kind, target: Option<&[u8]>| What::There {
            attr: attr(kind, 0o755),
            target: target.map(<[u8]>::to_vec),
        };
        let rows = [
            row(b"etc/a", there(FileKind::Regular, None)),
            row(b"etc/b\xff", there(FileKind::Symlink, Some(b"../x\n"))),
            row(b"etc/d/null", there(FileKind::CharDevice, None)),
            row(b"etc/gone", What::Deleted),
        ];
        let lines = |form| {
            let mut lines = Lines::new(form, RelPath::new(b"etc").unwrap(), b"etc".to_vec());
            lines.grow(rows.iter());
            let body: String = rows.iter().map(|row| lines.line(row)).collect();
            lines.head() + &body
        };
        assert_eq!(
            lines(Form::Long),
            "LAYER  MODE        LINKS  OWNER  SIZE  MODIFIED             NAME\n\
             2      -rwxr-xr-x      1  0:50   1234  1970-01-01 00:00:00  a\n\
             2      lrwxr-xr-x      1  0:50   1234  1970-01-01 00:00:00  b\\xff -> ../x\\n\n\
             2      crwxr-xr-x      1  0:50    1,3  1970-01-01 00:00:00  d/null\n\
             2      (deleted)       -  -         -  -                    gone\n"
        );
        assert_eq!(
            lines(Form::Short),
            "LAYER  NAME\n2      a\n2      b\\xff\n2      d/null\n2      gone (deleted)\n"
        );
    }

    #[test]
    fn what_is_no_directory_has_the_name_it_was_asked_by() {
        let lines = Lines::new(Form::Short, RelPath::new(b"etc/a").unwrap(), b"/etc//a".to_vec());
        let what = What::There { attr: attr(FileKind::Regular, 0), target: None };
        assert_eq!(lines.line(&row(b"etc/a", what)), "2      /etc//a\n");
    }
}
