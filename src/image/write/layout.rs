//! An OCI layout that gets one more image.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::WrittenImage;
use super::blob::digest_of;
use super::documents::{self, Addition, Descriptor, OCI_LAYOUT};
use super::layers;
use super::told::Told;
use super::unfinished::{UNFINISHED, Unfinished, clear, temporary};
use crate::digest::Digest;
use crate::image::commit::CommitError;
use crate::image::{ImageError, Problem};

const LAYOUT_FILE: &str = "oci-layout";
const INDEX_FILE: &str = "index.json";

/// A layout that nobody else of ours writes to.
#[derive(Debug)]
pub struct Layout {
    dir: PathBuf,
    blobs: PathBuf,
    tag: String,
    made: Made,
    // Last: what was made goes before the lock does.
    _lock: Flock<File>,
}

/// What was made for an image that is not there yet. Dropped, it is gone again.
#[derive(Debug, Default)]
struct Made {
    paths: Vec<PathBuf>,
}

impl Made {
    fn note(&mut self, path: impl Into<PathBuf>) {
        self.paths.push(path.into());
    }

    /// The image is there: all stays.
    fn keep(&mut self) {
        self.paths.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for path in self.paths.iter().rev() {
            let removed = match path.symlink_metadata() {
                Ok(metadata) if metadata.is_dir() => fs::remove_dir(path),
                Ok(_) => fs::remove_file(path),
                Err(error) => Err(error),
            };
            if let Err(error) = removed {
                log::warn!(
                    "'{}' cannot be removed again: {}",
                    path.display(),
                    crate::error::describe(&error)
                );
            }
        }
    }
}

fn failed(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CommitError {
    let path = path.to_owned();
    move |error| CommitError::File { op, path, error }
}

impl Layout {
    /// Locks a layout, makes it where there is none, and clears what somebody left who was killed.
    ///
    /// # Errors
    /// The directory is something else than a layout, or of a version that is not known; the system's.
    pub(super) fn open(dir: &Path, tag: &str) -> Result<Self, CommitError> {
        let mut made = Made::default();
        make_dir(dir, &mut made)?;
        let lock = lock(dir)?;
        check(dir)?;
        let blobs = dir.join("blobs/sha256");
        make_dir(&dir.join("blobs"), &mut made)?;
        make_dir(&blobs, &mut made)?;
        clear(dir);
        clear(&blobs);
        Ok(Layout { dir: dir.to_owned(), blobs, tag: tag.to_owned(), made, _lock: lock })
    }

    /// Where the blobs are.
    pub(super) fn blobs(&self) -> &Path {
        &self.blobs
    }

    /// Adds the image.
    pub(super) fn write(
        mut self,
        mut addition: Addition<'_>,
        told: Told<'_>,
    ) -> Result<WrittenImage, CommitError> {
        let config = documents::config(&addition).map_err(ImageError::from)?;
        let config = self.document(&config)?;
        let mut list = Vec::new();
        for (number, layer) in addition.base.iter().flat_map(|base| &base.layers).enumerate() {
            let found = layers::identify(addition.base.as_ref(), number, layer, told)?;
            self.base_layer(&found, told)?;
            list.push((found.descriptor, found.compression));
        }
        if let Some(new) = addition.layer.take() {
            let descriptor = Descriptor { digest: new.digest, size: new.size };
            list.push((descriptor, new.compression));
            self.publish(new.file, descriptor)?;
        }
        let base = addition.base.as_ref().and_then(|base| base.image.manifest_digest);
        let manifest = documents::manifest(config, &list, base).map_err(ImageError::from)?;
        let manifest = self.document(&manifest)?;
        self.name(manifest)?;
        self.made.keep();
        Ok(WrittenImage { manifest: Some(manifest.digest), config: config.digest })
    }

    fn base_layer(&mut self, layer: &layers::Stored<'_>, told: Told<'_>) -> Result<(), CommitError> {
        if self.has(layer.descriptor) {
            return Ok(());
        }
        let mut file = temporary(&self.blobs)?;
        layer.copy_to(&mut file, &self.blobs, told)?;
        self.publish(file, layer.descriptor)
    }

    fn document(&mut self, bytes: &[u8]) -> Result<Descriptor, CommitError> {
        let descriptor = Descriptor { digest: digest_of(bytes), size: bytes.len() as u64 };
        if !self.has(descriptor) {
            let mut file = temporary(&self.blobs)?;
            file.write_all(bytes).map_err(failed("write", &self.blobs))?;
            self.publish(file, descriptor)?;
        }
        Ok(descriptor)
    }

    fn path_of(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.hex())
    }

    /// Is that blob there? By its size: its name is its digest, and whoever reads it checks that.
    fn has(&self, blob: Descriptor) -> bool {
        fs::symlink_metadata(self.path_of(&blob.digest))
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() == blob.size)
    }

    /// Gives a finished blob its name.
    fn publish(&mut self, file: Unfinished, blob: Descriptor) -> Result<(), CommitError> {
        if self.has(blob) {
            return Ok(());
        }
        let path = self.path_of(&blob.digest);
        file.persist(&path)?;
        self.made.note(path);
        Ok(())
    }

    /// Names the image in the index.
    fn name(&mut self, manifest: Descriptor) -> Result<(), CommitError> {
        let layout = self.dir.join(LAYOUT_FILE);
        if !layout.exists() {
            let mut file = temporary(&self.dir)?;
            file.write_all(OCI_LAYOUT).map_err(failed("write", &layout))?;
            file.persist(&layout)?;
            self.made.note(layout);
        }
        let path = self.dir.join(INDEX_FILE);
        let before = match fs::read(&path) {
            Ok(before) => Some(before),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let index = documents::index(before.as_deref(), manifest, &self.tag).map_err(|problem| {
            CommitError::from(ImageError::new(problem).of_image(&self.dir.display().to_string()))
        })?;
        let mut file = temporary(&self.dir)?;
        file.write_all(&index).map_err(failed("write", &path))?;
        file.persist(&path)
    }
}

