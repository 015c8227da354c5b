//! The explanation for people.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::json::entry_name;
use super::{Detail, Explained};
use crate::cli::opened::{LayerFacts, Opened};
use crate::cli::{human, terminal};
use crate::layer::Found;
use crate::overlay::{FileKind, Outcome, Part, Reason, Said};
use crate::resolve::Depth;

const HEAD: [&str; 8] = ["  LAYER", "ENTRY", "SIZE", "MODE", "OWNER", "MODIFIED", "DIFFERS", "INSTRUCTION"];

/// The explanation of one path.
pub fn of(opened: &Opened, explained: &Explained<'_>, width: Option<usize>) -> String {
    let mut text = format!("{}: {}\n", shown(&explained.asked), verdict(opened, explained));
    for link in &explained.trace.links {
        text.push_str(&format!("  by the symlink {} -> {}\n", link.at, link.target.escape_ascii()));
    }
    let rows: Vec<Vec<String>> = explained
        .trace
        .layers
        .iter()
        .zip(&explained.details)
        .zip(&opened.layers)
        .map(|((said, detail), facts)| row(said, detail, facts, wins(explained, said)))
        .collect();
    text.push_str(&terminal::table_with_text(&HEAD, &rows, width));
    text
}

fn shown(path: &[u8]) -> String {
    terminal::shown(Path::new(OsStr::from_bytes(path)))
}

/// Does this layer's entry count?
fn wins(explained: &Explained<'_>, said: &Said<'_>) -> bool {
    match explained.trace.outcome {
        Outcome::There { kind: FileKind::Directory, .. } => {
            said.part == Part::Asked && matches!(said.found, Found::Dir(_))
        }
        Outcome::There { depth, data, .. } => said.depth == depth || Some(said.depth) == data,
        Outcome::Absent(_) => false,
    }
}

fn verdict(opened: &Opened, explained: &Explained<'_>) -> String {
    let layer = |depth: Depth| layer(opened, depth);
    match explained.trace.outcome {
        Outcome::There { kind: FileKind::Directory, depth, .. } => {
            let parts = explained.trace.layers.iter().filter(|said| wins(explained, said)).count();
            match parts {
                0 | 1 => format!("directory of {}", layer(depth)),
                parts => format!("directory, merged from {parts} layers; as {} has it", layer(depth)),
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
        Outcome::Absent(reason) => absent(opened, reason),
    }
}

/// Why there is nothing: what follows the path in a sentence.
pub fn absent(opened: &Opened, reason: Reason) -> String {
    match reason {
        Reason::NeverExisted => "does not exist: no layer has it".to_owned(),
        Reason::Deleted(depth) => format!("does not exist: deleted in {}", layer(opened, depth)),
        Reason::HiddenByOpaque(depth) => {
            format!("does not exist: hidden by an opaque directory of {}", layer(opened, depth))
        }
        Reason::ParentNotADirectory(depth) => {
            format!("does not exist: what should be its directory is none since {}", layer(opened, depth))
        }
    }
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

fn row(said: &Said<'_>, detail: &Detail, facts: &LayerFacts, wins: bool) -> Vec<String> {
    let none = || "-".to_owned();
    let mark = if wins { "> " } else { "  " };
    let stat = said.stat();
    let size = match &said.found {
        Found::Leaf(leaf) if leaf.stat.is_regular() => human::size(leaf.stat.size),
        _ => none(),
    };
    vec![
        format!("{mark}{}", facts.number),
        entry(said, detail),
        size,
        stat.map_or_else(none, |stat| format!("{:04o}", stat.mode & 0o7777)),
        stat.map_or_else(none, |stat| format!("{}:{}", stat.uid, stat.gid)),
        stat.and_then(|stat| human::time(stat.mtime.0)).unwrap_or_else(none),
        differs(detail),
        facts.made_by(),
    ]
}

fn entry(said: &Said<'_>, detail: &Detail) -> String {
    let mut text = match &said.found {
        Found::Absent => return "-".to_owned(),
        Found::Dir(dir) if dir.opaque => "opaque directory".to_owned(),
        Found::Leaf(leaf) if leaf.metacopy.is_some() => "metadata only".to_owned(),
        _ => entry_name(said).to_owned(),
    };
    if let Some(target) = &detail.target {
        text.push_str(&format!(" -> {}", target.escape_ascii()));
    }
    if let Found::Dir(dir) = &said.found
        && let Some(redirect) = &dir.redirect
        && let Ok(redirect) = redirect.encode()
    {
        text.push_str(&format!(" (goes on at {})", redirect.escape_ascii()));
    }
    match said.part {
        Part::Hidden => format!("({text})"),
        Part::Asked => text,
    }
}

fn differs(detail: &Detail) -> String {
    let content = detail.content.map(|digest| digest.short());
    let words: Vec<String> =
        content.into_iter().chain(detail.differs.iter().map(|&word| word.to_owned())).collect();
    if words.is_empty() { "-".to_owned() } else { words.join(" ") }
}
