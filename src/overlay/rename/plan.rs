//! What a rename is to do, decided from what is known of its two ends.

use crate::error::Kind;

/// What moves, as far as the plan must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moving {
    Leaf,
    Directory,
}

/// What the upper has at the new name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtTarget {
    Nothing,
    Whiteout,
    Leaf,
    EmptyDirectory,
}

/// The step in which it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// Over the target, or to where nothing is.
    Plain,
    /// The same, leaving a whiteout.
    LeaveWhiteout,
    /// For the whiteout that is at the new name, which is wanted at the old one.
    SwapWhiteout,
    /// For the whiteout that is at the new name, which is then removed from the old one.
    SwapAndRemove,
}

/// Decides the step. `hides`: something below must stay hidden at the old name.
pub(super) fn plan(moving: Moving, target: AtTarget, hides: bool) -> Move {
    match (moving, target, hides) {
        (_, AtTarget::Whiteout, true) => Move::SwapWhiteout,
        (Moving::Directory, AtTarget::Whiteout, false) => Move::SwapAndRemove,
        (_, _, true) => Move::LeaveWhiteout,
        (_, _, false) => Move::Plain,
    }
}

/// May `source` take the place of `target`? `None`: there is none.
pub(super) fn check_types(source: Moving, target: Option<Moving>) -> Result<(), Kind> {
    match (source, target) {
        (Moving::Directory, Some(Moving::Leaf)) => Err(Kind::NotADirectory),
        (Moving::Leaf, Some(Moving::Directory)) => Err(Kind::IsADirectory),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_hides_what_shows_below_and_replaces_what_is_there() {
        use AtTarget::{EmptyDirectory, Leaf as File, Nothing, Whiteout};
        use Moving::{Directory, Leaf};
        for (moving, target, hides, expected) in [
            (Leaf, Nothing, false, Move::Plain),
            (Leaf, Nothing, true, Move::LeaveWhiteout),
            (Leaf, File, false, Move::Plain),
            (Leaf, File, true, Move::LeaveWhiteout),
            (Leaf, Whiteout, false, Move::Plain),
            (Leaf, Whiteout, true, Move::SwapWhiteout),
            (Directory, Nothing, false, Move::Plain),
            (Directory, Nothing, true, Move::LeaveWhiteout),
            (Directory, EmptyDirectory, false, Move::Plain),
            (Directory, EmptyDirectory, true, Move::LeaveWhiteout),
            (Directory, Whiteout, false, Move::SwapAndRemove),
            (Directory, Whiteout, true, Move::SwapWhiteout),
        ] {
            assert_eq!(plan(moving, target, hides), expected, "{moving:?} {target:?} {hides}");
        }
    }

    #[test]
    fn types_must_fit() {
        use Moving::{Directory, Leaf};
        assert_eq!(check_types(Directory, Some(Leaf)), Err(Kind::NotADirectory));
        assert_eq!(check_types(Leaf, Some(Directory)), Err(Kind::IsADirectory));
        for (source, target) in
            [(Leaf, None), (Leaf, Some(Leaf)), (Directory, Some(Directory)), (Directory, None)]
        {
            assert_eq!(check_types(source, target), Ok(()));
        }
    }
}
