//! `lamina store gc`.

use std::time::Duration;

use crate::cli::{Failure, human, terminal};
use crate::image::store::{Garbage, Store, Why};

/// `lamina store gc`.
#[derive(Debug, clap::Args)]
pub struct GcArgs {
    /// Remove also layers that were not used for DAYS days, though their image is still there
    #[arg(long, value_name = "DAYS", value_parser = days)]
    older_than: Option<u32>,
    /// Only show what would be removed
    #[arg(short = 'n', long)]
    dry_run: bool,
}

fn days(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "it must be a whole number of days")
}

/// Removes what nobody needs.
pub fn run(args: &GcArgs, store: &Store) -> Result<(), Failure> {
    let age = args.older_than.map(|days| Duration::from_secs(u64::from(days).saturating_mul(86_400)));
    let garbage = store.garbage(age)?;
    if garbage.is_empty() {
        eprintln!("lamina: nothing in '{}' can be removed", store.dir().display());
        return Ok(());
    }
    let mut text = list(&garbage);
    if args.dry_run {
        text.push_str("nothing was removed (--dry-run)\n");
        return terminal::print(text.as_bytes());
    }
    let collected = store.collect(&garbage)?;
    text.push_str(&format!("{} are free\n", human::size(collected.freed)));
    if collected.in_use > 0 {
        text.push_str(&format!("{} of the layers came into use meanwhile, and stay\n", collected.in_use));
    }
    terminal::print(text.as_bytes())
}

fn list(garbage: &Garbage) -> String {
    let mut text = String::new();
    for (diff_id, bytes, why) in &garbage.layers {
        let why = match why {
            Why::NoImage => "no image has it any more",
            Why::Unused => "not used for long",
        };
        text.push_str(&format!("{}  {:>9}  {why}\n", diff_id.short(), human::size(*bytes)));
    }
    let (files, bytes) = garbage.abandoned;
    if files > 0 {
        text.push_str(&format!("{files} unfinished files  {}\n", human::size(bytes)));
    }
    if garbage.records() > 0 {
        text.push_str(&format!("{} records of files that are gone or not needed\n", garbage.records()));
    }
    text
}
