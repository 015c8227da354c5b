//! Layers and uppers on other file systems than those of disks: in memory, images, in user space, other unions.

#[path = "file_systems/user_space.rs"]
mod user_space;

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::needs;
use crate::support::guard::{Layers, unmount};
use crate::support::{Backend, Errno, Mount, Setup, scratch, sys};

const LOWER: &str = "layer 1\n\
    file d/f \"one\"\n\
    hardlink d/hard d/f\n\
    file e/g \"two\"\n\
    file e/sub/h \"three\"\n\
    dir gone\n\
    file a \"a\"\n\
    file b \"b\"\n";

/// A file system that a test mounts, and unmounts when it is done.
struct FileSystem {
    dir: TempDir,
}

impl FileSystem {
    /// Mounted by a command that gets the mount point as its last word.
    #[track_caller]
    fn by(program: &str, args: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("lf").tempdir_in(scratch()).unwrap();
        let point = dir.path().join("fs");
        fs::create_dir(&point).unwrap();
        let mounted = FileSystem { dir };
        must(Command::new(program).args(args).arg(&point));
        mounted
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("fs")
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        if let Err(message) = unmount(&self.path()) {
            crate::support::say(&message);
        }
    }
}

#[track_caller]
fn must(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An image of a directory, made by a program of which PATH may know nothing.
#[track_caller]
fn image(dir: &Path, script: &str, content: &Path) -> String {
    let file = dir.join("image");
    must(
        Command::new("sh")
            .args(["-c", &format!("PATH=$PATH:/usr/sbin:/sbin; {script} >/dev/null"), "sh"])
            .arg(&file)
            .arg(content),
    );
    file.display().to_string()
}

/// Whether a merged directory could be renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moved {
    Yes,
    No,
}

/// One of each change; what they come to is [`check`]ed.
fn change(m: &Mount) -> Moved {
    OpenOptions::new().append(true).open(m.at("d/f")).unwrap().write_all(b" more").unwrap();
    fs::remove_file(m.at("e/g")).unwrap();
    fs::remove_dir_all(m.at("e")).unwrap();
    fs::create_dir(m.at("e")).unwrap();
    fs::write(m.at("e/first"), "new").unwrap();
    fs::rename(m.at("e/first"), m.at("e/new")).unwrap();
    fs::create_dir(m.at("made")).unwrap();
    fs::write(m.at("made/in"), "in").unwrap();
    // A directory in the place of a deleted one, and over one.
    fs::remove_dir(m.at("gone")).unwrap();
    fs::rename(m.at("made"), m.at("gone")).unwrap();
    sys::rename_with(&m.at("a"), &m.at("b"), libc::RENAME_EXCHANGE).unwrap();
    assert_eq!(
        crate::support::errno(sys::rename_with(&m.at("a"), &m.at("b"), libc::RENAME_NOREPLACE)),
        Errno::EEXIST
    );
    fs::write(m.at("c"), "c").unwrap();
    fs::rename(m.at("c"), m.at("b")).unwrap();
    fs::hard_link(m.at("d/f"), m.at("hl")).unwrap();
    symlink("d/f", m.at("sym")).unwrap();
    fs::set_permissions(m.at("d/f"), Permissions::from_mode(0o640)).unwrap();
    match fs::rename(m.at("d"), m.at("d2")) {
        Ok(()) => Moved::Yes,
        Err(error) => {
            assert_eq!(sys::errno(&error), Errno::EXDEV);
            Moved::No
        }
    }
}

#[track_caller]
fn check(m: &Mount, moved: Moved) {
    let d = if moved == Moved::Yes { "d2" } else { "d" };
    let mut names = vec!["a", "b", d, "e", "gone", "hl", "sym"];
    names.sort_unstable();
    assert_eq!(m.names(""), names);
    assert_eq!(m.names(d), ["f", "hard"]);
    assert_eq!((m.names("e"), m.names("gone")), (vec!["new".to_owned()], vec!["in".to_owned()]));
    for (path, text) in
        [(&*format!("{d}/f"), "one more"), ("hl", "one more"), ("a", "b"), ("b", "c"), ("gone/in", "in")]
    {
        assert_eq!(m.text(path), text, "{path}");
    }
    assert_eq!(m.stat("hl").permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::read_link(m.at("sym")).unwrap(), Path::new("d/f"));
}

/// Mounts, changes, mounts again; that layers are as before is checked by the mount.
#[track_caller]
fn changes_are_kept(layers: Layers) -> Mount {
    let m = layers.mounted();
    let moved = change(&m);
    check(&m, moved);
    let m = m.remount();
    check(&m, moved);
    m
}

