//! Where the two sides may differ, and why: the only place that loosens the comparison.

use nix::errno::Errno;

use crate::exec::Outcome;
use crate::op::Op;
use crate::tree::Difference;

/// What some exceptions depend on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traits {
    /// Some layer has whiteouts that are empty files with an xattr.
    pub xattr_whiteouts: bool,
}

/// How to go on after outcomes that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They must not.
    Wrong,
    /// Both are right, and nothing has changed.
    Same,
    /// Both are right; a file without a name differs from now on, which only those see who hold it: close all.
    Close,
    /// Both are right, but the trees differ from now on: the seed ends here.
    End,
}

/// What to make of `op` giving `found` where the kernel's overlay gives `expected`.
pub fn outcome(layers: Traits, op: &Op, expected: &Outcome, found: &Outcome) -> Verdict {
    match (op, &expected.0, &found.0) {
        // Which of two reasons for a refusal is found first.
        (Op::Rename { .. }, Err(Errno::EXDEV), Err(Errno::ENOTEMPTY)) => Verdict::Same,
        // The errno for a directory that was removed and is still held.
        (
            Op::Fchmod { .. } | Op::Fchown { .. } | Op::Futimens { .. } | Op::Fsetxattr { .. },
            Err(Errno::ENOTDIR),
            Err(Errno::ENOENT),
        ) => Verdict::Same,
        // The kernel's overlay cannot copy up a lower file whose last name, or whose directory, is gone.
        (
            Op::Fchmod { .. } | Op::Fchown { .. } | Op::Futimens { .. } | Op::Fsetxattr { .. },
            Err(Errno::EEXIST | Errno::ENOENT),
            Ok(_),
        ) => Verdict::Close,
        // Between a lower on one file system and an upper on another; what is copied is right.
        (Op::CopyRange { .. }, Err(Errno::EXDEV), Ok(_)) => Verdict::End,
        // The kernel's overlay takes whiteouts by xattr for files when it looks whether a directory is empty.
        (Op::Rmdir { .. } | Op::Rename { .. }, Err(Errno::ENOTEMPTY), Ok(_)) if layers.xattr_whiteouts => {
            Verdict::End
        }
        (Op::RemoveTree { .. }, Ok(expected), Ok(_))
            if layers.xattr_whiteouts && expected.contains("ENOTEMPTY") =>
        {
            Verdict::End
        }
        _ => Verdict::Wrong,
    }
}

/// Whether the difference is one of those that are allowed.
fn allowed(difference: &Difference) -> bool {
    match difference.what {
        // FUSE's kernel side keeps an inode's birth time once it was asked for, so a copy-up shows after a while only.
        "btime" => difference.expected == "touched",
        // With redirect_dir=nofollow the kernel's overlay leaves out of listings what it then refuses to look up.
        "existence" => difference.expected == "absent" && difference.found == "EPERM",
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
