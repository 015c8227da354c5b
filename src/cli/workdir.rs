//! The default work directory: made when it is not there, and removed again when the mount fails.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::Failure;
use crate::error::describe;
use crate::source::preflight::Refusal;

/// Where objects are made unless `--work` says otherwise: a sibling of the upper, so on the same file system.
pub fn default_for(upper: &Path) -> Option<PathBuf> {
    let mut name = OsString::from(".");
    name.push(upper.file_name()?);
    name.push(".lamina-work");
    Some(upper.with_file_name(name))
}

/// A directory that this process made. Dropped, it is gone again, with what was made in it since.
#[derive(Debug)]
pub struct MadeDir {
    path: Option<PathBuf>,
}

impl MadeDir {
    /// Makes `work` where there is none; `None` where it exists.
    pub fn make(work: &Path, upper: &Path) -> Result<Option<Self>, Failure> {
        if fs::symlink_metadata(work).is_ok() {
            return Ok(None);
        }
        let cannot = |error: io::Error| {
            Failure::trouble(format!(
                "work directory '{}' cannot be made: {}",
                work.display(),
                describe(&error)
            ))
            .hint("give a directory on the upper's file system with --work (workdir=)")
        };
        let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).map_err(cannot);
        let parent = work.parent().unwrap_or(Path::new("/"));
        if device(parent)? != device(upper)? {
            return Err(Refusal::TwoFileSystems { upper: upper.to_owned(), work: work.to_owned() }.into());
        }
        DirBuilder::new().mode(0o700).create(work).map_err(cannot)?;
        Ok(Some(MadeDir { path: Some(work.to_owned()) }))
    }

    /// It stays: the mount is up.
    pub fn keep(mut self) {
        self.path = None;
    }
}

impl Drop for MadeDir {
    fn drop(&mut self) {
        let Some(path) = self.path.take() else { return };
        if let Err(error) = fs::remove_dir_all(&path) {
            log::warn!("work directory '{}' cannot be removed again: {}", path.display(), describe(&error));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_a_sibling() {
        assert_eq!(default_for(Path::new("/data/changes")), Some("/data/.changes.lamina-work".into()));
        assert_eq!(default_for(Path::new("/")), None);
    }

    #[test]
    fn what_was_made_goes_again_unless_kept() {
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().join("w");
        let made = MadeDir::make(&work, dir.path()).unwrap().unwrap();
        fs::create_dir(work.join("work")).unwrap();
        drop(made);
        assert!(!work.exists());
        MadeDir::make(&work, dir.path()).unwrap().unwrap().keep();
        assert!(work.exists());
        assert!(MadeDir::make(&work, dir.path()).unwrap().is_none());
    }
}
