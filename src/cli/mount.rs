//! `lamina mount`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::Failure;
use super::log_setup::LogArgs;
use super::options::{Form, Options};
use super::start::{self, Process, Request};
use crate::source::Source;
use crate::source::preflight::Covering;

const SOURCES: &str = "\
A layer, or several; the first is the top

A directory is one layer. `overlay:TOP:...:BASE` is several, as lowerdir= of mount(8) takes them: `\\:` is a colon in a \
path, and a path after a double colon is a data-only layer. A path that begins like one of these is written with ./ \
before it.";

const UPPER: &str = "\
Keep changes in DIR; without it, the mount is read-only

The layers themselves are never changed.";

const WORK: &str = "\
Make new files in DIR before they move into the upper [default: .UPPER.lamina-work beside the upper]

It must be on the file system of the upper, and serve this mount only. The default, for an upper /data/changes, is \
/data/.changes.lamina-work; it is made when it is not there.";

const OPTIONS: &str = "\
Mount options, separated by commas

About the union: ro, redirect_dir=on|follow|nofollow|off, index=on|off, xino=on|auto|off, userxattr, volatile, \
fsync=0|1, whiteouts=auto|kernel, timeout=SECONDS, noacl, noxattrs=1, uidmapping=ID:MAPPED:LEN, gidmapping=..., \
squash_to_root, squash_to_uid=UID, squash_to_gid=GID, xattr_permissions=0|1|2, static_nlink, ino32_t.

About the mount: nonempty, allow_other, allow_root, nosuid, nodev, noexec, noatime, fsname=NAME, max_threads=N. As \
root, and inside `unshare -Urm`, everyone may use the mount whom the files' permissions allow, and suid and dev are \
on; as an ordinary user only you may use it, and they are off.

An option that cannot be honoured is an error.";

const EXAMPLES: &str = "\
Examples:
  lamina mount base /mnt                            look at one layer
  lamina mount app base /mnt --upper changes        write, and find what was written in ./changes
  lamina mount app base /mnt --upper changes -o volatile,noatime
  unshare -Urm sh -c 'lamina mount app base /mnt && sh; lamina umount /mnt'

The command returns when the mount serves requests; lamina umount ends it.";

/// `lamina mount`.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "lamina mount [OPTIONS] SOURCE... MOUNTPOINT",
    after_help = EXAMPLES
)]
pub struct MountArgs {
    #[arg(value_name = "SOURCE", required = true, num_args = 1.., help = "A layer, or several; the first is the top", long_help = SOURCES)]
    sources: Vec<OsString>,
    /// Where the tree appears: an empty directory
    #[arg(value_name = "MOUNTPOINT", required = true)]
    mountpoint: PathBuf,
    #[arg(short, long, value_name = "DIR", help = "Keep changes in DIR; without it, the mount is read-only", long_help = UPPER)]
    upper: Option<PathBuf>,
    #[arg(short, long, value_name = "DIR", requires = "upper", help = "Make new files in DIR before they move into the upper [default: .UPPER.lamina-work beside the upper]", long_help = WORK)]
    work: Option<PathBuf>,
    #[arg(short, value_name = "OPT,OPT", help = "Mount options, separated by commas", long_help = OPTIONS)]
    options: Vec<OsString>,
    /// Stay in the foreground, and unmount on Ctrl-C
    #[arg(short, long)]
    foreground: bool,
}

/// Mounts.
pub fn run(args: &MountArgs, log: &LogArgs) -> Result<(), Failure> {
    let mut options = Options::default();
    for text in &args.options {
        options.parse(text.as_bytes())?;
    }
    refuse_misplaced(&options)?;
    let sources = args.sources.iter().map(|word| Source::parse(word)).collect::<Result<Vec<_>, _>>()?;
    start::run(
        Request {
            sources,
            upper: args.upper.clone(),
            work: args.work.clone(),
            mountpoint: args.mountpoint.clone(),
            covering: if options.nonempty.is_some() { Covering::Allowed } else { Covering::Refused },
            options,
            form: Form::Command,
            process: if args.foreground { Process::Foreground } else { Process::Daemon },
            name: None,
        },
        log,
    )
}

/// The stack is said by words here, and by options on the compatible command line: never by both. Nor is a mount that
/// stands changed here.
fn refuse_misplaced(options: &Options) -> Result<(), Failure> {
    if options.remount.is_some() {
        return Err(Failure::usage("option 'remount' does not belong on lamina mount")
            .hint("change the flags of a mount as root with: mount -o remount,OPT,OPT MOUNTPOINT"));
    }
    let misplaced = [
        (!options.lowers.is_empty(), "lowerdir", "SOURCE words, the top first"),
        (options.upper.is_some(), "upperdir", "--upper DIR"),
        (options.work.is_some(), "workdir", "--work DIR"),
    ];
    match misplaced.into_iter().find(|(given, _, _)| *given) {
        None => Ok(()),
        Some((_, option, instead)) => {
            Err(Failure::usage(format!("option '{option}' does not belong on lamina mount")).hint(format!(
                "use {instead}; or, without the word mount: lamina -o lowerdir=...,upperdir=...,workdir=... MOUNTPOINT"
            )))
        }
    }
}
