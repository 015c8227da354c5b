//! The walk through the layers: the directories of one path in step, name by name.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashSet};
use std::vec;

use super::dive::Named;
use super::links::{FileId, Link, Owner};
use super::tally::{Here, Said, Tally};
use super::{LayerNumber, Wanted, Waste};
use crate::error::{Error, ErrorContext, Kind, Result};
use crate::layer::{Attributes, EntryId, Found, FoundDir, FoundLeaf, Layer};
use crate::overlay::{AnyLayer, DirIn, InLayer, Overlay};
use crate::path::{Name, NameBuf, RelPath};
use crate::tarball::{Child, TarLayer};

/// Walks all layers of a union.
pub fn walk(overlay: &Overlay, wanted: Wanted) -> Result<Waste> {
    let mut said = Vec::new();
    let mut inner = Vec::new();
    let linked = linked_from_above(overlay)?;
    for (index, layer) in overlay.each_layer().enumerate() {
        let number = u16::try_from(index + 1).map(LayerNumber);
        let number = number.map_err(|_| Error::new("walk", Kind::Invalid("there are too many layers")))?;
        let root = layer.look_root()?;
        let place = InLayer::root(layer);
        said.push(Said { layer: number, here: dir(&root) });
        inner.push(Inner { number, layer, place, xwhiteouts: root.xwhiteouts });
    }
    let mut tally = Tally::new(&said, wanted);
    let mut open = vec![InStep::open(inner, &linked)?];
    while let Some(here) = open.last_mut() {
        said.clear();
        let mut inner = Vec::new();
        let Some(name) = here.next(&mut said, &mut inner).at(tally.path())? else {
            open.pop();
            tally.leave();
            continue;
        };
        if inner.is_empty() {
            tally.name(&name, &said);
            continue;
        }
        let inside = InStep::open(inner, &linked);
        let inside = inside.map_err(|error| error.at([tally.path(), b"/", &name].concat()))?;
        for said in &mut said {
            if let Here::Dir { empty, .. } = &mut said.here {
                *empty = !inside.has_names(said.layer);
            }
        }
        tally.name(&name, &said);
        open.push(inside);
    }
    Ok(tally.finish())
}

/// A directory of one layer, not yet open.
struct Inner<'a> {
    number: LayerNumber,
    layer: AnyLayer<'a>,
    place: InLayer,
    xwhiteouts: bool,
}

/// The directories of one path.
struct InStep<'a> {
    parts: Vec<Part<'a>>,
    /// The next name of each, the first on top.
    heads: BinaryHeap<Reverse<Head<'a>>>,
    linked: &'a HashSet<FileId>,
}

/// The next name of a part.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Head<'a> {
    name: Cow<'a, [u8]>,
    part: usize,
}

/// The directory of one layer.
struct Part<'a> {
    number: LayerNumber,
    names: Names<'a>,
    /// What is at the name that is in the heap.
    found: Option<Found>,
}

enum Names<'a> {
    /// Of an index: looked at one after the other.
    Tar(&'a TarLayer, Box<dyn Iterator<Item = Result<(Name<'a>, Child)>> + 'a>),
    /// Of a directory: all were looked at, so that it need not stay open.
    Directory(&'a Layer, RelPath, vec::IntoIter<(NameBuf, Found)>),
}

impl<'a> InStep<'a> {
    fn open(inner: Vec<Inner<'a>>, linked: &'a HashSet<FileId>) -> Result<Self> {
        let mut parts = Vec::with_capacity(inner.len());
        for Inner { number, layer, place, xwhiteouts } in inner {
            let names = match (layer, place) {
                (AnyLayer::Tar(tar), InLayer::Entry(entry)) => {
                    let children = tar.index().children(entry).in_layer(tar.id)?;
                    Names::Tar(tar, Box::new(children))
                }
                (AnyLayer::Directory(directory), InLayer::Path(path)) => {
                    let all = listed(directory, &path, xwhiteouts)?;
                    Names::Directory(directory, path, all.into_iter())
                }
                (layer, _) => return Err(Error::new("open directory", Kind::Stale).in_layer(layer.id())),
            };
            parts.push(Part { number, names, found: None });
        }
        let mut step = InStep { heads: BinaryHeap::with_capacity(parts.len()), parts, linked };
        for part in 0..step.parts.len() {
            step.advance(part)?;
        }
        Ok(step)
    }

    /// Has a layer's directory any name? To be asked before [`Self::next`].
    fn has_names(&self, layer: LayerNumber) -> bool {
        self.parts.iter().any(|part| part.number == layer && part.found.is_some())
    }

    fn advance(&mut self, index: usize) -> Result<()> {
        let Some(part) = self.parts.get_mut(index) else { return Ok(()) };
        part.found = None;
        let name = match &mut part.names {
            Names::Tar(tar, names) => match names.next() {
                None => return Ok(()),
                Some(next) => {
                    let (name, child) = next.in_layer(tar.id)?;
                    part.found = Some(match child {
                        Child::Whiteout => Found::Whiteout,
                        Child::Entry(entry) => tar.found(entry)?,
                    });
                    Cow::Borrowed(name.as_bytes())
                }
            },
            Names::Directory(_, _, names) => match names.next() {
                None => return Ok(()),
                Some((name, found)) => {
                    part.found = Some(found);
                    Cow::Owned(name.as_bytes().to_vec())
                }
            },
        };
        self.heads.push(Reverse(Head { name, part: index }));
        Ok(())
    }

