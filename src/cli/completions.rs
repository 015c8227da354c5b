//! `lamina completions`.

use clap::CommandFactory;
use clap_complete::Shell as Generator;

use super::{Cli, Failure, terminal};

/// `lamina completions`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  lamina completions bash > ~/.local/share/bash-completion/completions/lamina\n  \
                  lamina completions zsh > ~/.zfunc/_lamina\n  \
                  lamina completions fish > ~/.config/fish/completions/lamina.fish"
)]
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
