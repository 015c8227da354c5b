//! How far the work on layers is: bars on a terminal, lines elsewhere. Work of less than half a second is not told of.

mod bar;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};

pub use self::bar::Writing;
use self::bar::{bar, can_be_shown, count};
use super::human;
use crate::image::store::{Progress, Task, Work};

/// How long nothing is said.
const PATIENCE: Duration = Duration::from_millis(500);

/// Tells a person, on standard error.
pub struct Shown {
    form: Form,
    state: Mutex<State>,
}

/// How it is told.
enum Form {
    /// Nothing is told (`--quiet`).
    Nothing,
    /// A line when work begins that takes its time, and one when it ends.
    Lines(fn(&str)),
    /// A bar for each layer, and one for all.
    Bars(MultiProgress),
}

#[derive(Default)]
struct State {
    total: u64,
    layers: usize,
    done: u64,
    /// The bar for all layers, once there is one.
    all: Option<ProgressBar>,
    running: BTreeMap<usize, Running>,
}

struct Running {
    work: Work,
    since: Instant,
    done: u64,
    told: bool,
    bar: Option<ProgressBar>,
}

impl Shown {
    /// Nothing where it should be quiet; bars where standard error is a terminal that can move its cursor.
    pub fn new(quiet: bool) -> Self {
        let form = if quiet {
            Form::Nothing
        } else if can_be_shown() {
            Form::Bars(MultiProgress::with_draw_target(ProgressDrawTarget::stderr()))
        } else {
            Form::Lines(say)
        };
        Shown { form, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, text: &str) {
        match &self.form {
            Form::Nothing => {}
            Form::Lines(say) => say(text),
            // What cannot be shown is not worth a failure.
            Form::Bars(bars) => drop(bars.println(text)),
        }
    }
}

fn say(text: &str) {
    // What cannot be shown is not worth a failure.
    let _ = writeln!(io::stderr(), "{text}");
}

impl Progress for Shown {
    fn plan(&self, layers: usize, bytes: u64) {
        let mut state = self.state();
        // Several images may be prepared, one after the other.
        state.layers = state.layers.saturating_add(layers);
        state.total = state.total.saturating_add(bytes);
    }

    fn begin(&self, work: &Work) {
        let running = Running { work: *work, since: Instant::now(), done: 0, told: false, bar: None };
        self.state().running.insert(work.layer, running);
    }

    fn advance(&self, layer: usize, bytes: u64) {
        let mut state = self.state();
        state.done = state.done.saturating_add(bytes);
        let State { total, layers, done, all, running } = &mut *state;
        let Some(running) = running.get_mut(&layer) else {
            return;
        };
        running.done = running.done.saturating_add(bytes);
        if !running.told && running.since.elapsed() >= PATIENCE {
            running.told = true;
            match &self.form {
                Form::Nothing => {}
                Form::Lines(say) => say(&format!("{}: {}", name(&running.work), begun(&running.work))),
                Form::Bars(bars) => {
                    if *layers > 1 && all.is_none() {
                        *all = Some(bars.add(bar(*total, "all layers".to_owned())));
                    }
                    let label = label(&running.work);
                    let one = match running.work.bytes {
                        Some(bytes) => bar(bytes, label),
                        None => count(label),
                    };
                    running.bar = Some(match all {
                        Some(all) => bars.insert_before(all, one),
                        None => bars.add(one),
                    });
                }
            }
        }
        if let Some(bar) = &running.bar {
            bar.set_position(running.done);
        }
        if let Some(all) = all {
            all.set_position(*done);
        }
    }

    fn waiting(&self, layer: usize) {
        self.line(&format!("lamina: layer {layer}: another lamina works on it; waiting for that"));
    }

