//! Files with several names: their bytes are there once, and are hidden when all names are.

use std::collections::HashMap;

use super::{How, LayerNumber};

/// A file, in all layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    /// The layer, where numbers of others may be the same.
    pub layer: Option<LayerNumber>,
    pub dev: u64,
    pub ino: u64,
}

/// A name of such a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    pub file: FileId,
    pub of: Owner,
}

/// Whose the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The layer's that has the name. So many names it has, in all layers.
    Here { names: u32 },
    /// A layer's below.
    Below,
}

/// The place at which a file becomes invisible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub by: LayerNumber,
    pub how: How,
    /// Of the name that was hidden.
    pub path: Box<[u8]>,
}

/// A file of which no name is seen any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    pub of: LayerNumber,
    pub bytes: u64,
    /// The last of its names that were hidden.
    pub last: Place,
}

#[derive(Debug, Default)]
struct Linked {
    /// Its layer and its bytes, once a name in that layer was seen.
    own: Option<(LayerNumber, u64)>,
    names: u32,
    hidden: u32,
    fate: Fate,
}

#[derive(Debug, Default)]
enum Fate {
    #[default]
    Unknown,
    Hidden(Place),
    Seen,
    Told,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Links(HashMap<FileId, Linked>);

impl Links {
    /// A name. The bytes that count for it: those of the file for the first one of its layer, in the order of the walk.
    pub fn bytes_for(&mut self, layer: LayerNumber, bytes: u64, link: Link) -> u64 {
        let linked = self.0.entry(link.file).or_default();
        match link.of {
            Owner::Below => 0,
            Owner::Here { names } => {
                linked.names = linked.names.max(names);
                match linked.own {
                    Some(_) => 0,
                    None => {
                        linked.own = Some((layer, bytes));
                        bytes
                    }
                }
            }
        }
    }

    /// A name that is seen.
    pub fn seen(&mut self, file: FileId) {
        self.0.entry(file).or_default().fate = Fate::Seen;
    }

    /// A name that is hidden. If it was the last one, the file is gone.
    pub fn hidden(&mut self, file: FileId, by: LayerNumber, how: How, path: &[u8]) -> Option<Gone> {
        let linked = self.0.entry(file).or_default();
        linked.hidden = linked.hidden.saturating_add(1);
        let later = match &linked.fate {
            Fate::Unknown => true,
            Fate::Hidden(place) => by >= place.by,
            Fate::Seen | Fate::Told => return None,
        };
        if later {
            linked.fate = Fate::Hidden(Place { by, how, path: path.into() });
        }
        if linked.own.is_some() && linked.hidden >= linked.names { linked.tell() } else { None }
    }

    /// Those of which some names are nowhere, and no other one is seen. To be called when all names have been.
    pub fn rest(self) -> impl Iterator<Item = Gone> {
        self.0.into_values().filter_map(|mut linked| linked.tell())
    }
}

impl Linked {
    fn tell(&mut self) -> Option<Gone> {
        let (of, bytes) = self.own?;
        match std::mem::replace(&mut self.fate, Fate::Told) {
            Fate::Hidden(last) => Some(Gone { of, bytes, last }),
            fate => {
                self.fate = fate;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_gone_with_its_last_name() {
        let file = FileId { layer: None, dev: 1, ino: 2 };
        let here = Link { file, of: Owner::Here { names: 3 } };
        let below = Link { file, of: Owner::Below };
        let mut links = Links::default();
        assert_eq!(links.bytes_for(LayerNumber(2), 7, below), 0, "a name in a layer above comes first");
        assert_eq!(links.hidden(file, LayerNumber(4), How::Deleted, b"/a"), None);
        assert_eq!(links.bytes_for(LayerNumber(1), 7, here), 7);
        assert_eq!(links.hidden(file, LayerNumber(3), How::Overwritten, b"/b"), None);
        assert_eq!(links.bytes_for(LayerNumber(1), 7, here), 0);
        let last = Place { by: LayerNumber(4), how: How::Deleted, path: b"/a"[..].into() };
        let gone = Gone { of: LayerNumber(1), bytes: 7, last };
        assert_eq!(links.hidden(file, LayerNumber(2), How::Deleted, b"/c"), Some(gone));
        assert_eq!(links.rest().count(), 0, "it is told once");
    }

    #[test]
    fn a_name_that_is_seen_keeps_the_file_and_one_that_is_nowhere_does_not() {
        let file = |ino| FileId { layer: None, dev: 1, ino };
        let mut links = Links::default();
        for ino in [1, 2] {
            let link = Link { file: file(ino), of: Owner::Here { names: 9 } };
            links.bytes_for(LayerNumber(1), 7, link);
            assert_eq!(links.hidden(file(ino), LayerNumber(2), How::Deleted, b"/a"), None);
        }
        links.seen(file(1));
        assert_eq!(links.hidden(file(1), LayerNumber(2), How::Deleted, b"/b"), None);
        let rest: Vec<Gone> = links.rest().collect();
        assert_eq!(rest.len(), 1);
        assert_eq!((rest[0].bytes, &rest[0].last.path[..]), (7, &b"/a"[..]));
    }
}
