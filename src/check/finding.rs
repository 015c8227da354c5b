//! What can be wrong with an upper, and what can be done about it.

use std::ffi::CStr;
use std::fmt;

use crate::path::{NameBuf, RelPath};

/// A kind of finding. The words are a format: see `docs/cli.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // `means` says it
pub enum Code {
    BadMarker,
    MisplacedMarker,
    UnknownMarker,
    NamespacesDiffer,
    NamespacesMixed,
    BadRecord,
    RedirectDangling,
    DataMissing,
    OriginGone,
    ImpureMissing,
    XwhiteoutUnannounced,
    WhiteoutNeedless,
    WhiteoutTwice,
    OciName,
    NlinkLow,
    WorkStale,
    WorkIncompat,
    WorkElsewhere,
    IndexBadName,
    IndexStale,
}

/// How much a finding counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Something is wrong: the exit code says so.
    Problem,
    /// Worth knowing, and right as it is.
    Note,
}

impl Code {
    /// All of them.
    pub const ALL: [Code; 20] = [
        Code::BadMarker,
        Code::MisplacedMarker,
        Code::UnknownMarker,
        Code::NamespacesDiffer,
        Code::NamespacesMixed,
        Code::BadRecord,
        Code::RedirectDangling,
        Code::DataMissing,
        Code::OriginGone,
        Code::ImpureMissing,
        Code::XwhiteoutUnannounced,
        Code::WhiteoutNeedless,
        Code::WhiteoutTwice,
        Code::OciName,
        Code::NlinkLow,
        Code::WorkStale,
        Code::WorkIncompat,
        Code::WorkElsewhere,
        Code::IndexBadName,
        Code::IndexStale,
    ];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Code::BadMarker => "bad-marker",
            Code::MisplacedMarker => "misplaced-marker",
            Code::UnknownMarker => "unknown-marker",
            Code::NamespacesDiffer => "namespaces-differ",
            Code::NamespacesMixed => "namespaces-mixed",
            Code::BadRecord => "bad-record",
            Code::RedirectDangling => "redirect-dangling",
            Code::DataMissing => "data-missing",
            Code::OriginGone => "origin-gone",
            Code::ImpureMissing => "impure-missing",
            Code::XwhiteoutUnannounced => "xwhiteout-unannounced",
            Code::WhiteoutNeedless => "whiteout-needless",
            Code::WhiteoutTwice => "whiteout-twice",
            Code::OciName => "oci-name",
            Code::NlinkLow => "nlink-low",
            Code::WorkStale => "work-stale",
            Code::WorkIncompat => "work-incompat",
            Code::WorkElsewhere => "work-elsewhere",
            Code::IndexBadName => "index-bad-name",
            Code::IndexStale => "index-stale",
        }
    }

    /// What it means for who uses the mount.
    pub fn means(self) -> &'static str {
        match self {
            Code::BadMarker => "the name cannot be used in a mount, or shows what it should hide",
            Code::MisplacedMarker => "it says nothing there: some other tool, or a copy, has left it",
            Code::UnknownMarker => {
                "a newer kernel or another tool has written it; lamina does not know what it says"
            }
            Code::NamespacesDiffer => "lamina believes trusted., the kernel what it is mounted to believe",
            Code::NamespacesMixed => {
                "the kernel's overlay believes only one of them, and shows a tree that lamina does not"
            }
            Code::BadRecord => "the name cannot be used in a mount that reads recorded owners",
            Code::RedirectDangling => "what the directory had from the layers below is not shown",
            Code::DataMissing => "the file cannot be read: only its metadata are here",
            Code::OriginGone => "its inode number is another one than before it was changed",
            Code::ImpureMissing => "listings of the directory may give other inode numbers than stat",
            Code::XwhiteoutUnannounced => "the kernel lists the name, though it is deleted",
            Code::WhiteoutNeedless => "it hides nothing",
            Code::WhiteoutTwice => "the kernel's overlay shows the .wh. file",
            Code::OciName => "to lamina it is a marker, the kernel's overlay shows it as a file",
            Code::NlinkLow => "programs see fewer names than the file has",
            Code::WorkStale => {
                "an operation that was interrupted has left it; nothing of it was ever visible, the next mount clears it"
            }
            Code::WorkIncompat => "no mount takes the upper: after a crash it may have lost data",
            Code::WorkElsewhere => "no mount takes it: nothing can be renamed from there into the upper",
            Code::IndexBadName => "no hard link is found by it",
            Code::IndexStale => "it keeps the space of a file that has no name any more",
        }
    }

    /// What a person can do where nothing repairs it.
    pub fn advice(self) -> &'static str {
        match self {
            Code::UnknownMarker | Code::OciName => "a note, nothing to repair",
            Code::NamespacesDiffer | Code::NamespacesMixed => {
                "left: lamina convert puts all into one namespace"
            }
            Code::RedirectDangling | Code::DataMissing => {
                "left: are these the layers that it was made over? --lower names others"
            }
            Code::WorkIncompat => "left: look at what was written last, then remove the note by hand",
            Code::WorkElsewhere => "left: name the work directory that belongs to this upper",
            Code::IndexBadName => "left: remove it by hand if nothing needs it",
            _ => "left as it is: what was meant cannot be known",
        }
    }

    /// How much it counts.
    pub fn weight(self) -> Weight {
        match self {
            Code::UnknownMarker | Code::OciName => Weight::Note,
            _ => Weight::Problem,
        }
    }
}

/// Where something was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the upper, from its root.
    Upper(RelPath),
    /// In the work directory, from its root.
    Work(RelPath),
}

/// What repairs a finding. None of it takes anything away that a mount shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// The attribute is removed.
    RemoveMarker(&'static CStr),
    /// The attribute is written.
    SetMarker(&'static CStr, Vec<u8>),
    /// The whiteout is removed.
    RemoveWhiteout,
    /// It is removed from the work directory.
    RemoveFromWork(NameBuf),
    /// It is removed from the index.
    RemoveFromIndex(NameBuf),
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remedy::RemoveMarker(name) => write!(f, "remove {}", name.to_string_lossy()),
            Remedy::SetMarker(name, value) => {
                write!(f, "set {} to \"{}\"", name.to_string_lossy(), value.escape_ascii())
            }
            Remedy::RemoveWhiteout => f.write_str("remove the whiteout"),
            Remedy::RemoveFromWork(_) => f.write_str("remove it from the work directory"),
            Remedy::RemoveFromIndex(_) => f.write_str("remove the entry from the index"),
        }
    }
}

/// What is wrong with one object, without its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What kind.
    pub code: Code,
    /// What was found, on one line.
    pub found: String,
    /// What repairs it; `None` where that could lose something, or nobody can know what was meant.
    pub remedy: Option<Remedy>,
}

impl Verdict {
    /// One that is only told.
    pub fn told(code: Code, found: impl Into<String>) -> Self {
        Verdict { code, found: found.into(), remedy: None }
    }

    /// One that can be repaired.
    pub fn repaired_by(code: Code, found: impl Into<String>, remedy: Remedy) -> Self {
        Verdict { code, found: found.into(), remedy: Some(remedy) }
    }
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// What.
    pub verdict: Verdict,
}
