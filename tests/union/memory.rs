//! What is kept in memory, and for how long; and that requests for what is known allocate nothing.

use allocation_counter::measure;
use lamina::overlay::*;

use super::stack::*;

/// Two layers with these directories, so many names in each of the two.
fn wide(dirs: usize, names: usize) -> Stack {
    let stack = Stack::new(2);
    for dir in 0..dirs {
        for n in 0..names {
            put(stack.lower(0), &format!("d{dir}/top{n}"), "");
            put(stack.lower(1), &format!("d{dir}/base{n}"), "");
        }
    }
    stack
}

/// A reader that looks everything up as it goes, as the kernel does: what it takes, it must forget.
struct Kept(Vec<NodeId>);

impl DirSink for Kept {
    fn push(&mut self, _: DirEntry<'_>, entry: Option<&Entry>) -> SinkAnswer {
        self.0.extend(entry.map(|entry| entry.node));
        SinkAnswer::Taken
    }
}

fn list_plus(overlay: &Overlay, dir: NodeId) -> Vec<NodeId> {
    let mut kept = Kept(Vec::new());
    overlay.readdir(dir, 0, Listing::Plus, &mut kept).unwrap();
    kept.0
}

#[test]
fn what_was_listed_leaves_nothing_when_it_is_forgotten() {
    let stack = wide(5, 200);
    let overlay = stack.open();
    for round in 0..3 {
        let dirs = list_plus(&overlay, NodeId::ROOT);
        let files: Vec<NodeId> = dirs.iter().flat_map(|dir| list_plus(&overlay, *dir)).collect();
        assert_eq!((dirs.len(), files.len()), (5, 2000));
        let census = overlay.census();
        assert_eq!((census.nodes, census.listings, census.listed_names), (2006, 6, 2005), "round {round}");
        assert!(census.directory_descriptors > 10, "{census:?}");
        // Directories first, as it may happen: the files keep them.
        dirs.iter().chain(&files).for_each(|node| overlay.forget(*node, 1));
        let census = overlay.census();
        assert_eq!(
            (census.nodes, census.listings, census.listed_names),
            (1, 1, 5),
            "round {round}: {census:?}"
        );
        assert_eq!(census.hard_links, 0);
        assert!(census.directory_descriptors <= 3, "those of the root: {census:?}");
    }
}

#[test]
fn a_listed_name_takes_little_memory() {
    let stack = wide(1, 5000);
    let overlay = stack.open();
    let dir = find(&overlay, "d0");
    let mut kept = Kept(Vec::with_capacity(10_000));
    let taken = measure(|| overlay.readdir(dir, 0, Listing::Plus, &mut kept).unwrap());
    assert_eq!(kept.0.len(), 10_000);
    let a_name = taken.bytes_current / 10_000;
    // malloc adds about 30 bytes to a name, in two allocations.
    assert!(a_name <= 400, "{a_name} bytes a name");
    let left = measure(|| {
        kept.0.iter().for_each(|node| overlay.forget(*node, 1));
        overlay.forget(dir, 1);
    });
    assert_eq!(overlay.node_count(), 1);
    let stays = taken.bytes_current + left.bytes_current;
    assert!(stays <= 16_384, "{stays} of {} bytes stay", taken.bytes_current);
}

#[test]
fn what_is_known_is_looked_up_and_shown_without_an_allocation() {
    let stack = wide(1, 50);
    put(&stack.upper(), "d0/own", "");
    let overlay = stack.open();
    let dir = find(&overlay, "d0");
    for file in ["top1", "base1", "own"] {
        let node = find(&overlay, &format!("d0/{file}"));
        let again = measure(|| {
            let entry = overlay.lookup(dir, name(file)).unwrap().unwrap();
            overlay.getattr(node).unwrap();
            overlay.forget(entry.node, 1);
            assert!(overlay.take_invalidations().is_empty());
        });
        assert_eq!(again.count_total, 0, "{file}: {again:?}");
    }
    let shown = measure(|| assert_eq!(overlay.getattr(dir).unwrap().kind, FileKind::Directory));
    assert_eq!(shown.count_total, 0, "{shown:?}");
    list_plus(&overlay, dir);
    let missing = measure(|| assert!(overlay.lookup(dir, name("missing")).unwrap().is_none()));
    assert_eq!(missing.count_total, 0, "a listing says that it is not there: {missing:?}");
    let mut kept = Kept(Vec::with_capacity(200));
    let again = measure(|| overlay.readdir(dir, 0, Listing::Plus, &mut kept).unwrap());
    assert_eq!((kept.0.len(), again.count_total), (101, 0), "{again:?}");
}
