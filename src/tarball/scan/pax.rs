//! PAX records: what an extended header says of the entries behind it.
//!
//! Sources: POSIX pax ("pax Extended Header"); GNU tar's manual ("Storing Sparse Files" in PAX); libarchive's tar(5)
//! (LIBARCHIVE.xattr, SCHILY.xattr).

use super::number;
use super::problem::{NameOf, NameProblem, Problem};

/// The longest name of an attribute, bytes (`XATTR_NAME_MAX`).
const XATTR_NAME_MAX: usize = 255;
/// The longest value of an attribute, bytes (`XATTR_SIZE_MAX`).
const XATTR_SIZE_MAX: usize = 65536;

/// What PAX records say. `None`: nothing, the header decides.
#[derive(Debug, Clone, Default)]
pub struct Pax {
    pub path: Option<Vec<u8>>,
    pub linkpath: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub mtime: Option<(i64, u32)>,
    pub device: (Option<u64>, Option<u64>),
    /// In the order of the records; the last of a name counts.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub sparse: SparseRecords,
}

/// What PAX records say of a sparse file, in any of GNU tar's three forms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SparseRecords {
    pub version: (Option<u64>, Option<u64>),
    pub name: Option<Vec<u8>>,
    /// `GNU.sparse.size` or `GNU.sparse.realsize`.
    pub size: Option<u64>,
    pub blocks: Option<u64>,
    /// Of form 0.0 (`GNU.sparse.offset`, `GNU.sparse.numbytes`) and 0.1 (`GNU.sparse.map`): offsets and lengths by
    /// turns.
    pub map: Vec<u64>,
}

impl Pax {
    /// Takes the records of one extended header; those of the same key replace.
    ///
    /// # Errors
    /// [`Problem::PaxRecord`], or what is wrong with a record that is understood. Others are ignored.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        // A form 0.0 map begins anew with each header.
        self.sparse.map.clear();
        let mut at = 0;
        while at < bytes.len() {
            let rest = bytes.get(at..).unwrap_or_default();
            let (key, value, len) = record(rest).ok_or(Problem::PaxRecord { at })?;
            self.set(key, value)?;
            at = at.saturating_add(len);
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), Problem> {
        if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
            return self.sparse.set(key, value);
        }
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            return self.xattr(name, value.to_vec());
        }
        if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
            let wrong = |why| Problem::Xattr { name: name.to_vec(), why };
            let decoded =
                percent_decoded(name).ok_or_else(|| wrong("has a name with a '%' that encodes nothing"))?;
            let value = base64_decoded(value).ok_or_else(|| wrong("has a value that is not base64"))?;
            return self.xattr(&decoded, value);
        }
        match key {
            b"path" => self.path = path(NameOf::Entry, value)?,
            b"linkpath" => self.linkpath = path(NameOf::HardLinkTarget, value)?,
            b"size" => self.size = number("size", value)?,
            b"uid" => self.uid = number("user id", value)?,
            b"gid" => self.gid = number("group id", value)?,
            b"mtime" => self.mtime = if value.is_empty() { None } else { Some(number::time(value)?) },
            b"SCHILY.devmajor" => self.device.0 = number("device number", value)?,
            b"SCHILY.devminor" => self.device.1 = number("device number", value)?,
            _ => {}
        }
        Ok(())
    }

    fn xattr(&mut self, name: &[u8], value: Vec<u8>) -> Result<(), Problem> {
        let wrong = |why| Err(Problem::Xattr { name: name.to_vec(), why });
        if name.is_empty() || name.len() > XATTR_NAME_MAX || name.contains(&0) {
            return wrong("has a name that no attribute can have");
        }
        if value.len() > XATTR_SIZE_MAX {
            return wrong("has a value of more than 65536 bytes");
        }
        self.xattrs.push((name.to_vec(), value));
        Ok(())
    }

    /// Refuses what a header for all entries cannot say of all of them.
    pub fn check_global(&self) -> Result<(), Problem> {
        let key = if self.path.is_some() {
            "path"
        } else if self.linkpath.is_some() {
            "linkpath"
        } else if self.size.is_some() {
            "size"
        } else if !self.xattrs.is_empty() {
            "xattr"
        } else if self.sparse.is_sparse() {
            "GNU.sparse"
        } else {
            return Ok(());
        };
        Err(Problem::GlobalRecord { key })
    }
}

