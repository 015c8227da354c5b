//! `lamina mount`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::ValueHint;

use super::Failure;
use super::epilogue::{Epilogue, Example, Note};
use super::image_args::{SelectArgs, StoreArgs};
use super::log_setup::LogArgs;
use super::options::{Enforce, Form, Options};
use super::start::{self, ImageOptions, Process, Request};
use crate::source::Source;
use crate::source::preflight::Covering;

const SOURCES: &str = "\
The layers or images, the first is the top; the last word is MOUNTPOINT, an empty directory

A directory is one layer. An image is all of its layers: an archive of docker save or podman save, an OCI archive, or the \
directory of an OCI layout, by its path; or with the transport that skopeo and podman use: `oci:DIR[:TAG]`, \
`oci-archive:FILE[:TAG]`, `docker-archive:FILE[:REF]`, `dir:DIR`, `containers-storage:NAME`. `overlay:TOP:...:BASE` is several \
directories, as lowerdir= of mount(8) takes them: `\\:` is a colon in a path, and a path after a double colon is a data-only \
layer. A path that begins like one of these is written with ./ before it.";

const UPPER: &str = "\
Keep changes in DIR; without it, the mount is read-only

The layers themselves are never changed.";

const WORK: &str = "\
Make new files in DIR before they move into the upper [default: .UPPER.lamina-work beside the upper]

It must be on the file system of the upper, and serve this mount only. The default, for an upper /data/changes, is \
/data/.changes.lamina-work; it is made when it is not there.";

const ENFORCE: &str = "\
Check permissions as the kernel does, though the image is the user's own

Owners and modes of an image are shown as they are. The user who mounts it, and who could read the archive anyway, may read \
every file all the same, and with --upper write every file. With this option, and whenever others may use the mount \
(allow_other, allow_root), the kernel checks permissions. Root, and layers that are directories, are always checked.";

const IO: &str = "\
Who opens files: auto, cached or open [default: auto]

cached: the kernel, by itself; opening, reading and closing a file that it has in memory asks lamina nothing. open: lamina \
is told of each opening and closing, and copies a lower file that is opened for writing at once. auto is cached, but where \
lamina must be told: with -o timeout=0, and with -o allow_root. The same as -o io=HOW.";

const OPTIONS: &str = "\
Mount options, separated by commas

About the union: ro, redirect_dir=on|follow|nofollow|off, index=on|off, xino=on|auto|off, userxattr, volatile, \
fsync=0|1, whiteouts=auto|kernel|unionfs-fuse, timeout=SECONDS, io=auto|cached|open, noacl, noxattrs=1, uidmapping=ID:MAPPED:LEN, gidmapping=..., \
squash_to_root, squash_to_uid=UID, squash_to_gid=GID, xattr_permissions=0|1|2, static_nlink, ino32_t.

About the mount: nonempty, allow_other, allow_root, nosuid, nodev, noexec, noatime, fsname=NAME, max_threads=N. As \
root, and inside `unshare -Urm`, everyone may use the mount whom the files' permissions allow, and suid and dev are \
on; as an ordinary user only you may use it, and they are off.

An option that cannot be honoured is an error.";

/// What completions offer after `-o`: the options of the help above; one that ends in `=` wants a value.
pub const OPTION_WORDS: &[&str] = &[
    "ro",
    "redirect_dir=on",
    "redirect_dir=follow",
    "redirect_dir=nofollow",
    "redirect_dir=off",
    "index=on",
    "index=off",
    "xino=on",
    "xino=auto",
    "xino=off",
    "userxattr",
    "volatile",
    "fsync=0",
    "fsync=1",
    "whiteouts=auto",
    "whiteouts=kernel",
    "whiteouts=unionfs-fuse",
    "timeout=",
    "io=auto",
    "io=cached",
    "io=open",
    "noacl",
    "noxattrs=1",
    "uidmapping=",
    "gidmapping=",
    "squash_to_root",
    "squash_to_uid=",
    "squash_to_gid=",
    "xattr_permissions=0",
    "xattr_permissions=1",
    "xattr_permissions=2",
    "static_nlink",
    "ino32_t",
    "nonempty",
    "allow_other",
    "allow_root",
    "nosuid",
    "nodev",
    "noexec",
    "noatime",
    "fsname=",
    "max_threads=",
];

