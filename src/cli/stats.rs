//! `lamina stats`.

mod text;

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueHint;

pub use self::text::report;
use super::epilogue::{Epilogue, Example, Note};
use super::terminal::{Out, Reader};
use super::{Failure, terminal};
use crate::control::stats::{Counted, StatsError};

/// What follows the options in the help and the man page.
pub const EPILOGUE: Epilogue = Epilogue {
    examples: &[
        Example { what: "what a mount has been asked, and what it holds", command: "lamina stats /mnt" },
        Example {
            what: "what a command costs: its requests, second by second",
            command: "lamina stats --watch /mnt & find /mnt > /dev/null; kill %1",
        },
        Example {
            what: "kinds and their numbers, for a script",
            command: "lamina stats --json /mnt | jq '.requests[] | {kind, count}'",
        },
    ],
    notes: &[
        Note {
            heading: "Columns",
            text: "COUNT: requests of the kernel; what it has cached it does not ask for. ERRORS: answered with an error, a missing \
                   attribute among them; a name that does not exist is none. P50, P99: half of them, and 99 of 100, took at most so \
                   long from reading the request to having answered it, up to a quarter less. user.lamina.*: questions about the mount itself, as this one.",
        },
        Note {
            heading: "Who may",
            text: "Who mounted it, and root where root may look into the mount (allow_root, allow_other).",
        },
        Note {
            heading: "Without the command",
            text: "SIGUSR1 has the daemon write the same into its log. The pid is in lamina list.",
        },
    ],
};

/// `lamina stats`.
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE.help())]
pub struct StatsArgs {
    /// Where it is mounted
    #[arg(value_name = "MOUNTPOINT", value_hint = ValueHint::DirPath)]
    pub mountpoint: PathBuf,
    /// Print JSON: an object
    #[arg(long)]
    pub json: bool,
    /// Show again and again what has come in the last SECS seconds [default: 1]
    #[arg(
        long, value_name = "SECS", num_args = 0..=1, require_equals = true, default_missing_value = "1",
        conflicts_with = "json", value_parser = clap::value_parser!(u32).range(1..=86_400)
    )]
    pub watch: Option<u32>,
}

/// Prints the statistics.
pub fn run(args: &StatsArgs) -> Result<(), Failure> {
    let mount = Counted::at(&args.mountpoint).map_err(failure)?;
    if let Some(seconds) = args.watch {
        return watch(&mount, Duration::from_secs(seconds.into()));
    }
    let snapshot = mount.snapshot().map_err(failure)?;
    match args.json {
        true => terminal::print(terminal::json(&snapshot)?.as_bytes()),
        false => terminal::print(report(&snapshot, terminal::width()).as_bytes()),
    }
}

/// A report for each interval, until it is interrupted, the mount is gone, or nobody reads any more.
fn watch(mount: &Counted, interval: Duration) -> Result<(), Failure> {
    let mut before = mount.snapshot().map_err(failure)?;
    let mut out = Out::new();
    loop {
        std::thread::sleep(interval);
        let now = mount.snapshot().map_err(failure)?;
        let text = report(&now.since(&before), terminal::width());
        out.write(format!("{text}\n").as_bytes())?;
        if out.flush()? == Reader::Gone {
            return Ok(());
        }
        before = now;
    }
}

fn failure(error: StatsError) -> Failure {
    Failure::trouble(error.to_string()).hint(error.hint())
}
