//! What is known of a layer already: from records that are believed, of files that are what they were.

use std::fs;
use std::sync::Arc;

use super::lock::Lease;
use super::plan::{Have, Tar};
use super::prepare::{Context, Job, absolute, now, open_index};
use super::progress::Silent;
use super::record::{self, Kept, LayerRecord, SeenRecord};
use super::staging::write_whole;
use super::{Prepare, PreparedLayer, Store, StoreProblem};
use crate::config::{LowerSpec, TarSpec};
use crate::digest::Digest;
use crate::image::{Image, ImageLayer, LayerSource};
use crate::stamp::FileStamp;
use crate::tarball::{Index, Summary};

/// After so many seconds, what was written is on the disk without our doing, or nearly so: syncing it costs nothing.
const WRITTEN_BACK: u64 = 60;

/// A layer that is ready, and by which record.
struct Known {
    spec: TarSpec,
    record: LayerRecord,
    lease: Lease,
}

impl Store {
    /// The summaries of an image's layers, base first, where all of them are known: nothing of the image is read for it, and
    /// nothing in the store changes. `None` where [`Store::prepare`] would have work to do, and for layers that are
    /// directories.
    pub fn summaries(&self, image: &Image) -> Option<Vec<Summary>> {
        let options = Prepare::default();
        let context = Context::new(self, image, &options, &Silent);
        let summary = |(index, layer): (usize, &ImageLayer)| match &layer.source {
            LayerSource::Directory(_) => None,
            LayerSource::Blob(blob) => {
                let known = context.known(&Job { index, layer, blob })?;
                Some(Index::open(&known.spec.index).ok()?.summary())
            }
        };
        image.layers.iter().enumerate().map(summary).collect()
    }
}

impl Context<'_> {
    /// The record of a blob that was verified, is what it was then, and is what the image promises.
    pub(super) fn seen(&self, job: &Job<'_>) -> Option<SeenRecord> {
        let Job { layer, blob, .. } = job;
        let seen: SeenRecord = record::read(&self.store.layout.seen(blob))?;
        let same = FileStamp::from(seen.stamp) == blob.stamp
            && (seen.offset, seen.len) == (blob.offset, blob.len)
            && layer.stored == blob.len
            && layer.diff_id == seen.diff_id
            && layer.digest.is_none_or(|digest| digest == seen.digest);
        same.then_some(seen)
    }

    /// The record of a layer, unless the machine was started anew before its files were on the disk.
    fn record(&self, diff_id: &Digest) -> Option<LayerRecord> {
        let record: LayerRecord = record::read(&self.store.layout.layer_record(diff_id))?;
        match &record.kept {
            Kept::InMemory { boot, .. } if *boot != self.boot || boot.is_empty() => None,
            _ => Some(record),
        }
    }

    /// The layer's tar in the store, if it is what was verified.
    pub(super) fn verified_tar(&self, diff_id: &Digest) -> Option<FileStamp> {
        let recorded = FileStamp::from(self.record(diff_id)?.tar?);
        let metadata = fs::symlink_metadata(self.store.layout.tar(diff_id)).ok()?;
        (FileStamp::from(&metadata) == recorded).then_some(recorded)
    }

    pub(super) fn have(&self, diff_id: &Digest) -> Have {
        let layout = &self.store.layout;
        let index = self.record(diff_id).is_some_and(|record| {
            let path = layout.index(diff_id);
            Lease::of_index(&path, &record.index.into()).is_some() && Index::open(&path).is_ok()
        });
        let tar = match self.verified_tar(diff_id) {
            Some(_) => Tar::Verified,
            None if layout.tar(diff_id).exists() => Tar::Unsure,
            None => Tar::None,
        };
        Have { index, tar }
    }

    /// The layer, if nothing has to be done for it: its blob is known, its index and its tar are what they were. Notes that
    /// it was used.
    pub(super) fn ready(&self, job: &Job<'_>) -> Option<PreparedLayer> {
        let layout = &self.store.layout;
        let Known { spec, record, lease } = self.known(job)?;
        let diff_id = spec.diff_id;
        record::touch(&layout.seen(job.blob));
        record::touch(&layout.layer_record(&diff_id));
        self.keep(&diff_id, &record, &lease);
        Some(PreparedLayer { lower: LowerSpec::Tar(spec), diff_id, lease: Some(Arc::new(lease)) })
    }

    /// What is known of a layer for which nothing has to be done. Only looks.
    fn known(&self, job: &Job<'_>) -> Option<Known> {
        let layout = &self.store.layout;
        let diff_id = job.layer.diff_id;
        let seen = self.seen(job)?;
        let record = self.record(&diff_id)?;
        let index = layout.index(&diff_id);
        let lease = Lease::of_index(&index, &record.index.into())?;
        // Another lamina may have written it.
        open_index(&index).ok()?;
        let (file, stamp, offset, len) = match seen.compressed {
            true => (layout.tar(&diff_id), self.verified_tar(&diff_id)?, 0, record.unpacked),
            false => (absolute(&job.blob.path).ok()?, job.blob.stamp, job.blob.offset, job.blob.len),
        };
        let image = self.image.place.clone();
        let spec = TarSpec { file, stamp, offset, len, index, diff_id, image };
        Some(Known { spec, record, lease })
    }

    /// Syncs what was written long enough ago, so that it is known to survive. What cannot be synced is verified again
    /// after the next start of the machine.
    fn keep(&self, diff_id: &Digest, record: &LayerRecord, lease: &Lease) {
        let layout = &self.store.layout;
        let Kept::InMemory { since, .. } = &record.kept else {
            return;
        };
        if now().saturating_sub(*since) < WRITTEN_BACK {
            return;
        }
        let sync = || -> std::io::Result<()> {
            lease.index().sync_all()?;
            if record.tar.is_some() {
                fs::File::open(layout.tar(diff_id))?.sync_all()?;
            }
            Ok(())
        };
        let path = layout.layer_record(diff_id);
        let kept = LayerRecord { kept: Kept::Synced, ..record.clone() };
        let written = sync()
            .map_err(|error| StoreProblem::io("sync", &path, &error))
            .and_then(|()| write_whole(layout, &path, &record::encode(&kept, &path)?));
        if let Err(problem) = written {
            log::debug!("{problem}");
        }
    }
}
