//! A tar in a file, served as a layer.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::*;
use crate::config::TarSpec;
use crate::digest::Digest;
use crate::error::{Error, LayerRef};
use crate::layer::Found;
use crate::path::{Name, RelPath};
use crate::stamp::FileStamp;
use crate::tarball::TarLayer;

/// What comes before the tar in its file: an odd number of bytes.
const BEFORE: &[u8] = b"not the tar";

/// Puts a tar into a file between other bytes, with an index beside it.
pub fn stored(dir: &Path, name: &str, tar: Tar) -> TarSpec {
    let tar = tar.end();
    let file = dir.join(name);
    std::fs::write(&file, [BEFORE, &tar, b"behind"].concat()).unwrap();
    let index = dir.join(format!("{name}.index"));
    scan(&tar[..], &Limits::default()).unwrap().write_to(&mut File::create(&index).unwrap()).unwrap();
    TarSpec {
        stamp: FileStamp::from(&std::fs::metadata(&file).unwrap()),
        file,
        offset: BEFORE.len() as u64,
        len: tar.len() as u64,
        index,
        diff_id: Digest::from_bytes([7; 32]),
        image: "image".to_owned(),
    }
}

fn open(dir: &Path, tar: Tar) -> TarLayer {
    TarLayer::open(&stored(dir, "tar", tar), LayerRef::Lower(1)).unwrap()
}

pub fn name(bytes: &str) -> Name<'_> {
    Name::new(bytes.as_bytes()).unwrap()
}

/// The object at a path.
pub fn at(layer: &TarLayer, path: &str) -> EntryId {
    let path = RelPath::new(path.as_bytes()).unwrap();
    let Some((parent, last)) = path.split_last() else { return EntryId::ROOT };
    match layer.look(layer.directory_at(&parent).unwrap(), last).unwrap() {
        Found::Leaf(leaf) => leaf.entry.unwrap(),
        Found::Dir(dir) => dir.entry.unwrap(),
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn attributes_are_the_tars() {
    let dir = tempfile::tempdir().unwrap();
    let layer = open(
        dir.path(),
        Tar::new()
            .dir("d")
            .pax(&[
                ("mtime", b"-1.5"),
                ("SCHILY.xattr.user.a", b"v"),
                ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ])
            .entry(b'0', b"d/f", b"data", |header| {
                header.set_mode(0o4755);
                header.set_uid(1000);
                header.set_gid(1001);
            })
            .link("l", "d/f")
            .device(b'3', "null", 1, 3)
            .symlink("s", "d/f"),
    );
    let stat = layer.stat(at(&layer, "d/f")).unwrap();
    assert_eq!((stat.mode, stat.uid, stat.gid, stat.nlink), (0o104755, 1000, 1001, 2));
    assert_eq!((stat.size, stat.blocks, stat.blksize), (4, 1, 4096));
    assert_eq!((stat.mtime, stat.ctime, stat.btime), ((-2, 500_000_000), (-2, 500_000_000), None));
    assert_eq!(layer.stat(at(&layer, "l")).unwrap(), stat);
    assert_eq!((stat.dev, layer.uuid), (layer.dev, [7; 16]));
    let root = layer.look_root().unwrap();
    assert_eq!((root.stat.mode, root.stat.nlink, root.stat.ino), (0o40755, 3, 1));
    assert_eq!((root.attributes, root.opaque, root.entry), (Attributes::Below, false, Some(EntryId::ROOT)));
    let null = layer.stat(at(&layer, "null")).unwrap();
    assert_eq!((null.mode, null.rdev_major, null.rdev_minor, null.size), (0o20644, 1, 3, 0));
    let symlink = at(&layer, "s");
    assert_eq!(layer.readlink(symlink).unwrap(), b"d/f");
    assert_eq!(layer.stat(symlink).unwrap().size, 3);
    assert_eq!(layer.readlink(at(&layer, "d")).unwrap_err().errno(), Errno::EINVAL);
    // What would be a marker in a directory is an attribute like any other.
    let file = at(&layer, "d/f");
    assert_eq!(layer.xattr_names(file).unwrap(), [&b"trusted.overlay.opaque"[..], b"user.a"]);
    assert_eq!(layer.xattr(file, b"trusted.overlay.opaque").unwrap(), b"y");
    assert_eq!(layer.xattr(file, b"user.b").unwrap_err().errno(), Errno::ENODATA);
}

#[test]
fn names_are_listed_with_their_types() {
    let dir = tempfile::tempdir().unwrap();
    let layer = open(
        dir.path(),
        Tar::new().file("a", b"").dir("b").symlink("c", "a").file(".wh.d", b"").device(b'3', "e", 0, 0),
    );
    let mut listed = Vec::new();
    let each = |entry: crate::layer::Listed<'_>| {
        listed.push((entry.name.to_string(), entry.kind, entry.whiteout));
    };
    layer.list(EntryId::ROOT, each).unwrap();
    let expected = [
        ("a", libc::DT_REG, false),
        ("b", libc::DT_DIR, false),
        ("c", libc::DT_LNK, false),
        ("d", 0, true),
        ("e", libc::DT_CHR, false),
    ];
    assert_eq!(listed, expected.map(|(name, kind, whiteout)| (name.to_owned(), kind, whiteout)));
    assert!(matches!(layer.look(EntryId::ROOT, name("d")), Ok(Found::Whiteout)));
    assert!(matches!(layer.look(EntryId::ROOT, name("x")), Ok(Found::Absent)));
    let errno = |result: Result<EntryId, Error>| result.unwrap_err().errno();
    assert_eq!(errno(layer.directory_at(&RelPath::new(b"x").unwrap())), Errno::ENOENT);
    assert_eq!(errno(layer.directory_at(&RelPath::new(b"d").unwrap())), Errno::ENOENT);
    assert_eq!(errno(layer.directory_at(&RelPath::new(b"a").unwrap())), Errno::ENOTDIR);
    assert_eq!(errno(layer.directory_at(&RelPath::new(b"a/x").unwrap())), Errno::ENOTDIR);
    assert_eq!(layer.look(at(&layer, "a"), name("x")).unwrap_err().errno(), Errno::ENOTDIR);
    assert_eq!(layer.data(at(&layer, "b")).unwrap_err().errno(), Errno::EINVAL);
}

/// A sparse file of 20 bytes, and its content.
fn sparse() -> (Tar, &'static [u8]) {
    let tar =
        Tar::new().pax(&[("GNU.sparse.size", b"20"), ("GNU.sparse.map", b"2,4,10,3")]).file("f", b"0123456");
    (tar, b"\0\x000123\0\0\0\x00456\0\0\0\0\0\0\0")
}

#[test]
fn any_part_of_a_file_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (tar, content) = sparse();
    let layer = open(dir.path(), tar);
    let data = layer.data(at(&layer, "f")).unwrap();
    assert_eq!(data.size(), 20);
    for offset in 0..25 {
        for len in 0..25 {
            let mut buffer = vec![0xff; len];
            let read = data.read_at(&mut buffer, offset as u64).unwrap();
            let expected = &content[offset.min(20)..(offset + len).min(20).max(offset.min(20))];
            assert_eq!(&buffer[..read], expected, "{offset}+{len}");
        }
    }
    assert_eq!(data.read_at(&mut [0], u64::MAX).unwrap(), 0);
    assert_eq!(layer.stat(at(&layer, "f")).unwrap().blocks, 1);
}

