use super::*;

#[test]
fn where_one_id_is_mapped_all_is_shown_as_roots() {
    let map = |len| vec![IdRange { inside: 0, outside: 1000, len }];
    let shown = |uids, gids| {
        let options = options(None, None, &map(uids), &map(gids));
        (options.squash_uid, options.squash_gid)
    };
    assert_eq!(shown(1, 1), (Some(0), Some(0)));
    assert_eq!(shown(65536, 1), (None, Some(0)));
    assert_eq!(shown(u32::MAX, u32::MAX), (None, None));
}

#[test]
fn a_layer_contains_what_lies_below_it_and_not_itself() {
    let contains = |layer: &str, path: &str| contains(Path::new(layer), Path::new(path));
    assert!(contains("/", "/var/tmp/x") && contains("/var", "/var/tmp/x"));
    assert!(!contains("/var/tmp/x", "/var/tmp/x") && !contains("/va", "/var/tmp/x"));
}
