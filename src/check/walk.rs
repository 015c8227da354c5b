//! The walk over an upper that collects facts, and has them judged.

use std::os::fd::{AsFd, BorrowedFd};

use super::facts::{Announced, Beneath, Content, Facts, Kind, Merges, NameSays, Parent};
use super::finding::{Finding, Place, Verdict};
use super::{Trouble, judge, look};
use crate::config::Namespace;
use crate::error::{Error, Kind as ErrorKind, OpContext, Result};
use crate::layer::Layer;
use crate::marker::{Marker, OCI_OPAQUE, OciName, OpaqueMark, OriginMark, Redirect, oci_whiteout};
use crate::overlay::{FileKind, NodeId, Overlay};
use crate::path::{Name, RelPath};
use crate::sys::fs::{self, At, Stat};

/// Where a directory of the upper goes on in the layers below.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Below {
    /// Perhaps somewhere: the layers are not known, or what they say there cannot be read.
    Unknown,
    /// Nowhere.
    Nowhere,
    /// At this path.
    At(RelPath),
}

/// A directory to be walked, with what is known of it.
struct Open {
    path: RelPath,
    below: Below,
    impure: Vec<Namespace>,
    xwhiteouts: Announced,
}

/// A walk.
pub(super) struct Walk<'a> {
    upper: &'a Layer,
    lowers: Option<&'a Overlay>,
    findings: Vec<Finding>,
    trouble: Vec<Trouble>,
    objects: u64,
    /// Objects with markers in `trusted.` and in `user.`.
    marked: (u64, u64),
}

/// What a walk has found.
pub(super) struct Walked {
    pub findings: Vec<Finding>,
    pub trouble: Vec<Trouble>,
    pub objects: u64,
}

impl<'a> Walk<'a> {
    pub(super) fn new(upper: &'a Layer, lowers: Option<&'a Overlay>) -> Self {
        Walk { upper, lowers, findings: Vec::new(), trouble: Vec::new(), objects: 0, marked: (0, 0) }
    }

    /// Walks all of it. What cannot be read is told with the findings.
    ///
    /// # Errors
    /// The root cannot be read.
    pub(super) fn run(mut self) -> Result<Walked> {
        let root = At::Fd(self.upper.root());
        let facts = self.facts(root, &fs::stat(root).op("stat")?)?;
        let below = match self.lowers {
            Some(_) => Below::At(RelPath::root()),
            None => Below::Unknown,
        };
        let first = self.take(RelPath::root(), &facts, below);
        // A list and no recursion: a tree may be deeper than a stack.
        let mut open = vec![first];
        while let Some(dir) = open.pop() {
            // Such an error has the whole path already.
            let fd = match self.upper.open_dir(&dir.path) {
                Ok(fd) => fd,
                Err(error) => {
                    self.trouble.push(Trouble(error));
                    continue;
                }
            };
            match self.directory(&dir, fd.as_fd()) {
                Ok(inner) => open.extend(inner),
                Err(error) => self.trouble.push(Trouble(error.below(dir.path.as_bytes()))),
            }
        }
        let (trusted, user) = self.marked;
        self.found(&RelPath::root(), judge::namespaces(trusted, user));
        let Walk { findings, trouble, objects, .. } = self;
        Ok(Walked { findings, trouble, objects })
    }

    fn found(&mut self, path: &RelPath, verdicts: impl IntoIterator<Item = Verdict>) {
        let place = Place::Upper(path.clone());
        let findings = verdicts.into_iter().map(|verdict| Finding { place: place.clone(), verdict });
        self.findings.extend(findings);
    }

    /// Judges an object, and says how it goes on if it is a directory.
    fn take(&mut self, path: RelPath, facts: &Facts, below: Below) -> Open {
        self.objects += 1;
        let verdicts = judge::object(facts);
        self.marked.0 += u64::from(judge::counts_in(Namespace::Trusted, facts, &verdicts));
        self.marked.1 += u64::from(judge::counts_in(Namespace::User, facts, &verdicts));
        self.found(&path, verdicts);
        let impure = facts.namespaces_of(Marker::Impure);
        let xwhiteouts = facts.announces_xwhiteouts();
        Open { path, below, impure, xwhiteouts }
    }

    /// Judges what is in a directory; hands out the directories in it.
    fn directory(&mut self, dir: &Open, fd: BorrowedFd<'_>) -> Result<Vec<Open>> {
        let names = look::names(fd)?;
        let mut here = Here {
            fd,
            names: look::Names::new(fd, &names),
            below: dir.below.clone(),
            xwhiteouts: dir.xwhiteouts,
        };
        if here.names.says(OCI_OPAQUE)? == Some(NameSays::Opaque) {
            here.below = Below::Nowhere;
        }
        let mut content = Content { origins: Vec::new(), impure: dir.impure.clone() };
        let mut inner = Vec::new();
        for name in &names {
            let path = dir.path.join(name.as_name());
            match self.entry(&here, name.as_name(), &path, &mut content) {
                Ok(open) => inner.extend(open),
                Err(error) => self.trouble.push(Trouble(error.at(path.as_bytes()))),
            }
        }
        self.found(&dir.path, judge::content(&content));
        // The last is walked first.
        inner.reverse();
        Ok(inner)
    }

