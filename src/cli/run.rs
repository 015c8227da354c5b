//! `lamina run`: a command in a tree of its own.

mod tree;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueHint;

use tree::Tree;

use super::epilogue::{Epilogue, Example, Note};
use super::image_args::{SelectArgs, StoreArgs};
use super::{Answer, Failure};
use crate::config::{StackSpec, StatOverride};
use crate::error::describe;
use crate::image::ImageConfig;
use crate::image::store::Lease;
use crate::sandbox::bind::Bind;
use crate::sandbox::command::{self, Entrypoint, Environment, Variable};
use crate::sandbox::ids::{self, IdFacts, IdPlan};
use crate::sandbox::mounts::{FoundBind, Kind};
use crate::sandbox::scratch;
use crate::sandbox::{Plan, Said, Workdir, enter};
use crate::source::images::Images;
use crate::source::preflight;
use crate::source::{self, Source};

/// The exit codes, which are those of podman.
pub const EXIT_STATUS: Note = Note {
    heading: "Exit status",
    text: "That of the command, or 128 and the number of the signal that ended it. 125: lamina itself has failed, or the command line \
           is wrong; 126: the command cannot be executed; 127: it was not found.",
};

/// What follows the options in the help and the man page.
pub const EPILOGUE: Epilogue = Epilogue {
    examples: &[
        Example {
            what: "a shell in an image; what it changes is gone afterwards",
            command: "lamina run app.tar -- sh",
        },
        Example {
            what: "what an image runs by itself, with a directory of yours in it",
            command: "lamina run app.tar --bind ./data:/data",
        },
        Example {
            what: "keep the changes, and make an image of them",
            command: "lamina run app.tar --upper c -- apt-get install -y jq; lamina commit -b app.tar c oci:d:new",
        },
        Example {
            what: "in directories, the first on top",
            command: "lamina run changes rootfs -- make test",
        },
    ],
    notes: &[
        Note {
            heading: "What it is, and what not",
            text: "A place to try things: root in it is you outside, and cannot do more than you. It is no prison for hostile programs: \
                   the network and the kernel are the machine's.",
        },
        Note {
            heading: "Users",
            text: "With newuidmap and a range in /etc/subuid and /etc/subgid there are all users in it; without, only root, and \
                   what changes owners or users fails.",
        },
        EXIT_STATUS,
    ],
};

const UPPER: &str = "\
Keep what is changed in DIR, instead of throwing it away

It is made if it is not there. What is in DIR belongs to you; owners and modes are recorded in attributes, as lamina mount does \
over an image. lamina commit, lamina diff and lamina mount read it, and so does the next run.";

const BIND: &str = "\
Show A, a file or directory of the machine, as B

B is absolute, and need not be there. With :ro it cannot be written to. A colon in a path is written \\:.";

const SOURCES: &str = "\
The tree, top layer first: images, directories, overlay:TOP:...:BASE

As for lamina mount. The environment, directory, user and command of the first image apply.";

const COMMAND: &str = "\
What is run, after -- [default: what the image says, else /bin/sh]

It takes the place of the image's Cmd; the image's Entrypoint comes before it, as with podman.";

/// `lamina run`.
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE.help(), override_usage = "lamina run [OPTIONS] <SOURCE>... [-- COMMAND...]")]
pub struct RunArgs {
    #[arg(value_name = "SOURCE", required = true, value_hint = ValueHint::AnyPath, help = "The tree, top layer first: images, directories, overlay:TOP:...:BASE", long_help = SOURCES)]
    sources: Vec<OsString>,
    #[arg(last = true, value_name = "COMMAND", help = "What is run, after -- [default: what the image says, else /bin/sh]", long_help = COMMAND)]
    command: Vec<OsString>,
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help = "Keep what is changed in DIR, instead of throwing it away", long_help = UPPER)]
    upper: Option<PathBuf>,
    #[arg(long, value_name = "A:B[:ro]", value_hint = ValueHint::AnyPath, help = "Show A, a file or directory of the machine, as B", long_help = BIND)]
    bind: Vec<OsString>,
    /// Set a variable; without a value, as it is in your environment
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<OsString>,
    /// Start in DIR, which must be there [default: what the image says, else /]
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// Run as a user of the image, by name or number [default: what the image says, else root]
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Run this instead of the image's Entrypoint and Cmd; a word, or a JSON list of words
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<OsString>,
    /// The machine's name in there [default: as it is]
    #[arg(long, value_name = "NAME")]
    hostname: Option<OsString>,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

/// Is it this command that the words are for? Asked where they cannot be parsed, so that the exit code is not taken for that
/// of the command.
pub fn is_meant(words: &[OsString]) -> bool {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_bytes() {
            // Their values are words of their own.
            b"--log-level" | b"--log-file" => drop(words.next()),
            option if option.starts_with(b"-") => {}
            command => return command == b"run",
        }
    }
    false
}

