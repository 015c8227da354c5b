//! `a,b=c,d="e,f",g=h\,i` → words. The backslashes stay: what they mean depends on the option.

use std::fmt;

use crate::fuse::LabelOption;

/// One option as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// What stands before the first `=`.
    pub(super) name: Vec<u8>,
    /// What stands behind it, without the quotes.
    pub(super) value: Option<Vec<u8>>,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.name))?;
        match &self.value {
            Some(value) => write!(f, "={}", String::from_utf8_lossy(value)),
            None => Ok(()),
        }
    }
}

/// Splits at commas that are neither escaped nor in a quoted value. Empty options (`a,,b`) are dropped.
pub(super) fn options(text: &[u8]) -> Result<Vec<Word>, &'static str> {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = first(rest)?;
        if !word.name.is_empty() || word.value.is_some() {
            words.push(word);
        }
        rest = after;
    }
    Ok(words)
}

/// The first option of `text`, and what follows its comma.
fn first(text: &[u8]) -> Result<(Word, &[u8]), &'static str> {
    let equals = text.iter().position(|b| matches!(b, b'=' | b','));
    let Some(end) = equals else { return Ok((Word { name: text.to_vec(), value: None }, b"")) };
    let (name, rest) = (text[..end].to_vec(), &text[end + 1..]);
    if text[end] == b',' {
        return Ok((Word { name, value: None }, rest));
    }
    let (value, after) = match rest.strip_prefix(b"\"") {
        Some(quoted) => {
            let close = quoted.iter().position(|b| *b == b'"').ok_or("a quoted value does not end")?;
            match &quoted[close + 1..] {
                [] => (&quoted[..close], &b""[..]),
                [b',', after @ ..] => (&quoted[..close], after),
                _ => return Err("something follows a quoted value without a comma"),
            }
        }
        None if LabelOption::named(&name).is_some() => with_commas(rest, is_category),
        None if matches!(name.as_slice(), b"uidmapping" | b"gidmapping") => with_commas(rest, is_range),
        None => unquoted(rest),
    };
    Ok((Word { name, value: Some(value.to_vec()) }, after))
}

/// A value that goes on behind a comma where what follows is its own and no option.
fn with_commas(text: &[u8], is_own: fn(&[u8]) -> bool) -> (&[u8], &[u8]) {
    let mut from = 0;
    loop {
        let (value, after) = unquoted(text.get(from..).unwrap_or_default());
        let end = from + value.len();
        if !is_own(after) {
            return (&text[..end], after);
        }
        from = end + 1;
    }
}

/// The category of a security context without its quotes, which a shell may have taken (`c1,c2`). Without it the label has fewer
/// categories, which more may read. No option has such a name.
fn is_category(text: &[u8]) -> bool {
    matches!(text, [b'c', digit, ..] if digit.is_ascii_digit())
}

/// A further range of ids, as fuse-overlayfs(1) writes them: `0:1000:1,1:110000:65536`. No option's name begins with a digit.
fn is_range(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_digit)
}

fn unquoted(text: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b',' => return (&text[..at], &text[at + 1..]),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    (text, b"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<Vec<String>, &'static str> {
        options(text.as_bytes()).map(|words| words.iter().map(Word::to_string).collect())
    }

    #[test]
    fn commas_separate_unless_escaped_or_quoted() {
        let table: &[(&str, Result<&[&str], &str>)] = &[
            ("", Ok(&[])),
            ("a", Ok(&["a"])),
            ("a,,b,", Ok(&["a", "b"])),
            ("a=1,b", Ok(&["a=1", "b"])),
            (r"a=x\,y,b", Ok(&[r"a=x\,y", "b"])),
            (r"a=x\\,b", Ok(&[r"a=x\\", "b"])),
            (r"a=x\", Ok(&[r"a=x\"])),
            ("c=\"u:r,s\",b", Ok(&["c=u:r,s", "b"])),
            ("c=\"\"", Ok(&["c="])),
            ("l=/a\"b,c", Ok(&["l=/a\"b", "c"])),
            ("a=b=c", Ok(&["a=b=c"])),
            // A security context ends behind its last category.
            ("context=u:r:t:s0:c1,c2,ro", Ok(&["context=u:r:t:s0:c1,c2", "ro"])),
            ("fscontext=u:r:t:s0:c1,c2.c5-s1:c1,c9", Ok(&["fscontext=u:r:t:s0:c1,c2.c5-s1:c1,c9"])),
            ("context=u:r:t:s0,comment=x", Ok(&["context=u:r:t:s0", "comment=x"])),
            (r"context=u:r:t:s0:c1\,c2,,c3", Ok(&[r"context=u:r:t:s0:c1\,c2", "c3"])),
            ("context=,c3", Ok(&["context=,c3"])),
            // Ranges of ids end where an option begins.
            ("uidmapping=0:1:2,3:4:5,ro", Ok(&["uidmapping=0:1:2,3:4:5", "ro"])),
            ("gidmapping=0:1:2,,3:4:5", Ok(&["gidmapping=0:1:2", "3:4:5"])),
            ("comment=c1,c2", Ok(&["comment=c1", "c2"])),
            ("c=\"u", Err("a quoted value does not end")),
            ("c=\"u\"x", Err("something follows a quoted value without a comma")),
        ];
        for (text, expected) in table {
            assert_eq!(
                shown(text),
                expected.map(|words| words.iter().map(ToString::to_string).collect()),
                "{text}"
            );
        }
    }
}