/// With the upper on this file system. What was said is the answer.
#[track_caller]
fn as_an_upper(fs: &FileSystem) -> String {
    let mut layers = Setup::text(LOWER).build();
    layers.place_upper(&fs.path().join("upper"), &fs.path().join("work"));
    changes_are_kept(layers).log()
}

/// With its root as the layer.
#[track_caller]
fn as_a_layer(mut layers: Layers, root: PathBuf) {
    layers.replace_lower(1, root);
    drop(changes_are_kept(layers));
}

fn copy(from: &Path, to: &Path) {
    must(Command::new("cp").arg("-a").arg(from.join(".")).arg(to));
}

#[test]
fn a_tmpfs_is_a_layer_and_an_upper() {
    needs!(Lamina, Capabilities);
    let fs = FileSystem::by("mount", &["-t", "tmpfs", "lamina-test"]);
    let log = as_an_upper(&fs);
    assert!(!log.contains("cannot exchange names"), "{log}");
    let layers = Setup::text(LOWER).build();
    fs::create_dir(fs.path().join("layer")).unwrap();
    copy(&layers.lower(1, ""), &fs.path().join("layer"));
    as_a_layer(layers, fs.path().join("layer"));
}

#[test]
fn an_upper_without_attributes_is_said_to_be_one() {
    needs!(Lamina, Root);
    let fs = FileSystem::by("mount", &["-t", "ramfs", "lamina-test"]);
    let log = as_an_upper(&fs);
    assert!(log.contains("takes no extended attributes: inode numbers change with a copy-up"), "{log}");
}

#[test]
fn an_image_of_squashfs_is_a_layer() {
    needs!(Lamina, Squashfs, Root);
    let layers = Setup::text(LOWER).build();
    let image = image(layers.dir(), "mksquashfs \"$2\" \"$1\" -quiet -no-progress", &layers.lower(1, ""));
    let fs = FileSystem::by("mount", &["-t", "squashfs", "-o", "loop", &image]);
    as_a_layer(layers, fs.path());
}

#[test]
fn an_image_of_erofs_is_a_layer() {
    needs!(Lamina, Erofs, Root);
    let layers = Setup::text(LOWER).build();
    let image = image(layers.dir(), "mkfs.erofs \"$1\" \"$2\"", &layers.lower(1, ""));
    let fs = FileSystem::by("mount", &["-t", "erofs", "-o", "loop", &image]);
    as_a_layer(layers, fs.path());
}

/// A file system of disks, made by a command that gets its image, as a layer and as an upper: without a warning.
#[track_caller]
fn a_disk_is_both(fs_type: &str, make: &str) {
    let layers = Setup::text(LOWER).build();
    let image = image(layers.dir(), make, &layers.lower(1, ""));
    let fs = FileSystem::by("mount", &["-t", fs_type, "-o", "loop", &image]);
    fs::create_dir(fs.path().join("layer")).unwrap();
    copy(&layers.lower(1, ""), &fs.path().join("layer"));
    let log = as_an_upper(&fs);
    assert!(!log.contains("upper "), "{log}");
    as_a_layer(layers, fs.path().join("layer"));
}

#[test]
fn xfs_is_a_layer_and_an_upper() {
    needs!(Lamina, Xfs, Root);
    a_disk_is_both("xfs", "truncate -s 320M \"$1\"; mkfs.xfs -q \"$1\"");
}

#[test]
fn btrfs_is_a_layer_and_an_upper() {
    needs!(Lamina, Btrfs, Root);
    a_disk_is_both("btrfs", "truncate -s 160M \"$1\"; mkfs.btrfs -q \"$1\"");
}

#[test]
fn directories_that_tell_no_types_are_layers_and_uppers() {
    needs!(Lamina, Ext4, Root);
    let layers = Setup::text(LOWER).build();
    let script = "truncate -s 16M \"$1\"; mkfs.ext4 -q -F -O ^filetype -d \"$2\" \"$1\"";
    let image = image(layers.dir(), script, &layers.lower(1, ""));
    let fs = FileSystem::by("mount", &["-t", "ext4", "-o", "loop", &image]);
    let types: Vec<u8> = {
        let mut stream = sys::DirStream::open(&fs.path()).unwrap();
        std::iter::from_fn(|| stream.next().unwrap()).map(|item| item.kind).collect()
    };
    assert!(types.iter().all(|kind| *kind == libc::DT_UNKNOWN), "{types:?}");
    // It has lost+found besides: the layer is a directory in it.
    fs::create_dir(fs.path().join("layer")).unwrap();
    copy(&layers.lower(1, ""), &fs.path().join("layer"));
    as_a_layer(layers, fs.path().join("layer"));
    as_an_upper(&fs);
}

