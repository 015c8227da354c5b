//! What a mount has done since it was made, and what it holds: the value of [`super::STATS_XATTR`].

use serde::{Deserialize, Serialize};

/// The format of a [`Snapshot`]. Fields are only ever added; a field that comes to mean something else makes a new format.
pub const SNAPSHOT_FORMAT: u32 = 1;

/// The counters of a mount at one moment. The field names are a format: see `docs/cli.md`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`SNAPSHOT_FORMAT`] of who made it.
    pub format: u32,
    /// For how long the mount has been served, milliseconds; in a difference, the time between both.
    pub uptime_ms: u64,
    /// The kinds of request that have come, the most frequent first. Not counted: INIT.
    pub requests: Vec<Requests>,
    /// Bytes of files.
    pub bytes: Moved,
    /// Objects that the kernel knows now, or that have children it knows.
    pub nodes: u64,
    /// Files that are known by several of their names.
    pub hard_links: u64,
    /// Files that are open.
    pub open_files: u64,
    /// Descriptors of layers' directories.
    pub directory_descriptors: Used,
    /// Merged listings that are kept.
    pub listings: Listings,
    /// What the kernel was told to forget.
    pub invalidations: Invalidations,
    /// The process that serves.
    pub process: Process,
}

/// The requests of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// The kernel's name for it, without its prefix: `LOOKUP`. `OTHER`: kinds that this lamina does not know; `user.lamina.*`:
    /// questions to the mount about itself.
    pub kind: String,
    /// How many have come.
    pub count: u64,
    /// How many of them were answered with an errno.
    pub errors: u64,
    /// Half of them took at most so long, nanoseconds: from the moment it was read to the moment its answer was written (or,
    /// where there is none, it was done). By the bounds of `latency_ns`, so up to a quarter too high; `None`: none is done.
    pub p50_ns: Option<u64>,
    /// 99 of 100 took at most so long.
    pub p99_ns: Option<u64>,
    /// How many took how long: pairs of an upper bound in nanoseconds and a count, ascending; bounds without any are left out.
    /// The last bound that there is, 2^35, stands for all above it, too.
    pub latency_ns: Vec<(u64, u64)>,
}

/// Bytes of files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Given in answer to READ. What the kernel has cached is not asked for.
    pub read: u64,
    /// Taken by WRITE.
    pub written: u64,
    /// Copied from file to file by copy_file_range(2).
    pub copied: u64,
}

/// How many there are of something that has a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Now.
    pub open: u64,
    /// At most.
    pub limit: u64,
}

/// Merged listings that are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listings {
    /// Of so many directories.
    pub directories: u64,
    /// With so many names in all.
    pub names: u64,
    /// About so much memory.
    pub bytes: u64,
}

/// What the kernel was told to forget.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invalidations {
    /// The attributes of an object.
    pub attributes: u64,
    /// A directory's listing.
    pub listings: u64,
    /// A name.
    pub names: u64,
    /// An object's attributes, and its data or listing.
    pub contents: u64,
}

/// The process that serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its resident memory; 0 where it cannot be found out.
    pub resident_bytes: u64,
    /// All its descriptors.
    pub descriptors: Used,
}

impl Snapshot {
    /// The snapshot as the attribute's value, of at most `longest` bytes: where it would be longer, without the distributions.
    ///
    /// # Errors
    /// Those of serde_json, which there should be none of.
    pub fn encode(&self, longest: usize) -> serde_json::Result<Vec<u8>> {
        let whole = serde_json::to_vec(self)?;
        if whole.len() <= longest {
            return Ok(whole);
        }
        let mut short = self.clone();
        short.requests.iter_mut().for_each(|requests| requests.latency_ns.clear());
        serde_json::to_vec(&short)
    }

    /// Reads a snapshot; fields that are not known are passed over, so that a later version can say more.
    ///
    /// # Errors
    /// Those of serde_json.
    pub fn decode(value: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(value)
    }

    /// What has happened since an earlier snapshot of the same mount; what it holds is that of now. Kinds of which none has come
    /// are left out.
    pub fn since(&self, earlier: &Snapshot) -> Snapshot {
        let requests = self.requests.iter().filter_map(|now| {
            let before = earlier.requests.iter().find(|before| before.kind == now.kind);
            let since = before.map_or_else(|| now.clone(), |before| now.since(before));
            (since.count > 0).then_some(since)
        });
        let (bytes, told) = (&self.bytes, &self.invalidations);
        let (bytes_before, told_before) = (&earlier.bytes, &earlier.invalidations);
        let mut requests: Vec<Requests> = requests.collect();
        sort(&mut requests);
        Snapshot {
            uptime_ms: self.uptime_ms.saturating_sub(earlier.uptime_ms),
            requests,
            bytes: Moved {
                read: bytes.read.saturating_sub(bytes_before.read),
                written: bytes.written.saturating_sub(bytes_before.written),
                copied: bytes.copied.saturating_sub(bytes_before.copied),
            },
            invalidations: Invalidations {
                attributes: told.attributes.saturating_sub(told_before.attributes),
                listings: told.listings.saturating_sub(told_before.listings),
                names: told.names.saturating_sub(told_before.names),
                contents: told.contents.saturating_sub(told_before.contents),
            },
            ..self.clone()
        }
    }
}

