//! Where the two sides may differ, and why: the only place that loosens the comparison.

use crate::exec::Outcome;
use crate::op::Op;
use crate::tree::Difference;

/// The reason why `op` may give `found` where the kernel gives `expected`, if there is one.
pub fn outcome(_op: &Op, _expected: &Outcome, _found: &Outcome) -> Option<&'static str> {
    None
}

/// Whether the difference is one of those that are allowed.
fn allowed(difference: &Difference) -> bool {
    match difference.what {
        // FUSE's kernel side keeps an inode's birth time once it was asked for, so a copy-up shows after a while only.
        "btime" => difference.expected == "touched",
        // Of a lower file whose last name is gone the kernel's overlay shows the count that the lower has; 0 is what
        // every other file system says.
        "nlink" => difference.path.contains("descriptor") && difference.found == "0",
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
