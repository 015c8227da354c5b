//! The layer store: its place, and how much room there is.

use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess};

use super::place::{LITTLE, free, nearest};
use super::{Finding, Level, Use};
use crate::image::store::Store;

/// What is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Facts {
    /// There is no place for one.
    NoPlace,
    /// There is something, and it is no store of this user's; the message, and what to do.
    Unusable(String, Option<String>),
    /// It cannot be made.
    Refused(Errno),
    /// It is there, or can be made.
    Usable {
        /// Is it there?
        exists: bool,
        /// Bytes that this user may still write there.
        free: u64,
    },
}

impl Facts {
    /// Looks it up; nothing is made.
    pub fn look_up(dir: Option<&Path>) -> Self {
        let Some(dir) = dir else { return Facts::NoPlace };
        let exists = match Store::open_existing(dir) {
            Ok(store) => store.is_some(),
            Err(error) => return Facts::Unusable(error.to_string(), error.hint()),
        };
        let place = nearest(dir);
        match eaccess(place.as_path(), AccessFlags::W_OK | AccessFlags::X_OK) {
            Ok(()) => Facts::Usable { exists, free: free(&place) },
            Err(errno) => Facts::Refused(errno),
        }
    }
}

/// Can images be kept?
pub fn judge(dir: Option<&Path>, facts: &Facts) -> Finding {
    const CHECK: &str = "store";
    const ELSEWHERE: &str = "give a directory of yours with --store DIR, or set XDG_DATA_HOME";
    let bad = |why: String, remedy: String| {
        Finding::new(CHECK, Level::Missing, &why)
            .remedy(remedy)
            .means(&[Use::Image], Level::Missing, &why)
            .means(&[Use::Run], Level::Limited, "images cannot be run, directories can")
    };
    let finding = match facts {
        Facts::NoPlace => {
            bad("this user has no place for layers: HOME is not set".to_owned(), ELSEWHERE.to_owned())
        }
        Facts::Unusable(why, hint) => bad(why.clone(), hint.clone().unwrap_or_else(|| ELSEWHERE.to_owned())),
        Facts::Refused(errno) => {
            bad(format!("layers cannot be kept there: {}", errno.desc()), ELSEWHERE.to_owned())
        }
        Facts::Usable { exists, free } => {
            let there = if *exists { "there" } else { "not there yet" };
            let found = format!("{there}, {} GB free", free / 1_000_000_000);
            match *free < LITTLE {
                true => Finding::new(CHECK, Level::Limited, format!("{there}, {} MB free", free / 1_000_000))
                    .remedy("lamina store gc; or another place, with --store DIR or XDG_DATA_HOME")
                    .means(
                        &[Use::Image, Use::Run],
                        Level::Limited,
                        "there is little room for layers of images",
                    ),
                false => Finding::ok(CHECK, found),
            }
        }
    };
    match dir {
        Some(dir) => finding.at(dir),
        None => finding,
    }
}
