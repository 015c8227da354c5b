//! `lamina check`: is an upper as a union leaves it, and can it be repaired?

mod json;
mod text;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueHint;

use super::epilogue::{Epilogue, Example, Note};
use super::failure::{Answer, Failure};
use super::image_args::{SelectArgs, StoreArgs};
use super::opened::Selection;
use super::{terminal, upkeep};
use crate::check::{self, Finding, Repaired, Report, Target, Weight};
use crate::source::preflight::Role;

/// What follows the options in the help and the man page.
pub const EPILOGUE: Epilogue = Epilogue {
    examples: &[
        Example {
            what: "look at the changes of a mount that is not mounted now",
            command: "lamina check changes",
        },
        Example {
            what: "with the layers below, more can be said",
            command: "lamina check changes --lower app --lower base",
        },
        Example { what: "what a repair would do", command: "lamina check changes --repair --dry-run" },
        Example {
            what: "an upper of the kernel's overlay, with its work directory",
            command: "lamina check upper work --lower overlay:app:base --repair",
        },
        Example { what: "for a script", command: "lamina check --json changes | jq -r '.findings[].code'" },
    ],
    notes: &[
        Note {
            heading: "Repair",
            text: "Nothing is taken away that a mount shows, and lower layers are only read. Where it is not clear what was \
                   meant, a finding is only told. Neither checking nor repairing is done while a mount uses the upper.",
        },
        EXIT_STATUS,
    ],
};

/// The exit codes.
pub const EXIT_STATUS: Note = Note {
    heading: "Exit status",
    text: "0 nothing is wrong, or all of it was repaired; 1 something is wrong, and still is; 2 it could not be said: the upper \
           is in use, not all could be read, or the command line is wrong. Notes do not count.",
};

/// `lamina check`.
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE.help(), mut_arg("quiet", |quiet| quiet.help("Print nothing, the exit code says it")))]
pub struct CheckArgs {
    /// The upper directory of a mount
    #[arg(value_name = "UPPER", value_hint = ValueHint::DirPath)]
    upper: PathBuf,
    /// Its work directory [default: .UPPER.lamina-work beside it, if there is one]
    #[arg(value_name = "WORK", value_hint = ValueHint::DirPath)]
    work: Option<PathBuf>,
    /// What the upper lies over, as lamina mount takes it; several times, the top first
    #[arg(short, long, value_name = "SOURCE", value_hint = ValueHint::AnyPath)]
    lower: Vec<OsString>,
    /// Repair what can be repaired without losing anything
    #[arg(long)]
    repair: bool,
    /// With --repair: only say what would be done
    #[arg(long, requires = "repair")]
    dry_run: bool,
    /// Print JSON: an object with the findings
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// What is done about what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// It is told, with what --repair would do.
    Tell,
    /// It is repaired.
    Repair,
}

/// A finding, and what has become of it.
struct Outcome {
    finding: Finding,
    state: State,
}

/// What has become of a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// --repair would repair it.
    Repairable,
    /// It is repaired.
    Repaired,
    /// It could not be repaired, and why.
    Failed(String),
    /// Nothing repairs it.
    Left,
}

impl Outcome {
    /// Is something wrong still?
    fn counts(&self) -> bool {
        self.finding.verdict.code.weight() == Weight::Problem && self.state != State::Repaired
    }
}

/// Everything that is told.
struct Told<'a> {
    upper: &'a Path,
    work: Option<&'a Path>,
    lowers_known: bool,
    objects: u64,
    outcomes: Vec<Outcome>,
}

/// Checks, and repairs.
pub fn run(args: &CheckArgs) -> Result<Answer, Failure> {
    check(args).map_err(Failure::unanswered)
}

fn check(args: &CheckArgs) -> Result<Answer, Failure> {
    let upper = upkeep::upper(&args.upper)?;
    let work = match &args.work {
        Some(work) => Some(upkeep::directory(work, Role::Work)?),
        None => super::workdir::default_for(&upper).filter(|work| fs::symlink_metadata(work).is_ok()),
    };
    upkeep::refuse_the_kernels(&upper, work.as_deref())?;
    let lowers = upkeep::lowers(&args.lower, &args.select, &args.store)?;
    let lowers = lowers.map(|known| known.open(Selection::All)).transpose()?;
    let target = Target::open(&upper, work.as_deref())?;
    let Report { findings, trouble, objects } =
        check::check(&target, lowers.as_ref().map(|lowers| &lowers.overlay))?;
    let action = if args.repair && !args.dry_run { Action::Repair } else { Action::Tell };
    let outcomes: Vec<Outcome> =
        findings.into_iter().map(|finding| outcome(&target, finding, action)).collect();
    let told =
        Told { upper: &upper, work: work.as_deref(), lowers_known: lowers.is_some(), objects, outcomes };
    match args.json {
        _ if args.store.quiet => {}
        true => terminal::print(terminal::json(&json::Document::of(&told))?.as_bytes())?,
        false => terminal::print(text::report(&told, terminal::colours()).as_bytes())?,
    }
    let mut trouble = trouble.into_iter();
    if let Some(last) = trouble.next_back() {
        trouble.for_each(|trouble| eprintln!("{}", Failure::trouble(trouble.to_string())));
        return Err(Failure::trouble(last.to_string())
            .hint("what could not be read was not checked: run it as the owner of the upper, or as root"));
    }
    Ok(if told.outcomes.iter().any(Outcome::counts) { Answer::No } else { Answer::Yes })
}

fn outcome(target: &Target, finding: Finding, action: Action) -> Outcome {
    let state = match (action, &finding.verdict.remedy) {
        (_, None) => State::Left,
        (Action::Tell, Some(_)) => State::Repairable,
        (Action::Repair, Some(_)) => match check::repair(target, &finding) {
            Repaired::Done => State::Repaired,
            Repaired::Left => State::Left,
            Repaired::Failed(error) => State::Failed(error.to_string()),
        },
    };
    Outcome { finding, state }
}

#[cfg(test)]
mod tests;
