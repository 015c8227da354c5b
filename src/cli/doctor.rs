//! `lamina doctor`: what this machine and user can do.

use std::path::PathBuf;

use clap::ValueHint;
use clap::builder::styling::{AnsiColor, Style};
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use super::epilogue::{Epilogue, Example, Note};
use super::image_args::StoreDirArgs;
use super::{Answer, Failure, terminal};
use crate::doctor::place::{Role, Upper};
use crate::doctor::{self, Examined, Finding, Level, Places, Use};
use crate::error::describe;
use crate::sandbox::scratch;

/// What follows the options in the help and the man page.
pub const EPILOGUE: Epilogue = Epilogue {
    examples: &[
        Example { what: "what works here, what does not, and what to do about it", command: "lamina doctor" },
        Example {
            what: "would an upper there be good enough?",
            command: "lamina doctor --for mount --upper /srv/changes",
        },
        Example {
            what: "in a script: lamina run if it works here, else something else",
            command: "if lamina doctor --for run; then lamina run app.tar -- make test; fi",
        },
    ],
    notes: &[
        Note {
            heading: "How it knows",
            text: "It tries: an empty directory is mounted and unmounted, namespaces are made in a process of its own, and files are made \
                   in a directory that is removed again. Only what cannot be tried is looked up. Nothing is changed.",
        },
        Note {
            heading: "Verdicts",
            text: "ok: all of it works. limited: it works, with less, as is said below the table. missing: it does not work, or is not \
                   there; whether anything needs it is said below the table.",
        },
        Note {
            heading: "Exit status",
            text: "0 done; with --for: it works, if perhaps with less. 1 with --for: it does not work here. 2 there is no answer, or the \
                   command line is wrong.",
        },
    ],
};

/// `lamina doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE.help())]
pub struct DoctorArgs {
    /// Say whether this works here, and exit with 1 if it does not
    #[arg(long = "for", value_enum, value_name = "USE")]
    on: Option<Use>,
    /// Look at DIR as the place of an upper [default: where the store and temporary files are]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    upper: Option<PathBuf>,
    #[command(flatten)]
    store: StoreDirArgs,
    /// Print JSON: an object with all checks, and the verdict of each use
    #[arg(long)]
    json: bool,
}

/// Examines the machine.
pub fn run(args: &DoctorArgs) -> Result<Answer, Failure> {
    let examined = doctor::examine(&places(args)).map_err(|error| {
        Failure::trouble(format!("nothing can be tried here: {}", describe(&error)))
            .hint("a process must be allowed to fork, and /proc must be mounted")
            .unanswered()
    })?;
    let told = match args.json {
        true => {
            terminal::json(&document(&examined, args.on)).and_then(|json| terminal::print(json.as_bytes()))
        }
        false => {
            let look = Look { width: terminal::width(), colours: terminal::colours() };
            let text = match args.on {
                None => table(&examined, look) + "\n" + &summary(&examined, &Use::ALL, look),
                Some(on) => summary(&examined, &[on], look),
            };
            terminal::print(text.as_bytes())
        }
    };
    told.map_err(Failure::unanswered)?;
    Ok(match args.on.map(|on| examined.verdict(on)) {
        Some(Level::Missing) => Answer::No,
        Some(Level::Ok | Level::Limited) | None => Answer::Yes,
    })
}

fn places(args: &DoctorArgs) -> Places {
    // A user without a home has no store; that is one of the findings.
    let store = args.store.dir().ok();
    let scratch = scratch::parent();
    let mut uppers = Vec::new();
    match (&args.upper, &store) {
        (Some(path), _) => uppers.push(Upper { path: path.clone(), role: Role::Asked }),
        (None, Some(store)) => uppers.push(Upper { path: store.clone(), role: Role::Home }),
        (None, None) => {}
    }
    uppers.push(Upper { path: scratch.clone(), role: Role::Scratch });
    Places { uppers, store, scratch }
}

/// How it is shown.
#[derive(Debug, Clone, Copy)]
struct Look {
    width: Option<usize>,
    colours: bool,
}

/// The JSON output. The field names are a format: see `docs/cli.md`.
#[derive(Debug, Serialize)]
struct Document<'a> {
    version: &'static str,
    uses: Vec<UseDocument<'a>>,
    checks: &'a [Finding],
}

#[derive(Debug, Serialize)]
struct UseDocument<'a> {
    #[serde(rename = "for")]
    on: Use,
    verdict: Level,
    reasons: Vec<ReasonDocument<'a>>,
}

#[derive(Debug, Serialize)]
struct ReasonDocument<'a> {
    check: &'a str,
    verdict: Level,
    what: &'a str,
    remedy: Option<&'a str>,
}

