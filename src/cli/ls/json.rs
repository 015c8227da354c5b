//! The listing for programs. The field names are a format: see `docs/cli.md`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::Serialize;

use super::rows::{Row, What};
use super::{Sink, Wants};
use crate::cli::Failure;
use crate::cli::explain::kind_name;
use crate::cli::terminal::{JsonArray, Reader};
use crate::control::PathText;
use crate::overlay::{Attr, FileKind};

/// An array with an object on each line.
pub struct Json(JsonArray);

impl Json {
    /// Nothing is written yet.
    pub fn new() -> Self {
        Json(JsonArray::new())
    }
}

impl Sink for Json {
    fn wants(&self) -> Wants {
        Wants::InTurn
    }

    fn announce(&mut self, _: &mut dyn Iterator<Item = &Row>) {}

    fn row(&mut self, row: &Row) -> Result<Reader, Failure> {
        self.0.push(&Entry::of(row))
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        self.0.finish()
    }
}

/// One name.
#[derive(Debug, Serialize)]
struct Entry {
    path: PathText,
    #[serde(rename = "type")]
    kind: &'static str,
    layer: usize,
    mode: Option<u32>,
    nlink: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    size: Option<u64>,
    mtime: Option<i64>,
    target: Option<PathText>,
    device: Option<Device>,
}

/// The number of a device, in JSON.
#[derive(Debug, Serialize)]
pub struct Device {
    kind: &'static str,
    major: u32,
    minor: u32,
}

impl Device {
    /// `None` for what is no device.
    pub fn of(attr: &Attr) -> Option<Self> {
        let kind = match attr.kind {
            FileKind::CharDevice => "character",
            FileKind::BlockDevice => "block",
            _ => return None,
        };
        Some(Device { kind, major: attr.rdev.major, minor: attr.rdev.minor })
    }
}

impl Entry {
    fn of(row: &Row) -> Self {
        let text = |bytes: &[u8]| PathText::from(Path::new(OsStr::from_bytes(bytes)));
        let path = text(&[b"/", row.path.as_bytes()].concat());
        let (attr, target) = match &row.what {
            What::There { attr, target } => (Some(attr), target.as_deref().map(text)),
            What::Deleted => (None, None),
        };
        Entry {
            path,
            kind: attr.map_or("whiteout", |attr| kind_name(attr.kind)),
            layer: row.layer,
            mode: attr.map(|attr| attr.perm),
            nlink: attr.map(|attr| attr.nlink),
            uid: attr.map(|attr| attr.uid),
            gid: attr.map(|attr| attr.gid),
            size: attr.map(|attr| attr.size),
            mtime: attr.map(|attr| attr.mtime.sec),
            target,
            device: attr.and_then(Device::of),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::RelPath;

    #[test]
    fn json_is_the_documented_one() {
        let row = Row { path: RelPath::new(b"a/b\xff").unwrap(), layer: 3, what: What::Deleted };
        assert_eq!(
            serde_json::to_string(&Entry::of(&row)).unwrap(),
            r#"{"path":{"bytes":[47,97,47,98,255]},"type":"whiteout","layer":3,"mode":null,"nlink":null,"uid":null,"gid":null,"size":null,"mtime":null,"target":null,"device":null}"#
        );
    }
}
