//! `lamina waste`: the bytes that later layers have overwritten or deleted, and dive's score and rules.

mod ci;
mod compare;
mod json;
mod text;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::ValueHint;

use self::ci::{RuleArgs, Verdict};
use self::compare::Contents;
use super::epilogue::{Epilogue, Example, Note};
use super::explain::SOURCE;
use super::image_args::{SelectArgs, StoreArgs};
use super::opened::{self, Opened};
use super::{Answer, Failure, terminal};
use crate::error::Kind;
use crate::waste::{self, Keep, Wanted, Waste};

/// What follows the options in the help and the man page.
pub const EPILOGUE: Epilogue = Epilogue {
    examples: &[
        Example {
            what: "what an image carries in vain, and by which instructions",
            command: "lamina waste app.tar",
        },
        Example {
            what: "is it good enough? The exit code says so; the rules are those of .dive-ci",
            command: "lamina waste --ci app.tar",
        },
        Example {
            what: "with a rule of the command line, and the numbers in a file as dive writes it",
            command: "lamina waste --ci --highestWastedBytes 20MB --json=waste.json app.tar",
        },
        Example {
            what: "files that a later layer has written again with the same content",
            command: "lamina waste --compare app.tar",
        },
    ],
    notes: &[
        Note {
            heading: "What is counted",
            text: "Wasted are the bytes of files that nobody can see any more: a layer has them, and a later one has overwritten, \
                   deleted or replaced them, or made a directory above them opaque. LAYER has the bytes; BY is the first layer that \
                   hides them, and the instruction is its. A change of mode or owner writes the whole file again. \
                   Efficiency is dive's score, and its bytes are those of all files that are in two layers or more, what is \
                   still seen of them among that: docs/cli.md says how it counts. Only the indexes of the layers are read, \
                   except with --compare.",
        },
        Note {
            heading: "Rules",
            text: "--ci takes them from .dive-ci in the current directory, if there is one, or from the file of --ci-config; those of the \
                   command line win. Without any, lowestEfficiency is 0.9 and highestUserWastedPercent is 0.1 (both 0 to 1). \
                   highestWastedBytes is a number with a unit (20MB, 1.5GiB). The value 'disabled' switches a rule off.",
        },
        Note {
            heading: "Exit status",
            text: "0 done, 1 it could not be done, 2 the command line is wrong. With --ci: 0 all rules hold, 1 one does not, 2 \
                   there is no answer, or the command line is wrong.",
        },
    ],
};

/// How many paths are shown.
const TOP: usize = 20;

/// `lamina waste`.
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE.help())]
pub struct WasteArgs {
    #[arg(value_name = "SOURCE", value_hint = ValueHint::AnyPath, help = "An image, a directory, overlay:TOP:...:BASE, or the mount point of a live mount", long_help = SOURCE)]
    source: OsString,
    /// Show the N worst paths [default: 20; with --json all]
    #[arg(long, value_name = "N", conflicts_with = "all")]
    top: Option<NonZeroUsize>,
    /// Show all paths
    #[arg(long)]
    all: bool,
    /// Read the files shown that were overwritten, and say which were written again with the same content
    #[arg(long)]
    compare: bool,
    /// Print JSON with dive's fields; with =FILE, write it there beside the text
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, value_hint = ValueHint::FilePath)]
    json: Option<Option<PathBuf>>,
    #[command(flatten)]
    ci: RuleArgs,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    store: StoreArgs,
}

impl WasteArgs {
    /// A failure, as it ends the command: where there was a question, it must not look like an answer.
    pub fn failed(&self, failure: Failure) -> Failure {
        if self.ci.asked() { failure.unanswered() } else { failure }
    }
}

/// What is told of a source.
struct Report<'a> {
    opened: &'a Opened,
    waste: &'a Waste,
    /// What was compared of the rows.
    contents: &'a Contents,
    /// What the rules say, if they were asked.
    verdict: Option<&'a Verdict>,
}

/// Measures a source, and judges it by the rules.
pub fn run(args: &WasteArgs) -> Result<Answer, Failure> {
    measure(args).map_err(|failure| args.failed(failure))
}

fn measure(args: &WasteArgs) -> Result<Answer, Failure> {
    // Before anything takes time: rules that make no sense.
    let rules = args.ci.rules()?;
    let opened = opened::open(&args.source, &args.select, &args.store)?;
    let given = match (args.top, args.all) {
        (Some(top), _) => Some(Keep::Worst(top.get())),
        (None, true) => Some(Keep::All),
        (None, false) => None,
    };
    let wanted = match &args.json {
        None => Wanted { rows: given.unwrap_or(Keep::Worst(TOP)), references: Keep::Worst(0) },
        Some(_) => Wanted { rows: given.unwrap_or(Keep::All), references: given.unwrap_or(Keep::All) },
    };
    let waste = waste::measure(&opened.overlay, wanted).map_err(|error| {
        let failure = opened.failure(&error);
        match error.kind() {
            Kind::Unsupported(_) => failure.hint(
                "its bytes are shown elsewhere than where they are: make an image of it (lamina commit), and measure that",
            ),
            _ => failure,
        }
    })?;
    let shown = match (&args.json, given) {
        (Some(Some(_)), None) => TOP,
        _ => waste.rows.len(),
    };
    let contents = match args.compare {
        true => Contents::of(&opened, waste.rows.get(..shown).unwrap_or(&waste.rows)),
        false => Contents::default(),
    };
    let verdict = rules.map(|rules| Verdict::of(&rules, &waste));
    let report = Report { opened: &opened, waste: &waste, contents: &contents, verdict: verdict.as_ref() };
    match &args.json {
        Some(None) => json::print(&report)?,
        Some(Some(file)) => {
            json::write(&report, file)?;
            terminal::print(text::of(&report, shown).as_bytes())?;
        }
        None => terminal::print(text::of(&report, shown).as_bytes())?,
    }
    Ok(verdict.map_or(Answer::Yes, |verdict| verdict.answer()))
}
