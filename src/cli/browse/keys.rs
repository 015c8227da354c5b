//! Which key does what: the one table that input, the help and the status line are made from.

mod table;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

pub use self::table::BINDINGS;

/// What somebody can want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the table says what they do
pub enum Command {
    Up,
    Down,
    PageUp,
    PageDown,
    Begin,
    End,
    Left,
    Right,
    Open,
    Toggle,
    NextPane,
    PreviousPane,
    Explain,
    LowerLayer,
    HigherLayer,
    Against,
    Columns,
    FilterName,
    FilterSize,
    FilterLarger,
    FilterSmaller,
    FilterChanges,
    Jump,
    View,
    ReadContents,
    Refresh,
    Turn,
    Help,
    Back,
    Quit,
    Suspend,
}

/// Where a key has its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// In the panes: layers, tree, explanation.
    Panes,
    /// Where a file is shown.
    File,
    /// In the help.
    Help,
}

/// Keys, and what they do.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// Any of these.
    pub keys: &'static [Key],
    /// The same for people.
    pub shown: &'static str,
    /// What they do, for the help.
    pub what: &'static str,
    /// In one word, for the status line; not all are in it.
    pub short: Option<&'static str>,
    /// Where.
    pub contexts: &'static [Context],
    /// What it is in the program.
    pub command: Command,
}

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Key {
    Plain(KeyCode),
    Ctrl(char),
}

/// What a key means.
pub fn command(context: Context, event: KeyEvent) -> Option<Command> {
    let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
    let key = match event.code {
        KeyCode::Char(c) if ctrl => Key::Ctrl(c.to_ascii_lowercase()),
        // Alt is another key for nobody here.
        _ if event.modifiers.contains(KeyModifiers::ALT) => return None,
        code => Key::Plain(code),
    };
    BINDINGS
        .iter()
        .find(|binding| binding.contexts.contains(&context) && binding.keys.contains(&key))
        .map(|binding| binding.command)
}

/// The keys as the help has them, under headings.
pub fn groups() -> [(&'static str, Vec<&'static Binding>); 3] {
    let of = |takes: fn(&Binding) -> bool| BINDINGS.iter().filter(|binding| takes(binding)).collect();
    let everywhere: fn(&Binding) -> bool = |binding| binding.contexts.len() == 3;
    let panes: fn(&Binding) -> bool = |binding| binding.contexts == [Context::Panes];
    let over: fn(&Binding) -> bool =
        |binding| binding.contexts.len() < 3 && binding.contexts.contains(&Context::File);
    [("Everywhere", of(everywhere)), ("In the panes", of(panes)), ("In a file, and in this help", of(over))]
}

/// The status line's part for keys: as many as fit into so many cells.
pub fn hints(context: Context, width: usize) -> Vec<(&'static str, &'static str)> {
    let mut left = width;
    let mut hints = Vec::new();
    for binding in BINDINGS.iter().filter(|binding| binding.contexts.contains(&context)) {
        let Some(short) = binding.short else { continue };
        let key = binding.shown.split("  ").next().unwrap_or(binding.shown);
        let taken = key.len() + short.len() + 3;
        if taken > left {
            break;
        }
        left -= taken;
        hints.push((key, short));
    }
    hints
}

#[cfg(test)]
mod tests {
    use super::Context::{File, Help, Panes};
    use super::*;

    fn press(code: KeyCode, modifiers: KeyModifiers) -> Option<Command> {
        command(Panes, KeyEvent::new(code, modifiers))
    }

    #[test]
    fn keys_mean_what_the_table_says() {
        assert_eq!(press(KeyCode::Char('q'), KeyModifiers::NONE), Some(Command::Quit));
        assert_eq!(press(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Command::Quit));
        assert_eq!(press(KeyCode::Char('c'), KeyModifiers::NONE), Some(Command::FilterChanges));
        assert_eq!(press(KeyCode::Char('G'), KeyModifiers::SHIFT), Some(Command::End));
        assert_eq!(press(KeyCode::Char('q'), KeyModifiers::ALT), None);
        assert_eq!(press(KeyCode::F(9), KeyModifiers::NONE), None);
    }

    #[test]
    fn no_key_has_two_meanings_at_one_place() {
        for context in [Panes, File, Help] {
            let mut all: Vec<Key> = Vec::new();
            for key in BINDINGS.iter().filter(|b| b.contexts.contains(&context)).flat_map(|b| b.keys) {
                assert!(!all.contains(key), "{key:?} in {context:?}");
                all.push(*key);
            }
        }
    }

    #[test]
    fn the_documentation_has_every_key() {
        let docs = include_str!("../../../docs/cli.md");
        for binding in BINDINGS {
            let keys: Vec<String> = binding.shown.split("  ").map(|key| format!("`{key}`")).collect();
            let row = format!("| {} | {} |", keys.join(", "), binding.what);
            assert!(docs.contains(&row), "docs/cli.md lacks:\n{row}");
        }
    }

    #[test]
    fn the_help_has_each_key_once() {
        let shown: usize = groups().iter().map(|(_, group)| group.len()).sum();
        assert_eq!(shown, BINDINGS.len());
    }

    #[test]
    fn the_status_line_holds_what_fits() {
        let hints = hints(Panes, 80);
        assert_eq!(hints.first(), Some(&("?", "help")));
        assert!(hints.iter().map(|(key, what)| key.len() + what.len() + 3).sum::<usize>() <= 80);
        assert!(super::hints(Panes, 3).is_empty());
    }
}
