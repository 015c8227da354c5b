//! Random lower layers: what they hold, how that is written to a disk, and how it is merged into the model.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, lchown, symlink};
use std::path::{Path as FsPath, PathBuf};

use lamina::config::Namespace;
use lamina::marker::{FUSE_OVERLAYFS_OPAQUE, Marker, OCI_OPAQUE, OpaqueMark, YES, oci_whiteout};
use lamina::overlay::{Rdev, Timestamp};
use lamina::path::Name;
use lamina::sys::fs::At;
use lamina::sys::xattr;
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, makedev, mknod, utimensat};
use nix::sys::time::TimeSpec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::tree::{Body, CAPABILITY, Id, Links, Model, Node, Path, ROOT};

/// The names everything is made of: few, so that operations meet.
pub const NAMES: [&[u8]; 5] = [b"a", b"b", b"c", b"dir", b"\xff e"];

#[derive(Debug, Clone)]
pub struct Meta {
    pub perm: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Timestamp,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhiteoutForm {
    Device,
    OciName,
    Xattr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpaqueForm {
    Xattr,
    FuseOverlayfs,
    OciFile,
}

#[derive(Debug, Clone)]
pub enum Item {
    File {
        meta: Meta,
        data: Data,
    },
    Dir {
        meta: Meta,
        opaque: Option<OpaqueForm>,
        entries: Entries,
    },
    Symlink {
        meta: Meta,
        target: Vec<u8>,
    },
    Fifo {
        meta: Meta,
    },
    Device {
        meta: Meta,
    },
    /// One more name of an earlier file in the layer; nothing where there is none.
    Link(Index),
    Whiteout(WhiteoutForm),
}

pub type Entries = BTreeMap<usize, Item>;

/// A file capability (cap_net_raw+ep) as the kernel stores it, version 2.
pub const SOME_CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A file's content: perhaps a hole, then bytes.
#[derive(Debug, Clone, Copy)]
pub struct Data {
    pub hole: u32,
    pub len: u16,
    pub seed: u8,
}

impl Data {
    pub fn written(&self) -> Vec<u8> {
        (0..self.len).map(|at| self.seed.wrapping_add((at % 251) as u8)).collect()
    }

    pub fn bytes(&self) -> Vec<u8> {
        [vec![0; self.hole as usize], self.written()].concat()
    }
}

/// What the ones who run the test may put into a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Powers {
    pub root: bool,
    pub uid: u32,
    pub gid: u32,
}

impl Powers {
    pub fn ours() -> Self {
        let (uid, gid) = lamina::sys::identity::effective();
        Powers { root: uid == 0, uid, gid }
    }

