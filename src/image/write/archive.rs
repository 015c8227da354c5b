//! An archive with one image.

use std::collections::HashSet;
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};

use super::blob::{NewLayer, digest_of};
use super::documents::{self, Addition, Descriptor, OCI_LAYOUT};
use super::layers::{self, Stored};
use super::told::Told;
use super::unfinished::{Unfinished, clear, temporary};
use super::{Replace, Target, WrittenImage};
use crate::digest::Digest;
use crate::image::commit::CommitError;
use crate::image::compression::Compression;
use crate::image::store::Task;
use crate::image::{ImageError, Problem};
use crate::path::RelPath;
use crate::tarball::write::{Entry, TarWriter, What, WriteError};

/// An archive in the making, beside the file that it becomes.
#[derive(Debug)]
pub struct Archive {
    file: PathBuf,
    directory: PathBuf,
    target: Target,
    tar: TarWriter<BufWriter<Unfinished>>,
    members: HashSet<String>,
}

impl Archive {
    /// Begins an archive, and clears what somebody left there who was killed.
    pub(super) fn create(file: &Path, target: Target, replace: Replace) -> Result<Self, CommitError> {
        if replace == Replace::Refuse && file.symlink_metadata().is_ok() {
            let problem = Problem::Unsupported {
                problem: "it exists, and an archive cannot be added to".to_owned(),
                hint: "give another name, or replace it with --force".to_owned(),
            };
            return Err(ImageError::new(problem).of_image(&file.display().to_string()).into());
        }
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = parent.unwrap_or(Path::new(".")).to_owned();
        clear(&directory);
        let tar = TarWriter::new(BufWriter::with_capacity(1 << 18, temporary(&directory)?));
        Ok(Archive { file: file.to_owned(), directory, target, tar, members: HashSet::new() })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn write(
        mut self,
        addition: Addition<'_>,
        told: Told<'_>,
    ) -> Result<WrittenImage, CommitError> {
        let config = documents::config(&addition).map_err(ImageError::from)?;
        let written = match self.target.clone() {
            Target::DockerArchive { reference, .. } => {
                self.docker(&addition, &config, reference.as_deref(), told)?
            }
            Target::OciArchive { tag, .. } | Target::OciLayout { tag, .. } => {
                self.oci(&addition, &config, &tag, told)?
            }
        };
        let Archive { file, tar, .. } = self;
        let failed = |error| CommitError::File { op: "write", path: file.clone(), error };
        let done = tar.finish().and_then(|out| out.into_inner().map_err(io::IntoInnerError::into_error));
        done.map_err(failed)?.persist(&file)?;
        Ok(written)
    }

    fn oci(
        &mut self,
        addition: &Addition<'_>,
        config: &[u8],
        tag: &str,
        told: Told<'_>,
    ) -> Result<WrittenImage, CommitError> {
        for dir in ["blobs", "blobs/sha256"] {
            self.directory_member(dir)?;
        }
        let mut list = Vec::new();
        for (number, layer) in addition.base.iter().flat_map(|base| &base.layers).enumerate() {
            let found = layers::identify(addition.base.as_ref(), number, layer, told)?;
            self.stored(&blob_path(&found.descriptor.digest), &found, told)?;
            list.push((found.descriptor, found.compression));
        }
        if let Some(new) = &addition.layer {
            list.push((Descriptor { digest: new.digest, size: new.size }, new.compression));
            self.new_layer(&blob_path(&new.digest), new, told)?;
        }
        let config = self.blob(config)?;
        let base = addition.base.as_ref().and_then(|base| base.image.manifest_digest);
        let manifest = documents::manifest(config, &list, base).map_err(ImageError::from)?;
        let manifest = self.blob(&manifest)?;
        let index = documents::index(None, manifest, tag).map_err(ImageError::from)?;
        self.bytes("index.json", &index)?;
        self.bytes("oci-layout", OCI_LAYOUT)?;
        Ok(WrittenImage { manifest: Some(manifest.digest), config: config.digest })
    }

    fn docker(
        &mut self,
        addition: &Addition<'_>,
        config: &[u8],
        name: Option<&str>,
        told: Told<'_>,
    ) -> Result<WrittenImage, CommitError> {
        let mut list = Vec::new();
        for (number, layer) in addition.base.iter().flat_map(|base| &base.layers).enumerate() {
            let found = layers::plain(addition.base.as_ref(), number, layer)?;
            let member = format!("{}.tar", found.descriptor.digest.hex());
            self.stored(&member, &found, told)?;
            list.push(member);
        }
        if let Some(new) = &addition.layer {
            let member = format!("{}.tar", new.diff_id.hex());
            debug_assert_eq!(new.compression, Compression::None);
            self.new_layer(&member, new, told)?;
            list.push(member);
        }
        let digest = digest_of(config);
        let member = format!("{}.json", digest.hex());
        self.bytes(&member, config)?;
        let manifest = documents::docker_manifest(&member, name, &list).map_err(ImageError::from)?;
        self.bytes("manifest.json", &manifest)?;
        Ok(WrittenImage { manifest: None, config: digest })
    }

    /// A layer of the base; one that is there twice is one member.
    fn stored(&mut self, member: &str, layer: &Stored<'_>, told: Told<'_>) -> Result<(), CommitError> {
        let mut reader = layer.reader(told);
        self.member(member, layer.descriptor.size, &mut reader)?;
        match reader.was_read() {
            true => layer.check(reader),
            false => Ok(()),
        }
    }

    fn new_layer(&mut self, member: &str, layer: &NewLayer, told: Told<'_>) -> Result<(), CommitError> {
        let file = layer.reopen().map_err(|error| CommitError::File {
            op: "read",
            path: layer.file.dir().to_owned(),
            error,
        })?;
        let file = told.layer(Task::Copy, told.of, Some(layer.digest), Some(layer.size), file);
        self.member(member, layer.size, file)
    }

    fn blob(&mut self, bytes: &[u8]) -> Result<Descriptor, CommitError> {
        let digest = digest_of(bytes);
        self.bytes(&blob_path(&digest), bytes)?;
        Ok(Descriptor { digest, size: bytes.len() as u64 })
    }

    fn bytes(&mut self, member: &str, bytes: &[u8]) -> Result<(), CommitError> {
        self.member(member, bytes.len() as u64, bytes)
    }

    fn directory_member(&mut self, member: &str) -> Result<(), CommitError> {
        let path = self.path(member)?;
        let entry = Entry { what: What::Directory, perm: 0o755, ..Entry::plain(&path, 0) };
        self.tar.entry(&entry).map_err(|error| self.failed(error))
    }

    fn member(&mut self, member: &str, size: u64, content: impl Read) -> Result<(), CommitError> {
        if !self.members.insert(member.to_owned()) {
            return Ok(());
        }
        let path = self.path(member)?;
        self.tar.file(&Entry::plain(&path, size), content).map_err(|error| self.failed(error))
    }

    fn path(&self, member: &str) -> Result<RelPath, CommitError> {
        RelPath::new(member.as_bytes()).map_err(|error| {
            self.failed(WriteError::Write(io::Error::other(format!(
                "'{member}' is no member's name: {error}"
            ))))
        })
    }

    fn failed(&self, error: WriteError) -> CommitError {
        let error = match error {
            WriteError::Write(error) | WriteError::Content(error) => error,
            other => io::Error::other(other.to_string()),
        };
        CommitError::File { op: "write", path: self.file.clone(), error }
    }
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
