//! Why a path is what it is: the walk of the resolver, with what every layer says on the way.
//!
//! It is the same conversation that a lookup holds, with the same layers. When it has come to its end, the layers that
//! were not asked any more are looked at, too: what they have is what is hidden.

use std::collections::BTreeMap;

use super::Overlay;
use super::object::{DirIn, Object};
use super::types::FileKind;
use crate::error::{Error, Kind, Result};
use crate::layer::{Attributes, Found, OciMarks};
use crate::path::{Name, NameBuf, RelPath};
use crate::resolve::{Ask, Data, Depth, Resolution, Resolver, Step, Why};
use crate::sys::fs::Stat;

/// How many symlinks are followed on the way to a path, as in the kernel.
const MAX_SYMLINKS: usize = 40;

/// What a path is, and why.
#[derive(Debug)]
pub struct Trace<'s> {
    /// The path itself: without the symlinks that led to it.
    pub path: RelPath,
    /// The symlinks on the way, in the order they were followed.
    pub links: Vec<Link>,
    /// What it is.
    pub outcome: Outcome,
    /// Where there is nothing: the path that the reason is found at, which is this one or one above it.
    pub cause: Option<RelPath>,
    /// What each ordinary layer has there, the top first.
    pub layers: Vec<Said<'s>>,
}

/// A symlink that was followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where it is.
    pub at: RelPath,
    /// Its target, as it is written.
    pub target: Vec<u8>,
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There is something: its attributes come from this layer.
    There {
        /// The layer.
        depth: Depth,
        /// What it is.
        kind: FileKind,
        /// The layer that its content comes from; none where a metadata-only copy has lost it, and for directories.
        data: Option<Depth>,
    },
    /// There is nothing.
    Absent(Reason),
}

/// Why there is nothing.
#[derive(Debug, Clone, PartialEq, Eq, Copy)]
pub enum Reason {
    /// No layer has it.
    NeverExisted,
    /// A whiteout in this layer hides it, or a directory above it.
    Deleted(Depth),
    /// A layer below this one has it, in a directory that is opaque in this one.
    HiddenByOpaque(Depth),
    /// A directory above it is something else, in this layer.
    ParentNotADirectory(Depth),
}

/// Was a layer's answer part of the result?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The result was made of it, or ended by it.
    Counts,
    /// What is there is hidden by what is above it.
    Hidden,
}

/// What one layer has at the path.
#[derive(Debug)]
pub struct Said<'s> {
    /// The layer.
    pub depth: Depth,
    /// Where the path is in this layer: elsewhere, below a redirect.
    pub path: RelPath,
    /// What is there.
    pub found: Found,
    /// Whether it counts.
    pub part: Part,
    /// Why it cannot be told what is there. What is hidden may be corrupt, and the union is none the worse.
    pub problem: Option<Error>,
    object: Option<Object<'s>>,
    dir: Option<DirIn<'s>>,
}

impl Said<'_> {
    fn nothing(depth: Depth, path: RelPath) -> Self {
        Said { depth, path, found: Found::Absent, part: Part::Hidden, problem: None, object: None, dir: None }
    }

    /// The attributes of what is there.
    pub fn stat(&self) -> Option<&Stat> {
        match &self.found {
            Found::Leaf(leaf) => Some(&leaf.stat),
            Found::Dir(dir) => Some(&dir.stat),
            Found::Absent | Found::Whiteout => None,
        }
    }

    /// The attributes that the layer gives it: none of a directory that a tar has no entry for, only for what is in it.
    pub fn own_stat(&self) -> Option<&Stat> {
        match &self.found {
            Found::Dir(dir) if dir.attributes == Attributes::Below => None,
            _ => self.stat(),
        }
    }

    /// The extended attributes that users see, sorted by name.
    ///
    /// # Errors
    /// What the layer's file system answers.
    pub fn xattrs(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let Some(object) = &self.object else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for name in object.xattr_names()? {
            let value = object.xattr(&name)?;
            all.push((name, value));
        }
        all.sort();
        Ok(all)
    }

    /// Where a symlink leads.
    ///
    /// # Errors
    /// What the layer's file system answers.
    pub fn target(&self) -> Result<Option<Vec<u8>>> {
        let is_link = self.stat().is_some_and(|stat| stat.mode & libc::S_IFMT == libc::S_IFLNK);
        self.object.as_ref().filter(|_| is_link).map(Object::readlink).transpose()
    }

    /// Hands the content of a regular file to `each`, piece by piece. A metadata-only copy has none of its own.
    ///
    /// # Errors
    /// What the layer's file system answers.
    pub fn read(&self, mut each: impl FnMut(&[u8])) -> Result<()> {
        const PIECE: usize = 256 << 10;
        let regular =
            matches!(&self.found, Found::Leaf(leaf) if leaf.stat.is_regular() && leaf.metacopy.is_none());
        let Some(object) = self.object.as_ref().filter(|_| regular) else { return Ok(()) };
        let file = object.open()?;
        let mut buffer = vec![0; PIECE];
        let mut offset = 0;
        loop {
            let len = file.read_at(&mut buffer, offset)?;
            each(buffer.get(..len).unwrap_or_default());
            if len < PIECE {
                return Ok(());
            }
            offset += len as u64;
        }
    }
}