impl SparseRecords {
    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), Problem> {
        match key {
            b"major" => self.version.0 = number("sparse version", value)?,
            b"minor" => self.version.1 = number("sparse version", value)?,
            b"name" => self.name = path(NameOf::Entry, value)?,
            b"size" | b"realsize" => self.size = number("sparse size", value)?,
            b"numblocks" => self.blocks = number("sparse map", value)?,
            b"offset" if self.map.len().is_multiple_of(2) => {
                self.map.push(number::decimal("sparse map", value)?);
            }
            b"numbytes" if !self.map.len().is_multiple_of(2) => {
                self.map.push(number::decimal("sparse map", value)?);
            }
            b"offset" | b"numbytes" => return Err(Problem::Sparse("offsets and lengths do not take turns")),
            b"map" => {
                self.map.clear();
                for text in value.split(|byte| *byte == b',').filter(|_| !value.is_empty()) {
                    self.map.push(number::decimal("sparse map", text)?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Is there any record of it?
    pub fn is_sparse(&self) -> bool {
        *self != SparseRecords::default()
    }
}

/// One record: key, value, and how long it is.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], usize)> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let len = usize::try_from(number::decimal("length", bytes.get(..space)?).ok()?).ok()?;
    let text = bytes.get(space + 1..len)?.strip_suffix(b"\n")?;
    let equals = text.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
    Some((text.get(..equals)?, text.get(equals + 1..)?, len))
}

/// Nothing takes back what was said before.
fn number(field: &'static str, value: &[u8]) -> Result<Option<u64>, Problem> {
    if value.is_empty() { Ok(None) } else { number::decimal(field, value).map(Some) }
}

fn path(subject: NameOf, value: &[u8]) -> Result<Option<Vec<u8>>, Problem> {
    if value.contains(&0) {
        return Err(Problem::Name { subject, problem: NameProblem::Nul });
    }
    Ok(if value.is_empty() { None } else { Some(value.to_vec()) })
}

fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => u8::try_from(digit(bytes.next())? * 16 + digit(bytes.next())?).ok()?,
            byte => *byte,
        });
    }
    Some(decoded)
}

/// base64 with or without its padding.
fn base64_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in text.get(..end)? {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xff_ffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            decoded.push((bits >> held & 0xff) as u8);
        }
    }
    // One digit alone is no byte.
    (held < 6).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tarball::tests::make::pax_records;

    #[test]
    fn records_hold_any_bytes() {
        let mut pax = Pax::default();
        let bytes = pax_records(&[
            ("path", b"a\nb=c"),
            ("SCHILY.xattr.user.x", b"1\n2\0=3\n"),
            ("SCHILY.xattr.user.empty", b""),
            ("LIBARCHIVE.xattr.user.%25%3d%0A", b"AQID/w"),
            ("LIBARCHIVE.xattr.user.padded", b"AQI="),
            ("uid", b"4294967295"),
            ("comment", b"whatever"),
        ]);
        pax.take(&bytes).unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a\nb=c"[..]));
        assert_eq!(pax.uid, Some(u32::MAX.into()));
        let xattrs: Vec<_> = pax.xattrs.iter().map(|(n, v)| (n.as_slice(), v.as_slice())).collect();
        assert_eq!(
            xattrs,
            [
                (&b"user.x"[..], &b"1\n2\0=3\n"[..]),
                (b"user.empty", b""),
                (b"user.%=\n", &[1, 2, 3, 0xff]),
                (b"user.padded", &[1, 2]),
            ]
        );
    }

    #[test]
    fn an_empty_value_takes_back_what_was_said() {
        let mut pax = Pax::default();
        pax.take(b"10 path=x\n10 size=5\n").unwrap();
        pax.take(b"9 path=\n10 mtime=\n").unwrap_err();
        pax.take(b"8 path=\n9 mtime=\n").unwrap();
        assert_eq!((pax.path, pax.size, pax.mtime), (None, Some(5), None));
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for bytes in [
            &b"x"[..],
            b"5 a=b\n",
            b"7 a=b\n",
            b"6 a=b ",
            b"6 =ab\n",
            b"6 abc\n",
            b"0 a=b\n",
            b"2 a=b\n",
            b"18446744073709551615 a=b\n",
            b"-6 a=b\n",
            b"6 a=b\n\0",
            b"99999999 a=b\n",
        ] {
            let result = Pax::default().take(bytes);
            assert!(matches!(result, Err(Problem::PaxRecord { .. })), "{}: {result:?}", bytes.escape_ascii());
        }
        for (key, value) in [
            ("path", &b"\0x"[..]),
            ("size", b"x"),
            ("SCHILY.xattr.", b""),
            ("LIBARCHIVE.xattr.%x", b"AA"),
            ("LIBARCHIVE.xattr.a", b"AB!"),
            ("LIBARCHIVE.xattr.a", b"A"),
        ] {
            let result = Pax::default().take(&pax_records(&[(key, value)]));
            assert!(
                result.is_err() && !matches!(result, Err(Problem::PaxRecord { .. })),
                "{key}={}: {result:?}",
                value.escape_ascii()
            );
        }
    }
}
