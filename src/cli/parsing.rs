//! Where the parser's answers become ours: a [`Failure`] says what is wrong in one form, and text that cannot be written
//! is a failure too.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{Cli, ExitClass, Failure};
use crate::error::describe;

/// What the words ask for.
#[derive(Debug)]
pub enum Parsed {
    /// A command.
    Command(Box<Cli>),
    /// Help or the version, which is written already.
    Answered,
}

/// Parses the command line, the program's name first.
pub fn parse(args: &[OsString]) -> Result<Parsed, Failure> {
    let error = match Cli::try_parse_from(args) {
        Ok(cli) => return Ok(Parsed::Command(Box::new(cli))),
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let written = error.print().and_then(|()| io::stdout().flush());
            match written {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    Err(Failure::trouble(format!("standard output: {}", describe(&error))))
                }
                _ => Ok(Parsed::Answered),
            }
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let text = error.render().to_string();
            Err(Failure::usage("a command is missing")
                .hint(format!("lamina --help says more\n\n{}", text.trim_end())))
        }
        ErrorKind::MissingRequiredArgument
            if args.get(1).is_some_and(|word| word == "mount") && is_missing(&error, "<SOURCE>") =>
        {
            Err(mount_without_words(args))
        }
        _ => Err(said_by_the_parser(&error)),
    }
}

fn is_missing(error: &clap::Error, argument: &str) -> bool {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(missing)) => missing.iter().any(|one| one.starts_with(argument)),
        _ => false,
    }
}

/// Neither a layer nor a mount point.
fn mount_without_words(args: &[OsString]) -> Failure {
    let names_the_stack = |arg: &OsString| {
        let bytes = arg.as_bytes();
        bytes.windows(b"lowerdir=".len()).any(|window| window == b"lowerdir=")
    };
    Failure::usage("SOURCE and MOUNTPOINT are missing").hint(match args.iter().any(names_the_stack) {
        true => "with lowerdir=, leave out the word mount: lamina -o lowerdir=TOP:...:BASE MOUNTPOINT",
        false => "usage: lamina mount [OPTIONS] SOURCE... MOUNTPOINT",
    })
}

/// The parser's text in our form: its first line is what is wrong, the others are what to do.
fn said_by_the_parser(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let text = text.trim().trim_start_matches("error: ");
    let (message, rest) = text.split_once("\n\n").unwrap_or((text, ""));
    let hint: Vec<&str> = rest.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Failure { message: message.to_owned(), hint: Some(hint.join("\n        ")), class: ExitClass::Usage }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_words_are_told_in_our_form() {
        for (line, message, hint) in [
            ("lamina mount", "SOURCE and MOUNTPOINT are missing", "lamina mount [OPTIONS]"),
            (
                "lamina mount -o lowerdir=a:b",
                "SOURCE and MOUNTPOINT are missing",
                "lamina -o lowerdir=TOP:...:BASE MOUNTPOINT",
            ),
            ("lamina mont", "unrecognized subcommand 'mont'", "'mount'"),
            ("lamina mount a m --bogus", "unexpected argument '--bogus' found", "--help"),
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let failure = parse(&words).unwrap_err();
            assert_eq!((failure.message.as_str(), failure.class), (message, ExitClass::Usage), "{line}");
            assert!(failure.to_string().starts_with("lamina: "));
            assert!(failure.hint.as_deref().unwrap_or_default().contains(hint), "{line}: {failure}");
        }
    }
}
