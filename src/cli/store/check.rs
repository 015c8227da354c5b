//! `lamina store verify`.

use super::named;
use crate::cli::progress::Shown;
use crate::cli::{Failure, terminal};
use crate::digest::Digest;
use crate::image::store::{Store, Verdict};

/// `lamina store verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// The layers, by their diff_id or its beginning [default: all]
    #[arg(value_name = "DIFF_ID")]
    layers: Vec<String>,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
}

/// Reads the layers. Each has its line; a bad one makes it a failure.
pub fn run(args: &VerifyArgs, store: &Store) -> Result<(), Failure> {
    let layers: Vec<Digest> = match args.layers.as_slice() {
        [] => store.layers()?.into_iter().map(|layer| layer.diff_id).collect(),
        words => words.iter().map(|word| named(store, word)).collect::<Result<_, _>>()?,
    };
    let progress = Shown::new(args.quiet);
    let mut bad = Vec::new();
    for (number, diff_id) in (1..).zip(&layers) {
        let verdict = store.check(diff_id, (number, layers.len()), &progress)?;
        let said = match &verdict {
            Verdict::Good => "good".to_owned(),
            Verdict::Bad(problem) => {
                bad.push(diff_id.short());
                format!("BAD: {problem}")
            }
            Verdict::Unknown => "not checked: its tar is in no file that is as it was".to_owned(),
        };
        terminal::print(format!("{}  {said}\n", diff_id.short()).as_bytes())?;
    }
    match bad.as_slice() {
        [] => Ok(()),
        bad => Err(Failure::trouble(format!(
            "{} of {} layers in '{}' are damaged",
            bad.len(),
            layers.len(),
            store.dir().display()
        ))
        .hint(format!(
            "remove them, and they are made again when they are needed: lamina store rm {}",
            bad.join(" ")
        ))),
    }
}
