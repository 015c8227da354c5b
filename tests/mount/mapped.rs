//! Shared mappings.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use crate::support::Mount;
use crate::support::sys::{MapAccess, SharedMap};

#[test]
fn a_shared_mapping_and_the_file_are_one() {
    let m = Mount::of("layer 1\nfile f size=64K seed=2\n");
    let before = fs::read(m.lower(1, "f")).unwrap();
    let file = OpenOptions::new().read(true).write(true).open(m.at("f")).unwrap();
    let mut map = SharedMap::new(file.as_fd(), 65_536, MapAccess::ReadWrite).unwrap();
    assert_eq!(map.read(5000, 100), &before[5000..5100]);
    map.write(5000, b"mapped");
    let mut read = [0; 6];
    file.read_exact_at(&mut read, 5000).unwrap();
    assert_eq!(&read, b"mapped");
    file.write_all_at(b"written", 9000).unwrap();
    assert_eq!(map.read(9000, 7), b"written");
    map.sync().unwrap();
    assert_eq!(&fs::read(m.upper("f")).unwrap()[5000..5006], b"mapped");
    drop(map);
    drop(file);
    let m = m.remount();
    assert_eq!(&fs::read(m.at("f")).unwrap()[5000..5006], b"mapped");
}

#[test]
fn a_mapping_outlives_its_descriptor() {
    let m = Mount::of("layer 1\nfile f size=8K\n");
    let file = OpenOptions::new().read(true).write(true).open(m.at("f")).unwrap();
    let mut map = SharedMap::new(file.as_fd(), 8192, MapAccess::ReadWrite).unwrap();
    drop(file);
    map.write(4096, b"late");
    map.sync().unwrap();
    drop(map);
    assert_eq!(&fs::read(m.at("f")).unwrap()[4096..4100], b"late");
}

#[test]
fn two_mappings_of_one_file_share() {
    let m = Mount::of("layer 1\ndir d\n");
    fs::write(m.at("d/f"), [0; 4096]).unwrap();
    let open = || OpenOptions::new().read(true).write(true).open(m.at("d/f")).unwrap();
    let (one, two) = (open(), open());
    let mut first = SharedMap::new(one.as_fd(), 4096, MapAccess::ReadWrite).unwrap();
    let second = SharedMap::new(two.as_fd(), 4096, MapAccess::Read).unwrap();
    first.write(17, b"shared");
    assert_eq!(second.read(17, 6), b"shared");
}

#[test]
fn a_read_only_mapping_of_a_lower_file_copies_nothing() {
    let m = Mount::of("layer 1\nfile f \"0123456789\"\n");
    let file = File::open(m.at("f")).unwrap();
    let map = SharedMap::new(file.as_fd(), 10, MapAccess::Read).unwrap();
    assert_eq!(map.read(0, 10), b"0123456789");
    assert!(m.absent_in_upper("f"));
}