/// What follows the options in the help and the man page.
pub const EPILOGUE: Epilogue = Epilogue {
    examples: &[
        Example { what: "look at an image", command: "lamina mount app.tar /mnt" },
        Example {
            what: "one of several, as skopeo and podman name it",
            command: "lamina mount oci:images:v2 /mnt",
        },
        Example {
            what: "two directories; what is written is found in ./changes",
            command: "lamina mount app base /mnt --upper changes",
        },
        Example {
            what: "the same, without waiting for the disk",
            command: "lamina mount app base /mnt --upper changes -o volatile,noatime",
        },
        Example {
            what: "in a namespace of one's own, and unmounted before it is left",
            command: "unshare -Urm sh -c 'lamina mount app mnt && sh; lamina umount mnt'",
        },
    ],
    notes: &[
        Note {
            heading: "The daemon",
            text: "The command returns when the mount serves requests; a daemon goes on to serve it until lamina umount. The \
               daemon has no terminal: what it warns of from then on (a corrupt marker in a layer, say) is kept only with --log-file.",
        },
        Note {
            heading: "mount(8) and /etc/fstab",
            text: "With a link /sbin/mount.fuse.lamina to the program, as scripts/install and the package make it: mount -t fuse.lamina \
               NAME MOUNTPOINT -o lowerdir=TOP:BASE,upperdir=DIR, or the same as a line of /etc/fstab. Options that cannot be \
               honoured are warnings there.",
        },
    ],
};

/// `lamina mount`.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "lamina mount [OPTIONS] SOURCE... MOUNTPOINT",
    after_help = EPILOGUE.help()
)]
pub struct MountArgs {
    // One list, and not two: options may stand between its words.
    #[arg(value_name = "SOURCE", required = true, num_args = 1.., value_hint = ValueHint::AnyPath, help = "The layers or images, the first is the top; the last word is MOUNTPOINT, an empty directory", long_help = SOURCES)]
    words: Vec<OsString>,
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath, help = "Keep changes in DIR; without it, the mount is read-only", long_help = UPPER)]
    upper: Option<PathBuf>,
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath, requires = "upper", help = "Make new files in DIR before they move into the upper [default: .UPPER.lamina-work beside the upper]", long_help = WORK)]
    work: Option<PathBuf>,
    #[arg(short, value_name = "OPT,OPT", help = "Mount options, separated by commas", long_help = OPTIONS)]
    options: Vec<OsString>,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[arg(long, help = "Check permissions as the kernel does, though the image is the user's own", long_help = ENFORCE)]
    enforce: bool,
    #[arg(long, value_name = "HOW", value_parser = ["auto", "cached", "open"], hide_possible_values = true, help = "Who opens files: auto, cached or open [default: auto]", long_help = IO)]
    io: Option<String>,
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
    if let Some(io) = &args.io {
        options.parse(format!("io={io}").as_bytes())?;
    }
    refuse_misplaced(&options)?;
    let (sources, mountpoint) = sources_and_mountpoint(&args.words)?;
    let sources = sources.iter().map(|word| Source::parse(word)).collect::<Result<Vec<_>, _>>()?;
    start::run(
        Request {
            sources,
            upper: args.upper.clone(),
            work: args.work.clone(),
            mountpoint,
            covering: if options.nonempty.is_some() { Covering::Allowed } else { Covering::Refused },
            images: ImageOptions { select: args.select.clone(), store: args.store.clone() },
            options,
            form: Form::Command,
            enforce: if args.enforce { Enforce::Always } else { Enforce::WhereUsual },
            process: if args.foreground { Process::Foreground } else { Process::Daemon },
            name: None,
        },
        log,
    )
}

/// The last word is the mount point. One word alone is taken for the SOURCE that it is.
fn sources_and_mountpoint(words: &[OsString]) -> Result<(&[OsString], PathBuf), Failure> {
    match words.split_last() {
        Some((mountpoint, sources)) if !sources.is_empty() => Ok((sources, PathBuf::from(mountpoint))),
        _ => Err(Failure::usage("the mount point is missing")
            .hint("usage: lamina mount [OPTIONS] SOURCE... MOUNTPOINT")),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_may_stand_between_the_words() {
        for line in [
            "mount --upper u a b m",
            "mount a b m --upper u",
            "mount a --upper u b m",
            "mount a b --upper=u m",
        ] {
            let cli = <crate::cli::Cli as clap::Parser>::try_parse_from(
                ["lamina"].into_iter().chain(line.split(' ')),
            );
            let crate::cli::Command::Mount(args) = cli.unwrap().command else { panic!("{line}") };
            let (sources, mountpoint) = sources_and_mountpoint(&args.words).unwrap();
            assert_eq!(
                (sources, mountpoint.as_path()),
                (&["a".into(), "b".into()][..], std::path::Path::new("m"))
            );
        }
        let failure = sources_and_mountpoint(&["a".into()]).unwrap_err();
        assert_eq!(failure.message, "the mount point is missing");
    }

    #[test]
    fn what_completions_offer_is_honoured_and_in_the_help() {
        for word in OPTION_WORDS {
            let value = match *word {
                "uidmapping=" | "gidmapping=" => "0:1000:1",
                word if word.ends_with('=') => "1",
                _ => "",
            };
            let mut options = Options::default();
            options.parse(format!("{word}{value}").as_bytes()).unwrap();
            assert_eq!(options.unhonoured, [], "{word}");
            assert_ne!(options, Options::default(), "{word}");
            let name = word.split('=').next().unwrap_or(word);
            assert!(OPTIONS.contains(name), "{name}");
        }
    }
}
