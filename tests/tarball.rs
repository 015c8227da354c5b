//! Tars that GNU tar and bsdtar write, in all formats they have: what lamina serves is what was packed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests
#![cfg(feature = "image")]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use lamina::config::TarSpec;
use lamina::digest::Digest;
use lamina::error::LayerRef;
use lamina::layer::{EntryId, Found};
use lamina::path::NameBuf;
use lamina::stamp::FileStamp;
use lamina::tarball::{Limits, TarLayer, scan};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, makedev, mknod, utimensat};
use nix::sys::time::TimeSpec;

/// What is compared of an object.
#[derive(Debug, PartialEq, Eq)]
struct Object {
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, u32),
    nlink: u32,
    device: (u64, u64),
    size: u64,
    content: Vec<u8>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

type Objects = BTreeMap<Vec<u8>, Object>;

/// What a format can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Says {
    /// As `Little`, and neither devices nor fifos.
    Old,
    /// Short names, whole seconds after 1970.
    Little,
    /// Any names and times, whole seconds.
    Names,
    /// Attributes and nanoseconds, too.
    All,
}

/// A tree with what the format can say.
fn tree(dir: &Path, says: Says) {
    let file = |name: &str, data: &[u8]| fs::write(dir.join(name), data).unwrap();
    fs::create_dir_all(dir.join("sub/deeper")).unwrap();
    fs::create_dir(dir.join("empty")).unwrap();
    file("sub/file", &[b'x'; 5000]);
    file("sub/deeper/none", b"");
    file("setuid", b"#!");
    fs::set_permissions(dir.join("setuid"), fs::Permissions::from_mode(0o4711)).unwrap();
    fs::set_permissions(dir.join("empty"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::hard_link(dir.join("sub/file"), dir.join("link")).unwrap();
    fs::hard_link(dir.join("sub/file"), dir.join("sub/deeper/link")).unwrap();
    symlink("sub/file", dir.join("symlink")).unwrap();
    if says > Says::Old {
        mknod(&dir.join("fifo"), SFlag::S_IFIFO, Mode::from_bits_truncate(0o640), 0).unwrap();
    }
    if says > Says::Old && nix::unistd::geteuid().is_root() {
        // The root of a user namespace may not make devices: then there is none to compare.
        let _ = mknod(&dir.join("null"), SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 3));
        let _ =
            mknod(&dir.join("disk"), SFlag::S_IFBLK, Mode::from_bits_truncate(0o600), makedev(259, 65537));
        let _ = std::os::unix::fs::chown(dir.join("sub/deeper/none"), Some(1000), Some(60000));
    }
    // With holes: at the beginning, in the middle, at the end; many of them; nothing else.
    let sparse = |name: &str, size: u64, pieces: &[u64]| {
        let file = File::create(dir.join(name)).unwrap();
        for at in pieces {
            file.write_all_at(&[b'0' + (*at / 65536 % 10) as u8; 65536], *at).unwrap();
        }
        file.set_len(size).unwrap();
    };
    sparse("holes", 4 << 20, &[1 << 20, 2 << 20]);
    sparse("starts", 1 << 20, &[0]);
    sparse("ends", 1 << 20, &[(1 << 20) - 65536]);
    sparse("many", 8 << 20, &(0..60).map(|n| n * 131_072).collect::<Vec<_>>());
    sparse("hole", 1 << 20, &[]);
    if says < Says::Names {
        return;
    }
    fs::write(dir.join("n".repeat(255)), b"long").unwrap();
    fs::create_dir_all(dir.join("d".repeat(120)).join("e".repeat(120)).join("f".repeat(120))).unwrap();
    symlink("t/".repeat(200), dir.join("far")).unwrap();
    sparse(&"s".repeat(200), 1 << 20, &[0, 1 << 19]);
    if says == Says::All {
        let path = dir.join("sub/file");
        for (name, value) in
            [("user.text", &b"value"[..]), ("user.bytes", b"a\n\0\xff="), ("user.empty", b"")]
        {
            support::sys::set_xattr(&path, name.as_bytes(), value, support::sys::SetXattr::Always).unwrap();
        }
        for (name, sec, nsec) in [("setuid", -2, 0), ("hole", 1_700_000_000, 123_456_789)] {
            let time = TimeSpec::new(sec, nsec);
            utimensat(nix::fcntl::AT_FDCWD, &dir.join(name), &time, &time, UtimensatFlags::NoFollowSymlink)
                .unwrap();
        }
    }
}

/// What a directory has.
fn packed(dir: &Path, says: Says) -> Objects {
    let mut objects = Objects::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(path) = todo.pop() {
        let full = dir.join(&path);
        let metadata = fs::symlink_metadata(&full).unwrap();
        let kind = metadata.file_type();
        let device = kind.is_char_device() || kind.is_block_device();
        if kind.is_dir() {
            todo.extend(fs::read_dir(&full).unwrap().map(|entry| path.join(entry.unwrap().file_name())));
        }
        let object = Object {
            mode: metadata.mode(),
            owner: (metadata.uid(), metadata.gid()),
            mtime: (metadata.mtime(), if says == Says::All { metadata.mtime_nsec() as u32 } else { 0 }),
            // File systems differ in what they count for directories.
            nlink: if kind.is_dir() { 0 } else { metadata.nlink() as u32 },
            device: if device {
                (nix::sys::stat::major(metadata.rdev()), nix::sys::stat::minor(metadata.rdev()))
            } else {
                (0, 0)
            },
            size: if kind.is_dir() { 0 } else { metadata.len() },
            content: if kind.is_file() {
                fs::read(&full).unwrap()
            } else if kind.is_symlink() {
                fs::read_link(&full).unwrap().as_os_str().as_bytes().to_vec()
            } else {
                Vec::new()
            },
            xattrs: if kind.is_file() { xattrs(&full) } else { BTreeMap::new() },
        };
        objects.insert(path.as_os_str().as_bytes().to_vec(), object);
    }
    objects
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let names = support::sys::list_xattr(path).unwrap().into_iter().filter(|name| name.starts_with(b"user."));
    names.map(|name| (name.clone(), support::sys::get_xattr(path, &name).unwrap())).collect()
}

/// What the layer serves.
fn served(layer: &TarLayer) -> Objects {
    let mut objects = Objects::new();
    let mut todo = vec![(Vec::new(), EntryId::ROOT)];
    while let Some((path, id)) = todo.pop() {
        let stat = layer.stat(id).unwrap();
        let mut object = Object {
            mode: stat.mode,
            owner: (stat.uid, stat.gid),
            mtime: stat.mtime,
            nlink: if stat.is_dir() { 0 } else { stat.nlink },
            device: (stat.rdev_major.into(), stat.rdev_minor.into()),
            size: if stat.is_dir() { 0 } else { stat.size },
            content: Vec::new(),
            xattrs: layer
                .xattr_names(id)
                .unwrap()
                .into_iter()
                .map(|name| (name.to_vec(), layer.xattr(id, name).unwrap().to_vec()))
                .collect(),
        };
        if stat.is_regular() {
            object.content = vec![0xff; stat.size as usize];
            assert_eq!(layer.data(id).unwrap().read_at(&mut object.content, 0).unwrap() as u64, stat.size);
        } else if stat.is_dir() {
            let mut names = Vec::new();
            layer.list(id, |entry| names.push(entry.name.to_owned())).unwrap();
            for name in names {
                todo.push((joined(&path, &name), child(layer, id, &name)));
            }
        } else if stat.mode & libc::S_IFMT == libc::S_IFLNK {
            object.content = layer.readlink(id).unwrap().to_vec();
        }
        objects.insert(path, object);
    }
    objects
}

fn joined(path: &[u8], name: &NameBuf) -> Vec<u8> {
    if path.is_empty() { name.as_bytes().to_vec() } else { [path, b"/", name.as_bytes()].concat() }
}

fn child(layer: &TarLayer, dir: EntryId, name: &NameBuf) -> EntryId {
    match layer.look(dir, name.as_name()).unwrap() {
        Found::Leaf(leaf) => leaf.entry.unwrap(),
        Found::Dir(dir) => dir.entry.unwrap(),
        other => panic!("{name}: {other:?}"),
    }
}

/// Packs a tree with a program, and compares. `holes`: data of the sparse files is left out of the tar.
#[track_caller]
fn compare(program: &str, arguments: &[&str], says: Says, holes: bool) {
    let dir = tempfile::tempdir_in(support::scratch()).unwrap();
    let root = dir.path().join("tree");
    fs::create_dir(&root).unwrap();
    tree(&root, says);
    let file = dir.path().join("tar");
    let output = Command::new(program)
        .args(arguments)
        .arg("-cf")
        .arg(&file)
        .args(["--numeric-owner", "-C"])
        .arg(&root)
        .arg(".")
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));

    let scanned = match scan(File::open(&file).unwrap(), &Limits::default()) {
        Ok(scanned) => scanned,
        Err(error) => panic!("{program} {arguments:?}: {error}"),
    };
    let index = dir.path().join("index");
    scanned.write_to(&mut File::create(&index).unwrap()).unwrap();
    let stamp = FileStamp::from(&fs::metadata(&file).unwrap());
    let diff_id = Digest::from_bytes([0; 32]);
    let spec = TarSpec { file, stamp, offset: 0, len: stamp.size, index, diff_id, image: String::new() };
    let layer = TarLayer::open(&spec, LayerRef::Lower(1)).unwrap();

    let (expected, found) = (packed(&root, says), served(&layer));
    let names = |objects: &Objects| -> Vec<String> {
        objects.keys().map(|name| name.escape_ascii().to_string()).collect()
    };
    assert_eq!(names(&found), names(&expected), "{program} {arguments:?}");
    for (name, object) in &expected {
        let what = format!("{program} {arguments:?}: {}", name.escape_ascii());
        // Without the content: it is long.
        let Object { mode, owner, mtime, nlink, device, size, content, xattrs } = &found[name];
        assert_eq!(
            (*mode, *owner, *nlink, *device),
            (object.mode, object.owner, object.nlink, object.device),
            "{what}"
        );
        assert_eq!((*mtime, *size, xattrs), (object.mtime, object.size, &object.xattrs), "{what}");
        assert!(*content == object.content, "{what}: another content");
    }
    let many = layer.stat(child(&layer, EntryId::ROOT, &NameBuf::new(&b"many"[..]).unwrap())).unwrap();
    assert_eq!(
        many.blocks,
        if holes { 60 * 65536 / 512 } else { (8 << 20) / 512 },
        "{program} {arguments:?}"
    );
}

#[test]
fn gnu_tar_without_holes() {
    needs!(GnuTar);
    compare("tar", &["--format=v7"], Says::Old, false);
    compare("tar", &["--format=ustar"], Says::Little, false);
    compare("tar", &["--format=oldgnu"], Says::Names, false);
    compare("tar", &["--format=gnu"], Says::Names, false);
    compare("tar", &["--format=pax", "--xattrs"], Says::All, false);
}

#[test]
fn gnu_tar_with_holes() {
    needs!(GnuTar);
    compare("tar", &["--sparse", "--format=oldgnu"], Says::Names, true);
    compare("tar", &["--sparse", "--format=gnu"], Says::Names, true);
    for version in ["0.0", "0.1", "1.0"] {
        let version = format!("--sparse-version={version}");
        compare("tar", &["--sparse", "--format=pax", "--xattrs", &version], Says::All, true);
    }
}

#[test]
fn bsdtar() {
    needs!(Bsdtar);
    compare("bsdtar", &["--format=ustar"], Says::Little, false);
    compare("bsdtar", &["--format=gnutar"], Says::Names, false);
    // Its own choice: what ustar cannot say is said in PAX, and holes are left out.
    compare("bsdtar", &["--format=pax", "--xattrs"], Says::All, true);
}
