//! A tree as text, a line for each name, so that all of it can be compared at once.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::images::digest;
use crate::support::{Who, sys};

/// The tree below `root`, and `root` itself as `.`, sorted. A line is
/// `PATH TYPE MODE UID:GID MTIME`, then for all but directories `links=N`, then what the type has: `size=N "CONTENT"` (or
/// the digest, of more than 40 bytes), `-> TARGET`, `MAJOR,MINOR`; then `NAME=VALUE` for each xattr. What is no printable
/// ASCII is escaped. Attributes that only privilege sees (`trusted.`) are left out.
pub fn rows(root: &Path) -> Vec<String> {
    let mut rows = Vec::new();
    walk(root, Path::new(""), &mut rows);
    rows.sort();
    rows
}

fn walk(root: &Path, path: &Path, rows: &mut Vec<String>) {
    let here = root.join(path);
    rows.push(row(&here, path).unwrap_or_else(|e| panic!("{}: {e}", here.display())));
    if here.symlink_metadata().unwrap().is_dir() {
        for entry in fs::read_dir(&here).unwrap_or_else(|e| panic!("{}: {e}", here.display())) {
            walk(root, &path.join(entry.unwrap().file_name()), rows);
        }
    }
}

fn row(here: &Path, path: &Path) -> std::io::Result<String> {
    let meta = here.symlink_metadata()?;
    let (kind, what) = match meta.mode() & libc::S_IFMT {
        libc::S_IFREG => ("file", content(&fs::read(here)?, meta.size())),
        libc::S_IFDIR => ("dir", String::new()),
        libc::S_IFLNK => ("link", format!(" -> {}", escaped(fs::read_link(here)?.as_os_str().as_bytes()))),
        libc::S_IFIFO => ("fifo", String::new()),
        libc::S_IFCHR => ("char", device(meta.rdev())),
        libc::S_IFBLK => ("block", device(meta.rdev())),
        other => panic!("{}: type {other:o}", here.display()),
    };
    let name = if path.as_os_str().is_empty() { b"." } else { path.as_os_str().as_bytes() };
    let mut line = format!(
        "{} {kind} {:04o} {}:{} {}.{:09}",
        escaped(name),
        meta.mode() & 0o7777,
        meta.uid(),
        meta.gid(),
        meta.mtime(),
        meta.mtime_nsec()
    );
    if kind != "dir" {
        line += &format!(" links={}", meta.nlink());
    }
    line += &what;
    for name in sys::list_xattr(here)?.into_iter().filter(|name| !name.starts_with(b"trusted.")) {
        line += &format!(" {}={}", escaped(&name), escaped(&sys::get_xattr(here, &name)?));
    }
    Ok(line)
}

/// The content of a file as a line has it.
pub fn content(bytes: &[u8], size: u64) -> String {
    if bytes.len() > 40 {
        format!(" size={size} {}", digest(bytes))
    } else {
        format!(" size={size} \"{}\"", escaped(bytes))
    }
}

fn device(rdev: u64) -> String {
    format!(" {},{}", nix::sys::stat::major(rdev), nix::sys::stat::minor(rdev))
}

fn escaped(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// What of a line is different for whoever runs this: a user namespace has no ids but its own 0, and shows the others as
/// nobody's.
pub fn as_seen(line: &str) -> String {
    if Who::current() != Who::Namespace {
        return line.to_owned();
    }
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    if let Some(owner) = words.get_mut(3) {
        let ids: Vec<&str> = owner.split(':').map(|id| if id == "0" { "0" } else { "65534" }).collect();
        *owner = ids.join(":");
    }
    words.join(" ")
}

/// Compares, and shows only the lines that differ.
#[track_caller]
pub fn assert_rows(what: &str, found: &[String], expected: &[String]) {
    let mut expected: Vec<String> = expected.iter().map(|line| as_seen(line)).collect();
    expected.sort();
    let missing: Vec<_> = expected.iter().filter(|line| !found.contains(line)).collect();
    let surplus: Vec<_> = found.iter().filter(|line| !expected.contains(line)).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "{what}:\nnot there: {missing:#?}\nunexpected: {surplus:#?}"
    );
}
