use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::time::Duration;

use super::*;
use crate::config::{Behaviour, StackSpec, UpperSpec};
use crate::control::snapshot::Snapshot;
use crate::fuse::wire::{Bytes, Header};
use crate::overlay::{
    Access, AclSgid, Entry, Existing, FileRef, HandleId, KillPriv, Listing, OpenMode, Truncate, WriteCause,
    XattrMode,
};
use crate::path::Name;

const INFO: &[u8] = b"{\"pid\":1}";

/// A read-only union of one layer, which lives as long as this.
struct Fixture {
    layer: tempfile::TempDir,
    adapter: Adapter,
    scratch: Scratch,
}

impl Fixture {
    fn new() -> Self {
        Fixture::of(&Behaviour::default())
    }

    fn of(behaviour: &Behaviour) -> Self {
        let layer = tempfile::tempdir().unwrap();
        fs::write(layer.path().join("file"), "content").unwrap();
        symlink("../else/where", layer.path().join("link")).unwrap();
        fs::create_dir(layer.path().join("dir")).unwrap();
        let spec =
            StackSpec { lowers: vec![layer.path().to_path_buf().into()], data_only: Vec::new(), upper: None };
        let overlay = Overlay::open_stack(&spec, behaviour).unwrap();
        let adapter = Adapter::new(Arc::new(overlay), INFO.to_vec());
        Fixture { layer, adapter, scratch: Scratch::default() }
    }

