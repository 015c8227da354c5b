//! Which layers of a SOURCE are looked into.

use std::ffi::OsStr;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::LayerFacts;
use crate::cli::Failure;
use crate::cli::shell::quoted;
use crate::cli::terminal::shown;

/// Which layers: as words of the command line.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct SelectionArgs {
    /// Look into layer N alone (1 is the base)
    #[arg(long, value_name = "N", conflicts_with = "up_to")]
    layer: Option<NonZeroUsize>,
    /// Look at the stack of the layers up to N, as it was before those above
    #[arg(long, value_name = "N")]
    up_to: Option<NonZeroUsize>,
}

impl SelectionArgs {
    /// The layers that are meant.
    pub fn selection(&self) -> Selection {
        match (self.layer, self.up_to) {
            (Some(number), _) => Selection::Only(number),
            (None, Some(number)) => Selection::UpTo(number),
            (None, None) => Selection::All,
        }
    }
}

/// Which layers. Numbers are those of [`LayerFacts`]: 1 is the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// The whole stack.
    All,
    /// One layer.
    Only(NonZeroUsize),
    /// This layer and all below it.
    UpTo(NonZeroUsize),
}

impl Selection {
    /// The index, from the top, of the topmost layer that is meant.
    ///
    /// # Errors
    /// There is no layer of that number: says which there are.
    pub fn topmost(self, source: &OsStr, layers: &[LayerFacts]) -> Result<usize, Failure> {
        let number = match self {
            Selection::All => return Ok(0),
            Selection::Only(number) | Selection::UpTo(number) => number.get(),
        };
        layers.iter().position(|layer| layer.number == number).ok_or_else(|| {
            let there = match layers.len() {
                1 => "it has layer 1 only".to_owned(),
                count => format!("it has layers 1 (the base) to {count}"),
            };
            let pasted = quoted(source.as_bytes());
            let source = shown(Path::new(source));
            Failure::trouble(format!("'{source}' has no layer {number}: {there}"))
                .hint(format!("lamina explain {pasted} / lists them"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LayerFacts, Role};
    use super::*;

    fn layers(count: usize) -> Vec<LayerFacts> {
        let layer = |number| LayerFacts {
            number,
            role: Role::Lower,
            path: "/layer".into(),
            digest: None,
            diff_id: None,
            instruction: None,
            created_by: None,
        };
        (1..=count).rev().map(layer).collect()
    }

    #[test]
    fn layers_are_found_by_their_numbers() {
        let number = |number| NonZeroUsize::new(number).unwrap();
        let three = layers(3);
        assert_eq!(Selection::All.topmost("s".as_ref(), &three), Ok(0));
        assert_eq!(Selection::Only(number(3)).topmost("s".as_ref(), &three), Ok(0));
        assert_eq!(Selection::UpTo(number(1)).topmost("s".as_ref(), &three), Ok(2));
        let said = Selection::UpTo(number(4)).topmost("my a.tar".as_ref(), &three).unwrap_err();
        assert_eq!(said.message, "'my a.tar' has no layer 4: it has layers 1 (the base) to 3");
        assert_eq!(said.hint.as_deref(), Some("lamina explain 'my a.tar' / lists them"));
        let said = Selection::Only(number(2)).topmost("my a.tar".as_ref(), &layers(1)).unwrap_err();
        assert_eq!(said.message, "'my a.tar' has no layer 2: it has layer 1 only");
    }
}
