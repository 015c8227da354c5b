//! `lamina convert`: the same changes, in another form on disk.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ValueHint;

use super::Failure;
use super::epilogue::{Epilogue, Example, Note};
use super::image_args::{SelectArgs, StoreArgs};
use super::terminal::{self, Out, shown_bytes};
use super::upkeep;
use super::workdir::{self, MadeDir};
use crate::config::UpperSpec;
use crate::convert::{self, Blocked, Form, Step, Survey, Target};
use crate::path::RelPath;
use crate::source::preflight::Role;

/// What follows the options in the help and the man page.
pub const EPILOGUE: Epilogue = Epilogue {
    examples: &[
        Example {
            what: "changes that were made without root, for the kernel's overlay",
            command: "sudo lamina convert changes --to kernel",
        },
        Example {
            what: "as a layer of an image has it, renamed directories with their content",
            command: "lamina convert changes --to oci --lower app --lower base",
        },
        Example { what: "what would be done", command: "lamina convert changes --to oci --dry-run" },
    ],
    notes: &[
        Note {
            heading: "What is converted",
            text: "Whiteouts, opaque directories and markers: those of any form are read, also several at once. A mount over the same \
                   layers shows the same before and after. What .wh. files cannot say, a renamed directory or a file with metadata \
                   only, is copied from the layers that --lower names; without them it is told, and nothing is converted.",
        },
        Note {
            heading: "Safety",
            text: "The upper must not be mounted. A new marker is there before the old one goes, so that a conversion that was \
                   ended can be run again; it is done once more where it is done already, and changes nothing.",
        },
    ],
};

/// `lamina convert`.
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE.help(), mut_arg("quiet", |quiet| quiet.help("Print nothing but errors")))]
pub struct ConvertArgs {
    /// The upper directory of a mount
    #[arg(value_name = "UPPER", value_hint = ValueHint::DirPath)]
    upper: PathBuf,
    /// Its work directory [default: .UPPER.lamina-work beside it]
    #[arg(value_name = "WORK", value_hint = ValueHint::DirPath)]
    work: Option<PathBuf>,
    /// The form it is to have
    #[arg(long, value_name = "FORM", value_enum)]
    to: FormArg,
    /// Only print what would be done
    #[arg(long)]
    dry_run: bool,
    /// What the upper lies over, as lamina mount takes it: what .wh. files cannot say is copied from there; several times, the top first
    #[arg(short, long, value_name = "SOURCE", value_hint = ValueHint::AnyPath)]
    lower: Vec<OsString>,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

/// The forms, as they are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum FormArg {
    /// Whiteout devices, markers in trusted.overlay.: what the kernel's overlay writes as root
    Kernel,
    /// Whiteout files .wh.NAME and .wh..wh..opq: what layers of images have
    Oci,
    /// Whiteout devices, markers in user.overlay.: what is written without root (userxattr)
    User,
}

impl From<FormArg> for Form {
    fn from(form: FormArg) -> Self {
        match form {
            FormArg::Kernel => Form::Kernel,
            FormArg::Oci => Form::Oci,
            FormArg::User => Form::User,
        }
    }
}

/// How many objects that cannot be converted are named.
const NAMED: usize = 20;

/// Converts.
pub fn run(args: &ConvertArgs) -> Result<(), Failure> {
    let upper = upkeep::upper(&args.upper)?;
    let (work, made) = match &args.work {
        Some(work) => (upkeep::directory(work, Role::Work)?, None),
        None => {
            let work = workdir::default_for(&upper)
                .ok_or_else(|| Failure::usage("the root directory has no sibling for a work directory"))?;
            let made = MadeDir::make(&work, &upper)?;
            (work, made)
        }
    };
    upkeep::refuse_the_kernels(&upper, Some(&work))?;
    let lowers = upkeep::lowers(&args.lower, &args.select, &args.store)?;
    let mut target = Target::open(&upper, &work, args.to.into())?;
    let mut survey = convert::survey(&target)?;
    if let Some(lowers) = lowers
        && survey.blocked.iter().all(|(_, why)| needs_content(why))
        && !survey.blocked.is_empty()
        && !args.dry_run
    {
        // The union has the upper in the meantime.
        drop(target);
        let overlay = lowers.writable(UpperSpec { upper: upper.clone(), work: work.clone() })?;
        for (path, _) in &survey.blocked {
            convert::bring_up(&overlay, path)?;
        }
        drop(overlay);
        target = Target::open(&upper, &work, args.to.into())?;
        for (path, _) in survey.blocked.iter().filter(|(_, why)| *why == Blocked::Redirect) {
            convert::seal(&target, path)?;
        }
        survey = convert::survey(&target)?;
    }
    if !survey.blocked.is_empty() {
        return Err(blocked(&survey));
    }
    let mut out = Out::new();
    if args.dry_run {
        tell_steps(&target, &mut out)?;
    } else {
        convert::convert(&target, &mut |_, _| Ok(()))?;
    }
    if !args.store.quiet {
        out.write(summary(&survey, args).as_bytes())?;
    }
    out.finish()?;
    // What was made for this only goes again.
    drop(target);
    drop(made);
    Ok(())
}

fn tell_steps(target: &Target, out: &mut Out) -> Result<(), Failure> {
    let mut unwritten = Ok(terminal::Reader::There);
    convert::plans(target, &mut |path: &RelPath, step: &Step| {
        if unwritten.is_ok() {
            let path = shown_bytes(&[b"/", path.as_bytes()].concat());
            unwritten = out.write(format!("{path}: {step}\n").as_bytes());
        }
    })?;
    unwritten.map(drop)
}

fn summary(survey: &Survey, args: &ConvertArgs) -> String {
    let mut text = match (survey.objects, args.dry_run) {
        (0, _) => "nothing to convert: it has this form\n".to_owned(),
        (1, true) => "1 object would be converted\n".to_owned(),
        (objects, true) => format!("{objects} objects would be converted\n"),
        (1, false) => "1 object converted\n".to_owned(),
        (objects, false) => format!("{objects} objects converted\n"),
    };
    if args.to == FormArg::User && survey.redirects > 0 {
        text.push_str(&format!(
            "{} go on elsewhere in the layers below: lamina follows that, the kernel's overlay with userxattr does not\n",
            survey.redirects
        ));
    }
    text
}

/// Could it be said, were its content in the upper?
fn needs_content(why: &Blocked) -> bool {
    matches!(why, Blocked::Redirect | Blocked::Metacopy)
}

fn blocked(survey: &Survey) -> Failure {
    let mut message = "some objects cannot be converted, so nothing was:".to_owned();
    for (path, why) in survey.blocked.iter().take(NAMED) {
        let path = shown_bytes(&[b"/", path.as_bytes()].concat());
        message.push_str(&format!("\n        {path}: {why}"));
    }
    if let Some(more @ 1..) = survey.blocked.len().checked_sub(NAMED) {
        message.push_str(&format!("\n        and {more} more"));
    }
    Failure::trouble(message).hint(match survey.blocked.iter().any(|(_, why)| needs_content(why)) {
        true => "with --lower SOURCE, what the upper lies over, their content is copied from there",
        false => "remove or rename these in the upper, or in a mount of it",
    })
}