    fn ask(&mut self, node: NodeId, body: Body<'_>) -> Reply<'_> {
        self.adapter.dispatch(&request(1000, node, body), &mut self.scratch)
    }

    fn find(&mut self, name: &[u8]) -> Entry {
        match self.ask(NodeId::ROOT, Body::Lookup { name: Name::new(name).unwrap() }) {
            Reply::Entry(entry, _) => entry,
            other => panic!("{other:?}"),
        }
    }

    fn open(&mut self, name: &[u8]) -> HandleId {
        let node = self.find(name).node;
        let mode = OpenMode { access: Access::Read, truncate: Truncate::Keep };
        match self.ask(node, Body::Open { mode }) {
            Reply::Opened(handle, KernelCache::Keep) => handle,
            other => panic!("{other:?}"),
        }
    }
}

fn request(uid: u32, node: NodeId, body: Body<'_>) -> Request<'_> {
    Request { kind: "TEST", header: Header { unique: Unique(7), node, uid, gid: 0, pid: 1 }, body }
}

fn bytes<'a>(reply: &'a Reply<'_>) -> &'a [u8] {
    match reply {
        Reply::Bytes(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_name_is_found_with_its_attributes_and_a_missing_one_is_remembered() {
    let mut fixture = Fixture::new();
    let validity = fixture.adapter.validity;
    let entry = fixture.find(b"file");
    assert_ne!(entry.node, NodeId::ROOT);
    assert_eq!(entry.attr.size, 7);
    assert_eq!(fixture.ask(entry.node, Body::Getattr), Reply::Attr(entry.attr, validity));
    assert_eq!(fixture.ask(entry.node, Body::Statx), Reply::Statx(entry.attr, validity));
    let missing = Body::Lookup { name: Name::new(b"none").unwrap() };
    assert_eq!(fixture.ask(NodeId::ROOT, missing), Reply::NoEntry(validity));
    assert_eq!(fixture.ask(entry.node, Body::Forget { count: 1 }), Reply::Silence);
    assert_eq!(fs::metadata(fixture.layer.path().join("file")).unwrap().size(), 7);
}

#[test]
fn data_are_read_up_to_their_end_and_silly_sizes_are_refused() {
    let mut fixture = Fixture::new();
    let handle = fixture.open(b"file");
    let read = |offset, size| Body::Read { file: handle.into(), offset, size };
    assert_eq!(bytes(&fixture.ask(NodeId::ROOT, read(0, 3))), b"con");
    assert_eq!(bytes(&fixture.ask(NodeId::ROOT, read(3, MAX_IO))), b"tent");
    assert_eq!(bytes(&fixture.ask(NodeId::ROOT, read(99, 10))), b"");
    assert_eq!(bytes(&fixture.ask(NodeId::ROOT, read(0, 0))), b"");
    assert_eq!(fixture.ask(NodeId::ROOT, read(0, u32::MAX)), Reply::Failed(Errno::EINVAL));
    assert_eq!(fixture.ask(NodeId::ROOT, Body::Release { handle }), Reply::Done);
    let link = fixture.find(b"link").node;
    assert_eq!(bytes(&fixture.ask(link, Body::Readlink)), b"../else/where");
}

#[test]
fn a_listing_has_room_for_all_or_for_nothing() {
    let mut fixture = Fixture::new();
    let list = |size, listing| Body::Readdir { cookie: 0, size, listing };
    let names = bytes(&fixture.ask(NodeId::ROOT, list(4096, Listing::Names))).to_vec();
    for name in [&b"."[..], b"..", b"file", b"link", b"dir"] {
        let found = names.windows(name.len()).any(|window| window == name);
        assert!(found, "{} in {}", name.escape_ascii(), names.escape_ascii());
    }
    let plus = bytes(&fixture.ask(NodeId::ROOT, list(u32::MAX, Listing::Plus))).len();
    assert_eq!(plus, names.len() + 5 * 128);
    assert_eq!(bytes(&fixture.ask(NodeId::ROOT, list(8, Listing::Plus))), b"");
}

#[test]
fn the_root_describes_the_mount_and_nobody_changes_that() {
    let mut fixture = Fixture::new();
    let get = |room| Body::Getxattr { name: Bytes(MOUNT_INFO), room };
    assert_eq!(fixture.ask(NodeId::ROOT, get(Room::Probe)), Reply::XattrSize(9));
    assert_eq!(bytes(&fixture.ask(NodeId::ROOT, get(Room::Bytes(9)))), INFO);
    assert_eq!(fixture.ask(NodeId::ROOT, get(Room::Bytes(8))), Reply::Failed(Errno::ERANGE));
    let listed = fixture.ask(NodeId::ROOT, Body::Listxattr { room: Room::Bytes(65536) });
    assert!(!bytes(&listed).windows(MOUNT_INFO.len()).any(|window| window == MOUNT_INFO));
    let file = fixture.find(b"file").node;
    assert!(matches!(fixture.ask(file, get(Room::Probe)), Reply::Failed(Errno::ENODATA | Errno::EOPNOTSUPP)));
    for node in [NodeId::ROOT, file] {
        let name = Bytes(b"user.lamina.anything");
        let set = Body::Setxattr { name, value: Bytes(b"x"), mode: XattrMode::Set, sgid: AclSgid::Keep };
        assert_eq!(fixture.ask(node, set), Reply::Failed(Errno::EPERM));
        assert_eq!(fixture.ask(node, Body::Removexattr { name }), Reply::Failed(Errno::EPERM));
    }
}

#[test]
fn a_refresh_is_for_root_and_the_owner() {
    let mount = Fixture::new();
    let owner = nix::unistd::getuid().as_raw();
    let ask = |uid, node, room| {
        let body = Body::Getxattr { name: Bytes(REFRESH), room };
        let mut scratch = Scratch::default();
        let request = request(uid, node, body);
        let answered = mount.adapter.dispatch(&request, &mut scratch);
        let is_refresh = matches!(answered, Reply::Bytes(_)) && asks_for_refresh(&request);
        let reply = match answered {
            Reply::Bytes(bytes) => Ok(bytes.into_owned()),
            Reply::XattrSize(size) => Ok(vec![0; size as usize]),
            Reply::Failed(errno) => Err(errno),
            other => panic!("{other:?}"),
        };
        (reply, is_refresh)
    };
    let room = Room::Bytes(64);
    for uid in [0, owner] {
        assert_eq!(ask(uid, NodeId::ROOT, room), (Ok(REFRESHED.to_vec()), true));
    }
    assert_eq!(ask(owner + 1, NodeId::ROOT, room), (Err(Errno::EPERM), false));
    // Who asks for the size only, or has no room for the answer, has changed nothing.
    assert_eq!(ask(0, NodeId::ROOT, Room::Probe), (Ok(vec![0; REFRESHED.len()]), false));
    assert_eq!(ask(0, NodeId::ROOT, Room::Bytes(1)), (Err(Errno::ERANGE), false));
    assert_eq!(mount.adapter.take_invalidations(), []);
    assert_eq!(bytes(&mount.adapter.refresh()), REFRESHED);
    assert!(mount.adapter.take_invalidations().contains(&Invalidation::Content(NodeId::ROOT)));
}

#[test]
fn statistics_are_for_root_and_the_owner() {
    let mut mount = Fixture::new();
    mount.open(b"file");
    let owner = nix::unistd::getuid().as_raw();
    let mut scratch = Scratch::default();
    let mut ask = |uid, room| {
        let body = Body::Getxattr { name: Bytes(STATS), room };
        match mount.adapter.dispatch(&request(uid, NodeId::ROOT, body), &mut scratch) {
            Reply::Bytes(bytes) => Ok(Snapshot::decode(&bytes).unwrap()),
            Reply::Failed(errno) => Err(errno),
            other => panic!("{other:?}"),
        }
    };
    let longest = u32::try_from(XATTR_SIZE_MAX).unwrap();
    for uid in [0, owner] {
        let snapshot = ask(uid, Room::Bytes(longest)).unwrap();
        assert_eq!((snapshot.nodes, snapshot.open_files), (2, 1));
    }
    assert_eq!(ask(owner + 1, Room::Bytes(longest)), Err(Errno::EPERM));
    assert_eq!(ask(owner + 1, Room::Probe), Err(Errno::EPERM));
    assert_eq!(ask(0, Room::Bytes(8)), Err(Errno::ERANGE));
    // The answer may grow between the two questions of who asks for its size first.
    let probe = request(0, NodeId::ROOT, Body::Getxattr { name: Bytes(STATS), room: Room::Probe });
    assert_eq!(mount.adapter.dispatch(&probe, &mut scratch), Reply::XattrSize(longest));
}

#[test]
fn what_the_kernel_does_by_itself_is_not_implemented_here() {
    let mut fixture = Fixture::new();
    for body in [Body::Opendir, Body::Flush, Body::Access, Body::Poll, Body::Unknown(4711)] {
        assert_eq!(fixture.ask(NodeId::ROOT, body), Reply::Failed(Errno::ENOSYS), "{body:?}");
    }
    assert_eq!(fixture.ask(NodeId::ROOT, Body::Ioctl), Reply::Failed(Errno::ENOTTY));
    assert_eq!(fixture.ask(NodeId::ROOT, Body::Interrupt { of: Unique(3) }), Reply::Silence);
}

#[test]
fn where_others_change_the_layers_the_kernel_keeps_no_listing_and_no_data() {
    let mut fixture = Fixture::of(&Behaviour { timeout: Duration::ZERO, ..Behaviour::default() });
    let opened = fixture.ask(NodeId::ROOT, Body::Opendir);
    assert!(matches!(opened, Reply::Opened(_, KernelCache::Drop)), "{opened:?}");
    assert_eq!(fixture.ask(NodeId::ROOT, Body::Releasedir), Reply::Done);
    let node = fixture.find(b"file").node;
    let mode = OpenMode { access: Access::Read, truncate: Truncate::Keep };
    let opened = fixture.ask(node, Body::Open { mode });
    assert!(matches!(opened, Reply::Opened(_, KernelCache::Drop)), "{opened:?}");
}

#[test]
fn where_the_kernel_opens_files_it_is_told_so_and_names_them_by_their_nodes() {
    let (upper, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut fixture = Fixture::new();
    let spec = StackSpec {
        lowers: vec![fixture.layer.path().to_path_buf().into()],
        data_only: Vec::new(),
        upper: Some(UpperSpec { upper: upper.path().into(), work: work.path().into() }),
    };
    let overlay = Overlay::open_stack(&spec, &Behaviour::default()).unwrap();
    fixture.adapter = Adapter::new(Arc::new(overlay), INFO.to_vec()).opened(Opens::ByKernel);
    let node = fixture.find(b"file").node;
    let mode = OpenMode { access: Access::ReadWrite, truncate: Truncate::Keep };
    assert_eq!(fixture.ask(node, Body::Open { mode }), Reply::Failed(Errno::ENOSYS));
    let read = |node| Body::Read { file: FileRef::Node(node), offset: 0, size: 100 };
    assert_eq!(bytes(&fixture.ask(node, read(node))), b"content");
    let name = Name::new(b"made").unwrap();
    let create = Body::Create { name, perm: 0o644, umask: 0, mode, existing: Existing::Refuse };
    let made = match fixture.adapter.dispatch(&request(0, NodeId::ROOT, create), &mut fixture.scratch) {
        Reply::Created(made, _, HandleId(0), KernelCache::Keep) => made.node,
        other => panic!("{other:?}"),
    };
    let write = Body::Write {
        file: FileRef::Node(made),
        offset: 0,
        data: Bytes(b"new"),
        kill: KillPriv::Keep,
        cause: WriteCause::Caller,
    };
    assert_eq!(fixture.ask(made, write), Reply::Written(3));
    // Some kernels close what was opened as it was made, for all that.
    assert_eq!(fixture.ask(made, Body::Release { handle: HandleId(0) }), Reply::Done);
    assert_eq!(bytes(&fixture.ask(made, read(made))), b"new");
    assert_eq!(bytes(&fixture.ask(node, read(node))), b"content");
}

#[test]
fn unknown_nodes_and_handles_are_stale_or_bad() {
    let mut fixture = Fixture::new();
    assert!(matches!(fixture.ask(NodeId(4711), Body::Getattr), Reply::Failed(_)));
    let read = Body::Read { file: HandleId(4711).into(), offset: 0, size: 1 };
    assert!(matches!(fixture.ask(NodeId::ROOT, read), Reply::Failed(_)));
    assert_eq!(fixture.ask(NodeId(4711), Body::Forget { count: u64::MAX }), Reply::Silence);
}

#[test]
fn bytes_that_are_no_request_are_answered_where_that_is_possible() {
    let Fixture { adapter, mut scratch, .. } = Fixture::new();
    assert_eq!(adapter.serve(b"", &mut scratch), Served::Nobody);
    let mut lookup = [0; 40];
    lookup[4] = 1;
    lookup[8] = 0x55;
    assert_eq!(
        adapter.serve(&lookup, &mut scratch),
        Served::Answered(Unique(0x55), Reply::Failed(Errno::EINVAL))
    );
    let mut forget = lookup;
    forget[4] = 2;
    assert_eq!(adapter.serve(&forget, &mut scratch), Served::Nobody);
}

#[test]
fn allow_root_turns_strangers_away_but_not_what_is_under_way() {
    let Fixture { adapter, mut scratch, layer: _layer } = Fixture::new();
    let adapter = adapter.behind(Gate::RootAnd(1000));
    let lookup = Body::Lookup { name: Name::new(b"none").unwrap() };
    let missing = Reply::NoEntry(adapter.validity);
    let denied = Reply::Failed(Errno::EACCES);
    for (uid, body, expected) in [
        (1001, lookup, &denied),
        (1001, Body::Statfs, &denied),
        (1000, lookup, &missing),
        (0, lookup, &missing),
        (1001, Body::Forget { count: 0 }, &Reply::Silence),
    ] {
        let reply = adapter.dispatch(&request(uid, NodeId::ROOT, body), &mut scratch);
        assert_eq!(&reply, expected, "{body:?} by {uid}");
    }
}

#[test]
fn a_panic_is_answered_with_eio() {
    let asked = request(0, NodeId::ROOT, Body::Getattr);
    assert_eq!(guarded(&asked, || panic!("on purpose")), Reply::Failed(Errno::EIO));
    assert_eq!(guarded(&asked, || panic!("{}", String::from("on purpose"))), Reply::Failed(Errno::EIO));
    let forget = request(0, NodeId::ROOT, Body::Forget { count: 1 });
    assert_eq!(guarded(&forget, || panic!("on purpose")), Reply::Silence);
    assert_eq!(guarded(&asked, || Ok(Reply::Done)), Reply::Done);
    let missing = || Err(Error::new("test", Kind::NotFound));
    assert_eq!(guarded(&asked, missing), Reply::Failed(Errno::ENOENT));
}
