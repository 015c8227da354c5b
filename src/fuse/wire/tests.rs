use std::time::Duration;

use nix::errno::Errno;

use super::*;
use crate::error::Kind;
use crate::overlay::{
    Attr, DirEntry, DirSink, Entry, FileKind, HandleId, Listing, NodeId, Rdev, SinkAnswer, StatFs, Timestamp,
    Validity,
};

/// The recorded requests, and what each must decode to.
fn recorded() -> Vec<(Vec<u8>, &'static str)> {
    let lines: Vec<_> =
        include_str!("recorded.txt").lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    assert_eq!(lines.len() % 2, 0);
    lines.chunks(2).map(|pair| (unhex(pair[0]), pair[1])).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<_> =
        text.bytes().map(|b| char::from(b).to_digit(16).expect("a hex digit") as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn describe(bytes: &[u8]) -> String {
    match decode(bytes) {
        Ok(Request { header: h, body, .. }) => {
            format!("{}:{}:{} node {} {body:?}", h.uid, h.gid, h.pid, h.node.0)
        }
        Err(DecodeError { unique: Some(unique), error }) => format!("refused {} {error}", unique.0),
        Err(DecodeError { unique: None, error }) => format!("unanswerable {error}"),
    }
}

/// The recorded request that decodes to something that begins with `body`, to be changed.
fn like(body: &str) -> Vec<u8> {
    let found = recorded().into_iter().find(|(_, expected)| {
        expected
            .split_once(" node ")
            .and_then(|(_, rest)| rest.split_once(' '))
            .is_some_and(|(_, b)| b.starts_with(body))
    });
    found.unwrap_or_else(|| panic!("nothing recorded begins with {body}")).0
}

/// A request of another kind with the same arguments.
fn with_opcode(mut bytes: Vec<u8>, opcode: u8) -> Vec<u8> {
    bytes[4..8].copy_from_slice(&[opcode, 0, 0, 0]);
    bytes
}

/// A request with bytes from `at` on replaced.
fn patched(mut bytes: Vec<u8>, at: usize, with: &[u8]) -> Vec<u8> {
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes
}

/// Another end, and the length that goes with it.
fn ending(mut bytes: Vec<u8>, at: usize, with: &[u8]) -> Vec<u8> {
    bytes.truncate(at);
    bytes.extend_from_slice(with);
    let len = u32::try_from(bytes.len()).unwrap();
    patched(bytes, 0, &len.to_le_bytes())
}

fn kind_of(bytes: &[u8]) -> Kind {
    decode(bytes).expect_err("it decodes").error.kind().clone()
}

#[test]
fn recorded_requests_decode_to_what_was_asked() {
    let all = recorded();
    assert!(all.len() >= 55, "only {} requests", all.len());
    for (bytes, expected) in all {
        assert_eq!(describe(&bytes), expected);
    }
}

#[test]
fn what_has_no_handle_is_named_by_its_node() {
    let at_handle = 40;
    for kind in ["Read {", "Write", "Lseek", "Fallocate", "Fsync {"] {
        let text = describe(&patched(like(kind), at_handle, &[0; 8]));
        let node = text.split_once(" node ").and_then(|(_, rest)| rest.split_once(' ')).unwrap().0;
        assert!(text.contains(&format!("file: Node(NodeId({node}))")), "{text}");
    }
    let both = patched(patched(like("CopyFileRange"), at_handle, &[0; 8]), at_handle + 24, &[0; 8]);
    let text = describe(&patched(both, at_handle + 16, &[77, 0, 0, 0, 0, 0, 0, 0]));
    assert!(text.contains("to: FilePlace { file: Node(NodeId(77)), offset: 2 }"), "{text}");
}

#[test]
fn kinds_without_a_recording_have_the_layout_of_one_that_has() {
    for (like_body, opcode, expected) in [
        ("Readdir", 28, "Readdir { cookie: 0, size: 32768, listing: Names }"),
        (
            "CopyFileRange",
            47,
            "CopyFileRange { from: FilePlace { file: Handle(HandleId(7)), offset: 1 }, to: FilePlace { file: Handle(HandleId(9)), offset: 2 }, len: 8000, answer: Narrow }",
        ),
        ("Statfs", 25, "Flush"),
        ("Statfs", 29, "Releasedir"),
        ("Statfs", 34, "Access"),
        ("Statfs", 38, "Destroy"),
        ("Statfs", 99, "Unknown(99)"),
    ] {
        let text = describe(&with_opcode(like(like_body), opcode));
        assert!(text.ends_with(expected), "{text}");
    }
}

#[test]
fn every_cut_is_refused_without_a_panic() {
    for (bytes, expected) in recorded() {
        for len in 0..bytes.len() {
            // The header still tells the old length.
            let error = decode(&bytes[..len]).expect_err(expected);
            assert!(matches!(error.error.kind(), Kind::Protocol(_)), "{expected} cut to {len}: {error:?}");
            assert_eq!(error.unique.is_some(), len >= 40 && !answerless(expected), "{expected} cut to {len}");
            // And now the new one. What is left may be a shorter request of the same kind; it must not be the same.
            if len >= 40 && !unread(expected) {
                let cut = patched(bytes[..len].to_vec(), 0, &u32::try_from(len).unwrap().to_le_bytes());
                assert_ne!(describe(&cut), expected, "cut to {len}");
            }
        }
    }
}

/// Requests that have no reply.
fn answerless(expected: &str) -> bool {
    ["Forget", "BatchForget", "Interrupt"].iter().any(|body| expected.contains(body))
}

/// Requests with arguments at their end that change nothing, or whose flags are refused before those are looked at.
fn unread(expected: &str) -> bool {
    ["Getattr", "Statx", "Opendir", "Ioctl", "Poll", "Tmpfile", "RENAME_WHITEOUT"]
        .iter()
        .any(|body| expected.contains(body))
}

#[test]
fn flipped_bits_never_panic() {
    for (bytes, _) in recorded() {
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            // Whether it decodes depends on the bit; that it comes back is what is asserted.
            std::hint::black_box(describe(&changed));
        }
    }
}

#[test]
fn names_are_checked() {
    let lookup = like("Lookup { name: \"d\" }");
    assert_eq!(
        kind_of(&ending(lookup.clone(), 40, &[b'n'; 257])),
        Kind::Protocol("a string without its end")
    );
    let mut long = vec![b'n'; 256];
    long.push(0);
    assert_eq!(kind_of(&ending(lookup.clone(), 40, &long)), Kind::NameTooLong);
    assert!(decode(&ending(lookup.clone(), 40, &long[1..])).is_ok());
    for bad in [&b"\0"[..], b".\0", b"..\0", b"a/b\0"] {
        let kind = kind_of(&ending(lookup.clone(), 40, bad));
        assert!(matches!(kind, Kind::Protocol(_)), "{bad:?}: {kind:?}");
        assert_eq!(kind.errno(), Errno::EINVAL);
    }
}

#[test]
fn extensions_are_not_part_of_the_arguments() {
    let mkdir = like("Mkdir");
    let len = mkdir.len();
    let extended = ending(mkdir.clone(), len, &[0xff; 16]);
    // Two units of 8 bytes.
    assert_eq!(describe(&patched(extended.clone(), 36, &[2, 0])), describe(&mkdir));
    assert_eq!(
        kind_of(&patched(extended, 36, &[9, 0])),
        Kind::Protocol("its extensions are longer than it is")
    );
}

#[test]
fn arguments_that_nobody_takes_are_refused_with_the_right_errno() {
    let exchange = recorded().into_iter().find(|(_, e)| e.contains("mode: Exchange")).unwrap().0;
    for (flags, errno) in [(3, Errno::EINVAL), (4, Errno::EINVAL), (5, Errno::EINVAL), (8, Errno::EINVAL)] {
        assert_eq!(kind_of(&patched(exchange.clone(), 48, &[flags])).errno(), errno, "rename flags {flags}");
    }
    let lseek = like("Lseek");
    for whence in [0, 1, 2, 5, 255] {
        assert_eq!(kind_of(&patched(lseek.clone(), 56, &[whence])).errno(), Errno::EINVAL, "whence {whence}");
    }
    assert_eq!(kind_of(&patched(like("Fallocate"), 64, &[0x80])).errno(), Errno::EOPNOTSUPP);
    assert_eq!(kind_of(&patched(like("CopyFileRange"), 88, &[1])).errno(), Errno::EINVAL);
    assert_eq!(kind_of(&patched(like("Setxattr"), 44, &[3])).errno(), Errno::EINVAL);
    assert_eq!(kind_of(&patched(like("Mknod"), 40, &0o040755u32.to_le_bytes())).errno(), Errno::EINVAL);
    // An offset that a signed one cannot hold.
    assert_eq!(kind_of(&patched(like("Read "), 55, &[0x80])).errno(), Errno::EINVAL);
    assert_eq!(kind_of(&patched(like("Write "), 48, &[0xff; 8])).errno(), Errno::EINVAL);
    // Nanoseconds of more than a second.
    let times = recorded().into_iter().find(|(_, e)| e.contains("Some(To(")).unwrap().0;
    assert_eq!(kind_of(&patched(times, 96, &1_000_000_000u32.to_le_bytes())).errno(), Errno::EINVAL);
}

#[test]
fn a_count_beyond_the_bytes_is_refused_and_not_answered() {
    let error = decode(&patched(like("BatchForget"), 40, &[0xff; 4])).expect_err("it decodes");
    assert_eq!(error.unique, None);
    assert_eq!(error.error.kind(), &Kind::Protocol("shorter than its data"));
}

#[test]
fn the_ioctl_only_access_mode_copies_nothing_up() {
    let open = like("Open {");
    let text = describe(&patched(open, 40, &[3, 0, 0, 0]));
    assert!(text.ends_with("Open { mode: OpenMode { access: Read, truncate: Keep } }"), "{text}");
}

const VALIDITY: Validity =
    Validity { entry: Duration::new(10, 11), negative: Duration::new(12, 13), attr: Duration::new(14, 15) };

fn attr() -> Attr {
    Attr {
        ino: 0x1122,
        size: 3,
        blocks: 8,
        atime: Timestamp { sec: -2, nsec: 500 },
        mtime: Timestamp { sec: 4, nsec: 5 },
        ctime: Timestamp { sec: 6, nsec: 7 },
        btime: Some(Timestamp { sec: 8, nsec: 9 }),
        kind: FileKind::CharDevice,
        perm: 0o4640,
        nlink: 2,
        uid: 1000,
        gid: 1001,
        rdev: Rdev { major: 300, minor: 70000 },
        blksize: 4096,
    }
}

fn encoded(reply: &Reply<'_>) -> Vec<u8> {
    let bytes = reply.encode(Unique(0x77)).expect("a reply").to_vec();
    assert_eq!(u32_at(&bytes, 0) as usize, bytes.len(), "the length in the header");
    assert_eq!(u64_at(&bytes, 8), 0x77, "whom it answers");
    bytes
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

#[test]
fn an_entry_keeps_its_node_apart_from_its_inode_number() {
    let bytes = encoded(&Reply::Entry(Entry { node: NodeId(5), attr: attr() }, VALIDITY));
    assert_eq!(bytes.len(), 16 + 128);
    assert_eq!([u64_at(&bytes, 16), u64_at(&bytes, 24)], [5, 0], "node and generation");
    assert_eq!([u64_at(&bytes, 32), u64_at(&bytes, 40)], [10, 14], "seconds of validity");
    assert_eq!([u32_at(&bytes, 48), u32_at(&bytes, 52)], [11, 15], "and their nanoseconds");
    assert_attr(&bytes, 56);
}

fn assert_attr(bytes: &[u8], at: usize) {
    assert_eq!([u64_at(bytes, at), u64_at(bytes, at + 8), u64_at(bytes, at + 16)], [0x1122, 3, 8]);
    assert_eq!([24, 32, 40].map(|field| u64_at(bytes, at + field) as i64), [-2, 4, 6]);
    assert_eq!([48, 52, 56].map(|field| u32_at(bytes, at + field)), [500, 5, 7]);
    assert_eq!(u32_at(bytes, at + 60), 0o024640);
    assert_eq!([64, 68, 72].map(|field| u32_at(bytes, at + field)), [2, 1000, 1001]);
    // What the kernel sent for mknod of the same device.
    assert_eq!(u32_at(bytes, at + 76).to_le_bytes(), [0x70, 0x2c, 0x11, 0x11]);
    assert_eq!([u32_at(bytes, at + 80), u32_at(bytes, at + 84)], [4096, 0]);
}

#[test]
fn attributes_and_their_statx_form() {
    let bytes = encoded(&Reply::Attr(attr(), VALIDITY));
    assert_eq!((bytes.len(), u64_at(&bytes, 16), u32_at(&bytes, 24)), (16 + 104, 14, 15));
    assert_attr(&bytes, 32);

    let bytes = encoded(&Reply::Statx(attr(), VALIDITY));
    assert_eq!((bytes.len(), u64_at(&bytes, 16), u32_at(&bytes, 24)), (16 + 288, 14, 15));
    let stat = &bytes[48..];
    assert_eq!((u32_at(stat, 0), u32_at(stat, 4)), (0xfff, 4096), "mask and block size");
    assert_eq!([16, 20, 24].map(|at| u32_at(stat, at)), [2, 1000, 1001]);
    assert_eq!(u32_at(stat, 28), 0o024640);
    assert_eq!([32, 40, 48].map(|at| u64_at(stat, at)), [0x1122, 3, 8]);
    assert_eq!(
        [64, 80, 96, 112].map(|at| u64_at(stat, at) as i64),
        [-2, 8, 6, 4],
        "access, birth, change, content"
    );
    assert_eq!([72, 88, 104, 120].map(|at| u32_at(stat, at)), [500, 9, 7, 5]);
    assert_eq!([u32_at(stat, 128), u32_at(stat, 132)], [300, 70000]);

    let unborn = encoded(&Reply::Statx(Attr { btime: None, ..attr() }, VALIDITY));
    assert_eq!(u32_at(&unborn, 48), 0x7ff, "no time of birth is claimed");
}

#[test]
fn a_name_that_does_not_exist_has_no_node_and_its_own_validity() {
    let bytes = encoded(&Reply::NoEntry(VALIDITY));
    assert_eq!(bytes.len(), 16 + 128);
    assert_eq!([u32_at(&bytes, 4), u32_at(&bytes, 16), u32_at(&bytes, 20)], [0, 0, 0]);
    assert_eq!((u64_at(&bytes, 32), u32_at(&bytes, 48)), (12, 13));
}

#[test]
fn short_replies() {
    assert!(Reply::Silence.encode(Unique(1)).is_none());
    assert_eq!(encoded(&Reply::Done).len(), 16);
    let failed = encoded(&Reply::Failed(Errno::ENOTEMPTY));
    assert_eq!((failed.len(), u32_at(&failed, 4) as i32), (16, -39));
    let opened = encoded(&Reply::Opened(HandleId(9), KernelCache::Keep));
    assert_eq!((opened.len(), u64_at(&opened, 16), u32_at(&opened, 24)), (32, 9, 0b100010));
    assert_eq!(u32_at(&encoded(&Reply::Opened(HandleId(9), KernelCache::Drop)), 24), 0b100000);
    let written = encoded(&Reply::Written(7));
    assert_eq!((written.len(), u32_at(&written, 16)), (24, 7));
    let copied = encoded(&Reply::Copied(1 << 40));
    assert_eq!((copied.len(), u64_at(&copied, 16)), (24, 1 << 40));
    let sized = encoded(&Reply::XattrSize(99));
    assert_eq!((sized.len(), u32_at(&sized, 16)), (24, 99));
    assert_eq!(encoded(&Reply::Bytes(b"abc"[..].into()))[16..], *b"abc");
    let created = encoded(&Reply::Created(
        Entry { node: NodeId(5), attr: attr() },
        VALIDITY,
        HandleId(9),
        KernelCache::Keep,
    ));
    assert_eq!((created.len(), u64_at(&created, 16), u64_at(&created, 16 + 128)), (16 + 144, 5, 9));
    let statfs = encoded(&Reply::Statfs(StatFs {
        blocks: 1,
        bfree: 2,
        bavail: 3,
        files: 4,
        ffree: 5,
        bsize: 6,
        namelen: 7,
        frsize: 8,
    }));
    assert_eq!(statfs.len(), 16 + 80);
    assert_eq!([0, 8, 16, 24, 32].map(|at| u64_at(&statfs, 16 + at)), [1, 2, 3, 4, 5]);
    assert_eq!([40, 44, 48].map(|at| u32_at(&statfs, 16 + at)), [6, 7, 8]);
}

#[test]
fn a_listing_takes_whole_records_only() {
    let dirent =
        |name: &'static [u8], cookie| DirEntry { name, cookie, ino: 7, kind: Some(FileKind::Directory) };
    let mut room = [0xaa; 80];
    let mut sink = DirBuffer::new(&mut room, Listing::Names, VALIDITY);
    assert_eq!(sink.push(dirent(b"12345678", 1), None), SinkAnswer::Taken);
    assert_eq!(sink.push(dirent(b"123456789", 2), None), SinkAnswer::Taken);
    assert_eq!(sink.push(dirent(b"1", 3), None), SinkAnswer::Full);
    let bytes = sink.finish();
    assert_eq!(bytes.len(), 32 + 40);
    assert_eq!([u64_at(bytes, 0), u64_at(bytes, 8)], [7, 1]);
    assert_eq!([u32_at(bytes, 16), u32_at(bytes, 20)], [8, 4]);
    assert_eq!(bytes[24..32], *b"12345678");
    assert_eq!(bytes[56..72], *b"123456789\0\0\0\0\0\0\0", "padding is zero");
}

#[test]
fn a_plus_listing_links_what_was_looked_up() {
    let mut room = [0xaa; 152 + 8 + 151];
    let mut sink = DirBuffer::new(&mut room, Listing::Plus, VALIDITY);
    let dot = DirEntry { name: b".", cookie: 1, ino: 7, kind: Some(FileKind::Directory) };
    assert_eq!(sink.push(dot, None), SinkAnswer::Taken);
    let found = Entry { node: NodeId(5), attr: attr() };
    let file = DirEntry { name: b"f", cookie: 2, ino: 0x1122, kind: Some(FileKind::CharDevice) };
    assert_eq!(sink.push(file, Some(&found)), SinkAnswer::Full, "one byte is missing");
    assert_eq!(u64_at(sink.finish(), 0), 0, "no node for a dot");

    let mut room = [0xaa; 160];
    let mut sink = DirBuffer::new(&mut room, Listing::Plus, VALIDITY);
    assert_eq!(sink.push(file, Some(&found)), SinkAnswer::Taken);
    let bytes = sink.finish();
    assert_eq!((bytes.len(), u64_at(bytes, 0)), (160, 5));
    assert_attr(bytes, 40);
    assert_eq!([u64_at(bytes, 128), u64_at(bytes, 136)], [0x1122, 2]);
    assert_eq!((bytes[152], u32_at(bytes, 148)), (b'f', 2));
}
