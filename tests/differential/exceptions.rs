//! Where the two sides may differ, and why: the only place that loosens the comparison.

use nix::errno::Errno;

use crate::exec::Outcome;
use crate::op::Op;
use crate::tree::Difference;

/// How to go on after outcomes that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They must not.
    Wrong,
    /// Both are right, and nothing has changed.
    Same,
    /// Both are right; what the descriptor holds differs from now on, and nobody else can see it: close it.
    Close,
}

/// What to make of `op` giving `found` where the kernel's overlay gives `expected`.
pub fn outcome(op: &Op, expected: &Outcome, found: &Outcome) -> Verdict {
    match (op, &expected.0, &found.0) {
        // Which of two reasons for a refusal is found first.
        (Op::Rename { .. }, Err(Errno::EXDEV), Err(Errno::ENOTEMPTY)) => Verdict::Same,
        // The kernel's overlay cannot copy up a lower file whose last name, or whose directory, is gone.
        (
            Op::Fchmod { .. } | Op::Fchown { .. } | Op::Futimens { .. } | Op::Fsetxattr { .. },
            Err(Errno::EEXIST | Errno::ENOENT),
            Ok(_),
        ) => Verdict::Close,
        _ => Verdict::Wrong,
    }
}

/// Whether the difference is one of those that are allowed.
fn allowed(difference: &Difference) -> bool {
    match difference.what {
        // FUSE's kernel side keeps an inode's birth time once it was asked for, so a copy-up shows after a while only.
        "btime" => difference.expected == "touched",
        // Of a held lower file one of whose names is gone the kernel's overlay shows the count that the lower has.
        "nlink" => {
            let count = |text: &str| text.parse::<u32>().unwrap_or_default();
            difference.path.contains("descriptor") && count(&difference.found) < count(&difference.expected)
        }
        _ => false,
    }
}

/// Takes away the differences that are allowed, and those the person at the keyboard wants to look past.
pub fn differences(differences: &mut Vec<Difference>) {
    differences.retain(|difference| !allowed(difference));
    if let Ok(ignored) = std::env::var("LAMINA_DIFF_IGNORE") {
        differences.retain(|difference| !ignored.split(',').any(|what| what == difference.what));
    }
}
