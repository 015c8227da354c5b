use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::path::NameBuf;

fn name(text: &str) -> NameBuf {
    NameBuf::new(text.as_bytes()).unwrap()
}

fn all(index: &PartIndex, text: &str) -> Vec<usize> {
    let name = name(text);
    let mut parts = Vec::new();
    let mut from = 0;
    while let Some(part) = index.next(name.as_name(), from) {
        parts.push(part);
        from = part + 1;
    }
    parts
}

proptest! {
    #[test]
    fn it_names_the_parts_that_have_a_name(
        parts in prop::collection::vec(prop::option::weighted(0.9, prop::collection::btree_set("[a-d]{1,2}", 0..8)), 0..12),
    ) {
        let mut builder = Builder::default();
        for (part, names) in (0..).zip(&parts) {
            match names {
                Some(names) => names.iter().for_each(|text| builder.has(part, name(text).as_name())),
                None => builder.is_unlisted(part),
            }
        }
        let index = builder.finish(&[]);
        let texts: BTreeSet<String> = parts.iter().flatten().flatten().cloned().chain(["e".to_owned()]).collect();
        for text in texts {
            let has = |names: &Option<BTreeSet<String>>| names.as_ref().is_none_or(|names| names.contains(&text));
            let expected: Vec<usize> = (0..).zip(&parts).filter(|(_, names)| has(names)).map(|(part, _)| part).collect();
            prop_assert_eq!(all(&index, &text), expected);
        }
    }
}

#[test]
fn names_with_one_set_of_parts_share_it() {
    let mut builder = Builder::default();
    for part in 0..128 {
        for number in 0..1000 {
            builder.has(part, name(&format!("name{number}")).as_name());
        }
    }
    let index = builder.finish(&[]);
    assert_eq!(all(&index, "name77"), (0..128).collect::<Vec<_>>());
    assert!(index.memory() <= 1000 * 8 + 130 * 2 + size_of::<PartIndex>(), "{}", index.memory());
}

#[test]
fn a_part_with_marks_is_asked_for_them_and_so_is_one_that_was_not_listed() {
    let mut builder = Builder::default();
    builder.is_marked(1);
    builder.is_marked(1);
    builder.is_unlisted(3);
    let index = builder.finish(&[]);
    let marked: Vec<usize> = (0..5).filter(|part| index.may_be_marked(*part)).collect();
    assert_eq!((marked, index.unlisted()), (vec![1, 3], &[3][..]));
}

#[test]
fn what_is_taken_back_was_not_there() {
    let mut builder = Builder::default();
    builder.has(0, name("a").as_name());
    let before = builder.len();
    builder.has(1, name("a").as_name());
    builder.has(1, name("b").as_name());
    builder.take_back(before);
    let index = builder.finish(&[]);
    assert_eq!((all(&index, "a"), all(&index, "b")), (vec![0], vec![]));
}

#[test]
fn listing_never_costs_more_than_a_few_times_what_was_asked_in_vain() {
    for parts in [1, 3, 128, 1000] {
        let (mut in_vain, mut cost) = (InVain::default(), 0);
        for asked in 1_usize..100_000 {
            in_vain.add(1);
            if let Some(names) = in_vain.names(parts) {
                // Nothing is ever complete.
                cost += parts * InVain::PART + names / InVain::NAMES;
                assert_eq!(in_vain.names(parts), None, "once for each doubling");
            }
            assert!(cost <= 4 * asked, "{cost} after {asked}, {parts} parts");
        }
        assert!(cost > 0);
    }
}
