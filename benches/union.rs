//! What the union does by itself, without a kernel that asks: resolving names, the index of a tar, lookups in deep stacks, and merged
//! listings. `cargo bench`; `cargo bench -- index` for one group.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // benchmarks

use std::fs;
use std::hint::black_box;
use std::path::PathBuf;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lamina::config::{Behaviour, StackSpec};
use lamina::layer::{Attributes, EntryId, Found, FoundDir, FoundLeaf};
use lamina::overlay::{DirEntry, DirSink, Entry, Listing, NodeId, Overlay, SinkAnswer};
use lamina::path::{Name, NameBuf, RelPath};
use lamina::resolve::{Ask, Depth, Depths, Redirects, Resolution, Resolver, Step};
use lamina::sys::fs::Stat;
use lamina::tarball::write::{Entry as TarEntry, TarWriter, What};
use lamina::tarball::{Index, Limits, scan};

/// So many layers.
const DEPTHS: [u16; 4] = [1, 16, 64, 128];

fn name(text: &str) -> NameBuf {
    NameBuf::new(text.as_bytes()).unwrap()
}

fn stat(mode: u32) -> Stat {
    Stat {
        dev: 1,
        ino: 1,
        mode,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev_major: 0,
        rdev_minor: 0,
        size: 0,
        blocks: 0,
        blksize: 4096,
        atime: (0, 0),
        mtime: (0, 0),
        ctime: (0, 0),
        btime: None,
    }
}

fn file() -> Found {
    Found::Leaf(FoundLeaf { stat: stat(libc::S_IFREG), metacopy: None, entry: None })
}

fn directory() -> Found {
    Found::Dir(FoundDir {
        stat: stat(libc::S_IFDIR),
        opaque: false,
        xwhiteouts: false,
        redirect: None,
        attributes: Attributes::Own,
        entry: None,
    })
}

/// The whole conversation about a name, of which the layer at each depth says `look`.
fn resolve(parent: &[Depth], name: Name<'_>, look: impl Fn(usize) -> Found) -> Resolution {
    let depths = Depths { ordinary: parent.len() as u16, data_only: 0 };
    let mut resolver = Resolver::new(parent, 0, name, depths, Redirects::Follow);
    loop {
        match resolver.step().unwrap() {
            Step::Ask(Ask::InPart { part, .. }) => resolver.answer(look(part)),
            Step::Ask(Ask::AtPath { .. }) => panic!("there are no redirects"),
            Step::Done(resolution) => return resolution,
        }
    }
}

/// Who supplies a name: the decisions alone, no layer is touched.
fn resolving(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("resolve");
    let name = name("name");
    for depth in DEPTHS {
        let parent: Vec<Depth> = (0..depth).map(Depth).collect();
        let base = usize::from(depth) - 1;
        group.bench_function(BenchmarkId::new("absent", depth), |b| {
            b.iter(|| resolve(black_box(&parent), name.as_name(), |_| Found::Absent));
        });
        group.bench_function(BenchmarkId::new("file in the base", depth), |b| {
            let look = |part| if part == base { file() } else { Found::Absent };
            b.iter(|| resolve(black_box(&parent), name.as_name(), look));
        });
        group.bench_function(BenchmarkId::new("directory in all", depth), |b| {
            b.iter(|| resolve(black_box(&parent), name.as_name(), |_| directory()));
        });
    }
    group.finish();
}

/// A tar of 100 directories with 120 empty files each.
fn tar() -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    for dir in 0..100 {
        let path = RelPath::new(format!("dir{dir:03}").as_bytes()).unwrap();
        let what = What::Directory;
        tar.entry(&TarEntry { what, perm: 0o755, ..TarEntry::plain(&path, 0) }).unwrap();
        for file in 0..120 {
            let path = path.join(name(&format!("file{file:03}")).as_name());
            tar.entry(&TarEntry::plain(&path, 0)).unwrap();
        }
    }
    tar.finish().unwrap()
}

