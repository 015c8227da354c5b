use proptest::prelude::*;

use super::*;

fn range(outside: u32, inside: u32, len: u32) -> IdRange {
    IdRange { inside, outside, len }
}

fn ownership(uid_map: &[IdRange], gid_map: &[IdRange], squash: Squash) -> Ownership {
    let behaviour =
        Behaviour { uid_map: uid_map.to_vec(), gid_map: gid_map.to_vec(), squash, ..Behaviour::default() };
    Ownership::new(&behaviour)
}

#[test]
fn without_options_owners_are_as_they_are() {
    let plain = ownership(&[], &[], Squash::None);
    for (uid, gid) in [(0, 0), (1000, 5), (u32::MAX - 1, 65534)] {
        assert_eq!(plain.shown(uid, gid), (uid, gid));
        assert_eq!(plain.stored(uid, gid), Ok((uid, gid)));
    }
}

/// The owners fuse-overlayfs 1.10 showed with `uidmapping=0:100000:10,gidmapping=0:100000:10`.
#[test]
fn ranges_map_the_layers_ids_to_the_shown_ones() {
    let map = [range(0, 100_000, 10)];
    let mapped = ownership(&map, &map, Squash::None);
    for (layer, seen) in
        [(0, 100_000), (5, 100_005), (9, 100_009), (10, 65534), (1000, 65534), (100_000, 65534)]
    {
        assert_eq!(mapped.shown(layer, layer), (seen, seen), "{layer}");
    }
    assert_eq!(mapped.stored(100_003, 100_009), Ok((3, 9)));
    for (uid, gid) in [(3, 100_000), (100_000, 3), (100_010, 100_000), (99_999, 100_000), (65534, 65534)] {
        assert!(matches!(mapped.stored(uid, gid), Err(Kind::Invalid(_))), "{uid}:{gid}");
    }
}

#[test]
fn users_and_groups_have_maps_of_their_own() {
    let mixed = ownership(&[range(0, 1000, 1), range(1, 110_000, 65536)], &[], Squash::None);
    assert_eq!(mixed.shown(0, 0), (1000, 0));
    assert_eq!(mixed.shown(1, 1), (110_000, 1));
    assert_eq!(mixed.stored(110_041, 42), Ok((42, 42)));
    assert_eq!(mixed.stored_gid(7), Ok(7));
    assert!(mixed.stored_uid(7).is_err());
}

#[test]
fn ranges_at_the_end_of_the_numbers_do_not_wrap() {
    let map = [range(u32::MAX - 1, 0, 10)];
    let mapped = ownership(&map, &map, Squash::None);
    assert_eq!(mapped.shown(u32::MAX - 1, 0), (0, OVERFLOW_ID));
    assert!(mapped.stored_uid(5).is_err());
}

/// As fuse-overlayfs 1.10 with `squash_to_uid=7` and with `squash_to_root,uidmapping=0:100000:10`.
#[test]
fn squashing_changes_what_is_shown_and_not_what_is_kept() {
    let to_7 = ownership(&[], &[], Squash::To { uid: Some(7), gid: None });
    assert_eq!(to_7.shown(1000, 1000), (7, 1000));
    assert_eq!(to_7.stored(3, 3), Ok((3, 3)));
    let to_root = ownership(&[range(0, 100_000, 10)], &[], Squash::To { uid: Some(0), gid: Some(0) });
    assert_eq!(to_root.shown(5, 1000), (0, 0));
    assert_eq!(to_root.shown(1000, 1000), (0, 0));
    assert_eq!(to_root.stored(100_003, 3), Ok((3, 3)));
}

#[test]
fn a_record_says_owner_mode_and_type() {
    for (kind, expected) in [
        (FileKind::Regular, "10:20:2755:file"),
        (FileKind::Directory, "10:20:2755:dir"),
        (FileKind::Symlink, "10:20:2755:symlink"),
        (FileKind::CharDevice, "10:20:2755:char-259-7"),
        (FileKind::BlockDevice, "10:20:2755:block-259-7"),
        (FileKind::Fifo, "10:20:2755:pipe"),
        (FileKind::Socket, "10:20:2755:socket"),
    ] {
        let stat = LayerStat { uid: 10, gid: 20, perm: 0o2755, kind, rdev: Rdev { major: 259, minor: 7 } };
        assert_eq!(String::from_utf8(stat.record().encode()).unwrap(), expected);
    }
}

proptest! {
    #[test]
    fn what_is_kept_is_shown_as_it_was_set(
        // Ranges one after the other on both sides, so that they do not overlap, in an order of their own.
        ranges in prop::collection::vec((0u32..500, 0u32..500, 1u32..500), 1..6), id in 0u32..6000,
    ) {
        let (mut outside, mut inside) = (0, 0);
        let mut map: Vec<IdRange> = ranges
            .iter()
            .map(|(skip_outside, skip_inside, len)| {
                let range = range(outside + skip_outside, inside + skip_inside, *len);
                (outside, inside) = (range.outside + len, range.inside + len);
                range
            })
            .collect();
        map.reverse();
        let ownership = ownership(&map, &map, Squash::None);
        if let Ok((uid, gid)) = ownership.stored(id, id) {
            prop_assert_eq!(ownership.shown(uid, gid), (id, id));
        } else {
            prop_assert!(map.iter().all(|range| !(range.inside..range.inside + range.len).contains(&id)));
        }
    }
}
