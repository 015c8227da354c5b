//! POSIX ACLs: kept, inherited, and obeyed.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};

use crate::needs;
use crate::support::sys::{self, SetXattr};
use crate::support::{Errno, Mount, Setup, as_user, errno, with_umask};

const ACCESS: &[u8] = b"system.posix_acl_access";
const DEFAULT: &[u8] = b"system.posix_acl_default";

/// A directory with a default ACL, one without, and a file that one user more may write.
const LOWER: &str = "layer 1\ndir d mode=777\nacl d default u::rwx,u:64321:rwx,g::r-x,m::rwx,o::---\n\
    dir plain mode=777\nfile f \"f\" mode=640\nacl f access u::rw-,u:64321:rw-,g::r--,m::rw-,o::---\n";

fn mode(m: &Mount, path: &str) -> u32 {
    m.stat(path).mode() & 0o7777
}

/// Entries as (tag, permissions, id).
fn entries(m: &Mount, path: &str, name: &[u8]) -> Option<Vec<(u16, u16, u32)>> {
    let value = match sys::get_xattr(&m.at(path), name) {
        Ok(value) => value,
        Err(Errno::ENODATA) => return None,
        Err(e) => panic!("{path}: {e}"),
    };
    assert_eq!(value[..4], 2u32.to_le_bytes());
    let entry = |b: &[u8]| {
        let half = |at: usize| u16::from_le_bytes([b[at], b[at + 1]]);
        (half(0), half(2), u32::from_le_bytes([b[4], b[5], b[6], b[7]]))
    };
    Some(value[4..].chunks_exact(8).map(entry).collect())
}

#[test]
fn acls_are_shown_and_survive_a_copy() {
    needs!(Root);
    let m = Setup::text(LOWER).mount();
    let access = entries(&m, "f", ACCESS).unwrap();
    assert_eq!(access.len(), 5);
    assert!(access.contains(&(2, 6, 64_321)));
    let default = entries(&m, "d", DEFAULT).unwrap();
    fs::write(m.at("f"), "changed").unwrap();
    fs::write(m.at("d/copied-by"), "x").unwrap();
    assert_eq!(entries(&m, "f", ACCESS).unwrap(), access);
    assert_eq!(entries(&m, "d", DEFAULT).unwrap(), default);
    let m = m.remount();
    assert_eq!(entries(&m, "f", ACCESS).unwrap(), access);
    assert_eq!(entries(&m, "d", DEFAULT).unwrap(), default);
}

#[test]
fn where_modes_are_recorded_an_acl_changes_the_record() {
    needs!(Lamina);
    let m = Setup::text("layer 1\nfile f \"f\" mode=644\n").lamina_options("xattr_permissions=2").mount();
    DirBuilder::new().mode(0o700).create(m.at("d")).unwrap();
    let acl = |entries: &[(u16, u16)]| {
        let entry = |(tag, perm): &(u16, u16)| {
            [&tag.to_le_bytes()[..], &perm.to_le_bytes(), &u32::MAX.to_le_bytes()].concat()
        };
        [2u32.to_le_bytes().to_vec(), entries.iter().flat_map(entry).collect()].concat()
    };
    let set =
        |path: &str, value: &[u8]| sys::set_xattr(&m.at(path), ACCESS, value, SetXattr::Always).unwrap();
    // As cp and mv of coreutils give a directory its mode at the end.
    set("d", &acl(&[(1, 7), (4, 5), (0x20, 5)]));
    assert_eq!(mode(&m, "d"), 0o755);
    // The owner may do nothing, which must not keep the daemon out.
    set("f", &acl(&[(1, 0), (4, 4), (0x10, 5), (0x20, 0)]));
    assert_eq!(mode(&m, "f"), 0o050);
    let m = m.remount();
    assert_eq!((mode(&m, "d"), mode(&m, "f")), (0o755, 0o050));
    let perms = |m: &Mount| {
        let entries = entries(m, "f", ACCESS).unwrap();
        entries.iter().map(|(tag, perm, _)| (*tag, *perm)).collect::<Vec<_>>()
    };
    assert_eq!(perms(&m), [(1, 0), (4, 4), (0x10, 5), (0x20, 0)]);
    fs::set_permissions(m.at("f"), Permissions::from_mode(0o421)).unwrap();
    assert_eq!(perms(&m), [(1, 4), (4, 4), (0x10, 2), (0x20, 1)]);
    assert_eq!(mode(&m, "f"), 0o421);
}

