//! Layers that are tars: what the union makes of an index in place of directories.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use lamina::config::{LowerSpec, StatOverride, TarSpec};
use lamina::digest::Digest;
use lamina::overlay::*;
use lamina::stamp::FileStamp;
use lamina::tarball::{Limits, scan};

use super::images::{Entry as TarEntry, Sparse, TarBuilder};
use super::stack::*;

/// A stack of directories, as the others have it, with tars put on top of them; the first is the top.
fn stack(directories: usize, tars: &[Vec<TarEntry>]) -> Stack {
    let mut stack = Stack::new(directories);
    let specs = tars.iter().enumerate().map(|(n, entries)| {
        let tar = TarBuilder::new().add_all(entries.iter().cloned()).finish();
        let file = stack.upper().parent().unwrap().join(format!("{n}.tar"));
        LowerSpec::Tar(spec(&file, &tar, n as u8 + 1))
    });
    let specs: Vec<LowerSpec> = specs.collect();
    stack.spec.lowers.splice(0..0, specs);
    // Nobody but root may give a copy the owner that the tar says.
    stack.behaviour.stat_override = StatOverride::Containers;
    stack
}

/// The tar lies in the middle of its file, as in an archive.
fn spec(file: &Path, tar: &[u8], number: u8) -> TarSpec {
    const BEFORE: &[u8] = b"something else that is in the archive";
    let mut archive = File::create_new(file).unwrap();
    archive.write_all(BEFORE).unwrap();
    archive.write_all(tar).unwrap();
    archive.write_all(b"and something after it").unwrap();
    let index = file.with_extension("idx");
    let scanned = scan(tar, &Limits { entries: 1 << 20, unpacked: 1 << 40 }).unwrap();
    scanned.write_to(&mut File::create_new(&index).unwrap()).unwrap();
    TarSpec {
        file: file.to_owned(),
        stamp: FileStamp::from(&archive.metadata().unwrap()),
        offset: BEFORE.len() as u64,
        len: tar.len() as u64,
        index,
        diff_id: Digest::from_bytes([number; 32]),
        image: "image".to_owned(),
    }
}

fn attr(overlay: &Overlay, path: &str) -> Attr {
    overlay.getattr(find(overlay, path)).unwrap()
}

fn names(overlay: &Overlay, path: &str) -> Vec<String> {
    list(overlay, find(overlay, path)).into_iter().map(|(name, _)| name).collect()
}

fn write(overlay: &Overlay, node: NodeId, offset: u64, data: &[u8]) {
    let opened = overlay.open(node, READ_WRITE).unwrap();
    overlay.write(opened.handle, offset, data, KillPriv::Keep, WriteCause::Caller).unwrap();
    overlay.release(opened.handle);
}

#[test]
fn a_directory_without_an_entry_has_the_attributes_of_the_one_below() {
    let stack = stack(
        0,
        &[
            vec![TarEntry::file("tmp/top", ""), TarEntry::file("hidden/top", ""), TarEntry::opaque("hidden")],
            vec![TarEntry::file("tmp/middle", ""), TarEntry::file("new/dir/file", "")],
            vec![
                TarEntry::dir("tmp").mode(0o1777).owner(3, 4).xattr("user.a", "b"),
                TarEntry::dir("hidden").mode(0o2750).owner(5, 6),
                TarEntry::file("hidden/base", ""),
            ],
        ],
    );
    let overlay = stack.open();
    let tmp = attr(&overlay, "tmp");
    assert_eq!((tmp.perm, tmp.uid, tmp.gid), (0o1777, 3, 4));
    assert_eq!(overlay.getxattr(find(&overlay, "tmp"), b"user.a").unwrap(), b"b");
    assert_eq!(names(&overlay, "tmp"), ["middle", "top"]);
    let hidden = attr(&overlay, "hidden");
    assert_eq!((hidden.perm, hidden.uid, hidden.gid), (0o2750, 5, 6), "of one whose content is hidden");
    assert_eq!(names(&overlay, "hidden"), ["top"]);
    let new = attr(&overlay, "new/dir");
    assert_eq!((new.perm, new.uid, new.gid), (0o755, 0, 0), "there is none below");

    // A copy takes along what was shown.
    overlay.mknod(&caller(), at(find(&overlay, "tmp"), "x"), SpecialKind::Regular, 0o644).unwrap();
    overlay.mknod(&caller(), at(find(&overlay, "hidden"), "x"), SpecialKind::Regular, 0o644).unwrap();
    let (tmp, hidden) = (attr(&overlay, "tmp"), attr(&overlay, "hidden"));
    assert_eq!((tmp.perm, tmp.uid, tmp.gid), (0o1777, 3, 4));
    assert_eq!((hidden.perm, hidden.uid, hidden.gid), (0o2750, 5, 6));
    assert_eq!(names(&overlay, "hidden"), ["top", "x"]);
}

