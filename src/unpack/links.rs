//! Hard links: the first name of an object is written, those after it are linked to it.

use std::collections::HashMap;
use std::hash::Hash;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;

use crate::error::{Error, OpContext, Result};
use crate::path::{Name, RelPath};
use crate::sys::fs::{self, At};

/// What has become of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Linked {
    /// It is a link of an object that was there already.
    ToFirst,
    /// It is the first of its object, or no more can be linked to that: the object is to be made.
    NotYet,
}

/// The first name of each object that has several, from the root of what is written. `K` tells the objects apart.
#[derive(Debug)]
pub(super) struct Links<K> {
    first: HashMap<K, RelPath>,
}

impl<K: Eq + Hash> Links<K> {
    pub(super) fn new() -> Self {
        Links { first: HashMap::new() }
    }

    /// Makes `name` in `dir`, which is `path` below `root`, a link of the name that the object has already.
    ///
    /// # Errors
    /// The first name's directory cannot be opened; the link cannot be made.
    pub(super) fn link(
        &mut self,
        root: BorrowedFd<'_>,
        (dir, name): (BorrowedFd<'_>, Name<'_>),
        path: &RelPath,
        object: K,
    ) -> Result<Linked> {
        if let Some(first) = self.first.get(&object)
            && let Some((parent, first_name)) = first.split_last()
        {
            let parent = fs::open_dir_below(root, parent.as_bytes()).op("open directory")?;
            match fs::link(At::Name(parent.as_fd(), first_name), dir, name) {
                Ok(()) => return Ok(Linked::ToFirst),
                // The file system's limit: from here on they are another file.
                Err(Errno::EMLINK) => {}
                Err(errno) => return Err(Error::new("make hard link", errno)),
            }
        }
        self.first.insert(object, path.clone());
        Ok(Linked::NotYet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs as std_fs;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn names_after_the_first_are_links_of_it() {
        let temp = tempfile::tempdir().unwrap();
        std_fs::create_dir(temp.path().join("dir")).unwrap();
        let root = fs::open_dir_path(temp.path()).unwrap();
        let dir = fs::open_dir_path(&temp.path().join("dir")).unwrap();
        let mut links = Links::new();
        let mut link = |path: &str, object: u64| {
            let path = RelPath::new(path.as_bytes()).unwrap();
            let (parent, name) = path.split_last().unwrap();
            let at = if parent.is_root() { root.as_fd() } else { dir.as_fd() };
            links.link(root.as_fd(), (at, name), &path, object).unwrap()
        };
        for (path, object, linked) in [
            ("dir/first", 1, Linked::NotYet),
            ("other", 2, Linked::NotYet),
            ("second", 1, Linked::ToFirst),
            ("dir/third", 1, Linked::ToFirst),
        ] {
            assert_eq!(link(path, object), linked, "{path}");
            if linked == Linked::NotYet {
                std_fs::write(temp.path().join(path), "").unwrap();
            }
        }
        let count = |path: &str| temp.path().join(path).metadata().unwrap().nlink();
        assert_eq!((count("second"), count("other")), (3, 1));
    }
}