#[test]
fn holes_are_where_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let layer = open(dir.path(), sparse().0.file("g", b"data").file("empty", b""));
    let data = layer.data(at(&layer, "f")).unwrap();
    let seek = |found: crate::error::Result<u64>| found.map_err(|error| error.errno());
    for (offset, next_data, next_hole) in [
        (0, Ok(2), Ok(0)),
        (2, Ok(2), Ok(6)),
        (5, Ok(5), Ok(6)),
        (6, Ok(10), Ok(6)),
        (12, Ok(12), Ok(13)),
        (13, Err(Errno::ENXIO), Ok(13)),
        (19, Err(Errno::ENXIO), Ok(19)),
        (20, Err(Errno::ENXIO), Err(Errno::ENXIO)),
        (u64::MAX, Err(Errno::ENXIO), Err(Errno::ENXIO)),
    ] {
        assert_eq!(seek(data.next_data(offset)), next_data, "data from {offset}");
        assert_eq!(seek(data.next_hole(offset)), next_hole, "hole from {offset}");
    }
    let whole = layer.data(at(&layer, "g")).unwrap();
    assert_eq!((seek(whole.next_data(1)), seek(whole.next_hole(1))), (Ok(1), Ok(4)));
    let empty = layer.data(at(&layer, "empty")).unwrap();
    assert_eq!(seek(empty.next_data(0)), Err(Errno::ENXIO));
    assert_eq!(empty.read_at(&mut [0; 8], 0).unwrap(), 0);
}

fn copy(dir: &Path) -> (File, PathBuf) {
    let path = dir.join("copy");
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    (file, path)
}

