//! The formats of tar: what each says of an entry.

use super::make::pax_records;
use super::*;
use crate::path::Name;

fn only(index: &Index) -> EntryId {
    let children: Vec<_> = index.children(EntryId::ROOT).unwrap().map(|child| child.unwrap().1).collect();
    let [Child::Entry(id)] = children[..] else { panic!("{children:?}") };
    id
}

fn extents(index: &Index, id: EntryId) -> Vec<(u64, u64, u64)> {
    index.extents(id).unwrap().iter().map(|e| (e.offset, e.at, e.len)).collect()
}

#[test]
fn old_headers_without_a_magic() {
    let old = |tar: Tar, kind: u8, name: &str| {
        tar.entry(kind, name.as_bytes(), b"", |header| {
            header.as_mut_bytes()[257..265].fill(0);
            // What newer formats have there means nothing.
            header.as_mut_bytes()[345..400].fill(b'x');
        })
    };
    becomes(old(old(Tar::new(), 0, "dir/"), 0, "file"), &["dir 644 0:0 /dir", "file 644 0:0 /file"]);
    becomes(Tar::new().file("dir/", b""), &["dir 644 0:0 /dir"]);
}

#[test]
fn the_prefix_of_ustar() {
    let ustar = |star: bool| {
        Tar::new().entry(b'0', b"name", b"", |header| {
            header.as_mut_bytes()[257..265].copy_from_slice(b"ustar\x0000");
            header.as_mut_bytes()[345..351].copy_from_slice(b"prefix");
            if star {
                header.as_mut_bytes()[345 + 131..345 + 143].copy_from_slice(b"00000000001 ");
                header.as_mut_bytes()[508..512].copy_from_slice(b"tar\0");
            }
        })
    };
    for star in [false, true] {
        becomes(ustar(star), &["dir 755 0:0 /prefix implied", "file 644 0:0 /prefix/name"]);
    }
}

#[test]
fn gnu_long_names_and_targets() {
    let (name, target) = ("n".repeat(250), "t/".repeat(1000));
    let tar = Tar::new().file(&name, b"").symlink(&format!("{}/s", &name[..200]), &target);
    becomes(
        tar,
        &[
            &format!("dir 755 0:0 /{} implied", &name[..200]),
            &format!("symlink 777 0:0 /{}/s -> {target}", &name[..200]),
            &format!("file 644 0:0 /{name}"),
        ],
    );
}

#[test]
fn numbers_in_base_256() {
    let index = index(
        &Tar::new()
            .entry(b'0', b"a", b"", |header| {
                header.as_old_mut().uid = [0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe];
                header.as_old_mut().mtime = [0xff; 12];
            })
            .end(),
    );
    let entry = index.attributes(only(&index)).unwrap();
    assert_eq!((entry.uid, entry.mtime), (u32::MAX - 1, (-1, 0)));
}

#[test]
fn pax_records_override_the_header() {
    let name = "é/".repeat(150) + "name";
    let index = index(
        &Tar::new()
            .pax(&[
                ("path", name.as_bytes()),
                ("uid", b"3000000"),
                ("gid", b"4000000000"),
                ("mtime", b"-1.25"),
                ("size", b"5"),
                ("SCHILY.xattr.user.b", b"1\n2\0"),
                ("SCHILY.xattr.user.a", b""),
                ("SCHILY.xattr.user.b", b"last\n"),
                ("LIBARCHIVE.xattr.security.c%61pability", b"AQAAAg"),
            ])
            .entry(b'0', b"short", b"", |header| header.set_size(0))
            .data(b"12345")
            .file("other", b"")
            .end(),
    );
    let lines = dump(&index);
    assert_eq!(lines.len(), 153);
    let line = lines.iter().find(|line| line.contains("name")).unwrap();
    assert!(
        line.ends_with("/name security.capability=\\x01\\x00\\x00\\x02 user.a= user.b=last\\n"),
        "{line}"
    );
    assert!(line.starts_with("file 644 3000000:4000000000 /"), "{line}");
    assert_eq!(lines[1], "file 644 0:0 /other");
    assert_eq!(index.summary().unpacked_bytes, 5);
}

