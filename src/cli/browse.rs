//! `lamina browse`: a source on the terminal, layer by layer.
//!
//! `state` is what is shown, and says what it needs to know; `work` answers that, in threads; `draw` is the picture; `keys` the
//! table of the keys.

mod ask;
mod detail;
mod draw;
mod filter;
mod keys;
mod layout;
mod pager;
mod screen;
mod session;
mod source;
mod state;
mod theme;
mod tree;
mod walk;
mod work;

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::mpsc;

use nix::sys::signal::{self, SigSet};

use self::screen::Screen;
use self::source::Sources;
use self::state::{End, Event, Model};
use self::theme::Theme;
use self::work::Workers;
use super::epilogue::{Epilogue, Example, Note};
use super::explain::SOURCE;
use super::image_args::{SelectArgs, StoreArgs};
use super::{Failure, opened, terminal};
use crate::error::describe;

/// What follows the options in the help and the man page.
pub const EPILOGUE: Epilogue = Epilogue {
    examples: &[
        Example { what: "an image", command: "lamina browse app.tar" },
        Example { what: "a live mount, its upper included", command: "lamina browse /mnt" },
        Example { what: "directories as layers", command: "lamina browse overlay:app:base" },
    ],
    notes: &[
        Note {
            heading: "What is shown",
            text: "The layers at the left, the top first; the names at the right; below, what lamina explain says of the selected one. \
                   Selecting a layer shows the stack up to it, with what it added (A), changed (C) and deleted (D); what hides \
                   something in a layer below is marked S. Deleted names stay, and so can be opened and shown. \
                   With NO_COLOR there are the marks only.",
        },
        Note {
            heading: "Keys",
            text: "? shows all. Arrows or h j k l move, Tab goes to the next pane, Enter opens a directory or shows a file, \
                   / searches names, s sizes, c changes, g goes to a path, a marks the changes of all layers above the base, q quits.",
        },
    ],
};

/// `lamina browse`.
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE.help())]
pub struct BrowseArgs {
    #[arg(value_name = "SOURCE", value_hint = clap::ValueHint::AnyPath, help = "An image, a directory, overlay:TOP:...:BASE, or the mount point of a live mount", long_help = SOURCE)]
    source: OsString,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// Shows the source until somebody has seen enough.
pub fn run(args: &BrowseArgs) -> Result<(), Failure> {
    screen::require_terminal(&args.source)?;
    let known = opened::find(&args.source, &args.select, &args.store)?;
    let (name, layers) = (known.name.clone(), known.layers.clone());
    let theme = if terminal::colours() { Theme::Colours } else { Theme::Plain };
    let sources = Arc::new(Sources::new(known));
    let size = ratatui::crossterm::terminal::size()
        .map_err(|error| Failure::trouble(format!("the terminal: {}", describe(&error))))?;
    let mut model = Model::new(name, layers, size);
    // What cannot be opened is told before the terminal is taken.
    sources.view(model.shown)?;
    let signals = screen::ending_signals();
    signals
        .thread_block()
        .map_err(|errno| Failure::trouble(format!("signals cannot be waited for: {}", errno.desc())))?;
    let end = on_screen(&mut model, &sources, signals, theme);
    // The terminal is given back: now a signal may do what it does.
    match end? {
        End::Quit => Ok(()),
        End::Broken => {
            Err(Failure::trouble("the program has failed in itself; what was the matter is above"))
        }
        End::NoInput(problem) => Err(Failure::trouble(format!("the terminal cannot be read: {problem}"))),
        End::Signal(signal) => {
            let ended = signal::raise(signal).and_then(|()| signals.thread_unblock());
            let why = ended.err().map_or(String::new(), |errno| format!(": {}", errno.desc()));
            Err(Failure::trouble(format!("ended by {signal}{why}")))
        }
    }
}

/// The loop: what has happened is taken, what is needed is asked for, and then there is a new picture.
fn on_screen(
    model: &mut Model,
    sources: &Arc<Sources>,
    signals: SigSet,
    theme: Theme,
) -> Result<End, Failure> {
    let failure = |error: std::io::Error| Failure::trouble(format!("the terminal: {}", describe(&error)));
    let (sender, events) = mpsc::channel();
    let workers = Workers::start(sources, &sender).map_err(failure)?;
    let mut screen = Screen::take()?;
    screen::listen(&sender, signals).map_err(failure)?;
    loop {
        for (shown, ask) in model.asks() {
            workers.ask(shown, ask);
        }
        // The news of another size may be still on its way.
        let size = screen.terminal.size().map_err(failure)?;
        if (size.width, size.height) != model.size {
            model.take(Event::Resized(size.width, size.height));
            continue;
        }
        screen.draw(|frame| draw::draw(frame, model, theme)).map_err(failure)?;
        let Ok(first) = events.recv() else { return Ok(End::Broken) };
        take_all(model, first, &events);
        if let Some(end) = model.end.take() {
            return Ok(end);
        }
        if std::mem::take(&mut model.stops) {
            screen.stop().map_err(failure)?;
        }
    }
}

/// Takes what has come in meanwhile, too: a key that is held must not fill a queue of pictures.
fn take_all(model: &mut Model, first: Event, events: &mpsc::Receiver<Event>) {
    model.take(first);
    for event in events.try_iter().take(1000) {
        model.take(event);
        if model.end.is_some() || model.stops {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
