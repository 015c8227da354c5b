//! Pure: which layer supplies a name, what it merges, what it hides, and why. No system call is made here.
//!
//! A redirect found in one layer decides what is asked of the next, so resolving is a conversation: [`Resolver::step`]
//! says what to ask, [`Resolver::answer`] takes the answer. The mount, and whatever explains it, hold the same
//! conversation.
//!
//! Layers are counted from the top: 0 is the upper where there is one, then the lowers, then the data-only layers.

use crate::error::{Error, Kind};
use crate::layer::{Attributes, Found, FoundDir, FoundLeaf};
use crate::marker::Redirect;
use crate::path::{Name, NameBuf, RelPath};

/// A layer by its place in the stack, from the top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Depth(pub u16);

/// How deep the stack is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depths {
    /// Layers that are searched by name: the upper and the ordinary lowers.
    pub ordinary: u16,
    /// Data-only layers below them: reached by absolute redirects of metacopy files.
    pub data_only: u16,
}

/// Are redirects believed?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirects {
    /// Yes.
    Follow,
    /// What carries one cannot be used, since what it merges is not known (`redirect_dir=nofollow`).
    Refuse,
}

/// Where a file's data is.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)] // as for `Resolution`
pub enum Data {
    /// With its metadata.
    Here,
    /// In a layer below.
    Below(LeafPart),
    /// In no layer: the metadata can be seen, the data cannot be read.
    Missing,
}

/// The next question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// What is `name` in the parent's part number `part` (0 is its topmost)?
    InPart {
        /// Which of the parent's parts.
        part: usize,
        /// The name there: another than was looked up, below a redirect to a sibling.
        name: NameBuf,
    },
    /// What is at `path` in the layer `depth`? To be answered by walking down from that layer's root.
    AtPath {
        /// Which layer.
        depth: Depth,
        /// The path there.
        path: RelPath,
    },
}

/// The answer to [`Ask::AtPath`].
#[derive(Debug, Clone)]
pub struct Walked {
    /// What is there.
    pub found: Found,
    /// Something on the way ends the search: an opaque directory, a whiteout, or anything but a directory.
    pub stop: bool,
    /// Redirects on the way moved the path for the layers below.
    pub moved: Option<RelPath>,
}

/// Why there is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// No layer has it.
    NeverExisted,
    /// A whiteout hides it.
    Deleted(Depth),
}

/// Where a part of a merged directory, or a file's data, is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// By `name` in the parent's part number `part`.
    Part {
        /// Which of the parent's parts.
        part: usize,
        /// The name there.
        name: NameBuf,
    },
    /// By this path from the layer's root.
    Path(RelPath),
}

/// One part of a merged directory.
#[derive(Debug, Clone)]
pub struct DirPart {
    /// Which layer.
    pub depth: Depth,
    /// Where in it.
    pub origin: Origin,
    /// What the layer says.
    pub found: FoundDir,
}

/// One place of a file: of its metadata, or of its data.
#[derive(Debug, Clone)]
pub struct LeafPart {
    /// Which layer.
    pub depth: Depth,
    /// Where in it.
    pub origin: Origin,
    /// What the layer says.
    pub found: FoundLeaf,
}

/// What a name is.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)] // one at a time exists, on the stack, and is taken apart at once
pub enum Resolution {
    /// Nothing.
    Absent(Why),
    /// Anything but a directory.
    Leaf {
        /// Where its metadata is.
        meta: LeafPart,
        /// Where its data is.
        data: Data,
    },
    /// A directory.
    Dir(MergedDir),
}

/// A directory, merged from parts of one or more layers.
#[derive(Debug, Clone)]
pub struct MergedDir {
    /// Never empty, top first, ending at the first opaque one.
    pub parts: Vec<DirPart>,
    /// Which of the parts has the attributes, unless `hidden` has: the first that has its own.
    pub attributes: usize,
    /// No part has attributes of its own, and this directory, whose content an opaque part hides, has.
    pub hidden: Option<Box<DirPart>>,
}

impl MergedDir {
    /// What has the attributes.
    pub fn attributes(&self) -> Option<&DirPart> {
        self.hidden.as_deref().or_else(|| self.parts.get(self.attributes))
    }
}

/// What to do next.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // as for `Resolution`
pub enum Step {
    /// Ask this, and give the answer.
    Ask(Ask),
    /// This is what the name is.
    Done(Resolution),
}