    fn entry(
        &mut self,
        here: &Here<'_>,
        name: Name<'_>,
        path: &RelPath,
        content: &mut Content,
    ) -> Result<Option<Open>> {
        let at = At::Name(here.fd, name);
        let stat = fs::stat(at).op("stat")?;
        let says = here.names.says(name.as_bytes())?.unwrap_or(NameSays::Ordinary);
        // A `.wh.` file is about the name that it hides.
        let about = match OciName::of(name) {
            OciName::Whiteout(hidden) if says != NameSays::Ordinary => hidden,
            _ => name,
        };
        let own = here.below.join(about);
        let mut facts = self.facts(at, &stat)?;
        facts.name = says;
        facts.parent = Some(here.parent());
        if is_about_below(&facts) {
            facts.beneath = self.look(&own)?;
        }
        let target = facts.redirect().map(|redirect| match (redirect, self.lowers) {
            (Redirect::Absolute(path), Some(_)) => Below::At(path),
            (Redirect::Absolute(_), None) => Below::Unknown,
            (Redirect::Sibling(name), _) => here.below.join(name.as_name()),
        });
        facts.target = target.as_ref().map(|target| self.look(target)).transpose()?;
        for namespace in facts.namespaces_of(Marker::Origin) {
            if !content.origins.contains(&namespace) {
                content.origins.push(namespace);
            }
        }
        let is_hidden = || match oci_whiteout(name) {
            Ok(whiteout) => Ok(matches!(here.names.says(whiteout.as_bytes())?, Some(NameSays::Whiteout(_)))),
            // No file of such a name hides it.
            Err(_) => Ok::<bool, Error>(false),
        };
        let goes_on = match facts.kind {
            Kind::Directory if facts.opaque() == Some(OpaqueMark::Opaque) || is_hidden()? => Below::Nowhere,
            Kind::Directory => match (facts.target.unwrap_or(facts.beneath), target.unwrap_or(own)) {
                (Beneath::Directory, place) => place,
                (Beneath::Unknown, _) => Below::Unknown,
                (Beneath::Nothing | Beneath::Regular | Beneath::Other, _) => Below::Nowhere,
            },
            Kind::Regular { .. } | Kind::Whiteout | Kind::Other => Below::Nowhere,
        };
        let open = self.take(path.clone(), &facts, goes_on);
        Ok((facts.kind == Kind::Directory).then_some(open))
    }

    /// What is true of an object by itself, and of what it was copied from.
    fn facts(&self, at: At<'_>, stat: &Stat) -> Result<Facts> {
        let mut facts = look::facts(at, stat)?;
        if let (Some(lowers), Some(marked)) = (self.lowers, facts.marker(Marker::Origin))
            && let Ok(OriginMark::Known(origin)) = OriginMark::decode(&marked.value)
        {
            facts.origin = Some(lowers.find_origin(&origin));
        }
        Ok(facts)
    }

    /// What the layers below have at a place.
    fn look(&self, place: &Below) -> Result<Beneath> {
        match (place, self.lowers) {
            (Below::Nowhere, _) => Ok(Beneath::Nothing),
            (Below::At(path), Some(lowers)) => beneath(lowers, path),
            (Below::Unknown, _) | (Below::At(_), None) => Ok(Beneath::Unknown),
        }
    }
}

/// A directory whose names are being judged.
struct Here<'d> {
    fd: BorrowedFd<'d>,
    names: look::Names<'d>,
    below: Below,
    xwhiteouts: Announced,
}

impl Here<'_> {
    fn parent(&self) -> Parent {
        let merges = if self.below == Below::Nowhere { Merges::No } else { Merges::Yes };
        Parent { merges, xwhiteouts: self.xwhiteouts }
    }
}

impl Below {
    fn join(&self, name: Name<'_>) -> Below {
        match self {
            Below::At(path) => Below::At(path.join(name)),
            Below::Unknown => Below::Unknown,
            Below::Nowhere => Below::Nowhere,
        }
    }
}

/// What the layers below have at a path. What they say in a way that cannot be read is not known.
fn beneath(lowers: &Overlay, path: &RelPath) -> Result<Beneath> {
    let mut held = Vec::new();
    let mut answer = Ok(Beneath::Directory);
    let mut node = NodeId::ROOT;
    for name in path.names() {
        match lowers.lookup(node, name) {
            Ok(Some(entry)) => {
                held.push(entry.node);
                node = entry.node;
                answer = Ok(match entry.attr.kind {
                    FileKind::Directory => Beneath::Directory,
                    FileKind::Regular => Beneath::Regular,
                    _ => Beneath::Other,
                });
            }
            Ok(None) => answer = Ok(Beneath::Nothing),
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt(_)) => answer = Ok(Beneath::Unknown),
            Err(error) => answer = Err(error.at(path.as_bytes())),
        }
        if !matches!(answer, Ok(Beneath::Directory)) {
            break;
        }
    }
    // A leaf in the middle of the path is nothing at its end.
    if held.len() < path.names().count() && matches!(answer, Ok(Beneath::Regular | Beneath::Other)) {
        answer = Ok(Beneath::Nothing);
    }
    for node in held {
        lowers.forget(node, 1);
    }
    answer
}

/// Does it depend on the layers below what is to be said of it?
fn is_about_below(facts: &Facts) -> bool {
    match facts.kind {
        Kind::Directory | Kind::Whiteout => true,
        Kind::Regular { .. } => {
            facts.name != NameSays::Ordinary
                || facts.marker(Marker::Whiteout).is_some()
                || facts.marker(Marker::Metacopy).is_some()
        }
        Kind::Other => false,
    }
}
