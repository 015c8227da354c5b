//! What is added up on the way through the layers: pure, told name by name what each layer has there.
//!
//! At every name two questions are asked of each file: which layer is the first above it that hides it, by this name or by a
//! directory above; and the same of dive's pile of layers, in which only whiteouts take away what is in a directory. The answers
//! for directories above are at hand as two lists, so that a name costs no more than what the layers say of it.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::dive::{self, Event, Named, What};
use super::links::{Gone, Link, Links};
use super::worst::Worst;
use super::{Between, Extent, How, LayerNumber, Row, Wanted, Waste};

/// What one layer has at a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    pub layer: LayerNumber,
    pub here: Here,
}

/// What a layer has at a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Here {
    Whiteout,
    /// Anything but a directory. Bytes are those of a regular file, 0 for all else.
    Leaf {
        bytes: u64,
        link: Option<Link>,
    },
    Dir {
        named: Named,
        opaque: bool,
        /// There is no name in it, not even a whiteout.
        empty: bool,
    },
}

/// A layer takes away what is in a directory of the layers below.
#[derive(Debug, Clone, Copy)]
struct Removal {
    by: LayerNumber,
    how: How,
    /// Which of the open directories.
    depth: usize,
    /// Which of the things said of it.
    said: usize,
}

/// What a removal has hidden so far.
#[derive(Debug, Clone, Copy)]
struct Removed {
    bytes: u64,
    files: u64,
    lowest: LayerNumber,
    highest: LayerNumber,
}

/// A directory that is open.
#[derive(Debug)]
struct Open {
    /// How long the path is that it is in.
    outer: usize,
    events: Vec<Event>,
    /// For each event: what it has hidden, if it hides anything.
    removed: Vec<Option<(How, Removed)>>,
    /// What takes away from here, in the order of the layers; of one layer the uppermost in the tree.
    removals: Rc<[Removal]>,
    /// Those that do in dive's eyes.
    whiteouts: Rc<[Removal]>,
}

#[derive(Debug, Default)]
struct Sum {
    bytes: u64,
    files: u64,
}

/// The sums.
#[derive(Debug)]
pub struct Tally {
    path: Vec<u8>,
    open: Vec<Open>,
    layers: Vec<u64>,
    hidden: u64,
    between: BTreeMap<(LayerNumber, LayerNumber, How), Sum>,
    rows: Worst<Row>,
    dive: dive::Sums,
    links: Links,
}

/// By what a file is hidden.
#[derive(Debug, Clone, Copy)]
enum Hider {
    /// By what is said of its own name.
    Name(LayerNumber, How),
    Above(Removal),
}

impl Hider {
    fn by(self) -> LayerNumber {
        match self {
            Hider::Name(by, _) | Hider::Above(Removal { by, .. }) => by,
        }
    }

    fn how(self) -> How {
        match self {
            Hider::Name(_, how) | Hider::Above(Removal { how, .. }) => how,
        }
    }
}

impl Tally {
    /// Begins in the root, of which every layer says something, the base first.
    pub fn new(root: &[Said], wanted: Wanted) -> Self {
        let mut tally = Tally {
            path: Vec::new(),
            open: Vec::new(),
            layers: vec![0; root.len()],
            hidden: 0,
            between: BTreeMap::new(),
            rows: Worst::new(wanted.rows),
            dive: dive::Sums::new(wanted.references),
            links: Links::default(),
        };
        tally.enter(0, root, Vec::new());
        tally
    }

    /// The directory that is open: nothing for the root, else with a slash before it.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The next name of the open directory, and what layers say of it, the base first. Is one of that a directory, it is open
    /// then, until [`Self::leave`].
    pub fn name(&mut self, name: &[u8], said: &[Said]) {
        let outer = self.path.len();
        self.path.push(b'/');
        self.path.extend_from_slice(name);
        let events = self.files(said);
        if said.iter().any(|said| matches!(said.here, Here::Dir { .. })) {
            self.enter(outer, said, events);
        } else {
            self.count(&events);
            self.path.truncate(outer);
        }
    }

    /// The open directory has no more names.
    pub fn leave(&mut self) {
        let Some(open) = self.open.pop() else { return };
        self.rows_of(&open);
        // dive does not count the root.
        if !self.open.is_empty() {
            self.count(&open.events);
        }
        self.path.truncate(open.outer);
    }

