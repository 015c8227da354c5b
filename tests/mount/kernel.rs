//! What one wrote the other reads: uppers written by lamina under the kernel's overlay, and the other way round.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::needs;
use crate::support::sys::{self, SetXattr};
use crate::support::{Backend, Mount, Setup};

/// Everything that both must show alike.
pub(super) fn tree(m: &Mount) -> BTreeMap<String, String> {
    fn walk(root: &Path, path: &Path, into: &mut BTreeMap<String, String>) {
        let here = root.join(path);
        let meta = here.symlink_metadata().unwrap();
        let content = match meta.mode() & libc::S_IFMT {
            libc::S_IFREG => format!("{:?}", fs::read(&here).unwrap().escape_ascii().to_string()),
            libc::S_IFLNK => fs::read_link(&here).unwrap().display().to_string(),
            _ => String::new(),
        };
        let xattrs: Vec<String> = sys::list_xattr(&here)
            .unwrap()
            .into_iter()
            .map(|name| {
                let value = sys::get_xattr(&here, &name).unwrap();
                format!("{}={}", name.escape_ascii(), value.escape_ascii())
            })
            .collect();
        let size = if meta.is_dir() { 0 } else { meta.size() };
        into.insert(
            path.display().to_string(),
            format!(
                "{:o} {}:{} links {} rdev {} size {size} mtime {}.{} {xattrs:?} {content}",
                meta.mode(),
                meta.uid(),
                meta.gid(),
                meta.nlink(),
                meta.rdev(),
                meta.mtime(),
                meta.mtime_nsec(),
            ),
        );
        if meta.is_dir() {
            for entry in fs::read_dir(&here).unwrap() {
                walk(root, &path.join(entry.unwrap().file_name()), into);
            }
        }
    }
    let mut map = BTreeMap::new();
    walk(&m.root(), Path::new(""), &mut map);
    map
}

/// One of every change that leaves a trace in the upper.
pub(super) fn change(m: &Mount) {
    fs::write(m.at("file"), "changed").unwrap();
    fs::set_permissions(m.at("suid"), PermissionsExt::from_mode(0o4700)).unwrap();
    fs::remove_file(m.at("old")).unwrap();
    fs::remove_dir_all(m.at("sticky")).unwrap();
    fs::create_dir(m.at("sticky")).unwrap();
    fs::write(m.at("sticky/new"), "new").unwrap();
    fs::rename(m.at("deep/one"), m.at("deep/renamed")).unwrap();
    fs::rename(m.at("deep/renamed/two"), m.at("two")).unwrap();
    fs::write(m.at("two/leaf"), "changed leaf").unwrap();
    fs::rename(m.at("fifo"), m.at("dir/fifo")).unwrap();
    fs::hard_link(m.at("pattern"), m.at("dir/pattern")).unwrap();
    fs::remove_file(m.at("link")).unwrap();
    std::os::unix::fs::symlink("elsewhere", m.at("link")).unwrap();
    sys::set_xattr(&m.at("xattrs"), b"user.text", b"changed", SetXattr::Always).unwrap();
    sys::set_xattr(&m.at("dir"), b"trusted.overlay.opaque", b"y", SetXattr::Always).unwrap();
    std::os::unix::fs::lchown(m.at("dangling"), Some(5), Some(6)).unwrap();
    fs::create_dir_all(m.at("made/inner")).unwrap();
    fs::write(m.at("made/inner/f"), "x").unwrap();
    fs::rename(m.at("made"), m.at("dir/made")).unwrap();
    sys::rename_with(&m.at("acl"), &m.at("capable"), libc::RENAME_EXCHANGE).unwrap();
    fs::rename(m.at("linked"), m.at("dir/linked")).unwrap();
    fs::rename(m.at("empty"), m.at("future")).unwrap();
}

/// A second round, on what the first has left.
pub(super) fn change_again(m: &Mount) {
    fs::write(m.at("dir/linked/a"), "changed").unwrap();
    fs::rename(m.at("dir"), m.at("dir2")).unwrap();
    fs::remove_dir_all(m.at("dir2/made/inner")).unwrap();
    fs::write(m.at("old"), "made again").unwrap();
    fs::rename(m.at("two"), m.at("deep/renamed/three")).unwrap();
    fs::remove_file(m.at("sticky/new")).unwrap();
    fs::write(m.at("sticky/newer"), "newer").unwrap();
    fs::remove_file(m.at("dir2/pattern")).unwrap();
}

#[track_caller]
pub(super) fn mount_by(layers: crate::support::guard::Layers, backend: Backend) -> Mount {
    layers.mount_by(backend).unwrap_or_else(|refused| panic!("{backend:?}: {}", refused.message))
}

pub(super) fn equal(left: &BTreeMap<String, String>, right: &BTreeMap<String, String>) {
    for path in left.keys().chain(right.keys()) {
        assert_eq!(left.get(path), right.get(path), "{path}");
    }
}

/// Changes by `first`, read and changed by `second`, read by `first`.
fn back_and_forth(first: Backend, second: Backend) {
    let m = mount_by(Setup::named("kinds").build(), first);
    change(&m);
    let written = tree(&m);
    let m = mount_by(m.unmount(), second);
    equal(&written, &tree(&m));
    change_again(&m);
    let written = tree(&m);
    let m = mount_by(m.unmount(), first);
    equal(&written, &tree(&m));
}

#[test]
fn the_kernel_reads_what_is_written() {
    needs!(KernelOverlay);
    back_and_forth(Backend::current(), Backend::Kernel);
}

#[test]
fn what_the_kernel_writes_is_read() {
    needs!(KernelOverlay);
    back_and_forth(Backend::Kernel, Backend::current());
}

#[test]
fn inode_numbers_of_the_kernels_copies_are_kept() {
    needs!(KernelOverlay);
    let m = mount_by(Setup::named("kinds").build(), Backend::Kernel);
    let paths = ["file", "suid", "dir/child", "fifo", "link", "deep/one/two/leaf"];
    let numbers = |m: &Mount| paths.map(|path| m.stat(path).ino());
    let before = numbers(&m);
    for path in paths {
        std::os::unix::fs::lchown(m.at(path), Some(5), None).unwrap();
    }
    let m = mount_by(m.unmount(), Backend::current());
    assert_eq!(numbers(&m), before);
}

#[test]
fn the_fixtures_look_alike() {
    needs!(KernelOverlay);
    // Those that only use the kernel's own forms.
    for (name, options) in [
        ("redirects", ""),
        ("types", ""),
        ("names", ""),
        ("deep", ""),
        ("metacopy", "metacopy=on"),
        ("kinds", ""),
    ] {
        let m = mount_by(Setup::named(name).kernel_options(options).build(), Backend::Kernel);
        let kernel = tree(&m);
        let m = mount_by(m.unmount(), Backend::current());
        equal(&kernel, &tree(&m));
    }
}
