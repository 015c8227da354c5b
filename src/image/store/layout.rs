//! Where everything is in the store's directory, and who may have made it.
//!
//! ```text
//! lamina-store             "1": the version of this layout, and that the directory is a store
//! layers/sha256/HEX.tar    the tar of a layer, by its diff_id; only of those that are compressed where they lie
//! layers/sha256/HEX.json   what was verified of the layer: see `record.rs`
//! index/sha256/HEX.idx     the index of that tar, wherever the tar lies
//! seen/PLACE.json          what a blob was when it was verified; PLACE is its device, inode, offset and length
//! tmp/                     files in the making, each locked by who writes it
//! locks/HEX                who works on that layer
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::problem::StoreProblem;
use crate::digest::Digest;
use crate::image::Blob;

/// The version that is read and written.
pub const VERSION: &str = "1";

/// The file that says a directory is a store.
const MARK: &str = "lamina-store";

const LAYERS: &str = "layers/sha256";
const INDEX: &str = "index/sha256";
const SEEN: &str = "seen";
const TMP: &str = "tmp";
const LOCKS: &str = "locks";

/// The directory of the store that a layer's tar lies in, by where it lies; there need not be a store.
pub fn around(tar: &Path) -> Option<&Path> {
    let layers = tar.parent().filter(|layers| layers.ends_with(LAYERS))?;
    layers.ancestors().nth(Path::new(LAYERS).components().count())
}

/// The directory of a store, and the paths in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// A directory that exists and is a store.
    ///
    /// # Errors
    /// It is something else, or could have been filled by somebody else.
    pub fn open(dir: &Path) -> Result<Option<Self>, StoreProblem> {
        let dir = std::path::absolute(dir).map_err(|error| StoreProblem::io("find", dir, &error))?;
        let metadata = match fs::metadata(&dir) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreProblem::io("open", &dir, &error)),
        };
        check_owner(&dir, metadata.uid(), metadata.mode())?;
        match read_mark(&dir)? {
            Some(version) if version == VERSION => return Ok(Some(Layout { dir })),
            Some(found) => return Err(StoreProblem::Version { dir, found, expected: VERSION }),
            None => {}
        }
        match first_foreign_name(&dir)? {
            None => Ok(None),
            // Somebody has made it a store meanwhile.
            Some(_) if read_mark(&dir)?.is_some() => Layout::open(&dir),
            Some(found) => Err(StoreProblem::NotAStore { dir, found }),
        }
    }

    /// Makes a directory a store, unless it is one.
    pub fn create(dir: &Path) -> Result<Self, StoreProblem> {
        let layout = match Layout::open(dir)? {
            Some(layout) => layout,
            None => {
                let dir = std::path::absolute(dir).map_err(|error| StoreProblem::io("find", dir, &error))?;
                let layout = Layout { dir };
                layout.mark()?;
                layout
            }
        };
        for part in [LAYERS, INDEX, SEEN, TMP, LOCKS] {
            make_dir(&layout.dir.join(part))?;
        }
        Ok(layout)
    }

    /// Puts the mark into the directory, whole or not at all. Others may do the same at the same time.
    fn mark(&self) -> Result<(), StoreProblem> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        make_dir(&self.dir)?;
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let staged = self.dir.join(format!(".{MARK}.{}-{n}", std::process::id()));
        let error = |path: &Path| {
            let path = path.to_owned();
            move |error| StoreProblem::io("write", &path, &error)
        };
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&staged)
            .map_err(error(&staged))?;
        file.write_all(format!("{VERSION}\n").as_bytes()).map_err(error(&staged))?;
        let mark = self.dir.join(MARK);
        fs::rename(&staged, &mark).map_err(error(&mark))
    }

    /// The directory itself, absolute.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The tar of a layer.
    pub fn tar(&self, diff_id: &Digest) -> PathBuf {
        self.dir.join(LAYERS).join(format!("{}.tar", diff_id.hex()))
    }

    /// What was verified of a layer.
    pub fn layer_record(&self, diff_id: &Digest) -> PathBuf {
        self.dir.join(LAYERS).join(format!("{}.json", diff_id.hex()))
    }

    /// The index of a layer.
    pub fn index(&self, diff_id: &Digest) -> PathBuf {
        self.dir.join(INDEX).join(format!("{}.idx", diff_id.hex()))
    }

    /// What a blob was when it was verified.
    pub fn seen(&self, blob: &Blob) -> PathBuf {
        let Blob { stamp, offset, len, .. } = blob;
        self.dir.join(SEEN).join(format!("{:x}-{:x}-{offset:x}-{len:x}.json", stamp.dev, stamp.ino))
    }

    /// Where all that is.
    pub fn seen_dir(&self) -> PathBuf {
        self.dir.join(SEEN)
    }

    /// Where files are made.
    pub fn tmp(&self) -> PathBuf {
        self.dir.join(TMP)
    }

    /// The lock of the work on a layer.
    pub fn lock(&self, diff_id: &Digest) -> PathBuf {
        self.dir.join(LOCKS).join(diff_id.hex())
    }

    /// The diff_ids of all layers of which there is anything, and no others' names.
    pub fn layers(&self) -> Result<Vec<Digest>, StoreProblem> {
        let mut found = Vec::new();
        for part in [LAYERS, INDEX] {
            let stems = names(&self.dir.join(part))?.into_iter().filter_map(|path| {
                path.file_stem().and_then(|stem| stem.to_str()).and_then(|hex| Digest::from_hex(hex).ok())
            });
            found.extend(stems);
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// The diff_ids that have a lock file.
    pub fn locks(&self) -> Result<Vec<Digest>, StoreProblem> {
        let names = names(&self.dir.join(LOCKS))?;
        let hex = |path: PathBuf| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        Ok(names.into_iter().filter_map(hex).filter_map(|hex| Digest::from_hex(&hex).ok()).collect())
    }
}

/// The paths of what is in a directory of the store; none where there is no such directory.
pub fn names(dir: &Path) -> Result<Vec<PathBuf>, StoreProblem> {
    let error = |error: io::Error| StoreProblem::io("list", dir, &error);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(failed) => return Err(error(failed)),
    };
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(error)).collect()
}

