//! A tree as it is, to be compared with what it becomes.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::sys;

/// Everything about a tree that must not change, but for access times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<PathBuf, String>);

impl Snapshot {
    /// Records the tree below `root`, and `root` itself. Times of access are left out, since reading sets them, and
    /// blocks, which file systems assign late.
    pub fn of(root: &Path) -> Self {
        let mut entries = BTreeMap::new();
        record(root, Path::new("."), &mut entries);
        Snapshot(entries)
    }

    /// What is different in `other`, a line for each path; empty when nothing is.
    pub fn differences(&self, other: &Snapshot) -> Vec<String> {
        let paths: std::collections::BTreeSet<&PathBuf> = self.0.keys().chain(other.0.keys()).collect();
        let nothing = "nothing".to_owned();
        paths
            .into_iter()
            .filter_map(|path| {
                let before = self.0.get(path).unwrap_or(&nothing);
                let after = other.0.get(path).unwrap_or(&nothing);
                (before != after).then(|| format!("{}: was {before}, is {after}", path.display()))
            })
            .collect()
    }
}

fn record(root: &Path, path: &Path, into: &mut BTreeMap<PathBuf, String>) {
    let here = root.join(path);
    let meta = match here.symlink_metadata() {
        Ok(meta) => meta,
        Err(error) => {
            into.insert(path.to_owned(), format!("{error}"));
            return;
        }
    };
    let content = match meta.mode() & libc::S_IFMT {
        libc::S_IFREG => fs::read(&here).map(|data| {
            let mut hasher = DefaultHasher::new();
            data.hash(&mut hasher);
            format!("{:016x}", hasher.finish())
        }),
        libc::S_IFLNK => fs::read_link(&here).map(|target| target.display().to_string()),
        _ => Ok(String::new()),
    }
    .unwrap_or_else(|error| error.to_string());
    let xattrs: Vec<String> = sys::list_xattr(&here)
        .unwrap_or_default()
        .into_iter()
        .map(|name| {
            let value = sys::get_xattr(&here, &name).unwrap_or_default();
            format!("{}={}", name.escape_ascii(), value.escape_ascii())
        })
        .collect();
    into.insert(
        path.to_owned(),
        format!(
            "mode {:o} owner {}:{} size {} links {} rdev {} mtime {}.{:09} ctime {}.{:09} xattrs {xattrs:?} content {content}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.size(),
            meta.nlink(),
            meta.rdev(),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec(),
        ),
    );
    if meta.is_dir() {
        // A directory that cannot be read shows in its mode and is not descended.
        for entry in fs::read_dir(&here).into_iter().flatten().flatten() {
            record(root, &path.join(entry.file_name()), into);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn every_change_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::write(root.join("f"), "one").unwrap();
        fs::create_dir(root.join("d")).unwrap();
        let before = Snapshot::of(root);
        assert_eq!(before.differences(&Snapshot::of(root)), [""; 0]);
        let changes: [&dyn Fn(); 5] = [
            &|| fs::write(root.join("f"), "two").unwrap(),
            &|| fs::set_permissions(root.join("d"), PermissionsExt::from_mode(0o700)).unwrap(),
            &|| sys::set_xattr(&root.join("f"), b"user.x", b"y", sys::SetXattr::Always).unwrap(),
            &|| fs::write(root.join("d/new"), "").unwrap(),
            &|| fs::remove_file(root.join("f")).unwrap(),
        ];
        for (n, change) in changes.iter().enumerate() {
            let before = Snapshot::of(root);
            change();
            assert!(!before.differences(&Snapshot::of(root)).is_empty(), "change {n}");
        }
    }
}