    /// The end of the root.
    pub fn finish(mut self) -> Waste {
        while !self.open.is_empty() {
            self.leave();
        }
        for Gone { of, bytes, last } in std::mem::take(&mut self.links).rest() {
            self.add(of, last.by, last.how, bytes);
            self.row(
                &last.path,
                Extent::File,
                last.by,
                last.how,
                Removed { bytes, files: 1, lowest: of, highest: of },
            );
        }
        let between = self.between.into_iter();
        let mut between: Vec<Between> = between
            .map(|((of, by, how), Sum { bytes, files })| Between { of, by, how, bytes, files })
            .collect();
        between.sort_by_key(|one| (std::cmp::Reverse(one.bytes), one.of, one.by, one.how));
        let row_count = self.rows.count();
        let (score, references) = self.dive.finish();
        Waste {
            layers: self.layers,
            hidden: self.hidden,
            between,
            rows: self.rows.into_sorted(),
            row_count,
            score,
            references,
        }
    }

    /// Opens a directory: what layers take away in it.
    fn enter(&mut self, outer: usize, said: &[Said], events: Vec<Event>) {
        let depth = self.open.len();
        let (mut removals, mut whiteouts) = match self.open.last() {
            Some(above) => (Rc::clone(&above.removals), Rc::clone(&above.whiteouts)),
            None => (Rc::from([]), Rc::from([])),
        };
        let mut removed = vec![None; said.len()];
        let lowest = said.iter().find(|said| matches!(said.here, Here::Dir { .. })).map(|said| said.layer);
        let mut own = Vec::new();
        for (index, Said { layer, here }) in said.iter().enumerate() {
            let how = match here {
                Here::Whiteout => How::Deleted,
                Here::Leaf { .. } => How::Replaced,
                Here::Dir { opaque: true, .. } => How::Opaque,
                Here::Dir { opaque: false, .. } => continue,
            };
            if lowest.is_none_or(|lowest| *layer <= lowest) {
                continue;
            }
            own.push(Removal { by: *layer, how, depth, said: index });
            let nothing = Removed { bytes: 0, files: 0, lowest: *layer, highest: LayerNumber(0) };
            if let Some(slot) = removed.get_mut(index) {
                *slot = Some((how, nothing));
            }
        }
        if !own.is_empty() {
            removals = merged(&removals, own.iter());
            whiteouts = merged(&whiteouts, own.iter().filter(|removal| removal.how == How::Deleted));
        }
        self.open.push(Open { outer, events, removed, removals, whiteouts });
    }

    /// Adds what files are at a name. What dive sees there is the answer.
    fn files(&mut self, said: &[Said]) -> Vec<Event> {
        let mut events = Vec::with_capacity(said.len());
        for (index, Said { layer, here }) in said.iter().enumerate() {
            let what = match *here {
                Here::Whiteout => What::Whiteout { below: 0 },
                Here::Dir { named, empty: true, .. } => What::Empty(named),
                Here::Dir { named, empty: false, .. } => What::Directory(named),
                Here::Leaf { bytes, link } => {
                    What::File { bytes: self.file(*layer, bytes, link, said.get(index + 1)) }
                }
            };
            events.push(Event { layer: *layer, what });
        }
        events
    }

    /// Adds a file; `next` is what is said of its name by the next layer above that says anything. The bytes that count for
    /// it in its layer are the answer.
    fn file(&mut self, layer: LayerNumber, bytes: u64, link: Option<Link>, next: Option<&Said>) -> u64 {
        let counted = link.map_or(bytes, |link| self.links.bytes_for(layer, bytes, link));
        if let Some(sum) = self.layers.get_mut(usize::from(layer.0).saturating_sub(1)) {
            *sum = sum.saturating_add(counted);
        }
        let next = next.map(|said| (said.layer, said.here));
        let is_before_next =
            |removal: &Removal| next.is_none_or(|(by_name, _)| removal.by < by_name).then_some(*removal);
        let above = self.open.last();
        let whiteout = above.and_then(|open| first_above(&open.whiteouts, layer)).and_then(is_before_next);
        let removal = above.and_then(|open| first_above(&open.removals, layer)).and_then(is_before_next);
        if let Some(removal) = whiteout
            && let Some(Event { what: What::Whiteout { below }, .. }) =
                self.open.get_mut(removal.depth).and_then(|open| open.events.get_mut(removal.said))
        {
            *below = below.saturating_add(counted);
        }
        let hider = match (removal, next) {
            (Some(removal), _) => Some(Hider::Above(removal)),
            (None, Some((by, Here::Whiteout))) => Some(Hider::Name(by, How::Deleted)),
            (None, Some((by, Here::Leaf { .. }))) => Some(Hider::Name(by, How::Overwritten)),
            (None, Some((by, Here::Dir { .. }))) => Some(Hider::Name(by, How::Replaced)),
            (None, None) => None,
        };
        match (hider, link) {
            (None, None) => {}
            (None, Some(link)) => self.links.seen(link.file),
            (Some(hider), None) => self.hide(layer, bytes, hider),
            (Some(hider), Some(link)) => {
                match self.links.hidden(link.file, hider.by(), hider.how(), &self.path) {
                    Some(Gone { of, bytes, last }) if last.by == hider.by() => {
                        debug_assert_eq!(last.path[..], self.path[..], "the last name is this one");
                        self.hide(of, bytes, hider);
                    }
                    Some(Gone { of, bytes, last }) => {
                        self.add(of, last.by, last.how, bytes);
                        let removed = Removed { bytes, files: 1, lowest: of, highest: of };
                        self.row(&last.path, Extent::File, last.by, last.how, removed);
                    }
                    None => {}
                }
            }
        }
        counted
    }