/// A directory on the way, in one layer.
#[derive(Debug)]
struct Position<'s> {
    dir: DirIn<'s>,
    path: RelPath,
    oci: Option<Box<OciMarks>>,
    part: Part,
}

/// Why what is below a layer does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Opaque(Depth),
    Whiteout(Depth),
    Leaf(Depth),
}

/// A directory on the way, in all layers.
#[derive(Debug)]
struct Here<'s> {
    path: RelPath,
    /// For each ordinary layer, where it has the directory.
    positions: Vec<Option<Position<'s>>>,
    /// What ends the search below it, and where that is.
    cut: Option<(Cut, RelPath)>,
    /// What the layers have said of it.
    layers: Vec<Said<'s>>,
}

/// What was asked last, and so is what a layer below would be asked.
enum Question {
    Name(NameBuf),
    Path(RelPath),
}

impl Overlay {
    /// Follows a path from the root, and says why it is what it is. A symlink at its end is followed only if a slash comes
    /// after it; a slash after anything else but a directory leads nowhere.
    ///
    /// # Errors
    /// A corrupt marker on the way, failing system calls, more than 40 symlinks.
    pub fn trace(&self, path: &[u8]) -> Result<Trace<'_>> {
        let mut rest = components(path)?;
        let path_ends_in_slash = path.ends_with(b"/");
        let mut links = Vec::new();
        let mut way = vec![self.root_of_all()?];
        let mut absent = None;
        let mut end = None;
        while let (Some(component), Some(here)) = (rest.pop(), way.last()) {
            let Component::Name(name) = component else {
                // The root is its own parent.
                if way.len() > 1 {
                    way.pop();
                }
                continue;
            };
            let path = here.path.join(name.as_name());
            let (resolution, layers) = self.look_everywhere(here, name.as_name())?;
            let is_last = rest.is_empty();
            let follows = !is_last || path_ends_in_slash;
            if absent.is_none() {
                absent = match &resolution {
                    Resolution::Absent(why) => Some(reason(*why, here.cut.as_ref(), &path, &layers)),
                    Resolution::Leaf { meta, .. } if follows && !is_symlink(&meta.found.stat) => {
                        Some((Reason::ParentNotADirectory(meta.depth), path.clone()))
                    }
                    Resolution::Leaf { .. } | Resolution::Dir(_) => None,
                };
            }
            if let (Resolution::Leaf { meta, .. }, None) = (&resolution, &absent)
                && is_symlink(&meta.found.stat)
                && follows
            {
                if links.len() == MAX_SYMLINKS {
                    return Err(Error::new("follow symlinks", nix::errno::Errno::ELOOP).at(path.as_bytes()));
                }
                let said = layers.iter().find(|said| said.depth == meta.depth);
                let target = said.map(Said::target).transpose()?.flatten().unwrap_or_default();
                if target.starts_with(b"/") {
                    way.truncate(1);
                }
                rest.extend(components(&target)?);
                links.push(Link { at: path, target });
                continue;
            }
            if is_last {
                end = Some((path, resolution, layers));
                break;
            }
            let below = enter(here, path, &resolution, layers)?;
            way.push(below);
        }
        let (path, resolution, layers) = match (end, way.pop()) {
            (Some((path, resolution, layers)), _) => (path, Some(resolution), layers),
            (None, Some(here)) => (here.path, None, here.layers),
            (None, None) => return Err(Error::new("explain", Kind::Stale)),
        };
        // A directory above it may be deleted or hidden: of what was never in it, that is not the reason.
        if let Some((reason @ (Reason::Deleted(_) | Reason::HiddenByOpaque(_)), cause)) = &mut absent
            && *cause != path
            && !layers.iter().any(is_there)
        {
            (*reason, *cause) = (Reason::NeverExisted, path.clone());
        }
        let (outcome, cause) = match (absent, &resolution) {
            (Some((reason, cause)), _) => (Outcome::Absent(reason), Some(cause)),
            (None, Some(resolution)) => (there(resolution)?, None),
            (None, None) => (there_as_directory(&layers)?, None),
        };
        Ok(Trace { path, links, outcome, cause, layers })
    }

    fn root_of_all(&self) -> Result<Here<'_>> {
        let mut positions = Vec::new();
        let mut layers = Vec::new();
        let mut cut = None;
        for depth in (0..self.stack.depths().ordinary).map(Depth) {
            let layer = self.stack.layer(depth);
            let part = if cut.is_some() { Part::Hidden } else { Part::Counts };
            let dir = DirIn::root(layer)?;
            let found = layer.look_root()?;
            if cut.is_none() && found.opaque && layer.directory().is_none() {
                cut = Some((Cut::Opaque(depth), RelPath::root()));
            }
            let object = Some(dir.clone().into_object());
            let dir_of_it = Some(dir.clone());
            let found = Found::Dir(found);
            let path = RelPath::root();
            layers.push(Said { depth, path, found, part, problem: None, object, dir: dir_of_it });
            let oci = dir.oci_marks()?;
            positions.push(Some(Position { dir, path: RelPath::root(), oci, part }));
        }
        Ok(Here { path: RelPath::root(), positions, cut, layers })
    }

    /// Resolves a name, and looks at it in the layers that the resolver does not ask.
    fn look_everywhere<'s>(&'s self, here: &Here<'s>, name: Name<'_>) -> Result<(Resolution, Vec<Said<'s>>)> {
        let parts: Vec<(Depth, &Position<'s>)> = (0..)
            .map(Depth)
            .zip(&here.positions)
            .filter_map(|(depth, position)| Some((depth, position.as_ref()?)))
            .filter(|(_, position)| position.part == Part::Counts)
            .collect();
        let depths: Vec<Depth> = parts.iter().map(|(depth, _)| *depth).collect();
        let mut asked: BTreeMap<Depth, Said<'s>> = BTreeMap::new();
        let mut question = Question::Name(name.to_owned());
        let mut resolver = Resolver::new(&depths, 0, name, self.stack.depths(), self.options.redirects);
        let resolution = loop {
            match resolver.step().map_err(|error| error.at(here.path.join(name).as_bytes()))? {
                Step::Done(resolution) => break resolution,
                Step::Ask(Ask::InPart { part, name }) => {
                    let Some((depth, position)) = parts.get(part) else {
                        resolver.answer(Found::Absent);
                        continue;
                    };
                    let said = look(position, *depth, name.as_name(), Part::Counts)?;
                    resolver.answer(said.found.clone());
                    asked.insert(*depth, said);
                    question = Question::Name(name);
                }
                Step::Ask(Ask::AtPath { depth, path }) => {
                    let walked = DirIn::walk(self.stack.layer(depth), &path, self.options.redirects)?;
                    let said = self.look_at(depth, &path, Part::Counts)?;
                    asked.insert(depth, Said { found: walked.found.clone(), ..said });
                    resolver.answer_walked(walked);
                    question = Question::Path(path);
                }
            }
        };
        let mut layers = Vec::with_capacity(here.positions.len());
        for (depth, position) in (0..).map(Depth).zip(&here.positions) {
            let said = match (asked.remove(&depth), &question, position) {
                (Some(said), _, _) => said,
                (None, Question::Name(name), Some(position)) => {
                    let path = position.path.join(name.as_name());
                    or_why_not(look(position, depth, name.as_name(), Part::Hidden), depth, path)
                }
                (None, Question::Name(_), None) => Said::nothing(depth, here.path.join(name)),
                (None, Question::Path(path), _) => {
                    or_why_not(self.look_at(depth, path, Part::Hidden), depth, path.clone())
                }
            };
            layers.push(said);
        }
        // That the resolver asked does not mean that it made use of the answer: a file below a directory is looked at to
        // know that nothing is merged with it.
        for said in layers.iter_mut().filter(|said| !is_used(&resolution, said)) {
            said.part = Part::Hidden;
        }
        // Data-only layers are asked, too, and have no names of their own.
        Ok((resolution, layers))
    }

    /// What a layer has at a path from its root.
    fn look_at(&self, depth: Depth, path: &RelPath, part: Part) -> Result<Said<'_>> {
        let nothing = Said::nothing(depth, path.clone());
        let Some((parent, last)) = path.split_last() else { return Ok(nothing) };
        let mut dir = DirIn::root(self.stack.layer(depth))?;
        let count = path.names().count();
        for name in path.names().take(count.saturating_sub(1)) {
            let oci = dir.oci_marks()?;
            match dir.look(oci.as_deref(), name)? {
                Found::Dir(found) => dir = dir.enter(name, &found)?,
                _ => return Ok(nothing),
            }
        }
        let oci = dir.oci_marks()?;
        look(&Position { dir, path: parent, oci, part }, depth, last, part)
    }
}

