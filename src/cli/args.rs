//! The definitions that parsing, help, man pages and completions come from.

use clap::builder::styling::{AnsiColor, Styles};

use super::log_setup::LogArgs;
use super::{completions, list, man, mount, umount};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const LONG_ABOUT: &str = "\
Mount a stack of directories as one tree: read-only layers, and a writable directory on top of them that takes all \
changes. It behaves like the kernel's overlayfs, in user space and without root.";

const EXAMPLES: &str = "\
Examples:
  lamina mount app python base /mnt                   three layers, app on top, read-only
  lamina mount app base /mnt --upper changes          the same, and changes are kept in ./changes
  lamina mount overlay:app:python:base /mnt -o ro     layers in one word, as lowerdir= takes them
  lamina list
  lamina umount /mnt

The command line of mount(8), fuse-overlayfs and podman's mount_program works too:
  lamina -o lowerdir=app:base,upperdir=changes,workdir=work /mnt

Exit status: 0 done, 1 it could not be done, 2 the command line is wrong.";

/// `lamina`.
#[derive(Debug, clap::Parser)]
#[command(
    name = "lamina",
    version,
    long_version = super::VERSION_TEXT,
    about = "Mount a stack of directories as one tree, without root",
    long_about = LONG_ABOUT,
    after_help = EXAMPLES,
    styles = STYLES,
    max_term_width = 100,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What is logged, and where.
    #[command(flatten)]
    pub log: LogArgs,
}

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Mount layers as one tree
    ///
    /// The first SOURCE is the top layer, the last one the base.
    Mount(mount::MountArgs),
    /// Unmount, also after the daemon has died
    #[command(visible_alias = "unmount")]
    Umount(umount::UmountArgs),
    /// Show what is mounted
    List(list::ListArgs),
    /// Print completions for a shell
    Completions(completions::CompletionsArgs),
    /// Print a man page
    Man(man::ManArgs),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
