//! What is compared with what.

use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::DiffArgs;
use crate::cli::opened::{self, AtEnd, LayerFacts, Opened, Resolved, Role, Selection, SourceKind};
use crate::cli::shell::quoted;
use crate::cli::{Failure, terminal};
use crate::diff::{Entries, Side};
use crate::overlay::Outcome;
use crate::path::RelPath;
use crate::resolve::Depth;

/// The two sides.
pub struct Sides {
    /// `None`: nothing, what is below the base.
    pub before: Option<Opened>,
    pub after: Opened,
}

/// Which stacks of the sources are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meant<'a> {
    /// These two.
    Two((&'a OsStr, Selection), (&'a OsStr, Selection)),
    /// One with the layers up to this one, and what is below that.
    Layer(&'a OsStr, NonZeroUsize),
    /// A live mount, and what is below its upper.
    Mount(&'a OsStr),
}

fn meant<'a>(
    sources: &'a [OsString],
    from: Option<NonZeroUsize>,
    to: Option<NonZeroUsize>,
    layer: Option<NonZeroUsize>,
) -> Result<Meant<'a>, Failure> {
    let up_to = |number: Option<NonZeroUsize>| number.map_or(Selection::All, Selection::UpTo);
    match (sources, from, to, layer) {
        ([source], None, None, Some(number)) => Ok(Meant::Layer(source, number)),
        ([source], None, None, None) => Ok(Meant::Mount(source)),
        ([source], Some(_), to, None) => Ok(Meant::Two((source, up_to(from)), (source, up_to(to)))),
        ([_], None, Some(_), _) => {
            Err(Failure::usage("--to says where it ends, and nothing says where it begins")
                .hint("add --from N, or, for what one layer changes, use --layer N"))
        }
        ([before, after], from, to, None) => Ok(Meant::Two((before, up_to(from)), (after, up_to(to)))),
        ([_, _], ..) => Err(Failure::usage("--layer is for one SOURCE: what one of its layers changes")
            .hint("with two, --from N and --to N choose the stacks of layers that are compared")),
        _ => Err(Failure::usage("one or two SOURCEs are compared")),
    }
}

impl Sides {
    /// Opens both.
    ///
    /// # Errors
    /// What does not go together; a single source that is no live mount with an upper; what cannot be opened.
    pub fn open(args: &DiffArgs) -> Result<Sides, Failure> {
        let open = |source, selection| opened::open_selected(source, &args.select, &args.store, selection);
        if let Some(upper) = &args.upper {
            let [source] = args.sources.as_slice() else {
                return Err(Failure::usage("--upper is for one SOURCE: what lies below the upper")
                    .hint("lamina diff SOURCE --upper DIR"));
            };
            let below = opened::find(source, &args.select, &args.store)?;
            let before = below.open(Selection::All)?;
            let after = below.under(upper)?.open(Selection::All)?;
            return Ok(Sides { before: Some(before), after });
        }
        match meant(&args.sources, args.from, args.to, args.layer)? {
            Meant::Two((before, from), (after, to)) => {
                Ok(Sides { before: Some(open(before, from)?), after: open(after, to)? })
            }
            Meant::Layer(source, number) => {
                let after = open(source, Selection::UpTo(number))?;
                let below = NonZeroUsize::new(number.get() - 1);
                let before = below.map(|below| open(source, Selection::UpTo(below))).transpose()?;
                Ok(Sides { before, after })
            }
            Meant::Mount(source) => {
                let after = open(source, Selection::All)?;
                let lowers = lowers(&after)?;
                let number = NonZeroUsize::new(lowers.len());
                let before = open(source, number.map_or(Selection::All, Selection::UpTo))?;
                match before.layers == lowers {
                    true => Ok(Sides { before: Some(before), after }),
                    false => Err(Failure::trouble(format!("'{}' was mounted anew meanwhile", after.name))
                        .hint("try again")),
                }
            }
        }
    }

