//! `lamina man`.

use std::io::{self, Write};

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::epilogue::{Epilogue, Example, Note};
use super::{
    Cli, Failure, args, browse, cat, check, commit, compat, completions, convert, diff, doctor, explain,
    extract, inspect, layers, list, ls, mount, refresh, stats, store, terminal, umount, unpack, waste,
};

/// What follows the options in the help and the man page.
pub const EPILOGUE: Epilogue = Epilogue {
    examples: &[
        Example { what: "read the page of lamina mount", command: "lamina man mount | man -l -" },
        Example {
            what: "install it",
            command: "lamina man mount > /usr/local/share/man/man1/lamina-mount.1",
        },
        Example {
            what: "the page of the command line of mount(8), which is in section 8",
            command: "lamina man mount.fuse.lamina | man -l -",
        },
    ],
    notes: &[],
};

/// `lamina man`.
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE.help())]
pub struct ManArgs {
    /// The command whose page is printed; without it, the page of lamina itself
    #[arg(value_enum, value_name = "COMMAND")]
    pub page: Option<Page>,
}

/// The commands that have a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs)] // the names say it
pub enum Page {
    Mount,
    Umount,
    Refresh,
    Stats,
    List,
    Inspect,
    Explain,
    Ls,
    Cat,
    Extract,
    Run,
    Diff,
    Waste,
    Browse,
    Layers,
    Unpack,
    Commit,
    Check,
    Convert,
    Store,
    Doctor,
    Completions,
    Man,
    // The command line of mount(8), which is no command: in section 8.
    #[value(name = "mount.fuse.lamina")]
    Helper,
}

impl Page {
    fn name(self) -> &'static str {
        match self {
            Page::Mount => "mount",
            Page::Umount => "umount",
            Page::Refresh => "refresh",
            Page::Stats => "stats",
            Page::List => "list",
            Page::Inspect => "inspect",
            Page::Explain => "explain",
            Page::Ls => "ls",
            Page::Cat => "cat",
            Page::Extract => "extract",
            Page::Run => "run",
            Page::Diff => "diff",
            Page::Waste => "waste",
            Page::Browse => "browse",
            Page::Layers => "layers",
            Page::Unpack => "unpack",
            Page::Commit => "commit",
            Page::Check => "check",
            Page::Convert => "convert",
            Page::Store => "store",
            Page::Doctor => "doctor",
            Page::Completions => "completions",
            Page::Man => "man",
            Page::Helper => "mount.fuse.lamina",
        }
    }

    fn epilogue(self) -> Epilogue {
        match self {
            Page::Mount => mount::EPILOGUE,
            Page::Umount => umount::EPILOGUE,
            Page::Refresh => refresh::EPILOGUE,
            Page::Stats => stats::EPILOGUE,
            Page::List => list::EPILOGUE,
            Page::Inspect => inspect::EPILOGUE,
            Page::Explain => explain::EPILOGUE,
            Page::Ls => ls::EPILOGUE,
            Page::Cat => cat::EPILOGUE,
            Page::Extract => extract::EPILOGUE,
            Page::Run => super::run::EPILOGUE,
            Page::Diff => diff::EPILOGUE,
            Page::Waste => waste::EPILOGUE,
            Page::Browse => browse::EPILOGUE,
            Page::Layers => layers::EPILOGUE,
            Page::Unpack => unpack::EPILOGUE,
            Page::Commit => commit::EPILOGUE,
            Page::Check => check::EPILOGUE,
            Page::Convert => convert::EPILOGUE,
            Page::Store => store::EPILOGUE,
            Page::Doctor => doctor::EPILOGUE,
            Page::Completions => completions::EPILOGUE,
            Page::Man | Page::Helper => EPILOGUE,
        }
    }

    fn exit_status(self) -> &'static [Note] {
        match self {
            // Their own, with their notes.
            Page::Diff | Page::Waste | Page::Run | Page::Check | Page::Doctor => &[],
            _ => &[args::EXIT_STATUS],
        }
    }
}

/// Prints the page.
pub fn run(args: &ManArgs) -> Result<(), Failure> {
    let page = match args.page {
        Some(Page::Helper) => compat::page::render(),
        page => render(page),
    };
    let text = page.map_err(|error| Failure::trouble(format!("the page cannot be made: {error}")))?;
    terminal::print(&text)
}

