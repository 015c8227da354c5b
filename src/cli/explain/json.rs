//! The explanation for programs. The form is fixed: docs/cli.md.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use serde::Serialize;

use super::Explained;
use crate::cli::opened::{LayerFacts, Opened};
use crate::control::PathText;
use crate::layer::Found;
use crate::overlay::{FileKind, Outcome, Reason, Said};
use crate::resolve::Depth;

/// One path.
#[derive(Debug, Serialize)]
pub struct ExplainedPath {
    path: PathText,
    status: &'static str,
    layer: Option<usize>,
    reason: Option<&'static str>,
    by_layer: Option<usize>,
    layers: Vec<Entry>,
}

/// What one layer has there.
#[derive(Debug, Serialize)]
struct Entry {
    layer: usize,
    digest: Option<String>,
    diff_id: Option<String>,
    instruction: Option<String>,
    /// Bytes.
    size: Option<u64>,
    /// Permission bits, with suid, sgid and sticky.
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    /// Seconds since 1970.
    mtime: Option<i64>,
    entry: &'static str,
}

/// The explanation of one path.
pub fn of(opened: &Opened, explained: &Explained<'_>) -> ExplainedPath {
    let number = |depth: Depth| opened.layers.get(usize::from(depth.0)).map(|facts| facts.number);
    let (status, layer, reason, by) = match explained.trace.outcome {
        Outcome::There { depth, kind, .. } => (kind_name(kind), number(depth), None, None),
        Outcome::Absent(reason) => {
            let (reason, by) = match reason {
                Reason::NeverExisted => ("never_existed", None),
                Reason::Deleted(depth) => ("deleted", number(depth)),
                Reason::HiddenByOpaque(depth) => ("hidden_by_opaque", number(depth)),
                Reason::ParentNotADirectory(depth) => ("parent_not_a_directory", number(depth)),
            };
            ("absent", None, Some(reason), by)
        }
    };
    ExplainedPath {
        path: PathText::from(std::path::Path::new(OsStr::from_bytes(&explained.asked))),
        status,
        layer,
        reason,
        by_layer: by,
        layers: explained
            .trace
            .layers
            .iter()
            .zip(&opened.layers)
            .map(|(said, facts)| entry(said, facts))
            .collect(),
    }
}

fn entry(said: &Said<'_>, facts: &LayerFacts) -> Entry {
    let stat = said.own_stat();
    Entry {
        layer: facts.number,
        digest: facts.digest.map(|digest| digest.to_string()),
        diff_id: facts.diff_id.map(|digest| digest.to_string()),
        instruction: facts.instruction.clone(),
        size: stat.map(|stat| stat.size),
        mode: stat.map(|stat| stat.mode & 0o7777),
        uid: stat.map(|stat| stat.uid),
        gid: stat.map(|stat| stat.gid),
        mtime: stat.map(|stat| stat.mtime.0),
        entry: entry_name(said),
    }
}

/// What there is, in one word.
pub fn entry_name(said: &Said<'_>) -> &'static str {
    match &said.found {
        Found::Absent => "absent",
        Found::Whiteout => "whiteout",
        Found::Dir(dir) if dir.opaque => "opaque_directory",
        Found::Dir(_) => "directory",
        Found::Leaf(leaf) => FileKind::from_mode(leaf.stat.mode).map_or("absent", kind_name),
    }
}

/// The type of an object, in one word.
pub fn kind_name(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Regular => "file",
        FileKind::Directory => "directory",
        FileKind::Symlink => "symlink",
        FileKind::CharDevice | FileKind::BlockDevice => "device",
        FileKind::Fifo => "fifo",
        FileKind::Socket => "socket",
    }
}