/// The state of the conversation.
#[derive(Debug)]
pub struct Resolver<'a> {
    /// The parent's parts' layers, top first.
    parent: &'a [Depth],
    depths: Depths,
    redirects: Redirects,
    cursor: Cursor,
    asked: Option<(Depth, Origin)>,
    dirs: Vec<DirPart>,
    /// The content of what comes is hidden; only attributes are looked for.
    only_attributes: bool,
    hidden: Option<DirPart>,
    meta: Option<LeafPart>,
    finished: Option<Resolution>,
    refused: bool,
}

/// What is asked next.
#[derive(Debug, Clone)]
enum Cursor {
    /// Down the parent's parts by a name.
    Parts { next: usize, name: NameBuf },
    /// Down the layers by a path from their roots.
    Paths { next: Depth, path: RelPath },
    /// Nothing more.
    End,
}

impl<'a> Resolver<'a> {
    /// Looks for `name` in a directory that is merged from parts of the layers `parent` (top first), beginning with
    /// part number `first`.
    pub fn new(
        parent: &'a [Depth],
        first: usize,
        name: Name<'_>,
        depths: Depths,
        redirects: Redirects,
    ) -> Self {
        Resolver {
            parent,
            depths,
            redirects,
            cursor: Cursor::Parts { next: first, name: name.to_owned() },
            asked: None,
            dirs: Vec::new(),
            only_attributes: false,
            hidden: None,
            meta: None,
            finished: None,
            refused: false,
        }
    }

    /// Says what to ask, or what the name is.
    ///
    /// # Errors
    /// [`Kind::NotPermitted`] at a redirect that must not be followed.
    pub fn step(&mut self) -> Result<Step, Error> {
        if self.refused {
            return Err(Error::new(
                "look up",
                Kind::NotPermitted("it has a redirect, and redirect_dir=nofollow refuses those"),
            ));
        }
        if let Some(done) = self.finished.take() {
            return Ok(Step::Done(done));
        }
        match self.cursor.clone() {
            Cursor::Parts { next, name } => {
                if let Some(depth) = self.parent.get(next) {
                    self.asked = Some((*depth, Origin::Part { part: next, name: name.clone() }));
                    return Ok(Step::Ask(Ask::InPart { part: next, name }));
                }
            }
            Cursor::Paths { next, path } => {
                let end = match self.meta {
                    Some(_) => self.depths.ordinary + self.depths.data_only,
                    None => self.depths.ordinary,
                };
                if next.0 < end {
                    self.asked = Some((next, Origin::Path(path.clone())));
                    return Ok(Step::Ask(Ask::AtPath { depth: next, path }));
                }
            }
            Cursor::End => {}
        }
        Ok(Step::Done(self.end()))
    }

    /// No layer is left to ask.
    fn end(&mut self) -> Resolution {
        self.cursor = Cursor::End;
        if let Some(meta) = self.meta.take() {
            return Resolution::Leaf { meta, data: Data::Missing };
        }
        let parts = std::mem::take(&mut self.dirs);
        if parts.is_empty() {
            return Resolution::Absent(Why::NeverExisted);
        }
        let own = parts.iter().position(|part| part.found.attributes == Attributes::Own);
        Resolution::Dir(MergedDir {
            attributes: own.unwrap_or_default(),
            hidden: self.hidden.take().map(Box::new),
            parts,
        })
    }

    /// Takes the answer to [`Ask::InPart`].
    pub fn answer(&mut self, found: Found) {
        self.take(Walked { found, stop: false, moved: None });
    }

    /// None of the parent's parts before number `part` has the name that [`Ask::InPart`] asks for: as if each were asked, and the
    /// answer always [`Found::Absent`].
    pub fn none_before(&mut self, part: usize) {
        if let (Some((_, Origin::Part { .. })), Cursor::Parts { next, .. }) = (&self.asked, &mut self.cursor)
        {
            *next = part.max(*next + 1);
            self.asked = None;
        }
    }

    /// Takes the answer to [`Ask::AtPath`].
    pub fn answer_walked(&mut self, walked: Walked) {
        self.take(walked);
    }

