//! `lamina store rm`.

use super::named;
use crate::cli::{Failure, human, terminal};
use crate::image::store::{Removed, Store};

/// `lamina store rm`.
#[derive(Debug, clap::Args)]
pub struct RmArgs {
    /// The layers, by their diff_id or its beginning
    #[arg(value_name = "DIFF_ID", required = true)]
    layers: Vec<String>,
}

/// Removes layers. All words must name one before any is removed; one that is in use keeps no other from going.
pub fn run(args: &RmArgs, store: &Store) -> Result<(), Failure> {
    let layers: Vec<_> = args.layers.iter().map(|word| named(store, word)).collect::<Result<_, _>>()?;
    let mut used = Vec::new();
    for diff_id in layers {
        match store.remove(&diff_id)? {
            Removed::Freed(bytes) => {
                let line = format!("{}  removed, {} are free\n", diff_id.short(), human::size(bytes));
                terminal::print(line.as_bytes())?;
            }
            Removed::InUse | Removed::Busy => used.push(diff_id.short()),
        }
    }
    match used.as_slice() {
        [] => Ok(()),
        used => Err(Failure::trouble(format!("in use, and not removed: {}", used.join(", ")))
            .hint("unmount what uses them: lamina list shows what is mounted")),
    }
}
