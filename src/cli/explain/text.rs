//! The explanation for people.

use clap::builder::styling::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

use super::json::entry_name;
use super::{Content, Detail, Explained};
use crate::cli::human::{self, Precision};
use crate::cli::opened::{LayerFacts, Opened, Selection};
use crate::cli::terminal;
use crate::layer::Found;
use crate::overlay::{FileKind, Outcome, Part, Reason, Said, Trace};
use crate::path::RelPath;
use crate::resolve::Depth;

/// The first column, the second and the last are always there; the others where a layer has something to say in them.
const HEAD: [&str; 9] =
    ["  LAYER", "ENTRY", "SIZE", "MODE", "OWNER", "MODIFIED", "CONTENT", "DIFFERS", "INSTRUCTION"];
const ALWAYS: [usize; 3] = [0, 1, 8];
/// The last column where no layer tells its instruction.
const FROM: &str = "FROM";
/// What must be left of an instruction before each layer gets a block of lines, cells. The one that counts is in the verdict, whole.
const LEAST_INSTRUCTION: usize = 10;

const WINS: Style = AnsiColor::Green.on_default().bold();
const IS_HIDDEN: Style = Style::new().dimmed();

/// What the text is made for.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Of the terminal, cells.
    pub width: Option<usize>,
    /// Does it show colours?
    pub colours: bool,
}

/// The explanation of one path.
pub fn of(opened: &Opened, explained: &Explained<'_>, look: Look) -> String {
    let mut text = format!("{}: {}\n", shown(&explained.asked), verdict(opened, explained));
    for link in &explained.trace.links {
        let target = terminal::shown_bytes(&link.target);
        text.push_str(&format!("  by the symlink {} -> {target}\n", shown_path(&link.at)));
    }
    for (said, facts) in explained.trace.layers.iter().zip(&opened.layers) {
        if let Some(problem) = &said.problem {
            text.push_str(&format!(
                "  what layer {} has is hidden, and cannot be told: {problem}\n",
                facts.number
            ));
        }
    }
    text.push_str(&table(opened, explained, look));
    text
}

/// A line for each layer, with what fits; where that is too little, a block.
fn table(opened: &Opened, explained: &Explained<'_>, look: Look) -> String {
    let ways = [
        (Some(Precision::Second), terminal::LEAST_CUT),
        (Some(Precision::Day), terminal::LEAST_CUT),
        (None, LEAST_INSTRUCTION),
    ];
    for (precision, least) in ways {
        let (head, rows) = rows(opened, explained, precision);
        let whole = terminal::table(&head, &rows, None);
        let fits = |width| whole.lines().all(|line| line.width() <= width);
        let can_be_cut = |width| width_before_last(&head, &rows) + least <= width;
        let text = match look.width {
            Some(width) if fits(width) => whole,
            Some(width) if can_be_cut(width) => {
                match terminal::columns_with_cut_text(&head, &rows, Some(width), least) {
                    Some(cut) => cut,
                    None => continue,
                }
            }
            Some(_) => continue,
            None => whole,
        };
        return if look.colours { coloured(&text, explained) } else { text };
    }
    let (head, rows) = rows(opened, explained, Some(Precision::Second));
    terminal::blocks(&head, &for_blocks(opened, explained, rows))
}

/// The rows, each to be headed by its layer. Layers that have nothing there, one below the other, are told together.
fn for_blocks(opened: &Opened, explained: &Explained<'_>, rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let mut blocks = Vec::with_capacity(rows.len());
    let mut nothing: Vec<usize> = Vec::new();
    let told = |layers: &mut Vec<usize>| {
        let text = match (layers.first(), layers.last()) {
            (Some(top), Some(base)) if top != base => format!("  layers {base}-{top}: nothing"),
            (Some(only), _) => format!("  layer {only}: nothing"),
            (None, _) => return None,
        };
        layers.clear();
        Some(vec![text])
    };
    for ((mut row, said), facts) in rows.into_iter().zip(&explained.trace.layers).zip(&opened.layers) {
        if matches!(said.found, Found::Absent) && said.problem.is_none() {
            nothing.push(facts.number);
            continue;
        }
        blocks.extend(told(&mut nothing));
        if let Some(cell) = row.first_mut() {
            let (mark, number) = cell.split_at(cell.len().min(MARK_LEN));
            *cell = format!("{mark}layer {number}");
        }
        blocks.push(row);
    }
    blocks.extend(told(&mut nothing));
    blocks
}

