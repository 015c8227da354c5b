//! The command line: arguments in, exit code and text out.

mod args;
mod browse;
mod cat;
mod check;
mod commit;
mod compat;
mod completions;
mod convert;
mod diff;
mod doctor;
mod epilogue;
mod explain;
mod extract;
mod failure;
mod human;
mod image_args;
mod inspect;
mod layers;
mod list;
mod log_setup;
mod ls;
mod man;
mod mount;
mod opened;
pub mod options;
mod parsing;
mod progress;
mod refresh;
mod remount;
mod run;
mod shell;
mod start;
mod stats;
mod store;
mod terminal;
mod umount;
mod unpack;
mod upkeep;
mod waste;
mod workdir;

use std::ffi::OsString;
use std::process::ExitCode;

use self::parsing::Parsed;
use crate::error::describe;
use crate::sys::daemon;

pub use args::{Cli, Command};
pub use failure::{Answer, ExitClass, Failure};

/// What `--version` says, after the program's name; podman shows it as it is.
pub const VERSION_TEXT: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ntakes the command line of: fuse-overlayfs, mount(8)\nFUSE library version: none, the kernel's protocol is spoken directly"
);

/// The program: from its arguments to its exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let noted = daemon::note_inherited().map_err(|error| {
        Failure::trouble(format!("/proc/self/fd cannot be read: {}", describe(&error)))
            .hint("mount /proc: lamina needs it")
    });
    match noted.and_then(|()| run(&args)) {
        Ok(answer) => ExitCode::from(answer.code()),
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.class.code())
        }
    }
}

fn run(args: &[OsString]) -> Result<Answer, Failure> {
    // The compatible command line has its own grammar, so it is decided on before anything is parsed.
    let (program, rest) = match args.split_first() {
        Some((program, rest)) => (program.as_os_str(), rest),
        None => (std::ffi::OsStr::new("lamina"), args),
    };
    if let Some(caller) = compat::recognise(program, rest) {
        return compat::run(caller, rest).map(|()| Answer::Yes);
    }
    let parsed = parsing::parse(args).map_err(|failure| match run::is_meant(rest) {
        true => failure.not_run(),
        false => failure,
    });
    let cli = match parsed? {
        Parsed::Command(cli) => cli,
        Parsed::Answered => return Ok(Answer::Yes),
    };
    let done = match &cli.command {
        Command::Mount(mount) => mount::run(mount, &cli.log),
        Command::Umount(umount) => cli.log.init().and_then(|()| umount::run(umount)),
        Command::Refresh(refresh) => cli.log.init().and_then(|()| refresh::run(refresh)),
        Command::Stats(stats) => cli.log.init().and_then(|()| stats::run(stats)),
        Command::List(list) => cli.log.init().and_then(|()| list::run(list)),
        Command::Inspect(inspect) => cli.log.init().and_then(|()| inspect::run(inspect)),
        Command::Explain(explain) => cli.log.init().and_then(|()| explain::run(explain)),
        Command::Ls(ls) => cli.log.init().and_then(|()| ls::run(ls)),
        Command::Cat(cat) => cli.log.init().and_then(|()| cat::run(cat)),
        Command::Extract(extract) => cli.log.init().and_then(|()| extract::run(extract)),
        Command::Run(run) => {
            let log = cli.log.with_quiet(run.store.quiet);
            return log.init().and_then(|()| run::run(run)).map_err(Failure::not_run);
        }
        Command::Diff(diff) => {
            return cli.log.init().map_err(Failure::unanswered).and_then(|()| diff::run(diff));
        }
        Command::Check(check) => {
            return cli.log.init().map_err(Failure::unanswered).and_then(|()| check::run(check));
        }
        Command::Waste(waste) => {
            return cli.log.init().map_err(|failure| waste.failed(failure)).and_then(|()| waste::run(waste));
        }
        Command::Browse(browse) => cli.log.init().and_then(|()| browse::run(browse)),
        Command::Doctor(doctor) => {
            return cli.log.init().map_err(Failure::unanswered).and_then(|()| doctor::run(doctor));
        }
        Command::Layers(layers) => cli.log.init().and_then(|()| layers::run(layers)),
        Command::Unpack(unpack) => cli.log.init().and_then(|()| unpack::run(unpack)),
        Command::Commit(commit) => cli.log.init().and_then(|()| commit::run(commit)),
        Command::Convert(convert) => {
            cli.log.with_quiet(convert.store.quiet).init().and_then(|()| convert::run(convert))
        }
        Command::Store(store) => cli.log.init().and_then(|()| store::run(store)),
        Command::Completions(completions) => completions::run(completions),
        Command::Man(man) => man::run(man),
    };
    done.map(|()| Answer::Yes)
}
