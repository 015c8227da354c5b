//! Which of several images is meant: by tag, then by platform. Pure; what it is told was read by others.

use std::fmt;

use super::error::Problem;
use super::names::{Likeness, is_digest_of, likeness};
use super::platform::Platform;
use crate::digest::Digest;

/// One image that could be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its names; none where it has none.
    pub names: Vec<String>,
    /// What it is made for, where known.
    pub platform: Option<Platform>,
    /// What tells it apart: its manifest's digest; in a docker-archive its config's.
    pub digest: Digest,
    /// Whether it is an image at all.
    pub nature: Nature,
}

/// What a candidate is, as far as can be told before it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// An image.
    Image,
    /// An attestation, a signature, or another artifact in an image's clothes.
    Artifact,
}

/// Candidates as a small table for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing(Vec<Candidate>);

impl Listing {
    /// Images with one digest and platform become one row with all their names.
    pub fn new(candidates: impl IntoIterator<Item = Candidate>) -> Self {
        let mut rows: Vec<Candidate> = Vec::new();
        for candidate in candidates {
            match rows
                .iter_mut()
                .find(|row| row.digest == candidate.digest && row.platform == candidate.platform)
            {
                Some(row) => {
                    for name in candidate.names {
                        if !row.names.contains(&name) {
                            row.names.push(name);
                        }
                    }
                }
                None => rows.push(candidate),
            }
        }
        Listing(rows)
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What to type to get one of them.
    pub fn how_to_choose(&self) -> String {
        let Some(first) = self.0.first() else {
            return "there is nothing to choose from".to_owned();
        };
        let differ = |a: &Candidate, b: &Candidate| a.names != b.names;
        let tags =
            self.0.iter().any(|row| differ(row, first)) && self.0.iter().all(|row| !row.names.is_empty());
        let platforms = self.0.iter().all(|row| row.platform.is_some())
            && self.0.iter().any(|row| row.platform != first.platform);
        let tag = first.names.first().map(String::as_str).unwrap_or_default();
        let platform = first.platform.as_ref().map(ToString::to_string).unwrap_or_default();
        match (tags, platforms) {
            (true, true) => {
                format!("choose one with --tag and --platform: --tag {tag} --platform {platform}")
            }
            (true, false) => format!("choose one with --tag: --tag {tag}"),
            (false, true) => format!("choose one with --platform: --platform {platform}"),
            (false, false) if self.0.len() == 1 => "leave the tag and the platform out to get it".to_owned(),
            (false, false) => {
                format!("choose one by its digest: --tag sha256:{}", first.digest.short())
            }
        }
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// A list longer than this is cut: it is an error message.
        const MOST: usize = 40;
        let cells: Vec<[String; 3]> = self
            .0
            .iter()
            .take(MOST)
            .map(|row| {
                let names = match row.names.is_empty() {
                    true => "-".to_owned(),
                    false => row.names.join(", ").escape_debug().to_string(),
                };
                let platform = match (&row.platform, row.nature) {
                    (_, Nature::Artifact) => "not an image".to_owned(),
                    (Some(platform), Nature::Image) => platform.to_string().escape_debug().to_string(),
                    (None, Nature::Image) => "-".to_owned(),
                };
                [names, platform, format!("sha256:{}", row.digest.short())]
            })
            .collect();
        let heads = ["TAG", "PLATFORM", "DIGEST"].map(str::to_owned);
        let width = |column: usize| {
            let cell = |row: &[String; 3]| row.get(column).map_or(0, |cell| cell.chars().count());
            cells.iter().chain([&heads]).map(cell).max().unwrap_or(0)
        };
        let (tags, platforms) = (width(0), width(1));
        let mut lines: Vec<String> = Vec::new();
        for [tag, platform, digest] in [&heads].into_iter().chain(&cells) {
            lines.push(format!("  {tag:tags$}  {platform:platforms$}  {digest}"));
        }
        if let Some(more @ 1..) = self.0.len().checked_sub(MOST) {
            lines.push(format!("  and {more} more"));
        }
        f.write_str(&lines.join("\n"))
    }
}

/// Which of the candidates (by position) have the tag that was asked for; all of them when none was. A tag is a name, as
/// much of it as tells it apart; `@N`, the N-th from 0; or a digest or its beginning.
pub fn by_tag(candidates: &[Candidate], tag: Option<&str>) -> Result<Vec<usize>, Problem> {
    let Some(tag) = tag else {
        return match candidates.is_empty() {
            true => Err(Problem::Empty),
            false => Ok((0..candidates.len()).collect()),
        };
    };
    if let Some(position) = tag.strip_prefix('@').and_then(|number| number.parse::<usize>().ok())
        && position < candidates.len()
    {
        return Ok(vec![position]);
    }
    let named = candidates.iter().enumerate().filter_map(|(position, candidate)| {
        Some((candidate.names.iter().filter_map(|name| likeness(tag, name)).min()?, position))
    });
    let named: Vec<(Likeness, usize)> = named.collect();
    if let Some(best) = named.iter().map(|(likeness, _)| *likeness).min() {
        return Ok(named.into_iter().filter(|(l, _)| *l == best).map(|(_, position)| position).collect());
    }
    let digests: Vec<usize> = (0..candidates.len())
        .filter(|n| candidates.get(*n).is_some_and(|c| is_digest_of(tag, &c.digest)))
        .collect();
    match (digests.is_empty(), candidates.is_empty()) {
        (false, _) => Ok(digests),
        (true, true) => Err(Problem::Empty),
        (true, false) => Err(Problem::NoSuchImage {
            wanted: format!("has the tag '{}'", tag.escape_debug()),
            there: Listing::new(candidates.iter().cloned()),
        }),
    }
}

/// Which of the candidates suits the platform best. A platform that was `asked` for must be had. Else this machine's is
/// taken; and where there is only one image, that is meant, whatever it is made for. Artifacts are passed over unless there
/// is nothing else.
pub fn by_platform(
    candidates: &[Candidate],
    asked: Option<&Platform>,
    host: &Platform,
) -> Result<usize, Problem> {
    let images: Vec<(usize, &Candidate)> =
        candidates.iter().enumerate().filter(|(_, c)| c.nature == Nature::Image).collect();
    let pool = match images.is_empty() {
        true => candidates.iter().enumerate().collect(),
        false => images,
    };
    let listing =
        |of: &[(usize, &Candidate)]| Listing::new(of.iter().map(|(_, candidate)| (*candidate).clone()));
    let Some(&(first, any)) = pool.first() else {
        return Err(Problem::Empty);
    };
    let only = pool.iter().all(|(_, candidate)| candidate.digest == any.digest);
    if only && (asked.is_none() || any.platform.is_none()) {
        return Ok(first);
    }
    let distance = |candidate: &Candidate| {
        let wanted = asked.unwrap_or(host);
        candidate.platform.as_ref().and_then(|offered| wanted.distance(offered))
    };
    let Some(nearest) = pool.iter().filter_map(|(_, candidate)| distance(candidate)).min() else {
        return Err(Problem::NoSuchImage {
            wanted: match asked {
                Some(platform) => format!("is for {platform}"),
                None => format!("is for this machine's platform, {host}"),
            },
            there: listing(&pool),
        });
    };
    let best: Vec<_> =
        pool.into_iter().filter(|(_, candidate)| distance(candidate) == Some(nearest)).collect();
    match best.first() {
        Some(&(position, first)) if best.iter().all(|(_, candidate)| candidate.digest == first.digest) => {
            Ok(position)
        }
        _ => Err(Problem::Ambiguous(listing(&best))),
    }
}

#[cfg(test)]
mod tests;