    /// The next name, what layers say of it, and the directories among that; both the base first.
    fn next(&mut self, said: &mut Vec<Said>, inner: &mut Vec<Inner<'a>>) -> Result<Option<Cow<'a, [u8]>>> {
        let Some(Reverse(Head { name, part })) = self.heads.pop() else { return Ok(None) };
        self.take(part, &name, said, inner)?;
        while let Some(Reverse(head)) = self.heads.peek()
            && head.name == name
        {
            let part = head.part;
            self.heads.pop();
            self.take(part, &name, said, inner)?;
        }
        Ok(Some(name))
    }

    fn take(
        &mut self,
        index: usize,
        name: &[u8],
        said: &mut Vec<Said>,
        inner: &mut Vec<Inner<'a>>,
    ) -> Result<()> {
        let Some(Part { number, names, found: Some(found) }) = self.parts.get(index) else { return Ok(()) };
        let (layer, path) = match names {
            Names::Tar(tar, _) => (AnyLayer::Tar(tar), None),
            Names::Directory(directory, path, _) => (AnyLayer::Directory(directory), Some(path)),
        };
        let child = |entry: Option<EntryId>| match (path, entry) {
            (None, Some(entry)) => Ok(InLayer::Entry(entry)),
            (Some(path), _) => match Name::new(name) {
                Ok(name) => Ok(InLayer::Path(path.join(name))),
                Err(_) => Err(Error::new("look up", Kind::Invalid("that is no name"))),
            },
            (None, None) => Err(Error::new("look up", Kind::Stale)),
        };
        let named = |error: Error| {
            let error = error.at(name).in_layer(layer.id());
            path.iter().fold(error, |error, path| error.below(path.as_bytes()))
        };
        let here = match found {
            Found::Absent => None,
            Found::Whiteout => Some(Here::Whiteout),
            Found::Leaf(found) => Some(leaf(*number, layer, found, self.linked).map_err(named)?),
            Found::Dir(found) if found.redirect.is_some() => {
                return Err(named(moved("an overlay has moved this directory")));
            }
            Found::Dir(found) => {
                let place = child(found.entry)?;
                inner.push(Inner { number: *number, layer, place, xwhiteouts: found.xwhiteouts });
                Some(dir(found))
            }
        };
        said.extend(here.map(|here| Said { layer: *number, here }));
        self.advance(index)
    }
}

/// All names of a directory, sorted by their bytes, with what they are.
fn listed(layer: &Layer, path: &RelPath, xwhiteouts: bool) -> Result<Vec<(NameBuf, Found)>> {
    let dir = DirIn::open(AnyLayer::Directory(layer), &InLayer::Path(path.clone()))?;
    let oci = dir.oci_marks()?;
    let mut names = BTreeSet::new();
    dir.list(xwhiteouts, |listed| {
        names.insert(listed.name.to_owned());
    })?;
    let look = |name: NameBuf| {
        let found = dir.look(oci.as_deref(), name.as_name());
        let found = found.map_err(|error| error.below(path.as_bytes()))?;
        Ok(Some((name, found)).filter(|(_, found)| !matches!(found, Found::Absent)))
    };
    names.into_iter().filter_map(|name| look(name).transpose()).collect()
}

fn dir(found: &FoundDir) -> Here {
    let named = match found.attributes {
        Attributes::Own => Named::Entry,
        Attributes::Below => Named::Implied,
    };
    Here::Dir { named, opaque: found.opaque, empty: false }
}

/// The files of tars that a layer above has names for: hard links to what is in no other way known to be linked.
fn linked_from_above(overlay: &Overlay) -> Result<HashSet<FileId>> {
    let mut linked = HashSet::new();
    for layer in overlay.each_layer() {
        let AnyLayer::Tar(tar) = layer else { continue };
        for link in tar.index().links_below().in_layer(tar.id)? {
            let link = link.in_layer(tar.id)?;
            let stat = tar.stat(link.entry).map_err(|error| error.at(link.path))?;
            linked.insert(FileId { layer: None, dev: stat.dev, ino: stat.ino });
        }
    }
    Ok(linked)
}

fn leaf(
    number: LayerNumber,
    layer: AnyLayer<'_>,
    found: &FoundLeaf,
    linked: &HashSet<FileId>,
) -> Result<Here> {
    let stat = &found.stat;
    if found.metacopy.is_some() {
        return Err(moved("only the metadata of this file was copied up, and its data is in a layer below"));
    }
    if !stat.is_regular() {
        return Ok(Here::Leaf { bytes: 0, link: None });
    }
    let is_tar = matches!(layer, AnyLayer::Tar(_));
    // A tar's objects have a device of their own, so one of another is a layer's below.
    let of_below = is_tar && stat.dev != layer.dev();
    let file = FileId { layer: (!is_tar).then_some(number), dev: stat.dev, ino: stat.ino };
    let of = match (of_below, linked.contains(&file)) {
        (true, _) => Some(Owner::Below),
        // How many more there are is not known: whether one is seen is, in the end.
        (false, true) => Some(Owner::Here { names: u32::MAX }),
        (false, false) => (stat.nlink > 1).then_some(Owner::Here { names: stat.nlink }),
    };
    let link = of.map(|of| Link { file, of });
    Ok(Here::Leaf { bytes: stat.size, link })
}

fn moved(how: &'static str) -> Error {
    Error::new("measure", Kind::Unsupported(how))
}
