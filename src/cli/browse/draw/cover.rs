//! What lies over the panes: a file, the help.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use unicode_width::UnicodeWidthChar;

use super::{end_of, pane, safe, shown_path, wrapped};
use crate::cli::browse::keys::{self, BINDINGS};
use crate::cli::browse::layout;
use crate::cli::browse::pager::{Form, Pager};
use crate::cli::browse::state::Model;
use crate::cli::browse::theme::Theme;
use crate::cli::human;
use crate::cli::terminal;

/// All but the last line, which is the status.
fn place(whole: Rect) -> Rect {
    Rect { height: whole.height.saturating_sub(1), ..whole }
}

/// A file.
pub fn file(frame: &mut Frame<'_>, pager: &Pager, model: &Model, theme: Theme) {
    let area = place(frame.area());
    let (width, height) = layout::within(area);
    let facts = match (pager.size, pager.form) {
        (Some(0), _) => ", empty".to_owned(),
        (Some(size), Some(form)) => {
            let form = match form {
                Form::Text => "text",
                Form::Hex => "hexadecimal",
            };
            format!(", {form}, {}, {} %", human::size(size), pager.percent())
        }
        _ => String::new(),
    };
    let of = format!(", layers 1-{}", model.shown.layer);
    let left = width.saturating_sub(facts.len() + of.len() + 2);
    let title = format!("{}{of}{facts}", end_of(&shown_path(&pager.path), left));
    let lines: Vec<Line<'_>> = match &pager.problem {
        Some(problem) => wrapped(problem, width)
            .iter()
            .map(|line| Line::from(Span::styled(safe(line), theme.problem())))
            .collect(),
        None if pager.size.is_none() => vec![Line::from("reading…")],
        None => {
            pager.lines(height).iter().map(|line| Line::from(seen(&safe(line), pager.left, width))).collect()
        }
    };
    frame.render_widget(Paragraph::new(lines).block(pane(title, true, theme)), area);
}

/// What is seen of a line from a column on. That it goes on is shown by an ellipsis.
fn seen(line: &str, left: usize, width: usize) -> String {
    let mut column = 0;
    let mut seen = String::new();
    for c in line.chars() {
        let end = column + c.width().unwrap_or(0);
        if end > left + width {
            return terminal::cut(&format!("{seen}…"), width);
        }
        if column >= left {
            seen.push(c);
        }
        column = end;
    }
    seen
}

const MARKS: &str = "Marks before a name: A added, C changed, D deleted by the layer that is selected (with a: by all layers above the \
                     base); c the directory is the same, something in it may not be; S it hides something in a layer below; \
                     ! it cannot be looked up. L is the layer that it comes from, or that deletes it. The size of a directory is that of \
                     the files in it. The layers above the selected one, which is the top of what is shown, are faint.";

/// What the help says, in lines that are no wider than this.
fn help_lines(width: usize, theme: Theme) -> Vec<Line<'static>> {
    let keys = BINDINGS.iter().map(|binding| binding.shown.len()).max().unwrap_or(0) + 2;
    let mut lines: Vec<Line<'_>> = wrapped(MARKS, width).into_iter().map(Line::from).collect();
    for (heading, group) in keys::groups() {
        lines.push(Line::default());
        lines.push(Line::from(Span::styled(heading, theme.head())));
        for binding in group {
            for (index, text) in
                wrapped(binding.what, width.saturating_sub(keys).max(10)).into_iter().enumerate()
            {
                let key = if index == 0 { binding.shown } else { "" };
                lines.push(Line::from(vec![
                    Span::styled(format!("{key:keys$}"), theme.key()),
                    Span::raw(text),
                ]));
            }
        }
    }
    lines
}

/// How many lines the help has on a screen of this width.
pub fn help_len(width: usize) -> usize {
    help_lines(width.saturating_sub(2), Theme::Plain).len()
}

/// The help, from a line on.
pub fn help(frame: &mut Frame<'_>, top: usize, theme: Theme) {
    let area = place(frame.area());
    let (width, height) = layout::within(area);
    let lines = help_lines(width, theme);
    let title = match lines.len() > height {
        true => format!("Help, {}-{} of {} lines", top + 1, (top + height).min(lines.len()), lines.len()),
        false => "Help".to_owned(),
    };
    let shown: Vec<Line<'_>> = lines.into_iter().skip(top).take(height).collect();
    frame.render_widget(Paragraph::new(shown).block(pane(title, true, theme)), area);
}
