//! The operations, as values that can be shrunk: places are picked from what the model has when they run.

use lamina::overlay::{Access, Existing, FallocateMode, KillPriv, Listing, RenameMode, Timestamp, XattrMode};
use proptest::prelude::*;
use proptest::sample::Index;

use super::layers::{NAMES, Powers, SOME_CAPABILITY, any_id, any_perm, any_time};
use super::tree::{CAPABILITY, Who};

/// A place for a name.
#[derive(Debug, Clone)]
pub enum Spot {
    /// One that something is at.
    Taken(Index),
    /// A name in some directory, taken or not.
    Any(Index, usize),
}

/// Any object by a path, the root too.
pub type Pick = Index;
/// An open handle.
pub type Held = Index;

#[derive(Debug, Clone, Copy)]
pub enum Opening {
    Keep,
    Empty(KillPriv),
}

#[derive(Debug, Clone)]
pub enum Op {
    Mkdir {
        who: Who,
        at: Spot,
        perm: u32,
    },
    Create {
        who: Who,
        at: Spot,
        perm: u32,
        access: Access,
        opening: Opening,
        existing: Existing,
    },
    Mkfifo {
        who: Who,
        at: Spot,
        perm: u32,
    },
    Mkfile {
        who: Who,
        at: Spot,
        perm: u32,
    },
    Symlink {
        who: Who,
        at: Spot,
        target: Vec<u8>,
    },
    Link {
        of: Pick,
        at: Spot,
    },
    Unlink {
        at: Spot,
    },
    Rmdir {
        at: Spot,
    },
    Rename {
        from: Spot,
        to: Spot,
        mode: RenameMode,
    },
    Chmod {
        of: Pick,
        perm: u32,
    },
    Chown {
        of: Pick,
        uid: Option<u32>,
        gid: Option<u32>,
    },
    Truncate {
        of: Pick,
        size: u16,
        kill: KillPriv,
    },
    SetTimes {
        of: Pick,
        atime: Option<Timestamp>,
        mtime: Option<Timestamp>,
    },
    SetXattr {
        of: Pick,
        name: Vec<u8>,
        value: Vec<u8>,
        mode: XattrMode,
    },
    RemoveXattr {
        of: Pick,
        name: Vec<u8>,
    },
    Open {
        of: Pick,
        access: Access,
        opening: Opening,
    },
    Tmpfile {
        who: Who,
        dir: Pick,
        perm: u32,
    },
    LinkHeld {
        of: Held,
        at: Spot,
    },
    Read {
        of: Held,
        offset: u16,
        len: u16,
    },
    Write {
        of: Held,
        offset: u16,
        data: Vec<u8>,
        kill: KillPriv,
    },
    TruncateHeld {
        of: Held,
        size: u16,
    },
    ChmodHeld {
        of: Held,
        perm: u32,
    },
    Fallocate {
        of: Held,
        mode: FallocateMode,
        offset: u16,
        len: u16,
    },
    Copy {
        from: Held,
        from_offset: u16,
        to: Held,
        to_offset: u16,
        len: u16,
    },
    Sync {
        of: Held,
    },
    Release {
        of: Held,
    },
    List {
        dir: Pick,
        room: usize,
        listing: Listing,
    },
    /// Reads a listing and unlinks what it read, as `rm -rf` does.
    Empty {
        dir: Pick,
        room: usize,
    },
    /// The kernel drops its caches.
    Forget,
    /// Unmounts and mounts again.
    Reopen,
    /// Unmounts, and mounts with the upper as one more lower and a new upper.
    Restack,
}

/// Of ten places `taken` are ones that something is at.
fn any_spot(taken: u32) -> impl Strategy<Value = Spot> {
    prop_oneof![
        taken => any::<Index>().prop_map(Spot::Taken),
        10 - taken => (any::<Index>(), 0..NAMES.len()).prop_map(|(dir, name)| Spot::Any(dir, name)),
    ]
}

fn any_access() -> impl Strategy<Value = Access> {
    prop::sample::select(&[Access::Read, Access::Write, Access::ReadWrite][..])
}

/// A caller who is of no file's group.
pub const KILL: KillPriv = KillPriv::Kill { gid: u32::MAX };

fn any_kill(powers: Powers) -> impl Strategy<Value = KillPriv> {
    // Only the privileged can change a file and leave its suid bit.
    prop::sample::select(if powers.root { &[KillPriv::Keep, KILL][..] } else { &[KILL] })
}

fn any_opening(powers: Powers) -> impl Strategy<Value = Opening> {
    prop_oneof![3 => Just(Opening::Keep), 1 => any_kill(powers).prop_map(Opening::Empty)]
}

fn any_who(powers: Powers) -> impl Strategy<Value = Who> {
    let umask = prop::sample::select(&[0o022u32, 0, 0o077][..]);
    (any_id(), any_id(), umask).prop_map(move |(uid, gid, umask)| {
        let (uid, gid) = if powers.root { (uid, gid) } else { (powers.uid, powers.gid) };
        Who { uid, gid, umask: if powers.root { umask } else { umask & 0o077 } }
    })
}

/// Bits a new object may be asked to have.
fn any_new_perm() -> impl Strategy<Value = u32> {
    prop::sample::select(&[0o777u32, 0o644, 0o600, 0o750][..])
}

fn any_xattr_name(powers: Powers) -> impl Strategy<Value = Vec<u8>> {
    let everyone: &[&[u8]] = &[b"user.a", b"user.b", b"user.overlay.opaque", b"user.fuseoverlayfs.opaque"];
    let root: &[&[u8]] = &[
        CAPABILITY,
        b"user.a",
        b"trusted.t",
        b"trusted.overlay.opaque",
        b"trusted.overlay.redirect",
        b"user.overlay.metacopy",
    ];
    prop::sample::select(if powers.root { root } else { everyone }).prop_map(<[u8]>::to_vec)
}

