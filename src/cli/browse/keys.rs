//! Which key does what: the one table that input, the help and the status line are made from.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

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
    FilterChanges,
    Jump,
    View,
    ReadContents,
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

use Context::{File, Help, Panes};

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

use Key::{Ctrl, Plain};

const fn char(c: char) -> Key {
    Plain(KeyCode::Char(c))
}

const EVERYWHERE: &[Context] = &[Panes, File, Help];

const fn binding(
    keys: &'static [Key],
    shown: &'static str,
    what: &'static str,
    contexts: &'static [Context],
    command: Command,
) -> Binding {
    Binding { keys, shown, what, short: None, contexts, command }
}

impl Binding {
    const fn short(self, short: &'static str) -> Self {
        Binding { short: Some(short), ..self }
    }
}

/// All keys, in the order of the help.
pub const BINDINGS: &[Binding] = &[
    binding(&[char('?'), Plain(KeyCode::F(1))], "?", "this help", EVERYWHERE, Command::Help).short("help"),
    binding(
        &[char('q'), Ctrl('c')],
        "q  Ctrl-C",
        "quit; in a file and in the help, q goes back",
        EVERYWHERE,
        Command::Quit,
    )
    .short("quit"),
    binding(
        &[Plain(KeyCode::Esc)],
        "Esc",
        "go back: out of a file, of a filter; at last, quit",
        EVERYWHERE,
        Command::Back,
    ),
    binding(&[Ctrl('z')], "Ctrl-Z", "stop, as a job of the shell", EVERYWHERE, Command::Suspend),
    binding(&[Plain(KeyCode::Up), char('k')], "Up  k", "one line up", EVERYWHERE, Command::Up),
    binding(&[Plain(KeyCode::Down), char('j')], "Down  j", "one line down", EVERYWHERE, Command::Down),
    binding(&[Plain(KeyCode::PageUp), Ctrl('b')], "PgUp  Ctrl-B", "one page up", EVERYWHERE, Command::PageUp),
    binding(
        &[Plain(KeyCode::PageDown), Ctrl('f')],
        "PgDn  Ctrl-F",
        "one page down",
        EVERYWHERE,
        Command::PageDown,
    ),
    binding(&[Plain(KeyCode::Home)], "Home", "to the first line", EVERYWHERE, Command::Begin),
    binding(&[Plain(KeyCode::End), char('G')], "End  G", "to the last line", EVERYWHERE, Command::End),
    binding(&[char('g')], "g", "to the first line", &[File, Help], Command::Begin),
    binding(
        &[Plain(KeyCode::Tab)],
        "Tab",
        "to the next pane: layers, tree, explanation",
        &[Panes],
        Command::NextPane,
    )
    .short("pane"),
    binding(&[Plain(KeyCode::BackTab)], "Shift-Tab", "to the pane before", &[Panes], Command::PreviousPane),
    binding(
        &[Plain(KeyCode::Enter)],
        "Enter",
        "open or close a directory; show a file; follow a symlink; of what was searched for, go there",
        &[Panes],
        Command::Open,
    )
    .short("open"),
    binding(
        &[char(' ')],
        "Space",
        "open or close a directory; in a file, one page down",
        &[Panes],
        Command::Toggle,
    ),
    binding(&[char(' ')], "Space", "one page down", &[File, Help], Command::PageDown),
    binding(
        &[Plain(KeyCode::Right), char('l')],
        "Right  l",
        "open a directory; in a file, to the right",
        &[Panes, File],
        Command::Right,
    ),
    binding(
        &[Plain(KeyCode::Left), char('h')],
        "Left  h",
        "close a directory, or go to the one it is in; in a file, to the left",
        &[Panes, File],
        Command::Left,
    ),
    binding(&[char('v')], "v", "show a file; a deleted one, too", &[Panes], Command::View).short("view"),
    binding(&[char('x')], "x", "in a file: text or hexadecimal", &[File], Command::Turn).short("hex"),
    binding(
        &[char('/')],
        "/",
        "search names: a part, or a pattern with * and ?; with a slash, paths",
        &[Panes],
        Command::FilterName,
    )
    .short("search"),
    binding(
        &[char('s'), char('>')],
        "s  >",
        "search files by size: >10M, <4KiB",
        &[Panes],
        Command::FilterSize,
    )
    .short("size"),
    binding(
        &[char('c')],
        "c",
        "show only what is added, changed or deleted; again: all",
        &[Panes],
        Command::FilterChanges,
    )
    .short("changes"),
    binding(&[char('g'), char(':')], "g  :", "go to a path", &[Panes], Command::Jump).short("go"),
    binding(
        &[char('-'), char('[')],
        "-  [",
        "show the stack without its top layer",
        &[Panes],
        Command::LowerLayer,
    ),
    binding(
        &[char('+'), char('='), char(']')],
        "+  ]",
        "show the stack with one more layer",
        &[Panes],
        Command::HigherLayer,
    ),
    binding(
        &[char('a')],
        "a",
        "mark what all layers above the base changed; again: what the top layer shown did",
        &[Panes],
        Command::Against,
    )
    .short("all"),
    binding(&[char('o')], "o", "show or hide mode, owner and time", &[Panes], Command::Columns),
    binding(&[char('e')], "e", "to the explanation, enlarged, and back", &[Panes], Command::Explain)
        .short("explain"),
    binding(
        &[char('d')],
        "d",
        "read large files, too, to tell in the explanation whether their contents differ",
        &[Panes],
        Command::ReadContents,
    ),
];

/// What a key means.
pub fn command(context: Context, event: KeyEvent) -> Option<Command> {
    let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
    let key = match event.code {
        KeyCode::Char(c) if ctrl => Ctrl(c.to_ascii_lowercase()),
        // Alt is another key for nobody here.
        _ if event.modifiers.contains(KeyModifiers::ALT) => return None,
        code => Plain(code),
    };
    BINDINGS
        .iter()
        .find(|binding| binding.contexts.contains(&context) && binding.keys.contains(&key))
        .map(|binding| binding.command)
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
    fn the_status_line_holds_what_fits() {
        let hints = hints(Panes, 80);
        assert_eq!(hints.first(), Some(&("?", "help")));
        assert!(hints.iter().map(|(key, what)| key.len() + what.len() + 3).sum::<usize>() <= 80);
        assert!(super::hints(Panes, 3).is_empty());
    }
}
