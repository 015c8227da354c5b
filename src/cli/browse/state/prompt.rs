//! A line to type into.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// How much can be typed, bytes: a path has no more.
const MOST: usize = 4096;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum PromptKind {
    Name,
    Size,
    Jump,
}

impl PromptKind {
    /// What stands before what is typed.
    pub fn label(self) -> &'static str {
        match self {
            PromptKind::Name => "Search names: ",
            PromptKind::Size => "Search sizes: ",
            PromptKind::Jump => "Go to: ",
        }
    }

    /// What stands behind it as long as it is empty.
    pub fn example(self) -> &'static str {
        match self {
            PromptKind::Name => "ssl, *.so, or a path: /usr/*.conf",
            PromptKind::Size => ">10M, <4KiB",
            PromptKind::Jump => "/etc/passwd",
        }
    }
}

/// A line that is being typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// What for.
    pub kind: PromptKind,
    /// What is typed.
    pub text: String,
    /// What is wrong with it.
    pub problem: Option<String>,
}

/// What a key has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typed {
    /// It goes on.
    On,
    /// Done.
    Entered,
    /// Never mind.
    Left,
}

impl Prompt {
    /// With this text in it.
    pub fn new(kind: PromptKind, text: String) -> Self {
        Prompt { kind, text, problem: None }
    }

    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent) -> Typed {
        self.problem = None;
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => return Typed::Entered,
            KeyCode::Esc => return Typed::Left,
            KeyCode::Char('c' | 'g') if ctrl => return Typed::Left,
            KeyCode::Char('m' | 'j') if ctrl => return Typed::Entered,
            KeyCode::Char('u') if ctrl => self.text.clear(),
            KeyCode::Char('w') if ctrl => {
                let kept = self.text.trim_end_matches([' ', '/']);
                let kept = kept.rfind([' ', '/']).map_or(0, |at| at + 1);
                self.text.truncate(kept);
            }
            KeyCode::Char('h') if ctrl => drop(self.text.pop()),
            KeyCode::Backspace => drop(self.text.pop()),
            KeyCode::Char(c) if !ctrl && !c.is_control() && self.text.len() < MOST => self.text.push(c),
            _ => {}
        }
        Typed::On
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_typed_and_corrected() {
        let mut prompt = Prompt::new(PromptKind::Jump, String::new());
        let mut press = |code, modifiers| prompt.key(KeyEvent::new(code, modifiers));
        for c in "/usr/lib/xé".chars() {
            assert_eq!(press(KeyCode::Char(c), KeyModifiers::NONE), Typed::On);
        }
        press(KeyCode::Backspace, KeyModifiers::NONE);
        press(KeyCode::Char('h'), KeyModifiers::CONTROL);
        press(KeyCode::Char('w'), KeyModifiers::CONTROL);
        assert_eq!(press(KeyCode::Enter, KeyModifiers::NONE), Typed::Entered);
        assert_eq!(press(KeyCode::Char('c'), KeyModifiers::CONTROL), Typed::Left);
        assert_eq!(prompt.text, "/usr/");
        prompt.key(KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL));
        assert_eq!(prompt.text, "");
    }
}
