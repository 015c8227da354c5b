//! The definitions that parsing, help, man pages and completions come from.

use clap::builder::styling::{AnsiColor, Styles};

use super::epilogue::{Epilogue, Example, Note};
use super::log_setup::LogArgs;
use super::{
    browse, cat, check, commit, completions, convert, diff, doctor, explain, extract, inspect, layers, list,
    ls, man, mount, refresh, run, stats, store, umount, unpack, waste,
};

/// The colours of the help.
pub const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const LONG_ABOUT: &str = "\
Mount container images, and stacks of directories, as one tree: read-only layers, and a writable directory on top of them that \
takes all changes. Images are verified, and not unpacked. It behaves like the kernel's overlayfs, in user space and without \
root.";

/// The exit codes, for every man page and the program's help.
pub const EXIT_STATUS: Note =
    Note { heading: "Exit status", text: "0 done, 1 it could not be done, 2 the command line is wrong." };

/// What follows the options in the help and the man page.
pub const EPILOGUE: Epilogue = Epilogue {
    examples: &[
        Example {
            what: "look at an image: what docker save, podman save or skopeo copy has made",
            command: "lamina mount app.tar /mnt",
        },
        Example {
            what: "change it, and make a new image of it",
            command: "lamina mount app.tar /mnt --upper changes; lamina commit /mnt oci:images:new",
        },
        Example {
            what: "which layer and instruction a file comes from, or why it is missing",
            command: "lamina explain app.tar /etc/passwd",
        },
        Example {
            what: "what a mount has changed; what an image carries in vain; and all to browse",
            command: "lamina diff /mnt; lamina waste app.tar; lamina browse app.tar",
        },
        Example {
            what: "directories as layers, app on top; changes are kept in ./changes",
            command: "lamina mount app base /mnt --upper changes",
        },
        Example {
            what: "layers in one word, as lowerdir= takes them",
            command: "lamina mount overlay:app:python:base /mnt -o ro",
        },
        Example { what: "what is mounted, and the end of it", command: "lamina list; lamina umount /mnt" },
        Example {
            what: "the command line of mount(8), fuse-overlayfs and podman's mount_program",
            command: "lamina -o lowerdir=app:base,upperdir=changes,workdir=work /mnt",
        },
    ],
    notes: &[EXIT_STATUS],
};

/// `lamina`.
#[derive(Debug, clap::Parser)]
#[command(
    name = "lamina",
    bin_name = "lamina", // also where a link of another name is called
    version,
    long_version = super::VERSION_TEXT,
    about = "Mount container images and stacks of directories as one tree, without root",
    long_about = LONG_ABOUT,
    after_help = EPILOGUE.help(),
    styles = STYLES,
    max_term_width = 80,
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
    /// The first SOURCE is the top layer, the last one the base. A name shows what the highest layer that has it holds;
    /// directories of the same name are merged. The layers are never changed.
    Mount(mount::MountArgs),
    /// Unmount, also after the daemon has died
    ///
    /// It returns when the daemon that served the mount has ended, so that the upper is complete and can be used again.
    #[command(visible_alias = "unmount")]
    Umount(umount::UmountArgs),
    /// Show in a mount what others have changed in its lower layers
    ///
    /// A mount believes that nobody changes its layers. Where somebody has, this makes it, and the kernel, forget what they
    /// know of them. Nothing is unmounted.
    Refresh(refresh::RefreshArgs),
    /// Show what a mount has been asked, how fast it answered, and what it holds
    ///
    /// Requests of the kernel by kind, with their latencies, bytes, nodes, descriptors and caches, since it was mounted.
    Stats(stats::StatsArgs),
    /// Show what is mounted
    ///
    /// Every mount of lamina in this mount namespace, those of other users and those whose daemon has died among them.
    List(list::ListArgs),
    /// Show what an image is: tags, digests, platform, command, labels, sizes
    ///
    /// Nothing is unpacked, and the layers are not read.
    Inspect(inspect::InspectArgs),
    /// Say which layer a path comes from, what it hides, or why it is missing
    ///
    /// It is the walk that a mount would do, with what every layer has on the way. No mount is made.
    Explain(explain::ExplainArgs),
    /// List what is in a source, with the layer that each name comes from
    ///
    /// It is what a mount of the source would show, or one of its layers. No mount is made, and no data is read.
    Ls(ls::LsArgs),
    /// Print files of a source
    ///
    /// Their bytes are written to standard output as they are. No mount is made.
    Cat(cat::CatArgs),
    /// Copy a file or a whole directory out of a source
    ///
    /// Owners, modes, times, attributes, links, devices and holes are as the source has them, as far as this user may set them.
    /// No mount is made.
    Extract(extract::ExtractArgs),
    /// Run a command in a source, without root, and throw away what it changes
    ///
    /// It has the source as its root, and processes, mounts and users of its own; the machine's network is its network. The
    /// environment, directory, user and command of an image apply, as with podman.
    Run(run::RunArgs),
    /// Show what is different in one source from another, or what was changed in a mount
    ///
    /// It is a walk over what mounts of both would show, which passes over what both have from the same layers. No mount is made.
    Diff(diff::DiffArgs),
    /// Show which bytes of an image nobody can see any more, and judge it by dive's rules
    ///
    /// They are in a layer, and a later one has overwritten or deleted them. What is shown is by which instructions that was done,
    /// and at which paths. No data is read.
    Waste(waste::WasteArgs),
    /// Look through a source on the terminal, layer by layer
    ///
    /// What each layer added, changed and deleted, where each name comes from and what it hides. No mount is made.
    Browse(browse::BrowseArgs),
    /// Show the instructions an image was made by, and what each changed
    ///
    /// A row for each instruction, the first (the base) on top, with its layer if it made one. For counting, the layers are
    /// verified and indexed as for a mount, which takes a while the first time.
    Layers(layers::LayersArgs),
    /// Write an image's layers into directories, or into one
    ///
    /// Owners, modes, times, attributes, devices, links and holes are as the image has them.
    Unpack(unpack::UnpackArgs),
    /// Make an image of changes
    ///
    /// An upper directory becomes a layer, on top of the image that the changes were made over. The image's id is printed.
    Commit(commit::CommitArgs),
    /// Look for what is wrong in an upper directory, and repair it
    ///
    /// Markers that cannot be read or mean nothing, redirects to nothing, whiteouts without purpose, and what an interrupted mount
    /// has left. The upper must not be mounted.
    Check(check::CheckArgs),
    /// Change the form in which an upper directory says what was changed
    ///
    /// The markers of the kernel's overlay, those of an ordinary user, or the whiteout files of images' layers. The upper must not
    /// be mounted.
    Convert(convert::ConvertArgs),
    /// Show and tidy up the layers that are kept
    ///
    /// What images needed to be verified and decompressed is kept, so that they are mounted at once the next time.
    Store(store::StoreCommand),
    /// Say what this machine and user can do, and what to change where something does not work
    ///
    /// Kernel, /dev/fuse, fusermount3, namespaces, ids, file systems: each with its verdict, the reason and the setting that
    /// changes it. What can be tried is tried.
    Doctor(doctor::DoctorArgs),
    /// Print completions for a shell
    ///
    /// Write them to where the shell looks for them, and start a new shell.
    Completions(completions::CompletionsArgs),
    /// Print a man page
    ///
    /// The page is printed as roff, for man(1) to show or to be installed.
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
