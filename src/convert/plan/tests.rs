use super::*;
use crate::check::facts::{Beneath, Marked};

const KERNEL: To = To { form: Form::Kernel, whiteout: Whiteout::Device };
const USER: To = To { form: Form::User, whiteout: Whiteout::Device };
const USER_MARKS: To = To { form: Form::User, whiteout: Whiteout::Attribute(Namespace::User) };
const OCI: To = To { form: Form::Oci, whiteout: Whiteout::Name };
const EMPTY: Kind = Kind::Regular { size: 0 };
const FILE: Kind = Kind::Regular { size: 3 };

/// Markers by their attributes.
fn facts(kind: Kind, markers: &[(&str, &str)]) -> Facts {
    let markers = markers
        .iter()
        .map(|(name, value)| Marked { what: Spelled::of(name.as_bytes()), value: value.as_bytes().to_vec() });
    Facts {
        kind,
        name: NameSays::Ordinary,
        markers: markers.collect(),
        nlink: 1,
        parent: None,
        beneath: Beneath::Unknown,
        target: None,
        origin: None,
    }
}

fn named(facts: &Facts, name: &str, parent: In, to: To) -> String {
    match object(facts, Some(Name::new(name.as_bytes()).unwrap()), parent, to) {
        Ok(steps) => steps.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        Err(blocked) => format!("{blocked:?}"),
    }
}

#[test]
fn whiteouts_of_every_form_become_those_of_every_other() {
    let device = || facts(Kind::Whiteout, &[]);
    let marked = || facts(EMPTY, &[("user.overlay.whiteout", "y")]);
    let trusted = || facts(EMPTY, &[("trusted.overlay.whiteout", "y")]);
    for (from, to, parent, expected) in [
        (device(), KERNEL, In::Merged, ""),
        (device(), USER, In::Merged, ""),
        (device(), OCI, In::Merged, "make the whiteout .wh.n; remove it"),
        (device(), OCI, In::Opaque, "make the whiteout .wh.n; remove it"),
        (
            device(),
            USER_MARKS,
            In::Merged,
            "set user.overlay.opaque of its directory to \"x\"; make the whiteout n",
        ),
        (device(), USER_MARKS, In::Opaque, "remove it"),
        (marked(), KERNEL, In::Merged, "make the whiteout n"),
        (marked(), USER, In::Merged, "make the whiteout n"),
        (marked(), USER, In::Opaque, "remove it"),
        (marked(), USER_MARKS, In::Merged, "set user.overlay.opaque of its directory to \"x\""),
        (
            trusted(),
            USER_MARKS,
            In::Merged,
            "set user.overlay.opaque of its directory to \"x\"; make the whiteout n",
        ),
        (marked(), OCI, In::Merged, "make the whiteout .wh.n; remove it"),
    ] {
        assert_eq!(named(&from, "n", parent, to), expected, "{to:?} {parent:?}");
    }
    let long = "n".repeat(252);
    assert_eq!(named(&device(), &long, In::Merged, OCI), "NameTooLong");
    assert_eq!(named(&device(), ".wh.n", In::Merged, OCI), "Literal");
}

#[test]
fn whiteout_files_become_what_they_mean() {
    let mark =
        |size, beside| Facts { name: NameSays::Whiteout(beside), ..facts(Kind::Regular { size }, &[]) };
    for (beside, parent, to, expected) in [
        (Beside::Nothing, In::Merged, KERNEL, "make the whiteout n; remove it"),
        (
            Beside::Nothing,
            In::Merged,
            USER_MARKS,
            "set user.overlay.opaque of its directory to \"x\"; make the whiteout n; remove it",
        ),
        (Beside::Nothing, In::Opaque, KERNEL, "remove it"),
        (Beside::Whiteout, In::Merged, KERNEL, "remove it"),
        (Beside::Other, In::Merged, KERNEL, "remove it"),
        (Beside::Directory, In::Merged, USER, "set user.overlay.opaque of n to \"y\"; remove it"),
        (Beside::Nothing, In::Merged, OCI, ""),
        (Beside::Directory, In::Merged, OCI, ""),
    ] {
        assert_eq!(named(&mark(0, beside), ".wh.n", parent, to), expected, "{beside:?} {to:?}");
    }
    assert_eq!(named(&mark(1, Beside::Nothing), ".wh.n", In::Merged, KERNEL), "HoldsData");
    assert_eq!(named(&mark(1, Beside::Nothing), ".wh.n", In::Merged, OCI), "");
    let opaque = Facts { name: NameSays::Opaque, ..facts(EMPTY, &[]) };
    assert_eq!(named(&opaque, ".wh..wh..opq", In::Opaque, KERNEL), "remove it");
    assert_eq!(opaque_by_name(&facts(Kind::Directory, &[]), OCI), []);
    assert_eq!(opaque_by_name(&facts(Kind::Directory, &[("user.overlay.opaque", "y")]), USER), []);
    assert_eq!(
        opaque_by_name(&facts(Kind::Directory, &[("user.overlay.opaque", "x")]), USER),
        [Step::SetMarker(c"user.overlay.opaque", b"y".to_vec())]
    );
}