    fn end(&self, layer: usize) {
        let mut state = self.state();
        let Some(running) = state.running.remove(&layer) else {
            return;
        };
        // Failed work has not come to its end; the error says the rest.
        // Of work whose end nobody knows beforehand, the command's result tells.
        let whole = Some(running.done) == running.work.bytes;
        if let (Form::Lines(say), true, true) = (&self.form, running.told, whole) {
            say(&format!("{}: done", name(&running.work)));
        }
        if let Some(bar) = running.bar {
            bar.finish_and_clear();
        }
        if state.running.is_empty()
            && state.done >= state.total
            && let Some(all) = state.all.take()
        {
            all.finish_and_clear();
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Form::Bars(bars) = &self.form {
            // A terminal that cannot be written to has nothing to be cleared.
            let _ = bars.clear();
        }
    }
}

/// `lamina: layer 2 of 5 (sha256:0123456789ab)`, or `(new)`.
fn name(work: &Work) -> String {
    let digest = work.digest.map_or("new".to_owned(), |digest| format!("sha256:{}", digest.short()));
    format!("lamina: layer {} of {} ({digest})", work.layer, work.of)
}

fn begun(work: &Work) -> String {
    let doing = doing(work.task);
    work.bytes.map_or(doing.to_owned(), |bytes| format!("{doing} {}", human::size(bytes)))
}

/// What stands before a bar.
fn label(work: &Work) -> String {
    let digest = work.digest.map_or("new".to_owned(), |digest| digest.short().to_string());
    format!("layer {:>2} {digest} {}", work.layer, doing(work.task))
}

fn doing(task: Task) -> &'static str {
    match task {
        Task::Check => "verifying",
        Task::Index => "indexing",
        Task::Unpack => "unpacking",
        Task::Write => "writing",
        Task::Copy => "copying",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use std::cell::RefCell;

    thread_local! {
        static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    fn lines() -> Shown {
        let say = |text: &str| SAID.with_borrow_mut(|said| said.push(text.to_owned()));
        Shown { form: Form::Lines(say), state: Mutex::default() }
    }

    fn work(layer: usize) -> Work {
        let digest = Some(Digest::from_bytes([0xab; 32]));
        Work { layer, of: 3, digest, task: Task::Unpack, bytes: Some(2_000_000) }
    }

    /// As if the work had begun long ago.
    fn age(shown: &Shown, layer: usize) {
        let mut state = shown.state();
        let running = state.running.get_mut(&layer).unwrap();
        running.since = running.since.checked_sub(PATIENCE).unwrap();
    }

    #[test]
    fn lines_are_said_of_what_takes_its_time() {
        let shown = lines();
        shown.plan(2, 4_000_000);
        for layer in [1, 2, 3] {
            shown.begin(&work(layer));
        }
        // Short work, work that takes its time, and work that takes its time and fails.
        shown.advance(1, 2_000_000);
        shown.end(1);
        for layer in [2, 3] {
            age(&shown, layer);
            shown.advance(layer, 1_000_000);
        }
        shown.advance(2, 1_000_000);
        shown.end(2);
        shown.end(3);
        shown.waiting(1);
        // Work whose end is not known.
        shown.begin(&Work { digest: None, task: Task::Write, bytes: None, ..work(1) });
        age(&shown, 1);
        shown.advance(1, 1_000);
        shown.end(1);
        assert_eq!(
            SAID.take(),
            [
                "lamina: layer 2 of 3 (sha256:abababababab): unpacking 2.00 MB",
                "lamina: layer 3 of 3 (sha256:abababababab): unpacking 2.00 MB",
                "lamina: layer 2 of 3 (sha256:abababababab): done",
                "lamina: layer 1: another lamina works on it; waiting for that",
                "lamina: layer 1 of 3 (new): writing",
            ]
        );
    }

    #[test]
    fn bars_come_and_go() {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let shown = Shown { form: Form::Bars(bars), state: Mutex::default() };
        let bars = |layer| {
            let state = shown.state();
            let one = state.running.get(&layer).and_then(|running| running.bar.clone());
            (one.map(|bar| (bar.message(), bar.position())), state.all.as_ref().map(ProgressBar::position))
        };
        shown.plan(2, 4_000_000);
        shown.begin(&work(1));
        shown.advance(1, 500_000);
        assert_eq!(bars(1), (None, None));
        age(&shown, 1);
        shown.advance(1, 500_000);
        let message = "layer  1 abababababab unpacking".to_owned();
        assert_eq!(bars(1), (Some((message, 1_000_000)), Some(1_000_000)));
        shown.end(1);
        // The other layer is still to come.
        assert_eq!(bars(1), (None, Some(1_000_000)));
        shown.begin(&work(2));
        shown.advance(2, 3_000_000);
        shown.end(2);
        assert_eq!(bars(2), (None, None));
    }
}