#[test]
fn pax_records_for_all_entries() {
    let global = pax_records(&[("uid", b"5"), ("comment", b"x"), ("mtime", b"7.5")]);
    let tar = Tar::new()
        .entry(b'g', b"pax_global_header", &global, |_| {})
        .file("a", b"")
        .pax(&[("uid", b"6")])
        .file("b", b"")
        .entry(b'g', b"pax_global_header", &pax_records(&[("uid", b"")]), |_| {})
        .file("c", b"");
    assert_eq!(index(&tar.clone().end()).attributes(EntryId(1)).unwrap().mtime, (7, 500_000_000));
    becomes(tar, &["file 644 5:0 /a", "file 644 6:0 /b", "file 644 0:0 /c"]);
}

#[test]
fn pax_link_targets_and_devices() {
    becomes(
        Tar::new()
            .pax(&[("linkpath", "t".repeat(150).as_bytes())])
            .symlink("s", "")
            .pax(&[("SCHILY.devmajor", b"259"), ("SCHILY.devminor", b"1000000")])
            .device(b'4', "d", 1, 2),
        &["block 644 0:0 /d 259,1000000", &format!("symlink 777 0:0 /s -> {}", "t".repeat(150))],
    );
}

#[test]
fn equal_attributes_are_kept_once() {
    let mut tar = Tar::new();
    for number in 0..100 {
        tar = tar.pax(&[("SCHILY.xattr.security.selinux", b"system_u:object_r:usr_t:s0")]);
        tar = tar.file(&format!("f{number}"), b"");
    }
    let scanned = scan(&tar.end()[..], &Limits::default()).unwrap();
    let mut bytes = Vec::new();
    scanned.write_to(&mut bytes).unwrap();
    assert_eq!(bytes.windows(8).filter(|window| window == b"system_u").count(), 1);
    let index = Index::from_bytes(bytes).unwrap();
    assert_eq!(index.xattrs(EntryId(100)).unwrap().len(), 1);
}

#[test]
fn types_that_are_files_directories_or_nothing() {
    becomes(
        Tar::new()
            .entry(b'V', b"label", b"", |_| {})
            .entry(b'7', b"contiguous", b"data", |_| {})
            .entry(b'D', b"dumped", b"Ya\0\0", |_| {})
            .entry(b'1', b"link", b"", |header| {
                // The size of what it links to, without data: as old programs wrote it.
                header.set_size(4);
                header.as_old_mut().linkname[..10].copy_from_slice(b"contiguous");
            })
            .file("after", b""),
        &[
            "file 644 0:0 /after",
            "file 644 0:0 /contiguous #2",
            "dir 644 0:0 /dumped",
            "file 644 0:0 /link #2",
        ],
    );
}

#[test]
fn a_checksum_of_signed_bytes_is_one() {
    let mut tar = Tar::new().file("\u{ff}\u{ff}", b"").0;
    let sum: i64 = tar[..512]
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { i64::from(byte.cast_signed()) })
        .sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_eq!(dump(&index(&tar)).len(), 2);
}

#[test]
fn what_follows_the_end_is_read_and_means_nothing() {
    let mut tar = Tar::new().file("a", b"data").end();
    tar.resize(10240, 0);
    tar.extend_from_slice(b"and something else");
    tar.extend_from_slice(&Tar::new().file("b", b"").0);
    let index = index(&tar);
    assert_eq!(index.tar_len(), tar.len() as u64);
    assert_eq!(dump(&index).len(), 2);
}

#[test]
fn a_tar_may_end_without_blocks_of_zeros() {
    let tar = Tar::new().file("a", b"data").0;
    assert_eq!(dump(&index(&tar)).len(), 2);
    // One is enough at the very end.
    assert_eq!(dump(&index(&[tar, vec![0; 512]].concat())).len(), 2);
}

#[test]
fn an_ordinary_file_is_where_it_is() {
    let index = index(&Tar::new().dir("d").file("d/a", b"data").file("d/empty", b"").end());
    let Some(Child::Entry(dir)) = index.find(EntryId::ROOT, Name::new(b"d").unwrap()).unwrap() else {
        panic!()
    };
    let id = |name: &[u8]| match index.find(dir, Name::new(name).unwrap()).unwrap() {
        Some(Child::Entry(id)) => id,
        other => panic!("{other:?}"),
    };
    assert_eq!(extents(&index, id(b"a")), [(0, 1024, 4)]);
    assert_eq!(extents(&index, id(b"empty")), []);
    assert!(index.extents(dir).is_err());
}

fn octal(field: &mut [u8], value: u64) {
    let digits = format!("{value:0width$o}\0", width = field.len() - 1);
    field.copy_from_slice(digits.as_bytes());
}