#[test]
fn acls_are_obeyed() {
    needs!(Root);
    let m = Setup::text(LOWER).mount();
    as_user(64_321, 64_321, || {
        assert_eq!(m.text("f"), "f");
        fs::write(m.at("f"), "written").unwrap();
    });
    as_user(64_322, 64_322, || {
        assert_eq!(errno(fs::read(m.at("f"))), Errno::EACCES);
        assert_eq!(errno(File::create(m.at("f"))), Errno::EACCES);
    });
    assert_eq!(m.text("f"), "written");
}

#[test]
fn a_default_acl_is_inherited_in_place_of_the_umask() {
    needs!(Root);
    let m = Setup::text(LOWER).mount();
    with_umask(0o077, || {
        for dir in ["d", "plain"] {
            OpenOptions::new().write(true).create_new(true).mode(0o666).open(m.at(dir).join("file")).unwrap();
            DirBuilder::new().mode(0o777).create(m.at(dir).join("dir")).unwrap();
            nix::unistd::mkfifo(&m.at(dir).join("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o666))
                .unwrap();
            std::os::unix::fs::symlink("x", m.at(dir).join("link")).unwrap();
        }
    });
    assert_eq!((mode(&m, "plain/file"), mode(&m, "plain/dir")), (0o600, 0o700));
    assert_eq!(entries(&m, "plain/file", ACCESS), None);
    let m = m.remount();
    // The group bits of the mode are the mask.
    assert_eq!((mode(&m, "d/file"), mode(&m, "d/dir"), mode(&m, "d/fifo")), (0o660, 0o770, 0o660));
    let inherited = |mask| {
        vec![(1, mask, u32::MAX), (2, 7, 64_321), (4, 5, u32::MAX), (16, mask, u32::MAX), (32, 0, u32::MAX)]
    };
    assert_eq!(entries(&m, "d/file", ACCESS), Some(inherited(6)));
    assert_eq!(entries(&m, "d/fifo", ACCESS), Some(inherited(6)));
    assert_eq!(entries(&m, "d/dir", ACCESS), Some(inherited(7)));
    assert_eq!(entries(&m, "d/dir", DEFAULT), entries(&m, "d", DEFAULT));
    assert_eq!(entries(&m, "d/file", DEFAULT), None);
}

#[test]
fn new_names_over_deleted_ones_inherit_too() {
    needs!(Root);
    let m = Setup::text(&format!("{LOWER}file d/old \"x\" mode=600\nfile d/dir/x \"x\"\n")).mount();
    fs::remove_file(m.at("d/old")).unwrap();
    fs::remove_dir_all(m.at("d/dir")).unwrap();
    with_umask(0o077, || {
        OpenOptions::new().write(true).create_new(true).mode(0o666).open(m.at("d/old")).unwrap();
        fs::create_dir(m.at("d/dir")).unwrap();
    });
    assert_eq!((mode(&m, "d/old"), mode(&m, "d/dir")), (0o660, 0o770));
    assert_eq!(entries(&m, "d/old", ACCESS).unwrap()[1], (2, 7, 64_321));
    assert_eq!(entries(&m, "d/dir", DEFAULT), entries(&m, "d", DEFAULT));
}

#[test]
fn copied_up_objects_do_not_inherit() {
    needs!(Root);
    // The copy is made in the work directory and keeps what it had; its parent's default ACL is for new names.
    let m = Setup::text(&format!("{LOWER}file d/old \"x\" mode=604\ndir d/dir mode=705\n")).mount();
    fs::write(m.at("d/old"), "changed").unwrap();
    fs::write(m.at("d/dir/new"), "x").unwrap();
    assert_eq!((mode(&m, "d/old"), mode(&m, "d/dir")), (0o604, 0o705));
    assert_eq!(entries(&m, "d/old", ACCESS), None);
    assert_eq!((entries(&m, "d/dir", ACCESS), entries(&m, "d/dir", DEFAULT)), (None, None));
}

#[test]
fn mode_and_acl_change_each_other() {
    let m = Mount::of("layer 1\nfile f \"f\" mode=640\n");
    let value = |mask: u16| {
        let mut value = 2u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in [
            (1u16, 6u16, u32::MAX),
            (2, 6, 64_321),
            (4, 4, u32::MAX),
            (16, mask, u32::MAX),
            (32, 0, u32::MAX),
        ] {
            value.extend(tag.to_le_bytes());
            value.extend(permissions.to_le_bytes());
            value.extend(id.to_le_bytes());
        }
        value
    };
    if crate::support::Who::current() != crate::support::Who::Root {
        // Ids that the namespace does not have cannot be named there.
        return;
    }
    sys::set_xattr(&m.at("f"), ACCESS, &value(6), SetXattr::Always).unwrap();
    assert_eq!(mode(&m, "f"), 0o660, "the mask is the group's bits");
    fs::set_permissions(m.at("f"), Permissions::from_mode(0o604)).unwrap();
    let after = entries(&m, "f", ACCESS).unwrap();
    assert!(after.contains(&(16, 0, u32::MAX)) && after.contains(&(32, 4, u32::MAX)), "{after:?}");
    let m = m.remount();
    assert_eq!(entries(&m, "f", ACCESS).unwrap(), after);
    sys::remove_xattr(&m.at("f"), ACCESS).unwrap();
    assert_eq!(entries(&m, "f", ACCESS), None);
    // One that says no more than a mode is stored as a mode.
    let mut minimal = 2u32.to_le_bytes().to_vec();
    for (tag, permissions) in [(1u16, 7u16), (4, 5), (32, 1)] {
        minimal.extend(tag.to_le_bytes());
        minimal.extend(permissions.to_le_bytes());
        minimal.extend(u32::MAX.to_le_bytes());
    }
    sys::set_xattr(&m.at("f"), ACCESS, &minimal, SetXattr::Always).unwrap();
    assert_eq!(mode(&m, "f"), 0o751);
    assert_eq!(entries(&m, "f", ACCESS), None);
}

#[test]
fn only_owners_set_acls() {
    needs!(Root);
    let m = Setup::text(LOWER).mount();
    let value = sys::get_xattr(&m.at("f"), ACCESS).unwrap();
    as_user(64_321, 64_321, || {
        assert_eq!(errno(sys::set_xattr(&m.at("f"), ACCESS, &value, SetXattr::Always)), Errno::EPERM);
        assert_eq!(errno(sys::set_xattr(&m.at("d"), DEFAULT, &value, SetXattr::Always)), Errno::EPERM);
    });
    assert_eq!(errno(sys::set_xattr(&m.at("f"), DEFAULT, &value, SetXattr::Always)), Errno::EACCES);
}

#[test]
fn setting_an_acl_clears_setgid_for_strangers_to_the_group() {
    needs!(Root);
    let m = Mount::of(
        "layer 1\nfile f \"f\" mode=2755 owner=64321:99\nfile g \"g\" mode=2755 owner=64321:64321\n\
         file with \"x\" owner=64321:64321\nacl with access u::rwx,u:7:rwx,g::r-x,m::rwx,o::r-x\n",
    );
    let value = sys::get_xattr(&m.at("with"), ACCESS).unwrap();
    as_user(64_321, 64_321, || {
        sys::set_xattr(&m.at("f"), ACCESS, &value, SetXattr::Always).unwrap();
        sys::set_xattr(&m.at("g"), ACCESS, &value, SetXattr::Always).unwrap();
    });
    assert_eq!(mode(&m, "f"), 0o775);
    assert_eq!(mode(&m, "g"), 0o2775);
}
