//! Names of images, as docker and podman write and shorten them.
//!
//! Source: the distribution project's reference grammar: a name without a registry is docker.io's, one without a slash is in
//! docker.io's `library`, and one without a tag means `latest`.

use crate::digest::Digest;

/// How well a name suits what was asked for: the smaller the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    /// The same text.
    Same,
    /// The same name once both are written in full.
    SameInFull,
    /// What was asked for is the end of it: `app:1.0` of `localhost/app:1.0`.
    End,
    /// What was asked for is its tag: `1.0` of `localhost/app:1.0`.
    Tag,
}

/// Whether `name` is what somebody means who asks for `wanted`.
pub fn likeness(wanted: &str, name: &str) -> Option<Likeness> {
    if wanted.is_empty() || name.is_empty() {
        return None;
    }
    if wanted == name {
        return Some(Likeness::Same);
    }
    let full = in_full(name);
    if full == in_full(wanted) {
        return Some(Likeness::SameInFull);
    }
    let tagged = with_tag(wanted);
    if full.strip_suffix(tagged.as_str()).is_some_and(|start| start.ends_with('/')) {
        return Some(Likeness::End);
    }
    match split_tag(name) {
        (_, Some(tag)) if tag == wanted => Some(Likeness::Tag),
        _ => None,
    }
}

/// The name with registry and tag: `app` → `docker.io/library/app:latest`.
pub fn in_full(name: &str) -> String {
    let tagged = with_tag(name);
    match tagged.split_once('/') {
        None => format!("docker.io/library/{tagged}"),
        Some(("docker.io" | "index.docker.io", rest)) if !rest.contains('/') => {
            format!("docker.io/library/{rest}")
        }
        Some(("index.docker.io", rest)) => format!("docker.io/{rest}"),
        Some((first, _)) if first == "localhost" || first.contains(['.', ':']) => tagged,
        Some(_) => format!("docker.io/{tagged}"),
    }
}

/// The name and its tag; a colon before the last slash is a port's.
pub fn split_tag(name: &str) -> (&str, Option<&str>) {
    if name.contains('@') {
        return (name, None);
    }
    match name.rsplit_once(':') {
        Some((start, tag)) if !tag.contains('/') => (start, Some(tag)),
        _ => (name, None),
    }
}

/// With `latest`, where there is neither a tag nor a digest.
fn with_tag(name: &str) -> String {
    match split_tag(name) {
        (name, None) if !name.contains('@') => format!("{name}:latest"),
        _ => name.to_owned(),
    }
}

/// Whether `wanted` is this digest or its beginning: `sha256:` and at least 4 digits, or at least 12 digits alone.
pub fn is_digest_of(wanted: &str, digest: &Digest) -> bool {
    let (digits, least) = match wanted.strip_prefix("sha256:") {
        Some(digits) => (digits, 4),
        None => (wanted, 12),
    };
    digits.len() >= least && digest.hex().starts_with(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_in_full() {
        for (name, full) in [
            ("app", "docker.io/library/app:latest"),
            ("app:1.0", "docker.io/library/app:1.0"),
            ("docker.io/app", "docker.io/library/app:latest"),
            ("me/app", "docker.io/me/app:latest"),
            ("localhost/app:1", "localhost/app:1"),
            ("host:5000/app", "host:5000/app:latest"),
            ("quay.io/me/app:1", "quay.io/me/app:1"),
            ("app@sha256:0123", "docker.io/library/app@sha256:0123"),
        ] {
            assert_eq!(in_full(name), full, "{name}");
        }
    }

    #[test]
    fn short_names_mean_longer_ones() {
        for (wanted, name, expected) in [
            ("1.0", "1.0", Some(Likeness::Same)),
            ("app", "docker.io/library/app:latest", Some(Likeness::SameInFull)),
            ("app:1.0", "localhost/app:1.0", Some(Likeness::End)),
            ("app", "localhost/app:latest", Some(Likeness::End)),
            ("app", "localhost/app:1.0", None),
            ("pp:1.0", "localhost/app:1.0", None),
            ("1.0", "localhost/app:1.0", Some(Likeness::Tag)),
            ("5000/app", "host:5000/app", None),
            ("", "x", None),
            ("x", "", None),
        ] {
            assert_eq!(likeness(wanted, name), expected, "{wanted} of {name}");
        }
    }

    #[test]
    fn a_digest_is_known_by_its_beginning() {
        let digest = Digest::from_hex(&"0123456789abcdef".repeat(4)).unwrap();
        for (wanted, expected) in [
            ("sha256:0123", true),
            ("sha256:012", false),
            ("sha256:0124", false),
            ("0123456789ab", true),
            ("0123456789a", false),
            ("", false),
        ] {
            assert_eq!(is_digest_of(wanted, &digest), expected, "{wanted}");
        }
    }
}