#[test]
fn sparse_files_of_gnu() {
    let tar = |count: usize| {
        // Pieces of 512 bytes at every second 1024.
        let data: Vec<u8> = (0..count).flat_map(|n| [n as u8 + 1; 512]).collect();
        let pieces: Vec<(u64, u64)> =
            (0..count as u64).map(|n| (n * 1024, 512)).chain([(count as u64 * 1024, 0)]).collect();
        let mut tar = Tar::new().entry(b'S', b"sparse", b"", |header| {
            header.set_size(data.len() as u64);
            let gnu = header.as_gnu_mut().unwrap();
            octal(&mut gnu.realsize, count as u64 * 1024);
            for (field, (offset, len)) in gnu.sparse.iter_mut().zip(&pieces) {
                octal(&mut field.offset, *offset);
                octal(&mut field.numbytes, *len);
            }
            gnu.isextended = [u8::from(pieces.len() > 4)];
        });
        let rest = pieces.get(4..).unwrap_or_default();
        for (at, chunk) in rest.chunks(21).enumerate() {
            let mut block = [0; 512];
            for (field, (offset, len)) in block.chunks_mut(24).zip(chunk) {
                octal(&mut field[..12], *offset);
                octal(&mut field[12..], *len);
            }
            block[504] = u8::from(rest.len() > (at + 1) * 21);
            tar = tar.data(&block);
        }
        (tar.data(&data).file("z", b""), rest.chunks(21).len() as u64)
    };
    for count in [1, 3, 4, 5, 24, 25, 26, 60] {
        let (tar, blocks) = tar(count);
        let index = index(&tar.end());
        let id = EntryId(1);
        assert_eq!(index.attributes(id).unwrap().size, count as u64 * 1024);
        let expected: Vec<_> = (0..count as u64).map(|n| (n * 1024, 512 * (1 + blocks + n), 512)).collect();
        assert_eq!(extents(&index, id), expected, "{count}");
        assert_eq!(dump(&index).len(), 3);
    }
}

#[test]
fn sparse_files_of_pax() {
    let data = [[1u8; 512], [2; 512]].concat();
    let zero = Tar::new()
        .pax(&[
            ("GNU.sparse.size", b"100000"),
            ("GNU.sparse.numblocks", b"2"),
            ("GNU.sparse.offset", b"0"),
            ("GNU.sparse.numbytes", b"512"),
            ("GNU.sparse.offset", b"4096"),
            ("GNU.sparse.numbytes", b"512"),
        ])
        .file("sparse", &data);
    let one = Tar::new()
        .pax(&[
            ("GNU.sparse.name", b"sparse"),
            ("GNU.sparse.size", b"100000"),
            ("GNU.sparse.numblocks", b"2"),
            ("GNU.sparse.map", b"0,512,4096,512"),
        ])
        .file("GNUSparseFile.0/sparse", &data);
    let mut with_map = b"2\n0\n512\n4096\n512\n".to_vec();
    with_map.resize(512, 0);
    with_map.extend_from_slice(&data);
    let two = Tar::new()
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"sparse"),
            ("GNU.sparse.realsize", b"100000"),
        ])
        .file("GNUSparseFile.0/sparse", &with_map);
    for (form, tar, map) in [("0.0", zero, 0), ("0.1", one, 0), ("1.0", two, 512)] {
        let tar = tar.file("z", b"");
        let index = index(&tar.clone().end());
        let at = tar.0.len() as u64 - 512 - 1024;
        assert_eq!(extents(&index, EntryId(1)), [(0, at, 512), (4096, at + 512, 512)], "{form} {map}");
        assert_eq!(index.attributes(EntryId(1)).unwrap().size, 100_000, "{form}");
        becomes(tar, &["file 644 0:0 /sparse", "file 644 0:0 /z"]);
    }
}

#[test]
fn pieces_that_touch_become_one() {
    let tar = Tar::new()
        .pax(&[("GNU.sparse.size", b"20"), ("GNU.sparse.map", b"0,4,4,4,8,0,10,2")])
        .file("a", b"0123456789");
    let index = index(&tar.end());
    assert_eq!(extents(&index, EntryId(1)), [(0, 1536, 8), (10, 1544, 2)]);
}

#[test]
fn the_same_tar_gives_the_same_index() {
    let tar = Tar::new().file("b", b"x").pax(&[("SCHILY.xattr.user.a", b"v")]).file("a/c", b"").end();
    let bytes = || {
        let mut bytes = Vec::new();
        scan(&tar[..], &Limits::default()).unwrap().write_to(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(bytes(), bytes());
}
