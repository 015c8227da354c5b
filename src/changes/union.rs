//! Unions of some of the layers, looked into by the same rules as in a mount.

use std::collections::BTreeSet;

use crate::error::{Error, ErrorContext, Kind, Result};
use crate::layer::{Found, FoundDir, OciMarks};
use crate::overlay::{DirIn, InLayer, Layers};
use crate::path::{Name, NameBuf};
use crate::resolve::{Ask, Depth, DirPart, MergedDir, Origin, Redirects, Resolution, Resolver, Step, Walked};

/// Where an object of a union is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    pub depth: Depth,
    pub place: InLayer,
}

/// One part of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub at: At,
    /// Empty files in it may be whiteouts by an attribute.
    xwhiteouts: bool,
}

/// A directory of a union: its parts, top first. Empty: there is none.
pub type Parts = Vec<Part>;

/// What a union has at a name.
#[derive(Debug)]
pub enum There {
    Nothing,
    Leaf(At),
    Dir(Box<Dir>),
}

/// A directory that was found.
#[derive(Debug)]
pub struct Dir {
    pub parts: Parts,
    /// What has its attributes.
    pub attributes: At,
    /// What is said there.
    pub found: FoundDir,
}

/// The root of the union of the layers from `top` down.
pub fn root(layers: &Layers, top: Depth) -> Result<Parts> {
    let mut parts = Parts::new();
    for depth in (top.0..layers.depths().ordinary).map(Depth) {
        let layer = layers.get(depth)?;
        let found = layer.look_root()?;
        parts.push(Part { at: At { depth, place: InLayer::root(layer) }, xwhiteouts: found.xwhiteouts });
        if found.opaque {
            break;
        }
    }
    Ok(parts)
}

/// How many paths there are in a directory.
pub fn count_in(layers: &Layers, parts: Parts) -> Result<u64> {
    let mut count = 0;
    let mut waiting = vec![parts];
    while let Some(parts) = waiting.pop() {
        let dir = OpenDir::open(layers, &parts)?;
        for name in dir.names()? {
            match dir.look(name.as_name())? {
                There::Nothing => {}
                There::Leaf(_) => count += 1,
                There::Dir(inner) => {
                    count += 1;
                    waiting.push(inner.parts);
                }
            }
        }
    }
    Ok(count)
}

/// A directory of a union, open.
pub struct OpenDir<'a> {
    layers: &'a Layers,
    parts: Vec<OpenPart<'a>>,
    depths: Vec<Depth>,
}

struct OpenPart<'a> {
    part: &'a Part,
    dir: DirIn<'a>,
    oci: Option<Box<OciMarks>>,
}

impl<'a> OpenDir<'a> {
    pub fn open(layers: &'a Layers, parts: &'a [Part]) -> Result<Self> {
        let open = |part: &'a Part| {
            let dir = DirIn::open(layers.get(part.at.depth)?, &part.at.place)?;
            let oci = dir.oci_marks()?;
            Ok::<_, Error>(OpenPart { part, dir, oci })
        };
        Ok(OpenDir {
            layers,
            parts: parts.iter().map(open).collect::<Result<_>>()?,
            depths: parts.iter().map(|part| part.at.depth).collect(),
        })
    }

    pub fn look(&self, name: Name<'_>) -> Result<There> {
        let mut resolver = Resolver::new(&self.depths, 0, name, self.layers.depths(), Redirects::Follow);
        loop {
            match resolver.step().at(name.as_bytes())? {
                Step::Ask(Ask::InPart { part, name }) => {
                    resolver.answer(match self.parts.get(part) {
                        Some(OpenPart { dir, oci, .. }) => dir.look(oci.as_deref(), name.as_name())?,
                        None => Found::Absent,
                    });
                }
                Step::Ask(Ask::AtPath { depth, path }) => {
                    let walked: Walked = DirIn::walk(self.layers.get(depth)?, &path, Redirects::Follow)?;
                    resolver.answer_walked(walked);
                }
                Step::Done(Resolution::Absent(_)) => return Ok(There::Nothing),
                Step::Done(Resolution::Leaf { meta, .. }) => {
                    return self.at(meta.depth, &meta.origin, meta.found.entry).map(There::Leaf);
                }
                Step::Done(Resolution::Dir(merged)) => return self.dir(&merged).map(There::Dir),
            }
        }
    }

    fn dir(&self, merged: &MergedDir) -> Result<Box<Dir>> {
        let at = |part: &DirPart| self.at(part.depth, &part.origin, part.found.entry);
        let part = |part: &DirPart| Ok(Part { at: at(part)?, xwhiteouts: part.found.xwhiteouts });
        let attributes = merged.attributes().ok_or_else(nowhere)?;
        Ok(Box::new(Dir {
            parts: merged.parts.iter().map(part).collect::<Result<_>>()?,
            attributes: at(attributes)?,
            found: attributes.found.clone(),
        }))
    }

    fn at(&self, depth: Depth, origin: &Origin, entry: Option<crate::layer::EntryId>) -> Result<At> {
        let place = match (entry, origin) {
            (Some(entry), _) => InLayer::Entry(entry),
            (None, Origin::Path(path)) => InLayer::Path(path.clone()),
            (None, Origin::Part { part, name }) => {
                let parent = self.parts.get(*part).ok_or_else(nowhere)?;
                parent.part.at.place.child(name.as_name(), None)?
            }
        };
        Ok(At { depth, place })
    }

    /// The names that the topmost part has, whiteouts among them.
    pub fn names_on_top(&self) -> Result<BTreeSet<NameBuf>> {
        names_in(self.parts.iter().take(1))
    }

    /// The names that one of the parts has, whiteouts among them.
    pub fn names(&self) -> Result<BTreeSet<NameBuf>> {
        names_in(self.parts.iter())
    }
}

fn names_in<'a, 'p: 'a>(parts: impl Iterator<Item = &'a OpenPart<'p>>) -> Result<BTreeSet<NameBuf>> {
    let mut names = BTreeSet::new();
    for OpenPart { part, dir, .. } in parts {
        dir.list(part.xwhiteouts, |listed| {
            names.insert(listed.name.to_owned());
        })?;
    }
    Ok(names)
}

/// The resolver has answered with what it was not told.
fn nowhere() -> Error {
    Error::new("look up", Kind::Stale)
}
