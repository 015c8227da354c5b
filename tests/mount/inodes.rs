//! Inode numbers: one for each file, the same through every change and mount.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::needs;
use crate::support::{Backend, Mount, Setup, sys};

/// Every path below the mount with its number, each name once.
fn numbers(m: &Mount) -> BTreeMap<PathBuf, u64> {
    fn walk(dir: &Path, into: &mut BTreeMap<PathBuf, u64>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            into.insert(path.clone(), meta.ino());
            if meta.is_dir() {
                walk(&path, into);
            }
        }
    }
    let mut map = BTreeMap::new();
    walk(&m.root(), &mut map);
    // The scratch directory is the same for all mounts of a test.
    map.into_iter().map(|(path, ino)| (path.strip_prefix(m.root()).unwrap().to_owned(), ino)).collect()
}

#[test]
fn numbers_stay_through_copies_renames_and_mounts() {
    needs!(StableNumbers);
    let m = Mount::of(
        "layer 1\nfile a \"a\"\nfile d/b \"b\"\nfile d/sub/c \"c\"\ndir e\nlayer 2\nfile d/f \"f\"\nfile d/g \"g\"\n",
    );
    let before = numbers(&m);
    fs::write(m.at("a"), "changed").unwrap();
    fs::set_permissions(m.at("d/b"), PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(m.at("d/sub/c"), "changed").unwrap();
    fs::set_permissions(m.at("e"), PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(numbers(&m), before, "copying up changes no number");
    let m = m.remount();
    assert_eq!(numbers(&m), before, "nor does mounting again");
    fs::rename(m.at("a"), m.at("d/a")).unwrap();
    fs::rename(m.at("d/f"), m.at("f")).unwrap();
    let moved = numbers(&m);
    assert_eq!(moved[Path::new("d/a")], before[Path::new("a")]);
    assert_eq!(moved[Path::new("f")], before[Path::new("d/f")]);
    let m = m.remount();
    assert_eq!(numbers(&m), moved);
    // What comes in the old places is something else.
    fs::write(m.at("a"), "new").unwrap();
    fs::write(m.at("d/f"), "new").unwrap();
    let all = numbers(&m);
    assert_eq!(all.values().collect::<HashSet<_>>().len(), all.len(), "{all:?}");
}

#[test]
fn new_files_have_numbers_of_their_own_that_stay() {
    let m = Mount::of("layer 1\nfile d/lower \"x\"\n");
    for n in 0..50 {
        fs::write(m.at(format!("d/{n}")), "").unwrap();
    }
    fs::create_dir(m.at("d/dir")).unwrap();
    let before = numbers(&m);
    assert_eq!(before.values().collect::<HashSet<_>>().len(), before.len());
    let m = m.remount();
    assert_eq!(numbers(&m), before);
}

#[test]
fn every_way_of_asking_gives_one_answer() {
    let m = Mount::of("layer 1\nfile f \"x\"\n");
    for _ in 0..2 {
        let file = fs::File::open(m.at("f")).unwrap();
        let by_name = m.stat("f");
        let by_handle = file.metadata().unwrap();
        let statx = sys::statx(&m.at("f")).unwrap();
        assert_eq!((by_handle.ino(), statx.stx_ino), (by_name.ino(), by_name.ino()));
        assert_eq!(by_handle.dev(), by_name.dev());
        fs::write(m.at("f"), "copied").unwrap();
    }
}

#[test]
fn one_device_for_all() {
    let m = Setup::named("kinds").mount();
    let root = m.stat(".").dev();
    fs::write(m.at("dir/new"), "").unwrap();
    for path in ["file", "dir", "link", "fifo", "dir/new", "dir/child", "deep/one/two"] {
        assert_eq!(m.stat(path).dev(), root, "{path}");
    }
}

/// Two fresh file systems of one kind, which number their files alike, with the layers on them.
struct TwoFileSystems {
    dir: tempfile::TempDir,
}

impl TwoFileSystems {
    fn new() -> Self {
        let two = TwoFileSystems { dir: tempfile::tempdir().unwrap() };
        for n in ["1", "2"] {
            let point = two.dir.path().join(n);
            fs::create_dir(&point).unwrap();
            let flags = nix::mount::MsFlags::empty();
            nix::mount::mount(Some("tmpfs"), &point, Some("tmpfs"), flags, Some("size=8m")).unwrap();
            fs::create_dir(point.join("layer")).unwrap();
            for file in 0..20 {
                fs::write(point.join("layer").join(format!("{n}-{file}")), n).unwrap();
            }
            fs::create_dir(point.join("layer/shared")).unwrap();
            fs::write(point.join("layer/shared").join(n), n).unwrap();
        }
        two
    }

    fn layer(&self, n: &str) -> PathBuf {
        self.dir.path().join(n).join("layer")
    }
}

impl Drop for TwoFileSystems {
    fn drop(&mut self) {
        for n in ["1", "2"] {
            // Only this test's own; detached, as a failing test may still have a mount on top.
            let _ = nix::mount::umount2(&self.dir.path().join(n), nix::mount::MntFlags::MNT_DETACH);
        }
    }
}

#[test]
fn several_file_systems_have_distinct_numbers() {
    needs!(Root);
    let two = TwoFileSystems::new();
    let ino = |path: PathBuf| path.metadata().unwrap().ino();
    assert_eq!(ino(two.layer("1").join("1-3")), ino(two.layer("2").join("2-3")), "the test's premise");
    let mut layers = Setup::text("layer 1\ndir d\nlayer 2\ndir d\nlayer 3\nfile third \"3\"\n").build();
    layers.replace_lower(1, two.layer("1"));
    layers.replace_lower(2, two.layer("2"));
    let m = layers.mounted();
    let before = numbers(&m);
    assert_eq!(before.len(), 44);
    assert_eq!(before.values().collect::<HashSet<_>>().len(), before.len(), "{before:#?}");
    let device = m.stat(".").dev();
    for path in before.keys() {
        assert_eq!(m.stat(path.to_str().unwrap()).dev(), device, "{}", path.display());
    }
    for path in ["1-3", "2-3", "shared/1", "third"] {
        OpenOptions::new().append(true).open(m.at(path)).unwrap();
        fs::set_permissions(m.at(path), PermissionsExt::from_mode(0o600)).unwrap();
    }
    assert_eq!(numbers(&m), before, "copies keep their numbers");
    for dir in [".", "shared"] {
        let mut stream = sys::DirStream::open(&m.at(dir)).unwrap();
        while let Some(item) = stream.next().unwrap() {
            if item.name != b".." {
                let name = String::from_utf8(item.name).unwrap();
                assert_eq!(item.ino, m.stat(&format!("{dir}/{name}")).ino(), "{dir}/{name}");
            }
        }
    }
    let m = m.remount();
    let mut after = numbers(&m);
    let mut before = before;
    if Backend::current() == Backend::Kernel {
        // Its merged directories over several file systems are numbered by the mount, unless xino reaches them.
        for map in [&mut after, &mut before] {
            map.remove(Path::new("shared"));
        }
    }
    assert_eq!(after, before, "and keep them over a new mount");
    drop(m);
    drop(two);
}

#[test]
fn numbers_are_distinct_without_xino_too() {
    needs!(Root, Lamina);
    // The kernel's overlay tells such files apart by st_dev; a FUSE file system has one st_dev.
    let two = TwoFileSystems::new();
    let mut layers = Setup::text("layer 1\ndir d\nlayer 2\ndir d\n").options("xino=off").build();
    layers.replace_lower(1, two.layer("1"));
    layers.replace_lower(2, two.layer("2"));
    let m = layers.mounted();
    let all = numbers(&m);
    assert_eq!(all.values().collect::<HashSet<_>>().len(), all.len(), "{all:#?}");
    drop(m);
    drop(two);
}
