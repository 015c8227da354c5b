//! The command line of mount(8) helpers and of fuse-overlayfs, which podman and buildah call:
//! `lamina -o lowerdir=A:B[,upperdir=U,workdir=W][,more] MOUNTPOINT` and `mount.lamina SOURCE MOUNTPOINT -o OPTS`.
//!
//! Sources: mount(8) "External helpers", fuse-overlayfs(1), mount.fuse3(8).

pub mod page;
#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::CommandFactory;

use super::log_setup::LogArgs;
use super::options::{Enforce, Form, Options, Switch, Unhonoured, Why};
use super::start::{self, ImageOptions, Process, Request};
use super::{Cli, Failure, VERSION_TEXT, remount, terminal};
use crate::source::preflight::Covering;
use crate::source::{LayerList, Source};

/// Who calls, as far as the meaning of a flag depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// mount(8), through a link named `mount.…`: `-f` is --fake, `-s` is sloppy.
    Mount,
    /// Anyone else: `-f` is the foreground, `-s` is one thread, as libfuse has them.
    Other,
}

const HELP: &str = "\
Mount a stack of directories as one tree: the command line of mount(8) and
fuse-overlayfs

Usage: lamina [-f] [-d] -o OPT,OPT MOUNTPOINT
       lamina SOURCE MOUNTPOINT -o OPT,OPT
       mount -t fuse.lamina SOURCE MOUNTPOINT -o OPT,OPT

Options:
  -o lowerdir=TOP:...:BASE  The layers; \\: is a colon in a path, \\, a comma,
                            and ::DIR a data-only layer
  -o upperdir=DIR           Where changes are kept; without it the mount is
                            read-only
  -o workdir=DIR            On the file system of the upper [default:
                            .UPPER.lamina-work beside the upper]
  -o OPT,OPT                Further options of overlayfs, fuse-overlayfs and
                            mount(8)
  -f                        Stay in the foreground (from mount(8): only check)
  -s                        Serve with one thread (from mount(8): nothing)
  -d                        Log everything that happens, and stay in the
                            foreground (not from mount(8))
  --debug                   Log everything that happens until it serves
  -r, -w                    The options ro and rw
  -n, -v, -t TYPE           Taken from mount(8), without effect
  -h, --help                Print help
  -V, --version             Print version

Without lowerdir=, SOURCE is a directory, or overlay:TOP:...:BASE.

Options that cannot be honoured are named in a warning, and ignored.

More: lamina --help, lamina mount --help
";

/// Is this the compatible command line? Decided by the program's name, a first `-o`, or `SOURCE MOUNTPOINT -...`.
pub fn recognise(program: &OsStr, args: &[OsString]) -> Option<Caller> {
    let name = Path::new(program).file_name().unwrap_or(program).as_bytes();
    if name.starts_with(b"mount.") {
        return Some(Caller::Mount);
    }
    if name == b"fuse-overlayfs" {
        return Some(Caller::Other);
    }
    let is_option = |arg: &OsString| arg.as_bytes().starts_with(b"-o");
    let is_flag = |arg: &&OsString| matches!(arg.as_bytes(), b"-f" | b"-d" | b"-s" | b"--debug");
    let by_option = args.iter().find(|arg| !is_flag(arg)).is_some_and(is_option);
    let by_place = match args {
        [source, mountpoint, flag, ..] => {
            !is_command(source) && ![source, mountpoint].into_iter().any(is_dashed) && is_dashed(flag)
        }
        _ => false,
    };
    (by_option || by_place).then_some(Caller::Other)
}

fn is_dashed(word: &OsString) -> bool {
    word.as_bytes().starts_with(b"-") && word.len() > 1
}

fn is_command(word: &OsString) -> bool {
    let cli = Cli::command();
    word.to_str().is_some_and(|word| word == "help" || cli.find_subcommand(word).is_some())
}

/// Everything that was said, and nothing decided yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Line {
    words: Vec<OsString>,
    options: Options,
    first_flag: Option<Answer>,
    flag_d: bool,
    flag_f: bool,
    flag_s: bool,
}

/// Questions that are answered in place of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Help,
    Version,
}

/// Parses and does what was asked.
pub fn run(caller: Caller, args: &[OsString]) -> Result<(), Failure> {
    let line = parse(args)?;
    match line.first_flag {
        Some(Answer::Help) => terminal::print(HELP.as_bytes()),
        Some(Answer::Version) => terminal::print(format!("lamina {VERSION_TEXT}\n").as_bytes()),
        None if line.options.remount == Some(Switch::On) => match line.words.last() {
            Some(mountpoint) => remount::run(Path::new(mountpoint), &line.options),
            None => Err(Failure::usage("the mount point is missing").hint(USAGE_HINT)),
        },
        None => start::run(request(caller, line)?, &LogArgs::default()),
    }
}

