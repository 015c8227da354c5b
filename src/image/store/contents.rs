//! What is in the store, and what it is for.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::layout::names;
use super::lock::{Exclusion, Lease};
use super::record::{self, LayerRecord, SeenRecord};
use super::remove::{self, Removed};
use super::{Store, StoreProblem};
use crate::digest::Digest;
use crate::image::ImageError;
use crate::stamp::FileStamp;

/// A layer of which the store has anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLayer {
    /// The sha256 of its tar.
    pub diff_id: Digest,
    /// What its files take, bytes: its tar, if it is here, and its index.
    pub stored: u64,
    /// How large its tar is, bytes; `None` where no record says it.
    pub unpacked: Option<u64>,
    /// How many entries it has.
    pub entries: Option<u64>,
    /// Whether the tar is here, and not only its index.
    pub has_tar: bool,
    /// The blobs it was made from.
    pub uses: Vec<Use>,
    /// When it was needed last.
    pub used: Option<SystemTime>,
    /// It is mounted, or otherwise used right now.
    pub in_use: bool,
}

/// A blob that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The image, as the caller named it.
    pub image: String,
    /// The file that holds it.
    pub path: PathBuf,
    /// Whether the file is still what it was.
    pub current: bool,
}

/// A record of a blob, where it is, and what is true of it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub file: PathBuf,
    pub record: SeenRecord,
    pub current: bool,
    pub used: Option<SystemTime>,
}

impl Store {
    /// All layers, by their diff_id.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn layers(&self) -> Result<Vec<StoredLayer>, ImageError> {
        let (seen, _) = self.seen_records()?;
        let found = self.layout.layers()?;
        Ok(found.iter().map(|diff_id| self.stored_layer(diff_id, &seen)).collect::<Result<_, _>>()?)
    }

    fn stored_layer(&self, diff_id: &Digest, seen: &[Seen]) -> Result<StoredLayer, StoreProblem> {
        let layout = &self.layout;
        let record_path = layout.layer_record(diff_id);
        let record: Option<LayerRecord> = record::read(&record_path);
        let size = |path: &Path| fs::symlink_metadata(path).ok().map(|metadata| metadata.len());
        let (tar, index) = (size(&layout.tar(diff_id)), size(&layout.index(diff_id)));
        let uses = seen.iter().filter(|seen| seen.record.diff_id == *diff_id).map(|seen| Use {
            image: seen.record.image.clone(),
            path: seen.record.path.clone(),
            current: seen.current,
        });
        Ok(StoredLayer {
            diff_id: *diff_id,
            stored: tar.unwrap_or(0).saturating_add(index.unwrap_or(0)),
            unpacked: record.as_ref().map(|record| record.unpacked),
            entries: record.as_ref().map(|record| record.entries),
            has_tar: tar.is_some(),
            uses: uses.collect(),
            used: record::used(&record_path),
            in_use: matches!(Lease::exclude(&layout.index(diff_id))?, Exclusion::InUse),
        })
    }

    /// The layers whose diff_id begins so: with or without `sha256:`.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn find(&self, prefix: &str) -> Result<Vec<Digest>, ImageError> {
        let prefix = prefix.strip_prefix("sha256:").unwrap_or(prefix);
        Ok(self.layout.layers()?.into_iter().filter(|diff_id| diff_id.hex().starts_with(prefix)).collect())
    }

    /// Removes a layer, unless it is used right now.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove(&self, diff_id: &Digest) -> Result<Removed, ImageError> {
        let removed = remove::layer(&self.layout, diff_id)?;
        if let Removed::Freed(_) = removed {
            for seen in self.seen_records()?.0 {
                if seen.record.diff_id == *diff_id {
                    remove::file(&seen.file)?;
                }
            }
        }
        Ok(removed)
    }

    /// The records of blobs, and those files that are none.
    pub(super) fn seen_records(&self) -> Result<(Vec<Seen>, Vec<PathBuf>), StoreProblem> {
        let (mut seen, mut unreadable) = (Vec::new(), Vec::new());
        for file in names(&self.layout.seen_dir())? {
            match record::read::<SeenRecord>(&file) {
                Some(record) => {
                    let now = fs::metadata(&record.path).map(|metadata| FileStamp::from(&metadata));
                    let current = now.is_ok_and(|now| now == record.stamp.into());
                    let used = record::used(&file);
                    seen.push(Seen { file, record, current, used });
                }
                None => unreadable.push(file),
            }
        }
        seen.sort_by(|a, b| (&a.record.image, &a.record.path).cmp(&(&b.record.image, &b.record.path)));
        Ok((seen, unreadable))
    }
}