/// The head, and what each layer says under it.
fn rows(
    opened: &Opened,
    explained: &Explained<'_>,
    precision: Option<Precision>,
) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let said = explained.trace.layers.iter().zip(&explained.details).zip(&opened.layers);
    let whole: Vec<[String; 9]> =
        said.map(|((said, detail), facts)| row(explained, said, detail, facts, precision)).collect();
    let says = |column: usize| whole.iter().any(|row| row.get(column).is_some_and(|cell| cell != NONE));
    let kept: Vec<usize> =
        (0..HEAD.len()).filter(|column| ALWAYS.contains(column) || says(*column)).collect();
    let mut head: Vec<&str> = kept.iter().filter_map(|column| HEAD.get(*column).copied()).collect();
    if let (Some(last), false) =
        (head.last_mut(), opened.layers.iter().any(|layer| layer.instruction.is_some()))
    {
        *last = FROM;
    }
    let rows = whole
        .iter()
        .map(|row| kept.iter().filter_map(|column| row.get(*column).cloned()).collect())
        .collect();
    (head, rows)
}

/// What the columns before the last take, cells.
fn width_before_last(head: &[&str], rows: &[Vec<String>]) -> usize {
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width());
        cells.chain(head.get(column).map(|cell| cell.width())).max().unwrap_or(0)
    };
    (0..head.len().saturating_sub(1)).map(|column| widest(column) + 2).sum()
}

/// The line of what counts stands out, and that of what is hidden does not.
fn coloured(table: &str, explained: &Explained<'_>) -> String {
    let mut text = String::new();
    let lines = table.lines();
    let layers = std::iter::once(None).chain(explained.trace.layers.iter().map(Some));
    for (line, said) in lines.zip(layers) {
        let style = match said {
            None => Style::new(),
            Some(said) if wins(explained, said) => WINS,
            Some(said) if said.part == Part::Counts && said.stat().is_some() => Style::new(),
            Some(said) if said.part == Part::Counts && matches!(said.found, Found::Whiteout) => Style::new(),
            Some(_) => IS_HIDDEN,
        };
        text.push_str(&format!("{style}{line}{style:#}\n"));
    }
    text
}

fn shown(path: &[u8]) -> String {
    // An empty path is the root.
    if path.is_empty() { "/".to_owned() } else { terminal::shown_bytes(path) }
}

fn shown_path(path: &RelPath) -> String {
    format!("/{}", terminal::shown_bytes(path.as_bytes()))
}

/// Does this layer's entry count?
fn wins(explained: &Explained<'_>, said: &Said<'_>) -> bool {
    match explained.trace.outcome {
        Outcome::There { kind: FileKind::Directory, .. } => {
            said.part == Part::Counts && matches!(said.found, Found::Dir(_))
        }
        Outcome::There { depth, data, .. } => said.depth == depth || Some(said.depth) == data,
        Outcome::Absent(_) => false,
    }
}

fn verdict(opened: &Opened, explained: &Explained<'_>) -> String {
    let layer = |depth: Depth| layer(opened, depth);
    match explained.trace.outcome {
        Outcome::There { kind: FileKind::Directory, depth, .. } => {
            let mut parts = explained.trace.layers.iter().filter(|said| wins(explained, said));
            let (top, others) = (parts.next().map_or(depth, |said| said.depth), parts.count());
            let what = match others {
                0 => format!("directory of {}", layer(top)),
                others => format!("directory, merged from {} layers", others + 1),
            };
            let attributes = explained.trace.layers.iter().find(|said| said.depth == depth);
            match others == 0 && top == depth {
                _ if attributes.is_some_and(|said| said.own_stat().is_none()) => {
                    format!("{what}; no layer has an entry for it, so that its attributes are implied")
                }
                true => what,
                false => format!("{what}; its attributes are those of {}", layer(depth)),
            }
        }
        Outcome::There { kind, depth, data } => {
            let data = match data {
                Some(data) if data != depth => format!("; its content is in {}", layer(data)),
                Some(_) => String::new(),
                None => "; its content is in no layer".to_owned(),
            };
            format!("{} of {}{data}", kind_text(kind), layer(depth))
        }
        Outcome::Absent(reason) => absent(opened, &explained.trace, reason),
    }
}

