//! The picture of what there is.

mod cover;
mod names;
mod stack;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::ask::Searched;
use super::keys;
use super::layout::{self, LEAST};
use super::state::{Cover, Model, Pane};
use super::theme::Theme;
use crate::cli::terminal::{acts, shown_bytes};
use crate::path::RelPath;

pub use cover::help_len;

/// Draws all.
pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme) {
    let Some(areas) = model.areas() else { return too_small(frame, model) };
    match &model.cover {
        Cover::File(pager) => cover::file(frame, pager, model, theme),
        Cover::Help(top) => cover::help(frame, *top, theme),
        Cover::None | Cover::Prompt(_) => {
            stack::layers(frame, areas.layers, model, theme);
            stack::layer(frame, areas.layer, model, theme);
            names::draw(frame, areas.tree, model, theme);
            explain(frame, areas.explanation, model, theme);
        }
    }
    let place = match model.cover {
        Cover::None | Cover::Prompt(_) => areas.status,
        Cover::File(_) | Cover::Help(_) => status_place(frame.area()),
    };
    status(frame, place, model, theme);
}

fn status_place(whole: Rect) -> Rect {
    Rect { y: whole.bottom().saturating_sub(1), height: 1, ..whole }
}

fn too_small(frame: &mut Frame<'_>, model: &Model) {
    let (width, height) = model.size;
    let text = format!(
        "The terminal is too small:\n{width} columns, {height} rows.\nIt takes {} and {}.\nq quits.",
        LEAST.0, LEAST.1
    );
    frame.render_widget(Paragraph::new(text), frame.area());
}

/// A frame with a title, of the pane that has the keys or another one.
fn pane<'t>(title: String, has_keys: bool, theme: Theme) -> Block<'t> {
    Block::bordered()
        .border_style(theme.border(has_keys))
        .title(Span::styled(safe(&format!(" {title} ")), if has_keys { theme.head() } else { Style::new() }))
}

/// Nothing but text reaches the terminal, whatever it was made of.
fn safe(text: &str) -> String {
    text.chars().map(|c| if acts(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A path, for people.
fn shown_path(path: &RelPath) -> String {
    format!("/{}", shown_bytes(path.as_bytes()))
}

/// A text in lines that are no wider than this. Lines are broken at spaces, where there are any.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut rest = line;
        while rest.width() > width.max(1) {
            let mut taken = 0;
            let mut end = 0;
            let mut space = None;
            for (at, c) in rest.char_indices() {
                taken += c.width().unwrap_or(0);
                if taken > width.max(1) {
                    break;
                }
                end = at + c.len_utf8();
                if c == ' ' && at > 0 {
                    space = Some(at);
                }
            }
            // A character that is wider than the line is taken all the same.
            let end = space.unwrap_or(end).max(rest.chars().next().map_or(1, char::len_utf8));
            let (first, others) = rest.split_at_checked(end).unwrap_or((rest, ""));
            lines.push(first.to_owned());
            rest = others.trim_start();
        }
        lines.push(rest.to_owned());
    }
    lines
}

/// The end of a text that fits into so many cells.
fn end_of(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut taken = 1;
    let mut start = text.len();
    for (at, c) in text.char_indices().rev() {
        taken += c.width().unwrap_or(0);
        if taken > width {
            break;
        }
        start = at;
    }
    format!("…{}", text.get(start..).unwrap_or_default())
}

/// The lines of the explanation.
pub fn explanation(model: &Model, width: usize) -> Vec<String> {
    match &model.explanation.text {
        Ok(text) => wrapped(text, width),
        Err(problem) => wrapped(problem, width),
    }
}

fn explain(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let (width, height) = layout::within(area);
    let lines = explanation(model, width);
    let top = model.explanation.top.min(lines.len().saturating_sub(1));
    let more = lines.len() > height;
    let styled = lines.iter().enumerate().skip(top).take(height).map(|(index, line)| {
        let style = match line {
            _ if model.explanation.text.is_err() => theme.problem(),
            _ if index == 0 => theme.head(),
            line if line.starts_with("> ") => theme.counts(),
            line if line.contains(" (") && line.starts_with("  ") => theme.faint(),
            _ => Style::new(),
        };
        Line::from(Span::styled(safe(line), style))
    });
    let title = match more {
        true => format!("Explanation, {}-{} of {}", top + 1, (top + height).min(lines.len()), lines.len()),
        false => "Explanation".to_owned(),
    };
    let block = pane(title, model.pane == Pane::Explanation, theme);
    frame.render_widget(Paragraph::new(styled.collect::<Vec<_>>()).block(block), area);
}

fn status(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    if let Cover::Prompt(prompt) = &model.cover {
        let label = prompt.kind.label();
        let left = usize::from(area.width).saturating_sub(label.len() + 1);
        let mut line = vec![Span::styled(label, theme.head())];
        match &prompt.problem {
            Some(problem) => {
                line.push(Span::styled(safe(&format!("{}  {problem}", prompt.text)), theme.problem()))
            }
            None if prompt.text.is_empty() => line.push(Span::styled(prompt.kind.example(), theme.faint())),
            None => line.push(Span::raw(safe(&end_of(&prompt.text, left)))),
        }
        frame.render_widget(Paragraph::new(Line::from(line)), area);
        let typed = end_of(&prompt.text, left).width();
        let x = u16::try_from(label.len() + typed).unwrap_or(u16::MAX).min(area.right().saturating_sub(1));
        frame.set_cursor_position((x, area.y));
        return;
    }
    if let Some(message) = &model.message {
        // One that is long takes more lines.
        let lines = wrapped(message, usize::from(area.width));
        let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).min(area.bottom());
        let area = Rect { y: area.bottom() - height, height, ..area };
        let lines: Vec<Line<'_>> =
            lines.iter().map(|line| Line::from(Span::styled(safe(line), theme.problem()))).collect();
        frame.render_widget(Clear, area);
        frame.render_widget(Paragraph::new(lines), area);
        return;
    }
    let mut line = Vec::new();
    for (key, what) in keys::hints(model.context(), usize::from(area.width)) {
        line.push(Span::styled(key, theme.key()));
        line.push(Span::raw(format!(" {what}  ")));
    }
    frame.render_widget(Paragraph::new(Line::from(line)), area);
}

/// What the search says of itself.
fn search_title(model: &Model) -> Option<String> {
    let search = model.search.as_ref()?;
    let count = search.found.len();
    let state = match search.ended {
        None => format!("{count} so far, searching"),
        Some(Searched::Whole(0)) => format!("{count} found"),
        Some(Searched::Whole(failed)) => format!("{count} found, {failed} directories cannot be read"),
        Some(Searched::TooMany) => format!("the first {count}"),
    };
    Some(format!("{}: {state}; Esc: all", model.filter.shown()))
}