    /// Bytes of a layer are hidden, at this name or in a directory above.
    fn hide(&mut self, of: LayerNumber, bytes: u64, hider: Hider) {
        self.add(of, hider.by(), hider.how(), bytes);
        match hider {
            Hider::Name(by, how) => {
                let path = std::mem::take(&mut self.path);
                self.row(&path, Extent::File, by, how, Removed { bytes, files: 1, lowest: of, highest: of });
                self.path = path;
            }
            Hider::Above(Removal { depth, said, .. }) if bytes > 0 => {
                let slot = self.open.get_mut(depth).and_then(|open| open.removed.get_mut(said));
                if let Some(Some((_, removed))) = slot {
                    removed.bytes = removed.bytes.saturating_add(bytes);
                    removed.files = removed.files.saturating_add(1);
                    removed.lowest = removed.lowest.min(of);
                    removed.highest = removed.highest.max(of);
                }
            }
            Hider::Above(_) => {}
        }
    }

    fn add(&mut self, of: LayerNumber, by: LayerNumber, how: How, bytes: u64) {
        if bytes == 0 {
            return;
        }
        self.hidden = self.hidden.saturating_add(bytes);
        let sum = self.between.entry((of, by, how)).or_default();
        sum.bytes = sum.bytes.saturating_add(bytes);
        sum.files = sum.files.saturating_add(1);
    }

    fn rows_of(&mut self, open: &Open) {
        let path = std::mem::take(&mut self.path);
        for (event, (how, removed)) in
            open.removed.iter().enumerate().filter_map(|(index, removed)| removed.map(|one| (index, one)))
        {
            // Of the root nothing is an event, but a layer's number is its place.
            let by = open.events.get(event).map(|event| event.layer);
            let by = by.or_else(|| u16::try_from(event + 1).ok().map(LayerNumber));
            if let Some(by) = by {
                let path = if path.is_empty() { &b"/"[..] } else { &path };
                self.row(path, Extent::Directory, by, how, removed);
            }
        }
        self.path = path;
    }

    fn row(&mut self, path: &[u8], extent: Extent, by: LayerNumber, how: How, removed: Removed) {
        let Removed { bytes, files, lowest, highest } = removed;
        if bytes == 0 {
            return;
        }
        let make = || Row { path: path.into(), extent, by, how, lowest, highest, bytes, files };
        self.rows.offer(|least| bytes >= least.bytes, make);
    }

    /// Counts the path as dive does.
    fn count(&mut self, events: &[Event]) {
        let whiteouts = self.open.last().map(|above| Rc::clone(&above.whiteouts));
        let removed = whiteouts.iter().flat_map(|whiteouts| whiteouts.iter()).map(|removal| removal.by);
        let counted = dive::count(events, removed);
        self.dive.add(&self.path, counted);
    }
}

/// The first that takes away from a layer.
fn first_above(removals: &[Removal], layer: LayerNumber) -> Option<&Removal> {
    removals.get(removals.partition_point(|removal| removal.by <= layer))
}

/// Both in the order of the layers; of one layer, that of the directory above.
fn merged<'a>(above: &[Removal], own: impl Iterator<Item = &'a Removal>) -> Rc<[Removal]> {
    let mut all = above.to_vec();
    all.extend(own.filter(|own| above.binary_search_by_key(&own.by, |removal| removal.by).is_err()));
    all.sort_by_key(|removal| removal.by);
    all.into()
}
