//! The keys, and what each does.

use ratatui::crossterm::event::KeyCode::{
    BackTab, Char, Down, End, Enter, Esc, F, Home, Left, PageDown, PageUp, Right, Tab, Up,
};

use super::Context::{File, Help, Panes};
use super::Key::{Ctrl, Plain};
use super::{Binding, Command, Context, Key};

const EVERYWHERE: &[Context] = &[Panes, File, Help];
const PANES: &[Context] = &[Panes];
const OVER: &[Context] = &[File, Help];

const fn char(c: char) -> Key {
    Plain(Char(c))
}

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
#[rustfmt::skip] // a table
pub const BINDINGS: &[Binding] = &[
    binding(&[char('?'), Plain(F(1))], "?", "this help", EVERYWHERE, Command::Help).short("help"),
    binding(&[char('q'), Ctrl('c')], "q  Ctrl-C", "quit", PANES, Command::Quit).short("quit"),
    binding(&[char('q')], "q", "go back", OVER, Command::Back).short("back"),
    binding(&[Plain(Esc)], "Esc", "go back: out of a file, of a search, of the explanation", EVERYWHERE, Command::Back),
    binding(&[Ctrl('z')], "Ctrl-Z", "stop, as a job of the shell", EVERYWHERE, Command::Suspend),
    binding(&[Plain(Up), char('k')], "Up  k", "one line up", EVERYWHERE, Command::Up),
    binding(&[Plain(Down), char('j')], "Down  j", "one line down", EVERYWHERE, Command::Down),
    binding(&[Plain(PageUp), Ctrl('b')], "PgUp  Ctrl-B", "one page up", EVERYWHERE, Command::PageUp),
    binding(&[Plain(PageDown), Ctrl('f')], "PgDn  Ctrl-F", "one page down", EVERYWHERE, Command::PageDown),
    binding(&[Plain(Home)], "Home", "to the first line", EVERYWHERE, Command::Begin),
    binding(&[char('g')], "g", "to the first line", OVER, Command::Begin).short("begin"),
    binding(&[Plain(End), char('G')], "End  G", "to the last line", EVERYWHERE, Command::End),
    binding(&[Plain(Tab)], "Tab", "to the next pane: layers, names, explanation", PANES, Command::NextPane).short("pane"),
    binding(&[Plain(BackTab)], "Shift-Tab", "to the pane before", PANES, Command::PreviousPane),
    binding(&[Plain(Enter)], "Enter", "open or close a directory; show a file; follow a symlink; go to what was found", PANES, Command::Open).short("open"),
    binding(&[char(' ')], "Space", "open or close a directory", PANES, Command::Toggle),
    binding(&[char(' ')], "Space", "one page down", OVER, Command::PageDown).short("page"),
    binding(&[Plain(Right), char('l')], "Right  l", "open a directory", PANES, Command::Right),
    binding(&[Plain(Left), char('h')], "Left  h", "close a directory, or go to the one that this is in", PANES, Command::Left),
    binding(&[Plain(Right), char('l')], "Right  l", "to the right in long lines", &[File], Command::Right),
    binding(&[Plain(Left), char('h')], "Left  h", "to the left in them", &[File], Command::Left),
    binding(&[char('x')], "x", "text, or hexadecimal", &[File], Command::Turn).short("text/hex"),
    binding(&[char('/')], "/", "search names: a part of one, or a pattern with * and ?; with a slash, of paths", PANES, Command::FilterName).short("search"),
    binding(&[char('s')], "s", "search files by size: >10M, <4KiB", PANES, Command::FilterSize).short("size"),
    binding(&[char('>')], ">", "search larger files", PANES, Command::FilterLarger),
    binding(&[char('<')], "<", "search smaller files", PANES, Command::FilterSmaller),
    binding(&[char('c')], "c", "show only what is added, changed or deleted; again: all", PANES, Command::FilterChanges).short("changes"),
    binding(&[char('g'), char(':')], "g  :", "go to a path", PANES, Command::Jump).short("go"),
    binding(&[char('v')], "v", "show a file; a deleted one, too", PANES, Command::View).short("view"),
    binding(&[char('-'), char('[')], "-  [", "show the stack without its top layer", PANES, Command::LowerLayer),
    binding(&[char('+'), char('='), char(']')], "+  ]", "show the stack with one layer more", PANES, Command::HigherLayer),
    binding(&[char('a')], "a", "mark the changes of all layers above the base; again: of the selected one", PANES, Command::Against).short("all"),
    binding(&[char('o')], "o", "show or hide mode, owner and time", PANES, Command::Columns),
    binding(&[char('e')], "e", "to the explanation, enlarged; again: back", PANES, Command::Explain).short("explain"),
    binding(&[char('d')], "d", "for the explanation, compare the contents of large files, too", PANES, Command::ReadContents),
    binding(&[char('r'), Ctrl('l')], "r  Ctrl-L", "read all again: a live mount may have changed", PANES, Command::Refresh),
];
