//! The verdicts: from what is true of an object to what is wrong with it. Pure.

use super::facts::{Announced, Beneath, Beside, Content, Facts, IndexFacts, Kind, Marked, Merges, NameSays};
use super::finding::{Code, Finding, Remedy, Verdict};
use crate::config::Namespace;
use crate::marker::{
    Corrupt, InodeMark, Marker, Metacopy, Nlink, NlinkBase, ORIGIN_UNKNOWN, OpaqueMark, OriginMark, Redirect,
    Spelled, StatRecord, UUID_LEN, YES,
};
use crate::overlay::OriginFound;

/// What is wrong with an object of the upper.
pub fn object(facts: &Facts) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for marked in &facts.markers {
        verdicts.extend(marker(facts, marked));
    }
    let differing = differing(facts, &verdicts);
    verdicts.extend(differing);
    verdicts.extend(redirect(facts));
    verdicts.extend(data(facts));
    verdicts.extend(whiteout(facts));
    verdicts.extend(name(facts));
    verdicts
}

/// What is wrong with a marker by itself, or where it is.
fn marker(facts: &Facts, marked: &Marked) -> Option<Verdict> {
    let value = marked.value.as_slice();
    let bad = |corrupt: Corrupt| Verdict::told(Code::BadMarker, corrupt.to_string());
    let (namespace, marker) = match marked.what {
        Spelled::Marker(namespace, marker) => (namespace, marker),
        Spelled::Record => {
            let corrupt = StatRecord::decode(value).err()?;
            return Some(Verdict::told(Code::BadRecord, corrupt.to_string()));
        }
        Spelled::FuseOverlayfsOpaque => return OpaqueMark::decode(Some(value)).err().map(bad),
        Spelled::Inode(namespace) => {
            let corrupt = InodeMark::decode(value).err()?;
            // Without it the number is that of the copy, as it is with one that cannot be read.
            let remedy = Remedy::RemoveMarker(InodeMark::xattr(namespace));
            return Some(Verdict::repaired_by(Code::BadMarker, corrupt.to_string(), remedy));
        }
        Spelled::Unknown(namespace) => {
            return Some(Verdict::told(
                Code::UnknownMarker,
                format!("a marker in {} that nobody knows", spelled(namespace)),
            ));
        }
        Spelled::Literal(_) | Spelled::Other => return None,
    };
    let xattr = marker.xattr(namespace);
    if let Some(why) = misplaced(facts, marker) {
        let found = format!("{} on {why}", xattr.to_string_lossy());
        return Some(Verdict::repaired_by(Code::MisplacedMarker, found, Remedy::RemoveMarker(xattr)));
    }
    let set = |corrupt: String, value: &[u8]| {
        Verdict::repaired_by(Code::BadMarker, corrupt, Remedy::SetMarker(xattr, value.to_vec()))
    };
    match marker {
        // What the directory hides, or where it goes on, only who wrote it could say.
        Marker::Opaque => OpaqueMark::decode(Some(value)).err().map(bad),
        Marker::Redirect => Redirect::decode(value).err().map(bad),
        Marker::Metacopy => Metacopy::decode(value).err().map(bad),
        Marker::Nlink => Nlink::decode(value).err().map(bad),
        Marker::Upper => OriginMark::decode(value).err().map(bad),
        Marker::Origin => match (OriginMark::decode(value), facts.origin) {
            (Err(corrupt), _) => Some(set(corrupt.to_string(), ORIGIN_UNKNOWN)),
            (Ok(OriginMark::Known(_)), Some(found @ (OriginFound::Gone | OriginFound::OtherFileSystem))) => {
                let found = match found {
                    OriginFound::Gone => "what it was copied from is gone",
                    _ => "what it was copied from is on none of the layers' file systems",
                };
                // With a directory's origin the kernel may check that it is over the right layers.
                Some(match facts.kind {
                    Kind::Directory => Verdict::told(Code::OriginGone, found),
                    _ => Verdict::repaired_by(
                        Code::OriginGone,
                        found,
                        Remedy::SetMarker(xattr, ORIGIN_UNKNOWN.to_vec()),
                    ),
                })
            }
            _ => None,
        },
        Marker::Impure if value != YES => {
            Some(set(format!("impure is \"{}\", not y", value.escape_ascii()), YES))
        }
        // A mount that wants one makes one.
        Marker::Uuid if value.len() != UUID_LEN => Some(Verdict::repaired_by(
            Code::BadMarker,
            format!("uuid has {} bytes, not {UUID_LEN}", value.len()),
            Remedy::RemoveMarker(xattr),
        )),
        Marker::Impure | Marker::Uuid | Marker::Whiteout | Marker::ProtAttr => None,
    }
}