    /// Permission bits that leave an ordinary user able to look at the result.
    pub fn perm(self, perm: u32, dir: bool) -> u32 {
        match (self.root, dir) {
            (true, _) => perm,
            (false, true) => perm & 0o777 | 0o700,
            (false, false) => perm & 0o777 | 0o600,
        }
    }
}

pub fn any_data() -> impl Strategy<Value = Data> {
    let hole = prop_oneof![6 => Just(0u32), 1 => Just(65536u32), 1 => Just(5000u32)];
    (hole, prop_oneof![0u16..10, 0u16..6000], any::<u8>()).prop_map(|(hole, len, seed)| Data {
        hole,
        len,
        seed,
    })
}

pub fn any_perm() -> impl Strategy<Value = u32> {
    prop::sample::select(
        &[0o644, 0o755, 0o600, 0o400, 0o777, 0o000, 0o4755, 0o2755, 0o6711, 0o1777, 0o2770][..],
    )
}

pub fn any_id() -> impl Strategy<Value = u32> {
    prop::sample::select(&[0u32, 1000, 1001, 65534][..])
}

pub fn any_time() -> impl Strategy<Value = Timestamp> {
    (prop_oneof![Just(-1i64), 0i64..2_000_000_000, Just(-1_000_000_000)], 0u32..1_000_000_000)
        .prop_map(|(sec, nsec)| Timestamp { sec, nsec })
}

/// Names that need no privilege, and values that fit.
fn any_xattrs(powers: Powers) -> impl Strategy<Value = BTreeMap<Vec<u8>, Vec<u8>>> {
    let names: &[&[u8]] =
        if powers.root { &[b"user.a", b"user.b", b"trusted.t"] } else { &[b"user.a", b"user.b"] };
    let value = prop::collection::vec(any::<u8>(), 0..12);
    prop_oneof![
        3 => Just(BTreeMap::new()),
        1 => prop::collection::btree_map(prop::sample::select(names).prop_map(<[u8]>::to_vec), value, 0..3),
    ]
}

fn any_meta(powers: Powers) -> impl Strategy<Value = Meta> {
    (any_perm(), any_id(), any_id(), any_time(), any_xattrs(powers)).prop_map(
        move |(perm, uid, gid, mtime, xattrs)| {
            let (uid, gid) = if powers.root { (uid, gid) } else { (powers.uid, powers.gid) };
            Meta { perm, uid, gid, mtime, xattrs }
        },
    )
}

/// `oci`: do `.wh.` names mean anything?
fn any_item(powers: Powers, oci: bool) -> impl Strategy<Value = Item> {
    let plain = move |meta: Meta| Meta { xattrs: BTreeMap::new(), ..meta };
    let forms: &[WhiteoutForm] = if oci {
        &[WhiteoutForm::Device, WhiteoutForm::OciName, WhiteoutForm::Xattr]
    } else {
        &[WhiteoutForm::Device, WhiteoutForm::Xattr]
    };
    let leaf = prop_oneof![
        5 => (any_meta(powers), any_data(), prop::bool::weighted(0.2)).prop_map(move |(mut meta, data, capable)| {
            meta.perm = powers.perm(meta.perm, false);
            if capable && powers.root {
                meta.xattrs.insert(CAPABILITY.to_vec(), SOME_CAPABILITY.to_vec());
            }
            Item::File { meta, data }
        }),
        1 => (any_meta(powers), "[a-z/.]{1,20}").prop_map(move |(meta, target)| {
            Item::Symlink { meta: Meta { perm: 0o777, ..plain(meta) }, target: target.into_bytes() }
        }),
        1 => any_meta(powers).prop_map(move |meta| {
            Item::Fifo { meta: Meta { perm: powers.perm(meta.perm, false), ..plain(meta) } }
        }),
        u32::from(powers.root) => any_meta(powers).prop_map(move |meta| Item::Device { meta: plain(meta) }),
        2 => any::<Index>().prop_map(Item::Link),
        2 => prop::sample::select(forms).prop_map(Item::Whiteout),
    ];
    leaf.prop_recursive(3, 16, 4, move |inner| {
        let opaque: &[Option<OpaqueForm>] = if oci {
            &[None, None, Some(OpaqueForm::Xattr), Some(OpaqueForm::FuseOverlayfs), Some(OpaqueForm::OciFile)]
        } else {
            &[None, None, Some(OpaqueForm::Xattr), Some(OpaqueForm::FuseOverlayfs)]
        };
        let entries = prop::collection::btree_map(0..NAMES.len(), inner, 0..4);
        (any_meta(powers), prop::sample::select(opaque), entries).prop_map(move |(meta, opaque, entries)| {
            Item::Dir { meta: Meta { perm: powers.perm(meta.perm, true), ..meta }, opaque, entries }
        })
    })
}

/// One layer.
pub fn any_layer(powers: Powers, oci: bool) -> impl Strategy<Value = Entries> {
    prop::collection::btree_map(0..NAMES.len(), any_item(powers, oci), 0..5)
}

/// The paths of the regular files in a layer, in the order in which links may mean them, with where each link leads.
fn links(entries: &Entries) -> BTreeMap<Path, Path> {
    fn walk(entries: &Entries, at: &Path, files: &mut Vec<Path>, links: &mut BTreeMap<Path, Path>) {
        for (name, item) in entries {
            let path = [&at[..], &[NAMES[*name].to_vec()]].concat();
            match item {
                Item::File { .. } => files.push(path),
                Item::Dir { entries, .. } => walk(entries, &path, files, links),
                Item::Link(index) if !files.is_empty() => {
                    links.insert(path, index.get(files).clone());
                }
                _ => {}
            }
        }
    }
    let mut to = BTreeMap::new();
    walk(entries, &Path::new(), &mut Vec::new(), &mut to);
    to
}

/// Writes a layer to the empty directory `root`, with the kernel's markers in `namespace`.
pub fn build(entries: &Entries, root: &FsPath, powers: Powers, namespace: Namespace) {
    let links = links(entries);
    let builder = Builder { root, links: &links, powers, namespace };
    builder.dir(entries, root, &Path::new(), None);
}

struct Builder<'a> {
    root: &'a FsPath,
    links: &'a BTreeMap<Path, Path>,
    powers: Powers,
    namespace: Namespace,
}

