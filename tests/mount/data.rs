//! Reading and writing: what is written is there, also past the end and around holes.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};

use nix::unistd::{Whence, lseek};

use crate::support::{Backend, Errno, Mount, Setup, errno};

fn read_write(m: &Mount, path: &str) -> File {
    OpenOptions::new().read(true).write(true).open(m.at(path)).unwrap()
}

#[test]
fn lower_data_is_read_whole() {
    let m = Setup::named("kinds").mount();
    for path in ["file", "empty", "sparse", "pattern"] {
        assert!(fs::read(m.at(path)).unwrap() == fs::read(m.lower(1, path)).unwrap(), "{path}");
    }
}

#[test]
fn writes_land_where_they_should() {
    let m = Mount::of("layer 1\nfile f size=300K seed=9\n");
    let mut expected = fs::read(m.lower(1, "f")).unwrap();
    let file = read_write(&m, "f");
    for (offset, len, byte) in
        [(0, 1, 1), (4095, 2, 2), (131_071, 70_000, 3), (307_199, 1, 4), (200_000, 4096, 5)]
    {
        file.write_all_at(&vec![byte; len], offset as u64).unwrap();
        let end = expected.len().max(offset + len);
        expected.resize(end, 0);
        expected[offset..offset + len].fill(byte);
    }
    assert!(fs::read(m.at("f")).unwrap() == expected);
    file.sync_all().unwrap();
    assert!(fs::read(m.upper("f")).unwrap() == expected);
    drop(file);
    let m = m.remount();
    assert!(fs::read(m.at("f")).unwrap() == expected);
}

#[test]
fn large_files_are_written_and_read() {
    let m = Mount::of("layer 1\ndir d\n");
    let data: Vec<u8> = (0..9_000_001u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut file = File::create(m.at("d/f")).unwrap();
    for chunk in data.chunks(700_001) {
        file.write_all(chunk).unwrap();
    }
    drop(file);
    assert!(fs::read(m.at("d/f")).unwrap() == data);
    let m = m.remount();
    assert!(fs::read(m.at("d/f")).unwrap() == data);
}

#[test]
fn past_the_end_there_are_zeroes() {
    let m = Mount::of("layer 1\nfile f \"0123456789\"\n");
    let mut file = read_write(&m, "f");
    file.write_all_at(b"end", 1_000_000).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 1_000_003);
    let mut middle = [1; 100];
    file.read_exact_at(&mut middle, 500_000).unwrap();
    assert_eq!(middle, [0; 100]);
    assert_eq!(file.read_at(&mut middle, 1_000_003).unwrap(), 0);
    assert_eq!(file.read_at(&mut middle, 2_000_000).unwrap(), 0);
    assert_eq!(file.seek(SeekFrom::End(-3)).unwrap(), 1_000_000);
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "end");
    file.set_len(3).unwrap();
    file.set_len(5).unwrap();
    assert_eq!(m.text("f"), "012\0\0");
}

#[test]
fn holes_are_found() {
    let m = Setup::named("kinds").mount();
    let seek = |file: &File, at, whence| lseek(file, at, whence);
    for copied in [false, true] {
        if copied {
            fs::set_permissions(m.at("sparse"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        }
        let file = File::open(m.at("sparse")).unwrap();
        let below = File::open(m.lower(1, "sparse")).unwrap();
        for at in [0, 100, 1 << 20, (1 << 20) + 4096, 3 << 20, (4 << 20) - 1] {
            for whence in [Whence::SeekData, Whence::SeekHole] {
                // The kernel's overlay copies by the mebibyte, which fills a part of the holes.
                if !copied || Backend::current() == Backend::Lamina {
                    let expected = seek(&below, at, whence);
                    assert_eq!(seek(&file, at, whence), expected, "{whence:?} at {at}, copied: {copied}");
                }
            }
        }
        assert_eq!(errno(seek(&file, 5 << 20, Whence::SeekHole)), Errno::ENXIO);
        assert!(m.stat("sparse").blocks() * 512 < 3 << 20);
    }
}

#[test]
fn a_reader_sees_what_another_writes() {
    let m = Mount::of("layer 1\nfile f \"0123456789\"\n");
    let reader = File::open(m.at("f")).unwrap();
    let mut text = [0; 10];
    reader.read_exact_at(&mut text, 0).unwrap();
    let writer = read_write(&m, "f");
    writer.write_all_at(b"AB", 4).unwrap();
    reader.read_exact_at(&mut text, 0).unwrap();
    assert_eq!(&text, b"0123AB6789");
    writer.set_len(5).unwrap();
    assert_eq!(reader.read_at(&mut text, 0).unwrap(), 5);
    assert_eq!(reader.metadata().unwrap().len(), 5);
}

#[test]
fn syncing_works_on_everything() {
    let m = Mount::of("layer 1\nfile f \"x\"\ndir d\n");
    File::open(m.at("f")).unwrap().sync_all().unwrap();
    File::open(m.at("d")).unwrap().sync_all().unwrap();
    File::open(m.root()).unwrap().sync_data().unwrap();
    let mut file = File::create(m.at("d/new")).unwrap();
    file.write_all(b"x").unwrap();
    file.sync_data().unwrap();
    file.sync_all().unwrap();
    File::open(m.at("d")).unwrap().sync_all().unwrap();
    nix::unistd::syncfs(&file).unwrap();
}
