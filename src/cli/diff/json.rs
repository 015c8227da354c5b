//! The differences for programs. The field names are a format: see `docs/cli.md`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::Serialize;

use super::Output;
use super::sides::Sides;
use crate::cli::Failure;
use crate::cli::explain::kind_name;
use crate::cli::ls::Device;
use crate::cli::terminal::{JsonArray, Reader};
use crate::control::PathText;
use crate::diff::{Change, Facts, Held, Side};
use crate::path::RelPath;

/// An array with an object on each line.
pub struct Json<'a> {
    array: JsonArray,
    sides: &'a Sides,
}

impl<'a> Json<'a> {
    /// Nothing is written yet.
    pub fn new(sides: &'a Sides) -> Self {
        Json { array: JsonArray::new(), sides }
    }
}

impl Output for Json<'_> {
    fn change(&mut self, path: &RelPath, change: &Change) -> Result<Reader, Failure> {
        self.array.push(&Entry::of(self.sides, path, change))
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        self.array.finish()
    }
}

/// One path.
#[derive(Debug, Serialize)]
struct Entry {
    path: PathText,
    change: &'static str,
    what: Vec<&'static str>,
    held: Option<u64>,
    before: Option<Object>,
    after: Option<Object>,
}

/// What one side has there.
#[derive(Debug, Serialize)]
struct Object {
    #[serde(rename = "type")]
    kind: &'static str,
    layer: Option<usize>,
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: i64,
    target: Option<PathText>,
    device: Option<Device>,
}

/// A path, from the root on.
pub fn path_text(path: &[u8]) -> PathText {
    PathText::from(Path::new(OsStr::from_bytes(path)))
}

impl Entry {
    fn of(sides: &Sides, path: &RelPath, change: &Change) -> Self {
        let of = |side, facts: &Facts| Some(Object::of(sides.number(side, facts.layer), facts));
        let before = |facts| of(Side::Before, facts);
        let after = |facts| of(Side::After, facts);
        let empty = Entry {
            path: path_text(&[b"/", path.as_bytes()].concat()),
            change: "changed",
            what: Vec::new(),
            held: None,
            before: None,
            after: None,
        };
        match change {
            Change::Added(facts) => Entry { change: "added", after: after(facts), ..empty },
            Change::Deleted { was, held: Held { names, .. } } => {
                let held = was.is_dir().then_some(*names);
                Entry { change: "deleted", held, before: before(was), ..empty }
            }
            Change::Changed { before: old, after: new, what } => {
                Entry { what: what.words().collect(), before: before(old), after: after(new), ..empty }
            }
            Change::Parent { before: old, after: new } => {
                Entry { before: before(old), after: after(new), ..empty }
            }
        }
    }
}

impl Object {
    fn of(layer: Option<usize>, Facts { attr, target, .. }: &Facts) -> Self {
        Object {
            kind: kind_name(attr.kind),
            layer,
            mode: attr.perm,
            uid: attr.uid,
            gid: attr.gid,
            size: attr.size,
            mtime: attr.mtime.sec,
            target: target.as_deref().map(path_text),
            device: Device::of(attr),
        }
    }
}
