//! The terminal: taken, given back, and what comes from it.

use std::ffi::OsStr;
use std::io::{self, IsTerminal, Stdout};
use std::os::unix::ffi::OsStrExt;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread;

use nix::sys::signal::{SigSet, Signal};
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, KeyEventKind};
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};
use ratatui::layout::{Position, Rect};
use ratatui::{Frame, Terminal};

use super::state::Event;
use crate::cli::Failure;
use crate::cli::shell::quoted;
use crate::error::describe;

/// Is the terminal ours just now?
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal, in raw mode and with its other screen. Dropped, it is as it was before: also after a panic, and before that is
/// told.
pub struct Screen {
    /// What is drawn on.
    pub terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// Standard input or output is none, or one that cannot be drawn on.
    pub fn take() -> Result<Self, Failure> {
        let failure = |error: io::Error| Failure::trouble(format!("the terminal: {}", describe(&error)));
        // Made first: once the terminal is taken, there is somebody to give it back.
        let screen =
            Screen { terminal: Terminal::new(CrosstermBackend::new(io::stdout())).map_err(failure)? };
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            give_back();
            before(info);
        }));
        enter().map_err(failure)?;
        Ok(screen)
    }

    /// Draws a picture; nothing, where a panic in another thread has given the terminal back and is being told there.
    ///
    /// # Errors
    /// Those of the terminal.
    pub fn draw(&mut self, picture: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        match TAKEN.load(Ordering::SeqCst) {
            true => self.terminal.draw(picture).map(drop),
            false => Ok(()),
        }
    }

    /// Gives the terminal back, lets the shell stop this process, and takes it again when that goes on.
    ///
    /// # Errors
    /// Those of the terminal.
    pub fn stop(&mut self) -> io::Result<()> {
        give_back();
        nix::sys::signal::raise(Signal::SIGTSTP)?;
        enter()?;
        // What was on it is not there any more. Not `clear`, which asks the terminal where the cursor is: the answer would go to
        // the thread that reads keys.
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::from((Position::ORIGIN, size)))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn enter() -> io::Result<()> {
    TAKEN.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)
}

fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // The terminal may be gone, and nobody left to be told. The screen is emptied before it is left: a terminal that was resized
        // meanwhile may show some of it on the other one.
        let _ = execute!(io::stdout(), Clear(ClearType::All), LeaveAlternateScreen, cursor::Show);
        let _ = disable_raw_mode();
    }
}

/// Is there a terminal to draw on and to read keys from?
///
/// # Errors
/// What is none, and what shows the same without one.
pub fn require_terminal(source: &OsStr) -> Result<(), Failure> {
    let missing = match (io::stdin().is_terminal(), io::stdout().is_terminal()) {
        (true, true) => match std::env::var_os("TERM") {
            Some(term) if !term.is_empty() && term != "dumb" => return Ok(()),
            _ => "the terminal cannot be drawn on (TERM is not set, or 'dumb')",
        },
        (false, _) => "standard input is not a terminal",
        (true, false) => "standard output is not a terminal",
    };
    let source = quoted(source.as_bytes());
    Err(Failure::trouble(format!("lamina browse needs a terminal: {missing}")).hint(format!(
        "lamina ls -lR {source} lists what is in it, lamina explain {source} PATH says where a path comes from"
    )))
}

/// The signals that end the program: to be waited for by a thread, so that the terminal is given back first.
pub fn ending_signals() -> SigSet {
    [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT].into_iter().collect()
}

/// Starts the threads that hand on keys and signals. The signals must be blocked already, in all threads.
///
/// # Errors
/// Those of starting threads.
pub fn listen(events: &Sender<Event>, signals: SigSet) -> io::Result<()> {
    let to = events.clone();
    thread::Builder::new().name("keys".to_owned()).spawn(move || {
        loop {
            let event = match event::read() {
                Ok(event::Event::Key(key)) if key.kind != KeyEventKind::Release => Event::Key(key),
                Ok(event::Event::Resize(width, height)) => Event::Resized(width, height),
                Ok(_) => continue,
                Err(error) => {
                    // Nobody listens any more where it is over already.
                    let _ = to.send(Event::NoInput(describe(&error)));
                    return;
                }
            };
            if to.send(event).is_err() {
                return;
            }
        }
    })?;
    let to = events.clone();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        while let Ok(signal) = signals.wait() {
            if to.send(Event::Ended(signal)).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}
