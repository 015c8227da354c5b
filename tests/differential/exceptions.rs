//! Where the two sides may differ, and why: the only place that loosens the comparison.

use crate::exec::Outcome;
use crate::op::Op;
use crate::tree::Difference;

/// The reason why `op` may give `found` where the kernel gives `expected`, if there is one.
pub fn outcome(_op: &Op, _expected: &Outcome, _found: &Outcome) -> Option<&'static str> {
    None
}

/// Takes away the differences that are allowed, and those the person at the keyboard wants to look past.
pub fn differences(differences: &mut Vec<Difference>) {
    if let Ok(ignored) = std::env::var("LAMINA_DIFF_IGNORE") {
        differences.retain(|difference| !ignored.split(',').any(|what| what == difference.what));
    }
}
