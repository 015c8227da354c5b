#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use super::*;

fn path(bytes: &[u8]) -> RelPath {
    RelPath::new(bytes).unwrap()
}

/// One entry as a reader that is not ours has it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    path: Vec<u8>,
    link: Vec<u8>,
    kind: u8,
    size: u64,
    uid: u64,
    gid: u64,
    content: Vec<u8>,
}

fn read(tar: &[u8]) -> Vec<Read> {
    let mut archive = tar::Archive::new(tar);
    let mut all = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        io::Read::read_to_end(&mut entry, &mut content).unwrap();
        all.push(Read {
            path: entry.path_bytes().to_vec(),
            link: entry.link_name_bytes().unwrap_or_default().to_vec(),
            kind: entry.header().entry_type().as_byte(),
            size: entry.size(),
            uid: entry.header().uid().unwrap(),
            gid: entry.header().gid().unwrap(),
            content,
        });
    }
    all
}

/// The extended header of an entry. By its lengths: a value may hold newlines.
fn records(entry: &Entry<'_>) -> Vec<(String, Vec<u8>)> {
    let mut tar = TarWriter::new(Vec::new());
    tar.file(entry, io::repeat(0)).unwrap();
    let bytes = tar.finish().unwrap();
    let mut all = Vec::new();
    if bytes[156] != b'x' {
        return all;
    }
    let header = Header::from_byte_slice(&bytes[..512]);
    let mut rest = &bytes[512..512 + header.entry_size().unwrap() as usize];
    while !rest.is_empty() {
        let space = rest.iter().position(|b| *b == b' ').unwrap();
        let len: usize = std::str::from_utf8(&rest[..space]).unwrap().parse().unwrap();
        let (record, after) = rest.split_at(len);
        let equals = record.iter().position(|b| *b == b'=').unwrap();
        assert_eq!(record.last(), Some(&b'\n'));
        let key = String::from_utf8(record[space + 1..equals].to_vec()).unwrap();
        all.push((key, record[equals + 1..len - 1].to_vec()));
        rest = after;
    }
    all
}

#[test]
fn what_ustar_can_say_has_no_extended_header() {
    let (dir, file, link) = (path(b"d"), path(b"d/f"), path(b"d/l\xff"));
    let (hard, device, fifo) = (path(b"h"), path(b"c"), path(b"p"));
    let root = RelPath::root();
    let entry = |path, what| Entry { what, perm: 0o4755, uid: 7, gid: 8, ..Entry::plain(path, 0) };
    let mut tar = TarWriter::new(Vec::new());
    tar.entry(&Entry { mtime: (1, 0), ..entry(&root, What::Directory) }).unwrap();
    tar.entry(&entry(&dir, What::Directory)).unwrap();
    tar.file(&entry(&file, What::Regular(3)), &b"abcdef"[..]).unwrap();
    tar.entry(&entry(&link, What::Symlink(b"../x"))).unwrap();
    tar.entry(&entry(&hard, What::HardLink(&file))).unwrap();
    tar.entry(&entry(&device, What::CharDevice { major: 5, minor: 1 })).unwrap();
    tar.entry(&entry(&fifo, What::Fifo)).unwrap();
    let bytes = tar.finish().unwrap();
    assert_eq!(bytes.len(), 512 * (7 + 1 + 2));
    let expected = |path: &[u8], kind, link: &[u8], content: &[u8]| Read {
        path: path.to_vec(),
        link: link.to_vec(),
        kind,
        size: content.len() as u64,
        uid: 7,
        gid: 8,
        content: content.to_vec(),
    };
    assert_eq!(
        read(&bytes),
        [
            expected(b"./", b'5', b"", b""),
            expected(b"d/", b'5', b"", b""),
            expected(b"d/f", b'0', b"", b"abc"),
            expected(b"d/l\xff", b'2', b"../x", b""),
            expected(b"h", b'1', b"d/f", b""),
            expected(b"c", b'3', b"", b""),
            expected(b"p", b'6', b"", b""),
        ]
    );
    // No moment and no machine is in it.
    assert_eq!(bytes[100..108], *b"0004755\0");
    assert_eq!(bytes[136..148], *b"00000000001\0");
    assert_eq!(bytes[265..329], [0; 64]);
}

