//! `lamina diff`: what is different in one source from another, or what a mount's upper changes.

mod json;
mod sides;
mod stat;
mod text;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::ops::ControlFlow::{self, Break, Continue};
use std::path::PathBuf;

use clap::ValueHint;

use self::json::Json;
use self::sides::Sides;
use self::stat::{Form, Stat};
use self::text::Text;
use super::epilogue::{Epilogue, Example, Note};
use super::failure::{Answer, Failure};
use super::image_args::{SelectArgs, StoreArgs};
use super::opened::Opened;
use super::terminal::Reader;
use crate::diff::{Change, Comparison, Detail, Options, Parents, Side, Sink, Times, Trusted};
use crate::error::Error;
use crate::path::RelPath;
use crate::sys::identity;

/// What follows the options in the help and the man page.
pub const EPILOGUE: Epilogue = Epilogue {
    examples: &[
        Example { what: "what was changed in a mount", command: "lamina diff /mnt" },
        Example {
            what: "what a new version brings, in numbers",
            command: "lamina diff --stat app-1.tar app-2.tar",
        },
        Example {
            what: "what the third layer of an image changes",
            command: "lamina diff --layer 3 app.tar",
        },
        Example {
            what: "what a run in an image has changed",
            command: "lamina run app.tar --upper changes -- sh; lamina diff app.tar --upper changes",
        },
        Example {
            what: "the files with other content, for a script",
            command: "lamina diff --json a b | jq '.[] | select(.what[] == \"content\").path'",
        },
        Example {
            what: "only whether it is the same",
            command: "lamina diff -q app.tar rootfs && echo same",
        },
    ],
    notes: &[
        Note {
            heading: "What is compared",
            text: "What a mount of each would show. A is added in the second, D deleted, C changed; in brackets is what: type, content, \
                   target of a symlink, device, mode, owner, xattr (ACLs and capabilities among them, security labels not), time. \
                   A directory is changed where its own mode, owner or xattrs are others. A deleted directory is one line. \
                   Hard links are compared as the files that they are names of. Nothing is read that both have from the same layer.",
        },
        EXIT_STATUS,
    ],
};

/// The exit codes, which are those of diff(1).
pub const EXIT_STATUS: Note = Note {
    heading: "Exit status",
    text: "0 nothing is different, 1 something is, 2 it could not be said: not all could be compared, or the command line is wrong.",
};

/// Explains the sources.
const SOURCES: &str = "\
Two of: an image, a directory, overlay:TOP:...:BASE, the mount point of a live mount. Or one live mount

A live mount of lamina, recognised by its daemon's answer, is its whole stack, the upper included; alone it is compared with what is \
below its upper. `overlay:DIR` means the directory itself. Of one source, two stacks of its layers are compared with --from and \
--to, or --layer. No mount is made.";

/// `lamina diff`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = EPILOGUE.help(),
    override_usage = "lamina diff [OPTIONS] MOUNTPOINT\n       lamina diff [OPTIONS] BEFORE AFTER\n       lamina diff [OPTIONS] --layer N SOURCE\n       lamina diff [OPTIONS] --upper DIR SOURCE",
    mut_arg("quiet", |quiet| quiet.help("Print nothing, the exit code says it: it ends at the first difference"))
)]
pub struct DiffArgs {
    #[arg(value_name = "SOURCE", num_args = 1..=2, required = true, value_hint = ValueHint::AnyPath, help = "Two of: an image, a directory, overlay:TOP:...:BASE, a live mount. Or one live mount", long_help = SOURCES)]
    sources: Vec<OsString>,
    /// Of the first SOURCE, take the stack of the layers up to N (1 is the base)
    #[arg(long, value_name = "N")]
    from: Option<NonZeroUsize>,
    /// Of the last SOURCE, take the stack of the layers up to N
    #[arg(long, value_name = "N")]
    to: Option<NonZeroUsize>,
    /// Show what layer N of the one SOURCE changes in the stack below it
    #[arg(long, value_name = "N", conflicts_with_all = ["from", "to"])]
    layer: Option<NonZeroUsize>,
    /// Show what DIR changes as the upper of the one SOURCE: an upper that lamina mount or lamina run has left
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with_all = ["from", "to", "layer"])]
    upper: Option<PathBuf>,
    /// Compare only PATH, and what is below it
    #[arg(long, value_name = "PATH")]
    path: Option<OsString>,
    /// Another time of change is a difference, too
    #[arg(long)]
    times: bool,
    /// Show the directories above a change, too, as docker diff does
    #[arg(long, conflicts_with = "stat")]
    parents: bool,
    /// Show numbers and sizes by directory
    #[arg(long)]
    stat: bool,
    /// With --stat: how many names deep directories are told apart
    #[arg(long, value_name = "N", default_value_t = 1, requires = "stat")]
    depth: usize,
    /// Print JSON: an array with an object for each path; with --stat, one object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// Says what is different.
