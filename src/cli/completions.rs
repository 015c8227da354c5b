//! `lamina completions`.

use clap::builder::PossibleValuesParser;
use clap::{Command, CommandFactory, ValueHint};
use clap_complete::Shell as Generator;

use super::epilogue::{Epilogue, Example};
use super::{Cli, Failure, mount, terminal};

/// What follows the options in the help and the man page.
pub const EPILOGUE: Epilogue = Epilogue {
    examples: &[
        Example {
            what: "bash",
            command: "lamina completions bash > ~/.local/share/bash-completion/completions/lamina",
        },
        Example { what: "zsh, with ~/.zfunc in fpath", command: "lamina completions zsh > ~/.zfunc/_lamina" },
        Example { what: "fish", command: "lamina completions fish > ~/.config/fish/completions/lamina.fish" },
    ],
    notes: &[],
};

/// `lamina completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE.help())]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// The shells that have completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs)] // the names say it
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Prints the completions.
pub fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let generator = match args.shell {
        Shell::Bash => Generator::Bash,
        Shell::Zsh => Generator::Zsh,
        Shell::Fish => Generator::Fish,
    };
    // Only completions know the options one by one; for the parser they are one text with commas.
    let mut command = Cli::command().mut_subcommand("mount", |mount| {
        mount.mut_arg("options", |options| {
            options.value_parser(PossibleValuesParser::new(mount::OPTION_WORDS))
        })
    });
    let mut script = Vec::new();
    clap_complete::generate(generator, &mut command, "lamina", &mut script);
    if args.shell == Shell::Fish {
        script.extend(fish_positionals(&command).into_bytes());
    }
    terminal::print(&script)
}

/// The generator leaves the words out that are no flags, and fish would offer files for all of them.
fn fish_positionals(root: &Command) -> String {
    let mut lines = String::new();
    for command in root.get_subcommands() {
        let offered = match command.get_positionals().next() {
            None => String::new(),
            // Files are what it takes.
            Some(word) if matches!(word.get_value_hint(), ValueHint::AnyPath | ValueHint::FilePath) => {
                continue;
            }
            Some(word) if word.get_value_hint() == ValueHint::DirPath => {
                " -a \"(__fish_complete_directories)\"".to_owned()
            }
            Some(word) => {
                let values = word.get_possible_values();
                let names: Vec<&str> = values.iter().map(|value| value.get_name()).collect();
                format!(" -a \"{}\"", names.join(" "))
            }
        };
        for name in std::iter::once(command.get_name()).chain(command.get_visible_aliases()) {
            lines.push_str(&format!(
                "complete -c lamina -n \"__fish_lamina_using_subcommand {name}\" -f{offered}\n"
            ));
        }
    }
    lines
}
