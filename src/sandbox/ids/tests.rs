use super::*;

fn facts() -> IdFacts {
    IdFacts {
        privilege: Privilege::None,
        uid: 1000,
        gid: 1001,
        name: Some("ann".to_owned()),
        subuid: "bob:1:2\nann:100000:65536\n1000:300000:10\n".to_owned(),
        subgid: "ann:200000:65536\n".to_owned(),
        newuidmap: Some("/bin/newuidmap".into()),
        newgidmap: Some("/bin/newgidmap".into()),
        sets_ids: false,
        uid_map: parse_map("         0          0 4294967295\n"),
        gid_map: parse_map("         0          0 4294967295\n"),
    }
}

fn range(inside: u32, outside: u32, len: u32) -> IdRange {
    IdRange { inside, outside, len }
}

#[test]
fn an_ordinary_user_is_root_and_has_the_ranges_from_one() {
    let IdPlan::Helpers { maps, .. } = plan(&facts()) else { panic!("{:?}", plan(&facts())) };
    assert_eq!(maps.uids, [range(0, 1000, 1), range(1, 100_000, 65536), range(65537, 300_000, 10)]);
    assert_eq!(maps.gids, [range(0, 1001, 1), range(1, 200_000, 65536)]);
    assert_eq!(words(&maps.gids).join(" "), "0 1001 1 1 200000 65536");
    assert_eq!(lines(&maps.gids), "0 1001 1\n1 200000 65536\n");
    assert!(holds(&maps.uids, 0) && holds(&maps.uids, 33) && holds(&maps.uids, 65534));
    assert!(!holds(&maps.uids, 70_000));
}

#[test]
fn without_helpers_or_ranges_there_is_one_id_and_a_reason() {
    let why = |facts: IdFacts| match plan(&facts) {
        IdPlan::Single { maps, why } => {
            assert_eq!((maps.uids, maps.gids), (vec![range(0, 1000, 1)], vec![range(0, 1001, 1)]));
            assert!(why.hint().contains("newuidmap") && why.hint().contains("subuid"), "{}", why.hint());
            why.to_string()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(why(IdFacts { newuidmap: None, ..facts() }), "newuidmap is not installed");
    assert_eq!(why(IdFacts { newgidmap: None, ..facts() }), "newgidmap is not installed");
    assert_eq!(why(IdFacts { subgid: String::new(), ..facts() }), "/etc/subgid has no range for ann");
    let broken = "ann:1\nann:x:5\nann:4294967295:2\nann:5:0\n:\n".to_owned();
    assert_eq!(why(IdFacts { subuid: broken, ..facts() }), "/etc/subuid has no range for ann");
    let taken = plan(&IdFacts { subuid: "bob:100000:65536\n".to_owned(), ..facts() });
    let IdPlan::Single { why: few, .. } = taken else { panic!("{taken:?}") };
    // Above what subgid gives away, too.
    assert!(few.hint().contains("--add-subuids 265536-331071"), "{}", few.hint());
    let nameless = IdFacts { name: None, subuid: String::new(), ..facts() };
    assert_eq!(why(nameless), "/etc/subuid has no range for 1000");
}

#[test]
fn who_may_mount_keeps_the_ids_and_who_may_set_them_takes_all() {
    for privilege in [Privilege::Full, Privilege::Namespace] {
        assert_eq!(plan(&IdFacts { privilege, ..facts() }), IdPlan::Keep);
    }
    let container = IdFacts {
        uid: 0,
        sets_ids: true,
        uid_map: parse_map("0 1000 1\n1 100000 65536\n"),
        gid_map: parse_map("0 0 4294967295\n"),
        ..facts()
    };
    assert_eq!(
        plan(&container),
        IdPlan::Same(Maps {
            uids: vec![range(0, 0, 1), range(1, 1, 65536)],
            gids: vec![range(0, 0, u32::MAX)],
        })
    );
}

#[test]
fn maps_are_read_as_the_kernel_writes_them() {
    assert_eq!(parse_map("         0       1000          1\n"), [range(0, 1000, 1)]);
    assert_eq!(parse_map("x\n0 1\n"), []);
    assert!(!several(&parse_map("0 1000 1\n")));
    assert!(several(&parse_map("0 1000 1\n1 5 1\n")));
}
