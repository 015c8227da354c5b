//! Which names a search finds.

use super::detail::{Change, Known};
use crate::cli::image_args::{Bytes, NoBytes};
use crate::path::RelPath;

/// What a name must be; what is not said does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// What it is called.
    pub name: Option<Pattern>,
    /// How large the file is.
    pub size: Option<SizeRange>,
    /// What has become of it.
    pub which: Which,
}

/// Is what has not changed found, too?
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Which {
    /// All.
    #[default]
    All,
    /// What is added, changed or deleted.
    Changed,
}

impl Filter {
    /// Lets it everything through?
    pub fn is_open(&self) -> bool {
        *self == Filter::default()
    }

    /// Does it let this path through? To be asked first: it costs nothing.
    pub fn takes_path(&self, path: &RelPath) -> bool {
        self.name.as_ref().is_none_or(|pattern| pattern.takes(path))
    }

    /// Does it let something of this size through? Only files have one.
    pub fn takes_size(&self, size: Option<u64>) -> bool {
        self.size.is_none_or(|range| size.is_some_and(|size| range.takes(size)))
    }

    /// Does it let through what has become of this? What cannot be looked up has not changed as far as one knows.
    pub fn takes_change(&self, known: &Known) -> bool {
        match self.which {
            Which::All => true,
            Which::Changed => {
                known.as_ref().is_ok_and(|detail| !matches!(detail.change, Change::Same | Change::Within))
            }
        }
    }

    /// On one line, for people.
    pub fn shown(&self) -> String {
        let mut parts = Vec::new();
        if let Some(name) = &self.name {
            parts.push(crate::cli::terminal::shown_bytes(name.text.as_bytes()));
        }
        if let Some(size) = &self.size {
            parts.push(size.shown());
        }
        if self.which == Which::Changed {
            parts.push("changes".to_owned());
        }
        parts.join(", ")
    }
}

/// A part of a name, or, with `*` or `?`, the whole of it. With a slash it is about the path. Without capitals, it
/// takes them for small letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    form: Form,
    case: Case,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Part,
    Glob,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Exact,
    Ignored,
}

impl Pattern {
    /// As somebody types it; `None`: nothing.
    pub fn new(text: &str) -> Option<Self> {
        let form = if text.contains(['*', '?']) { Form::Glob } else { Form::Part };
        let case = if text.chars().any(char::is_uppercase) { Case::Exact } else { Case::Ignored };
        (!text.is_empty()).then(|| Pattern { text: text.to_owned(), form, case })
    }

    fn takes(&self, path: &RelPath) -> bool {
        let whole = [b"/", path.as_bytes()].concat();
        let last = path.names().next_back().map(|name| name.as_bytes().to_vec());
        let mut subject = if self.text.contains('/') { whole } else { last.unwrap_or_default() };
        if self.case == Case::Ignored {
            subject = match String::from_utf8(subject) {
                Ok(text) => text.to_lowercase().into_bytes(),
                Err(other) => other.into_bytes().to_ascii_lowercase(),
            };
        }
        match self.form {
            Form::Part => subject.windows(self.text.len()).any(|part| part == self.text.as_bytes()),
            Form::Glob => glob(self.text.as_bytes(), &subject),
        }
    }
}

/// Shell patterns of `*` and `?` (one byte), in time that is the product of both lengths at most.
fn glob(pattern: &[u8], subject: &[u8]) -> bool {
    let (mut at, mut in_subject) = (0, 0);
    // Where the last star was, and how much of the subject it has taken.
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = subject.get(in_subject) {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                star = Some((at, in_subject));
                at += 1;
            }
            (Some(b'?'), _) => (at, in_subject) = (at + 1, in_subject + 1),
            (Some(other), _) if other == byte => (at, in_subject) = (at + 1, in_subject + 1),
            (_, Some((place, taken))) => {
                star = Some((place, taken + 1));
                (at, in_subject) = (place + 1, taken + 1);
            }
            (_, None) => return false,
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

/// How large a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeRange {
    /// More bytes than this.
    Above(u64),
    /// At least so many.
    AtLeast(u64),
    /// Fewer.
    Below(u64),
    /// At most.
    AtMost(u64),
}

