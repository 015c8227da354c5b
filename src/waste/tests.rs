//! The sums, on layers of a few words: by hand, and against the definitions followed to the letter.

mod model;

use proptest::prelude::*;

use self::model::{Entry, Layer, dive, hidden, measured};
use super::*;
use Entry::{Dir, File, Opaque, Whiteout};

fn layers<const N: usize>(layers: [&[(&str, Entry)]; N]) -> Vec<Layer> {
    layers.iter().map(|entries| Layer::of(entries)).collect()
}

/// Path, count and bytes of what dive calls inefficient.
fn references(waste: &Waste) -> Vec<(&str, u32, u64)> {
    let shown = |path| std::str::from_utf8(path).unwrap();
    waste.references.iter().map(|one| (shown(&one.path), one.count, one.bytes)).collect()
}

/// Path, layers of the bytes, hider, way, bytes and files.
type ShortRow<'a> = (&'a str, (u16, u16), u16, How, u64, u64);

fn rows(waste: &Waste) -> Vec<ShortRow<'_>> {
    let mut rows = Vec::new();
    for Row { path, by, how, lowest, highest, bytes, files, .. } in &waste.rows {
        let path = std::str::from_utf8(path).unwrap();
        rows.push((path, (lowest.0, highest.0), by.0, *how, *bytes, *files));
    }
    rows
}

/// dive's test of its definition (dive/filetree/efficiency_test.go): the directories have no entries of their own, so dive takes
/// what the whiteout deletes for a file.
#[test]
fn the_score_of_dives_own_first_test() {
    let waste = measured(&layers([
        &[("etc/nginx/nginx.conf", File(2000)), ("etc/nginx/public", File(3000))],
        &[("etc/nginx/nginx.conf", File(5000)), ("etc/athing", File(10_000))],
        &[("etc/nginx", Whiteout)],
    ]));
    assert_eq!(waste.score.efficiency, 0.75);
    assert_eq!(references(&waste), [("/etc/nginx/nginx.conf", 2, 7000)]);
    assert_eq!(
        rows(&waste),
        [
            ("/etc/nginx", (1, 2), 3, How::Deleted, 8000, 2),
            ("/etc/nginx/nginx.conf", (1, 1), 2, How::Overwritten, 2000, 1),
        ]
    );
    assert_eq!(waste.hidden, 10_000);
    assert_eq!(waste.layers, [5000, 15_000, 0]);
}

#[test]
fn an_image_without_bytes_is_efficient() {
    let waste = measured(&layers([&[("nothing", File(0))], &[], &[]]));
    assert_eq!((waste.score.efficiency, waste.hidden), (1.0, 0));
    assert!(references(&waste).is_empty());
    assert!(waste.score.of_user_bytes(&waste).is_nan());
}

/// The image that dive tests with (its expected numbers: dive/image/docker/image_archive_analysis_test.go and export_test.go).
#[test]
fn the_numbers_of_dives_test_image() {
    let some = File(6405);
    let waste = measured(&layers([
        &[("bin", Dir), ("bin/[", File(1_154_361))],
        &[("somefile.txt", some)],
        &[
            ("root", Dir),
            ("root/example", Dir),
            ("root/example/really", Dir),
            ("root/example/really/nested", Dir),
        ],
        &[("root", Dir), ("root/example", Dir), ("root/example/somefile1.txt", some)],
        &[("root", Dir), ("root/example", Dir), ("root/example/somefile1.txt", some)],
        &[("root", Dir), ("root/example", Dir), ("root/example/somefile2.txt", some)],
        &[("root", Dir), ("root/example", Dir), ("root/example/somefile3.txt", some)],
        &[
            ("root", Dir),
            ("root/example", Dir),
            ("root/example/somefile3.txt", Whiteout),
            ("root/saved.txt", some),
        ],
        &[("root", Dir), ("root/.saved.txt", some)],
        &[("root", Dir), ("root/example", Whiteout)],
        &[
            ("root", Dir),
            ("root/.data", Dir),
            ("root/.data/tag.sh", File(917)),
            ("root/.data/test.sh", File(1270)),
        ],
        &[("tmp", Dir), ("tmp/saved.again1.txt", some)],
        &[("root", Dir), ("root/.data", Dir), ("root/.data/saved.again2.txt", some)],
        &[("root", Dir), ("root/saved.txt", some)],
    ]));
    assert_eq!(waste.bytes(), 1_220_598);
    assert_eq!(waste.score.wasted, 32_025);
    assert_eq!(waste.score.efficiency, 0.984_421_213_418_430_9);
    assert_eq!(waste.score.of_user_bytes(&waste), 0.483_491_100_140_404_9);
    assert_eq!(
        references(&waste),
        [
            ("/root/example/somefile1.txt", 2, 12_810),
            ("/root/saved.txt", 2, 12_810),
            ("/root/example/somefile3.txt", 2, 6405),
        ]
    );
    // What nobody can see: the first somefile1.txt and saved.txt, somefile3.txt, and the directory with two files.
    assert_eq!(
        rows(&waste),
        [
            ("/root/example", (5, 6), 10, How::Deleted, 12_810, 2),
            ("/root/example/somefile1.txt", (4, 4), 5, How::Overwritten, 6405, 1),
            ("/root/example/somefile3.txt", (7, 7), 8, How::Deleted, 6405, 1),
            ("/root/saved.txt", (8, 8), 14, How::Overwritten, 6405, 1),
        ]
    );
    assert_eq!(waste.hidden, 5 * 6405);
}