    fn take(&mut self, walked: Walked) {
        let Some((depth, origin)) = self.asked.take() else { return };
        if let (Some(moved), Cursor::Paths { path, .. }) = (walked.moved, &mut self.cursor) {
            *path = moved;
        }
        self.advance(depth);
        if walked.stop {
            self.cursor = Cursor::End;
        }
        match walked.found {
            Found::Absent => {}
            Found::Whiteout => self.whiteout(depth),
            Found::Leaf(found) => self.leaf(LeafPart { depth, origin, found }),
            Found::Dir(found) => self.dir(DirPart { depth, origin, found }),
        }
    }

    fn advance(&mut self, depth: Depth) {
        match &mut self.cursor {
            Cursor::Parts { next, .. } => *next += 1,
            Cursor::Paths { next, .. } => *next = Depth(depth.0 + 1),
            Cursor::End => {}
        }
    }

    fn whiteout(&mut self, depth: Depth) {
        self.cursor = Cursor::End;
        if self.dirs.is_empty() && self.meta.is_none() {
            self.finished = Some(Resolution::Absent(Why::Deleted(depth)));
        }
    }

    fn leaf(&mut self, part: LeafPart) {
        // A directory above hides it.
        if !self.dirs.is_empty() {
            self.cursor = Cursor::End;
            return;
        }
        let further = match &part.found.metacopy {
            // In a data-only layer there is only data.
            Some(redirect) if part.depth.0 < self.depths.ordinary => Some(redirect.clone()),
            _ => None,
        };
        match (self.meta.take(), further) {
            (None, None) => {
                self.cursor = Cursor::End;
                self.finished = Some(Resolution::Leaf { meta: part, data: Data::Here });
            }
            (Some(meta), None) => {
                self.cursor = Cursor::End;
                // Only a regular file can hold a regular file's data.
                if part.found.stat.is_regular() {
                    self.finished = Some(Resolution::Leaf { meta, data: Data::Below(part) });
                } else {
                    self.meta = Some(meta);
                }
            }
            (meta, Some(redirect)) => {
                self.follow(part.depth, redirect);
                self.meta = Some(meta.unwrap_or(part));
            }
        }
    }

    fn dir(&mut self, part: DirPart) {
        // A file above ends the search: it is looking for its data, and a directory has none.
        if self.meta.is_some() {
            self.cursor = Cursor::End;
            return;
        }
        let has_attributes = |part: &DirPart| part.found.attributes == Attributes::Own;
        let known = has_attributes(&part) || self.dirs.iter().any(has_attributes);
        if known && (part.found.opaque || self.only_attributes) {
            self.cursor = Cursor::End;
        } else {
            self.follow(part.depth, part.found.redirect.clone());
        }
        let opaque = part.found.opaque;
        if !self.only_attributes {
            self.dirs.push(part);
        } else if known {
            self.hidden = Some(part);
        }
        self.only_attributes |= opaque;
    }

    /// Goes on below `depth` where a redirect says.
    fn follow(&mut self, depth: Depth, redirect: Option<Redirect>) {
        if self.redirects == Redirects::Refuse {
            // Where nothing is left to merge with, it means nothing (as in the kernel's overlay).
            let more = matches!(self.cursor, Cursor::Parts { next, .. } if next < self.parent.len());
            self.refused = more && redirect.is_some();
            return;
        }
        let below = Depth(depth.0 + 1);
        match (redirect, &mut self.cursor) {
            (None, _) | (_, Cursor::End) => {}
            (Some(Redirect::Absolute(path)), cursor) => *cursor = Cursor::Paths { next: below, path },
            (Some(Redirect::Sibling(name)), Cursor::Parts { name: current, .. }) => *current = name,
            (Some(Redirect::Sibling(name)), Cursor::Paths { path, .. }) => {
                if let Some((parent, _)) = path.split_last() {
                    *path = parent.join(name.as_name());
                }
            }
        }
    }
}

/// Goes on with a walk: what a directory on the way says of the layers below.
///
/// `path` is where the rest of the walk leads in the layers below so far; `at` counts the names of it that are walked.
pub fn moved_on_the_way(path: &RelPath, at: usize, redirect: &Redirect) -> RelPath {
    let rest = path.names().skip(at);
    let mut moved = match redirect {
        Redirect::Absolute(path) => path.clone(),
        Redirect::Sibling(name) => {
            let mut parent = RelPath::root();
            for name in path.names().take(at.saturating_sub(1)) {
                parent.push(name);
            }
            parent.join(name.as_name())
        }
    };
    for name in rest {
        moved.push(name);
    }
    moved
}

#[cfg(test)]
mod tests;