/// What the mark of a store says; `None` where there is none.
fn read_mark(dir: &Path) -> Result<Option<String>, StoreProblem> {
    let mark = dir.join(MARK);
    let mut version = String::new();
    match File::open(&mark).and_then(|file| file.take(64).read_to_string(&mut version)) {
        Ok(_) => Ok(Some(version.trim_end().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreProblem::io("open", &mark, &error)),
    }
}

/// The first name in a directory that does not come from [`Layout::mark`].
fn first_foreign_name(dir: &Path) -> Result<Option<PathBuf>, StoreProblem> {
    let staged = format!(".{MARK}.");
    let foreign = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name != MARK && !name.as_bytes().starts_with(staged.as_bytes()))
    };
    Ok(names(dir)?.into_iter().find(foreign).and_then(|path| path.file_name().map(PathBuf::from)))
}

/// Makes a directory, and those above it, for nobody else: images may hold secrets.
fn make_dir(dir: &Path) -> Result<(), StoreProblem> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| StoreProblem::io("make", dir, &error))
}

/// Only who may be trusted anyway can have written to the directory.
fn check_owner(dir: &Path, owner: u32, mode: u32) -> Result<(), StoreProblem> {
    let us = nix::unistd::geteuid().as_raw();
    let problem = if owner != us && owner != 0 {
        format!("it belongs to user {owner}")
    } else if mode & 0o022 != 0 {
        format!("others may write to it (mode {:04o})", mode & 0o7777)
    } else {
        return Ok(());
    };
    Err(StoreProblem::Exposed { dir: dir.to_owned(), problem })
}
