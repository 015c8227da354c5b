//! Which lower parts of a directory have a name: so that a lookup asks these and no others, however many there are.
//!
//! It is not what resolves a name. It only answers "nothing here" for a layer that has no entry of the name and no whiteout
//! of it; everything else is asked, by the resolver, of the layer. It may name a part too many, never one too few. The lower parts of a
//! directory do not change, whatever is done through the mount, so that it holds until somebody says that they have been changed.
//!
//! A name takes eight bytes, and a set of parts that several names have in common two bytes a part, once.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use super::node::LowerPart;
use crate::path::Name;
use crate::resolve::Depth;

/// The number of a lower part, 0 on top. There are never more layers than it can count.
pub(super) type PartNumber = u16;

/// Which parts have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Having<'i> {
    None,
    One(PartNumber),
    /// Sorted.
    Some(&'i [PartNumber]),
    /// It may be any.
    Any,
}

/// [`Having`], packed: a part's number, or with this bit where in `sets` a set begins, or that it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Packed(u32);

impl Packed {
    const SET: u32 = 1 << 31;
    const ANY: Packed = Packed(u32::MAX);

    fn set(start: usize) -> Packed {
        let start = u32::try_from(start).ok().filter(|start| *start < Packed::SET - 1);
        start.map_or(Packed::ANY, |start| Packed(Packed::SET | start))
    }
}

/// Which parts of a directory have which names.
#[derive(Debug, Default)]
pub(super) struct PartIndex {
    /// By the names' hashes. Two names with one hash have the parts of both.
    names: Box<[(u32, Packed)]>,
    /// Sets of parts, each after its length.
    sets: Box<[PartNumber]>,
    /// Parts that may have any name: they were not listed. Sorted.
    unlisted: Box<[PartNumber]>,
    /// Parts in which a name may be deleted by a `.wh.` name. Sorted.
    marked: Box<[PartNumber]>,
    /// The layers of all parts below one of the upper, which comes first.
    depths: Box<[Depth]>,
}

impl PartIndex {
    fn having(&self, name: Name<'_>) -> Having<'_> {
        let hash = hash(name);
        let Ok(at) = self.names.binary_search_by_key(&hash, |(hash, _)| *hash) else { return Having::None };
        match self.names.get(at).map(|(_, packed)| *packed) {
            None => Having::None,
            Some(Packed::ANY) => Having::Any,
            Some(Packed(packed)) if packed & Packed::SET != 0 => {
                self.set((packed & !Packed::SET) as usize).map_or(Having::Any, Having::Some)
            }
            Some(Packed(part)) => PartNumber::try_from(part).map_or(Having::Any, Having::One),
        }
    }

    fn set(&self, start: usize) -> Option<&[PartNumber]> {
        let (len, rest) = self.sets.get(start..)?.split_first()?;
        rest.get(..usize::from(*len))
    }

    /// The first part from number `from` on that may have the name.
    pub(super) fn next(&self, name: Name<'_>, from: usize) -> Option<usize> {
        let having = match self.having(name) {
            Having::Any => return Some(from),
            Having::None => None,
            Having::One(part) => Some(usize::from(part)).filter(|part| *part >= from),
            Having::Some(parts) => first_from(parts, from),
        };
        let unlisted = first_from(&self.unlisted, from);
        having.into_iter().chain(unlisted).min()
    }

    /// May a name of this part be deleted by another one of it?
    pub(super) fn may_be_marked(&self, part: usize) -> bool {
        let is_in = |parts: &[PartNumber]| first_from(parts, part) == Some(part);
        is_in(&self.marked) || is_in(&self.unlisted)
    }

    /// The parts that it knows nothing of.
    pub(super) fn unlisted(&self) -> &[PartNumber] {
        &self.unlisted
    }

    /// The layers of the directory's parts, top first, where it has so many in the upper: 0 or 1.
    pub(super) fn depths(&self, uppers: usize) -> &[Depth] {
        self.depths.get(1_usize.saturating_sub(uppers)..).unwrap_or_default()
    }

    /// Its memory, bytes.
    pub(super) fn memory(&self) -> usize {
        let parts = self.sets.len() + self.unlisted.len() + self.marked.len();
        let names_and_depths = size_of_val(&*self.names) + size_of_val(&*self.depths);
        size_of::<PartIndex>() + names_and_depths + parts * size_of::<PartNumber>()
    }
}

fn first_from(sorted: &[PartNumber], from: usize) -> Option<usize> {
    let at = sorted.partition_point(|part| usize::from(*part) < from);
    sorted.get(at).map(|part| usize::from(*part))
}

fn hash(name: Name<'_>) -> u32 {
    let mut hasher = DefaultHasher::new();
    hasher.write(name.as_bytes());
    // The lower half of it: a shared hash costs a question, no more.
    hasher.finish() as u32
}

/// An index in the making: the parts are listed one after the other, from the top.
#[derive(Debug, Default)]
pub(super) struct Builder {
    entries: Vec<(u32, PartNumber)>,
    unlisted: Vec<PartNumber>,
    marked: Vec<PartNumber>,
}

impl Builder {
    /// The part has an entry or a whiteout of this name.
    pub(super) fn has(&mut self, part: PartNumber, name: Name<'_>) {
        self.entries.push((hash(name), part));
    }

