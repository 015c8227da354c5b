//! Where an image is written to, and under which name.

use std::path::PathBuf;

use crate::image::ImageRef;

/// The tag of a target that names none, as docker and podman have it.
const DEFAULT_TAG: &str = "latest";

/// Where an image is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A layout, made when it is not there. An image with that tag loses it; its blobs stay.
    OciLayout {
        /// Its directory.
        dir: PathBuf,
        /// The tag of the image.
        tag: String,
    },
    /// An archive with this image only.
    OciArchive {
        /// The file.
        file: PathBuf,
        /// The tag of the image.
        tag: String,
    },
    /// What `docker load` and `podman load` take, with this image only.
    DockerArchive {
        /// The file.
        file: PathBuf,
        /// Its name and tag; `None`: it has neither.
        reference: Option<String>,
    },
}

/// May an archive that exists be replaced?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Replace {
    Refuse,
    Allow,
}

/// Why something is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// A path without a transport.
    #[error("target '{}': the format is missing", .0.display())]
    Format(PathBuf),
    /// What skopeo alone reads.
    #[error("target 'dir:{}': directories of skopeo's are not written", .0.display())]
    SkopeoDirectory(PathBuf),
    /// podman's own storage.
    #[error("target 'containers-storage:{0}': podman's storage is not written to")]
    Storage(String),
    /// A tag that other tools would refuse.
    #[error("'{}' is not a tag", .0.escape_debug())]
    Tag(String),
    /// A name that other tools would refuse.
    #[error("'{}' is not the name of an image", .0.escape_debug())]
    Name(String),
}

impl TargetError {
    /// What a person can do.
    pub fn hint(&self) -> String {
        match self {
            TargetError::Format(path) => {
                let path = path.display();
                format!("write oci:{path}:TAG, oci-archive:{path}:TAG or docker-archive:{path}:NAME:TAG")
            }
            TargetError::SkopeoDirectory(dir) => {
                let dir = dir.display();
                format!(
                    "write an OCI layout, oci:{dir}:TAG; or make it of one: skopeo copy oci:DIR:TAG dir:{dir}"
                )
            }
            TargetError::Storage(name) => {
                format!("write docker-archive:FILE:{name} and load it with: podman load -i FILE")
            }
            TargetError::Tag(_) => {
                "a tag has letters, digits and, between them, - . _ : @ + /; as in oci:DIR:v1.0".to_owned()
            }
            TargetError::Name(_) => {
                "a name is in lower case, as in example.org/team/app:v1.0 or app:v1.0".to_owned()
            }
        }
    }
}

impl Target {
    /// What a reference means as a target.
    ///
    /// # Errors
    /// As [`TargetError`] has them.
    pub fn new(reference: ImageRef) -> Result<Self, TargetError> {
        let checked = |tag: Option<String>| {
            let tag = tag.unwrap_or_else(|| DEFAULT_TAG.to_owned());
            if is_oci_tag(&tag) { Ok(tag) } else { Err(TargetError::Tag(tag)) }
        };
        match reference {
            ImageRef::Path(path) => Err(TargetError::Format(path)),
            ImageRef::SkopeoDirectory { dir } => Err(TargetError::SkopeoDirectory(dir)),
            ImageRef::ContainersStorage { name, .. } => Err(TargetError::Storage(name)),
            ImageRef::OciLayout { dir, tag } => Ok(Target::OciLayout { dir, tag: checked(tag)? }),
            ImageRef::OciArchive { file, tag } => Ok(Target::OciArchive { file, tag: checked(tag)? }),
            ImageRef::DockerArchive { file, reference } => {
                let reference = reference.map(docker_name).transpose()?;
                Ok(Target::DockerArchive { file, reference })
            }
        }
    }
}

