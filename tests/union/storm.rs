//! Storms: threads that do everything at once, a file system that is full, and a process that is killed. At the end the
//! tree that is seen must be the one that is on disk.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::PoisonError;
use std::thread;

use lamina::config::Index;
use lamina::error::{Kind, Result};
use lamina::overlay::*;
use nix::errno::Errno;
use tempfile::TempDir;

use super::stack::*;

const DIRS: [&str; 7] = ["", "a", "b", "a/x", "a/y", "b/x", "b/x/z"];
const NAMES: [&str; 7] = ["a", "b", "x", "y", "z", "file", "link"];
const KEPT: usize = 12;
/// More than one read or copy at a time takes from a small file, less than a slow machine minds.
const SIZE: usize = 40_000;

/// The content of the lower file that is never written, only changed and moved.
fn kept(n: usize) -> Vec<u8> {
    format!("kept {n:3} ").into_bytes().into_iter().cycle().take(SIZE).collect()
}

pub(super) fn layers(stack: &Stack) {
    for n in 0..KEPT {
        let dir = DIRS[n % DIRS.len()];
        let path = stack.lower(n % 2).join(dir);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join(format!("kept{n}")), kept(n)).unwrap();
    }
    for dir in DIRS {
        for (layer, names) in [(0, &NAMES[4..]), (1, &NAMES[2..])] {
            let path = stack.lower(layer).join(dir);
            for name in names {
                if !path.join(name).exists() && name.len() > 1 {
                    put(&path, name, &format!("{layer} {name}"));
                }
            }
        }
    }
    std::fs::hard_link(stack.lower(1).join("a/file"), stack.lower(1).join("b/hard")).unwrap();
}

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

/// One caller: it forgets what it has looked up.
struct Visitor<'o> {
    overlay: &'o Overlay,
    held: Vec<NodeId>,
}