fn parse(args: &[OsString]) -> Result<Line, Failure> {
    let mut line = Line::default();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let mut value = |flag: &str| {
            rest.next().ok_or_else(|| Failure::usage(format!("{flag} needs a value")).hint(USAGE_HINT))
        };
        match arg.as_bytes() {
            b"-o" => line.parse_options(value("-o")?.as_bytes())?,
            b"-t" => drop(value("-t")?),
            b"-N" => {
                let namespace = value("-N")?;
                let option = format!("-N {}", namespace.display());
                line.ignore(option, Why::Unsupported("enter the namespace first (nsenter -m)"));
            }
            b"-f" => line.flag_f = true,
            b"-s" => line.flag_s = true,
            b"-d" => {
                line.flag_d = true;
                line.parse_options(b"debug")?;
            }
            b"--debug" => line.parse_options(b"debug")?,
            b"-r" => line.parse_options(b"ro")?,
            b"-w" => line.parse_options(b"rw")?,
            b"-n" | b"-v" => {}
            b"-h" | b"--help" => line.first_flag = line.first_flag.or(Some(Answer::Help)),
            b"-V" | b"--version" => line.first_flag = line.first_flag.or(Some(Answer::Version)),
            b"--" => line.words.extend(rest.by_ref().cloned()),
            [b'-', b'o', options @ ..] => line.parse_options(options)?,
            [b'-', b'-', ..] => return Err(unknown_flag(arg)),
            [b'-', _, ..] => line.ignore(arg.display().to_string(), Why::Unknown),
            _ => line.words.push(arg.clone()),
        }
    }
    Ok(line)
}

/// Nobody who writes for mount(8) or fuse-overlayfs gives other long flags; passed over, one's value would be taken for
/// the mount point.
fn unknown_flag(arg: &OsStr) -> Failure {
    let text = arg.to_string_lossy();
    let hint = match text.split('=').next().unwrap_or_default() {
        "--upper" => "write -o upperdir=DIR; or lamina mount SOURCE... MOUNTPOINT --upper DIR",
        "--work" => "write -o workdir=DIR; or lamina mount SOURCE... MOUNTPOINT --upper DIR --work DIR",
        "--foreground" => "write -f; or lamina mount --foreground SOURCE... MOUNTPOINT",
        "--log-level" | "--log-file" => "it belongs to lamina mount; here --debug logs everything to stderr",
        _ => USAGE_HINT,
    };
    Failure::usage(format!("unknown flag '{text}'")).hint(hint)
}

impl Line {
    fn parse_options(&mut self, text: &[u8]) -> Result<(), Failure> {
        Ok(self.options.parse(text)?)
    }

    fn ignore(&mut self, option: String, why: Why) {
        self.options.unhonoured.push(Unhonoured { option, why });
    }
}

fn request(caller: Caller, line: Line) -> Result<Request, Failure> {
    let Line { words, mut options, flag_d, flag_f, flag_s, .. } = line;
    let (source, mountpoint) = match words.as_slice() {
        [mountpoint] => (None, PathBuf::from(mountpoint)),
        [source, mountpoint] => (Some(source.clone()), PathBuf::from(mountpoint)),
        [] => return Err(Failure::usage("the mount point is missing").hint(USAGE_HINT)),
        _ => {
            let words: Vec<String> = words.iter().map(|word| format!("'{}'", word.display())).collect();
            return Err(Failure::usage(format!("too many words: {}", words.join(" "))).hint(USAGE_HINT));
        }
    };
    let list = LayerList {
        lowers: std::mem::take(&mut options.lowers),
        data_only: std::mem::take(&mut options.data_only),
    };
    let sources = match (&source, list.lowers.is_empty()) {
        (_, false) => vec![Source::Overlay(list)],
        (Some(word), true) => vec![Source::parse(word)?],
        (None, true) => return Err(Failure::usage("there are no layers").hint(USAGE_HINT)),
    };
    let (upper, mut work) = (options.upper.take(), options.work.take());
    if upper.is_none()
        && let Some(work) = work.take()
    {
        let option = format!("workdir={}", work.display());
        options.unhonoured.push(Unhonoured { option, why: Why::Void("there is no upperdir") });
    }
    if flag_s && caller == Caller::Other {
        options.threads = Some(1);
    }
    Ok(Request {
        sources,
        upper,
        work,
        mountpoint,
        // As mount(8): here the mount point cannot have been forgotten, and a layer taken for it.
        covering: Covering::Allowed,
        options,
        images: ImageOptions::default(),
        form: Form::Compatible,
        enforce: Enforce::WhereUsual,
        process: match (flag_f, flag_d, caller) {
            (true, _, Caller::Mount) => Process::CheckOnly,
            // As libfuse has it: a daemon has no terminal that its log could go to.
            (true, _, Caller::Other) | (false, true, Caller::Other) => Process::Foreground,
            (false, false, Caller::Other) | (false, _, Caller::Mount) => Process::Daemon,
        },
        name: source,
    })
}

const USAGE_HINT: &str =
    "usage: lamina -o lowerdir=TOP:...:BASE[,upperdir=DIR,workdir=DIR][,OPT...] MOUNTPOINT";
