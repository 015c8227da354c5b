//! The base's layers, copied: as they are stored, or as the tars they hold.

use std::io::{self, Read, Write};
use std::path::Path;

use super::blob::Hashing;
use super::documents::{Base, BaseLayer, Descriptor};
use super::told::{Counted, Told};
use crate::config::LowerSpec;
use crate::digest::Digest;
use crate::image::commit::CommitError;
use crate::image::compression::{Compression, MAGIC_LEN};
use crate::image::store::Task;
use crate::image::{Blob, BlobReader, ImageError, LayerSource, Problem};

/// Some bytes that are a layer, and what they must be.
#[derive(Debug)]
pub(super) struct Stored<'a> {
    pub blob: Blob,
    pub descriptor: Descriptor,
    pub compression: Compression,
    name: Named<'a>,
}

/// How errors name a layer.
#[derive(Debug, Clone, Copy)]
struct Named<'a> {
    image: &'a str,
    number: usize,
    digest: Option<Digest>,
}

impl Named<'_> {
    fn error(self, problem: Problem) -> CommitError {
        ImageError::new(problem).in_layer(self.number, self.digest).of_image(self.image).into()
    }
}

fn named<'a>(base: Option<&Base<'a>>, index: usize, layer: &BaseLayer<'a>) -> Named<'a> {
    let digest = layer.stored.digest.or(Some(layer.stored.diff_id));
    Named { image: base.map_or("", |base| base.image.name.as_str()), number: index + 1, digest }
}

/// A layer as it is stored. Its digest is known or, where the format does not say it, found out by reading it once.
pub(super) fn identify<'a>(
    base: Option<&Base<'a>>,
    index: usize,
    layer: &BaseLayer<'a>,
    told: Told<'_>,
) -> Result<Stored<'a>, CommitError> {
    let name = named(base, index, layer);
    let blob = match &layer.stored.source {
        LayerSource::Blob(blob) => blob.clone(),
        LayerSource::Directory(dir) => return Err(name.error(unpacked(dir))),
    };
    let read = |error: io::Error| name.error(Problem::io("read", &blob.path, &error));
    let mut start = [0; MAGIC_LEN];
    let len = blob.read_at(&mut start, 0).map_err(read)?;
    let compression = Compression::of(start.get(..len).unwrap_or_default()).map_err(|unknown| {
        name.error(Problem::Malformed(format!(
            "it is compressed with {}, which images may not be",
            unknown.0
        )))
    })?;
    let digest = match (layer.stored.digest, compression) {
        (Some(digest), _) => digest,
        (None, Compression::None) => layer.stored.diff_id,
        (None, _) => {
            let reader = told.layer(Task::Check, name.number, name.digest, Some(blob.len), blob.reader());
            let mut hashing = Hashing::new(reader);
            io::copy(&mut hashing, &mut io::sink()).map_err(read)?;
            hashing.finish().0
        }
    };
    let descriptor = Descriptor { digest, size: blob.len };
    Ok(Stored { blob, descriptor, compression, name })
}

/// A layer as the tar that it holds.
pub(super) fn plain<'a>(
    base: Option<&Base<'a>>,
    index: usize,
    layer: &BaseLayer<'a>,
) -> Result<Stored<'a>, CommitError> {
    let name = named(base, index, layer);
    let spec = match layer.lower {
        LowerSpec::Tar(spec) => spec,
        LowerSpec::Directory(dir) => return Err(name.error(unpacked(dir))),
    };
    let whole = Blob::open(&spec.file).map_err(|problem| name.error(problem))?;
    let blob =
        whole.part(spec.offset, spec.len).filter(|blob| blob.stamp == spec.stamp).ok_or_else(|| {
            name.error(Problem::Unsupported {
                problem: format!("'{}' changed since it was verified", spec.file.display()),
                hint: "try again when whatever writes to it has finished".to_owned(),
            })
        })?;
    let descriptor = Descriptor { digest: layer.stored.diff_id, size: spec.len };
    Ok(Stored { blob, descriptor, compression: Compression::None, name })
}

fn unpacked(dir: &Path) -> Problem {
    Problem::Unsupported {
        problem: format!("podman keeps it unpacked in '{}', and its tar is not there any more", dir.display()),
        hint: "save the image first, and give what was saved with --base: podman save --format oci-archive -o FILE NAME"
            .to_owned(),
    }
}

/// Hashes a blob while it is copied, and tells of it.
pub(super) type Reader<'t> = Hashing<Counted<'t, BlobReader>>;

impl Stored<'_> {
    /// The bytes, to be checked with [`Stored::check`] when they are read.
    pub(super) fn reader<'t>(&self, told: Told<'t>) -> Reader<'t> {
        let Named { number, digest, .. } = self.name;
        Hashing::new(told.layer(Task::Copy, number, digest, Some(self.blob.len), self.blob.reader()))
    }

    /// Is what was read what the base promises?
    pub(super) fn check(&self, read: Reader<'_>) -> Result<(), CommitError> {
        let (digest, _) = read.finish();
        match digest == self.descriptor.digest {
            true => Ok(()),
            false => {
                Err(self.name.error(Problem::mismatch("sha256 of the blob", self.descriptor.digest, digest)))
            }
        }
    }

    /// Copies and checks. `place` is what the errors of writing name.
    pub(super) fn copy_to(
        &self,
        to: &mut impl Write,
        place: &Path,
        told: Told<'_>,
    ) -> Result<(), CommitError> {
        let mut from = self.reader(told);
        let mut buf = vec![0; 1 << 18];
        loop {
            let n = match from.read(&mut buf) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.name.error(Problem::io("read", &self.blob.path, &error))),
            };
            to.write_all(buf.get(..n).unwrap_or_default()).map_err(|error| CommitError::File {
                op: "write to",
                path: place.to_owned(),
                error,
            })?;
        }
        self.check(from)
    }
}
