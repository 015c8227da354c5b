//! The files of an image: in a directory, or the members of an archive.

use std::io;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use super::archive::Archive;
use super::blob::Blob;
use super::documents::LARGEST;
use super::error::Problem;
use super::skopeo;
use crate::digest::Digest;

/// Where the files of an OCI layout are, or of a directory of skopeo's.
#[derive(Debug)]
pub enum Files {
    /// In a directory.
    Directory(PathBuf),
    /// In an archive.
    Archive(Archive),
    /// In a directory of skopeo's, which names blobs otherwise.
    Skopeo {
        /// The directory.
        dir: PathBuf,
        /// The digest of `manifest.json`.
        manifest: Digest,
    },
}

impl Files {
    /// A file of the layout. The name is one of the layout's own, never one from a document.
    pub fn find(&self, name: &str) -> Result<Option<Blob>, Problem> {
        match self {
            Files::Directory(dir) | Files::Skopeo { dir, .. } => match Blob::open(&dir.join(name)) {
                Err(Problem::Io { kind: io::ErrorKind::NotFound | io::ErrorKind::NotADirectory, .. }) => {
                    Ok(None)
                }
                found => found.map(Some),
            },
            Files::Archive(archive) => archive.find(name),
        }
    }

    /// The blob with a digest; `what` it is for. Its content is not checked.
    pub fn blob(&self, digest: &Digest, what: &str) -> Result<Blob, Problem> {
        let name = match self {
            Files::Directory(_) | Files::Archive(_) => blob_name(digest),
            Files::Skopeo { manifest, .. } if digest == manifest => skopeo::MANIFEST.to_owned(),
            Files::Skopeo { .. } => {
                // A manifest that a list names.
                let manifest = format!("{}.{}", digest.hex(), skopeo::MANIFEST);
                if let Some(blob) = self.find(&manifest)? {
                    return Ok(blob);
                }
                digest.hex()
            }
        };
        self.find(&name)?.ok_or_else(|| Problem::Missing { what: what.to_owned(), name })
    }

    /// A document with a digest and a size, checked.
    pub fn document(&self, digest: &Digest, size: u64, what: &str) -> Result<Vec<u8>, Problem> {
        let blob = self.blob(digest, what)?;
        if blob.len != size {
            return Err(Problem::mismatch(format!("size of {what}"), bytes(size), bytes(blob.len)));
        }
        let document = read(&blob, what)?;
        verify(&document, digest, what)?;
        Ok(document)
    }
}

/// The name of a blob's file in a layout.
pub fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The whole of a document, if it is not too large to be one.
pub fn read(blob: &Blob, what: &str) -> Result<Vec<u8>, Problem> {
    let len = usize::try_from(blob.len).ok().filter(|_| blob.len <= LARGEST);
    let Some(len) = len else {
        return Err(Problem::TooLarge {
            what: what.to_owned(),
            found: bytes(blob.len),
            limit: bytes(LARGEST),
        });
    };
    let mut document = vec![0; len];
    blob.read_at(&mut document, 0).map_err(|error| Problem::io("read", &blob.path, &error))?;
    Ok(document)
}

/// Checks a document against its digest.
pub fn verify(document: &[u8], digest: &Digest, what: &str) -> Result<(), Problem> {
    match digest_of(document) {
        found if found == *digest => Ok(()),
        found => Err(Problem::mismatch(format!("sha256 of {what}"), digest, found)),
    }
}

/// The sha256 of a document.
pub fn digest_of(document: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(document).into())
}

/// A size, for people.
pub fn bytes(count: u64) -> String {
    format!("{count} bytes")
}
