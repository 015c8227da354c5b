//! The names: the tree, or what was found.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use unicode_width::UnicodeWidthStr;

use super::{end_of, pane, safe, search_title, shown_path};
use crate::cli::browse::ask::Total;
use crate::cli::browse::detail::{Against, Change, Detail, Known, Shadow};
use crate::cli::browse::layout;
use crate::cli::browse::state::{Columns, Model, Pane};
use crate::cli::browse::theme::Theme;
use crate::cli::browse::tree::State;
use crate::cli::human::{self, Precision};
use crate::cli::ls::mode;
use crate::cli::terminal::{cut, shown_bytes};
use crate::overlay::FileKind;
use crate::path::RelPath;

/// How wide a size is, cells: `>12.3 MB`.
const SIZE: usize = 8;
const MODE: usize = 10;
const OWNER: usize = 11;
const TIME: usize = 10;
/// A symlink's target is shown where so many cells are left for it.
const LEAST_NAME: usize = 12;

/// One line of the list.
struct Row<'m> {
    path: RelPath,
    known: Option<&'m Known>,
    /// What stands before the name: where it is in the tree.
    before: String,
    name: String,
    /// What stands after it.
    after: String,
}

/// Draws them.
pub fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let (width, height) = layout::within(area);
    let number = model.layers.len().to_string().len().max(1);
    let mut lines = vec![Line::from(Span::styled(head(model.columns, number), theme.head()))];
    let has_keys = model.pane == Pane::Tree;
    let selected = model.selected_line();
    for (index, row) in model.visible().zip(rows(model, width)) {
        let mut line = styled(&row, model, number, width, theme);
        if index == selected {
            let fill = " ".repeat(width.saturating_sub(line.width()));
            line.push_span(Span::raw(fill));
            line = line.patch_style(theme.selected(has_keys));
        }
        lines.push(line);
    }
    if model.len() == 0 {
        let text = match model.search.as_ref().map(|search| search.ended) {
            Some(None) => "searching…",
            _ => "nothing was found; Esc shows all",
        };
        lines.push(Line::from(text));
    }
    lines.truncate(height);
    frame.render_widget(Paragraph::new(lines).block(pane(title(model, width), has_keys, theme)), area);
}

fn title(model: &Model, width: usize) -> String {
    if let Some(title) = search_title(model) {
        return title;
    }
    let shown = model.shown;
    let whole = if model.layers.len() > 1 { format!(", layers 1-{}", shown.layer) } else { String::new() };
    let changes = match (shown.compared_with(), shown.against) {
        (None, _) => String::new(),
        (Some(_), Against::Below) => format!(", changes of {}", shown.layer),
        (Some(base), Against::Base) if base + 1 == shown.layer => format!(", changes of {}", shown.layer),
        (Some(base), Against::Base) => format!(", changes of {}-{}", base + 1, shown.layer),
    };
    let left = width.saturating_sub(whole.len() + changes.len() + 4);
    let source = if shown.layer == 1 && whole.is_empty() {
        model.source.clone()
    } else {
        end_of(&model.source, left.max(LEAST_NAME))
    };
    format!("{source}{whole}{changes}")
}

fn head(columns: Columns, number: usize) -> String {
    let mut head = format!("   {:>number$} {:>SIZE$} ", "L", "SIZE");
    if columns == Columns::All {
        head.push_str(&format!("{:MODE$} {:>OWNER$} {:TIME$} ", "MODE", "OWNER", "MODIFIED"));
    }
    head.push_str("NAME");
    head
}

fn rows(model: &Model, width: usize) -> Vec<Row<'_>> {
    let visible = model.visible();
    if let Some(search) = &model.search {
        let found = search.found.get(visible).unwrap_or_default();
        return found
            .iter()
            .map(|(path, known)| {
                let name = shown_path(path);
                Row {
                    path: path.clone(),
                    known: Some(known),
                    before: String::new(),
                    name,
                    after: after(Some(known)),
                }
            })
            .collect();
    }
    let lines = model.tree.lines(visible).into_iter();
    lines
        .map(|line| {
            let is_dir = line.known.is_some_and(|known| known.as_ref().is_ok_and(|detail| detail.is_dir));
            let sign = match (line.open, is_dir) {
                (Some(_), _) => "▾ ",
                (None, true) => "▸ ",
                (None, false) => "  ",
            };
            // What is deep down must leave room for its name.
            let indent = 2 * line.level.saturating_sub(1);
            let before = match indent * 3 > width {
                true => format!("{:>1$}… {sign}", line.level, (width / 3).saturating_sub(2)),
                false => format!("{}{sign}", " ".repeat(indent)),
            };
            let mut name = line
                .path
                .names()
                .next_back()
                .map_or_else(|| "/".to_owned(), |name| shown_bytes(name.as_bytes()));
            if is_dir && line.level > 0 {
                name.push('/');
            }
            let after = match line.open {
                Some(State::Wanted) if !line.path.is_root() || model.tree.len() == 1 => {
                    "  reading…".to_owned()
                }
                Some(State::Failed(problem)) => format!("  {problem}"),
                Some(State::Wanted | State::Listed) | None => after(line.known),
            };
            Row { path: line.path, known: line.known, before, name, after }
        })
        .collect()
}

