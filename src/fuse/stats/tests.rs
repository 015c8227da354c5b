use std::borrow::Cow;

use nix::errno::Errno;

use super::*;
use crate::config::{Behaviour, StackSpec};
use crate::overlay::NodeId;

/// An observer of a union of one empty layer, which lives as long as this.
fn observer() -> (tempfile::TempDir, Observer) {
    let layer = tempfile::tempdir().unwrap();
    let lowers = vec![layer.path().to_path_buf().into()];
    let spec = StackSpec { lowers, data_only: Vec::new(), upper: None };
    let overlay = Overlay::open_stack(&spec, &Behaviour::default()).unwrap();
    (layer, Observer::new(Arc::new(overlay)))
}

/// The first bytes of a request's header, with the kernel's number of its kind.
fn request(opcode: u32) -> Vec<u8> {
    [40_u32, opcode].iter().flat_map(|field| field.to_ne_bytes()).chain([0; 32]).collect()
}

const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const READ: u32 = 15;
const WRITE: u32 = 16;

fn counts(snapshot: &Snapshot) -> Vec<(&str, u64, u64, u64)> {
    let done = |requests: &Requests| requests.latency_ns.iter().map(|(_, count)| count).sum();
    let requests = snapshot.requests.iter();
    requests.map(|requests| (&*requests.kind, requests.count, requests.errors, done(requests))).collect()
}

fn fails(recorder: &mut Recorder) {
    let asked = recorder.asked(&request(LOOKUP));
    recorder.answers(asked, &Reply::Failed(Errno::EIO));
    recorder.done(asked);
}

#[test]
fn threads_count_by_themselves_and_whoever_asks_adds_up() {
    let (_layer, observer) = observer();
    let (mut one, mut other) = (observer.recorder(), observer.recorder());
    for _ in 0..2 {
        fails(&mut one);
    }
    fails(&mut other);
    let asked = other.asked(&request(READ));
    other.answers(asked, &Reply::Bytes(Cow::Borrowed(b"12345")));
    other.done(asked);
    let asked = one.asked(&request(WRITE));
    one.answers(asked, &Reply::Written(7));
    one.done(asked);
    let forget = one.asked(&request(FORGET));
    one.done(forget);
    one.asked(&request(4711));

    let snapshot = observer.snapshot();
    assert_eq!(
        counts(&snapshot),
        [("LOOKUP", 3, 3, 3), ("FORGET", 1, 0, 1), ("OTHER", 1, 0, 0), ("READ", 1, 0, 1), ("WRITE", 1, 0, 1)]
    );
    assert_eq!(snapshot.bytes, Moved { read: 5, written: 7, copied: 0 });
    assert_eq!((snapshot.nodes, snapshot.open_files), (1, 0));
    assert!(snapshot.requests[0].p99_ns.is_some_and(|p99| p99 < 1 << 35));
}

#[test]
fn a_request_is_counted_before_it_is_answered() {
    let (_layer, observer) = observer();
    let mut recorder = observer.recorder();
    let asked = recorder.asked(&request(LOOKUP));
    assert_eq!(counts(&observer.snapshot()), [("LOOKUP", 1, 0, 0)]);
    recorder.answers(asked, &Reply::Failed(Errno::ENOENT));
    assert_eq!(counts(&observer.snapshot()), [("LOOKUP", 1, 1, 0)]);
}

#[test]
fn what_the_kernel_is_told_is_counted() {
    let (_layer, observer) = observer();
    observer.tells(&Invalidation::Attr(NodeId::ROOT));
    observer.tells(&Invalidation::Content(NodeId::ROOT));
    observer.tells(&Invalidation::Content(NodeId::ROOT));
    let told = observer.snapshot().invalidations;
    assert_eq!(told, Invalidations { attributes: 1, listings: 0, names: 0, contents: 2 });
}
