//! Whose turn it is to read a request, and on which processor.
//!
//! Usually all workers wait in read(2), and the kernel wakes one for each request. While one thread alone asks, that is
//! slow: the worker is woken on another processor, which was idle, and then has to wake the caller's, which has become
//! idle meanwhile. So a worker takes the lead then: it alone reads, on the caller's processor, and gives way to the caller
//! with the reply. Measured: 65 microseconds a request before (16 on a busy machine), 5 after.
//!
//! 1. *Who leads must not keep others waiting.* A handler that takes long (a copy-up, a slow layer) would: a watch opens
//!    the turn to all after [`PATIENCE`], whatever the reason, the leader's being kept from running included. Then nobody
//!    takes the lead for a while ([`REST`]).
//! 2. *The leader follows the caller*, which the scheduler may move: it is looked for again every few rounds.
//! 3. *The reply goes out while the leader gives way* ([`GivingWay`]). Otherwise the scheduler, seeing the processor
//!    busy, would send the caller to another one, and the leader after it. This takes a privilege; without, nobody leads.
//! 4. *Several callers, or much data*: the turn is open to all, and the leader's processor is its own choice again.

mod company;

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, gettid};

use self::company::{Company, Round, processor_of};
use super::wire::Glance;
use crate::sys::threads::GivingWay;

/// So long may one request take before the others read, too. The watch looks as often.
const PATIENCE: Duration = Duration::from_millis(2);

/// A leader whom nobody asks any more stops leading after so many looks of the watch.
const IDLE_LOOKS: u32 = 50;

/// A caller that stays on its processor is believed to be there for so many rounds.
const ROUNDS_BELIEVED: u32 = 1;

/// So long nobody leads after the watch's patience was at an end.
const REST: Duration = Duration::from_millis(10);

/// No thread has this id.
const NOBODY: i32 = 0;

/// The turn that all workers of a mount take.
#[derive(Debug)]
pub(super) struct Turns {
    /// May anybody lead?
    allowed: Option<CpuSet>,
    began: Instant,
    /// The leader's thread, or [`NOBODY`]: what workers look at without a lock. Changed under the lock.
    leader: AtomicI32,
    /// Since when the leader works on a request: microseconds since `began`, and one; 0 while it waits for the next.
    busy: AtomicU64,
    /// Requests the leader has taken.
    taken: AtomicU64,
    /// A [`Round`].
    round: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    lead: Option<Lead>,
    /// The thread of the watch.
    watch: Option<Pid>,
    ended: bool,
    /// Until when nobody leads.
    rest_until: Instant,
}

/// Whom the leader follows.
#[derive(Debug, Clone, Copy)]
struct Lead {
    thread: Pid,
    caller: u32,
    processor: usize,
    rounds: u32,
}

/// A worker's part in it. When it goes, the turn is open to those that remain.
#[derive(Debug)]
pub(super) struct Seat<'t> {
    turns: &'t Turns,
    thread: Pid,
}

/// A request in work, to the end of its reply.
#[derive(Debug)]
pub(super) struct Work<'t> {
    turns: &'t Turns,
    leads: bool,
}

/// Why the turn is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// Nobody asks, several ask, or the leader is gone.
    NoNeed,
    /// A request takes long, or the leader gave way with its reply and others have kept its processor since.
    Overdue,
}

/// What the watch sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    /// For how long the leader has been at its request; none if it waits.
    busy: Option<Duration>,
    /// Looks in a row without a new request.
    idle: u32,
}

impl Look {
    fn verdict(self) -> Option<Opening> {
        match self.busy {
            Some(busy) if busy > PATIENCE => Some(Opening::Overdue),
            None if self.idle > IDLE_LOOKS => Some(Opening::NoNeed),
            _ => None,
        }
    }
}

impl Turns {
    /// Of `workers`; a single one has every turn anyway, and leads all the same.
    pub(super) fn new() -> Self {
        let began = Instant::now();
        Turns {
            allowed: GivingWay::can_end().then(|| sched_getaffinity(Pid::from_raw(0)).ok()).flatten(),
            began,
            leader: AtomicI32::new(NOBODY),
            busy: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            round: AtomicU64::new(Round::default().word()),
            state: Mutex::new(State { lead: None, watch: None, ended: false, rest_until: began }),
            changed: Condvar::new(),
        }
    }