#[test]
fn each_way_to_hide_a_file_is_told() {
    let below: &[(&str, Entry)] = &[
        ("d", Dir),
        ("d/deleted", File(1)),
        ("d/over", File(2)),
        ("d/dir", File(4)),
        ("opaque", Dir),
        ("opaque/f", File(8)),
        ("opaque/again", File(16)),
        ("was", Dir),
        ("was/f", File(32)),
        ("tree", Dir),
        ("tree/a", Dir),
        ("tree/a/f", File(64)),
        ("tree/g", File(128)),
        ("seen", File(256)),
    ];
    let above: &[(&str, Entry)] = &[
        ("d", Dir),
        ("d/deleted", Whiteout),
        ("d/over", File(2)),
        ("d/dir", Dir),
        ("opaque", Opaque),
        ("opaque/again", File(16)),
        ("was", File(0)),
        ("tree", Whiteout),
        ("nothing", Whiteout),
    ];
    let waste = measured(&layers([below, above, &[("tree", Dir), ("tree/g", File(1))]]));
    assert_eq!(
        rows(&waste),
        [
            ("/tree", (1, 1), 2, How::Deleted, 192, 2),
            ("/was", (1, 1), 2, How::Replaced, 32, 1),
            ("/opaque/again", (1, 1), 2, How::Overwritten, 16, 1),
            ("/opaque", (1, 1), 2, How::Opaque, 8, 1),
            ("/d/dir", (1, 1), 2, How::Replaced, 4, 1),
            ("/d/over", (1, 1), 2, How::Overwritten, 2, 1),
            ("/d/deleted", (1, 1), 2, How::Deleted, 1, 1),
        ]
    );
    let between = |how, bytes, files| Between { of: LayerNumber(1), by: LayerNumber(2), how, bytes, files };
    assert_eq!(
        waste.between,
        [
            between(How::Deleted, 193, 3),
            between(How::Replaced, 36, 2),
            between(How::Overwritten, 18, 2),
            between(How::Opaque, 8, 1),
        ]
    );
    assert_eq!(waste.hidden, 255);
    assert_eq!(waste.row_count, 7);
    // dive does not see what is opaque; a path that is deleted and written again counts each time.
    assert_eq!(
        references(&waste),
        [
            ("/tree/g", 2, 129),
            ("/opaque/again", 2, 32),
            ("/d/dir", 2, 4),
            ("/d/over", 2, 4),
            ("/d/deleted", 2, 1),
        ]
    );
}

#[test]
fn only_the_worst_are_kept_where_that_is_wanted() {
    let stack = layers([
        &[("a", File(1)), ("b", File(3)), ("c", File(2))],
        &[("a", File(1)), ("b", File(3)), ("c", File(2))],
    ]);
    let all = measured(&stack);
    let wanted = Wanted { rows: Keep::Worst(2), references: Keep::Worst(1) };
    let some = model::walk(&stack, wanted);
    assert_eq!(some.rows, all.rows[..2]);
    assert_eq!(some.references, all.references[..1]);
    assert_eq!((some.row_count, some.score, some.hidden), (3, all.score, all.hidden));
}

#[test]
fn sizes_that_cannot_be_do_not_overflow() {
    let stack = layers([&[("a", File(u64::MAX))], &[("a", File(u64::MAX))], &[("a", Whiteout)]]);
    let waste = measured(&stack);
    assert_eq!((waste.bytes(), waste.hidden, waste.score.wasted), (u64::MAX, u64::MAX, u64::MAX));
}

fn entries() -> impl Strategy<Value = Layer> {
    let name = prop::sample::select(vec!["a", "b", "-"]);
    let path = prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
    let entry = prop_oneof![
        4 => (1_u64..100).prop_map(File),
        2 => Just(Dir),
        2 => Just(Whiteout),
        1 => Just(Opaque),
    ];
    prop::collection::vec((path, entry), 0..8).prop_map(|entries| {
        Layer::of(&entries.iter().map(|(path, entry)| (path.as_str(), *entry)).collect::<Vec<_>>())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_sums_are_those_of_the_definitions(stack in prop::collection::vec(entries(), 1..6)) {
        let waste = measured(&stack);
        let (efficiency, wasted, expected) = dive(&stack);
        let found: Vec<(String, u32, u64)> =
            references(&waste).into_iter().map(|(path, count, bytes)| (path.to_owned(), count, bytes)).collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!((waste.score.efficiency, waste.score.wasted), (efficiency, wasted));

        let by_definition = hidden(&stack);
        let mut sums = std::collections::BTreeMap::new();
        for one in &waste.between {
            let sum: &mut (u64, u64) = sums.entry((one.of.0, one.by.0)).or_default();
            *sum = (sum.0 + one.bytes, sum.1 + one.files);
        }
        prop_assert_eq!(&sums, &by_definition);
        prop_assert_eq!(waste.hidden, sums.values().map(|(bytes, _)| bytes).sum::<u64>());
        prop_assert_eq!(waste.hidden, waste.rows.iter().map(|row| row.bytes).sum::<u64>());
    }
}