/// Why a marker means nothing on an object.
fn misplaced(facts: &Facts, marker: Marker) -> Option<&'static str> {
    let is_directory = facts.kind == Kind::Directory;
    let is_root = facts.parent.is_none();
    match (marker, facts.kind) {
        (Marker::Opaque | Marker::Impure, _) if !is_directory => Some("something that is no directory"),
        (Marker::Redirect, _) if is_root => Some("the root"),
        // Beside the data of a file the kernel leaves the redirect that its metacopy had.
        (Marker::Redirect, Kind::Whiteout | Kind::Other) => Some("something that cannot be redirected"),
        (Marker::Metacopy, Kind::Directory | Kind::Whiteout | Kind::Other) => {
            Some("something that is no regular file")
        }
        (Marker::Whiteout, Kind::Regular { size: 1.. }) => Some("a file with data"),
        (Marker::Whiteout, Kind::Directory | Kind::Other) => Some("something that is no regular file"),
        (Marker::Whiteout, Kind::Whiteout) => Some("a whiteout device"),
        (Marker::Uuid, _) if !is_root => Some("something that is not the root"),
        (Marker::Upper, _) => Some("something outside the index"),
        (Marker::Nlink, Kind::Directory) => Some("a directory"),
        _ => None,
    }
}

/// The value of a marker once everything that can be repaired is; `None` where it goes then. What a repair ends must not be told
/// as left.
fn once_repaired<'f>(marked: &'f Marked, verdicts: &'f [Verdict]) -> Option<&'f [u8]> {
    let spelled = marked.what.namespace().and_then(|namespace| marked.what.in_namespace(namespace));
    let repaired = verdicts.iter().find_map(|verdict| match &verdict.remedy {
        Some(Remedy::RemoveMarker(name)) if spelled == Some(*name) => Some(None),
        Some(Remedy::SetMarker(name, value)) if spelled == Some(*name) => Some(Some(value.as_slice())),
        _ => None,
    });
    repaired.unwrap_or(Some(&marked.value))
}

/// The same marker, twice, with different values.
fn differing(facts: &Facts, verdicts: &[Verdict]) -> Option<Verdict> {
    let differs = |marker: &Marker| {
        let of = |namespace| {
            let spelled = Spelled::Marker(namespace, *marker);
            let found = facts.markers.iter().find(|marked| marked.what == spelled);
            found.and_then(|marked| once_repaired(marked, verdicts))
        };
        matches!((of(Namespace::Trusted), of(Namespace::User)), (Some(a), Some(b)) if a != b)
    };
    let marker = Marker::ALL.into_iter().find(differs)?;
    Some(Verdict::told(
        Code::NamespacesDiffer,
        format!(
            "{} and {} say different things",
            marker.xattr(Namespace::Trusted).to_string_lossy(),
            marker.xattr(Namespace::User).to_string_lossy()
        ),
    ))
}