    /// The calling thread is a worker.
    pub(super) fn seat(&self) -> Seat<'_> {
        Seat { turns: self, thread: gettid() }
    }

    /// Watches over the leader, until [`Turns::end`].
    pub(super) fn watch(&self) {
        let mut state = self.lock();
        state.watch = Some(gettid());
        let mut look = Look { busy: None, idle: 0 };
        let mut taken = 0;
        while !state.ended {
            if state.lead.is_none() {
                look.idle = 0;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            (state, _) = self.changed.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner);
            let taken_now = self.taken.load(Ordering::Relaxed);
            look.idle = if taken_now == taken { look.idle + 1 } else { 0 };
            taken = taken_now;
            look.busy = match self.busy.load(Ordering::Relaxed) {
                0 => None,
                since => Some(self.began.elapsed().saturating_sub(Duration::from_micros(since - 1))),
            };
            if let Some(why) = look.verdict() {
                self.open(&mut state, why);
            }
        }
    }

    /// The watch ends.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        self.open(&mut state, Opening::NoNeed);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All read from now on.
    fn open(&self, state: &mut State, why: Opening) {
        let Some(lead) = state.lead.take() else { return };
        self.leader.store(NOBODY, Ordering::Relaxed);
        self.busy.store(0, Ordering::Relaxed);
        if why == Opening::Overdue {
            state.rest_until = Instant::now() + REST;
        }
        if let Some(allowed) = &self.allowed {
            run_on(lead.thread, allowed);
        }
        self.changed.notify_all();
    }

    /// A round is over; `thread` has taken its last request.
    fn judge(&self, thread: Pid, company: Company) {
        let Some(allowed) = &self.allowed else { return };
        let leader = self.leader.load(Ordering::Relaxed);
        if leader != NOBODY && leader != thread.as_raw() {
            return;
        }
        if leader == NOBODY && company == Company::Several {
            return;
        }
        let mut state = self.lock();
        match (company, state.lead) {
            (Company::Several, _) => self.open(&mut state, Opening::NoNeed),
            (Company::One(_), None) if state.ended || Instant::now() < state.rest_until => {}
            (Company::One(_), Some(lead)) if lead.thread != thread => {}
            (Company::One(now), Some(lead)) if lead.caller == now && lead.rounds < ROUNDS_BELIEVED => {
                state.lead = Some(Lead { rounds: lead.rounds + 1, ..lead });
            }
            (Company::One(caller), lead) => {
                let place = processor_of(caller).filter(|&place| allowed.is_set(place).unwrap_or_default());
                let Some(processor) = place else { return self.open(&mut state, Opening::NoNeed) };
                let moves = lead.is_none_or(|lead| lead.processor != processor);
                let mut there = CpuSet::new();
                if moves && (there.set(processor).is_err() || !run_on(thread, &there)) {
                    return self.open(&mut state, Opening::NoNeed);
                }
                if let (Some(watch), true) = (state.watch, moves) {
                    run_on(watch, &all_but(allowed, processor));
                }
                state.lead = Some(Lead { thread, caller, processor, rounds: 0 });
                if lead.is_none() {
                    self.busy.store(self.now(), Ordering::Relaxed);
                    self.leader.store(thread.as_raw(), Ordering::Relaxed);
                    self.changed.notify_all();
                }
            }
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX - 1) + 1
    }
}

impl<'t> Seat<'t> {
    /// Returns when it is this worker's turn to read.
    pub(super) fn wait(&self) {
        let mine = || matches!(self.turns.leader.load(Ordering::Relaxed), leader if leader == NOBODY || leader == self.thread.as_raw());
        if mine() {
            return;
        }
        let mut state = self.turns.lock();
        while !mine() {
            state = self.turns.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A request has been read.
    pub(super) fn begin(&self, asked: Glance) -> Work<'t> {
        let turns = self.turns;
        if turns.allowed.is_some() {
            let mut company = None;
            let next = |word| {
                let (round, verdict) = Round::from_word(word).with(asked);
                company = verdict;
                Some(round.word())
            };
            // `next` always gives a word.
            turns.round.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok();
            if let Some(company) = company {
                turns.judge(self.thread, company);
            }
        }
        let leads = turns.leader.load(Ordering::Relaxed) == self.thread.as_raw();
        if leads {
            turns.taken.fetch_add(1, Ordering::Relaxed);
            turns.busy.store(turns.now(), Ordering::Relaxed);
        }
        Work { turns, leads }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.lock();
        if state.lead.is_some_and(|lead| lead.thread == self.thread) {
            self.turns.open(&mut state, Opening::NoNeed);
        }
    }
}

impl Work<'_> {
    /// To be held while the reply is sent.
    pub(super) fn give_way(&self) -> Option<GivingWay> {
        self.leads.then(|| GivingWay::begin().ok()).flatten()
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        if self.leads {
            self.turns.busy.store(0, Ordering::Relaxed);
        }
    }
}

/// Where the watch does not meet the leader: woken there, it would make the processor look busy (3.). With one
/// processor there is no such place.
fn all_but(allowed: &CpuSet, processor: usize) -> CpuSet {
    let mut others = *allowed;
    match others.unset(processor) {
        Ok(()) if others != CpuSet::new() => others,
        _ => *allowed,
    }
}

/// The thread runs on these processors only. Could that be had?
fn run_on(thread: Pid, processors: &CpuSet) -> bool {
    let placed = sched_setaffinity(thread, processors);
    if let Err(errno) = placed {
        log::debug!("worker {thread} runs where it does: {}", errno.desc());
    }
    placed.is_ok()
}

#[cfg(test)]
mod tests;
