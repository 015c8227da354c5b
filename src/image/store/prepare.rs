//! From an image to layers that can be mounted.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use super::lock::{NotLocked, WorkLock};
use super::plan::{Given, Have, Plan, Read, Tar, plan};
use super::progress::{Progress, Running, Task, Work};
use super::record::{self, Kept, LayerRecord, SeenRecord};
use super::remove::{Made, Part};
use super::staging::{Staging, write_whole};
use super::{Prepare, PreparedLayer, Store, StoreProblem};
use crate::config::{LowerSpec, TarSpec};
use crate::digest::Digest;
use crate::error::LayerRef;
use crate::image::compression::{Compression, MAGIC_LEN, Unsupported};
use crate::image::verify::{Aim, Budget, Content, Fault, Promise, VerifiedLayer, Watch, verify};
use crate::image::{Blob, Image, ImageError, ImageLayer, LayerSource, Problem};
use crate::stamp::FileStamp;
use crate::tarball::{Index, Scanned, TarLayer};

/// A layer whose content is a blob.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    /// From 0 at the base.
    pub index: usize,
    pub layer: &'a ImageLayer,
    pub blob: &'a Blob,
}

impl Job<'_> {
    fn number(&self) -> usize {
        self.index.saturating_add(1)
    }

    fn name(&self) -> Digest {
        self.layer.digest.unwrap_or(self.layer.diff_id)
    }

    fn promise(&self) -> Promise {
        Promise { stored: self.layer.stored, digest: self.layer.digest, diff_id: self.layer.diff_id }
    }
}

/// What all workers share.
pub(super) struct Context<'a> {
    pub store: &'a Store,
    pub image: &'a Image,
    options: &'a Prepare,
    progress: &'a dyn Progress,
    budget: Budget,
    /// Set when a layer has failed: the others' work is pointless.
    stop: AtomicBool,
    pub boot: String,
    made: Made<'a>,
}

impl Store {
    /// Verifies the layers of an image and makes them mountable; base first. What is ready already is not read again.
    /// Layers are worked on in parallel, and processes that need the same layer share one work.
    ///
    /// # Errors
    /// A layer is not what the image promises, malformed or too large, or the store cannot be written to. Nothing of
    /// such an image enters the store.
    pub fn prepare(
        &self,
        image: &Image,
        options: &Prepare,
        progress: &dyn Progress,
    ) -> Result<Vec<PreparedLayer>, ImageError> {
        let context = Context::new(self, image, options, progress);
        let mut ready: Vec<Option<PreparedLayer>> = Vec::new();
        let mut jobs = Vec::new();
        for (index, layer) in image.layers.iter().enumerate() {
            ready.push(match &layer.source {
                LayerSource::Directory(path) => Some(PreparedLayer {
                    lower: LowerSpec::Directory(path.clone()),
                    diff_id: layer.diff_id,
                    lease: None,
                }),
                LayerSource::Blob(blob) => {
                    let job = Job { index, layer, blob };
                    let known = context.ready(&job);
                    if known.is_none() {
                        jobs.push(job);
                    }
                    known
                }
            });
        }
        for (index, layer) in context.work(jobs)? {
            if let Some(slot) = ready.get_mut(index) {
                *slot = Some(layer);
            }
        }
        let layers: Vec<PreparedLayer> = ready.into_iter().flatten().collect();
        check_links(image, &layers).map_err(|error| error.of_image(&image.name))?;
        context.made.keep();
        Ok(layers)
    }
}

impl<'a> Context<'a> {
    /// Nothing is done yet.
    pub(super) fn new(
        store: &'a Store,
        image: &'a Image,
        options: &'a Prepare,
        progress: &'a dyn Progress,
    ) -> Self {
        Context {
            store,
            image,
            options,
            progress,
            budget: Budget::new(options.max_unpacked),
            stop: AtomicBool::new(false),
            boot: this_boot(),
            made: Made::new(&store.layout),
        }
    }
}