fn document(examined: &Examined, on: Option<Use>) -> Document<'_> {
    let uses = Use::ALL.into_iter().filter(|one| on.is_none_or(|on| on == *one));
    let uses = uses.map(|on| UseDocument {
        on,
        verdict: examined.verdict(on),
        reasons: examined
            .reasons(on)
            .into_iter()
            .map(|(finding, effect)| ReasonDocument {
                check: finding.check,
                verdict: effect.level,
                what: &effect.what,
                remedy: finding.remedy.as_deref(),
            })
            .collect(),
    });
    Document { version: env!("CARGO_PKG_VERSION"), uses: uses.collect(), checks: &examined.findings }
}

/// A line for each check; what does not fit is told in the lines below it.
fn table(examined: &Examined, look: Look) -> String {
    let head = ["CHECK", "VERDICT", "FOUND"];
    let names: Vec<String> = examined.findings.iter().map(name).collect();
    let wide = |cells: &mut dyn Iterator<Item = &str>| cells.map(UnicodeWidthStr::width).max().unwrap_or(0);
    let first = wide(&mut names.iter().map(String::as_str).chain(head.into_iter().take(1)));
    let second = "limited".len();
    // One line is text of any length: it is filled, as a paragraph beside the other columns.
    let left = first + second + 4;
    let room = look.width.map(|width| width.saturating_sub(left)).filter(|room| *room >= terminal::LEAST_CUT);
    let mut text = format!("{:first$}  {:second$}  {}\n", head[0], head[1], head[2]);
    for (finding, name) in examined.findings.iter().zip(&names) {
        let gap = " ".repeat(first - name.width());
        let level = painted(finding.level, second, look);
        match (room, look.width) {
            (Some(room), _) => {
                let lines = filled(&finding.found, room);
                let indent = format!("\n{}", " ".repeat(left));
                text.push_str(&format!("{name}{gap}  {level}  {}\n", lines.join(&indent)));
            }
            (None, None) => text.push_str(&format!("{name}{gap}  {level}  {}\n", finding.found)),
            (None, Some(width)) => {
                let lines = filled(&finding.found, width.saturating_sub(2).max(terminal::LEAST_CUT));
                text.push_str(&format!("{name}\n  {level}\n  {}\n", lines.join("\n  ")));
            }
        }
    }
    text
}

/// What works; and for each finding that keeps it from working, or from working well, what it means and what to do.
fn summary(examined: &Examined, uses: &[Use], look: Look) -> String {
    let room = look.width.map_or(usize::MAX, |width| width.saturating_sub(8).max(terminal::LEAST_CUT));
    let mut text = String::new();
    let widest = uses.iter().map(|on| on.word().len()).max().unwrap_or(0);
    for on in uses {
        let level = examined.verdict(*on);
        let word = match level {
            Level::Ok => "works here",
            Level::Limited => "works here, with less",
            Level::Missing => "does not work here",
        };
        let gap = " ".repeat(widest - on.word().len());
        text.push_str(&format!("{}{gap}  {}\n", on.word(), painted_text(word, level, look)));
    }
    let mut block = |indent: &str, said: &str| {
        let lines = filled(said, room).into_iter().map(|line| format!("{indent}{line}\n"));
        text.extend(lines);
    };
    for finding in &examined.findings {
        let means = meanings(finding, uses);
        // Asked of everything, it is told what could be better, too, where that keeps nobody from anything.
        if means.is_empty() && (uses.len() < Use::ALL.len() || finding.remedy.is_none()) {
            continue;
        }
        block("", "");
        block("", &name(finding));
        for (on, what) in &means {
            block("    ", &format!("{on}: {what}"));
        }
        if let Some(remedy) = &finding.remedy {
            block("    ", &format!("to do: {remedy}"));
        }
    }
    text
}

/// What a finding means, each once, with the uses it is about.
fn meanings<'a>(finding: &'a Finding, uses: &[Use]) -> Vec<(String, &'a str)> {
    let mut means: Vec<(String, &str)> = Vec::new();
    for effect in finding.effects.iter().filter(|effect| uses.contains(&effect.on)) {
        match means.iter_mut().find(|(_, what)| *what == effect.what) {
            Some((on, _)) => on.extend([", ", effect.on.word()]),
            None => means.push((effect.on.word().to_owned(), &effect.what)),
        }
    }
    means
}

fn name(finding: &Finding) -> String {
    match &finding.path {
        Some(path) => format!("{} {}", finding.check, terminal::shown(path)),
        None => finding.check.to_owned(),
    }
}

fn painted(level: Level, width: usize, look: Look) -> String {
    let padding = " ".repeat(width.saturating_sub(level.word().len()));
    format!("{}{padding}", painted_text(level.word(), level, look))
}

fn painted_text(text: &str, level: Level, look: Look) -> String {
    let colour = match level {
        Level::Ok => AnsiColor::Green,
        Level::Limited => AnsiColor::Yellow,
        Level::Missing => AnsiColor::Red,
    };
    let style = if look.colours { Style::new().fg_color(Some(colour.into())) } else { Style::new() };
    format!("{style}{text}{style:#}")
}

/// Lines of words, as wide as there is room; a word that is wider has a line of its own.
fn filled(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if line.width() + 1 + word.width() <= room {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests;
