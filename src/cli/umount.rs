//! `lamina umount`.

use std::path::{Path, PathBuf};

use clap::ValueHint;

use super::Failure;
use super::epilogue::{Epilogue, Example, Note};
use crate::control::unmount::{Busy, Unmounted, unmount};

/// What follows the options in the help and the man page.
pub const EPILOGUE: Epilogue = Epilogue {
    examples: &[
        Example {
            what: "end a mount, and wait until its daemon has written everything",
            command: "lamina umount /mnt",
        },
        Example {
            what: "take two away, though something may still use them",
            command: "lamina umount --lazy mnt1 mnt2",
        },
    ],
    notes: &[Note {
        heading: "How long it takes",
        text: "It returns when the daemon has ended: a few milliseconds. A mount namespace that was made while the mount stood (of a \
               container, say) has a copy of it, and keeps the daemon: after 20 seconds that is said, with a process that lives in \
               it, and is no failure. With --lazy it is said at once.",
    }],
};

/// `lamina umount`.
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE.help())]
pub struct UmountArgs {
    /// Where it is mounted; several are unmounted one after the other
    #[arg(required = true, num_args = 1.., value_name = "MOUNTPOINT", value_hint = ValueHint::DirPath)]
    pub mountpoints: Vec<PathBuf>,
    /// Take a mount away that is in use: it ends with its last user
    #[arg(short = 'z', visible_short_alias = 'l', long)]
    pub lazy: bool,
}

/// Unmounts, and waits until the daemons have ended. What cannot be unmounted keeps nothing else mounted.
pub fn run(args: &UmountArgs) -> Result<(), Failure> {
    let busy = if args.lazy { Busy::Detach } else { Busy::Refuse };
    let mut last = Ok(());
    for mountpoint in &args.mountpoints {
        if let Err(failure) = one(mountpoint, busy)
            && let Err(earlier) = std::mem::replace(&mut last, Err(failure))
        {
            eprintln!("{earlier}");
        }
    }
    last
}

fn one(mountpoint: &Path, busy: Busy) -> Result<(), Failure> {
    match unmount(mountpoint, busy) {
        Ok(Unmounted::Ended) => Ok(()),
        Ok(Unmounted::DaemonRuns { pid, kept_by }) => {
            let why = match kept_by {
                Some(process) => {
                    format!("process {process} lives in a mount namespace that has a copy of it")
                }
                None => "something has files of it open".to_owned(),
            };
            log::warn!("{} is unmounted; its daemon (pid {pid}) still runs: {why}", mountpoint.display());
            Ok(())
        }
        Err(error) => Err(Failure::trouble(error.to_string()).hint(error.hint())),
    }
}
