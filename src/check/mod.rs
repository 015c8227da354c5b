//! Is an upper as a union leaves it? What is wrong, what that means, and what repairs it.
//!
//! A walk collects facts, pure verdicts say what is wrong, and each verdict carries its remedy as a value, which
//! [`repair`] then does. No remedy takes anything away that a mount shows; where it is not clear what was meant, there is
//! none. Layers below are only read.

pub(crate) mod facts;
mod finding;
mod judge;
pub(crate) mod look;
mod repair;
mod walk;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

pub use finding::{Code, Finding, Place, Remedy, Verdict, Weight};
pub use repair::{Repaired, repair};

use self::facts::IndexFacts;
use self::walk::Walk;
use crate::config::StatOverride;
use crate::error::{Error, ErrorContext, LayerRef, OpContext, Result};
use crate::layer::{self, Layer, LayerRules};
use crate::marker::{Marker, MarkersRead};
use crate::overlay::Overlay;
use crate::path::RelPath;
use crate::sys::fs::{self, At};

/// An upper and its work directory, held so that no mount of lamina takes them meanwhile.
#[derive(Debug)]
pub struct Target {
    upper: Layer,
    work: Option<OwnedFd>,
}

impl Target {
    /// Opens both, and locks them as a mount does.
    ///
    /// # Errors
    /// A mount has one of them ([`crate::error::Kind::InUse`]); one cannot be read.
    pub fn open(upper: &Path, work: Option<&Path>) -> Result<Target> {
        use std::os::unix::ffi::OsStrExt;
        let rules = LayerRules { markers: MarkersRead::Both, oci: true, stat_override: StatOverride::Off };
        let layer = Layer::open(upper, LayerRef::Upper, rules)?;
        layer::lock(layer.root_io(), "use upper")
            .at(upper.as_os_str().as_bytes())
            .in_layer(LayerRef::Upper)?;
        let open = |path: &Path| {
            let fd = fs::open_dir_path(path).op("open work directory")?;
            let fd = fs::reopen_dir(fd.as_fd(), libc::O_RDONLY).op("open work directory")?;
            layer::lock(fd.as_fd(), "use work directory")?;
            Ok::<OwnedFd, Error>(fd)
        };
        let work = work.map(|path| open(path).at(path.as_os_str().as_bytes())).transpose()?;
        Ok(Target { upper: layer, work })
    }

    fn work(&self) -> Option<BorrowedFd<'_>> {
        self.work.as_ref().map(AsFd::as_fd)
    }
}

/// Something that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Trouble(pub Error);

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What is wrong, the upper first, each part by path.
    pub findings: Vec<Finding>,
    /// What could not be looked at.
    pub trouble: Vec<Trouble>,
    /// How many objects of the upper were looked at.
    pub objects: u64,
}

/// Looks at all of an upper and its work directory. `lowers`: what the upper lies over; without it, nothing is said about what
/// depends on them.
///
/// # Errors
/// The upper's root or the work directory cannot be read.
pub fn check(target: &Target, lowers: Option<&Overlay>) -> Result<Report> {
    let walked = Walk::new(&target.upper, lowers).run()?;
    let mut findings = walked.findings;
    judge::together(&mut findings);
    findings.sort_by(|a, b| (&a.place, a.verdict.code).cmp(&(&b.place, b.verdict.code)));
    if let Some(work) = target.work() {
        findings.extend(work_directory(&target.upper, work)?);
    }
    Ok(Report { findings, trouble: walked.trouble, objects: walked.objects })
}

/// What is wrong with a work directory.
fn work_directory(upper: &Layer, work: BorrowedFd<'_>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut found = |path: RelPath, verdict| findings.push(Finding { place: Place::Work(path), verdict });
    let stat = fs::stat(At::Fd(work)).op("stat work directory")?;
    if stat.dev != upper.dev {
        found(
            RelPath::root(),
            Verdict::told(Code::WorkElsewhere, "it is on another file system than the upper"),
        );
    }
    let there = layer::look_into_work(work)?;
    for name in &there.incompat {
        found(
            layer::path_in_incompat(name.as_name())?,
            Verdict::told(Code::WorkIncompat, format!("the note \"{}\" of an earlier mount", name.as_name())),
        );
    }
    for name in there.left {
        found(
            layer::path_in_work(name.as_name())?,
            Verdict::repaired_by(Code::WorkStale, "an unfinished object", Remedy::RemoveFromWork(name)),
        );
    }
    let Some(index) = layer::index_of_work(work)? else { return Ok(findings) };
    for name in there.index {
        let path = layer::path_in_index(name.as_name())?;
        let at = At::Name(index.as_fd(), name.as_name());
        let stat = fs::stat(at).op("look into the index").at(path.as_bytes())?;
        let recorded = upper.marker(at, Marker::Nlink).at(path.as_bytes())?;
        let facts = IndexFacts { name, kind: look::kind(&stat), nlink: stat.nlink, recorded };
        for verdict in judge::index(&facts) {
            found(path.clone(), verdict);
        }
    }
    Ok(findings)
}
