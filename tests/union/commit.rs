//! What is committed is what the union showed: changes of every kind, made at random, become a layer; and the base with that
//! layer is the same tree. Layers are read as tars by their index; scripts/images has other programs read them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use lamina::config::{Behaviour, LowerSpec, StackSpec, StatOverride, TarSpec, Whiteouts};
use lamina::digest::Digest;
use lamina::image::commit::{Changes, write_layer};
use lamina::overlay::*;
use lamina::path::{Name, NameBuf};
use lamina::stamp::FileStamp;
use lamina::tarball::{Limits, scan};

use super::stack::*;

/// Writes what `upper` holds as a tar, over layers (top first), and gives it as a layer.
fn committed(dir: &Path, name: &str, upper: &Path, over: Option<&[LowerSpec]>) -> LowerSpec {
    let changes = Changes { upper, whiteouts: Whiteouts::Auto, stat_override: StatOverride::Off, base: over };
    let mut tar = Vec::new();
    let written = write_layer(&changes, &mut tar).unwrap();
    assert_eq!(written.warnings, Vec::<String>::new());
    let mut again = Vec::new();
    write_layer(&changes, &mut again).unwrap();
    assert!(tar == again, "the same tree gives other bytes");
    let scanned = scan(tar.as_slice(), &Limits::default()).unwrap();
    let (file, index) = (dir.join(format!("{name}.tar")), dir.join(format!("{name}.index")));
    fs::write(&file, &tar).unwrap();
    scanned.write_to(&mut fs::File::create(&index).unwrap()).unwrap();
    LowerSpec::Tar(TarSpec {
        stamp: FileStamp::from(&fs::metadata(&file).unwrap()),
        offset: 0,
        len: tar.len() as u64,
        file,
        index,
        // Nothing asks for it here but the numbers of its file system, which must be its own.
        diff_id: Digest::from_bytes([name.len() as u8; 32]),
        image: name.to_owned(),
    })
}

/// An object as users see it.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    kind: FileKind,
    perm: u32,
    owner: (u32, u32),
    mtime: Timestamp,
    rdev: Rdev,
    content: Vec<u8>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first name of the same object.
    first: Vec<u8>,
}

fn show(overlay: &Overlay) -> BTreeMap<Vec<u8>, Shown> {
    let mut all = BTreeMap::new();
    let mut dirs = vec![(Vec::new(), NodeId::ROOT)];
    while let Some((path, dir)) = dirs.pop() {
        let mut names = Names(Vec::new());
        overlay.readdir(dir, 0, Listing::Names, &mut names).unwrap();
        for name in names.0 {
            let found = overlay.lookup(dir, name.as_name()).unwrap().unwrap();
            let attr = found.attr;
            let path = [path.as_slice(), b"/", name.as_bytes()].concat();
            let mut content = Vec::new();
            match attr.kind {
                FileKind::Directory => dirs.push((path.clone(), found.node)),
                FileKind::Regular => content = read_all(overlay, found.node).unwrap(),
                FileKind::Symlink => content = overlay.readlink(found.node).unwrap(),
                _ => {}
            }
            let names = overlay.listxattr(found.node, Trusted::Hidden).unwrap();
            let xattrs = names.split(|b| *b == 0).filter(|name| name.starts_with(b"user."));
            let xattrs =
                xattrs.map(|name| (name.to_vec(), overlay.getxattr(found.node, name).unwrap())).collect();
            let shown = Shown {
                kind: attr.kind,
                perm: attr.perm,
                owner: (attr.uid, attr.gid),
                mtime: attr.mtime,
                rdev: attr.rdev,
                content,
                xattrs,
                first: attr.ino.to_le_bytes().to_vec(),
            };
            all.insert(path, shown);
        }
    }
    // The least of an object's names stands for it.
    let mut least: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for (path, shown) in &mut all {
        let first = least.entry(shown.first.clone()).or_insert_with(|| path.clone());
        shown.first.clone_from(first);
    }
    all
}

struct Names(Vec<NameBuf>);

impl DirSink for Names {
    fn push(&mut self, dirent: DirEntry<'_>, _: Option<&Entry>) -> SinkAnswer {
        if let Ok(name) = NameBuf::new(dirent.name) {
            self.0.push(name);
        }
        SinkAnswer::Taken
    }
}

fn assert_same(before: &BTreeMap<Vec<u8>, Shown>, after: &BTreeMap<Vec<u8>, Shown>, what: &str) {
    for path in before.keys().chain(after.keys()) {
        let (before, after) = (before.get(path), after.get(path));
        assert_eq!(before, after, "{what}: {}", path.escape_ascii());
    }
}