#[test]
fn markers_change_their_namespace() {
    for (kind, markers, to, expected) in [
        (
            Kind::Directory,
            &[("trusted.overlay.opaque", "y"), ("trusted.overlay.lamina.ino", "i")][..],
            USER,
            "set user.overlay.opaque to \"y\"; remove trusted.overlay.opaque; set user.overlay.lamina.ino to \"i\"; \
             remove trusted.overlay.lamina.ino",
        ),
        (FILE, &[("user.overlay.metacopy", "")], USER, ""),
        // An ended conversion left both.
        (
            FILE,
            &[("trusted.overlay.origin", "o"), ("user.overlay.origin", "o")],
            USER,
            "remove trusted.overlay.origin",
        ),
        (
            FILE,
            &[("trusted.overlay.origin", "o"), ("user.overlay.origin", "o")],
            KERNEL,
            "remove user.overlay.origin",
        ),
        // Where they differ, trusted. counts.
        (
            FILE,
            &[("trusted.overlay.origin", "t"), ("user.overlay.origin", "u")],
            USER,
            "set user.overlay.origin to \"t\"; remove trusted.overlay.origin",
        ),
        (
            FILE,
            &[("trusted.overlay.origin", "t"), ("user.overlay.origin", "u")],
            KERNEL,
            "remove user.overlay.origin",
        ),
        // Symlinks take no user. attributes.
        (Kind::Other, &[("trusted.overlay.origin", "o")], USER, "remove trusted.overlay.origin"),
        (Kind::Other, &[("trusted.overlay.nlink", "U-1")], USER, "Nlink"),
        (
            Kind::Directory,
            &[("user.fuseoverlayfs.opaque", "y")],
            KERNEL,
            "set trusted.overlay.opaque to \"y\"; remove user.fuseoverlayfs.opaque",
        ),
        (FILE, &[("trusted.overlay.overlay.opaque", "y")], USER, ""),
        (FILE, &[("trusted.overlay.newer", "y")], USER, "Unknown"),
        (Kind::Directory, &[("trusted.overlay.opaque", "?")], USER, "BadOpaque"),
    ] {
        assert_eq!(named(&facts(kind, markers), "n", In::Merged, to), expected, "{markers:?}");
    }
}

#[test]
fn names_say_what_they_can() {
    for (kind, markers, expected) in [
        (
            Kind::Directory,
            &[("trusted.overlay.opaque", "y")][..],
            "make it opaque by a file in it; remove trusted.overlay.opaque",
        ),
        (Kind::Directory, &[("trusted.overlay.opaque", "x")], ""),
        (Kind::Directory, &[("trusted.overlay.redirect", "/a")], "Redirect"),
        (FILE, &[("trusted.overlay.redirect", "/a")], ""),
        (FILE, &[("user.overlay.metacopy", "")], "Metacopy"),
        (FILE, &[("user.overlay.origin", "o"), ("user.overlay.nlink", "U-1")], ""),
    ] {
        assert_eq!(named(&facts(kind, markers), "n", In::Merged, OCI), expected, "{markers:?}");
    }
    assert_eq!(named(&facts(FILE, &[]), ".wh.n", In::Merged, OCI), "Literal");
    assert_eq!(named(&facts(Kind::Directory, &[]), ".wh.n", In::Merged, OCI), "");
    let aufs = Facts { name: NameSays::Nobodys, ..facts(Kind::Directory, &[]) };
    assert_eq!(named(&aufs, ".wh..wh.plnk", In::Merged, KERNEL), "Nobodys");
    assert_eq!(named(&aufs, ".wh..wh.plnk", In::Merged, OCI), "");
    let fuse_overlayfs = Facts { kind: Kind::Whiteout, ..aufs };
    assert_eq!(named(&fuse_overlayfs, ".wh..opq", In::Opaque, KERNEL), "remove it");
    assert_eq!(named(&fuse_overlayfs, ".wh..opq", In::Opaque, OCI), "");
}

#[test]
fn a_directory_says_that_it_has_marked_whiteouts_as_long_as_it_has_some() {
    let x = facts(Kind::Directory, &[("trusted.overlay.opaque", "x")]);
    assert_eq!(directory_done(&x, USER), [Step::RemoveMarker(c"user.overlay.opaque")]);
    assert_eq!(directory_done(&x, OCI), [Step::RemoveMarker(c"trusted.overlay.opaque")]);
    assert_eq!(directory_done(&x, USER_MARKS), []);
    assert_eq!(directory_done(&facts(Kind::Directory, &[("trusted.overlay.opaque", "y")]), OCI), []);
}

#[test]
fn the_root_and_the_index_change_their_markers_only() {
    let root = facts(Kind::Directory, &[("trusted.overlay.uuid", "u")]);
    assert_eq!(object(&root, None, In::Merged, OCI), Ok(Vec::new()));
    assert_eq!(object(&root, None, In::Merged, USER).unwrap().len(), 2);
    assert_eq!(index_entry(&root, OCI), Ok(Vec::new()));
    assert_eq!(index_entry(&facts(Kind::Whiteout, &[]), USER), Ok(Vec::new()));
}
