use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::*;
use crate::config::{Behaviour, Namespace, StackSpec};
use crate::marker::Marker;
use crate::overlay::{Attr, FileKind, Overlay, Rdev, Timestamp};
use crate::resolve::Depth;
use crate::sys::fs::At;
use crate::sys::xattr::{self, SetMode};

const OPTIONS: Options = Options {
    times: Times::Ignored,
    trusted: Trusted::Compared,
    parents: Parents::LeftOut,
    detail: Detail::Whole,
};

/// Layers below a directory, and comparisons of stacks of them.
struct Layers(tempfile::TempDir);

/// A marker that an ordinary user can set, and its value.
fn mark(path: &Path, marker: Marker, value: &[u8]) {
    let file = File::open(path).unwrap();
    let name = marker.xattr(Namespace::User).to_bytes();
    xattr::set(At::Fd(file.as_fd()), name, value, SetMode::Any).unwrap();
}

impl Layers {
    fn new() -> Self {
        Layers(tempfile::tempdir().unwrap())
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Makes files of a layer; what ends in a slash is a directory, and the content is what comes after `=`.
    fn layer(&self, name: &str, entries: &[&str]) {
        fs::create_dir_all(self.at(name)).unwrap();
        for entry in entries {
            let (path, content) = entry.split_once('=').unwrap_or((entry, ""));
            let path = self.at(name).join(path);
            if entry.ends_with('/') {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
        }
    }

    /// A stack of layers, top first.
    fn open(&self, layers: &[&str]) -> Overlay {
        let lowers = layers.iter().map(|layer| self.at(layer).into()).collect();
        let spec = StackSpec { lowers, data_only: Vec::new(), upper: None };
        Overlay::open_stack(&spec, &Behaviour { read_only: true, ..Behaviour::default() }).unwrap()
    }

    fn told(&self, before: &[&str], after: &[&str]) -> Vec<String> {
        self.told_with(before, after, OPTIONS)
    }

    fn told_with(&self, before: &[&str], after: &[&str], options: Options) -> Vec<String> {
        let (before, after) = (self.open(before), self.open(after));
        let comparison = Comparison::new(Some(&before), &after, options).unwrap();
        let lines = lines(&comparison);
        assert_eq!((before.node_count(), after.node_count()), (1, 1), "nodes are still held");
        lines
    }
}

fn lines(comparison: &Comparison<'_>) -> Vec<String> {
    let mut lines = Lines(Vec::new());
    comparison.run(&RelPath::root(), comparison.roots().unwrap(), &mut lines);
    lines.0
}

struct Lines(Vec<String>);

impl Sink for Lines {
    fn change(&mut self, path: &RelPath, change: &Change) -> ControlFlow<()> {
        let path = String::from_utf8_lossy(path.as_bytes());
        self.0.push(match change {
            Change::Added(_) => format!("A {path}"),
            Change::Deleted { held: Held { names: 0, .. }, .. } => format!("D {path}"),
            Change::Deleted { held: Held { names, bytes }, .. } => format!("D {path} {names} {bytes}"),
            Change::Changed { what, .. } => {
                format!("C {path} {}", what.words().collect::<Vec<_>>().join(" "))
            }
            Change::Parent { .. } => format!("P {path}"),
        });
        ControlFlow::Continue(())
    }

    fn trouble(&mut self, side: Side, error: &Error) -> ControlFlow<()> {
        self.0.push(format!("{side:?}: {error}"));
        ControlFlow::Continue(())
    }
}

fn facts(kind: FileKind) -> Facts {
    let time = Timestamp { sec: 1000, nsec: 0 };
    let attr = Attr {
        ino: 1,
        size: 100,
        blocks: 8,
        atime: time,
        mtime: time,
        ctime: time,
        btime: None,
        kind,
        perm: 0o644,
        nlink: 1,
        uid: 1,
        gid: 2,
        rdev: Rdev { major: 1, minor: 3 },
        blksize: 4096,
    };
    Facts { attr, target: None, layer: Depth(0) }
}

#[test]
fn attributes_say_what_is_different() {
    type Set = fn(&mut Facts);
    let of = |kind, set: Set| {
        let mut changed = facts(kind);
        set(&mut changed);
        let words = |times| {
            let what = facts(kind).differences(&changed, times);
            assert_eq!(changed.differences(&facts(kind), times), what, "it is the same the other way round");
            what.words().collect::<Vec<_>>().join(" ")
        };
        (words(Times::Ignored), words(Times::Compared))
    };
    use FileKind::*;
    let nothing: Set = |_| {};
    for (kind, set, expected) in [
        (Regular, nothing, ""),
        (Regular, |facts| facts.attr.kind = Directory, "type"),
        (CharDevice, |facts| facts.attr.kind = BlockDevice, "type"),
        (Regular, |facts| facts.attr.size += 1, "content"),
        (Directory, |facts| facts.attr.size += 1, ""),
        (Symlink, |facts| facts.target = Some(b"there".to_vec()), "target"),
        (Symlink, |facts| facts.attr.perm = 0o777, ""),
        (Symlink, |facts| facts.attr.gid = 9, "owner"),
        (CharDevice, |facts| facts.attr.rdev.minor = 5, "device"),
        (Regular, |facts| facts.attr.rdev.minor = 5, ""),
        (Directory, |facts| facts.attr.perm = 0o1644, "mode"),
        (Fifo, |facts| facts.attr.uid = 5, "owner"),
        (Regular, |facts| facts.attr.nlink = 2, ""),
        (Regular, |facts| facts.attr.ino = 2, ""),
        (Regular, |facts| facts.layer = Depth(1), ""),
        (
            Regular,
            |facts| {
                facts.attr.uid = 3;
                facts.attr.perm = 0o600;
                facts.attr.size = 0;
            },
            "content mode owner",
        ),
    ] {
        assert_eq!(of(kind, set), (expected.to_owned(), expected.to_owned()), "{kind:?}");
    }
    for (set, expected) in [
        ((|facts| facts.attr.mtime.sec = 1001) as Set, "time"),
        (|facts| facts.attr.mtime.nsec = 999_999_999, ""),
        (|facts| facts.attr.ctime.sec = 5, ""),
    ] {
        assert_eq!(of(Regular, set), (String::new(), expected.to_owned()));
    }
    let at = |nsec| Facts {
        attr: Attr { mtime: Timestamp { sec: 1, nsec }, ..facts(Regular).attr },
        ..facts(Regular)
    };
    assert_eq!(at(1).differences(&at(2), Times::Compared), Differences::TIME);
}

#[test]
fn paths_are_added_changed_and_deleted() {
    let layers = Layers::new();
    let old = [
        "same=1",
        "other=one",
        "longer=1",
        "mode=",
        "gone=1",
        "dir/a=1",
        "dir/sub/b=22",
        "becomes-dir=",
        "becomes-file/x=",
        "becomes-file/y/z=1",
    ];
    let new = [
        "same=1",
        "other=two",
        "longer=11",
        "mode=",
        "new=",
        "new-dir/sub/",
        "becomes-dir/x=",
        "becomes-file=",
    ];
    layers.layer("old", &old);
    layers.layer("new", &new);
    fs::set_permissions(layers.at("new/mode"), PermissionsExt::from_mode(0o600)).unwrap();
    symlink("a", layers.at("old/link")).unwrap();
    symlink("b", layers.at("new/link")).unwrap();
    assert_eq!(
        layers.told(&["old"], &["new"]),
        [
            "C becomes-dir type",
            "A becomes-dir/x",
            "C becomes-file type",
            "D becomes-file/x",
            "D becomes-file/y 1 1",
            "D dir 3 3",
            "D gone",
            "C link target",
            "C longer content",
            "C mode mode",
            "A new",
            "A new-dir",
            "A new-dir/sub",
            "C other content",
        ]
    );
    assert_eq!(layers.told(&["old"], &["old"]), [""; 0]);
    // With nothing below, all is new.
    let after = layers.open(&["new"]);
    let comparison = Comparison::new(None, &after, OPTIONS).unwrap();
    assert_eq!(lines(&comparison)[..3], ["A ", "A becomes-dir", "A becomes-dir/x"]);
}

#[test]
fn directories_above_a_change_are_told_once() {
    let layers = Layers::new();
    layers.layer("old", &["a/b/c=1", "a/b/d=1", "a/e/f=1", "g/h=1"]);
    layers.layer("new", &["a/b/c=2", "a/b/d=2", "a/e/f=2", "g/h=1"]);
    let options = Options { parents: Parents::Told, ..OPTIONS };
    assert_eq!(
        layers.told_with(&["old"], &["new"], options),
        ["P a", "P a/b", "C a/b/c content", "C a/b/d content", "P a/e", "C a/e/f content"]
    );
}

#[test]
fn attributes_and_times_count_as_asked() {
    let layers = Layers::new();
    layers.layer("old", &["d/f=1"]);
    layers.layer("new", &["d/f=1"]);
    let set = |path: &str, name: &[u8]| {
        let file = File::open(layers.at(path)).unwrap();
        xattr::set(At::Fd(file.as_fd()), name, b"v", SetMode::Any).unwrap();
    };
    assert_eq!(layers.told(&["old"], &["new"]), [""; 0]);
    set("new/d", b"user.x");
    set("new/d/f", b"user.y");
    assert_eq!(layers.told(&["old"], &["new"]), ["C d xattr", "C d/f xattr"]);
    set("old/d", b"user.x");
    set("old/d/f", b"user.z");
    assert_eq!(layers.told(&["old"], &["new"]), ["C d/f xattr"]);
    File::options()
        .write(true)
        .open(layers.at("new/d/f"))
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(5))
        .unwrap();
    assert_eq!(layers.told(&["old"], &["new"]), ["C d/f xattr"]);
    let told = layers.told_with(&["old"], &["new"], Options { times: Times::Compared, ..OPTIONS });
    assert!(told.contains(&"C d/f xattr time".to_owned()), "{told:?}");
}

#[test]
fn contents_of_one_size_are_compared_to_the_end_and_holes_passed_over() {
    let layers = Layers::new();
    layers.layer("old", &["large", "holes", "zeros", "late"]);
    layers.layer("new", &["large", "holes", "zeros", "late"]);
    let size = (1 << 20) + 7;
    for (path, data) in [
        ("old/large", Some((size - 1, b"x"))),
        ("new/large", Some((size - 1, b"x"))),
        ("old/holes", Some((300_000, b"x"))),
        ("new/holes", Some((600_000, b"x"))),
        ("old/zeros", None),
        ("new/zeros", Some((700_000, b"\0"))),
        ("old/late", Some((size - 1, b"x"))),
        ("new/late", Some((size - 1, b"y"))),
    ] {
        let file = File::options().write(true).open(layers.at(path)).unwrap();
        file.set_len(size).unwrap();
        if let Some((offset, byte)) = data {
            file.write_all_at(byte, offset).unwrap();
        }
    }
    assert_eq!(layers.told(&["old"], &["new"]), ["C holes content", "C late content"]);
}

#[test]
fn what_is_below_on_both_sides_is_not_looked_at() {
    let layers = Layers::new();
    layers.layer("base", &["d/f=1", "d/broken/", "e/f=1"]);
    mark(&layers.at("base/d/broken"), Marker::Redirect, b"not/a/redirect");
    layers.layer("top", &["d/new=", "d/.wh.f"]);
    assert_eq!(layers.told(&["base"], &["top", "base"]), ["D d/f", "A d/new"]);
    assert_eq!(layers.told(&["top", "base"], &["base"]), ["A d/f", "D d/new"]);
    // Where a layer has the name, it is.
    layers.layer("over", &["d/broken/"]);
    let told = layers.told(&["base"], &["over", "base"]);
    for (line, side) in told.iter().zip(["Before: ", "After: "]) {
        assert!(line.starts_with(side) && line.contains(" d/broken in layer 1"), "{told:?}");
    }
    assert_eq!(told.len(), 2);
    // The same layers with something else below are not the same, and neither are others with the same below.
    layers.layer("else", &["d/g="]);
    let told = layers.told(&["top", "base"], &["top", "else"]);
    assert!(told.contains(&"A d/g".to_owned()) && told.contains(&"D e 1 1".to_owned()), "{told:?}");
}

#[test]
fn opaque_directories_hide_what_is_the_same_below() {
    let layers = Layers::new();
    layers.layer("base", &["d/a=1", "d/b=1", "d/sub/x=1"]);
    layers.layer("top", &["d/a=1", "d/c=1", "d/.wh..wh..opq"]);
    assert_eq!(layers.told(&["base"], &["top", "base"]), ["D d/b", "A d/c", "D d/sub 1 1"]);
}

#[test]
fn renamed_directories_are_compared_by_what_they_lead_to() {
    let layers = Layers::new();
    layers.layer("base", &["d/a=1", "d/sub/x=1", "e/a=2"]);
    layers.layer("moved", &[".wh.d", "to/"]);
    mark(&layers.at("moved/to"), Marker::Redirect, b"/d");
    assert_eq!(
        layers.told(&["base"], &["moved", "base"]),
        ["D d 3 2", "A to", "A to/a", "A to/sub", "A to/sub/x"]
    );
    // Moved on both sides, and changed on one.
    layers.layer("changed", &[".wh.d", "to/a=9"]);
    mark(&layers.at("changed/to"), Marker::Redirect, b"/d");
    assert_eq!(layers.told(&["moved", "base"], &["changed", "base"]), ["C to/a content"]);
    // Another directory at the same place.
    layers.layer("instead", &["d/"]);
    mark(&layers.at("instead/d"), Marker::Redirect, b"/e");
    assert_eq!(layers.told(&["base"], &["instead", "base"]), ["C d/a content", "D d/sub 1 1"]);
    // The same redirect into layers that are others.
    layers.layer("other-base", &["d/a=1", "e/b=2"]);
    let told = layers.told(&["instead", "base"], &["instead", "other-base"]);
    assert_eq!(told[..2], ["D d/a", "A d/b"]);
}

#[test]
fn copies_of_metadata_have_the_content_below() {
    let layers = Layers::new();
    layers.layer("base", &["f=12345", "g=54321"]);
    layers.layer("top", &["f=\0\0\0\0\0"]);
    let copy = layers.at("top/f");
    mark(&copy, Marker::Metacopy, b"");
    fs::set_permissions(&copy, PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(layers.told(&["base"], &["top", "base"]), ["C f mode"]);
    mark(&copy, Marker::Redirect, b"/g");
    assert_eq!(layers.told(&["base"], &["top", "base"]), ["C f content mode"]);
    // With nothing below there is no content, and that is said.
    layers.layer("empty", &["f=12345"]);
    mark(&copy, Marker::Redirect, b"/none");
    let told = layers.told(&["base"], &["top", "base"]);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("After: ") && told[0].contains("metadata-only"), "{told:?}");
    assert_eq!(told[1], "C f mode");
}

#[test]
fn that_there_is_a_difference_is_said_at_the_first() {
    struct First(usize);
    impl Sink for First {
        fn change(&mut self, _: &RelPath, change: &Change) -> ControlFlow<()> {
            assert!(
                !matches!(change, Change::Deleted { held, .. } if *held != Held::default()),
                "it was counted"
            );
            self.0 += 1;
            ControlFlow::Break(())
        }

        fn trouble(&mut self, _: Side, error: &Error) -> ControlFlow<()> {
            panic!("{error}");
        }
    }
    let layers = Layers::new();
    layers.layer("old", &["a/b=", "c="]);
    layers.layer("new", &["d="]);
    let (before, after) = (layers.open(&["old"]), layers.open(&["new"]));
    let options = Options { detail: Detail::Existence, ..OPTIONS };
    let comparison = Comparison::new(Some(&before), &after, options).unwrap();
    let mut first = First(0);
    comparison.run(&RelPath::root(), comparison.roots().unwrap(), &mut first);
    assert_eq!(first.0, 1);
    assert_eq!((before.node_count(), after.node_count()), (1, 1));
}

/// Some of everything that a layer can say, three levels deep.
fn fill(rng: &mut Rng, dir: &Path, level: usize) {
    for name in ["a", "b", "c"] {
        let at = dir.join(name);
        match rng.below(10) {
            0 | 1 => {
                fs::write(&at, ["one", "two", "three"][rng.below(3) as usize]).unwrap();
                fs::set_permissions(
                    &at,
                    PermissionsExt::from_mode(if rng.below(4) == 0 { 0o600 } else { 0o644 }),
                )
                .unwrap();
            }
            2 => {
                fs::write(&at, "\0\0\0").unwrap();
                mark(&at, Marker::Metacopy, b"");
                redirect(rng, &at);
            }
            3 => fs::write(dir.join(format!(".wh.{name}")), "").unwrap(),
            4..=7 if level < 3 => {
                fs::create_dir(&at).unwrap();
                match rng.below(5) {
                    0 => mark(&at, Marker::Opaque, b"y"),
                    1 => redirect(rng, &at),
                    _ => {}
                }
                fill(rng, &at, level + 1);
            }
            _ => {}
        }
    }
}

fn redirect(rng: &mut Rng, at: &Path) {
    let name = |rng: &mut Rng| ["a", "b", "c"][rng.below(3) as usize];
    let to = match rng.below(4) {
        0 => return,
        1 => name(rng).to_owned(),
        2 => format!("/{}", name(rng)),
        _ => format!("/{}/{}", name(rng), name(rng)),
    };
    mark(at, Marker::Redirect, to.as_bytes());
}

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

/// On random stacks that share layers at their base, comparing only what may be different tells the same as comparing all.
#[test]
fn passing_over_what_is_shared_changes_nothing() {
    let mut seen = (0, 0);
    for seed in 1..=150_u64 {
        let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let layers = Layers::new();
        for layer in ["0", "1", "2", "3", "4"] {
            layers.layer(layer, &[]);
            fill(&mut rng, &layers.at(layer), 1);
        }
        for (before, after) in [
            (&["1", "0"][..], &["2", "1", "0"][..]),
            (&["2", "1", "0"], &["3", "1", "0"]),
            (&["4", "3", "0"], &["4", "2", "0"]),
            (&["3", "2", "0"], &["3", "2", "1"]),
        ] {
            let what = format!("seed {seed}, {before:?} and {after:?}");
            let (before, after) = (layers.open(before), layers.open(after));
            let comparison = Comparison::new(Some(&before), &after, OPTIONS).unwrap();
            let told = lines(&comparison);
            let all = lines(&comparison.of_all());
            let changes = |lines: &[String]| {
                lines.iter().filter(|line| !line.contains(": ")).cloned().collect::<Vec<_>>()
            };
            assert_eq!(changes(&told), changes(&all), "{what}");
            seen = (seen.0 + changes(&told).len(), seen.1 + usize::from(told != all));
        }
    }
    assert!(seen.0 > 1000 && seen.1 > 0, "what was seen too seldom proves nothing: {seen:?}");
}