/// A base of a few directories and objects of every kind, as a tar.
fn base(dir: &Path) -> LowerSpec {
    let root = dir.join("base");
    for path in ["a/b/c", "a/d", "e/f"] {
        fs::create_dir_all(root.join(path)).unwrap();
        for name in ["x", "y", "z"] {
            fs::write(root.join(path).join(name), format!("{path}/{name}")).unwrap();
        }
        std::os::unix::fs::symlink("x", root.join(path).join("s")).unwrap();
        nix::unistd::mkfifo(&root.join(path).join("p"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    fs::hard_link(root.join("a/d/x"), root.join("a/d/w")).unwrap();
    committed(dir, "base", &root, None)
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }

    /// A directory that exists, some names below the root.
    fn dir(&mut self, overlay: &Overlay) -> NodeId {
        let mut here = NodeId::ROOT;
        for _ in 0..self.below(4) {
            let mut names = Names(Vec::new());
            overlay.readdir(here, 0, Listing::Names, &mut names).unwrap();
            let dirs: Vec<NodeId> = names
                .0
                .iter()
                .filter_map(|name| overlay.lookup(here, name.as_name()).unwrap())
                .filter(|found| found.attr.kind == FileKind::Directory)
                .map(|found| found.node)
                .collect();
            if dirs.is_empty() {
                break;
            }
            here = dirs[self.below(dirs.len())];
        }
        here
    }

    fn name(&mut self) -> Name<'static> {
        const NAMES: [&[u8]; 14] = [
            b"a",
            b"b",
            b"c",
            b"d",
            b"e",
            b"f",
            b"x",
            b"y",
            b"z",
            b"w",
            b"s",
            b"p",
            b"\xff odd\n",
            &[b'n'; 180],
        ];
        Name::new(NAMES[self.below(NAMES.len())]).unwrap()
    }
}

/// One change; most of what is tried cannot be done, and then it changes nothing.
fn change(overlay: &Overlay, random: &mut Random) {
    let dir = random.dir(overlay);
    let place = Place { dir, name: random.name() };
    let existing = overlay.lookup(dir, place.name).unwrap();
    match (random.below(12), existing) {
        (0, _) => drop(overlay.mkdir(&caller(), place, 0o750)),
        (1, _) => {
            if let Ok((_, opened)) = overlay.create(&caller(), place, 0o640, READ_WRITE, Existing::Open) {
                let text = format!("{}", random.below(1000));
                overlay.write(opened.handle, 0, text.as_bytes(), KillPriv::Keep, WriteCause::Caller).unwrap();
                overlay.release(opened.handle);
            }
        }
        (2, _) => drop(overlay.symlink(&caller(), place, &[b't'; 120])),
        (3, _) => drop(overlay.mknod(&caller(), place, SpecialKind::Fifo, 0o600)),
        (4, _) => drop(overlay.unlink(place)),
        (5, Some(found)) if found.attr.kind == FileKind::Directory => remove_all(overlay, place, found.node),
        (6..=8, _) => {
            let to = Place { dir: random.dir(overlay), name: random.name() };
            let mode = if random.below(4) == 0 { RenameMode::Exchange } else { RenameMode::Replace };
            drop(overlay.rename(place, to, mode));
        }
        (9, Some(found)) => {
            let to = Place { dir: random.dir(overlay), name: random.name() };
            drop(overlay.link(found.node, to));
        }
        (10, Some(found)) => {
            let value = format!("\0{}", random.below(100));
            let set =
                overlay.setxattr(found.node, b"user.note", value.as_bytes(), XattrMode::Set, AclSgid::Keep);
            drop(set);
        }
        (11, Some(found)) => {
            let mtime = Timestamp { sec: random.below(1000) as i64 - 500, nsec: random.below(3) as u32 * 7 };
            let change = AttrChange {
                perm: (found.attr.kind != FileKind::Symlink).then_some(0o700 | random.below(0o100) as u32),
                mtime: Some(TimeChange::To(mtime)),
                ..AttrChange::NONE
            };
            overlay.setattr(found.node, None, &change).unwrap();
        }
        _ => {}
    }
}

fn remove_all(overlay: &Overlay, place: Place<'_>, dir: NodeId) {
    let mut names = Names(Vec::new());
    overlay.readdir(dir, 0, Listing::Names, &mut names).unwrap();
    for name in names.0 {
        let inner = Place { dir, name: name.as_name() };
        match overlay.lookup(dir, name.as_name()).unwrap() {
            Some(found) if found.attr.kind == FileKind::Directory => remove_all(overlay, inner, found.node),
            Some(_) => overlay.unlink(inner).unwrap(),
            None => {}
        }
    }
    overlay.rmdir(place).unwrap();
}

#[test]
fn the_base_and_the_new_layer_are_the_tree_that_was_shown() {
    let mut changed = 0;
    for seed in 1..=60 {
        let mut stack = Stack::new(1);
        let base = base(stack.temp.path());
        stack.spec.lowers = vec![base.clone()];
        let before = {
            let overlay = stack.open();
            let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
            for _ in 0..60 {
                change(&overlay, &mut random);
            }
            show(&overlay)
        };
        let layer = committed(stack.temp.path(), "new", &stack.upper(), Some(std::slice::from_ref(&base)));
        let spec =
            StackSpec { lowers: vec![layer.clone(), base.clone()], data_only: Vec::new(), upper: None };
        let after = show(&Overlay::open_stack(&spec, &Behaviour::default()).unwrap());
        assert_same(&before, &after, &format!("seed {seed}"));
        changed += fs::metadata(layer.path()).unwrap().size();

        // A commit over a commit whose upper is empty has nothing to say.
        let empty = stack.temp.path().join("empty");
        fs::create_dir(&empty).unwrap();
        let root = fs::metadata(stack.upper()).unwrap();
        fs::set_permissions(&empty, root.permissions()).unwrap();
        let nothing = committed(stack.temp.path(), "nothing", &empty, Some(&spec.lowers));
        assert_eq!(fs::metadata(nothing.path()).unwrap().size(), 1024);
    }
    assert!(changed > 60 * 4096, "hardly anything was changed: {changed}");
}