/// A directory that goes on where nothing is.
fn redirect(facts: &Facts) -> Option<Verdict> {
    let marked = facts.marker(Marker::Redirect).filter(|_| facts.kind == Kind::Directory)?;
    let what = match facts.target? {
        Beneath::Nothing => "where nothing is in the layers below",
        Beneath::Regular | Beneath::Other => "where the layers below have no directory",
        Beneath::Directory | Beneath::Unknown => return None,
    };
    Some(Verdict::told(
        Code::RedirectDangling,
        format!("it goes on at \"{}\", {what}", marked.value.escape_ascii()),
    ))
}

/// A file whose data is nowhere.
fn data(facts: &Facts) -> Option<Verdict> {
    facts.marker(Marker::Metacopy).filter(|_| matches!(facts.kind, Kind::Regular { .. }))?;
    let what = match facts.target.unwrap_or(facts.beneath) {
        Beneath::Nothing => "have nothing at its place",
        Beneath::Directory | Beneath::Other => "have no file at its place",
        Beneath::Regular | Beneath::Unknown => return None,
    };
    Some(Verdict::told(Code::DataMissing, format!("its data are to be in the layers below, which {what}")))
}

/// Whiteouts that hide nothing, or that listings do not know of.
fn whiteout(facts: &Facts) -> Option<Verdict> {
    let parent = facts.parent?;
    let by_mark = facts.is_xwhiteout();
    if facts.name != NameSays::Ordinary || !by_mark && facts.kind != Kind::Whiteout {
        return None;
    }
    let needless = |why: &str| {
        Some(Verdict::repaired_by(
            Code::WhiteoutNeedless,
            format!("a whiteout, and {why}"),
            Remedy::RemoveWhiteout,
        ))
    };
    match (parent.merges, facts.beneath) {
        (Merges::No, _) => needless("its directory has nothing below"),
        (Merges::Yes, Beneath::Nothing) => needless("no layer below has the name"),
        _ if by_mark && parent.xwhiteouts == Announced::No => Some(Verdict::told(
            Code::XwhiteoutUnannounced,
            "a whiteout by attribute, in a directory that is not marked to have such",
        )),
        _ => None,
    }
}

/// Names that are markers.
fn name(facts: &Facts) -> Option<Verdict> {
    let empty = facts.kind == Kind::Regular { size: 0 };
    let remedied = |code, found: &str| {
        // A file with data may be one that somebody has made under this name.
        Some(match empty {
            true => Verdict::repaired_by(code, found, Remedy::RemoveWhiteout),
            false => Verdict::told(code, found),
        })
    };
    let merges = facts.parent.map_or(Merges::Yes, |parent| parent.merges);
    match (facts.name, merges, facts.beneath) {
        (NameSays::Ordinary, ..) => None,
        (NameSays::Whiteout(Beside::Whiteout), ..) => {
            remedied(Code::WhiteoutTwice, "the name it hides has a whiteout of the other form, too")
        }
        (NameSays::Whiteout(Beside::Other), ..) => {
            remedied(Code::WhiteoutNeedless, "a .wh. file beside the file of that name")
        }
        (NameSays::Whiteout(Beside::Nothing), Merges::No, _) => {
            remedied(Code::WhiteoutNeedless, "a whiteout, and its directory has nothing below")
        }
        (NameSays::Whiteout(Beside::Nothing), Merges::Yes, Beneath::Nothing) => {
            remedied(Code::WhiteoutNeedless, "a whiteout, and no layer below has the name")
        }
        (NameSays::Whiteout(Beside::Directory), ..) => {
            Some(Verdict::told(Code::OciName, "it makes the directory of that name opaque"))
        }
        (NameSays::Whiteout(Beside::Nothing), ..) => {
            Some(Verdict::told(Code::OciName, "a whiteout by its name"))
        }
        (NameSays::Opaque, ..) => Some(Verdict::told(Code::OciName, "it makes its directory opaque")),
        (NameSays::Nobodys, ..) => Some(Verdict::told(
            Code::OciName,
            "a name of AUFS or fuse-overlayfs, or of nobody: lamina does not show it, and it hides nothing",
        )),
    }
}