fn make_dir(dir: &Path, made: &mut Made) -> Result<(), CommitError> {
    match fs::create_dir(dir) {
        Ok(()) => {
            made.note(dir);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(failed("open layout", dir)(Errno::ENOTDIR.into()))
        }
        Err(error) => Err(failed("make directory", dir)(error)),
    }
}

/// Two commits into one layout come one after the other.
fn lock(dir: &Path) -> Result<Flock<File>, CommitError> {
    let file = File::open(dir).map_err(failed("open", dir))?;
    let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => return Ok(lock),
        Err((file, Errno::EWOULDBLOCK)) => file,
        Err((_, errno)) => return Err(failed("lock", dir)(errno.into())),
    };
    log::warn!("another commit writes to '{}': waiting for its end", dir.display());
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| failed("lock", dir)(errno.into()))
}

/// Is it a layout, or empty but for what somebody left who was killed?
fn check(dir: &Path) -> Result<(), CommitError> {
    let wrong = |problem: String| {
        let hint = "give another directory: an OCI layout, an empty one, or one that is not there".to_owned();
        let error = ImageError::new(Problem::Unsupported { problem, hint });
        Err(CommitError::from(error.of_image(&dir.display().to_string())))
    };
    let path = dir.join(LAYOUT_FILE);
    match fs::read(&path) {
        Ok(text) => {
            let version = serde_json::from_slice::<serde_json::Value>(&text)
                .ok()
                .and_then(|layout| Some(layout.get("imageLayoutVersion")?.as_str()?.to_owned()));
            match version {
                Some(version) if version.starts_with("1.") => Ok(()),
                Some(version) => {
                    wrong(format!("it is a layout of version '{}', not 1", version.escape_debug()))
                }
                None => wrong(format!("its file {LAYOUT_FILE} does not say which version of a layout it is")),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut entries = fs::read_dir(dir).map_err(failed("list", dir))?;
            let foreign = entries.find_map(|entry| {
                let name = entry.ok()?.file_name();
                let ours = name == "blobs" || name.to_string_lossy().starts_with(UNFINISHED);
                (!ours).then_some(name)
            });
            match foreign {
                None => Ok(()),
                Some(name) => wrong(format!(
                    "there is '{}' in it and no {LAYOUT_FILE}: it is not an OCI layout",
                    name.display()
                )),
            }
        }
        Err(error) => Err(failed("read", &path)(error)),
    }
}
