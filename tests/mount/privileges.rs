//! suid and sgid bits and file capabilities go when the content or the owner changes.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, chown};

use crate::needs;
use crate::support::guard::told_of_opens;
use crate::support::identity::STRANGER;
use crate::support::sys::{self, MapAccess, SharedMap};
use crate::support::{Errno, Mount, Setup, as_user};

const CAPABILITY: &[u8] = b"security.capability";

/// Files that a stranger may write, suid and sgid, with and without capabilities.
const LOWER: &str = "layer 1\n\
    file suid \"0123456789\" mode=6777 owner=0:0\n\
    file locking \"0123456789\" mode=2767 owner=0:0\n\
    file own \"0123456789\" mode=6755 owner=64321:64321\n\
    file capable \"0123456789\" mode=777\n\
    xattr capable security.capability 0x0100000200200000000000000000000000000000\n\
    file both \"0123456789\" mode=4777\n\
    xattr both security.capability 0x0100000200200000000000000000000000000000\n";

fn mode(m: &Mount, path: &str) -> u32 {
    m.stat(path).mode() & 0o7777
}

fn capable(m: &Mount, path: &str) -> bool {
    match sys::get_xattr(&m.at(path), CAPABILITY) {
        Ok(_) => true,
        Err(Errno::ENODATA) => false,
        Err(e) => panic!("{path}: {e}"),
    }
}

fn open(m: &Mount, path: &str) -> File {
    OpenOptions::new().read(true).write(true).open(m.at(path)).unwrap()
}

/// Changes `path` as a stranger by `change`, with the file already in the upper or not.
fn changed_by_stranger(path: &str, in_upper: bool, change: impl FnOnce(&Mount) + Send) -> Mount {
    let m = Setup::text(LOWER).mount();
    if in_upper {
        // A change that keeps the bits.
        let now = std::time::SystemTime::now();
        File::open(m.at(path)).unwrap().set_modified(now).unwrap();
        assert!(!m.absent_in_upper(path));
    }
    as_user(STRANGER, STRANGER, || change(&m));
    m
}

#[test]
fn writing_clears_them() {
    needs!(Root);
    for in_upper in [false, true] {
        let m = changed_by_stranger("suid", in_upper, |m| open(m, "suid").write_all(b"x").unwrap());
        assert_eq!(mode(&m, "suid"), 0o777, "in the upper: {in_upper}");
        let m = changed_by_stranger("both", in_upper, |m| open(m, "both").write_all(b"x").unwrap());
        assert_eq!(mode(&m, "both"), 0o777);
        assert!(!capable(&m, "both"));
    }
}

#[test]
fn opening_for_writing_keeps_them() {
    needs!(Root);
    let m = changed_by_stranger("both", false, |m| drop(open(m, "both")));
    assert_eq!(mode(&m, "both"), 0o4777);
    assert!(capable(&m, "both"));
    assert_eq!(m.absent_in_upper("both"), !told_of_opens());
}

#[test]
fn truncating_clears_them() {
    needs!(Root);
    for in_upper in [false, true] {
        let m = changed_by_stranger("both", in_upper, |m| open(m, "both").set_len(3).unwrap());
        assert_eq!((mode(&m, "both"), capable(&m, "both")), (0o777, false), "ftruncate");
        let m = changed_by_stranger("both", in_upper, |m| nix::unistd::truncate(&m.at("both"), 3).unwrap());
        assert_eq!((mode(&m, "both"), capable(&m, "both")), (0o777, false), "truncate");
        let m = changed_by_stranger("both", in_upper, |m| drop(File::create(m.at("both")).unwrap()));
        assert_eq!((mode(&m, "both"), capable(&m, "both")), (0o777, false), "O_TRUNC");
        assert_eq!(m.text("both"), "");
    }
}

#[test]
fn fallocate_and_copying_clear_them() {
    needs!(Root);
    let m = changed_by_stranger("suid", false, |m| {
        sys::fallocate(open(m, "suid").as_fd(), 0, 0, 5000).unwrap();
    });
    assert_eq!(mode(&m, "suid"), 0o777, "fallocate");
    let m = changed_by_stranger("suid", false, |m| {
        nix::fcntl::copy_file_range(open(m, "capable"), Some(&mut 0), open(m, "suid"), None, 5).unwrap();
    });
    assert_eq!(mode(&m, "suid"), 0o777, "copy_file_range");
}

#[test]
fn mapped_writes_after_a_write_find_them_cleared() {
    needs!(Root);
    let m = changed_by_stranger("suid", false, |m| {
        let file = open(m, "suid");
        file.write_all_at(b"x", 0).unwrap();
        SharedMap::new(file.as_fd(), 10, MapAccess::ReadWrite).unwrap().write(5, b"y");
    });
    assert_eq!(mode(&m, "suid"), 0o777);
    assert_eq!(m.text("suid"), "x1234y6789");
}