#[test]
fn a_layer_that_is_mounted_read_only_is_one() {
    needs!(Lamina, Capabilities);
    let layers = Setup::text(LOWER).build();
    let source = layers.lower(1, "").display().to_string();
    let fs = FileSystem::by("mount", &["-o", "bind,ro", &source]);
    assert_eq!(crate::support::errno(File::create(fs.path().join("x"))), Errno::EROFS);
    as_a_layer(layers, fs.path());
    // As an upper it is refused.
    let mut layers = Setup::text(LOWER).build();
    fs::create_dir_all(layers.dir().join("rw/upper")).unwrap();
    fs::create_dir_all(layers.dir().join("rw/work")).unwrap();
    let source = layers.dir().join("rw").display().to_string();
    let fs = FileSystem::by("mount", &["-o", "bind,ro", &source]);
    layers.place_upper(&fs.path().join("upper"), &fs.path().join("work"));
    let refused = layers.mount().expect_err("nothing can be written there").message;
    assert!(refused.contains("is not writable") && refused.contains("mounted read-write"), "{refused}");
}

#[test]
fn a_file_system_in_user_space_is_a_layer_and_an_upper() {
    needs!(Lamina, Bindfs);
    let back = tempfile::Builder::new().prefix("lb").tempdir_in(scratch()).unwrap();
    let source = back.path().display().to_string();
    // It hands neither RENAME_EXCHANGE nor RENAME_NOREPLACE on.
    let fs = FileSystem::by("bindfs", &["--no-allow-other", &source]);
    let log = as_an_upper(&fs);
    assert!(log.contains("cannot exchange names"), "{log}");
    drop(fs);
    let layers = Setup::text(LOWER).build();
    let fs = FileSystem::by("bindfs", &["--no-allow-other", &layers.lower(1, "").display().to_string()]);
    as_a_layer(layers, fs.path());
}

#[test]
fn one_in_user_space_without_attributes_is_an_upper() {
    needs!(Lamina, Bindfs);
    let back = tempfile::Builder::new().prefix("lb").tempdir_in(scratch()).unwrap();
    let fs =
        FileSystem::by("bindfs", &["--no-allow-other", "--xattr-none", &back.path().display().to_string()]);
    let log = as_an_upper(&fs);
    assert!(log.contains("takes no extended attributes"), "{log}");
    assert!(log.contains("cannot exchange names"), "{log}");
}

#[test]
fn a_mount_of_lamina_is_a_layer() {
    needs!(Lamina);
    let below = Mount::of(LOWER);
    fs::write(below.at("b"), "b").unwrap();
    as_a_layer(Setup::text(LOWER).build(), below.root());
}

#[test]
fn a_mount_of_the_kernels_overlay_is_a_layer_and_an_upper() {
    needs!(Lamina, KernelOverlay);
    let kernel = |text: &str| {
        Setup::text(text)
            .build()
            .mount_by(Backend::Kernel)
            .unwrap_or_else(|refused| panic!("{}", refused.message))
    };
    let below = kernel(LOWER);
    fs::write(below.at("b"), "b").unwrap();
    as_a_layer(Setup::text(LOWER).build(), below.root());
    let below = kernel("layer 1\ndir d\n");
    let mut layers = Setup::text(LOWER).build();
    layers.place_upper(&below.at("d/upper"), &below.at("d/work"));
    let log = changes_are_kept(layers).log();
    assert!(log.contains("deletions are written as .wh. files"), "{log}");
}

#[test]
fn the_kernels_overlay_takes_a_mount_of_lamina_as_a_layer_and_not_as_an_upper() {
    needs!(Lamina, KernelOverlay);
    let below = Mount::of(LOWER);
    fs::write(below.at("b"), "b").unwrap();
    let mut layers = Setup::text(LOWER).build();
    layers.replace_lower(1, below.root());
    let m = layers.mount_by(Backend::Kernel).unwrap_or_else(|refused| panic!("{}", refused.message));
    let moved = change(&m);
    check(&m, moved);
    drop(m);
    let mut layers = Setup::text(LOWER).build();
    layers.place_upper(&below.at("d/upper"), &below.at("d/work"));
    let refused = layers.mount_by(Backend::Kernel).expect_err("an upper needs RENAME_WHITEOUT");
    assert!(refused.message.contains("EINVAL"), "{}", refused.message);
}
