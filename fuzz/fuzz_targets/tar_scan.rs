//! Any bytes as a tar: it is refused, or its index can be written, opened again and walked, and says the same.
//!
//! Few bytes are a header by chance. So half of the inputs are blocks whose checksums are put right first, and some are a
//! list of small changes to a tar that is one (see `tar` in the input's first byte).
#![no_main]

use lamina::layer::EntryId;
use lamina::tarball::{Child, Extents, Index, Limits, What, scan};
use libfuzzer_sys::fuzz_target;

const BLOCK: usize = 512;

fuzz_target!(|bytes: &[u8]| {
    let Some((mode, rest)) = bytes.split_first() else { return };
    let tar = match mode % 4 {
        0 => rest.to_vec(),
        1 => summed(rest.to_vec()),
        _ => entries(rest, mode & 4 != 0),
    };
    let limits = Limits { entries: 2000, unpacked: 1 << 22 };
    let scanned = match scan(&tar[..], &limits) {
        Ok(scanned) => scanned,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let mut written = Vec::new();
    scanned.write_to(&mut written).expect("a Vec takes everything");
    let index = Index::from_bytes(written).expect("what was written is an index");
    assert_eq!(index.tar_len(), tar.len() as u64);
    check(&index, tar.len() as u64);
});

/// Takes every block for a header, and puts its checksum right.
fn summed(mut tar: Vec<u8>) -> Vec<u8> {
    for block in tar.chunks_exact_mut(BLOCK) {
        // Blocks that are no headers stay as they are: those that begin with a space or a digit, such as PAX records.
        if !matches!(block[0], b' ' | b'0'..=b'9') {
            sum(block);
        }
    }
    tar
}

fn sum(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// Entries from few bytes each: names of a small alphabet, so that they meet.
fn entries(bytes: &[u8], pax: bool) -> Vec<u8> {
    const NAMES: [&str; 24] = [
        "a",
        "b",
        "d/",
        "d/a",
        "d/e/f",
        "d/e",
        "s",
        "s/a",
        ".wh.a",
        ".wh.d",
        "d/.wh.e",
        "d/.wh..wh..opq",
        ".wh..wh.plnk/a",
        "./",
        "../a",
        "s/../a",
        "/a",
        ".wh.",
        "d/.wh.a",
        "t/b",
        "t",
        "d//e/./g",
        "s/s/s",
        "e",
    ];
    const TYPES: &[u8; 16] = b"0011223455567SxD";
    let mut tar = Vec::new();
    let mut chunks = bytes.chunks_exact(4);
    for chunk in &mut chunks {
        let [kind, name, target, size] = *chunk else { return tar };
        let mut block = [0u8; BLOCK];
        let put = |block: &mut [u8], at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
        put(&mut block, 0, NAMES[usize::from(name) % NAMES.len()].as_bytes());
        put(&mut block, 100, b"0000644\0");
        let kind = TYPES[usize::from(kind) % TYPES.len()];
        let data = match kind {
            b'x' if pax => records(target, size),
            b'x' => continue,
            b'0' | b'7' | b'S' | b'D' => vec![size; usize::from(size) * 4],
            _ => Vec::new(),
        };
        put(&mut block, 124, format!("{:011o}\0", data.len()).as_bytes());
        block[156] = kind;
        put(&mut block, 157, NAMES[usize::from(target) % NAMES.len()].as_bytes());
        put(&mut block, 257, b"ustar  \0");
        if kind == b'S' {
            let half = data.len() / 2;
            for (at, number) in
                [0, half, half + usize::from(target), data.len() - half].into_iter().enumerate()
            {
                put(&mut block, 386 + at * 12, format!("{number:011o}\0").as_bytes());
            }
            put(&mut block, 483, format!("{:011o}\0", data.len() + usize::from(target)).as_bytes());
        }
        sum(&mut block);
        tar.extend_from_slice(&block);
        tar.extend_from_slice(&data);
        tar.resize(tar.len().next_multiple_of(BLOCK), 0);
    }
    tar.extend_from_slice(chunks.remainder());
    tar
}

fn records(which: u8, value: u8) -> Vec<u8> {
    let (key, value) = match which % 10 {
        0 => ("path", format!("p{value}/x")),
        1 => ("linkpath", "s/a".to_owned()),
        2 => ("size", value.to_string()),
        3 => ("mtime", format!("-{value}.{value}")),
        4 => ("SCHILY.xattr.user.a", format!("{value}\n")),
        5 => ("LIBARCHIVE.xattr.user.%41", "AQID".to_owned()),
        6 => ("GNU.sparse.map", format!("0,4,{value},4")),
        7 => ("GNU.sparse.realsize", value.to_string()),
        8 => ("GNU.sparse.major", "1".to_owned()),
        _ => ("GNU.sparse.name", format!("sparse{value}")),
    };
    let body = format!(" {key}={value}\n");
    let len = body.len() + if body.len() + 2 < 100 { 2 } else { 3 };
    format!("{len}{body}").into_bytes()
}

/// Everything in it is there, in order, and within the tar.
fn check(index: &Index, len: u64) {
    let mut todo = vec![EntryId::ROOT];
    let (mut names, mut whiteouts) = (0u64, 0u64);
    while let Some(id) = todo.pop() {
        names += 1;
        let entry = index.attributes(id).expect("every object has attributes");
        assert!(entry.permissions <= 0o7777 && entry.nlink >= 1);
        for xattr in index.xattrs(id).expect("every object has attributes") {
            assert!(!xattr.expect("every attribute is there").0.is_empty());
        }
        if entry.what == What::File {
            let extents = index.extents(id).expect("a file has data");
            let mut end = 0;
            for extent in extents.iter() {
                assert!(extent.offset >= end && extent.len > 0);
                // A hole is between each two.
                assert!(end == 0 || extent.offset > end || matches!(extents, Extents::One(_)));
                end = extent.end();
                assert!(end <= entry.size && extent.at.checked_add(extent.len).is_some_and(|end| end <= len));
            }
        }
        if !matches!(entry.what, What::Directory { .. }) {
            continue;
        }
        let mut last = Vec::new();
        for child in index.children(id).expect("a directory has names") {
            let (name, child) = child.expect("every name is there");
            assert!(last.as_slice() < name.as_bytes());
            assert!(!name.as_bytes().starts_with(b".wh."), "{name}");
            last = name.as_bytes().to_vec();
            assert_eq!(index.find(id, name).expect("it can be found"), Some(child));
            match child {
                Child::Entry(child) => todo.push(child),
                Child::Whiteout => whiteouts += 1,
            }
        }
    }
    let summary = index.summary();
    assert_eq!((summary.entries, summary.whiteouts), (names, whiteouts));
    for link in index.links_below().expect("there is a list") {
        let link = link.expect("every link is there");
        assert!(
            matches!(index.attributes(link.entry), Ok(entry) if matches!(entry.what, What::LinkBelow { .. }))
        );
    }
}
