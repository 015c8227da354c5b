//! What in the store nobody needs any more.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::contents::{Seen, StoredLayer};
use super::lock::WorkLock;
use super::remove::{self, Removed};
use super::{Store, staging};
use crate::digest::Digest;
use crate::image::ImageError;

/// What can be removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Layers, with what their files take, in bytes, and why nobody needs them.
    pub layers: Vec<(Digest, u64, Why)>,
    /// Records of blobs: their files, and the layers they lead to.
    records: Vec<(PathBuf, Option<Digest>)>,
    /// What killed processes left behind: how many files, and how many bytes they have.
    pub abandoned: (usize, u64),
}

/// Why nobody needs a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// No image that is known has it: their files are gone, or have changed.
    NoImage,
    /// It was not used for a long time.
    Unused,
}

impl Garbage {
    /// How many records of blobs can go.
    pub fn records(&self) -> usize {
        self.records.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty() && self.records.is_empty() && self.abandoned.0 == 0
    }
}

/// What was removed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Collected {
    /// How many layers.
    pub layers: usize,
    /// How many layers turned out to be in use.
    pub in_use: usize,
    /// How many bytes are free now.
    pub freed: u64,
}

impl Store {
    /// Finds what can be removed: layers that no image has any more and, with `older_than`, those that were not used for
    /// so long. What is used right now is never among them.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn garbage(&self, older_than: Option<Duration>) -> Result<Garbage, ImageError> {
        let before = older_than.and_then(|age| SystemTime::now().checked_sub(age));
        let (seen, unreadable) = self.seen_records()?;
        let mut garbage = decide(&seen, &self.layers()?, before);
        garbage.records.extend(unreadable.into_iter().map(|file| (file, None)));
        let abandoned = staging::abandoned(&self.layout)?;
        garbage.abandoned = (abandoned.len(), abandoned.iter().map(|file| file.size).sum());
        Ok(garbage)
    }

    /// Removes what was found.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn collect(&self, garbage: &Garbage) -> Result<Collected, ImageError> {
        let mut collected = Collected::default();
        for file in staging::abandoned(&self.layout)? {
            collected.freed = collected.freed.saturating_add(file.size);
            file.remove()?;
        }
        let mut stay = Vec::new();
        for (diff_id, _, _) in &garbage.layers {
            match remove::layer(&self.layout, diff_id)? {
                Removed::Freed(bytes) => {
                    collected.layers = collected.layers.saturating_add(1);
                    collected.freed = collected.freed.saturating_add(bytes);
                }
                // Somebody was faster, and needs its records too.
                Removed::InUse | Removed::Busy => stay.push(*diff_id),
            }
        }
        collected.in_use = stay.len();
        for (record, leads_to) in &garbage.records {
            if leads_to.is_none_or(|diff_id| !stay.contains(&diff_id)) {
                remove::file(record)?;
            }
        }
        for diff_id in &self.layout.locks()? {
            // A process that was killed has left it. Who takes it removes it.
            drop(WorkLock::try_acquire(&self.layout.lock(diff_id))?);
        }
        Ok(collected)
    }
}

/// A record goes when its file is no longer what it was, or when it was used before `before` only; a layer goes when no
/// record stays that leads to it, unless it is in use.
fn decide(seen: &[Seen], layers: &[StoredLayer], before: Option<SystemTime>) -> Garbage {
    let old = |used: Option<SystemTime>| match (used, before) {
        (Some(used), Some(before)) => used < before,
        _ => false,
    };
    let in_use: BTreeSet<Digest> =
        layers.iter().filter(|layer| layer.in_use).map(|layer| layer.diff_id).collect();
    let stays = |seen: &&Seen| in_use.contains(&seen.record.diff_id) || (seen.current && !old(seen.used));
    let needed: BTreeSet<Digest> = seen.iter().filter(stays).map(|seen| seen.record.diff_id).collect();
    let layers =
        layers.iter().filter(|layer| !layer.in_use && !needed.contains(&layer.diff_id)).map(|layer| {
            let why = match layer.uses.iter().any(|one| one.current) {
                true => Why::Unused,
                false => Why::NoImage,
            };
            (layer.diff_id, layer.stored, why)
        });
    let records =
        seen.iter().filter(|seen| !stays(seen)).map(|seen| (seen.file.clone(), Some(seen.record.diff_id)));
    Garbage { layers: layers.collect(), records: records.collect(), abandoned: (0, 0) }
}

#[cfg(test)]
mod tests {
    use super::super::contents::Use;
    use super::super::record::{SeenRecord, VERSION};
    use super::*;
    use crate::stamp::FileStamp;

    fn at(day: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(day * 86_400)
    }

    fn seen(name: &str, layer: u8, current: bool, day: u64) -> Seen {
        let stamp = FileStamp { dev: 1, ino: 2, size: 3, mtime: (0, 0), ctime: (0, 0) };
        let record = SeenRecord {
            version: VERSION,
            path: name.into(),
            stamp: stamp.into(),
            offset: 0,
            len: 3,
            digest: Digest::from_bytes([9; 32]),
            diff_id: Digest::from_bytes([layer; 32]),
            compressed: true,
            image: name.to_owned(),
        };
        Seen { file: name.into(), record, current, used: Some(at(day)) }
    }

    fn layer(n: u8, in_use: bool, uses: &[Seen]) -> StoredLayer {
        let diff_id = Digest::from_bytes([n; 32]);
        let uses = uses.iter().filter(|seen| seen.record.diff_id == diff_id);
        let uses = uses.map(|seen| Use {
            image: seen.record.image.clone(),
            path: seen.record.path.clone(),
            current: seen.current,
        });
        StoredLayer {
            diff_id,
            stored: 10,
            unpacked: None,
            entries: None,
            has_tar: true,
            uses: uses.collect(),
            used: None,
            in_use,
        }
    }

    #[test]
    fn only_what_no_image_needs_goes() {
        let records = [
            seen("kept", 1, true, 10),
            seen("gone", 1, false, 10),
            seen("old", 2, true, 3),
            seen("gone too", 3, false, 10),
            seen("mounted", 4, false, 3),
        ];
        let layers: Vec<StoredLayer> = (1..=5).map(|n| layer(n, n == 4, &records)).collect();
        let digest = |n| Digest::from_bytes([n; 32]);
        let garbage = decide(&records, &layers, None);
        assert_eq!(garbage.layers, [(digest(3), 10, Why::NoImage), (digest(5), 10, Why::NoImage)]);
        let record = |name: &str, n| (PathBuf::from(name), Some(digest(n)));
        assert_eq!(garbage.records, [record("gone", 1), record("gone too", 3)]);
        let garbage = decide(&records, &layers, Some(at(5)));
        let expected =
            [(digest(2), 10, Why::Unused), (digest(3), 10, Why::NoImage), (digest(5), 10, Why::NoImage)];
        assert_eq!(garbage.layers, expected);
        assert_eq!(garbage.records, [record("gone", 1), record("old", 2), record("gone too", 3)]);
    }
}