impl Visitor<'_> {
    fn hold(&mut self, entry: Entry) -> NodeId {
        self.held.push(entry.node);
        entry.node
    }

    fn walk(&mut self, path: &str) -> Result<NodeId> {
        let mut here = NodeId::ROOT;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let found = self.overlay.lookup(here, name(part))?;
            let found = found.ok_or_else(|| lamina::error::Error::new("walk", Kind::NotFound))?;
            here = self.hold(found);
        }
        Ok(here)
    }

    fn act(&mut self, rng: &mut Rng) -> Result<()> {
        let overlay = self.overlay;
        let dir = self.walk(rng.of(&DIRS))?;
        let text = rng.of(&NAMES);
        match rng.below(14) {
            0 => drop(self.walk(&format!("{}/{text}", rng.of(&DIRS)))?),
            1 => {
                let made = overlay.create(&caller(), at(dir, text), 0o644, READ_WRITE, Existing::Open)?;
                self.hold(made.0);
                let written = overlay.write(made.1.handle, 0, b"written", KillPriv::Keep, WriteCause::Caller);
                overlay.release(made.1.handle);
                written?;
            }
            2 => drop(self.hold(overlay.mkdir(&caller(), at(dir, text), 0o755)?)),
            3 => drop(self.hold(overlay.symlink(&caller(), at(dir, text), b"target")?)),
            4 => overlay.unlink(at(dir, text))?,
            5 => overlay.rmdir(at(dir, text))?,
            6 | 7 => {
                let to = self.walk(rng.of(&DIRS))?;
                let mode = [RenameMode::Replace, RenameMode::NoReplace, RenameMode::Exchange][rng.below(3)];
                overlay.rename(at(dir, text), at(to, rng.of(&NAMES)), mode)?;
            }
            8 => {
                let node = self.walk(&format!("{}/{}", rng.of(&DIRS), rng.of(&NAMES)))?;
                self.hold(overlay.link(node, at(dir, text))?);
            }
            9 => {
                let perm = Some([0o600, 0o640, 0o755][rng.below(3)]);
                let found = overlay.lookup(dir, name(text))?;
                if let Some(entry) = found {
                    let node = self.hold(entry);
                    if entry.attr.kind != FileKind::Symlink {
                        overlay.setattr(node, None, &AttrChange { perm, ..AttrChange::NONE })?;
                    }
                }
            }
            10 => drop(try_list(overlay, dir)?),
            // What is kept is changed and moved, and only to names that are its own.
            11 | 12 => {
                let own = format!("kept{}", rng.below(KEPT));
                let found = overlay.lookup(dir, name(&own))?;
                if let Some(entry) = found {
                    let node = self.hold(entry);
                    overlay.setattr(node, None, &CHMOD)?;
                    let to = self.walk(rng.of(&DIRS))?;
                    overlay.rename(at(dir, &own), at(to, &own), RenameMode::NoReplace)?;
                }
            }
            _ => {
                let found = overlay.lookup(dir, name(text))?;
                if let Some(entry) = found {
                    let node = self.hold(entry);
                    if entry.attr.kind == FileKind::Regular {
                        read_all(overlay, node)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn leave(&mut self) {
        for node in self.held.drain(..) {
            self.overlay.forget(node, 1);
        }
    }
}

/// What a caller may be answered when others are at work.
fn is_ordinary(kind: &Kind, errno: Errno) -> bool {
    matches!(
        kind,
        Kind::NotFound
            | Kind::Exists
            | Kind::NotEmpty
            | Kind::NotADirectory
            | Kind::IsADirectory
            | Kind::Invalid(_)
            | Kind::NotPermitted(_)
            | Kind::CrossDevice(_)
    ) || matches!(errno, Errno::EINVAL | Errno::ENXIO)
}

pub(super) fn storm(
    overlay: &Overlay,
    seed: u64,
    steps: usize,
    allowed: &(dyn Fn(Errno) -> bool + std::marker::Sync),
) {
    let mut rng = Rng(seed | 1);
    let mut visitor = Visitor { overlay, held: Vec::new() };
    for step in 0..steps {
        let result = visitor.act(&mut rng);
        if rng.below(3) == 0 {
            visitor.leave();
        }
        if let Err(error) = result {
            let fine = is_ordinary(error.kind(), error.errno()) || allowed(error.errno());
            assert!(fine, "seed {seed} step {step}: {error}");
        }
    }
    visitor.leave();
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) kind: FileKind,
    perm: u32,
    size: Option<u64>,
    nlink: u32,
    pub(super) ino: Option<u64>,
    content: Option<Vec<u8>>,
}

/// Everything there is, as the union shows it.
pub(super) fn tree(overlay: &Overlay) -> BTreeMap<String, Seen> {
    let mut all = BTreeMap::new();
    let mut visitor = Visitor { overlay, held: Vec::new() };
    let mut left = vec![(String::new(), NodeId::ROOT)];
    let stable = nix::unistd::geteuid().is_root();
    while let Some((path, dir)) = left.pop() {
        for (text, ino) in list(overlay, dir) {
            let found = overlay.lookup(dir, name(&text)).unwrap();
            let found = found.unwrap_or_else(|| panic!("{path}/{text} is listed and does not exist"));
            assert_eq!(found.attr.ino, ino, "{path}/{text}");
            let node = visitor.hold(found);
            let path = format!("{path}/{text}");
            let is_dir = found.attr.kind == FileKind::Directory;
            let content = match found.attr.kind {
                FileKind::Regular => Some(read_all(overlay, node).unwrap_or_else(|e| panic!("{path}: {e}"))),
                FileKind::Symlink => Some(overlay.readlink(node).unwrap()),
                _ => None,
            };
            let Attr { kind, perm, size, nlink, ino, .. } = found.attr;
            let ino = (stable || matches!(kind, FileKind::Regular | FileKind::Directory)).then_some(ino);
            all.insert(
                path.clone(),
                Seen { kind, perm, size: (!is_dir).then_some(size), nlink, ino, content },
            );
            if is_dir {
                left.push((path, node));
            }
        }
    }
    visitor.leave();
    all
}

pub(super) fn same(before: &BTreeMap<String, Seen>, after: &BTreeMap<String, Seen>) {
    for path in before.keys().chain(after.keys()) {
        assert_eq!(before.get(path), after.get(path), "{path}");
    }
}

/// Path, type and permissions, size, change time: what no storm may change below.
fn layer(root: &Path) -> BTreeMap<PathBuf, (u32, u64, i64, i64)> {
    let mut all = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let stat = std::fs::symlink_metadata(&path).unwrap();
            if stat.is_dir() {
                left.push(path.clone());
            }
            all.insert(path, (stat.mode(), stat.size(), stat.ctime(), stat.ctime_nsec()));
        }
    }
    all
}

fn lowers(stack: &Stack) -> Vec<BTreeMap<PathBuf, (u32, u64, i64, i64)>> {
    stack.spec.lowers.iter().map(|lower| layer(lower.path())).collect()
}

fn each_kept_file_once(tree: &BTreeMap<String, Seen>) {
    for n in 0..KEPT {
        let own = format!("/kept{n}");
        let places: Vec<_> = tree.iter().filter(|(path, _)| path.ends_with(&own)).collect();
        assert_eq!(places.len(), 1, "{own}: {:?}", places.iter().map(|(path, _)| path).collect::<Vec<_>>());
        assert!(places[0].1.content.as_ref() == Some(&kept(n)), "{own} is not what it was");
    }
}

fn storm_of_threads(index: Index) {
    for round in 0..8 {
        let mut stack = Stack::new(2);
        stack.behaviour.index = index;
        layers(&stack);
        let before = lowers(&stack);
        let overlay = stack.open();
        thread::scope(|scope| {
            for n in 0..4 {
                let overlay = &overlay;
                scope.spawn(move || storm(overlay, 1000 * round + 77 * n + 5, 1500, &|_| false));
            }
        });
        let seen = tree(&overlay);
        each_kept_file_once(&seen);
        assert_eq!(overlay.node_count(), 1, "round {round}");
        drop(overlay);
        same(&seen, &tree(&stack.open()));
        assert_eq!(before, lowers(&stack));
    }
}

#[test]
fn threads_leave_the_tree_that_they_saw() {
    storm_of_threads(Index::Off);
}

#[test]
fn threads_leave_the_tree_that_they_saw_with_an_index() {
    storm_of_threads(Index::On);
}

fn on_a_full_file_system(options: &str, index: Index) {
    let mut ever_refused = false;
    for seed in 0..40 {
        let Some(full) = Full::mount(options) else { return };
        let mut stack = Stack::new(2);
        stack.behaviour.index = index;
        stack.put_upper_on(&full);
        layers(&stack);
        let before = lowers(&stack);
        let overlay = stack.open();
        for step in 0..12 {
            let no_room = std::sync::atomic::AtomicBool::new(false);
            storm(&overlay, seed * 131 + step + 1, 60, &|errno| {
                let is = errno == Errno::ENOSPC;
                no_room.fetch_or(is, std::sync::atomic::Ordering::Relaxed);
                is
            });
            ever_refused |= no_room.into_inner();
        }
        let seen = tree(&overlay);
        each_kept_file_once(&seen);
        assert_eq!(overlay.node_count(), 1);
        drop(overlay);
        // Opening it again needs a little room, which a person would make.
        let size = nix::mount::MsFlags::MS_REMOUNT;
        let more = Some("size=16m,nr_inodes=1000");
        nix::mount::mount(None::<&str>, full.path(), None::<&str>, size, more).unwrap();
        let overlay = stack.open();
        same(&seen, &tree(&overlay));
        assert_eq!(before, lowers(&stack));
        drop(overlay);
    }
    assert!(ever_refused, "it was never full");
}

#[test]
fn a_file_system_without_room_for_data() {
    on_a_full_file_system("size=160k,nr_inodes=1000", Index::Off);
}

#[test]
fn a_file_system_without_room_for_inodes() {
    on_a_full_file_system("size=16m,nr_inodes=32", Index::Off);
}

#[test]
fn a_file_system_without_room_for_inodes_with_an_index() {
    on_a_full_file_system("size=16m,nr_inodes=32", Index::On);
}

const KILLED: &str = "LAMINA_TEST_UNION_KILLED";

fn stack_at(root: &Path, index: Index) -> Stack {
    let mut stack = Stack::new(2);
    let place = |text: &str| root.join(text);
    stack.spec.lowers = vec![place("lower0").into(), place("lower1").into()];
    let upper = stack.spec.upper.as_mut().unwrap();
    (upper.upper, upper.work) = (place("upper"), place("work"));
    stack.behaviour.index = index;
    stack
}

#[test]
#[ignore = "run by a_killed_process_leaves_whole_files, which kills it"]
fn the_process_that_is_killed() {
    let root = PathBuf::from(std::env::var_os(KILLED).expect("it is run by another test only"));
    let overlay = stack_at(&root, Index::Off).open();
    thread::scope(|scope| {
        for n in 0..2u64 {
            let overlay = &overlay;
            scope.spawn(move || {
                for round in 0.. {
                    println!("working");
                    storm(overlay, round * 2 + n + u64::from(std::process::id()) * 1000, 20, &|_| false);
                }
            });
        }
    });
}

#[test]
fn a_killed_process_leaves_whole_files() {
    let temp = TempDir::new().unwrap();
    let stack = stack_at(temp.path(), Index::Off);
    for dir in ["lower0", "lower1", "upper", "work"] {
        std::fs::create_dir(temp.path().join(dir)).unwrap();
    }
    layers(&stack);
    let before = lowers(&stack);
    for round in 0..25 {
        let spawning = SPAWNING.write().unwrap_or_else(PoisonError::into_inner);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "storm::the_process_that_is_killed", "--ignored", "--nocapture"])
            .env(KILLED, temp.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        drop(spawning);
        // So far and no further: how far differs from round to round.
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let worked = lines.map_while(std::result::Result::ok).filter(|line| line.contains("working"));
        assert_eq!(worked.take(2 + round).count(), 2 + round, "the process ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        let overlay = stack.open();
        each_kept_file_once(&tree(&overlay));
        let work = std::fs::read_dir(temp.path().join("work/work")).unwrap();
        assert_eq!(work.count(), 0, "round {round}: the work directory was not cleared");
        drop(overlay);
        assert_eq!(before, lowers(&stack));
    }
}
