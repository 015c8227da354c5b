//! What was found, for programs. The field names are a format: see `docs/cli.md`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::Serialize;

use super::{Outcome, State, Told};
use crate::check::{Place, Weight};
use crate::control::PathText;
use crate::path::RelPath;

/// All of it.
#[derive(Debug, Serialize)]
pub struct Document {
    upper: PathText,
    work: Option<PathText>,
    lowers_known: bool,
    objects: u64,
    findings: Vec<Entry>,
    left: usize,
}

/// A finding.
#[derive(Debug, Serialize)]
struct Entry {
    code: &'static str,
    weight: &'static str,
    #[serde(rename = "in")]
    side: &'static str,
    path: PathText,
    found: String,
    means: &'static str,
    remedy: Option<String>,
    state: &'static str,
    error: Option<String>,
}

impl Document {
    /// What is told, as JSON has it.
    pub fn of(told: &Told<'_>) -> Self {
        Document {
            upper: told.upper.into(),
            work: told.work.map(PathText::from),
            lowers_known: told.lowers_known,
            objects: told.objects,
            findings: told.outcomes.iter().map(Entry::of).collect(),
            left: told.outcomes.iter().filter(|outcome| outcome.counts()).count(),
        }
    }
}

impl Entry {
    fn of(outcome: &Outcome) -> Self {
        let verdict = &outcome.finding.verdict;
        let (side, path) = match &outcome.finding.place {
            Place::Upper(path) => ("upper", path),
            Place::Work(path) => ("work", path),
        };
        let (state, error) = match &outcome.state {
            State::Repairable => ("repairable", None),
            State::Repaired => ("repaired", None),
            State::Failed(error) => ("failed", Some(error.clone())),
            State::Left => ("left", None),
        };
        Entry {
            code: verdict.code.word(),
            weight: match verdict.code.weight() {
                Weight::Problem => "problem",
                Weight::Note => "note",
            },
            side,
            path: path_text(path),
            found: verdict.found.clone(),
            means: verdict.code.means(),
            remedy: verdict.remedy.as_ref().map(ToString::to_string),
            state,
            error,
        }
    }
}

fn path_text(path: &RelPath) -> PathText {
    PathText::from(Path::new(OsStr::from_bytes(&[b"/", path.as_bytes()].concat())))
}
