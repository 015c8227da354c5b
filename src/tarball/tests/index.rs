//! The index as bytes: what was written is read, and what was not is no panic.

use proptest::prelude::*;

use super::*;
use crate::error::Kind;
use crate::path::Name;

fn sample() -> Vec<u8> {
    let tar = Tar::new()
        .pax(&[("SCHILY.xattr.user.a", b"value")])
        .file("a/b/c", b"data")
        .symlink("s", "a/b")
        .link("s/hard", "a/b/c")
        .link("below", "x/y")
        .file("a/.wh.gone", b"")
        .pax(&[("GNU.sparse.size", b"100"), ("GNU.sparse.map", b"1,4,9,4")])
        .file("sparse", b"01234567")
        .device(b'4', "dev", 8, 1);
    let mut bytes = Vec::new();
    scan(&tar.end()[..], &Limits::default()).unwrap().write_to(&mut bytes).unwrap();
    bytes
}

/// Looks at everything that can be reached.
fn walk(index: &Index) {
    let mut todo = vec![EntryId::ROOT];
    let mut steps = 0;
    while let Some(id) = todo.pop() {
        steps += 1;
        if steps > 10_000 {
            return;
        }
        // Errors are what damage should be; values must be usable.
        let _ = index.attributes(id).map(|entry| assert!(entry.permissions <= 0o7777));
        if let Ok(xattrs) = index.xattrs(id) {
            assert!(xattrs.flatten().all(|(name, value)| name.len() + value.len() < 1 << 20));
        }
        if let Ok(extents) = index.extents(id) {
            assert_eq!(extents.iter().count(), extents.len());
            let _ = extents.from(u64::MAX / 2);
        }
        if let Ok(children) = index.children(id) {
            for (name, child) in children.flatten() {
                let _ = index.find(id, name);
                if let Child::Entry(child) = child {
                    todo.push(child);
                }
            }
        }
    }
    let _ = index.links_below().map(|links| links.flatten().count());
    let _ = index.find(EntryId(u32::MAX), Name::new(b"x").unwrap());
}

#[test]
fn a_file_that_was_written_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    std::fs::write(&path, sample()).unwrap();
    let opened = Index::open(&path).unwrap();
    assert_eq!(dump(&opened), dump(&Index::from_bytes(sample()).unwrap()));
    let summary = opened.summary();
    assert_eq!(
        (summary.entries, summary.files, summary.directories, summary.symlinks, summary.others),
        (9, 2, 3, 1, 1)
    );
    assert_eq!((summary.whiteouts, summary.links_below, summary.implied), (1, 1, 3));
    assert_eq!(summary.unpacked_bytes, 104);
    let links: Vec<_> = opened.links_below().unwrap().map(|link| link.unwrap()).collect();
    assert_eq!(links.len(), 1);
    assert_eq!((links[0].path, links[0].target), (&b"below"[..], &b"x/y"[..]));
    walk(&opened);
}

#[test]
fn what_is_no_index_is_refused() {
    let sample = sample();
    let refused = |bytes: Vec<u8>| match Index::from_bytes(bytes) {
        Ok(_) => panic!("it was accepted"),
        Err(error) => {
            assert!(matches!(error.kind(), Kind::Archive(_)), "{error}");
            error.to_string()
        }
    };
    for len in 0..sample.len() {
        refused(sample[..len].to_vec());
    }
    assert!(refused([&sample[..], b"x"].concat()).contains("longer than what its header says"));
    assert!(refused(vec![0; 4096]).contains("does not begin as an index does"));
    let mut newer = sample;
    newer[8] = 2;
    assert!(refused(newer).contains("the index has version 2, this program reads version 1"));
    let missing = Index::open(std::path::Path::new("/nonexistent/index")).unwrap_err();
    assert_eq!(missing.to_string(), "open the index /nonexistent/index: no such file or directory");
}

proptest! {
    #[test]
    fn a_damaged_index_is_an_error_and_no_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = sample();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(index) = Index::from_bytes(bytes) {
            walk(&index);
        }
    }
}