/// The annotation's grammar in the image-spec's annotations.md: components of letters and digits, with single separators (or
/// `--`) within, joined by slashes.
fn is_oci_tag(tag: &str) -> bool {
    let component = |part: &str| {
        let mut separators = 0;
        let mut last = None;
        for byte in part.bytes() {
            match byte {
                byte if byte.is_ascii_alphanumeric() => separators = 0,
                b'-' if separators == 1 && last == Some(b'-') => separators = 2,
                b'-' | b'.' | b'_' | b':' | b'@' | b'+' if separators == 0 && last.is_some() => {
                    separators = 1
                }
                _ => return false,
            }
            last = Some(byte);
        }
        last.is_some() && separators == 0
    };
    tag.split('/').all(component)
}

/// A name with its tag, `latest` if it has none. The grammar is distribution's reference.go in short: what passes here and is
/// no name after all, the loading tool refuses.
fn docker_name(text: String) -> Result<String, TargetError> {
    let (path, last) = match text.rsplit_once('/') {
        Some((path, last)) => (Some(path), last),
        None => (None, text.as_str()),
    };
    let (base, tag) = match last.split_once(':') {
        Some((base, tag)) => (base, Some(tag)),
        None => (last, None),
    };
    let is_tag = |tag: &str| {
        tag.len() <= 128
            && tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    };
    let is_part = |part: &str| {
        let edge = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
        edge(part.bytes().next())
            && edge(part.bytes().last())
            && part.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase() || b"._-".contains(&b))
    };
    // The first of several parts may be a host, which a dot or a port tells from a name: only then it may have capitals.
    let is_host = |part: &str| {
        if !part.contains(['.', ':']) {
            return false;
        }
        let (host, port) = part.split_once(':').unwrap_or((part, "0"));
        let is_domain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b));
        !host.is_empty() && is_domain && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
    };
    let mut parts = path.into_iter().flat_map(|path| path.split('/'));
    let first_is_good = parts.next().is_none_or(|part| is_host(part) || is_part(part));
    if !first_is_good || !parts.all(is_part) || !is_part(base) || !tag.is_none_or(is_tag) {
        return Err(TargetError::Name(text));
    }
    Ok(if tag.is_some() { text } else { format!("{text}:{DEFAULT_TAG}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_those_of_the_specification() {
        for tag in ["latest", "v1.0", "a/b:c", "x--y", "example.org/a@b+c", "A_b"] {
            assert!(is_oci_tag(tag), "{tag}");
        }
        for tag in ["", "-a", "a-", "a..b", "a---b", "a//b", "/a", "a b", "a\n", "é", "a:-b"] {
            assert!(!is_oci_tag(tag), "{tag}");
        }
    }

    #[test]
    fn names_are_given_a_tag() {
        for (name, whole) in [
            ("app", "app:latest"),
            ("app:v1", "app:v1"),
            ("example.org:5000/team/app", "example.org:5000/team/app:latest"),
            ("localhost/a_b.c-d:_1", "localhost/a_b.c-d:_1"),
            ("Example.org/app", "Example.org/app:latest"),
            ("HOST:5000/app", "HOST:5000/app:latest"),
        ] {
            assert_eq!(docker_name(name.to_owned()).as_deref(), Ok(whole));
        }
        for name in [
            "",
            "App",
            "a:",
            "a:-b",
            "a//b",
            "/a",
            "a/",
            "a b",
            "a@sha256:0",
            "a:b:c",
            "x:y/a",
            "-a",
            "App/a",
        ] {
            assert!(docker_name(name.to_owned()).is_err(), "{name}");
        }
    }

    #[test]
    fn a_target_has_a_format_and_a_name() {
        let dir = ImageRef::OciLayout { dir: "d".into(), tag: None };
        assert_eq!(Target::new(dir), Ok(Target::OciLayout { dir: "d".into(), tag: "latest".into() }));
        assert!(Target::new(ImageRef::Path("x.tar".into())).unwrap_err().hint().contains("oci:x.tar:TAG"));
        let dir = ImageRef::SkopeoDirectory { dir: "d".into() };
        assert!(Target::new(dir).unwrap_err().hint().contains("skopeo copy oci:DIR:TAG dir:d"));
        let bad = ImageRef::OciArchive { file: "f".into(), tag: Some("..".into()) };
        assert_eq!(Target::new(bad), Err(TargetError::Tag("..".into())));
    }
}
