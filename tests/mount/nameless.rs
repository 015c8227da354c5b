//! Files without a name: unlinked and still open, or made so with O_TMPFILE.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};

use crate::support::sys::{self, MapAccess, SharedMap};
use crate::support::{Backend, Errno, Mount, errno, with_umask};

fn open(m: &Mount, path: &str) -> File {
    OpenOptions::new().read(true).write(true).open(m.at(path)).unwrap()
}

fn text(file: &mut File) -> String {
    file.rewind().unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn an_unlinked_file_lives_while_it_is_open() {
    let m = Mount::of("layer 1\nfile lower \"lower\"\nfile copied \"copied\"\n");
    fs::write(m.at("new"), "new").unwrap();
    for path in ["copied", "new"] {
        let mut file = open(&m, path);
        let ino = file.metadata().unwrap().ino();
        fs::remove_file(m.at(path)).unwrap();
        assert!(m.absent(path));
        assert_eq!(text(&mut file), path);
        file.write_all(b" and more").unwrap();
        assert_eq!(text(&mut file), format!("{path} and more"));
        let meta = file.metadata().unwrap();
        assert_eq!((meta.ino(), meta.nlink()), (ino, 0), "{path}");
        file.set_len(3).unwrap();
        file.set_permissions(fs::Permissions::from_mode(0o600)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        let meta = file.metadata().unwrap();
        assert_eq!((meta.len(), meta.mode() & 0o777, meta.mtime()), (3, 0o600, 0));
        // A new file of that name is another one.
        fs::write(m.at(path), "other").unwrap();
        assert_eq!(text(&mut file), path[..3]);
        assert_eq!(m.text(path), "other");
    }
}

#[test]
fn an_unlinked_lower_file_lives_while_it_is_open() {
    let m = Mount::of("layer 1\nfile lower \"lower\" mode=644\n");
    let mut file = File::open(m.at("lower")).unwrap();
    fs::remove_file(m.at("lower")).unwrap();
    assert_eq!(text(&mut file), "lower");
    // The kernel's overlay shows the lower file's own count.
    if Backend::current() == Backend::Lamina {
        assert_eq!(file.metadata().unwrap().nlink(), 0);
    }
    assert!(m.absent("lower") && m.whiteout_in_upper("lower"));
    drop(file);
    assert_eq!(m.names("."), [""; 0]);
}

#[test]
fn a_replaced_file_lives_while_it_is_open() {
    let m = Mount::of("layer 1\nfile a \"a\"\nfile b \"b\"\n");
    let mut file = open(&m, "b");
    fs::rename(m.at("a"), m.at("b")).unwrap();
    assert_eq!(text(&mut file), "b");
    file.write_all(b"!").unwrap();
    assert_eq!((text(&mut file), m.text("b")), ("b!".into(), "a".into()));
}

#[test]
fn an_unlinked_file_stays_mapped() {
    let m = Mount::of("layer 1\nfile f size=8K\n");
    let file = open(&m, "f");
    let mut map = SharedMap::new(file.as_fd(), 8192, MapAccess::ReadWrite).unwrap();
    fs::remove_file(m.at("f")).unwrap();
    map.write(5000, b"mapped");
    map.sync().unwrap();
    let mut read = [0; 6];
    file.read_exact_at(&mut read, 5000).unwrap();
    assert_eq!(&read, b"mapped");
}

#[test]
fn other_names_remain() {
    let m = Mount::of("layer 1\ndir d\n");
    fs::write(m.at("one"), "text").unwrap();
    fs::hard_link(m.at("one"), m.at("two")).unwrap();
    let mut file = open(&m, "one");
    fs::remove_file(m.at("one")).unwrap();
    file.seek(std::io::SeekFrom::End(0)).unwrap();
    file.write_all(b"+").unwrap();
    assert_eq!(m.text("two"), "text+");
    assert_eq!(file.metadata().unwrap().nlink(), 1);
}

fn tmpfile(m: &Mount, dir: &str, mode: u32) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .mode(mode)
        .custom_flags(libc::O_TMPFILE)
        .open(m.at(dir))
        .unwrap()
}

#[test]
fn a_tmpfile_has_no_name_until_it_is_given_one() {
    let m = Mount::of("layer 1\nfile d/x \"x\"\n");
    let mut file = with_umask(0o027, || tmpfile(&m, "d", 0o666));
    file.write_all(b"nameless").unwrap();
    assert_eq!(text(&mut file), "nameless");
    assert_eq!(m.names("d"), ["x"]);
    let meta = file.metadata().unwrap();
    assert_eq!((meta.nlink(), meta.mode() & 0o777, meta.len()), (0, 0o640, 8));
    sys::link_fd(file.as_fd(), &m.at("d/named")).unwrap();
    assert_eq!(m.names("d"), ["named", "x"]);
    assert_eq!(m.text("d/named"), "nameless");
    assert_eq!(m.stat("d/named").ino(), file.metadata().unwrap().ino());
    assert_eq!(m.stat("d/named").nlink(), 1);
    assert_eq!(errno(sys::link_fd(file.as_fd(), &m.at("d/x"))), Errno::EEXIST);
    file.write_all(b"!").unwrap();
    drop(file);
    let m = m.remount();
    assert_eq!(m.text("d/named"), "nameless!");
}

#[test]
fn a_tmpfile_with_excl_never_gets_one() {
    let m = Mount::of("layer 1\ndir d\n");
    let file = OpenOptions::new()
        .write(true)
        .mode(0o600)
        .custom_flags(libc::O_TMPFILE | libc::O_EXCL)
        .open(m.at("d"))
        .unwrap();
    assert_eq!(errno(sys::link_fd(file.as_fd(), &m.at("d/named"))), Errno::ENOENT);
    drop(file);
    assert_eq!(m.names("d"), [""; 0]);
}

#[test]
fn a_tmpfile_takes_a_deleted_name() {
    let m = Mount::of("layer 1\nfile f \"lower\"\n");
    fs::remove_file(m.at("f")).unwrap();
    let mut file = tmpfile(&m, ".", 0o644);
    file.write_all(b"new").unwrap();
    sys::link_fd(file.as_fd(), &m.at("f")).unwrap();
    drop(file);
    let m = m.remount();
    assert_eq!(m.text("f"), "new");
}

#[test]
fn tmpfiles_go_when_they_are_closed() {
    let m = Mount::of("layer 1\ndir d\n");
    for _ in 0..50 {
        tmpfile(&m, "d", 0o600).write_all(&[1; 10_000]).unwrap();
    }
    assert_eq!(m.names("d"), [""; 0]);
    let layers = m.unmount();
    assert_eq!(fs::read_dir(layers.upper("")).unwrap().count(), usize::from(layers.upper("d").exists()));
}

#[test]
fn an_unlinked_lower_file_can_still_be_changed() {
    let m = Mount::of("layer 1\nfile lower \"lower\" mode=644\n");
    let mut file = File::open(m.at("lower")).unwrap();
    fs::remove_file(m.at("lower")).unwrap();
    let changed = file.set_permissions(fs::Permissions::from_mode(0o600));
    match Backend::current() {
        Backend::Lamina => {
            changed.unwrap();
            assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        }
        // It copies up to a name, and there is none.
        Backend::Kernel => assert!(matches!(errno(changed), Errno::ENOENT | Errno::EEXIST)),
    }
    assert_eq!(text(&mut file), "lower");
    assert!(m.absent("lower") && m.whiteout_in_upper("lower"));
}