/// What stands after a name.
fn after(known: Option<&Known>) -> String {
    match known {
        None => String::new(),
        Some(Err(problem)) => format!("  {problem}"),
        Some(Ok(detail)) => match (detail.change, detail.layer, &detail.target) {
            (Change::Deleted, Some(layer), _) => format!("  deleted in layer {layer}"),
            (Change::Deleted, None, _) => "  deleted".to_owned(),
            (_, _, Some(target)) => format!(" -> {}", shown_bytes(target)),
            (_, _, None) => String::new(),
        },
    }
}

fn size(detail: &Detail, total: Option<&Option<Total>>) -> String {
    let Some(attr) = &detail.attr else { return "-".to_owned() };
    match (attr.kind, total) {
        (FileKind::Regular, _) => human::size(attr.size),
        (FileKind::CharDevice | FileKind::BlockDevice, _) => {
            format!("{},{}", attr.rdev.major, attr.rdev.minor)
        }
        (FileKind::Directory, Some(Some(Total::Exactly(bytes)))) => human::size(*bytes),
        (FileKind::Directory, Some(Some(Total::AtLeast(bytes)))) => format!(">{}", human::size(*bytes)),
        _ => "-".to_owned(),
    }
}

fn styled<'t>(row: &Row<'_>, model: &Model, number: usize, width: usize, theme: Theme) -> Line<'t> {
    let (mut name_style, mark_style, cells) = match row.known {
        Some(Ok(detail)) => {
            let total = model.totals.get(&row.path);
            let mut cells = format!(
                " {:>number$} {:>SIZE$} ",
                detail.layer.map_or_else(|| "-".to_owned(), |layer| layer.to_string()),
                size(detail, total)
            );
            if model.columns == Columns::All {
                cells.push_str(&attributes(detail));
            }
            (theme.name(detail.change, detail.shadow), theme.mark(detail.change, detail.shadow), cells)
        }
        known => {
            let filled = head(model.columns, number).len().saturating_sub("NAME".len() + 2);
            let style = if known.is_some() { theme.problem() } else { Style::new() };
            (style, style, " ".repeat(filled))
        }
    };
    let (change, shadow) = match row.known {
        Some(Ok(detail)) => (detail.change, detail.shadow),
        Some(Err(_)) => (Change::Same, Shadow::HidesNothing),
        None => (Change::Same, Shadow::HidesNothing),
    };
    let marks = match row.known {
        Some(Err(_)) => "! ".to_owned(),
        _ => format!("{}{}", change.letter(), shadow.letter()),
    };
    if row.name.ends_with('/') && change != Change::Deleted {
        name_style = name_style.add_modifier(Modifier::BOLD);
    }
    let left = width.saturating_sub(marks.len() + cells.width() + row.before.width());
    // Of a path that is too long, the end says more.
    let name = if model.search.is_some() { end_of(&row.name, left) } else { cut(&row.name, left) };
    let after = cut(&row.after, left.saturating_sub(name.width()));
    Line::from(vec![
        Span::styled(marks, mark_style),
        Span::raw(safe(&cells)),
        Span::raw(safe(&row.before)),
        Span::styled(safe(&name), name_style),
        Span::styled(safe(&after), theme.faint()),
    ])
}

fn attributes(detail: &Detail) -> String {
    let Some(attr) = &detail.attr else {
        return " ".repeat(MODE + OWNER + TIME + 3);
    };
    let time = human::time(attr.mtime.sec, Precision::Day).unwrap_or_else(|| "-".to_owned());
    format!("{:MODE$} {:>OWNER$} {time:TIME$} ", mode(attr), format!("{}:{}", attr.uid, attr.gid))
}
