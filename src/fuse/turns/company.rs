//! Who asks: one thread or several, as the requests of a short time show it.

use crate::fuse::wire::Glance;

/// So many requests are looked at together.
pub(super) const ROUND: u8 = 16;

/// So many of them may come from another thread than the one before, and it is still one that asks.
const CHANGES_OF_ONE: u8 = ROUND / 4;

/// A request that moves so many bytes is better served on another processor, beside its caller.
const BULK: usize = 128 << 10;

/// What the kernel says of a caller that it cannot name.
const NOBODY: u32 = 0;

/// The requests since the last verdict. It fits into a word, for [`Round::word`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Round {
    /// The thread that asked last.
    caller: u32,
    requests: u8,
    changes: u8,
    bulk: bool,
}

/// What a round shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Company {
    /// One thread asks, this one.
    One(u32),
    /// Several do, or data moves.
    Several,
}

impl Round {
    /// With one request more; a verdict if that was the last of the round, which begins anew then.
    pub(super) fn with(self, asked: Glance) -> (Round, Option<Company>) {
        if asked.caller == NOBODY {
            return (self, None);
        }
        let round = Round {
            caller: asked.caller,
            requests: self.requests.saturating_add(1),
            changes: self.changes.saturating_add(u8::from(asked.caller != self.caller)),
            bulk: self.bulk || asked.moves >= BULK,
        };
        if round.requests < ROUND {
            return (round, None);
        }
        let company = match round.changes <= CHANGES_OF_ONE && !round.bulk {
            true => Company::One(round.caller),
            false => Company::Several,
        };
        (Round { caller: round.caller, ..Round::default() }, Some(company))
    }

    pub(super) fn word(self) -> u64 {
        let [a, b, c, d] = self.caller.to_le_bytes();
        u64::from_le_bytes([a, b, c, d, self.requests, self.changes, u8::from(self.bulk), 0])
    }

    pub(super) fn from_word(word: u64) -> Self {
        let [a, b, c, d, requests, changes, bulk, _] = word.to_le_bytes();
        Round { caller: u32::from_le_bytes([a, b, c, d]), requests, changes, bulk: bulk != 0 }
    }
}

/// The processor on which a thread ran last.
pub(super) fn processor_of(thread: u32) -> Option<usize> {
    processor_in(&std::fs::read(format!("/proc/{thread}/stat")).ok()?)
}

/// Field 39 of proc_pid_stat(5). The name, field 2, is in brackets and may hold anything.
fn processor_in(stat: &[u8]) -> Option<usize> {
    let name = stat.iter().rposition(|&byte| byte == b')')?;
    let field = stat.get(name + 1..)?.split(|&byte| byte == b' ').nth(37)?;
    std::str::from_utf8(field).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(callers: &[u32], moves: usize) -> Option<Company> {
        let mut round = Round::default();
        let mut last = None;
        for &caller in callers {
            let (next, company) = Round::from_word(round.word()).with(Glance { caller, moves });
            assert_eq!(last, None, "a verdict before the round is over");
            (round, last) = (next, company);
        }
        last
    }

    #[test]
    fn one_caller_is_told_from_several() {
        let one = [7; 16];
        assert_eq!(verdict(&one, 100), Some(Company::One(7)));
        assert_eq!(verdict(&one[..15], 100), None);
        assert_eq!(verdict(&one, BULK), Some(Company::Several));
        // One that hands over to the next.
        let next: Vec<u32> = [8; 9].into_iter().chain([9; 7]).collect();
        assert_eq!(verdict(&next, 0), Some(Company::One(9)));
        let by_turns: Vec<u32> = (0..16).map(|n| 7 + n % 2).collect();
        assert_eq!(verdict(&by_turns, 0), Some(Company::Several));
        // Whom the kernel cannot name does not count.
        assert_eq!(verdict(&[0; 40], 0), None);
    }

    #[test]
    fn the_processor_is_found_behind_any_name() {
        let stat = |name: &str, processor: &str| {
            let fields: Vec<String> = (3..=52)
                .map(|n| if n == 39 { processor.to_owned() } else { format!("{}", n * 100) })
                .collect();
            format!("42 ({name}) {}\n", fields.join(" "))
        };
        assert_eq!(processor_in(stat("cat", "3").as_bytes()), Some(3));
        assert_eq!(processor_in(stat(") S 1 2 (", "11").as_bytes()), Some(11));
        assert_eq!(processor_in(b"42 (cat) S 1"), None);
        assert_eq!(processor_in(b""), None);
        let own = nix::unistd::gettid().as_raw() as u32;
        assert!(processor_of(own).is_some());
    }
}