#[test]
fn a_copy_has_the_content_and_the_holes() {
    let dir = tempfile::tempdir().unwrap();
    let size = (64 << 20).to_string();
    let data = vec![b'x'; 3 << 20];
    let map = format!("0,4096,{},{}", 32 << 20, data.len() - 4096);
    let tar = Tar::new()
        .pax(&[("GNU.sparse.size", size.as_bytes()), ("GNU.sparse.map", map.as_bytes())])
        .file("big", &data);
    let layer = open(dir.path(), tar);
    let data = layer.data(at(&layer, "big")).unwrap();
    let (to, path) = copy(dir.path());
    data.copy_to(to.as_fd()).unwrap();
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!(metadata.len(), 64 << 20);
    assert!(metadata.blocks() * 512 < 8 << 20, "{}", metadata.blocks());
    let copied = std::fs::read(&path).unwrap();
    let mut read = vec![0; 64 << 20];
    assert_eq!(data.read_at(&mut read, 0).unwrap(), 64 << 20);
    assert!(copied == read);
    assert_eq!(copied.iter().filter(|byte| **byte == b'x').count(), 3 << 20);
}

#[test]
fn a_range_is_copied_call_by_call() {
    let dir = tempfile::tempdir().unwrap();
    let (tar, content) = sparse();
    let layer = open(dir.path(), tar);
    let data = layer.data(at(&layer, "f")).unwrap();
    let (to, path) = copy(dir.path());
    // What was there is overwritten, by holes too.
    std::fs::write(&path, [b'!'; 30]).unwrap();
    let mut offset = 0;
    loop {
        match data.copy_range(offset, (to.as_fd(), offset + 3), 5).unwrap() {
            0 => break,
            copied => offset += copied as u64,
        }
    }
    assert_eq!(std::fs::read(&path).unwrap(), [b"!!!", content, b"!!!!!!!"].concat());
}

#[test]
fn an_archive_that_changed_is_not_served() {
    let dir = tempfile::tempdir().unwrap();
    let spec = stored(dir.path(), "tar", Tar::new().file("a", b"data"));
    let refused = |spec: &TarSpec| TarLayer::open(spec, LayerRef::Lower(2)).unwrap_err().to_string();
    let at_file = |what: &str| format!("open the archive {} in layer 2: {what}", spec.file.display());

    let changed = TarSpec { stamp: FileStamp { size: 1, ..spec.stamp }, ..spec.clone() };
    assert!(refused(&changed).starts_with(&at_file("the archive changed since it was verified; mount it")));
    let beyond = TarSpec { offset: spec.offset + 512, ..spec.clone() };
    assert_eq!(refused(&beyond), at_file("the tar goes beyond the end of the archive"));
    let beyond = TarSpec { offset: u64::MAX, ..spec.clone() };
    assert_eq!(refused(&beyond), at_file("the tar goes beyond the end of the archive"));
    let other = TarSpec { len: spec.len - 512, ..spec.clone() };
    assert!(refused(&other).contains("the index belongs to another tar"));

    let layer = TarLayer::open(&spec, LayerRef::Lower(2)).unwrap();
    let data = layer.data(at(&layer, "a")).unwrap();
    OpenOptions::new().write(true).open(&spec.file).unwrap().set_len(100).unwrap();
    let error = data.read_at(&mut [0; 4], 0).unwrap_err();
    assert_eq!(error.errno(), Errno::EIO);
    assert!(error.to_string().contains("shorter than when it was mounted"), "{error}");
    let (to, _) = copy(dir.path());
    assert_eq!(data.copy_to(to.as_fd()).unwrap_err().errno(), Errno::EIO);
    assert_eq!(data.copy_range(0, (to.as_fd(), 0), 4).unwrap_err().errno(), Errno::EIO);
    OpenOptions::new().append(true).open(&spec.file).unwrap().write_all(b"!").unwrap();
    assert!(refused(&spec).contains("the archive changed"));
    std::fs::remove_file(&spec.file).unwrap();
    assert_eq!(refused(&spec), at_file("no such file or directory"));
}

#[test]
fn two_layers_have_two_devices() {
    let dir = tempfile::tempdir().unwrap();
    let spec = stored(dir.path(), "tar", Tar::new());
    let [one, two] = [1, 2].map(|n| TarLayer::open(&spec, LayerRef::Lower(n)).unwrap());
    assert_ne!(one.dev, two.dev);
    assert!(one.dev > u64::from(u32::MAX));
}
