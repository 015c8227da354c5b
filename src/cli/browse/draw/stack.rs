//! The layers, and what is known of the selected one.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use unicode_width::UnicodeWidthStr;

use super::{end_of, pane, safe, wrapped};
use crate::cli::browse::layout;
use crate::cli::browse::state::{Model, Pane};
use crate::cli::browse::theme::Theme;
use crate::cli::opened::LayerFacts;
use crate::cli::terminal::cut;

/// What the list says of a layer, in so many cells.
fn line(facts: &LayerFacts, number_width: usize, width: usize) -> String {
    let left = width.saturating_sub(number_width + 1);
    let text = match &facts.instruction {
        // Every other one is a RUN: what it runs is what tells them apart.
        Some(instruction) => cut(instruction, left),
        None if facts.made_by().width() <= left => facts.made_by(),
        None => end_of(&facts.made_by(), left),
    };
    format!("{:>number_width$} {text}", facts.number)
}

/// The list.
pub fn layers(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let (width, height) = layout::within(area);
    let number_width = model.layers.len().to_string().len();
    let selected = model.layer_index();
    let len = model.layers.len();
    // The selected one in the middle, as far as there are others.
    let top = selected.saturating_sub(height / 2).min(len.saturating_sub(height));
    let compared = model.shown.compared_with();
    let has_keys = model.pane == Pane::Layers;
    let lines = model.layers.iter().enumerate().skip(top).take(height).map(|(index, facts)| {
        let style = match index {
            _ if index == selected => theme.selected(has_keys),
            _ if facts.number > model.shown.layer => theme.faint(),
            _ if compared.is_some_and(|compared| facts.number > compared) => theme.head(),
            _ => Style::new(),
        };
        let text = safe(&line(facts, number_width, width));
        let fill = " ".repeat(width.saturating_sub(text.width()));
        Line::from(Span::styled(format!("{text}{fill}"), style))
    });
    let block = pane(format!("Layers, {len}"), has_keys, theme);
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()).block(block), area);
}

/// The selected one.
pub fn layer(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let Some(facts) = model.layers.get(model.layer_index()).filter(|_| area.height > 0) else { return };
    let (width, height) = layout::within(area);
    let mut lines = wrapped(&facts.made_by(), width);
    let digests = [("digest", facts.digest), ("diff_id", facts.diff_id)];
    let digests: Vec<String> = digests
        .iter()
        .filter_map(|(what, digest)| Some(format!("{what} {}", digest.as_ref()?.short())))
        .collect();
    // The digests are there in any case.
    let room = height.saturating_sub(digests.len());
    if lines.len() > room {
        lines.truncate(room);
        if let Some(last) = lines.last_mut() {
            *last = cut(&format!("{last} …"), width);
        }
    }
    lines.extend(digests);
    let lines: Vec<Line<'_>> = lines.iter().map(|line| Line::from(safe(line))).collect();
    let block = pane(format!("Layer {}", facts.number), false, theme);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}
