//! What is there, by its names and types: the generator chooses from it.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use crate::sys;

/// The paths of a tree by type.
#[derive(Debug, Default)]
pub struct View {
    pub dirs: Vec<PathBuf>,
    pub files: Vec<PathBuf>,
    pub symlinks: Vec<PathBuf>,
    pub others: Vec<PathBuf>,
}

impl View {
    /// The tree below the root directory of this thread.
    pub fn look() -> View {
        let mut view = View::default();
        view.walk(Path::new("/"));
        view
    }

    fn walk(&mut self, dir: &Path) {
        self.dirs.push(dir.to_owned());
        let entries = sys::open(dir, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW, 0)
            .and_then(|fd| sys::getdents(fd.as_fd(), 32768));
        // A directory that cannot be read is compared when the trees are; here it only offers no paths.
        let mut entries = entries.unwrap_or_default();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        for entry in entries.iter().filter(|entry| entry.name != "." && entry.name != "..") {
            let path = dir.join(&entry.name);
            match entry.kind {
                libc::DT_DIR => self.walk(&path),
                libc::DT_REG => self.files.push(path),
                libc::DT_LNK => self.symlinks.push(path),
                _ => self.others.push(path),
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.dirs.len() + self.files.len() + self.symlinks.len() + self.others.len()
    }
}