pub fn any_op(powers: Powers) -> impl Strategy<Value = Op> {
    let pick = any::<Index>;
    let bytes = |len| prop::collection::vec(any::<u8>(), 0..len);
    let id = move || prop::option::of(any_id().prop_map(move |id| if powers.root { id } else { powers.uid }));
    let modes = [
        FallocateMode::empty(),
        FallocateMode::KEEP_SIZE,
        FallocateMode::PUNCH_HOLE | FallocateMode::KEEP_SIZE,
    ];
    let making = prop_oneof![
        3 => (any_who(powers), any_spot(2), any_new_perm()).prop_map(|(who, at, perm)| Op::Mkdir { who, at, perm }),
        4 => (
            any_who(powers), any_spot(2), any_new_perm(), any_access(), any_opening(powers),
            prop::sample::select(&[Existing::Open, Existing::Refuse][..]),
        )
            .prop_map(|(who, at, perm, access, opening, existing)| Op::Create {
                who, at, perm, access, opening, existing,
            }),
        1 => (any_who(powers), any_spot(2), any_new_perm()).prop_map(|(who, at, perm)| Op::Mkfifo { who, at, perm }),
        1 => (any_who(powers), any_spot(2), any_new_perm()).prop_map(|(who, at, perm)| Op::Mkfile { who, at, perm }),
        1 => (any_who(powers), any_spot(2), "[a-z/.]{1,20}")
            .prop_map(|(who, at, target)| Op::Symlink { who, at, target: target.into_bytes() }),
        2 => (pick(), any_spot(2)).prop_map(|(of, at)| Op::Link { of, at }),
        1 => (any_who(powers), pick(), any_new_perm()).prop_map(|(who, dir, perm)| Op::Tmpfile { who, dir, perm }),
        1 => (pick(), any_spot(2)).prop_map(|(of, at)| Op::LinkHeld { of, at }),
    ];
    let naming = prop_oneof![
        4 => any_spot(9).prop_map(|at| Op::Unlink { at }),
        3 => any_spot(9).prop_map(|at| Op::Rmdir { at }),
        8 => (
            any_spot(9), any_spot(4),
            prop::sample::select(
                &[RenameMode::Replace, RenameMode::Replace, RenameMode::NoReplace, RenameMode::Exchange][..]
            ),
        )
            .prop_map(|(from, to, mode)| Op::Rename { from, to, mode }),
        2 => (pick(), 1usize..6).prop_map(|(dir, room)| Op::Empty { dir, room }),
    ];
    let attributes = prop_oneof![
        2 => (pick(), any_perm()).prop_map(|(of, perm)| Op::Chmod { of, perm }),
        2 => (pick(), id(), id()).prop_map(|(of, uid, gid)| Op::Chown { of, uid, gid }),
        2 => (pick(), 0u16..9000, any_kill(powers)).prop_map(|(of, size, kill)| Op::Truncate { of, size, kill }),
        2 => (pick(), prop::option::of(any_time()), prop::option::of(any_time()))
            .prop_map(|(of, atime, mtime)| Op::SetTimes { of, atime, mtime }),
        3 => (
            pick(), any_xattr_name(powers), bytes(20),
            prop::sample::select(&[XattrMode::Set, XattrMode::Set, XattrMode::Create, XattrMode::Replace][..]),
        )
            .prop_map(|(of, name, value, mode)| {
                // The kernel refuses what is no capability.
                let value = if name == CAPABILITY { SOME_CAPABILITY.to_vec() } else { value };
                Op::SetXattr { of, name, value, mode }
            }),
        1 => (pick(), any_xattr_name(powers)).prop_map(|(of, name)| Op::RemoveXattr { of, name }),
    ];
    let content = prop_oneof![
        6 => (pick(), any_access(), any_opening(powers))
            .prop_map(|(of, access, opening)| Op::Open { of, access, opening }),
        3 => (pick(), 0u16..9000, 1u16..9000).prop_map(|(of, offset, len)| Op::Read { of, offset, len }),
        4 => (pick(), 0u16..9000, bytes(200), any_kill(powers))
            .prop_map(|(of, offset, data, kill)| Op::Write { of, offset, data, kill }),
        1 => (pick(), 0u16..9000).prop_map(|(of, size)| Op::TruncateHeld { of, size }),
        1 => (pick(), any_perm()).prop_map(|(of, perm)| Op::ChmodHeld { of, perm }),
        1 => (pick(), prop::sample::select(modes.to_vec()), 0u16..9000, 1u16..9000)
            .prop_map(|(of, mode, offset, len)| Op::Fallocate { of, mode, offset, len }),
        1 => (pick(), 0u16..9000, pick(), 0u16..9000, 0u16..9000).prop_map(
            |(from, from_offset, to, to_offset, len)| Op::Copy { from, from_offset, to, to_offset, len }
        ),
        1 => pick().prop_map(|of| Op::Sync { of }),
        2 => pick().prop_map(|of| Op::Release { of }),
    ];
    let listing = (pick(), 1usize..8, prop::sample::select(&[Listing::Names, Listing::Plus][..]))
        .prop_map(|(dir, room, listing)| Op::List { dir, room, listing });
    let mounting = prop_oneof![
        3 => Just(Op::Forget),
        2 => Just(Op::Reopen),
        1 => Just(Op::Restack),
    ];
    prop_oneof![5 => making, 5 => naming, 4 => attributes, 5 => content, 1 => listing, 1 => mounting]
}