/// What is wrong with a directory, given what is in it.
pub fn content(content: &Content) -> Vec<Verdict> {
    let missing = content.origins.iter().filter(|namespace| !content.impure.contains(namespace));
    missing
        .map(|namespace| {
            Verdict::repaired_by(
                Code::ImpureMissing,
                "it holds copies, and is not marked so",
                Remedy::SetMarker(Marker::Impure.xattr(*namespace), YES.to_vec()),
            )
        })
        .collect()
}

/// Has an object a marker in a namespace that means something? One that a repair removes does not count: with it goes what it
/// would mix.
pub fn counts_in(namespace: Namespace, facts: &Facts, verdicts: &[Verdict]) -> bool {
    let stays = |marked: &Marked| once_repaired(marked, verdicts).is_some();
    facts.markers.iter().any(|marked| marked.what.namespace() == Some(namespace) && stays(marked))
}

/// What is wrong with the whole, given how many objects have markers in each namespace.
pub fn namespaces(trusted: u64, user: u64) -> Option<Verdict> {
    (trusted > 0 && user > 0).then(|| {
        Verdict::told(
            Code::NamespacesMixed,
            format!("{trusted} objects have markers in trusted.overlay., {user} in user.overlay."),
        )
    })
}

/// What one finding says about others: where something that the upper needs is not below, it may be that the wrong layers were
/// named. Then it must not be taken from them that a whiteout hides nothing.
pub fn together(findings: &mut [Finding]) {
    let is_missed = |finding: &Finding| {
        matches!(finding.verdict.code, Code::RedirectDangling | Code::DataMissing | Code::OriginGone)
    };
    if !findings.iter().any(is_missed) {
        return;
    }
    for finding in findings.iter_mut().filter(|finding| finding.verdict.code == Code::WhiteoutNeedless) {
        finding.verdict.remedy = None;
    }
}

/// What is wrong with an entry of the index.
pub fn index(facts: &IndexFacts) -> Vec<Verdict> {
    match OriginMark::from_index_name(facts.name.as_bytes()) {
        // The kernel's overlay makes objects there, and leaves a whiteout to link.
        None if facts.kind == Kind::Whiteout => return Vec::new(),
        None => {
            return vec![Verdict::told(
                Code::IndexBadName,
                "its name is no file handle in hexadecimal digits",
            )];
        }
        Some(Err(corrupt)) => {
            return vec![Verdict::told(Code::IndexBadName, format!("as a name, {corrupt}"))];
        }
        Some(Ok(_)) => {}
    }
    // The kernel's overlay indexes directories, and what is deleted, for NFS.
    let (Kind::Regular { .. } | Kind::Other) = facts.kind else { return Vec::new() };
    let Some(recorded) = &facts.recorded else { return Vec::new() };
    match Nlink::decode(recorded) {
        Err(corrupt) => vec![Verdict::told(Code::BadMarker, corrupt.to_string())],
        Ok(nlink) if nlink.base == NlinkBase::Upper => {
            let (shown, in_upper) = (nlink.shown(facts.nlink), facts.nlink.saturating_sub(1));
            if shown == 0 && in_upper == 0 {
                vec![Verdict::repaired_by(
                    Code::IndexStale,
                    "the file that it stands for has no names",
                    Remedy::RemoveFromIndex(facts.name.clone()),
                )]
            } else if shown < in_upper {
                vec![Verdict::told(
                    Code::NlinkLow,
                    format!("{shown} names are recorded, and the upper alone has {in_upper}"),
                )]
            } else {
                Vec::new()
            }
        }
        // What it is counted from is in a layer below.
        Ok(_) => Vec::new(),
    }
}

fn spelled(namespace: Namespace) -> &'static str {
    match namespace {
        Namespace::Trusted => "trusted.overlay.",
        Namespace::User => "user.overlay.",
    }
}

#[cfg(test)]
mod tests;