fn look<'s>(position: &Position<'s>, depth: Depth, name: Name<'_>, part: Part) -> Result<Said<'s>> {
    let path = position.path.join(name);
    let found =
        position.dir.look(position.oci.as_deref(), name).map_err(|error| error.at(path.as_bytes()))?;
    let object = match &found {
        Found::Leaf(leaf) => position.dir.object(name, leaf.entry),
        Found::Dir(dir) => position.dir.object(name, dir.entry),
        Found::Absent | Found::Whiteout => None,
    };
    let dir = match &found {
        Found::Dir(found) => Some(position.dir.enter(name, found)?),
        Found::Leaf(_) | Found::Absent | Found::Whiteout => None,
    };
    Ok(Said { depth, path, found, part, problem: None, object, dir })
}

/// Is what a layer has part of the result?
fn is_used(resolution: &Resolution, said: &Said<'_>) -> bool {
    match (resolution, &said.found) {
        (_, Found::Absent | Found::Whiteout) | (Resolution::Absent(_), _) => true,
        (Resolution::Dir(merged), _) => merged.parts.iter().any(|part| part.depth == said.depth),
        (Resolution::Leaf { meta, data }, _) => {
            let has_data = matches!(data, Data::Below(part) if part.depth == said.depth);
            has_data || meta.depth == said.depth
        }
    }
}

