//! `lamina completions`.

use clap::CommandFactory;
use clap_complete::Shell as Generator;

use super::epilogue::{Epilogue, Example};
use super::{Cli, Failure, terminal};

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
    let mut script = Vec::new();
    clap_complete::generate(generator, &mut Cli::command(), "lamina", &mut script);
    terminal::print(&script)
}
