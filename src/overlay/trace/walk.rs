//! One step of the walk: a name is resolved in the directories that the layers have, and then looked at in the layers
//! that the resolver did not ask.

use std::collections::BTreeMap;

use super::super::Overlay;
use super::super::object::DirIn;
use super::reason::{Cut, cut_below};
use super::said::{Part, Position, Said, look, or_why_not};
use crate::error::Result;
use crate::layer::{Attributes, Found};
use crate::path::{Name, NameBuf, RelPath};
use crate::resolve::{Ask, Data, Depth, Resolution, Resolver, Step};

/// A directory on the way, in all layers.
#[derive(Debug)]
pub(super) struct Here<'s> {
    pub(super) path: RelPath,
    /// The layer that its attributes come from.
    pub(super) attributes: Depth,
    /// For each ordinary layer, where it has the directory.
    positions: Vec<Option<Position<'s>>>,
    /// What ends the search below it, and where that is.
    pub(super) cut: Option<(Cut, RelPath)>,
    /// What the layers have said of it.
    pub(super) layers: Vec<Said<'s>>,
}

/// What was asked last, and so is what a layer below would be asked.
enum Question {
    Name(NameBuf),
    Path(RelPath),
}

impl Overlay {
    pub(super) fn root_of_all(&self) -> Result<Here<'_>> {
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
        let own =
            |said: &&Said<'_>| matches!(&said.found, Found::Dir(dir) if dir.attributes == Attributes::Own);
        let attributes = layers.iter().find(own).map_or(Depth(0), |said| said.depth);
        Ok(Here { path: RelPath::root(), attributes, positions, cut, layers })
    }

    /// Resolves a name, and looks at it in the layers that the resolver does not ask.
    pub(super) fn look_everywhere<'s>(
        &'s self,
        here: &Here<'s>,
        name: Name<'_>,
    ) -> Result<(Resolution, Vec<Said<'s>>)> {
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

/// Goes on into a directory, in every layer that has one there.
pub(super) fn enter<'s>(
    here: &Here<'s>,
    path: RelPath,
    resolution: &Resolution,
    layers: Vec<Said<'s>>,
) -> Result<Here<'s>> {
    let (parts, attributes): (Vec<Depth>, _) = match resolution {
        Resolution::Dir(merged) => {
            (merged.parts.iter().map(|part| part.depth).collect(), merged.attributes().map(|part| part.depth))
        }
        Resolution::Leaf { .. } | Resolution::Absent(_) => (Vec::new(), None),
    };
    let attributes = attributes.unwrap_or(Depth(0));
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
    Ok(Here { path, attributes, positions, cut, layers })
}