/// What a layer has that was not asked, or why that cannot be told.
fn or_why_not(looked: Result<Said<'_>>, depth: Depth, path: RelPath) -> Said<'_> {
    looked.unwrap_or_else(|problem| Said { problem: Some(problem), ..Said::nothing(depth, path) })
}

/// Goes on into a directory, in every layer that has one there.
fn enter<'s>(
    here: &Here<'s>,
    path: RelPath,
    resolution: &Resolution,
    layers: Vec<Said<'s>>,
) -> Result<Here<'s>> {
    let parts: Vec<Depth> = match resolution {
        Resolution::Dir(merged) => merged.parts.iter().map(|part| part.depth).collect(),
        Resolution::Leaf { .. } | Resolution::Absent(_) => Vec::new(),
    };
    let mut positions = Vec::with_capacity(layers.len());
    for said in &layers {
        let part = if parts.contains(&said.depth) { Part::Counts } else { Part::Hidden };
        let position = match &said.dir {
            None => None,
            Some(dir) => {
                let oci = dir.oci_marks()?;
                Some(Position { dir: dir.clone(), path: said.path.clone(), oci, part })
            }
        };
        positions.push(position);
    }
    let cut = parts
        .last()
        .and_then(|last| cut_below(*last, here.cut.as_ref(), &layers))
        .map(|cut| (cut, path.clone()));
    let cut = cut.or_else(|| here.cut.clone());
    Ok(Here { path, positions, cut, layers })
}