#[test]
fn storing_into_a_mapping_keeps_them() {
    needs!(Root);
    let m = changed_by_stranger("both", false, |m| {
        let file = open(m, "both");
        let mut map = SharedMap::new(file.as_fd(), 10, MapAccess::ReadWrite).unwrap();
        map.write(5, b"y");
        map.sync().unwrap();
    });
    assert_eq!((mode(&m, "both"), capable(&m, "both")), (0o4777, true));
    let m = m.remount();
    assert_eq!((mode(&m, "both"), capable(&m, "both")), (0o4777, true));
}

#[test]
fn sgid_without_group_execution_is_no_privilege() {
    needs!(Root);
    // It meant mandatory locking once, and stays for a member of the group; a stranger's write clears it since 6.2.
    let m = changed_by_stranger("locking", false, |m| open(m, "locking").write_all(b"x").unwrap());
    assert_eq!(mode(&m, "locking") & 0o777, 0o767);
}

#[test]
fn root_keeps_the_bits_and_not_the_capabilities() {
    needs!(Root);
    let m = Setup::text(LOWER).mount();
    open(&m, "suid").write_all(b"x").unwrap();
    open(&m, "both").write_all(b"x").unwrap();
    assert_eq!(mode(&m, "suid"), 0o6777);
    assert_eq!((mode(&m, "both"), capable(&m, "both")), (0o4777, false));
    open(&m, "capable").set_len(1).unwrap();
    assert!(!capable(&m, "capable"));
}

#[test]
fn changing_the_owner_clears_them() {
    needs!(Root);
    let m = Setup::text(LOWER).mount();
    for path in ["suid", "both"] {
        chown(m.at(path), Some(5), Some(6)).unwrap();
        assert_eq!(mode(&m, path), 0o777, "{path}");
        assert!(!capable(&m, path));
    }
    as_user(STRANGER, STRANGER, || chown(m.at("own"), None, Some(STRANGER)).unwrap());
    assert_eq!(mode(&m, "own"), 0o755);
    // Nothing to clear on a directory.
    fs::create_dir(m.at("d")).unwrap();
    fs::set_permissions(m.at("d"), std::os::unix::fs::PermissionsExt::from_mode(0o6755)).unwrap();
    chown(m.at("d"), Some(5), Some(6)).unwrap();
    assert_eq!(mode(&m, "d"), 0o6755);
}

#[test]
fn chmod_by_a_stranger_to_the_group_drops_setgid() {
    needs!(Root);
    let m = Mount::of("layer 1\nfile f \"x\" mode=755 owner=64321:99\n");
    as_user(STRANGER, STRANGER, || {
        fs::set_permissions(m.at("f"), std::os::unix::fs::PermissionsExt::from_mode(0o6755)).unwrap();
    });
    assert_eq!(mode(&m, "f"), 0o4755);
}

#[test]
fn a_new_file_may_be_given_capabilities() {
    needs!(Root);
    let m = Setup::text(LOWER).mount();
    fs::write(m.at("new"), "x").unwrap();
    let value = sys::get_xattr(&m.at("capable"), CAPABILITY).unwrap();
    sys::set_xattr(&m.at("new"), CAPABILITY, &value, sys::SetXattr::Always).unwrap();
    assert!(capable(&m, "new"));
    open(&m, "new").write_all(b"y").unwrap();
    assert!(!capable(&m, "new"));
    // And it can be given again, whatever was cached.
    sys::set_xattr(&m.at("new"), CAPABILITY, &value, sys::SetXattr::Always).unwrap();
    open(&m, "new").write_all(b"z").unwrap();
    assert!(!capable(&m, "new"));
}

#[test]
fn suid_takes_effect() {
    needs!(Root);
    let m = Mount::of("layer 1\ndir d\n");
    fs::copy("/usr/bin/id", m.at("d/id")).unwrap();
    chown(m.at("d/id"), Some(1234), Some(1235)).unwrap();
    fs::set_permissions(m.at("d/id"), std::os::unix::fs::PermissionsExt::from_mode(0o6755)).unwrap();
    let output = std::process::Command::new(m.at("d/id")).arg("-u").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "1234");
}

#[test]
fn other_groups_of_the_caller_are_not_known() {
    needs!(Root);
    let m = Mount::of("layer 1\nfile f \"0123456789\" mode=2767 owner=0:99\n");
    let ids = [format!("--reuid={STRANGER}"), format!("--regid={STRANGER}"), "--groups=99".into()];
    let status = std::process::Command::new("setpriv")
        .args(ids)
        .args(["sh", "-c", "printf x >> \"$0\""])
        .arg(m.at("f"))
        .status()
        .unwrap();
    assert!(status.success());
    // A request tells one group of the caller's. The kernel's overlay knows all.
    let expected = match crate::support::Backend::current() {
        crate::support::Backend::Lamina => 0o767,
        crate::support::Backend::Kernel => 0o2767,
    };
    assert_eq!(mode(&m, "f"), expected);
    assert_eq!(m.text("f"), "0123456789x");
}
