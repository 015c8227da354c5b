//! Where the log goes.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use env_logger::{Builder, Target};
use log::{Level, LevelFilter};

use super::Failure;
use super::options::Switch;
use crate::error::describe;

/// What is logged under this name was asked for (SIGUSR1), so it is shown at every level but `off`.
pub const STATISTICS: &str = "statistics";

/// Options about the log, of every command.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct LogArgs {
    /// How much is logged [default: RUST_LOG, or warn]
    #[arg(long, global = true, value_name = "LEVEL", value_parser = level_parser(), help_heading = "Log")]
    pub log_level: Option<LevelFilter>,
    /// Append the log to FILE instead of writing it to stderr
    ///
    /// A daemon has no terminal: without this option it logs only until it serves, and what it warns of later is lost.
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Log")]
    pub log_file: Option<PathBuf>,
}

fn level_parser() -> impl clap::builder::TypedValueParser<Value = LevelFilter> {
    use clap::builder::TypedValueParser;
    clap::builder::PossibleValuesParser::new(["off", "error", "warn", "info", "debug", "trace"])
        .map(|name| name.parse().unwrap_or(LevelFilter::Warn))
}

/// What RUST_LOG asks for; env_logger alone would complain of it in words of its own, and go on with `error`.
fn filter_of_the_environment() -> String {
    const DEFAULT: &str = "warn";
    let asked = match std::env::var("RUST_LOG") {
        Ok(asked) if !asked.is_empty() => asked,
        _ => return DEFAULT.to_owned(),
    };
    match env_filter::Builder::new().try_parse(&asked) {
        Ok(_) => asked,
        Err(error) => {
            eprintln!("lamina: warning: RUST_LOG is not understood: {error}; it is taken for {DEFAULT}");
            DEFAULT.to_owned()
        }
    }
}

fn is_asked_by_the_environment() -> bool {
    std::env::var_os("RUST_LOG").is_some_and(|asked| !asked.is_empty())
}

impl LogArgs {
    /// `-o debug` is `--log-level debug`, unless a level was given.
    pub fn with_debug(&self, debug: Option<Switch>) -> Self {
        let level = debug.filter(|switch| *switch == Switch::On).map(|_| LevelFilter::Debug);
        LogArgs { log_level: self.log_level.or(level), log_file: self.log_file.clone() }
    }

    /// `--quiet`: what nobody asked for, in a place or at a level of its own, is not said on stderr unless it is an error.
    pub fn with_quiet(&self, quiet: bool) -> Self {
        let asked = self.log_level.is_some() || self.log_file.is_some() || is_asked_by_the_environment();
        let level = (quiet && !asked).then_some(LevelFilter::Error);
        LogArgs { log_level: self.log_level.or(level), log_file: self.log_file.clone() }
    }

    /// Starts logging. To be called once, before the current directory and the umask change.
    pub fn init(&self) -> Result<(), Failure> {
        let mut builder = Builder::new();
        builder.parse_filters(&filter_of_the_environment());
        if self.log_level != Some(LevelFilter::Off) {
            builder.filter_module(STATISTICS, LevelFilter::Info);
        }
        if let Some(level) = self.log_level {
            builder.filter_level(level);
            // It tells one by one what the kernel offers and nobody asked for: dozens of lines about nothing.
            if level < LevelFilter::Trace {
                builder.filter_module("fuser", level.min(LevelFilter::Info));
            }
        }
        match &self.log_file {
            Some(path) => {
                let file = File::options().create(true).append(true).open(path).map_err(|error| {
                    Failure::trouble(format!(
                        "log file '{}' cannot be opened: {}",
                        path.display(),
                        describe(&error)
                    ))
                    .hint("give a file that you may write to with --log-file")
                })?;
                builder.target(Target::Pipe(Box::new(file))).format(|out, record| {
                    let (time, pid) = (out.timestamp_millis(), std::process::id());
                    writeln!(out, "{time} {pid} {} {}: {}", record.level(), record.target(), record.args())
                });
            }
            None => {
                builder.format(|out, record| match record.level() {
                    Level::Error => writeln!(out, "lamina: {}", record.args()),
                    Level::Warn => writeln!(out, "lamina: warning: {}", record.args()),
                    level => {
                        let level = level.as_str().to_ascii_lowercase();
                        writeln!(out, "lamina: {level}: {}: {}", record.target(), record.args())
                    }
                });
            }
        }
        builder.try_init().map_err(|error| Failure::trouble(format!("the log cannot be set up: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_leaves_errors_unless_more_was_asked_for() {
        let args = |log_level, file: Option<&str>| LogArgs { log_level, log_file: file.map(PathBuf::from) };
        let plain = (!is_asked_by_the_environment()).then_some(LevelFilter::Error);
        for (given, quiet, expected) in [
            (args(None, None), true, plain),
            (args(None, None), false, None),
            (args(Some(LevelFilter::Warn), None), true, Some(LevelFilter::Warn)),
            (args(None, Some("log")), true, None),
        ] {
            assert_eq!(given.with_quiet(quiet).log_level, expected, "{given:?} {quiet}");
        }
    }
}