/// What ends the search below the last part of a directory.
fn cut_below(last: Depth, above: Option<&(Cut, RelPath)>, layers: &[Said<'_>]) -> Option<Cut> {
    let opaque = layers
        .iter()
        .find(|said| said.depth == last)
        .is_some_and(|said| matches!(&said.found, Found::Dir(found) if found.opaque));
    if opaque {
        return Some(Cut::Opaque(last));
    }
    // Where the search has ended above, what lower layers have here ends nothing any more.
    let end = above.map(|(Cut::Opaque(depth) | Cut::Whiteout(depth) | Cut::Leaf(depth), _)| *depth);
    let reached = |said: &&Said<'_>| said.depth > last && end.is_none_or(|end| said.depth <= end);
    layers.iter().filter(reached).find_map(|said| match &said.found {
        Found::Whiteout => Some(Cut::Whiteout(said.depth)),
        Found::Leaf(_) => Some(Cut::Leaf(said.depth)),
        Found::Absent | Found::Dir(_) => None,
    })
}

fn is_there(said: &Said<'_>) -> bool {
    matches!(said.found, Found::Leaf(_) | Found::Dir(_))
}

/// Why there is nothing at a path, given what ended the search above and what the layers have all the same; and where that
/// reason is.
fn reason(why: Why, cut: Option<&(Cut, RelPath)>, path: &RelPath, layers: &[Said<'_>]) -> (Reason, RelPath) {
    match (why, cut) {
        (Why::Deleted(depth), _) => (Reason::Deleted(depth), path.clone()),
        (Why::NeverExisted, Some((cut, at))) if layers.iter().any(is_there) => {
            let reason = match cut {
                Cut::Opaque(depth) => Reason::HiddenByOpaque(*depth),
                Cut::Whiteout(depth) => Reason::Deleted(*depth),
                Cut::Leaf(depth) => Reason::ParentNotADirectory(*depth),
            };
            (reason, at.clone())
        }
        (Why::NeverExisted, _) => (Reason::NeverExisted, path.clone()),
    }
}

fn there(resolution: &Resolution) -> Result<Outcome> {
    match resolution {
        Resolution::Leaf { meta, data } => {
            let data = match data {
                Data::Here => Some(meta.depth),
                Data::Below(part) => Some(part.depth),
                Data::Missing => None,
            };
            Ok(Outcome::There { depth: meta.depth, kind: kind(&meta.found.stat)?, data })
        }
        Resolution::Dir(merged) => {
            let depth = merged.attributes().map_or(Depth(0), |part| part.depth);
            Ok(Outcome::There { depth, kind: FileKind::Directory, data: None })
        }
        Resolution::Absent(_) => Ok(Outcome::Absent(Reason::NeverExisted)),
    }
}

/// A directory that was gone through: the root, or one that `..` led back to.
fn there_as_directory(layers: &[Said<'_>]) -> Result<Outcome> {
    let own =
        |said: &&Said<'_>| matches!(&said.found, Found::Dir(found) if found.attributes == Attributes::Own);
    let is_dir = |said: &&Said<'_>| matches!(said.found, Found::Dir(_));
    let said = layers.iter().find(own).or_else(|| layers.iter().find(is_dir));
    let said = said.ok_or_else(|| Error::new("explain", Kind::NotFound))?;
    Ok(Outcome::There { depth: said.depth, kind: FileKind::Directory, data: None })
}

fn kind(stat: &Stat) -> Result<FileKind> {
    FileKind::from_mode(stat.mode)
        .ok_or_else(|| Error::new("explain", Kind::Corrupt("no such file type".to_owned())))
}

fn is_symlink(stat: &Stat) -> bool {
    stat.mode & libc::S_IFMT == libc::S_IFLNK
}

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Component {
    Name(NameBuf),
    /// `..`
    Up,
}

/// The steps of a path, the last first.
fn components(path: &[u8]) -> Result<Vec<Component>> {
    let parts = path.rsplit(|byte| *byte == b'/').filter(|part| !matches!(*part, [] | b"."));
    let component = |part: &[u8]| match part {
        b".." => Ok(Component::Up),
        // What is left is a name, or too long for one.
        name => NameBuf::new(name)
            .map(Component::Name)
            .map_err(|_| Error::new("read the path", Kind::NameTooLong).at(path)),
    };
    parts.map(component).collect()
}

#[cfg(test)]
mod tests;