/// Runs the command, and gives its exit code.
pub fn run(args: &RunArgs) -> Result<Answer, Failure> {
    let sources = args.sources.iter().map(|word| Source::parse(word)).collect::<Result<Vec<_>, _>>()?;
    let binds = args.bind.iter().map(|word| bind(word)).collect::<Result<Vec<_>, _>>()?;
    let variables = args.env.iter().map(|word| variable(word)).collect::<Result<Vec<_>, _>>()?;
    let Opened { stack, config, leases } = open(args, sources)?;
    let upper = args.upper.as_deref().map(Upper::find).transpose()?;

    let facts = IdFacts::look_up();
    let plan = Plan {
        ids: ids::plan(&facts),
        facts,
        scratch: scratch::parent(),
        binds,
        hostname: args.hostname.clone(),
        words: command::words(
            config.as_ref(),
            args.entrypoint.as_deref().map(Entrypoint::parse).as_ref(),
            &args.command,
        ),
        environment: environment(config.as_ref(), &variables),
        user: args.user.clone().or_else(|| config.as_ref().and_then(|config| config.user.clone())),
        workdir: workdir(args.workdir.as_deref(), config.as_ref()),
    };
    let owners = match plan.ids {
        IdPlan::Keep => None,
        // What the caller keeps must be the caller's, and not belong to ids that it cannot even remove.
        _ => args.upper.is_some().then_some(StatOverride::Containers),
    };
    let tree = Tree { stack, upper: args.upper.clone(), owners };
    let quiet = args.store.quiet;
    if quiet && log::max_level() == log::LevelFilter::Warn {
        // Nobody has asked for more than what goes unasked, and now not for that either.
        log::set_max_level(log::LevelFilter::Error);
    }
    let say = |said: Said<'_, Failure>| match said {
        Said::Error(failure) => eprintln!("{failure}"),
        Said::Warning(_) if quiet => {}
        Said::Warning(text) => eprintln!("lamina: warning: {text}"),
    };
    let code = enter(&plan, |scratch| tree.raise(scratch), &say)?;
    drop(leases);
    if let (125, Some(upper)) = (code, upper) {
        upper.put_away();
    }
    Ok(Answer::Of(code))
}

/// The tree's layers, made ready.
struct Opened {
    stack: StackSpec,
    /// That of the first image.
    config: Option<ImageConfig>,
    leases: Vec<Arc<Lease>>,
}

fn open(args: &RunArgs, sources: Vec<Source>) -> Result<Opened, Failure> {
    if let Some(word) = sources.iter().zip(&args.sources).find_map(|(source, word)| match source {
        Source::Path(path) => {
            (args.command.is_empty() && fs::symlink_metadata(path).is_err()).then_some(word)
        }
        _ => None,
    }) {
        return Err(Failure::usage(format!("source '{}' is not there", word.display())).hint(
            "name images and directories; the command comes after --: lamina run SOURCE... -- COMMAND",
        ));
    }
    let progress = args.store.progress();
    let mut images = Images::new(args.select.select(), args.store.dir()?, args.store.options(), &progress);
    let mut config = None;
    let stack = source::stack(sources, None, |image| {
        let Some(opened) = images.open(image)? else { return Ok::<_, Failure>(None) };
        config.get_or_insert(opened.image.config);
        Ok(Some(opened.lowers))
    })?;
    if config.is_none()
        && let Some(option) = args.select.given()
    {
        return Err(Failure::usage(format!("{option} chooses an image, and no layer is one"))
            .hint("leave it out, or name the image; a directory is one if it is an OCI layout"));
    }
    if stack.lowers.is_empty() {
        return Err(Failure::trouble("there is nothing to run in: the image has no layers"));
    }
    preflight::raise_descriptor_limit(stack.lowers.len() + stack.data_only.len() + 1)?;
    Ok(Opened { stack, config, leases: images.into_leases() })
}

/// The upper that the caller keeps.
struct Upper {
    /// If it was made just now.
    made: Option<PathBuf>,
}

impl Upper {
    fn find(path: &Path) -> Result<Self, Failure> {
        if fs::symlink_metadata(path).is_ok() {
            return Ok(Upper { made: None });
        }
        match fs::create_dir(path) {
            Ok(()) => Ok(Upper { made: Some(path.to_owned()) }),
            Err(error) => Err(Failure::trouble(format!(
                "upper directory '{}' cannot be made: {}",
                path.display(),
                describe(&error)
            ))
            .hint("the directory above must be there, and be yours")),
        }
    }

    /// Nothing was run.
    fn put_away(self) {
        if let Some(path) = self.made
            && let Err(error) = fs::remove_dir(&path)
        {
            log::debug!("'{}' stays: {}", path.display(), describe(&error));
        }
    }
}

fn bind(word: &OsStr) -> Result<FoundBind, Failure> {
    let bind =
        Bind::parse(word).map_err(|error| Failure::usage(format!("--bind '{}': {error}", word.display())))?;
    let found = fs::canonicalize(&bind.source).and_then(|real| Ok((fs::metadata(&real)?.is_dir(), real)));
    let (is_dir, source) = found.map_err(|error| {
        Failure::trouble(format!("--bind: '{}' cannot be shown: {}", bind.source.display(), describe(&error)))
    })?;
    let kind = if is_dir { Kind::Directory } else { Kind::File };
    Ok(FoundBind { bind: Bind { source, ..bind }, kind })
}

fn variable(word: &OsStr) -> Result<Variable, Failure> {
    Variable::parse(word).map_err(|word| {
        Failure::usage(format!("--env '{}' has no name", word.display()))
            .hint("give NAME=VALUE, or NAME for the value in your own environment")
    })
}

fn environment(config: Option<&ImageConfig>, asked: &[Variable]) -> Environment {
    let own = |name: &OsStr| std::env::var_os(name);
    let mut defaults = vec![("PATH", OsString::from(command::PATH)), ("container", OsString::from("lamina"))];
    // The terminal is the caller's, so it is of the caller's kind.
    defaults.extend(own(OsStr::new("TERM")).map(|term| ("TERM", term)));
    Environment::new(&defaults, config, asked, own)
}

fn workdir(asked: Option<&Path>, config: Option<&ImageConfig>) -> Workdir {
    let absolute = |path: &Path| Path::new("/").join(path);
    match (asked, config.and_then(|config| config.working_dir.as_deref())) {
        (Some(path), _) => Workdir::Asked(absolute(path)),
        (None, Some(path)) => Workdir::OfImage(absolute(Path::new(path))),
        (None, None) => Workdir::OfImage("/".into()),
    }
}