#[test]
fn a_file_of_a_tar_is_copied_up_whole_and_keeps_its_number() {
    let pieces: [(u64, &[u8]); 2] = [(1 << 20, b"data"), (3 << 20, b"more")];
    let entries = vec![
        TarEntry::file("dir/file", "content").mode(0o640).owner(7, 8).mtime(-5, 250).xattr("user.x", "y"),
        TarEntry::sparse("dir/sparse", Sparse::Pax10, 4 << 20, &pieces),
        TarEntry::symlink("dir/link", "file"),
    ];
    let stack = stack(0, &[entries]);
    let before = {
        let overlay = stack.open();
        ["dir/file", "dir/sparse", "dir/link"].map(|path| attr(&overlay, path))
    };
    let overlay = stack.open();
    let file = find(&overlay, "dir/file");
    let reader = overlay.open(file, READ).unwrap();
    write(&overlay, file, 7, b", written");
    let mut content = [0; 32];
    let len = overlay.read(reader.handle, 0, &mut content).unwrap();
    assert_eq!(&content[..len], b"content, written", "who has it open reads on in the copy");
    overlay.release(reader.handle);
    write(&overlay, find(&overlay, "dir/sparse"), 0, b"x");
    overlay.setattr(find(&overlay, "dir/file"), None, &CHMOD).unwrap();
    drop(overlay);

    let overlay = stack.open();
    let after = ["dir/file", "dir/sparse", "dir/link"].map(|path| attr(&overlay, path));
    assert_eq!(after.map(|attr| attr.ino), before.map(|attr| attr.ino), "after a copy-up and a remount");
    assert_eq!((after[0].perm, after[0].uid, after[0].gid), (0o640, 7, 8));
    assert_eq!(overlay.getxattr(find(&overlay, "dir/file"), b"user.x").unwrap(), b"y");
    assert_eq!(after[1].size, 4 << 20);
    assert!(after[1].blocks * 512 < 1 << 20, "holes stay holes: {} blocks", after[1].blocks);
    let sparse = overlay.open(find(&overlay, "dir/sparse"), READ).unwrap();
    let mut piece = [0; 6];
    for (offset, expected) in [(0, b"x\0\0\0\0\0"), ((1 << 20) - 1, b"\0data\0"), (3 << 20, b"more\0\0")] {
        overlay.read(sparse.handle, offset, &mut piece).unwrap();
        assert_eq!(&piece, expected, "at {offset}");
    }
    overlay.release(sparse.handle);
}

#[test]
fn tars_and_directories_hide_and_merge_with_each_other() {
    let stack = stack(
        1,
        &[vec![
            TarEntry::whiteout("gone"),
            TarEntry::file("merged/tar", "t"),
            TarEntry::dir("opaque"),
            TarEntry::opaque("opaque"),
            TarEntry::char_device("device", 0, 0),
        ]],
    );
    for path in ["gone", "merged/dir", "opaque/dir", "device"] {
        put(stack.lower(1), path, "d");
    }
    let overlay = stack.open();
    assert!(walk(&overlay, "gone").unwrap().is_none());
    assert_eq!(names(&overlay, "merged"), ["dir", "tar"]);
    assert!(names(&overlay, "opaque").is_empty());
    assert_eq!(attr(&overlay, "device").kind, FileKind::CharDevice, "a device 0:0 of a tar is a device");

    // A directory that is merged from both moves with a redirect, and is found again.
    let root = NodeId::ROOT;
    overlay.rename(at(root, "merged"), at(root, "moved"), RenameMode::Replace).unwrap();
    drop(overlay);
    let overlay = stack.open();
    assert!(walk(&overlay, "merged").unwrap().is_none());
    assert_eq!(names(&overlay, "moved"), ["dir", "tar"]);
    assert_eq!(read_all(&overlay, find(&overlay, "moved/tar")).unwrap(), b"t");
}

