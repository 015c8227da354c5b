use super::super::facts::{Announced, IndexFacts, Parent};
use super::*;
use crate::marker::Origin;
use crate::path::NameBuf;

const MERGED: Parent = Parent { merges: Merges::Yes, xwhiteouts: Announced::No };
const PURE: Parent = Parent { merges: Merges::No, xwhiteouts: Announced::No };
const FILE: Kind = Kind::Regular { size: 7 };
const EMPTY: Kind = Kind::Regular { size: 0 };
const T: Namespace = Namespace::Trusted;
const U: Namespace = Namespace::User;

fn facts(kind: Kind, parent: Option<Parent>, markers: &[(Namespace, Marker, &[u8])]) -> Facts {
    let markers = markers.iter().map(|(namespace, marker, value)| Marked {
        what: Spelled::Marker(*namespace, *marker),
        value: value.to_vec(),
    });
    Facts {
        kind,
        name: NameSays::Ordinary,
        markers: markers.collect(),
        nlink: 1,
        parent,
        beneath: Beneath::Unknown,
        target: None,
        origin: None,
    }
}

/// The words, and `!` after those that can be repaired.
fn words(verdicts: &[Verdict]) -> String {
    let word = |verdict: &Verdict| {
        format!("{}{}", verdict.code.word(), if verdict.remedy.is_some() { "!" } else { "" })
    };
    verdicts.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn markers_are_judged_by_value_and_place() {
    let root = None;
    let here = Some(MERGED);
    let dir = Kind::Directory;
    let origin = Origin::new([1; 16], 1, b"handle", crate::marker::OriginFlags::NATIVE).unwrap().encode();
    let origin = origin.as_slice();
    for (kind, parent, marker, value, expected) in [
        (dir, here, Marker::Opaque, &b"y"[..], ""),
        (dir, here, Marker::Opaque, b"x", ""),
        (dir, here, Marker::Opaque, b"z", "bad-marker"),
        (FILE, here, Marker::Opaque, b"y", "misplaced-marker!"),
        (dir, here, Marker::Redirect, b"/a/b", ""),
        (dir, here, Marker::Redirect, b"../a", "bad-marker"),
        (dir, root, Marker::Redirect, b"/a", "misplaced-marker!"),
        (FILE, here, Marker::Redirect, b"a", ""),
        (Kind::Other, here, Marker::Redirect, b"a", "misplaced-marker!"),
        (FILE, here, Marker::Metacopy, b"", ""),
        (FILE, here, Marker::Metacopy, b"y", "bad-marker"),
        (Kind::Other, here, Marker::Metacopy, b"", "misplaced-marker!"),
        (dir, here, Marker::Impure, b"y", ""),
        (dir, here, Marker::Impure, b"n", "bad-marker!"),
        (FILE, here, Marker::Impure, b"y", "misplaced-marker!"),
        (FILE, here, Marker::Nlink, b"U-1", ""),
        (FILE, here, Marker::Nlink, b"1", "bad-marker"),
        (dir, here, Marker::Nlink, b"U-1", "misplaced-marker!"),
        (FILE, here, Marker::Upper, origin, "misplaced-marker!"),
        (FILE, here, Marker::Origin, origin, ""),
        (FILE, here, Marker::Origin, b"", ""),
        (FILE, here, Marker::Origin, b"abcdefgh", "bad-marker!"),
        (dir, root, Marker::Uuid, &[7; 16], ""),
        (dir, root, Marker::Uuid, &[7; 15], "bad-marker!"),
        (dir, here, Marker::Uuid, &[7; 16], "misplaced-marker!"),
        (FILE, here, Marker::Whiteout, b"", "misplaced-marker!"),
        (dir, here, Marker::Whiteout, b"", "misplaced-marker!"),
        (EMPTY, here, Marker::Whiteout, b"", "xwhiteout-unannounced"),
        (FILE, here, Marker::ProtAttr, b"anything", ""),
    ] {
        for namespace in [T, U] {
            let facts = facts(kind, parent, &[(namespace, marker, value)]);
            assert_eq!(words(&object(&facts)), expected, "{kind:?} {marker:?} {}", value.escape_ascii());
        }
    }
}

#[test]
fn attributes_that_are_no_markers_of_the_kernels_are_judged_too() {
    for (what, value, expected) in [
        (Spelled::Record, &b"0:0:0755"[..], ""),
        (Spelled::Record, b"root", "bad-record"),
        (Spelled::Inode(U), &[1; 24], ""),
        (Spelled::Inode(U), &[1; 23], "bad-marker!"),
        (Spelled::Unknown(T), b"", "unknown-marker"),
        (Spelled::Literal(T), b"y", ""),
        (Spelled::FuseOverlayfsOpaque, b"y", ""),
        (Spelled::FuseOverlayfsOpaque, b"?", "bad-marker"),
    ] {
        let mut facts = facts(Kind::Directory, Some(MERGED), &[]);
        facts.markers.push(Marked { what, value: value.to_vec() });
        assert_eq!(words(&object(&facts)), expected, "{what:?}");
    }
}

#[test]
fn what_leads_below_must_lead_to_something() {
    let redirected = |kind, markers: &[(Namespace, Marker, &[u8])], target, beneath| {
        words(&object(&Facts { target, beneath, ..facts(kind, Some(MERGED), markers) }))
    };
    let redirect: &[(Namespace, Marker, &[u8])] = &[(T, Marker::Redirect, b"old")];
    for (target, expected) in [
        (Beneath::Nothing, "redirect-dangling"),
        (Beneath::Regular, "redirect-dangling"),
        (Beneath::Directory, ""),
        (Beneath::Unknown, ""),
    ] {
        let judged = redirected(Kind::Directory, redirect, Some(target), Beneath::Unknown);
        assert_eq!(judged, expected, "{target:?}");
    }
    let metacopy: &[(Namespace, Marker, &[u8])] = &[(T, Marker::Metacopy, b"")];
    for (target, beneath, expected) in [
        (None, Beneath::Nothing, "data-missing"),
        (None, Beneath::Directory, "data-missing"),
        (None, Beneath::Regular, ""),
        (None, Beneath::Unknown, ""),
        (Some(Beneath::Nothing), Beneath::Regular, "data-missing"),
        (Some(Beneath::Regular), Beneath::Nothing, ""),
    ] {
        assert_eq!(redirected(FILE, metacopy, target, beneath), expected, "{target:?} {beneath:?}");
    }
}

#[test]
fn whiteouts_must_hide_something() {
    for (kind, parent, beneath, expected) in [
        (Kind::Whiteout, MERGED, Beneath::Regular, ""),
        (Kind::Whiteout, MERGED, Beneath::Unknown, ""),
        (Kind::Whiteout, MERGED, Beneath::Nothing, "whiteout-needless!"),
        (Kind::Whiteout, PURE, Beneath::Unknown, "whiteout-needless!"),
        (EMPTY, MERGED, Beneath::Regular, ""),
    ] {
        let facts = Facts { beneath, ..facts(kind, Some(parent), &[]) };
        assert_eq!(words(&object(&facts)), expected, "{kind:?} {beneath:?}");
    }
    let announced = Parent { xwhiteouts: Announced::Yes, ..MERGED };
    let by_mark = facts(EMPTY, Some(announced), &[(U, Marker::Whiteout, b"")]);
    assert_eq!(words(&object(&by_mark)), "");
}

#[test]
fn names_that_are_markers_are_told() {
    let judged = |kind, name, parent, beneath| {
        words(&object(&Facts { name, beneath, ..facts(kind, Some(parent), &[]) }))
    };
    let whiteout = NameSays::Whiteout;
    for (kind, name, parent, beneath, expected) in [
        (EMPTY, whiteout(Beside::Nothing), MERGED, Beneath::Unknown, "oci-name"),
        (EMPTY, whiteout(Beside::Nothing), MERGED, Beneath::Regular, "oci-name"),
        (EMPTY, whiteout(Beside::Nothing), MERGED, Beneath::Nothing, "whiteout-needless!"),
        (FILE, whiteout(Beside::Nothing), MERGED, Beneath::Nothing, "whiteout-needless"),
        (EMPTY, whiteout(Beside::Nothing), PURE, Beneath::Unknown, "whiteout-needless!"),
        (EMPTY, whiteout(Beside::Whiteout), MERGED, Beneath::Regular, "whiteout-twice!"),
        (FILE, whiteout(Beside::Whiteout), MERGED, Beneath::Regular, "whiteout-twice"),
        (EMPTY, whiteout(Beside::Other), MERGED, Beneath::Regular, "whiteout-needless!"),
        (EMPTY, whiteout(Beside::Directory), MERGED, Beneath::Directory, "oci-name"),
        (EMPTY, NameSays::Opaque, MERGED, Beneath::Unknown, "oci-name"),
        (EMPTY, NameSays::Nobodys, MERGED, Beneath::Unknown, "oci-name"),
        (EMPTY, NameSays::Ordinary, MERGED, Beneath::Nothing, ""),
    ] {
        assert_eq!(judged(kind, name, parent, beneath), expected, "{kind:?} {name:?} {beneath:?}");
    }
}

#[test]
fn an_origin_that_is_gone_is_forgotten_but_for_directories() {
    let origin = Origin::new([1; 16], 1, b"handle", crate::marker::OriginFlags::NATIVE).unwrap().encode();
    for (kind, found, expected) in [
        (FILE, OriginFound::There, ""),
        (FILE, OriginFound::Gone, "origin-gone!"),
        (FILE, OriginFound::OtherFileSystem, "origin-gone!"),
        (FILE, OriginFound::Unsaid, ""),
        (Kind::Directory, OriginFound::Gone, "origin-gone"),
    ] {
        let mut facts = facts(kind, Some(MERGED), &[(T, Marker::Origin, &origin)]);
        facts.origin = Some(found);
        assert_eq!(words(&object(&facts)), expected, "{found:?}");
    }
}

#[test]
fn namespaces_should_agree() {
    let twice = |trusted: &'static [u8], user: &'static [u8]| {
        let markers: &[(Namespace, Marker, &[u8])] =
            &[(T, Marker::Opaque, trusted), (U, Marker::Opaque, user)];
        words(&object(&facts(Kind::Directory, Some(MERGED), markers)))
    };
    assert_eq!(twice(b"y", b"y"), "");
    assert_eq!(twice(b"y", b"x"), "namespaces-differ");
    assert_eq!(namespaces(3, 0), None);
    assert_eq!(namespaces(0, 3), None);
    assert_eq!(namespaces(1, 3).unwrap().code, Code::NamespacesMixed);
    let rewritten =
        facts(Kind::Directory, Some(MERGED), &[(T, Marker::Impure, b"y"), (U, Marker::Impure, b"n")]);
    assert_eq!(words(&object(&rewritten)), "bad-marker!");
    // What a repair removes mixes nothing afterwards, and must not be told as left.
    let marked =
        facts(Kind::Directory, Some(MERGED), &[(T, Marker::Opaque, b"y"), (U, Marker::Nlink, b"U+1")]);
    let verdicts = object(&marked);
    assert_eq!(words(&verdicts), "misplaced-marker!");
    assert!(counts_in(T, &marked, &verdicts) && !counts_in(U, &marked, &verdicts));
    assert!(counts_in(U, &marked, &[]));
}

#[test]
fn a_directory_of_copies_is_impure() {
    let judged = |origins: &[Namespace], impure: &[Namespace]| {
        words(&content(&Content { origins: origins.to_vec(), impure: impure.to_vec() }))
    };
    assert_eq!(judged(&[], &[]), "");
    assert_eq!(judged(&[], &[T]), "");
    assert_eq!(judged(&[T], &[T]), "");
    assert_eq!(judged(&[T], &[]), "impure-missing!");
    assert_eq!(judged(&[T, U], &[T]), "impure-missing!");
}

#[test]
fn the_index_is_judged() {
    let origin = Origin::new([0; 16], 1, b"handle", crate::marker::OriginFlags::NATIVE).unwrap();
    let good = origin.index_name().unwrap();
    let named = |name: &str| NameBuf::new(name.as_bytes()).unwrap();
    for (name, kind, nlink, recorded, expected) in [
        (good.clone(), FILE, 2, Some("U+0"), ""),
        (good.clone(), FILE, 1, Some("U+1"), ""),
        (good.clone(), FILE, 1, Some("U-1"), "index-stale!"),
        (good.clone(), FILE, 3, Some("U-2"), "nlink-low"),
        (good.clone(), FILE, 1, Some("L+0"), ""),
        (good.clone(), FILE, 1, Some("?"), "bad-marker"),
        (good.clone(), FILE, 1, None, ""),
        (good.clone(), Kind::Whiteout, 1, None, ""),
        (named("#12"), Kind::Whiteout, 1, None, ""),
        (named("#12"), FILE, 1, None, "index-bad-name"),
        (named("00ab"), FILE, 1, None, "index-bad-name"),
    ] {
        let recorded = recorded.map(|text: &str| text.as_bytes().to_vec());
        let facts = IndexFacts { name: name.clone(), kind, nlink, recorded };
        assert_eq!(words(&index(&facts)), expected, "{name} {nlink}");
    }
}

#[test]
fn whiteouts_stay_where_the_layers_below_may_be_the_wrong_ones() {
    let finding = |verdict: Verdict| Finding {
        place: super::super::Place::Upper(crate::path::RelPath::root()),
        verdict,
    };
    let needless =
        || finding(Verdict::repaired_by(Code::WhiteoutNeedless, "a whiteout", Remedy::RemoveWhiteout));
    let mut alone = [needless()];
    together(&mut alone);
    assert!(alone[0].verdict.remedy.is_some());
    let mut with = [needless(), finding(Verdict::told(Code::DataMissing, "no data"))];
    together(&mut with);
    assert_eq!(with[0].verdict.remedy, None);
}

#[test]
fn words_are_all_different() {
    let words: std::collections::HashSet<_> = Code::ALL.iter().map(|code| code.word()).collect();
    assert_eq!(words.len(), Code::ALL.len());
}