#[test]
fn what_ustar_cannot_say_is_in_records_in_a_fixed_order() {
    let long = path(&[b'\xfe'; 150]);
    let xattrs = BTreeMap::from([
        (b"user.b".to_vec(), b"\0\n=\xff".to_vec()),
        (b"user.a".to_vec(), Vec::new()),
        (b"security.capability".to_vec(), vec![0; 20]),
    ]);
    let entry = Entry {
        what: What::Symlink(&[b'x'; 101]),
        uid: 2_097_152,
        gid: u32::MAX,
        mtime: (-1, 999_999_999),
        xattrs,
        ..Entry::plain(&long, 0)
    };
    let expected: [(&str, &[u8]); 8] = [
        ("path", &[b'\xfe'; 150]),
        ("linkpath", &[b'x'; 101]),
        ("uid", b"2097152"),
        ("gid", b"4294967295"),
        ("mtime", b"-0.000000001"),
        ("SCHILY.xattr.security.capability", &[0; 20]),
        ("SCHILY.xattr.user.a", b""),
        ("SCHILY.xattr.user.b", b"\0\n=\xff"),
    ];
    let found = records(&entry);
    let found: Vec<_> = found.iter().map(|(key, value)| (key.as_str(), value.as_slice())).collect();
    assert_eq!(found, expected);
}

#[test]
fn times_are_exact_before_1970_too() {
    let at = path(b"f");
    for (mtime, text) in [
        ((0, 0), None),
        ((8_589_934_591, 0), None),
        ((8_589_934_592, 0), Some("8589934592")),
        ((1, 500_000_000), Some("1.5")),
        ((1, 1), Some("1.000000001")),
        ((-1, 0), Some("-1")),
        ((-2, 500_000_000), Some("-1.5")),
        ((i64::MIN, 0), Some("-9223372036854775808")),
    ] {
        let found = records(&Entry { mtime, ..Entry::plain(&at, 0) });
        let found: Vec<_> =
            found.into_iter().map(|(key, value)| (key, String::from_utf8(value).unwrap())).collect();
        let expected: Vec<_> = text.into_iter().map(|text| ("mtime".to_owned(), text.to_owned())).collect();
        assert_eq!(found, expected, "{mtime:?}");
    }
}

#[test]
fn a_record_counts_its_own_length_across_every_jump_of_digits() {
    for len in (0..2200).chain(9_980..10_020).chain(99_970..100_010) {
        let mut records = Vec::new();
        record(b"k", &vec![b'v'; len], &mut records);
        let text = records.split(|b| *b == b' ').next().unwrap();
        assert_eq!(String::from_utf8_lossy(text).parse::<usize>().unwrap(), records.len(), "{len}");
    }
}

#[test]
fn what_a_tar_cannot_hold_is_refused_before_anything_is_written() {
    let at = path(b"f");
    let mut tar = TarWriter::new(Vec::new());
    let device = What::CharDevice { major: 1, minor: 2_097_152 };
    let refused = tar.entry(&Entry { what: device, ..Entry::plain(&at, 0) });
    assert!(matches!(refused, Err(WriteError::Device { minor: 2_097_152, .. })));
    let xattrs = BTreeMap::from([(b"user.a=b".to_vec(), Vec::new())]);
    assert!(matches!(tar.entry(&Entry { xattrs, ..Entry::plain(&at, 0) }), Err(WriteError::XattrName(_))));
    assert_eq!(tar.finish().unwrap(), [0; 1024]);

    let mut tar = TarWriter::new(Vec::new());
    let short = tar.file(&Entry::plain(&at, 9), &b"1234"[..]);
    assert!(matches!(short, Err(WriteError::Shrunk { expected: 9, found: 4 })));
}

#[test]
fn gnu_tar_unpacks_it() {
    let dir = tempfile::tempdir().unwrap();
    let long: Vec<u8> = [&[b'd'; 120][..], b"/\xff"].concat();
    let (parent, file) = (path(&[b'd'; 120]), path(&long));
    let mut tar = TarWriter::new(Vec::new());
    tar.entry(&Entry { what: What::Directory, perm: 0o755, ..Entry::plain(&parent, 0) }).unwrap();
    let entry = Entry { mtime: (-1_000, 250_000_000), perm: 0o640, ..Entry::plain(&file, 3) };
    tar.file(&entry, &b"abc"[..]).unwrap();
    std::fs::write(dir.path().join("t.tar"), tar.finish().unwrap()).unwrap();
    let status = Command::new("tar").args(["-xf", "t.tar"]).current_dir(dir.path()).status().unwrap();
    assert!(status.success());
    let unpacked = dir.path().join(OsStr::from_bytes(&long));
    let metadata = std::fs::metadata(&unpacked).unwrap();
    use std::os::unix::fs::MetadataExt;
    assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (-1_000, 250_000_000));
    assert_eq!(metadata.mode() & 0o7777, 0o640);
    assert_eq!(std::fs::read(&unpacked).unwrap(), b"abc");
}
