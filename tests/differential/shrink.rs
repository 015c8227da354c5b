//! Makes a failing scenario small: parts are left out as long as the same failure remains.

use std::time::{Duration, Instant};

use crate::scenario::{Failure, Plan, Run, Scenario};

/// The smallest failing scenario found before `budget` ran out, with its failure.
pub fn shrink(
    scenario: Scenario,
    failure: Failure,
    budget: Duration,
    run: impl Fn(&Plan) -> Run,
) -> (Scenario, Failure) {
    let end = Instant::now() + budget;
    let mut best = (scenario, failure);
    best.0.steps.truncate(best.1.step + 1);
    let attempt = |candidate: Scenario, best: &mut (Scenario, Failure)| {
        let outcome = run(&Plan::Replay(candidate));
        match outcome.failure {
            Some(failure) if failure.signature == best.1.signature => {
                *best = (outcome.scenario, failure);
                true
            }
            _ => false,
        }
    };
    // Large pieces first; a piece that cannot go is tried again in halves.
    let longest = best.0.layers.iter().map(|layer| layer.ops.len()).chain([best.0.steps.len()]).max();
    let mut size = longest.unwrap_or(1);
    while size > 0 {
        let mut changed = false;
        for part in 0..=best.0.layers.len() {
            // Part 0 is the steps, the others are the layers' operations.
            let len = |scenario: &Scenario| match part {
                0 => scenario.steps.len(),
                layer => scenario.layers[layer - 1].ops.len(),
            };
            let mut at = len(&best.0);
            while at > 0 {
                let from = at.saturating_sub(size);
                if Instant::now() > end {
                    return best;
                }
                let mut candidate = best.0.clone();
                match part {
                    0 => drop(candidate.steps.drain(from..at)),
                    layer => drop(candidate.layers[layer - 1].ops.drain(from..at)),
                }
                changed |= attempt(candidate, &mut best);
                at = from.min(len(&best.0));
            }
        }
        if !changed || size > 1 {
            size /= 2;
        }
    }
    // Whole layers, once they are empty.
    let mut layer = best.0.layers.len();
    while layer > 0 && Instant::now() < end {
        layer -= 1;
        // Without an upper the kernel's overlay wants two.
        let least = 1 + usize::from(best.0.setting.read_only);
        if best.0.layers.len() > least && best.0.layers[layer].ops.is_empty() {
            let mut candidate = best.0.clone();
            candidate.layers.remove(layer);
            attempt(candidate, &mut best);
        }
    }
    best
}