impl Context<'_> {
    /// Does the jobs, the largest first, on as many threads as there are processors.
    fn work(&self, mut jobs: Vec<Job<'_>>) -> Result<Vec<(usize, PreparedLayer)>, ImageError> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = jobs.iter().fold(0u64, |sum, job| sum.saturating_add(job.blob.len));
        self.progress.plan(jobs.len(), bytes);
        jobs.sort_by_key(|job| std::cmp::Reverse(job.blob.len));
        let workers = thread::available_parallelism().map_or(1, usize::from).min(jobs.len());
        let queue = Mutex::new(VecDeque::from(jobs));
        let (done, failed) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Some(job) = next() {
                        match self.one(&job) {
                            Ok(layer) => {
                                let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                                done.push((job.index, layer));
                            }
                            Err(fault) => {
                                self.stop.store(true, Ordering::Relaxed);
                                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                                failed.push((job.index, self.named(&job, fault)));
                            }
                        }
                    }
                });
            }
        });
        let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Several layers may be bad; the lowest of them is told. Those that only stopped have nothing to tell.
        let first = failed
            .into_iter()
            .filter_map(|(index, error)| Some((index, error?)))
            .min_by_key(|(index, _)| *index);
        match first {
            Some((_, error)) => Err(error),
            None => Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    fn named(&self, job: &Job<'_>, fault: Fault) -> Option<ImageError> {
        let error = match fault {
            Fault::Stopped => return None,
            Fault::Write(error) => StoreProblem::io("write", self.store.dir(), &error).into(),
            Fault::Bad(error) => error,
        };
        Some(error.in_layer(job.number(), Some(job.name())).of_image(&self.image.name))
    }

    /// Makes one layer ready.
    fn one(&self, job: &Job<'_>) -> Result<PreparedLayer, Fault> {
        let layout = &self.store.layout;
        let go_on = || !self.stop.load(Ordering::Relaxed);
        let waiting = || self.progress.waiting(job.number());
        let _lock = match WorkLock::acquire(&layout.lock(&job.layer.diff_id), go_on, waiting) {
            Ok(lock) => lock,
            Err(NotLocked::GaveUp) => return Err(Fault::Stopped),
            Err(NotLocked::Failed(problem)) => return Err(problem.into()),
        };
        // Whoever had the lock may have done it.
        if let Some(ready) = self.ready(job) {
            return Ok(ready);
        }
        let seen = self.seen(job);
        let compression = compression(job.blob)?;
        let given = Given { compressed: compression != Compression::None, verified: seen.is_some() };
        let mut todo = plan(given, self.have(&job.layer.diff_id));
        if todo.rescan && !self.rescan(job)? {
            todo = plan(given, Have { index: false, tar: Tar::None });
        }
        let digest = self.read_blob(job, compression, todo)?;
        if let Some(digest) = digest {
            self.note_seen(job, digest, given.compressed)?;
        }
        let unsteady = || StoreProblem::Unsteady { dir: self.store.dir().to_owned() };
        self.ready(job).ok_or_else(|| unsteady().into())
    }

    /// Does what the plan says about the blob. Answers with its digest, where it was read.
    fn read_blob(
        &self,
        job: &Job<'_>,
        compression: Compression,
        todo: Plan,
    ) -> Result<Option<Digest>, Fault> {
        let diff_id = &job.layer.diff_id;
        let entries = self.options.max_entries;
        let verified = match todo.blob {
            Read::Nothing => return Ok(None),
            Read::Hash => {
                let content = match compression {
                    Compression::None => Content::Tar,
                    Compression::Gzip | Compression::Zstd => Content::Compressed,
                };
                self.verify(job, job.blob, job.promise(), Task::Check, Aim::Hash(content))?
            }
            Read::Scan => {
                let verified =
                    self.verify(job, job.blob, job.promise(), Task::Index, Aim::Scan { entries })?;
                let tar = self.verified_tar(diff_id);
                self.made.note(Part::Layer(*diff_id));
                self.publish(diff_id, &verified, job.blob.len, None, tar)?;
                verified
            }
            Read::Unpack => {
                let staging = Staging::new(&self.store.layout)?;
                let aim = Aim::Unpack {
                    compression,
                    into: staging.file(),
                    entries,
                    budget: &self.budget,
                    most: self.options.most_of_layer(job.layer.stored),
                };
                let verified = self.verify(job, job.blob, job.promise(), Task::Unpack, aim)?;
                let unpacked = staging.file().metadata().map_err(|error| staging.failed(&error))?.len();
                self.made.note(Part::Layer(*diff_id));
                self.publish(diff_id, &verified, unpacked, Some(staging), None)?;
                verified
            }
        };
        Ok(Some(verified.digest()))
    }

    /// Reads the tar that the store has. `false`: it was not the layer's, and is removed.
    fn rescan(&self, job: &Job<'_>) -> Result<bool, Fault> {
        let diff_id = job.layer.diff_id;
        let path = self.store.layout.tar(&diff_id);
        let blob = Blob::open(&path)?;
        let promise = Promise { stored: blob.len, digest: None, diff_id };
        let aim = Aim::Scan { entries: self.options.max_entries };
        match self.verify(job, &blob, promise, Task::Index, aim) {
            Ok(verified) => {
                self.publish(&diff_id, &verified, blob.len, None, Some(blob.stamp))?;
                Ok(true)
            }
            Err(Fault::Bad(error)) if matches!(error.problem(), Problem::Mismatch { .. }) => {
                log::warn!("layer store: '{}' was damaged, and is made again", path.display());
                fs::remove_file(&path).map_err(|error| StoreProblem::io("remove", &path, &error))?;
                Ok(false)
            }
            Err(fault) => Err(fault),
        }
    }

    fn verify(
        &self,
        job: &Job<'_>,
        blob: &Blob,
        promise: Promise,
        task: Task,
        aim: Aim<'_>,
    ) -> Result<VerifiedLayer, Fault> {
        let layer = job.number();
        let work = Work {
            layer,
            of: self.image.layers.len(),
            digest: Some(job.name()),
            task,
            bytes: Some(blob.len),
        };
        let _running = Running::begin(self.progress, &work);
        let advance = |bytes| self.progress.advance(layer, bytes);
        verify(blob, &promise, aim, &Watch { advance: &advance, stop: &self.stop })
    }

    /// Puts a layer's files in place: the tar, if it is a new one, its index, and last the record that makes them count.
    fn publish(
        &self,
        diff_id: &Digest,
        verified: &VerifiedLayer,
        unpacked: u64,
        tar: Option<Staging>,
        tar_in_place: Option<FileStamp>,
    ) -> Result<(), Fault> {
        let layout = &self.store.layout;
        let Some(scanned) = verified.scanned() else {
            return Ok(());
        };
        let index = stage_index(layout, scanned)?;
        let tar = match tar {
            Some(staging) => Some(staging.publish(&layout.tar(diff_id))?),
            None => tar_in_place,
        };
        let index_path = layout.index(diff_id);
        let index = index.publish(&index_path)?;
        let opened = open_index(&index_path)?;
        let record = LayerRecord {
            version: record::VERSION,
            unpacked,
            entries: opened.summary().entries,
            index: index.into(),
            tar: tar.map(Into::into),
            kept: Kept::InMemory { boot: self.boot.clone(), since: now() },
        };
        let path = layout.layer_record(diff_id);
        Ok(write_whole(layout, &path, &record::encode(&record, &path)?)?)
    }

    fn note_seen(&self, job: &Job<'_>, digest: Digest, compressed: bool) -> Result<(), Fault> {
        let blob = job.blob;
        let record = SeenRecord {
            version: record::VERSION,
            path: absolute(&blob.path)?,
            stamp: blob.stamp.into(),
            offset: blob.offset,
            len: blob.len,
            digest,
            diff_id: job.layer.diff_id,
            compressed,
            image: self.image.place.clone(),
        };
        let layout = &self.store.layout;
        let path = layout.seen(blob);
        self.made.note(Part::Seen(path.clone()));
        Ok(write_whole(layout, &path, &record::encode(&record, &path)?)?)
    }
}