impl Builder<'_> {
    fn dir(&self, entries: &Entries, dir: &FsPath, at: &Path, opaque: Option<OpaqueForm>) {
        let Builder { root, links, powers, namespace } = *self;
        let opaque_xattr = Marker::Opaque.xattr(namespace).to_bytes();
        // A directory is opaque or has xattr whiteouts, not both.
        let form_of = |form: WhiteoutForm| match form {
            WhiteoutForm::Xattr if opaque.is_some() => WhiteoutForm::Device,
            form => form,
        };
        let by_xattr =
            |item: &Item| matches!(item, Item::Whiteout(form) if form_of(*form) == WhiteoutForm::Xattr);
        if entries.values().any(by_xattr) {
            // The kernel looks for xattr whiteouts only where the layer's root says so too.
            for dir in [dir, root] {
                set_xattr(dir, opaque_xattr, OpaqueMark::XWhiteouts.encode());
            }
        }
        match opaque {
            None => {}
            Some(OpaqueForm::Xattr) => set_xattr(dir, opaque_xattr, YES),
            Some(OpaqueForm::FuseOverlayfs) => set_xattr(dir, FUSE_OVERLAYFS_OPAQUE.to_bytes(), YES),
            Some(OpaqueForm::OciFile) => fs::write(dir.join(OsStr::from_bytes(OCI_OPAQUE)), b"").unwrap(),
        }
        for (name, item) in entries {
            let name = NAMES[*name];
            let path = [&at[..], &[name.to_vec()]].concat();
            let place = on_disk(root, &path);
            match item {
                Item::File { meta, data } => {
                    let file = fs::File::create_new(&place).unwrap();
                    file.write_all_at(&data.written(), u64::from(data.hole)).unwrap();
                    file.set_len(u64::from(data.hole) + u64::from(data.len)).unwrap();
                    set_meta(&place, meta, powers);
                }
                Item::Dir { meta, opaque, entries } => {
                    fs::create_dir(&place).unwrap();
                    self.dir(entries, &place, &path, *opaque);
                    set_meta(&place, meta, powers);
                }
                Item::Symlink { meta, target } => {
                    symlink(OsStr::from_bytes(target), &place).unwrap();
                    if powers.root {
                        lchown(&place, Some(meta.uid), Some(meta.gid)).unwrap();
                    }
                    set_time(&place, meta);
                }
                Item::Fifo { meta } => {
                    mknod(&place, SFlag::S_IFIFO, Mode::S_IRUSR, 0).unwrap();
                    set_meta(&place, meta, powers);
                }
                Item::Device { meta } => {
                    mknod(&place, SFlag::S_IFCHR, Mode::S_IRUSR, makedev(1, 3)).unwrap();
                    set_meta(&place, meta, powers);
                }
                Item::Link(_) => {
                    if let Some(to) = links.get(&path) {
                        fs::hard_link(on_disk(root, to), &place).unwrap();
                    }
                }
                Item::Whiteout(form) => match form_of(*form) {
                    WhiteoutForm::Device => {
                        mknod(&place, SFlag::S_IFCHR, Mode::S_IRUSR, makedev(0, 0)).unwrap();
                    }
                    WhiteoutForm::OciName => {
                        let whiteout = oci_whiteout(Name::new(name).unwrap()).unwrap();
                        fs::write(dir.join(whiteout.as_name().as_os_str()), b"").unwrap();
                    }
                    WhiteoutForm::Xattr => {
                        fs::write(&place, b"").unwrap();
                        set_xattr(&place, Marker::Whiteout.xattr(namespace).to_bytes(), YES);
                    }
                },
            }
        }
    }
}

fn on_disk(root: &FsPath, path: &Path) -> PathBuf {
    path.iter().fold(root.to_path_buf(), |at, name| at.join(OsStr::from_bytes(name)))
}

fn set_meta(place: &FsPath, meta: &Meta, powers: Powers) {
    // The owner first: a chown takes capabilities and suid away.
    if powers.root {
        lchown(place, Some(meta.uid), Some(meta.gid)).unwrap();
    }
    fs::set_permissions(place, fs::Permissions::from_mode(meta.perm)).unwrap();
    for (name, value) in &meta.xattrs {
        set_xattr(place, name, value);
    }
    set_time(place, meta);
}

fn set_time(place: &FsPath, meta: &Meta) {
    let time = TimeSpec::new(meta.mtime.sec, i64::from(meta.mtime.nsec));
    utimensat(nix::fcntl::AT_FDCWD, place, &time, &time, UtimensatFlags::NoFollowSymlink).unwrap();
}