impl SizeRange {
    /// As somebody types it: `>10M`, `<1k`, `>=4096`, `10M` (at least).
    ///
    /// # Errors
    /// It is not a number of bytes.
    pub fn parse(text: &str) -> Result<Self, NoBytes> {
        let text = text.trim();
        let number = |rest: &str| rest.trim().parse::<Bytes>().map(|Bytes(bytes)| bytes);
        let with = |sign| text.strip_prefix(sign);
        Ok(match (with(">="), with("<="), with(">"), with("<")) {
            (Some(rest), ..) => SizeRange::AtLeast(number(rest)?),
            (_, Some(rest), ..) => SizeRange::AtMost(number(rest)?),
            (_, _, Some(rest), _) => SizeRange::Above(number(rest)?),
            (_, _, _, Some(rest)) => SizeRange::Below(number(rest)?),
            _ => SizeRange::AtLeast(number(text)?),
        })
    }

    fn takes(self, size: u64) -> bool {
        match self {
            SizeRange::Above(bytes) => size > bytes,
            SizeRange::AtLeast(bytes) => size >= bytes,
            SizeRange::Below(bytes) => size < bytes,
            SizeRange::AtMost(bytes) => size <= bytes,
        }
    }

    fn shown(self) -> String {
        let (sign, bytes) = match self {
            SizeRange::Above(bytes) => (">", bytes),
            SizeRange::AtLeast(bytes) => (">=", bytes),
            SizeRange::Below(bytes) => ("<", bytes),
            SizeRange::AtMost(bytes) => ("<=", bytes),
        };
        format!("{sign} {}", crate::cli::human::size(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(pattern: &str, path: &str) -> bool {
        Pattern::new(pattern).unwrap().takes(&RelPath::new(path.as_bytes()).unwrap())
    }

    #[test]
    fn names_are_found_by_a_part_and_by_a_glob() {
        for (pattern, path, expected) in [
            ("pass", "etc/passwd", true),
            ("etc", "etc/passwd", false),
            ("PASS", "etc/passwd", false),
            ("read", "README", true),
            ("Read", "README", false),
            ("/etc/", "etc/passwd", true),
            ("*.so", "lib/a.so", true),
            ("*.so", "lib/a.so.1", false),
            ("*.so*", "lib/a.so.1", true),
            ("?.so", "lib/a.so", true),
            ("?.so", "lib/ab.so", false),
            ("/lib/*/x", "lib/a/b/x", true),
            ("/lib/*", "usr/lib/x", false),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("*", "x", true),
        ] {
            assert_eq!(takes(pattern, path), expected, "{pattern} {path}");
        }
        let odd = RelPath::new(b"A\xff.so").unwrap();
        assert!(Pattern::new("a?.so").unwrap().takes(&odd));
        assert_eq!(Pattern::new(""), None);
    }

    #[test]
    fn a_glob_of_stars_takes_no_longer_than_it_must() {
        assert!(!glob(&b"*a".repeat(200), &b"b".repeat(4000)));
    }

    #[test]
    fn sizes_are_ranges() {
        assert_eq!(SizeRange::parse(">10M"), Ok(SizeRange::Above(10_000_000)));
        assert_eq!(SizeRange::parse(" 4KiB "), Ok(SizeRange::AtLeast(4096)));
        assert_eq!(SizeRange::parse(">= 1"), Ok(SizeRange::AtLeast(1)));
        assert_eq!(SizeRange::parse("<1k"), Ok(SizeRange::Below(1000)));
        assert_eq!(SizeRange::parse("<=1k"), Ok(SizeRange::AtMost(1000)));
        for text in ["", ">", "big", ">-1", "=3"] {
            assert_eq!(SizeRange::parse(text), Err(NoBytes), "{text}");
        }
        assert!(!SizeRange::Above(10).takes(10) && SizeRange::AtLeast(10).takes(10));
        assert!(!SizeRange::Below(10).takes(10) && SizeRange::AtMost(10).takes(10));
        assert_eq!(SizeRange::Above(10_000_000).shown(), "> 10.0 MB");
    }
}
