//! `lamina man`.

use clap::CommandFactory;

use super::{Cli, Failure, terminal};

/// `lamina man`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  lamina man | man -l -\n  lamina man mount > /usr/share/man/man1/lamina-mount.1"
)]
pub struct ManArgs {
    /// The command whose page is printed; without it, the page of lamina itself
    pub command: Option<String>,
}

/// Prints the page.
pub fn run(args: &ManArgs) -> Result<(), Failure> {
    let mut root = Cli::command();
    root.build();
    let page = match &args.command {
        None => root,
        Some(name) => {
            let names: Vec<&str> = root.get_subcommands().map(clap::Command::get_name).collect();
            let unknown = || {
                Failure::usage(format!("there is no command '{name}'"))
                    .hint(format!("give one of {}", names.join(", ")))
            };
            root.find_subcommand(name).ok_or_else(unknown)?.clone()
        }
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page)
        .render(&mut text)
        .map_err(|error| Failure::trouble(format!("the page cannot be made: {error}")))?;
    terminal::print(&text)
}