/// An attribute's place: the directory's descriptor and the name in it.
fn with_place<T>(place: &FsPath, run: impl FnOnce(At<'_>) -> T) -> T {
    let dir = fs::File::open(place.parent().unwrap()).unwrap();
    run(At::Name(dir.as_fd(), Name::new(place.file_name().unwrap().as_bytes()).unwrap()))
}

fn set_xattr(place: &FsPath, name: &[u8], value: &[u8]) {
    with_place(place, |at| xattr::set(at, name, value, xattr::SetMode::Any)).unwrap();
}

/// All attributes of an object on disk, as they are stored.
pub fn stored_xattrs(place: &FsPath) -> BTreeMap<Vec<u8>, Vec<u8>> {
    with_place(place, |at| {
        let names = xattr::list(at).unwrap();
        names.iter().map(|name| (name.to_vec(), xattr::get(at, name).unwrap())).collect()
    })
}

/// The layer without the whiteouts in directories that merge with nothing: the kernel's overlay lists those, though
/// it does not find them.
pub fn prune(model: &Model, entries: &Entries, below: Option<Id>) -> Entries {
    let pruned = |(name, item): (&usize, &Item)| {
        let item = match item {
            Item::Whiteout(_) if below.is_none() => return None,
            Item::Dir { meta, opaque, entries } => {
                let child = below.and_then(|dir| model.child(dir, NAMES[*name]));
                let below = child.filter(|id| opaque.is_none() && model.node(*id).is_dir());
                Item::Dir { meta: meta.clone(), opaque: *opaque, entries: prune(model, entries, below) }
            }
            item => item.clone(),
        };
        Some((*name, item))
    };
    entries.iter().filter_map(pruned).collect()
}

/// Puts a layer on top of what the model has.
pub fn merge(model: &mut Model, entries: &Entries) {
    let links = links(entries);
    let mut count: BTreeMap<&Path, u32> = BTreeMap::new();
    for to in links.values() {
        *count.entry(to).or_insert(1) += 1;
    }
    let mut files = BTreeMap::new();
    merge_dir(model, ROOT, entries, &Path::new(), &links, &count, &mut files);
    model.collect([]);
}

fn merge_dir(
    model: &mut Model,
    dir: Id,
    entries: &Entries,
    at: &Path,
    links: &BTreeMap<Path, Path>,
    count: &BTreeMap<&Path, u32>,
    files: &mut BTreeMap<Path, Id>,
) {
    for (name, item) in entries {
        let name = NAMES[*name];
        let path = [&at[..], &[name.to_vec()]].concat();
        let put = |model: &mut Model, body: Body, meta: &Meta, links: Links| {
            let id = model.add(lower_node(body, meta, links));
            model.entries_mut(dir).insert(name.to_vec(), id);
            id
        };
        match item {
            Item::File { meta, data } => {
                let id = put(model, Body::File(data.bytes()), meta, Links::Count(1));
                if let Some(count) = count.get(&path) {
                    let links = if model.rules.links_survive {
                        Links::Count(*count)
                    } else {
                        Links::Lower { group: id, count: *count }
                    };
                    model.node_mut(id).links = links;
                }
                files.insert(path, id);
            }
            Item::Link(_) => {
                if let Some(to) = links.get(&path) {
                    let id = files[to];
                    let id = if model.rules.links_survive { id } else { model.add(model.node(id).clone()) };
                    model.entries_mut(dir).insert(name.to_vec(), id);
                }
            }
            Item::Symlink { meta, target } => {
                put(model, Body::Symlink(target.clone()), meta, Links::Count(1));
            }
            Item::Fifo { meta } => {
                put(model, Body::Fifo, meta, Links::Count(1));
            }
            Item::Device { meta } => {
                put(model, Body::CharDevice(Rdev { major: 1, minor: 3 }), meta, Links::Count(1));
            }
            Item::Whiteout(_) => {
                model.entries_mut(dir).remove(name);
            }
            Item::Dir { meta, opaque, entries } => {
                let below = model.child(dir, name).filter(|id| opaque.is_none() && model.node(*id).is_dir());
                let merged = below.map(|id| model.entries(id).clone()).unwrap_or_default();
                let id = put(model, Body::Dir(merged), meta, Links::Count(1));
                merge_dir(model, id, entries, &path, links, count, files);
            }
        }
    }
}

fn lower_node(body: Body, meta: &Meta, links: Links) -> Node {
    let from_lower = matches!(body, Body::Dir(_));
    Node {
        body,
        perm: meta.perm,
        uid: meta.uid,
        gid: meta.gid,
        xattrs: meta.xattrs.clone(),
        mtime: Some(meta.mtime),
        links,
        from_lower,
    }
}
