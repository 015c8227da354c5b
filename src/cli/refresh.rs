//! `lamina refresh`.

use std::path::PathBuf;

use clap::ValueHint;

use super::Failure;
use super::epilogue::{Epilogue, Example, Note};
use crate::control::refresh::refresh;

/// What follows the options in the help and the man page.
pub const EPILOGUE: Epilogue = Epilogue {
    examples: &[Example {
        what: "a layer was changed where it lies: show it in the mount",
        command: "cp new.conf base/etc/app.conf; lamina refresh mnt",
    }],
    notes: &[
        Note {
            heading: "What it does",
            text: "Names, listings, attributes and data that come from the lower layers are those of now when it returns. What \
                   has been changed in the mount stays. Who has a file open that another one has replaced keeps the old one. \
                   An image's archive may not change: it is not read again.",
        },
        Note {
            heading: "Who may",
            text: "Who mounted it, and root where root may look into the mount (allow_root, allow_other).",
        },
        Note {
            heading: "Instead",
            text: "With -o timeout=0 a mount asks its layers each time, and needs no refresh.",
        },
    ],
};

/// `lamina refresh`.
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE.help())]
pub struct RefreshArgs {
    /// Where it is mounted; several are refreshed one after the other
    #[arg(required = true, num_args = 1.., value_name = "MOUNTPOINT", value_hint = ValueHint::DirPath)]
    pub mountpoints: Vec<PathBuf>,
}

/// Refreshes. One mount that cannot be keeps no other from it.
pub fn run(args: &RefreshArgs) -> Result<(), Failure> {
    let mut last = Ok(());
    for mountpoint in &args.mountpoints {
        let done =
            refresh(mountpoint).map_err(|error| Failure::trouble(error.to_string()).hint(error.hint()));
        if let Err(failure) = done
            && let Err(earlier) = std::mem::replace(&mut last, Err(failure))
        {
            eprintln!("{earlier}");
        }
    }
    last
}