    /// A name of the part may be deleted by another one of it.
    pub(super) fn is_marked(&mut self, part: PartNumber) {
        if self.marked.last() != Some(&part) {
            self.marked.push(part);
        }
    }

    /// The part was not listed, or not all of it.
    pub(super) fn is_unlisted(&mut self, part: PartNumber) {
        self.unlisted.push(part);
    }

    /// So many entries have been named: to go back there with [`Builder::take_back`].
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What came after there were so many entries is of a part that is not listed after all.
    pub(super) fn take_back(&mut self, len: usize) {
        self.entries.truncate(len);
    }

    /// The index of the parts, which are in the layers `lowers`.
    pub(super) fn finish(mut self, lowers: &[LowerPart]) -> PartIndex {
        self.entries.sort_unstable();
        self.entries.dedup();
        self.marked.sort_unstable();
        self.unlisted.sort_unstable();
        let mut sets = Vec::new();
        let mut known: HashMap<Vec<PartNumber>, Packed> = HashMap::new();
        let mut names = Vec::new();
        for same in self.entries.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((hash, first)) = same.first() else { continue };
            let packed = match (same.len(), PartNumber::try_from(same.len())) {
                (1, _) => Packed(u32::from(*first)),
                (_, Err(_)) => Packed::ANY,
                (_, Ok(len)) => {
                    let parts: Vec<PartNumber> = same.iter().map(|(_, part)| *part).collect();
                    *known.entry(parts).or_insert_with_key(|parts| {
                        let start = sets.len();
                        sets.push(len);
                        sets.extend_from_slice(parts);
                        Packed::set(start)
                    })
                }
            };
            names.push((*hash, packed));
        }
        PartIndex {
            names: names.into(),
            sets: sets.into(),
            unlisted: self.unlisted.into(),
            marked: self.marked.into(),
            depths: std::iter::once(Depth(0)).chain(lowers.iter().map(|part| part.depth)).collect(),
        }
    }
}

/// A directory whose parts are asked in vain lists them, once the questions have cost as much as that.
///
/// A question (an fstatat of a name that is not there) takes about a microsecond, listing a directory about three and another one for
/// each four names. Listing is therefore tried when so many questions were in vain that it may be worth it, goes no further than they
/// are worth, and is tried again after as many more: altogether it never costs more than a few times what was asked in vain, however large the
/// directories, and less than that wherever names are looked up again and again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct InVain {
    questions: u32,
    /// When it is tried next, if it has been tried.
    next: u32,
}

impl InVain {
    /// A part's listing is worth so many questions.
    const PART: usize = 3;
    /// So many names in it are worth one question.
    const NAMES: usize = 4;
    /// With fewer in vain nothing is listed: a first call of getdents64 gets about a thousand names.
    const FIRST: usize = 64;

    /// So many more.
    pub(super) fn add(&mut self, questions: u32) {
        self.questions = self.questions.saturating_add(questions);
    }

    /// How many names may be read now, if it is worth it to list so many parts.
    pub(super) fn names(&mut self, parts: usize) -> Option<usize> {
        let questions = self.questions as usize;
        let least = parts.saturating_mul(Self::PART).max(Self::FIRST).max(self.next as usize);
        if parts == 0 || questions < least {
            return None;
        }
        self.next = self.questions.saturating_mul(2);
        Some(questions.saturating_mul(Self::NAMES))
    }
}

#[cfg(test)]
mod tests;
