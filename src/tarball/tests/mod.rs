//! Tars, made by hand, and what becomes of them.

mod formats;
mod hostile;
mod index;
mod layer;
mod links;
pub(super) mod make;
mod tree;

use make::Tar;

use super::{Child, Index, Limits, ScanError, What, scan};
use crate::layer::{Attributes, EntryId};

/// The index of a tar that can be one.
fn index(tar: &[u8]) -> Index {
    match scan(tar, &Limits::default()) {
        Ok(scanned) => scanned.index().unwrap(),
        Err(error) => panic!("{error}"),
    }
}

/// What is wrong with a tar that cannot be one.
fn refused(tar: &[u8]) -> ScanError {
    match scan(tar, &Limits::default()) {
        Ok(scanned) => panic!("it was accepted: {:#?}", dump(&scanned.index().unwrap())),
        Err(error) => error,
    }
}

/// A tree as lines: `TYPE MODE UID:GID PATH`, with what else there is to say behind it. Whiteouts are `deleted PATH`.
fn dump(index: &Index) -> Vec<String> {
    let mut lines = Vec::new();
    // A list and no recursion: a tree may be deeper than the stack of a test's thread.
    let mut waiting = vec![(String::new(), Child::Entry(EntryId::ROOT))];
    while let Some((path, child)) = waiting.pop() {
        match child {
            Child::Entry(id) => waiting.extend(dump_entry(index, id, &path, &mut lines)),
            Child::Whiteout => lines.push(format!("deleted /{path}")),
        }
    }
    lines
}

/// Adds an entry's line; what is in it, the last first.
fn dump_entry(index: &Index, id: EntryId, path: &str, lines: &mut Vec<String>) -> Vec<(String, Child)> {
    let entry = index.attributes(id).unwrap();
    let mut line = match entry.what {
        What::File => "file",
        What::Directory { .. } => "dir",
        What::Symlink { .. } => "symlink",
        What::Character { .. } => "char",
        What::Block { .. } => "block",
        What::Fifo => "fifo",
        What::LinkBelow { .. } => "below",
    }
    .to_owned();
    line += &format!(" {:o} {}:{} /{path}", entry.permissions, entry.uid, entry.gid);
    match entry.what {
        What::Directory { opaque, attributes } => {
            line += if opaque { " opaque" } else { "" };
            line += if attributes == Attributes::Below { " implied" } else { "" };
        }
        What::Symlink { target } | What::LinkBelow { target } => {
            line += &format!(" -> {}", target.escape_ascii());
        }
        What::Character { major, minor } | What::Block { major, minor } => {
            line += &format!(" {major},{minor}");
        }
        What::File | What::Fifo => {}
    }
    let is_dir = matches!(entry.what, What::Directory { .. });
    if entry.nlink > 1 && !is_dir {
        line += &format!(" #{}", entry.nlink);
    }
    for xattr in index.xattrs(id).unwrap() {
        let (name, value) = xattr.unwrap();
        line += &format!(" {}={}", name.escape_ascii(), value.escape_ascii());
    }
    lines.push(line);
    if !is_dir {
        return Vec::new();
    }
    let mut children: Vec<(String, Child)> = index
        .children(id)
        .unwrap()
        .map(|child| {
            let (name, child) = child.unwrap();
            (if path.is_empty() { name.to_string() } else { format!("{path}/{name}") }, child)
        })
        .collect();
    children.reverse();
    children
}

/// Asserts what a tar becomes, below its (implied) root.
#[track_caller]
fn becomes(tar: Tar, lines: &[&str]) {
    let dumped = dump(&index(&tar.end()));
    assert_eq!(dumped[0], "dir 755 0:0 / implied");
    assert_eq!(dumped[1..], *lines);
}