/// Why there is nothing: what follows the path in a sentence.
pub fn absent(opened: &Opened, trace: &Trace<'_>, reason: Reason) -> String {
    let layer = |depth| layer(opened, depth);
    let cause = trace.cause.as_ref().unwrap_or(&trace.path);
    let at = shown_path(cause);
    let why = match reason {
        Reason::NeverExisted => match opened.selection {
            Selection::All => format!("no layer has {at}"),
            Selection::Only(number) => format!("layer {number} has no {at}"),
            Selection::UpTo(number) => format!("no layer up to {number} has {at}"),
        },
        Reason::Deleted(depth) if *cause == trace.path => format!("deleted in {}", layer(depth)),
        Reason::Deleted(depth) => format!("{at} was deleted in {}", layer(depth)),
        Reason::HiddenByOpaque(depth) => format!("hidden by the opaque {at} of {}", layer(depth)),
        Reason::ParentNotADirectory(depth) => format!("{at} is no directory in {}", layer(depth)),
    };
    format!("does not exist: {why}")
}

fn layer(opened: &Opened, depth: Depth) -> String {
    match opened.layers.get(usize::from(depth.0)) {
        Some(facts) => format!("layer {} ({})", facts.number, facts.made_by()),
        None => format!("the layer at depth {}", depth.0),
    }
}

fn kind_text(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Regular => "file",
        FileKind::Directory => "directory",
        FileKind::Symlink => "symlink",
        FileKind::CharDevice => "character device",
        FileKind::BlockDevice => "block device",
        FileKind::Fifo => "fifo",
        FileKind::Socket => "socket",
    }
}

/// What stands for what is not known, or is not there.
const NONE: &str = "-";
/// Before the number of a layer: does it count?
const MARK_LEN: usize = 2;

fn row(
    explained: &Explained<'_>,
    said: &Said<'_>,
    detail: &Detail,
    facts: &LayerFacts,
    precision: Option<Precision>,
) -> [String; 9] {
    let none = || NONE.to_owned();
    let mark = if wins(explained, said) { "> " } else { "  " };
    let stat = said.own_stat();
    let size = match &said.found {
        Found::Leaf(leaf) if leaf.stat.is_regular() => human::size(leaf.stat.size),
        _ => none(),
    };
    let content = match detail.content {
        Content::Untold => none(),
        Content::Is(digest) => digest.short(),
        Content::Unreadable => "unreadable".to_owned(),
        Content::TooLong => "not read".to_owned(),
    };
    let differs = if detail.differs.is_empty() { none() } else { detail.differs.join(" ") };
    [
        format!("{mark}{}", facts.number),
        entry(explained, said, detail),
        size,
        stat.map_or_else(none, |stat| format!("{:04o}", stat.mode & 0o7777)),
        stat.map_or_else(none, |stat| format!("{}:{}", stat.uid, stat.gid)),
        stat.zip(precision)
            .and_then(|(stat, precision)| human::time(stat.mtime.0, precision))
            .unwrap_or_else(none),
        content,
        differs,
        facts.made_by(),
    ]
}

fn entry(explained: &Explained<'_>, said: &Said<'_>, detail: &Detail) -> String {
    let mut text = match &said.found {
        Found::Absent => match &said.problem {
            None => return NONE.to_owned(),
            Some(_) => return "(unknown)".to_owned(),
        },
        Found::Dir(dir) if dir.opaque => "opaque directory".to_owned(),
        Found::Leaf(leaf) if leaf.metacopy.is_some() => "metadata only".to_owned(),
        _ => entry_name(said).to_owned(),
    };
    if said.path != explained.trace.path {
        text.push_str(&format!(" at {}", shown_path(&said.path)));
    }
    if let Some(target) = &detail.target {
        text.push_str(&format!(" -> {}", terminal::shown_bytes(target)));
    }
    if let Found::Dir(dir) = &said.found
        && let Some(redirect) = &dir.redirect
        && let Ok(redirect) = redirect.encode()
    {
        text.push_str(&format!(", redirected to {}", terminal::shown_bytes(&redirect)));
    }
    match said.part {
        Part::Hidden => format!("({text})"),
        Part::Counts => text,
    }
}

#[cfg(test)]
mod tests;
