//! The report for people.

use clap::builder::styling::{AnsiColor, Style};

use unicode_width::UnicodeWidthStr;

use super::Report;
use super::ci::{Status, Verdict};
use super::compare::Compared;
use crate::cli::opened::{LayerFacts, Opened};
use crate::cli::{human, terminal};
use crate::waste::{Extent, How, LayerNumber, Row, Waste};

const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const DIMMED: Style = Style::new().dimmed();

/// How a file is hidden, for people and programs.
pub fn how_name(how: How) -> &'static str {
    match how {
        How::Overwritten => "overwritten",
        How::Deleted => "deleted",
        How::Opaque => "opaque",
        How::Replaced => "replaced",
    }
}

/// What is known of a layer.
pub fn facts_of(opened: &Opened, number: LayerNumber) -> Option<&LayerFacts> {
    opened.layers.iter().find(|facts| facts.number == usize::from(number.0))
}

/// The whole report, with as many paths.
pub fn of(report: &Report<'_>, shown: usize) -> String {
    let width = terminal::width();
    let colours = terminal::colours();
    let mut text = summary(report.waste);
    if !report.waste.between.is_empty() {
        text.push('\n');
        text.push_str(&between(report, width));
    }
    let rows = report.waste.rows.get(..shown).unwrap_or(&report.waste.rows);
    if !rows.is_empty() {
        text.push('\n');
        text.push_str(&paths(report, rows, width));
    }
    let left_out = report.waste.row_count.saturating_sub(rows.len() as u64);
    if left_out > 0 {
        let bytes = rows.iter().fold(report.waste.hidden, |left, row| left.saturating_sub(row.bytes));
        let s = if left_out == 1 { "" } else { "s" };
        text.push_str(&format!("{left_out} more path{s} with {}: --all shows them\n", human::size(bytes)));
    }
    if let Some(verdict) = report.verdict {
        text.push('\n');
        text.push_str(&judgement(verdict, colours));
    }
    text
}

fn percent(part: f64) -> String {
    format!("{:.2} %", part * 100.0)
}

/// The figures.
fn summary(waste: &Waste) -> String {
    let bytes = waste.bytes();
    let share = if bytes == 0 { 0.0 } else { waste.hidden as f64 / bytes as f64 };
    let layers = waste.layers.len();
    let s = if layers == 1 { "" } else { "s" };
    let lines = [
        ("size", format!("{} in {layers} layer{s}", human::size(bytes))),
        ("wasted", format!("{}, {} of it: nobody can see it", human::size(waste.hidden), percent(share))),
        (
            "efficiency",
            format!(
                "{} by dive's measure, with {} of {} path{} in several layers",
                percent(waste.score.efficiency),
                human::size(waste.score.wasted),
                waste.score.paths,
                if waste.score.paths == 1 { "" } else { "s" }
            ),
        ),
    ];
    lines.iter().map(|(name, value)| format!("{name:<10}  {value}\n")).collect()
}

/// What the last column of a table is headed by.
fn made_by_head(opened: &Opened) -> &'static str {
    match opened.layers.iter().any(|layer| layer.instruction.is_some()) {
        true => "INSTRUCTION",
        false => "FROM",
    }
}

fn made_by(opened: &Opened, number: LayerNumber) -> String {
    facts_of(opened, number).map_or_else(|| "-".to_owned(), LayerFacts::made_by)
}

/// A row for each two layers and way.
fn between(report: &Report<'_>, width: Option<usize>) -> String {
    let head = ["WASTED", "FILES", "LAYER", "HOW", "BY", made_by_head(report.opened)];
    let row = |one: &crate::waste::Between| {
        vec![
            human::size(one.bytes),
            one.files.to_string(),
            one.of.0.to_string(),
            how_name(one.how).to_owned(),
            one.by.0.to_string(),
            made_by(report.opened, one.by),
        ]
    };
    let rows: Vec<Vec<String>> = report.waste.between.iter().map(row).collect();
    terminal::columns_with_text(&head, &rows, width)
        .unwrap_or_else(|| terminal::blocks_with_text(&head, &rows, width))
}

/// A row for each path.
fn paths(report: &Report<'_>, rows: &[Row], width: Option<usize>) -> String {
    let head = ["WASTED", "FILES", "LAYER", "HOW", "BY", "PATH", made_by_head(report.opened)];
    let row = |row: &Row| {
        let mut path = terminal::shown_bytes(&row.path);
        if row.extent == Extent::Directory && !path.ends_with('/') {
            path.push('/');
        }
        let how = match report.contents.get(row) {
            Some(Compared::Same) => "same content",
            Some(Compared::Different) | None => how_name(row.how),
        };
        let layer = match row.lowest == row.highest {
            true => row.lowest.0.to_string(),
            false => format!("{}-{}", row.lowest.0, row.highest.0),
        };
        vec![
            human::size(row.bytes),
            row.files.to_string(),
            layer,
            how.to_owned(),
            row.by.0.to_string(),
            path,
            made_by(report.opened, row.by),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    if let Some(text) = terminal::columns_with_text(&head, &rows, width) {
        return text;
    }
    // The table above has the instructions by their layers; paths are not cut, so that they can be taken from here.
    let all_but_made_by = [0, 1, 2, 3, 4, 5];
    let least = [0, 3, 4, 5];
    let text = only(&all_but_made_by, &head, &rows);
    match width {
        Some(width) if text.lines().any(|line| line.width() > width) => only(&least, &head, &rows),
        _ => text,
    }
}

/// Some of the columns, however wide they are.
fn only(columns: &[usize], head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<&str> = columns.iter().filter_map(|column| head.get(*column).copied()).collect();
    let of_row =
        |row: &Vec<String>| columns.iter().filter_map(|column| row.get(*column)).cloned().collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = rows.iter().map(of_row).collect();
    terminal::table(&head, &rows, None)
}

fn judgement(verdict: &Verdict, colours: bool) -> String {
    let styled = |style: Style, text: String| match colours {
        true => format!("{style}{text}{style:#}"),
        false => text,
    };
    let mut text = String::new();
    for judged in &verdict.rules {
        let (style, mark) = match judged.status {
            Status::Pass => (GOOD, "pass"),
            Status::Fail => (BAD, "FAIL"),
            Status::Disabled => (DIMMED, "-"),
        };
        let mark = styled(style, format!("{mark:<4}"));
        text.push_str(&format!("{mark}  {:<24}  {}\n", judged.rule.name(), judged.says));
    }
    let (style, end) = if verdict.passes() { (GOOD, "pass") } else { (BAD, "FAIL") };
    text.push_str(&format!("{}\n", styled(style, end.to_owned())));
    text
}
