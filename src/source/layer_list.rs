//! The value of `lowerdir=`, and of `overlay:`: paths with colons between them.
//!
//! Source: the kernel's Documentation/filesystems/overlayfs.rst ("Multiple lower layers", "Data-only lower layers").

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Layers by their directories, top first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerList {
    /// The ordinary layers; never empty once parsed.
    pub lowers: Vec<PathBuf>,
    /// The data-only layers, each written after a double colon.
    pub data_only: Vec<PathBuf>,
}

/// Why a list of layers cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LayerListError {
    /// No layers at all.
    #[error("the list of layers is empty")]
    Empty,
    /// Nothing before, after or between colons.
    #[error("a layer's path is empty")]
    EmptyPath,
    /// `a::d:b`.
    #[error("an ordinary layer follows a data-only layer")]
    OrdinaryAfterData,
    /// A backslash with nothing behind it.
    #[error("a backslash at the end escapes nothing")]
    DanglingEscape,
}

impl LayerList {
    /// Reads `TOP:...:BASE[::DATA]...`; a backslash makes the next character a part of the path.
    pub fn parse(text: &[u8]) -> Result<Self, LayerListError> {
        if text.is_empty() {
            return Err(LayerListError::Empty);
        }
        let mut list = LayerList::default();
        // How many colons stand before the path that is being read.
        let mut colons = 0;
        let mut path = Vec::new();
        let mut bytes = text.iter().copied();
        while let Some(byte) = bytes.next() {
            match byte {
                b':' if path.is_empty() => colons += 1,
                b':' => {
                    list.push(colons, std::mem::take(&mut path))?;
                    colons = 1;
                }
                b'\\' => path.push(bytes.next().ok_or(LayerListError::DanglingEscape)?),
                _ => path.push(byte),
            }
        }
        list.push(colons, path)?;
        Ok(list)
    }

    fn push(&mut self, colons: usize, path: Vec<u8>) -> Result<(), LayerListError> {
        if path.is_empty() {
            return Err(LayerListError::EmptyPath);
        }
        let path = PathBuf::from(OsString::from_vec(path));
        match (colons, self.lowers.is_empty(), self.data_only.is_empty()) {
            (0, true, _) | (1, false, true) => self.lowers.push(path),
            (2, false, _) => self.data_only.push(path),
            (1, false, false) => return Err(LayerListError::OrdinaryAfterData),
            _ => return Err(LayerListError::EmptyPath),
        }
        Ok(())
    }
}

/// Takes the backslashes out of one path: each makes the next character literal.
pub fn unescape(text: &[u8]) -> Result<Vec<u8>, LayerListError> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        plain.push(if byte == b'\\' { bytes.next().ok_or(LayerListError::DanglingEscape)? } else { byte });
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_layers() {
        use LayerListError::*;
        type Row = (&'static str, Result<(&'static [&'static str], &'static [&'static str]), LayerListError>);
        let table: &[Row] = &[
            ("a", Ok((&["a"], &[]))),
            ("/a:/b:c", Ok((&["/a", "/b", "c"], &[]))),
            (r"a\:b:c", Ok((&["a:b", "c"], &[]))),
            (r"a\\:c", Ok((&[r"a\", "c"], &[]))),
            (r"a\,b", Ok((&["a,b"], &[]))),
            (r"\:", Ok((&[":"], &[]))),
            (r"a:\:b", Ok((&["a", ":b"], &[]))),
            ("a::d", Ok((&["a"], &["d"]))),
            ("a:b::d1::d2", Ok((&["a", "b"], &["d1", "d2"]))),
            ("", Err(Empty)),
            (":a", Err(EmptyPath)),
            ("a:", Err(EmptyPath)),
            ("a::", Err(EmptyPath)),
            ("::d", Err(EmptyPath)),
            ("a:::b", Err(EmptyPath)),
            ("a::d:b", Err(OrdinaryAfterData)),
            ("a\\", Err(DanglingEscape)),
        ];
        for (text, expected) in table {
            let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
            let expected = expected.map(|(l, d)| LayerList { lowers: paths(l), data_only: paths(d) });
            assert_eq!(LayerList::parse(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_backslash_makes_the_next_character_literal() {
        assert_eq!(unescape(br"a\,b\\c\:").as_deref(), Ok(&br"a,b\c:"[..]));
        assert_eq!(unescape(br"a\"), Err(LayerListError::DanglingEscape));
    }

    #[test]
    fn bytes_that_are_no_text_stay_as_they_are() {
        let list = LayerList::parse(b"/a\xff:/b").unwrap();
        assert_eq!(list.lowers[0].as_os_str().as_encoded_bytes(), b"/a\xff");
    }
}