    /// What both have at a path, from the root of each; and where that is. Symlinks on the way are followed, one at the end is not.
    ///
    /// # Errors
    /// There is nothing on either side; what the layers say.
    pub fn find(&self, path: &OsStr) -> Result<(RelPath, Entries), Failure> {
        let before = self.before.as_ref().map(|before| find(before, path)).transpose()?.flatten();
        let after = find(&self.after, path)?;
        let place = after.as_ref().or(before.as_ref()).map(|found| found.path.clone());
        match place {
            Some(place) => Ok((
                place,
                Entries { before: before.map(|found| found.entry), after: after.map(|found| found.entry) },
            )),
            None => {
                let shown = terminal::shown(Path::new(path));
                let others = self.before.as_ref().map(|before| format!(" and '{}'", before.name));
                Err(Failure::trouble(format!(
                    "there is no '{shown}' in '{}'{}",
                    self.after.name,
                    others.unwrap_or_default()
                ))
                .hint(format!(
                    "lamina explain {} {} says why",
                    self.after.pasted(),
                    quoted(path.as_bytes())
                )))
            }
        }
    }

    /// The number of a layer of one side; 1 is the base.
    pub fn number(&self, side: Side, depth: Depth) -> Option<usize> {
        let opened = match side {
            Side::Before => self.before.as_ref()?,
            Side::After => &self.after,
        };
        opened.layers.get(usize::from(depth.0)).map(|layer| layer.number)
    }
}

fn find(opened: &Opened, path: &OsStr) -> Result<Option<Resolved>, Failure> {
    let trace = opened.overlay.trace(path.as_bytes()).map_err(|error| opened.failure(&error))?;
    match trace.outcome {
        Outcome::Absent(_) => Ok(None),
        Outcome::There { .. } => opened.resolve(path.as_bytes(), AtEnd::Stay).map(Some),
    }
}

/// The layers below the upper of a live mount.
fn lowers(mount: &Opened) -> Result<&[LayerFacts], Failure> {
    let name = &mount.name;
    let is = match mount.kind {
        SourceKind::Mount => match mount.layers.split_first() {
            Some((top, lowers)) if top.role == Role::Upper => return Ok(lowers),
            _ => {
                return Err(Failure::trouble(format!(
                    "the mount '{name}' has no upper, so nothing can be changed in it"
                ))
                .hint("name a second SOURCE to compare it with"));
            }
        },
        SourceKind::Image => "an image",
        SourceKind::Directory => "a directory, and no live mount of lamina",
        SourceKind::Layers => "layers",
    };
    let pasted = mount.pasted();
    let hint = match mount.layers.len() {
        1 => format!("name a second SOURCE to compare it with: lamina diff BEFORE {pasted}"),
        last => format!(
            "name a second SOURCE to compare it with; or say what a layer of it changes: lamina diff --layer {last} {pasted}"
        ),
    };
    Err(Failure::usage(format!("'{name}' is {is}: there is nothing to compare it with")).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_and_layers_say_what_is_compared() {
        let number = |number| NonZeroUsize::new(number);
        let up_to = |number| Selection::UpTo(NonZeroUsize::new(number).unwrap());
        let (a, b) = (OsString::from("a"), OsString::from("b"));
        let one = std::slice::from_ref(&a);
        let two = &[a.clone(), b.clone()][..];
        assert_eq!(meant(one, None, None, None), Ok(Meant::Mount(&a)));
        assert_eq!(meant(one, None, None, number(3)), Ok(Meant::Layer(&a, number(3).unwrap())));
        assert_eq!(meant(one, number(1), None, None), Ok(Meant::Two((&a, up_to(1)), (&a, Selection::All))));
        assert_eq!(meant(one, number(1), number(2), None), Ok(Meant::Two((&a, up_to(1)), (&a, up_to(2)))));
        assert_eq!(meant(two, None, None, None), Ok(Meant::Two((&a, Selection::All), (&b, Selection::All))));
        assert_eq!(meant(two, None, number(2), None), Ok(Meant::Two((&a, Selection::All), (&b, up_to(2)))));
        for (sources, to, layer) in [(one, number(2), None), (two, None, number(1)), (&[], None, None)] {
            let refused = meant(sources, None, to, layer).unwrap_err();
            assert_eq!(refused.class, crate::cli::ExitClass::Usage, "{refused}");
        }
    }
}