pub fn run(args: &DiffArgs) -> Result<Answer, Failure> {
    compare(args).map_err(Failure::unanswered)
}

fn compare(args: &DiffArgs) -> Result<Answer, Failure> {
    let sides = Sides::open(args)?;
    let privileged = identity::effective().0 == 0 && identity::in_first_user_namespace();
    let options = Options {
        times: if args.times { Times::Compared } else { Times::Ignored },
        trusted: if privileged { Trusted::Compared } else { Trusted::Ignored },
        parents: if args.parents { Parents::Told } else { Parents::LeftOut },
        detail: if args.store.quiet { Detail::Existence } else { Detail::Whole },
    };
    let before = sides.before.as_ref().map(|before| &before.overlay);
    let failure = |error: Error| sides.after.failure(&error);
    let comparison = Comparison::new(before, &sides.after.overlay, options).map_err(failure)?;
    let (path, entries) = match &args.path {
        Some(path) => sides.find(path)?,
        None => (RelPath::root(), comparison.roots().map_err(failure)?),
    };
    let output: Option<Box<dyn Output + '_>> = match (args.store.quiet, args.stat, args.json) {
        (true, _, _) => None,
        (false, true, json) => {
            Some(Box::new(Stat::new(args.depth, if json { Form::Json } else { Form::Text })))
        }
        (false, false, true) => Some(Box::new(Json::new(&sides))),
        (false, false, false) => Some(Box::new(Text::new())),
    };
    let mut report = Report { sides: &sides, output, answer: Answer::Yes, unwritten: None, trouble: None };
    comparison.run(&path, entries, &mut report);
    report.finish()
}

/// Where differences are written.
trait Output {
    /// The next one.
    fn change(&mut self, path: &RelPath, change: &Change) -> Result<Reader, Failure>;
    /// There are no more.
    fn finish(self: Box<Self>) -> Result<(), Failure>;
}

/// What has come of the comparison.
struct Report<'a> {
    sides: &'a Sides,
    /// `None`: nothing is written, and the first difference is enough.
    output: Option<Box<dyn Output + 'a>>,
    answer: Answer,
    /// Why nothing more can be written.
    unwritten: Option<Failure>,
    /// The last that could not be compared. Those before are told.
    trouble: Option<Failure>,
}

impl Report<'_> {
    fn finish(self) -> Result<Answer, Failure> {
        if let Some(failure) = self.unwritten {
            return Err(failure);
        }
        if let Some(output) = self.output {
            output.finish()?;
        }
        self.trouble.map_or(Ok(self.answer), Err)
    }
}

impl Sink for Report<'_> {
    fn change(&mut self, path: &RelPath, change: &Change) -> ControlFlow<()> {
        self.answer = Answer::No;
        let Some(output) = &mut self.output else { return Break(()) };
        match output.change(path, change) {
            Ok(Reader::There) => Continue(()),
            Ok(Reader::Gone) => Break(()),
            Err(failure) => {
                self.unwritten = Some(failure);
                Break(())
            }
        }
    }

    fn trouble(&mut self, side: Side, error: &Error) -> ControlFlow<()> {
        let source: &Opened = match (side, &self.sides.before) {
            (Side::Before, Some(before)) => before,
            (Side::Before, None) | (Side::After, _) => &self.sides.after,
        };
        if let Some(before) = self.trouble.replace(source.failure(error)) {
            eprintln!("{before}");
        }
        Continue(())
    }
}