/// The index of a tar: made, opened, asked and listed.
fn index(criterion: &mut Criterion) {
    let tar = tar();
    let scanned = scan(&*tar, &Limits::default()).unwrap();
    let mut bytes = Vec::new();
    scanned.write_to(&mut bytes).unwrap();
    let index = Index::from_bytes(bytes.clone()).unwrap();
    let dir = match index.find(EntryId::ROOT, name("dir050").as_name()).unwrap() {
        Some(lamina::tarball::Child::Entry(entry)) => entry,
        other => panic!("{other:?}"),
    };

    let mut group = criterion.benchmark_group("index");
    group.throughput(Throughput::Elements(u64::from(index.len())));
    group.bench_function("made of a tar", |b| b.iter(|| scan(black_box(&*tar), &Limits::default()).unwrap()));
    group.bench_function("opened", |b| {
        b.iter_batched(|| bytes.clone(), |bytes| Index::from_bytes(bytes).unwrap(), BatchSize::LargeInput);
    });
    group.throughput(Throughput::Elements(1));
    for (what, asked) in [("a name that is there", "file077"), ("a name that is not", "none")] {
        let asked = name(asked);
        group.bench_function(what, |b| b.iter(|| index.find(black_box(dir), asked.as_name()).unwrap()));
    }
    group.throughput(Throughput::Elements(120));
    group.bench_function("listed", |b| {
        b.iter(|| {
            index
                .children(black_box(dir))
                .unwrap()
                .map(|child| child.unwrap().0.as_bytes().len())
                .sum::<usize>()
        });
    });
    group.finish();
}

/// Layers in directories, which live as long as this; the base is the last.
struct Layers {
    _dir: tempfile::TempDir,
    spec: StackSpec,
}

impl Layers {
    /// `fill` is called with each layer's number, from the top, and its directory.
    fn new(count: u16, fill: impl Fn(u16, &PathBuf)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lowers: Vec<PathBuf> = (0..count).map(|number| dir.path().join(number.to_string())).collect();
        for (number, lower) in (0..).zip(&lowers) {
            fs::create_dir(lower).unwrap();
            fill(number, lower);
        }
        let lowers = lowers.into_iter().map(Into::into).collect();
        Layers { _dir: dir, spec: StackSpec { lowers, data_only: Vec::new(), upper: None } }
    }

    fn open(&self) -> Overlay {
        Overlay::open_stack(&self.spec, &Behaviour::default()).unwrap()
    }
}

/// A lookup, and that it is forgotten again; the directory has been looked up before, and is in all layers.
fn lookups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lookup");
    for depth in DEPTHS {
        let layers = Layers::new(depth, |number, dir| {
            fs::create_dir(dir.join("dir")).unwrap();
            if number + 1 == depth {
                fs::write(dir.join("dir/base"), "").unwrap();
            }
        });
        let overlay = layers.open();
        let dir = overlay.lookup(NodeId::ROOT, name("dir").as_name()).unwrap().unwrap().node;
        let (base, none) = (name("base"), name("none"));
        group.bench_function(BenchmarkId::new("in the base", depth), |b| {
            b.iter(|| {
                let found = overlay.lookup(dir, base.as_name()).unwrap().unwrap();
                overlay.forget(found.node, 1);
            });
        });
        group.bench_function(BenchmarkId::new("nowhere", depth), |b| {
            b.iter(|| overlay.lookup(dir, none.as_name()).unwrap());
        });
    }
    group.finish();
}

/// Takes everything, and counts it.
struct Count(u64);

impl DirSink for Count {
    fn push(&mut self, _: DirEntry<'_>, _: Option<&Entry>) -> SinkAnswer {
        self.0 += 1;
        SinkAnswer::Taken
    }
}

fn count(overlay: &Overlay) -> u64 {
    let mut sink = Count(0);
    overlay.readdir(NodeId::ROOT, 0, Listing::Names, &mut sink).unwrap();
    sink.0
}

/// 3,000 names, of which each of three layers has 1,500: merged, and as it was merged before. Both look each name up; the difference
/// is the merge.
fn listings(criterion: &mut Criterion) {
    let layers = Layers::new(3, |number, dir| {
        let first = 750 * u32::from(number);
        (first..first + 1500).for_each(|n| fs::write(dir.join(format!("name{n:05}")), "").unwrap());
    });
    let mut group = criterion.benchmark_group("listing");
    group.throughput(Throughput::Elements(3000)).sample_size(20);
    group.bench_function("merged", |b| {
        b.iter_batched(|| layers.open(), |overlay| count(&overlay), BatchSize::PerIteration);
    });
    let overlay = layers.open();
    assert_eq!(count(&overlay), 3000 + 2);
    group.bench_function("merged before", |b| b.iter(|| count(black_box(&overlay))));
    group.finish();
}

criterion_group!(benches, resolving, index, lookups, listings);
criterion_main!(benches);
