use std::sync::mpsc::channel;

use super::*;

/// As for a process that may give way.
fn turns() -> Turns {
    Turns { allowed: Some(sched_getaffinity(Pid::from_raw(0)).unwrap()), ..Turns::new() }
}

fn own() -> u32 {
    gettid().as_raw() as u32
}

/// So many requests of one caller that a worker may take the lead.
fn a_round_of_one(seat: &Seat<'_>) {
    for _ in 0..company::ROUND {
        seat.begin(Glance { caller: own(), moves: 80 });
    }
}

#[test]
fn the_watch_opens_after_patience_and_where_nobody_asks() {
    let at = |busy: Option<u64>, idle| Look { busy: busy.map(Duration::from_micros), idle }.verdict();
    assert_eq!(at(Some(500), 0), None);
    assert_eq!(at(Some(2_001), 0), Some(Opening::Overdue));
    assert_eq!(at(None, IDLE_LOOKS), None);
    assert_eq!(at(None, IDLE_LOOKS + 1), Some(Opening::NoNeed));
    // A request in work is no idleness.
    assert_eq!(at(Some(500), IDLE_LOOKS + 1), None);
}

#[test]
fn while_one_leads_the_others_wait_until_several_ask() {
    let turns = turns();
    let (told, heard) = channel();
    std::thread::scope(|scope| {
        let seat = turns.seat();
        a_round_of_one(&seat);
        assert_eq!(turns.leader.load(Ordering::Relaxed), gettid().as_raw());
        seat.wait();
        let other = scope.spawn(|| {
            let seat = turns.seat();
            told.send("waits").unwrap();
            seat.wait();
            told.send("reads").unwrap();
        });
        assert_eq!(heard.recv().unwrap(), "waits");
        assert!(heard.try_recv().is_err());
        for n in 0..u32::from(company::ROUND) {
            seat.begin(Glance { caller: own() + n, moves: 80 });
        }
        assert_eq!(heard.recv().unwrap(), "reads");
        other.join().unwrap();
        let anywhere = sched_getaffinity(Pid::from_raw(0)).unwrap();
        assert_eq!(Some(anywhere), turns.allowed);
    });
}

#[test]
fn a_request_that_takes_long_opens_the_turn_and_nobody_leads_for_a_while() {
    let turns = turns();
    std::thread::scope(|scope| {
        scope.spawn(|| turns.watch());
        let seat = turns.seat();
        a_round_of_one(&seat);
        let work = seat.begin(Glance { caller: own(), moves: 80 });
        assert!(work.leads);
        // Returns when the watch has opened it: the leader is still at its request.
        scope.spawn(|| turns.seat().wait()).join().unwrap();
        drop(work);
        assert_eq!(turns.leader.load(Ordering::Relaxed), NOBODY);
        assert!(turns.lock().rest_until > turns.began);
        // Nobody leads before the rest is over, however late that is looked at.
        a_round_of_one(&seat);
        let leads = turns.leader.load(Ordering::Relaxed) != NOBODY;
        assert!(!leads || Instant::now() >= turns.lock().rest_until);
        turns.end();
    });
}

#[test]
fn a_leader_that_goes_leaves_the_turn_to_the_others() {
    let turns = turns();
    std::thread::scope(|scope| {
        let leader = scope.spawn(|| {
            let seat = turns.seat();
            a_round_of_one(&seat);
            assert_ne!(turns.leader.load(Ordering::Relaxed), NOBODY);
        });
        leader.join().unwrap();
        turns.seat().wait();
    });
}
