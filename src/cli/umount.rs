//! `lamina umount`.

use std::path::PathBuf;

use super::Failure;
use crate::control::unmount::{Busy, Unmounted, unmount};

/// `lamina umount`.
#[derive(Debug, clap::Args)]
pub struct UmountArgs {
    /// Where it is mounted
    pub mountpoint: PathBuf,
    /// Take a mount away that is in use: it ends with its last user
    #[arg(short = 'z', long)]
    pub lazy: bool,
}

/// Unmounts, and waits until the daemon has ended.
pub fn run(args: &UmountArgs) -> Result<(), Failure> {
    let busy = if args.lazy { Busy::Detach } else { Busy::Refuse };
    match unmount(&args.mountpoint, busy) {
        Ok(Unmounted::Ended) => Ok(()),
        Ok(Unmounted::DaemonRuns(pid)) => {
            log::warn!("{} is unmounted; its daemon (pid {pid}) still runs", args.mountpoint.display());
            Ok(())
        }
        Err(error) => Err(Failure::trouble(error.to_string()).hint(error.hint())),
    }
}
