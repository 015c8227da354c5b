//! The threads that answer: the keyboard never waits for a layer.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use super::ask::{Answer, Ask, Lane, Searched, Told};
use super::detail::Shown;
use super::session::{self, Session};
use super::source::Sources;
use super::state::Event;
use super::walk;

type Job = (Shown, Ask);

/// One thread for each lane. They end with the program, or once nobody asks any more.
pub struct Workers {
    quick: Sender<Job>,
    explain: Sender<Job>,
    measure: Sender<Job>,
    search: Sender<(Job, u64)>,
    /// Which search is wanted: those before it end.
    wanted: Arc<AtomicU64>,
}

/// Says that a thread has not ended as it should.
struct Alarm(Sender<Event>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if thread::panicking() {
            // Where nobody listens any more, the program is about to end.
            let _ = self.0.send(Event::Broken);
        }
    }
}

impl Workers {
    /// Starts the threads; answers go to `events`.
    ///
    /// # Errors
    /// Those of starting threads.
    pub fn start(sources: &Arc<Sources>, events: &Sender<Event>) -> io::Result<Self> {
        let wanted = Arc::new(AtomicU64::new(0));
        let lane = |name: &str| -> io::Result<Sender<Job>> {
            let (sender, jobs) = mpsc::channel();
            let (sources, events) = (Arc::clone(sources), events.clone());
            thread::Builder::new().name(name.to_owned()).spawn(move || serve(&sources, &jobs, &events))?;
            Ok(sender)
        };
        let (search, searches) = mpsc::channel();
        let (of_search, to, newest) = (Arc::clone(sources), events.clone(), Arc::clone(&wanted));
        thread::Builder::new()
            .name("search".to_owned())
            .spawn(move || serve_searches(&of_search, &searches, &to, &newest))?;
        Ok(Workers {
            quick: lane("look")?,
            explain: lane("explain")?,
            measure: lane("measure")?,
            search,
            wanted,
        })
    }

    /// Passes a question on. A thread that has ended has raised the alarm.
    pub fn ask(&self, shown: Shown, ask: Ask) {
        let lane = match ask.lane() {
            Lane::Quick => &self.quick,
            Lane::Explain => &self.explain,
            Lane::Measure => &self.measure,
            Lane::Search => {
                let number = self.wanted.fetch_add(1, Ordering::Relaxed) + 1;
                // As below.
                let _ = self.search.send(((shown, ask), number));
                return;
            }
        };
        // It has panicked then, and said so.
        let _ = lane.send((shown, ask));
    }
}

fn serve(sources: &Sources, jobs: &Receiver<Job>, events: &Sender<Event>) {
    let _alarm = Alarm(events.clone());
    let tell = |shown, answer| events.send(Event::Told(Told { shown, answer })).is_ok();
    let mut next = jobs.recv().ok();
    while let Some((shown, ask)) = next {
        let view = match sources.view(shown) {
            Ok(view) => view,
            Err(failure) => {
                if !tell(shown, session::unanswered(ask, failure.message)) {
                    return;
                }
                next = jobs.recv().ok();
                continue;
            }
        };
        // As long as the same stack is shown.
        let mut session = Session::new(&view);
        let mut job = Some(ask);
        next = None;
        while let Some(ask) = job.take() {
            if !tell(shown, session.answer(ask)) {
                return;
            }
            match jobs.recv() {
                Ok((same, ask)) if same == shown => job = Some(ask),
                other => next = other.ok(),
            }
        }
    }
}

fn serve_searches(
    sources: &Sources,
    searches: &Receiver<(Job, u64)>,
    events: &Sender<Event>,
    newest: &AtomicU64,
) {
    let _alarm = Alarm(events.clone());
    for ((shown, ask), number) in searches {
        let Ask::Search(filter) = ask else { continue };
        let goes_on = || newest.load(Ordering::Relaxed) == number;
        if !goes_on() || filter.is_open() {
            continue;
        }
        // Nobody listens any more: the program ends, and so does this thread with it.
        let tell = |answer| drop(events.send(Event::Told(Told { shown, answer })));
        let mut out = |found: Vec<_>| tell(Answer::Found(filter.clone(), found));
        let searched = match sources.view(shown) {
            Ok(view) => walk::search(&view, &filter, &goes_on, &mut out),
            Err(_) => Searched::Whole(1),
        };
        if goes_on() {
            tell(Answer::Searched(filter.clone(), searched));
        }
    }
}
