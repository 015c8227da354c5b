//! Any bytes as an index, or an index with some bytes changed: what is damaged is an error, never a panic or a loop.
#![no_main]

use lamina::layer::EntryId;
use lamina::tarball::{Child, Index, Limits, scan};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(index) = Index::from_bytes(bytes.to_vec()) {
        walk(&index);
    }
    let mut changed = sample();
    for change in bytes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % changed.len();
        changed[at] = change[2];
    }
    if let Ok(index) = Index::from_bytes(changed) {
        walk(&index);
    }
});

/// A directory, an ordinary and a sparse file, a symlink, a link below and a whiteout.
fn sample() -> Vec<u8> {
    let mut tar = Vec::new();
    let pax = b"22 GNU.sparse.size=40\n26 GNU.sparse.map=1,4,9,4\n25 SCHILY.xattr.user.a=v\n";
    for (kind, name, target, data) in [
        (b'5', "d", "", &b""[..]),
        (b'0', "d/f", "", b"data"),
        (b'x', "x", "", pax),
        (b'0', "d/sparse", "", b"01234567"),
        (b'2', "s", "d", b""),
        (b'1', "below", "x/y", b""),
        (b'0', ".wh.gone", "", b""),
    ] {
        let mut block = [0u8; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..136].copy_from_slice(format!("{:011o}\0", data.len()).as_bytes());
        block[148..156].fill(b' ');
        block[156] = kind;
        block[157..157 + target.len()].copy_from_slice(target.as_bytes());
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar.extend_from_slice(&block);
        tar.extend_from_slice(data);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    let mut index = Vec::new();
    let scanned = scan(&tar[..], &Limits::default()).expect("it is a tar");
    scanned.write_to(&mut index).expect("a Vec takes everything");
    index
}

fn walk(index: &Index) {
    let mut todo = vec![EntryId::ROOT];
    // A damaged index may have one object under many names: not all of them are walked.
    for _ in 0..10_000 {
        let Some(id) = todo.pop() else { break };
        if let Ok(entry) = index.attributes(id) {
            assert!(entry.permissions <= 0o7777);
        }
        if let Ok(xattrs) = index.xattrs(id) {
            for (name, value) in xattrs.flatten().take(1000) {
                std::hint::black_box((name, value));
            }
        }
        if let Ok(extents) = index.extents(id) {
            std::hint::black_box((extents.bytes(), extents.from(7)));
        }
        if let Ok(children) = index.children(id) {
            for (name, child) in children.flatten().take(1000) {
                std::hint::black_box(index.find(id, name).is_ok());
                if let Child::Entry(child) = child {
                    todo.push(child);
                }
            }
        }
    }
    std::hint::black_box(index.summary());
    if let Ok(links) = index.links_below() {
        std::hint::black_box(links.flatten().count());
    }
}
