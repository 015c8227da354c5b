use super::*;

fn path(text: &str) -> RelPath {
    RelPath::new(text.as_bytes()).unwrap()
}

fn names(all: &[&str]) -> Listing {
    Listing::Names(all.iter().map(|name| NameBuf::new(name.as_bytes()).unwrap()).collect())
}

/// `/`, `/a`, `/b`, `/b/x`, `/b/y`, `/b/y/1`, `/c`.
fn tree() -> Tree {
    let mut tree = Tree::new();
    tree.listed(&path(""), names(&["a", "b", "c"]));
    assert!(tree.open(&path("b/y")));
    tree.listed(&path("b"), names(&["x", "y"]));
    tree.listed(&path("b/y"), names(&["1"]));
    tree
}

const ALL: [&str; 7] = ["/", "/a", "/b", "/b/x", "/b/y", "/b/y/1", "/c"];

fn shown(tree: &Tree, wanted: Range<usize>) -> Vec<String> {
    tree.lines(wanted).iter().map(|line| line.path.to_string()).collect()
}

#[test]
fn any_part_of_the_lines_can_be_had() {
    let tree = tree();
    assert_eq!(tree.len(), ALL.len());
    for start in 0..=ALL.len() {
        for end in start..=ALL.len() + 2 {
            assert_eq!(shown(&tree, start..end), ALL[start..end.min(ALL.len())], "{start}..{end}");
        }
    }
    let levels: Vec<usize> = tree.lines(0..7).iter().map(|line| line.level).collect();
    assert_eq!(levels, [0, 1, 1, 2, 2, 3, 1]);
    let open: Vec<bool> = tree.lines(0..7).iter().map(|line| line.open.is_some()).collect();
    assert_eq!(open, [true, false, true, false, true, false, false]);
}

#[test]
fn a_path_has_a_line_or_something_above_it_has() {
    let tree = tree();
    for (index, text) in ALL.iter().enumerate() {
        assert_eq!(tree.nearest(&path(text)), index, "{text}");
    }
    assert_eq!(tree.nearest(&path("b/y/2")), 4);
    assert_eq!(tree.nearest(&path("none/at/all")), 0);
}

#[test]
fn a_directory_that_is_gone_is_closed_and_what_is_left_stays_open() {
    let mut tree = tree();
    tree.want_all();
    assert_eq!(tree.wanted(), Some(path("")));
    assert_eq!(shown(&tree, 0..9), ALL, "what was there is shown until it is known what is");
    tree.listed(&path(""), names(&["b", "d"]));
    assert_eq!(tree.wanted(), Some(path("b")));
    tree.listed(&path("b"), names(&["z"]));
    assert_eq!(tree.wanted(), None, "b/y is gone");
    assert_eq!(shown(&tree, 0..9), ["/", "/b", "/b/z", "/d"]);
    tree.open(&path("d"));
    tree.listed(&path("d"), Listing::NoDirectory);
    assert!(!tree.is_open(&path("d")));
    tree.close(&path("b"));
    assert_eq!(shown(&tree, 0..9), ["/", "/b", "/d"]);
    tree.close(&path(""));
    assert!(tree.is_open(&path("")));
}

#[test]
fn only_what_is_shown_is_asked_for() {
    let mut tree = Tree::new();
    assert_eq!(tree.unknown(0..9), None, "the names come first");
    let many: Vec<NameBuf> =
        (0..1_000_000).map(|n| NameBuf::new(format!("{n:07}").into_bytes()).unwrap()).collect();
    tree.listed(&path(""), Listing::Names(many));
    let (dir, unknown) = tree.unknown(500_000..500_040).unwrap();
    assert_eq!((dir, unknown.len()), (path(""), 40));
    tree.looked(&path(""), unknown.into_iter().map(|name| (name, Err("x".to_owned()))).collect());
    assert_eq!(tree.unknown(500_000..500_040), None);
    // What is not shown any more is forgotten at some time.
    for page in 0..200 {
        let (dir, unknown) = tree.unknown(page * 40 + 1..page * 40 + 41).unwrap();
        tree.looked(&dir, unknown.into_iter().map(|name| (name, Err("x".to_owned()))).collect());
    }
    assert!(tree.root.known.len() <= MOST_KNOWN + 40);
}

#[test]
fn what_is_too_deep_is_not_opened() {
    let mut tree = Tree::new();
    assert!(!tree.open(&path(&"d/".repeat(MOST_LEVELS))));
    assert!(tree.open(&path(&"d/".repeat(MOST_LEVELS - 1))));
}
