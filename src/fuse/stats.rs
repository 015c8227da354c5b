//! What is counted while a mount is served.
//!
//! Each thread that answers requests counts in memory of its own, which nobody else writes to: no lock, no atomic
//! read-modify-write, and no allocation but for the first request of a kind. Whoever asks adds up what all have counted.
//!
//! What is counted when, so that who has an answer sees it counted: a request before it is served, its failure and its bytes
//! before it is answered. Only its latency is known after the answer is out.

mod histogram;
mod process;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use self::histogram::Histogram;
use super::wire::{Reply, RequestKind};
use crate::control::snapshot::{
    self, Invalidations, Listings, Moved, Requests, SNAPSHOT_FORMAT, Snapshot, Used,
};
use crate::overlay::{Census, Invalidation, Overlay};

/// What sees a mount from outside: for whoever asks how it does.
#[derive(Debug, Clone)]
pub struct Observer {
    overlay: Arc<Overlay>,
    statistics: Arc<Statistics>,
}

impl Observer {
    pub(super) fn new(overlay: Arc<Overlay>) -> Self {
        Observer { overlay, statistics: Arc::new(Statistics::new()) }
    }

    /// Everything that is counted, as of now. It costs a walk over all nodes.
    pub fn snapshot(&self) -> Snapshot {
        self.statistics.snapshot(&self.overlay.census())
    }

    /// For one more thread that answers requests.
    pub(super) fn recorder(&self) -> Recorder {
        let counters = Arc::new(Counters::new());
        lock(&self.statistics.recorders).push(Arc::clone(&counters));
        Recorder { counters }
    }

    /// The kernel is told to forget something. Rare, so all threads share these counters.
    pub(super) fn tells(&self, what: &Invalidation) {
        let told = &self.statistics.told;
        let counter = match what {
            Invalidation::Attr(_) => &told.attributes,
            Invalidation::Listing(_) => &told.listings,
            Invalidation::Entry(..) => &told.names,
            Invalidation::Content(_) => &told.contents,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// All counters of a mount.
#[derive(Debug)]
struct Statistics {
    started: Instant,
    recorders: Mutex<Vec<Arc<Counters>>>,
    told: Told,
}

#[derive(Debug, Default)]
struct Told {
    attributes: AtomicU64,
    listings: AtomicU64,
    names: AtomicU64,
    contents: AtomicU64,
}

/// What one thread has counted.
#[derive(Debug)]
struct Counters {
    kinds: Box<[OnceLock<Box<OfKind>>]>,
    read: AtomicU64,
    written: AtomicU64,
    copied: AtomicU64,
}

/// Requests of one kind.
#[derive(Debug, Default)]
struct OfKind {
    count: AtomicU64,
    errors: AtomicU64,
    latency: Histogram,
}

impl Counters {
    fn new() -> Self {
        let zero = AtomicU64::default;
        let kinds = (0..RequestKind::END).map(|_| OnceLock::new()).collect();
        Counters { kinds, read: zero(), written: zero(), copied: zero() }
    }

    fn of(&self, kind: RequestKind) -> Option<&OfKind> {
        Some(self.kinds.get(kind.number())?.get_or_init(Box::default))
    }
}

/// Adds to a counter that no other thread writes to.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

/// One thread's side: the only one that writes to its counters.
#[derive(Debug)]
pub(super) struct Recorder {
    counters: Arc<Counters>,
}

/// A request that is being served.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    kind: RequestKind,
    at: Instant,
}

impl Recorder {
    /// A request has been read.
    pub(super) fn asked(&mut self, request: &[u8]) -> Asked {
        let kind = RequestKind::of(request);
        if let Some(counters) = self.counters.of(kind) {
            add(&counters.count, 1);
        }
        Asked { kind, at: Instant::now() }
    }

    /// It is about to be answered.
    pub(super) fn answers(&mut self, Asked { kind, .. }: Asked, reply: &Reply<'_>) {
        match reply {
            Reply::Failed(_) => {
                if let Some(counters) = self.counters.of(kind) {
                    add(&counters.errors, 1);
                }
            }
            Reply::Bytes(bytes) if kind.reads() => add(&self.counters.read, bytes.len() as u64),
            Reply::Written(len) if kind.writes() => add(&self.counters.written, u64::from(*len)),
            Reply::Written(len) if kind.copies() => add(&self.counters.copied, u64::from(*len)),
            Reply::Copied(len) => add(&self.counters.copied, *len),
            _ => {}
        }
    }

    /// Its answer is written, or is another thread's to be written; or it has none, and is done.
    pub(super) fn done(&mut self, Asked { kind, at }: Asked) {
        let elapsed = u64::try_from(at.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if let Some(counters) = self.counters.of(kind) {
            counters.latency.add(elapsed);
        }
    }
}

impl Statistics {
    fn new() -> Self {
        Statistics { started: Instant::now(), recorders: Mutex::default(), told: Told::default() }
    }

    fn snapshot(&self, census: &Census) -> Snapshot {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let recorders = lock(&self.recorders).clone();
        let requests_of = |kind: RequestKind| {
            let (mut count, mut errors, mut latency) = (0, 0, Vec::new());
            for of_kind in recorders.iter().filter_map(|all| all.kinds.get(kind.number())?.get()) {
                count += get(&of_kind.count);
                errors += get(&of_kind.errors);
                of_kind.latency.add_to(&mut latency);
            }
            (count > 0).then(|| Requests::new(kind.name(), count, errors, histogram::bounded(&latency)))
        };
        let mut requests: Vec<Requests> = RequestKind::all().filter_map(requests_of).collect();
        snapshot::sort(&mut requests);
        let sum = |counter: fn(&Counters) -> &AtomicU64| recorders.iter().map(|all| get(counter(all))).sum();
        Snapshot {
            format: SNAPSHOT_FORMAT,
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            requests,
            bytes: Moved {
                read: sum(|all| &all.read),
                written: sum(|all| &all.written),
                copied: sum(|all| &all.copied),
            },
            nodes: number(census.nodes),
            hard_links: number(census.hard_links),
            open_files: number(census.open_files),
            directory_descriptors: Used {
                open: number(census.directory_descriptors),
                limit: number(census.directory_descriptors_limit),
            },
            listings: Listings {
                directories: number(census.listings),
                names: number(census.listed_names),
                bytes: number(census.listing_bytes),
            },
            invalidations: Invalidations {
                attributes: get(&self.told.attributes),
                listings: get(&self.told.listings),
                names: get(&self.told.names),
                contents: get(&self.told.contents),
            },
            process: process::now(),
        }
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// What is guarded is a list that only grows.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
