//! A layer as it is on disk, to see that nothing of it changes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::layers::stored_xattrs;
use super::run::{Check, ensure};

/// All but the times of access.
#[derive(Debug, PartialEq, Eq)]
struct Object {
    /// Inode, mode, links, owner, group, device, size, mtime, ctime.
    stat: [i128; 9],
    content: Vec<u8>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Every object below a directory, itself included.
#[derive(Debug)]
pub struct Snapshot(BTreeMap<PathBuf, Object>);

impl Snapshot {
    pub fn of(root: &Path) -> Self {
        let mut objects = BTreeMap::new();
        take(root, &mut objects);
        Snapshot(objects)
    }

    pub fn check(&self, root: &Path) -> Check {
        let now = Snapshot::of(root);
        for (path, before) in &self.0 {
            match now.0.get(path) {
                None => return Err(format!("{} is gone from its layer", path.display())),
                Some(now) => {
                    ensure!(now == before, "{} changed in its layer: {before:?} {now:?}", path.display())
                }
            }
        }
        match now.0.keys().find(|path| !self.0.contains_key(*path)) {
            None => Ok(()),
            Some(path) => Err(format!("{} is new in its layer", path.display())),
        }
    }
}

fn take(path: &Path, objects: &mut BTreeMap<PathBuf, Object>) {
    let meta = fs::symlink_metadata(path).unwrap();
    let time = |sec: i64, nsec: i64| i128::from(sec) * 1_000_000_000 + i128::from(nsec);
    let content = if meta.is_file() {
        fs::read(path).unwrap()
    } else if meta.is_symlink() {
        fs::read_link(path).unwrap().as_os_str().as_bytes().to_vec()
    } else {
        Vec::new()
    };
    let stat = [
        meta.ino().into(),
        meta.mode().into(),
        meta.nlink().into(),
        meta.uid().into(),
        meta.gid().into(),
        meta.rdev().into(),
        meta.size().into(),
        time(meta.mtime(), meta.mtime_nsec()),
        time(meta.ctime(), meta.ctime_nsec()),
    ];
    objects.insert(path.to_path_buf(), Object { stat, content, xattrs: stored_xattrs(path) });
    if meta.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            take(&entry.unwrap().path(), objects);
        }
    }
}