#[test]
fn an_opaque_root_hides_every_layer_below() {
    let stack = stack(
        1,
        &[
            vec![TarEntry::file("top", "")],
            vec![TarEntry::file("middle", ""), TarEntry::file(".wh..wh..opq", "")],
            vec![TarEntry::dir("./").mode(0o711).owner(3, 4), TarEntry::file("base", "")],
        ],
    );
    put(stack.lower(3), "directory", "");
    let overlay = stack.open();
    assert_eq!(names(&overlay, ""), ["middle", "top"]);
    assert!(walk(&overlay, "base").unwrap().is_none());
    drop(overlay);
    let mut stack = stack;
    stack.spec.upper = None;
    let attr = stack.open().getattr(NodeId::ROOT).unwrap();
    assert_eq!((attr.perm, attr.uid, attr.gid), (0o711, 3, 4), "of the root that is hidden");
}

#[test]
fn an_empty_upper_takes_the_attributes_of_the_images_root() {
    let root = || TarEntry::dir("./").mode(0o751).owner(3, 4).xattr("user.a", "b");
    let shown = |overlay: &Overlay| {
        let attr = overlay.getattr(NodeId::ROOT).unwrap();
        (attr.perm, attr.uid, attr.gid)
    };
    let image = stack(0, &[vec![root()]]);
    let overlay = image.open();
    assert_eq!(shown(&overlay), (0o751, 3, 4));
    assert_eq!(overlay.getxattr(NodeId::ROOT, b"user.a").unwrap(), b"b");
    overlay.setattr(NodeId::ROOT, None, &AttrChange { perm: Some(0o700), ..AttrChange::NONE }).unwrap();
    overlay.mknod(&caller(), at(NodeId::ROOT, "x"), SpecialKind::Regular, 0o644).unwrap();
    drop(overlay);
    assert_eq!(shown(&image.open()), (0o700, 3, 4), "what is in use is left as it is");

    // Above a directory the upper is what it was made as, as with the kernel's overlay.
    let mut directory = stack(1, &[vec![root()]]);
    directory.spec.lowers.swap(0, 1);
    assert_eq!(shown(&directory.open()), (0o755, caller().uid, caller().gid));
}

#[test]
fn an_image_does_not_say_how_the_upper_is_read() {
    for value in ["garbage", "5:6:0700"] {
        let root = TarEntry::dir("./").xattr("user.a", "b").xattr("user.containers.override_stat", value);
        let mut stack = stack(0, &[vec![root]]);
        stack.behaviour.stat_override = StatOverride::Off;
        let shown = |overlay: &Overlay| {
            let attr = overlay.getattr(NodeId::ROOT).unwrap();
            (attr.perm, attr.uid, attr.gid)
        };
        let before = shown(&stack.open());
        assert_eq!(shown(&stack.open()), before, "{value}");
    }
}

#[test]
fn an_archive_that_has_changed_is_refused() {
    let stack = stack(0, &[vec![TarEntry::file("file", "content")]]);
    let LowerSpec::Tar(spec) = &stack.spec.lowers[0] else { panic!("it is a tar") };
    File::options().append(true).open(&spec.file).unwrap().write_all(b"!").unwrap();
    let error = Overlay::open_stack(&stack.spec, &stack.behaviour).unwrap_err().to_string();
    assert!(error.contains("layer 1") && error.contains("changed"), "{error}");
}
