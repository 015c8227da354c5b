//! The greatest of many, in little memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// How many are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// So many of the greatest.
    Worst(usize),
    /// All of them: memory grows with what is found.
    All,
}

/// The greatest of what is put in.
#[derive(Debug)]
pub struct Worst<T> {
    keep: Keep,
    /// The smallest on top.
    kept: BinaryHeap<Reverse<T>>,
    count: u64,
}

impl<T: Ord> Worst<T> {
    pub fn new(keep: Keep) -> Self {
        Worst { keep, kept: BinaryHeap::new(), count: 0 }
    }

    /// Puts one in. It is made only where it may be kept: `might_beat` says of the smallest that is, whether it may be greater.
    pub fn offer(&mut self, might_beat: impl FnOnce(&T) -> bool, make: impl FnOnce() -> T) {
        self.count = self.count.saturating_add(1);
        let room = match self.keep {
            Keep::All => true,
            Keep::Worst(most) => self.kept.len() < most,
        };
        if room {
            self.kept.push(Reverse(make()));
        } else if self.kept.peek().is_some_and(|Reverse(least)| might_beat(least)) {
            self.kept.push(Reverse(make()));
            self.kept.pop();
        }
    }

    /// How many were put in.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The greatest first.
    pub fn into_sorted(self) -> Vec<T> {
        self.kept.into_sorted_vec().into_iter().map(|Reverse(one)| one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_are_kept_and_all_are_counted() {
        for (keep, expected) in
            [(Keep::Worst(0), vec![]), (Keep::Worst(3), vec![9, 7, 5]), (Keep::All, vec![9, 7, 5, 5, 3, 1])]
        {
            let mut worst = Worst::new(keep);
            for number in [5, 1, 9, 3, 7, 5] {
                worst.offer(|least| number > *least, || number);
            }
            assert_eq!(worst.count(), 6);
            assert_eq!(worst.into_sorted(), expected);
        }
    }
}