impl Requests {
    /// With its percentiles, by the distribution.
    pub fn new(kind: &str, count: u64, errors: u64, latency_ns: Vec<(u64, u64)>) -> Self {
        let (p50_ns, p99_ns) = (percentile(&latency_ns, 50), percentile(&latency_ns, 99));
        Requests { kind: kind.to_owned(), count, errors, p50_ns, p99_ns, latency_ns }
    }

    fn since(&self, earlier: &Requests) -> Requests {
        let before = |bound: u64| {
            earlier.latency_ns.iter().find(|(known, _)| *known == bound).map_or(0, |(_, count)| *count)
        };
        let latency = self.latency_ns.iter().map(|&(bound, now)| (bound, now.saturating_sub(before(bound))));
        Requests::new(
            &self.kind,
            self.count.saturating_sub(earlier.count),
            self.errors.saturating_sub(earlier.errors),
            latency.filter(|(_, count)| *count > 0).collect(),
        )
    }
}

/// The most frequent first, and by name where there are as many.
pub fn sort(requests: &mut [Requests]) {
    requests.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.kind.cmp(&b.kind)));
}

/// The bound below which `percent` of 100 are.
fn percentile(latency_ns: &[(u64, u64)], percent: u64) -> Option<u64> {
    let all: u64 = latency_ns.iter().map(|(_, count)| count).sum();
    let wanted = all.saturating_mul(percent).div_ceil(100);
    let mut seen = 0;
    latency_ns
        .iter()
        .find(|(_, count)| {
            seen += count;
            seen >= wanted
        })
        .map(|(bound, _)| *bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookups(count: u64, latency: &[(u64, u64)]) -> Requests {
        Requests::new("LOOKUP", count, 0, latency.to_vec())
    }

    #[test]
    fn percentiles_are_bounds_of_the_distribution() {
        for (latency, p50, p99) in [
            (&[][..], None, None),
            (&[(256, 1)], Some(256), Some(256)),
            (&[(256, 50), (512, 50)], Some(256), Some(512)),
            (&[(256, 99), (512, 1)], Some(256), Some(256)),
            (&[(256, 98), (512, 2)], Some(256), Some(512)),
        ] {
            let requests = lookups(0, latency);
            assert_eq!((requests.p50_ns, requests.p99_ns), (p50, p99), "{latency:?}");
        }
    }

    #[test]
    fn a_difference_has_what_has_come_since() {
        let earlier = Snapshot {
            uptime_ms: 1000,
            requests: vec![lookups(10, &[(256, 10)]), Requests::new("READ", 3, 0, vec![(512, 3)])],
            bytes: Moved { read: 5, written: 6, copied: 0 },
            ..Snapshot::default()
        };
        let later = Snapshot {
            uptime_ms: 3000,
            requests: vec![
                lookups(12, &[(256, 10), (1024, 2)]),
                Requests::new("OPEN", 4, 1, vec![]),
                Requests::new("READ", 3, 0, vec![(512, 3)]),
            ],
            bytes: Moved { read: 9, written: 6, copied: 0 },
            nodes: 7,
            ..Snapshot::default()
        };
        let since = later.since(&earlier);
        assert_eq!(
            since.requests,
            [Requests::new("OPEN", 4, 1, vec![]), lookups(2, &[(1024, 2)])],
            "READ has not come"
        );
        assert_eq!((since.uptime_ms, since.nodes), (2000, 7));
        assert_eq!(since.bytes, Moved { read: 4, written: 0, copied: 0 });
    }

    #[test]
    fn the_json_is_the_documented_one() {
        let snapshot = Snapshot {
            format: SNAPSHOT_FORMAT,
            requests: vec![lookups(2, &[(1024, 2)])],
            ..Snapshot::default()
        };
        let json = String::from_utf8(snapshot.encode(4096).unwrap()).unwrap();
        assert_eq!(
            json,
            r#"{"format":1,"uptime_ms":0,"requests":[{"kind":"LOOKUP","count":2,"errors":0,"p50_ns":1024,"p99_ns":1024,"latency_ns":[[1024,2]]}],"bytes":{"read":0,"written":0,"copied":0},"nodes":0,"hard_links":0,"open_files":0,"directory_descriptors":{"open":0,"limit":0},"listings":{"directories":0,"names":0,"bytes":0},"invalidations":{"attributes":0,"listings":0,"names":0,"contents":0},"process":{"resident_bytes":0,"descriptors":{"open":0,"limit":0}}}"#
        );
        assert_eq!(Snapshot::decode(json.as_bytes()).unwrap(), snapshot);
        let short = Snapshot::decode(&snapshot.encode(100).unwrap()).unwrap();
        assert_eq!((short.requests[0].p99_ns, short.requests[0].latency_ns.len()), (Some(1024), 0));
    }
}
