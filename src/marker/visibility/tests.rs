use proptest::prelude::*;

use super::*;
use crate::config::Namespace;
use crate::marker::{FUSE_OVERLAYFS_OPAQUE, Marker, override_xattrs_read};

const TRUSTED: XattrRules = XattrRules::new(MarkersRead::Only(Namespace::Trusted), StatOverride::Off);
const USER: XattrRules = XattrRules::new(MarkersRead::Only(Namespace::User), StatOverride::Off);
const BOTH: XattrRules = XattrRules::new(MarkersRead::Both, StatOverride::Off);
const PRIVILEGED: XattrRules = XattrRules::new(MarkersRead::Both, StatOverride::Privileged);
const CONTAINERS: XattrRules = XattrRules::new(MarkersRead::Both, StatOverride::Containers);
const ALL: [XattrRules; 5] = [TRUSTED, USER, BOTH, PRIVILEGED, CONTAINERS];

fn shown(rules: XattrRules, stored: &str) -> Option<String> {
    rules.shown(stored.as_bytes()).map(|name| String::from_utf8(name.into_owned()).unwrap())
}

fn stored(rules: XattrRules, asked: &str) -> String {
    String::from_utf8(rules.stored(asked.as_bytes()).unwrap().into_owned()).unwrap()
}

#[test]
fn no_marker_that_is_read_is_ever_shown() {
    for rules in ALL {
        for namespace in rules.markers.namespaces() {
            for marker in Marker::ALL {
                assert_eq!(rules.shown(marker.xattr(*namespace).to_bytes()), None, "{rules:?} {marker:?}");
            }
        }
        assert_eq!(rules.shown(FUSE_OVERLAYFS_OPAQUE.to_bytes()), None);
        for name in override_xattrs_read(rules.records) {
            assert_eq!(rules.shown(name.to_bytes()), None, "{rules:?} {name:?}");
        }
    }
}

#[test]
fn own_names_are_escaped_and_shown_unescaped() {
    for (rules, asked, kept) in [
        (TRUSTED, "trusted.overlay.opaque", "trusted.overlay.overlay.opaque"),
        (TRUSTED, "trusted.overlay.overlay.opaque", "trusted.overlay.overlay.overlay.opaque"),
        (TRUSTED, "user.overlay.opaque", "user.overlay.opaque"),
        (USER, "user.overlay.opaque", "user.overlay.overlay.opaque"),
        (USER, "trusted.overlay.opaque", "trusted.overlay.opaque"),
        (BOTH, "user.overlay.redirect", "user.overlay.overlay.redirect"),
        (BOTH, "trusted.overlay.anything", "trusted.overlay.overlay.anything"),
        (BOTH, "trusted.overlay", "trusted.overlay"),
        (BOTH, "trusted.overlayx", "trusted.overlayx"),
        (BOTH, "user.fuseoverlayfs.opaque", "user.fuseoverlayfs.overlay.opaque"),
        (BOTH, "security.fuseoverlayfs.override_stat", "security.fuseoverlayfs.override_stat"),
        (PRIVILEGED, "security.fuseoverlayfs.override_stat", "security.fuseoverlayfs.overlay.override_stat"),
        (PRIVILEGED, "security.capability", "security.capability"),
        (BOTH, "user.containers.override_stat", "user.containers.override_stat"),
        (CONTAINERS, "security.capability", "user.containers.override_security.capability"),
        (
            CONTAINERS,
            "user.containers.override_stat",
            "user.containers.override_user.containers.override_stat",
        ),
        (CONTAINERS, "user.containers.other", "user.containers.other"),
        (CONTAINERS, "system.posix_acl_access", "system.posix_acl_access"),
        (CONTAINERS, "user.mime", "user.mime"),
    ] {
        assert_eq!(stored(rules, asked), kept, "{rules:?}");
        assert_eq!(shown(rules, kept).as_deref(), Some(asked), "{rules:?}");
    }
}

#[test]
fn names_that_nobody_could_have_set_are_hidden() {
    for (rules, kept) in [
        (TRUSTED, "trusted.overlay."),
        (TRUSTED, "trusted.overlay.overlay."),
        (TRUSTED, "trusted.overlay.unheard-of"),
        (CONTAINERS, "security.capability"),
        (CONTAINERS, "user.containers.override_user.mime"),
        (CONTAINERS, "user.containers.override_trusted.overlay.opaque"),
        (CONTAINERS, "user.containers.override_"),
    ] {
        assert_eq!(shown(rules, kept), None, "{rules:?} {kept}");
    }
}

#[test]
fn bare_prefixes_and_long_names_are_refused_as_by_the_kernel() {
    for bare in ["trusted.overlay.", "user.overlay.", "user.fuseoverlayfs."] {
        assert!(matches!(BOTH.stored(bare.as_bytes()), Err(Kind::Invalid(_))), "{bare}");
    }
    let name = |len: usize| [b"trusted.overlay.", &vec![b'a'; len][..]].concat();
    assert_eq!(TRUSTED.stored(&name(231)).map(|kept| kept.len()), Ok(NAME_MAX));
    assert!(matches!(TRUSTED.stored(&name(232)), Err(Kind::Unsupported(_))));
    assert!(USER.stored(&name(239)).is_ok());
}

proptest! {
    #[test]
    fn what_is_set_is_listed_under_the_same_name_and_is_no_marker(
        rules in prop::sample::select(&ALL[..]),
        head in prop::sample::select(&[
            "", "trusted.overlay.", "user.overlay.", "user.fuseoverlayfs.", "security.fuseoverlayfs.", "security.",
            "user.containers.override_", "user.", "trusted.overlay.overlay.",
        ][..]),
        tail in prop::collection::vec(any::<u8>(), 0..30),
    ) {
        let asked = [head.as_bytes(), &tail].concat();
        if let Ok(kept) = rules.stored(&asked) {
            prop_assert_eq!(rules.shown(&kept), Some(Cow::Borrowed(&asked[..])));
        }
        if let Some(seen) = rules.shown(&asked) {
            prop_assert_eq!(rules.stored(&seen), Ok(Cow::Borrowed(&asked[..])));
        }
    }
}
