//! Walks through all of a directory: searches, and sizes. A list and no recursion: a tree may be deeper than a stack.

use std::collections::HashSet;
use std::time::{Duration, Instant};
use std::vec;

use super::ask::{MOST_FOUND, Searched, Total};
use super::detail::Known;
use super::filter::{Filter, Which};
use super::source::{Dir, View};
use crate::error::Result as LayerResult;
use crate::path::{NameBuf, RelPath};

/// After so many names that were found, or after so long, they are handed out.
const BATCH: usize = 256;
const PATIENCE: Duration = Duration::from_millis(100);
/// How many names of a directory are counted.
const MOST_COUNTED: usize = 200_000;

type Open<'v> = (Dir<'v>, vec::IntoIter<NameBuf>);

fn open<'v>(dir: Dir<'v>) -> LayerResult<Open<'v>> {
    let names = dir.names()?.into_iter();
    Ok((dir, names))
}

/// Hands out what a filter lets through, in the order of the tree, as long as `goes_on` says so.
pub fn search(
    view: &View,
    filter: &Filter,
    goes_on: &dyn Fn() -> bool,
    out: &mut dyn FnMut(Vec<(RelPath, Known)>),
) -> Searched {
    let mut failed = 0;
    let mut found = 0;
    let mut batch = Vec::new();
    let mut since = Instant::now();
    let root = view.dir(&RelPath::root()).and_then(|dir| dir.map(open).transpose());
    let mut way: Vec<Open<'_>> = match root {
        Ok(root) => root.into_iter().collect(),
        Err(_) => return Searched::Whole(1),
    };
    while let Some((dir, names)) = way.last_mut() {
        let Some(name) = names.next() else {
            way.pop();
            continue;
        };
        if !goes_on() {
            break;
        }
        let path = dir.path().join(name.as_name());
        let child = dir.child(name.as_name());
        if filter.takes_path(&path) {
            let known = match &child {
                Ok(child) => filter.takes_size(child.file_size()).then(|| dir.known(child)),
                Err(_) => filter.takes_size(None).then(|| dir.look(name.as_name())),
            };
            if let Some(known) = known.filter(|known| filter.takes_change(known)) {
                found += 1;
                if found > MOST_FOUND {
                    out(batch);
                    return Searched::TooMany;
                }
                batch.push((path, known));
            }
        }
        if batch.len() >= BATCH || (!batch.is_empty() && since.elapsed() > PATIENCE) {
            out(std::mem::take(&mut batch));
            since = Instant::now();
        }
        // Where no new layer has anything, nothing has changed.
        let is_looked_into = |below: &Dir<'_>| filter.which == Which::All || !below.is_untouched();
        let below = child.map(|child| child.into_dir().filter(is_looked_into));
        match below.and_then(|below| below.map(open).transpose()) {
            Ok(Some(below)) => {
                dir.let_go();
                way.push(below);
            }
            Ok(None) => {}
            Err(_) => failed += 1,
        }
    }
    out(batch);
    Searched::Whole(failed)
}

/// The bytes of the files in a directory as it is shown: hard links of one count once, what is deleted does not count.
pub fn measure(view: &View, path: &RelPath) -> Result<Total, String> {
    let failed = |_| "it cannot be counted".to_owned();
    let Some(dir) = view.dir(path).map_err(failed)? else { return Ok(Total::Exactly(0)) };
    let mut way = vec![open(dir).map_err(failed)?];
    let mut linked = HashSet::new();
    let mut bytes = 0_u64;
    let mut left = MOST_COUNTED;
    while let Some((dir, names)) = way.last_mut() {
        let Some(name) = names.next() else {
            way.pop();
            continue;
        };
        if left == 0 {
            return Ok(Total::AtLeast(bytes));
        }
        left -= 1;
        // What cannot be looked up has no size.
        let Ok(child) = dir.child_now(name.as_name()) else { continue };
        if child.linked().is_none_or(|ino| linked.insert(ino)) {
            bytes = bytes.saturating_add(child.file_size().unwrap_or(0));
        }
        if let Some(Ok(below)) = child.into_dir().map(open) {
            way.push(below);
        }
    }
    Ok(Total::Exactly(bytes))
}
