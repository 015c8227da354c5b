//! How long requests took: counts between bounds that grow by about a fifth.

use std::sync::atomic::{AtomicU64, Ordering};

/// Four bounds for each doubling.
const STEPS_LOG2: u32 = 2;
/// All below 2^8 ns counts as one: no request is that fast.
const SHORTEST_LOG2: u32 = 8;
/// 2^35 ns, 34 s, and whatever is above it count as one.
const LONGEST_LOG2: u32 = 35;
const BUCKETS: usize = 1 + ((LONGEST_LOG2 - SHORTEST_LOG2) << STEPS_LOG2) as usize;

/// Counts of times; written by one thread, read by any.
#[derive(Debug)]
pub(super) struct Histogram([AtomicU64; BUCKETS]);

impl Default for Histogram {
    fn default() -> Self {
        Histogram([const { AtomicU64::new(0) }; BUCKETS])
    }
}

impl Histogram {
    /// One more that took so long, nanoseconds.
    pub(super) fn add(&self, nanoseconds: u64) {
        if let Some(count) = self.0.get(bucket(nanoseconds)) {
            super::add(count, 1);
        }
    }

    /// Adds its counts to those of others.
    pub(super) fn add_to(&self, sum: &mut Vec<u64>) {
        sum.resize(BUCKETS, 0);
        for (sum, count) in sum.iter_mut().zip(&self.0) {
            *sum += count.load(Ordering::Relaxed);
        }
    }
}

/// Counts that are not zero, each with its upper bound in nanoseconds.
pub(super) fn bounded(counts: &[u64]) -> Vec<(u64, u64)> {
    let bounded = counts.iter().enumerate().map(|(number, count)| (bound(number), *count));
    bounded.filter(|(_, count)| *count > 0).collect()
}

/// By the highest bit, and the bits that follow it.
fn bucket(nanoseconds: u64) -> usize {
    let Some(exponent) = nanoseconds.checked_ilog2().filter(|exponent| *exponent >= SHORTEST_LOG2) else {
        return 0;
    };
    let step = (nanoseconds >> (exponent - STEPS_LOG2)) & ((1 << STEPS_LOG2) - 1);
    let number = 1 + (u64::from(exponent - SHORTEST_LOG2) << STEPS_LOG2) + step;
    usize::try_from(number).map_or(BUCKETS - 1, |number| number.min(BUCKETS - 1))
}

/// What all in a bucket are below.
fn bound(number: usize) -> u64 {
    let Some(after) = number.checked_sub(1) else { return 1 << SHORTEST_LOG2 };
    let exponent = SHORTEST_LOG2 + (after >> STEPS_LOG2) as u32;
    let step = (after & ((1 << STEPS_LOG2) - 1)) as u64;
    (1_u64 << exponent) + ((step + 1) << (exponent - STEPS_LOG2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_below_its_bound_and_not_far_below() {
        for time in (0..36).flat_map(|e| [(1_u64 << e) - 1, 1 << e, (1 << e) + (1 << e) / 3]) {
            let bound = bound(bucket(time));
            match time {
                0..256 => assert_eq!(bound, 256),
                time if time < 1 << 35 => {
                    assert!(time < bound && bound <= time + time / 4 + 1, "{time} {bound}")
                }
                _ => assert_eq!(bound, 1 << 35),
            }
        }
        assert_eq!(bound(bucket(u64::MAX)), 1 << 35);
    }

    #[test]
    fn counts_of_several_threads_add_up() {
        let (one, other) = (Histogram::default(), Histogram::default());
        one.add(100);
        one.add(300);
        other.add(300);
        other.add(1 << 40);
        let mut sum = Vec::new();
        one.add_to(&mut sum);
        other.add_to(&mut sum);
        assert_eq!(bounded(&sum), [(256, 1), (320, 2), (1 << 35, 1)]);
    }
}
