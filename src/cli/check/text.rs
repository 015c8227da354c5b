//! What was found, for people.

use std::fmt::Write;

use super::{Outcome, State, Told};
use crate::check::{Place, Weight};
use crate::cli::terminal::shown_bytes;

/// A block for each finding, and a line that sums up.
pub fn report(told: &Told<'_>, colours: bool) -> String {
    let mut text = String::new();
    for outcome in &told.outcomes {
        block(&mut text, outcome, colours);
    }
    text.push_str(&summary(told));
    text
}

fn block(text: &mut String, outcome: &Outcome, colours: bool) {
    let verdict = &outcome.finding.verdict;
    let (side, path) = match &outcome.finding.place {
        Place::Upper(path) => ("", path),
        Place::Work(path) => ("work directory: ", path),
    };
    let path = shown_bytes(&[b"/", path.as_bytes()].concat());
    let code = verdict.code.word();
    let code = match (colours, verdict.code.weight()) {
        (false, _) => code.to_owned(),
        (true, Weight::Problem) => format!("\x1b[1;31m{code}\x1b[0m"),
        (true, Weight::Note) => format!("\x1b[1;34m{code}\x1b[0m"),
    };
    let remedy = verdict.remedy.as_ref().map(ToString::to_string).unwrap_or_default();
    let after = match &outcome.state {
        State::Repairable => format!("--repair would {remedy}"),
        State::Repaired => format!("repaired: {remedy}"),
        State::Failed(why) => format!("not repaired: {remedy}: {why}"),
        State::Left => verdict.code.advice().to_owned(),
    };
    // Writing to a string does not fail.
    let _ =
        writeln!(text, "{side}{path}: {code}\n  {}\n  {}\n  {after}", verdict.found, verdict.code.means());
}

fn summary(told: &Told<'_>) -> String {
    let count = |is: &dyn Fn(&Outcome) -> bool| told.outcomes.iter().filter(|outcome| is(outcome)).count();
    let problem = |outcome: &Outcome| outcome.finding.verdict.code.weight() == Weight::Problem;
    let problems = count(&problem);
    let notes = told.outcomes.len() - problems;
    let repaired = count(&|outcome| outcome.state == State::Repaired);
    let repairable = count(&|outcome| outcome.state == State::Repairable);
    let left = count(&Outcome::counts);
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let mut line = match problems {
        0 => format!("nothing wrong in {} objects", told.objects),
        _ => format!("{} in {} objects", plural(problems, "problem"), told.objects),
    };
    for part in [
        (repaired > 0).then(|| format!("{repaired} repaired")),
        (repaired > 0 && left > 0).then(|| format!("{left} left")),
        (repairable > 0).then(|| format!("{repairable} that --repair would repair")),
        (notes > 0).then(|| plural(notes, "note")),
    ]
    .into_iter()
    .flatten()
    {
        line.push_str(", ");
        line.push_str(&part);
    }
    if !told.lowers_known {
        line.push_str("\nthe layers below were not looked at: name them with --lower, and more can be said");
    }
    line.push('\n');
    line
}
