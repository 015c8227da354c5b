//! Colours, or what stands for them where there are none.

use ratatui::style::{Color, Modifier, Style};

use super::detail::{Change, Shadow};

/// Are there colours?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Those of the terminal's own palette.
    Colours,
    /// None: bold, underlined and struck text, and the marks, which are there in any case.
    Plain,
}

impl Theme {
    fn of(self, colour: Color) -> Style {
        match self {
            Theme::Colours => Style::new().fg(colour),
            Theme::Plain => Style::new(),
        }
    }

    /// A name, by what has become of it.
    pub fn name(self, change: Change, shadow: Shadow) -> Style {
        match (change, shadow) {
            (Change::Deleted, _) => self.of(Color::Red).add_modifier(Modifier::CROSSED_OUT),
            (Change::Added, _) => self.of(Color::Green),
            (Change::Changed, _) => self.of(Color::Yellow),
            (_, Shadow::Hides) => self.of(Color::Magenta),
            (Change::Same | Change::Within, Shadow::HidesNothing) => Style::new(),
        }
    }

    /// A mark.
    pub fn mark(self, change: Change, shadow: Shadow) -> Style {
        match change {
            Change::Within => self.of(Color::Yellow),
            _ => {
                self.name(change, shadow).remove_modifier(Modifier::CROSSED_OUT).add_modifier(Modifier::BOLD)
            }
        }
    }

    /// The border of a pane that has the keys, or has not.
    pub fn border(self, has_keys: bool) -> Style {
        match has_keys {
            true => self.of(Color::Cyan).add_modifier(Modifier::BOLD),
            false => self.of(Color::DarkGray),
        }
    }

    /// The selected line of a pane.
    pub fn selected(self, has_keys: bool) -> Style {
        match (has_keys, self) {
            (true, _) => Style::new().add_modifier(Modifier::REVERSED),
            (false, Theme::Colours) => Style::new().bg(Color::DarkGray),
            (false, Theme::Plain) => Style::new().add_modifier(Modifier::UNDERLINED),
        }
    }

    /// What is less important.
    pub fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// What counts.
    pub fn counts(self) -> Style {
        self.of(Color::Green).add_modifier(Modifier::BOLD)
    }

    /// What is wrong.
    pub fn problem(self) -> Style {
        self.of(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// A key, where it is named.
    pub fn key(self) -> Style {
        self.of(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// A head.
    pub fn head(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }
}