fn render(page: Option<Page>) -> io::Result<Vec<u8>> {
    let mut root = Cli::command().disable_help_subcommand(true).subcommand_help_heading("COMMANDS");
    root.build();
    let (command, epilogue, related) = match page {
        None => {
            let pages: Vec<String> =
                root.get_subcommands().map(|command| format!("lamina-{}", command.get_name())).collect();
            (root, args::EPILOGUE, pages)
        }
        Some(page) => match root.find_subcommand(page.name()) {
            Some(command) => (command.clone(), page.epilogue(), vec!["lamina".to_owned()]),
            None => return Err(io::Error::other(format!("there is no command '{}'", page.name()))),
        },
    };
    let mut text = Vec::new();
    let mut command = command.mut_arg("help", |arg| arg.help("Print the help.").long_help(None));
    let usage = command.render_usage().to_string();
    let name = command.get_bin_name().unwrap_or("lamina").to_owned();
    let display_name = command.get_display_name().unwrap_or("lamina").to_uppercase();
    let description = description(&command);
    if page.is_none() {
        command = command.mut_arg("version", |arg| arg.help("Print the version.").long_help(None));
    }
    let has_commands = command.has_subcommands();
    let own_commands = page.map(|_| commands(&mut command));
    let man = Man::new(command);
    // Written here: the generator leaves an empty date out, and what follows takes its place.
    let version = env!("CARGO_PKG_VERSION");
    writeln!(text, ".TH {display_name} 1 \"\" \"lamina {version}\" \"User Commands\"")?;
    man.render_name_section(&mut text)?;

    let mut head = Roff::default();
    head.control("SH", ["SYNOPSIS"]);
    let usage = usage.trim_start_matches("Usage:").trim();
    let (name, rest) = usage.strip_prefix(&name).map_or(("", usage), |rest| (name.as_str(), rest));
    head.text([bold(name), roman(rest.replace(['<', '>'], ""))]);
    if page.is_none() {
        head.control("br", []);
        head.text([bold("lamina -o"), roman(" OPT,OPT MOUNTPOINT")]);
    }
    head.control("SH", ["DESCRIPTION"]);
    for paragraph in description.split("\n\n") {
        head.control("PP", []);
        head.text([roman(paragraph)]);
    }
    head.to_writer(&mut text)?;

    match own_commands {
        Some(commands) => commands.to_writer(&mut text)?,
        None if has_commands => man.render_subcommands_section(&mut text)?,
        None => {}
    }
    man.render_options_section(&mut text)?;

    let mut tail = Roff::default();
    epilogue.roff(&mut tail);
    if let Some(page) = page {
        Epilogue { examples: &[], notes: page.exit_status() }.roff(&mut tail);
    }
    tail.control("SH", ["SEE ALSO"]);
    let others = ["mount(8)", "umount(8)", "fusermount3(1)", "mount.fuse3(8)"].map(str::to_owned);
    let related: Vec<String> = related.into_iter().map(|name| format!("{name}(1)")).chain(others).collect();
    tail.text([roman(related.join(", "))]);
    tail.to_writer(&mut text)?;
    Ok(text)
}

/// The commands of a command, with their words and options: they have no pages of their own.
fn commands(command: &mut Command) -> Roff {
    let mut page = Roff::default();
    if command.has_subcommands() {
        page.control("SH", ["COMMANDS"]);
    }
    for one in command.get_subcommands_mut() {
        let usage = one.render_usage().to_string();
        let usage = usage.trim_start_matches("Usage:").trim().replace(['<', '>'], "");
        page.control("TP", []);
        page.text([bold(usage)]);
        page.text([roman(one.get_about().map(ToString::to_string).unwrap_or_default())]);
        page.control("RS", []);
        // What all of them have is told with the options.
        for arg in one.get_arguments().filter(|arg| !arg.is_global_set() && arg.get_id() != "help") {
            page.control("TP", []);
            let long = arg.to_string().replace(['<', '>'], "");
            let name = arg.get_short().map_or(long.clone(), |short| format!("-{short}, {long}"));
            page.text([bold(name)]);
            page.text([roman(arg.get_help().map(ToString::to_string).unwrap_or_default())]);
        }
        page.control("RE", []);
    }
    page
}

/// The long description, without a first paragraph that the section NAME has said.
fn description(command: &Command) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let long = command.get_long_about().map_or_else(|| about.clone(), ToString::to_string);
    long.strip_prefix(&about).map(str::trim_start).filter(|rest| !rest.is_empty()).unwrap_or(&long).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_command_has_a_page() {
        let helper = |page: &&Page| **page == Page::Helper;
        let mut pages: Vec<&str> =
            Page::value_variants().iter().filter(|page| !helper(page)).map(|page| page.name()).collect();
        let root = Cli::command();
        let mut commands: Vec<&str> = root.get_subcommands().map(Command::get_name).collect();
        pages.sort_unstable();
        commands.sort_unstable();
        assert_eq!(pages, commands);
        for page in Page::value_variants() {
            let value = page.to_possible_value().unwrap();
            assert_eq!(value.get_name(), page.name());
        }
    }
}