/// How a blob is compressed.
fn compression(blob: &Blob) -> Result<Compression, Fault> {
    let mut start = [0; MAGIC_LEN];
    let n = blob.read_at(&mut start, 0).map_err(|error| Problem::io("read", &blob.path, &error))?;
    Compression::of(start.get(..n).unwrap_or_default()).map_err(|Unsupported(name)| {
        let problem = Problem::Unsupported {
            problem: format!("it is compressed with {name}, expected gzip, zstd or a tar"),
            hint: "copy the image with another compression: skopeo copy --dest-compress-format zstd"
                .to_owned(),
        };
        problem.into()
    })
}

fn stage_index(layout: &super::layout::Layout, scanned: &Scanned) -> Result<Staging, StoreProblem> {
    let staging = Staging::new(layout)?;
    let mut out = std::io::BufWriter::with_capacity(1 << 20, staging.file());
    let written = scanned.write_to(&mut out).and_then(|()| std::io::Write::flush(&mut out));
    drop(out);
    written.map_err(|error| staging.failed(&error))?;
    Ok(staging)
}

pub(super) fn open_index(path: &Path) -> Result<Index, Fault> {
    Index::open(path).map_err(|error| Problem::Malformed(error.to_string()).into())
}

pub(super) fn absolute(path: &Path) -> Result<std::path::PathBuf, Fault> {
    std::path::absolute(path).map_err(|error| Problem::io("find", path, &error).into())
}

/// The number of this start of the machine; empty where it cannot be known.
fn this_boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim_end().to_owned()
}

pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A hard link may lead to a file of a layer below: one that leads nowhere is found before anything is mounted.
fn check_links(image: &Image, layers: &[PreparedLayer]) -> Result<(), ImageError> {
    let specs: Option<Vec<&TarSpec>> = layers
        .iter()
        .map(|layer| match &layer.lower {
            LowerSpec::Tar(spec) => Some(spec),
            LowerSpec::Directory(_) => None,
        })
        .collect();
    let Some(specs) = specs else {
        return Ok(());
    };
    let mut any = false;
    for spec in &specs {
        let index = Index::open(&spec.index).map_err(|error| Problem::Malformed(error.to_string()))?;
        any |= index.summary().links_below > 0;
    }
    if !any {
        return Ok(());
    }
    let mut below: Vec<TarLayer> = Vec::new();
    for ((number, spec), layer) in (1u16..).zip(specs).zip(&image.layers) {
        let linked = TarLayer::open(spec, LayerRef::Lower(number)).and_then(|mut tar| {
            let lower: Vec<&TarLayer> = below.iter().rev().collect();
            tar.link_below(&lower).map(|()| tar)
        });
        below.push(linked.map_err(|error| {
            let named = ImageError::new(Problem::Malformed(error.kind().to_string()));
            let named = match error.path() {
                Some(entry) => named.at_entry(entry),
                None => named,
            };
            named.in_layer(usize::from(number), Some(layer.digest.unwrap_or(layer.diff_id)))
        })?);
    }
    Ok(())
}

impl From<StoreProblem> for Fault {
    fn from(problem: StoreProblem) -> Self {
        Fault::Bad(problem.into())
    }
}
