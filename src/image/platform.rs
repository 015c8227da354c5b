//! Platforms, as Go and the OCI image-spec spell them: `linux/amd64`, `linux/arm/v7`.
//!
//! Source: the image-spec's image-index.md ("platform") and containerd's normalisation of names.

use std::fmt;
use std::str::FromStr;

/// What an image is made for. Names are normalised: lower case, Go's spelling, and no variant where it is the only one
/// in use (`arm64/v8`, `amd64/v1`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// Go's GOOS: `linux`.
    pub os: String,
    /// Go's GOARCH: `amd64`, `arm64`, `arm`.
    pub architecture: String,
    /// `v7` of `arm`.
    pub variant: Option<String>,
}

/// Why a text is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{}' is not a platform: it must be OS/ARCH or OS/ARCH/VARIANT, as linux/arm64 or linux/arm/v7", .0.escape_debug())]
pub struct PlatformError(pub String);

impl Platform {
    /// From its parts as an image has them; an empty variant is none.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let os = os.to_ascii_lowercase();
        let variant = variant.map(str::to_ascii_lowercase).filter(|variant| !variant.is_empty());
        let architecture = architecture.to_ascii_lowercase();
        let (architecture, implied) = match architecture.as_str() {
            "x86_64" | "x86-64" => ("amd64", None),
            "aarch64" => ("arm64", None),
            "i386" | "i486" | "i586" | "i686" => ("386", None),
            "armhf" => ("arm", Some("v7")),
            "armel" => ("arm", Some("v6")),
            other => (other, None),
        };
        let variant = variant.or_else(|| implied.map(str::to_owned));
        let variant = match (architecture, variant.as_deref()) {
            ("arm64", Some("v8" | "8")) | ("amd64", Some("v1")) => None,
            ("arm", Some(number @ ("5" | "6" | "7" | "8"))) => Some(format!("v{number}")),
            _ => variant,
        };
        Platform { os, architecture: architecture.to_owned(), variant }
    }

    /// This machine's.
    pub fn host() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86" => ("386", None),
            // What the compiler was told, not what the processor could do: an image for less runs as well.
            "arm" => ("arm", Some(if cfg!(target_feature = "v7") { "v7" } else { "v6" })),
            "powerpc64" if cfg!(target_endian = "little") => ("ppc64le", None),
            "powerpc64" => ("ppc64", None),
            "mips64" if cfg!(target_endian = "little") => ("mips64le", None),
            "loongarch64" => ("loong64", None),
            other => (other, None),
        };
        Platform::new("linux", architecture, variant)
    }

    /// What attestations, which are no images, have in place of a platform.
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }

    /// How well `offered` suits who asks for this one: smaller is better, `None` is not at all. Who names no variant takes any;
    /// an `arm` takes its elder variants too.
    pub fn distance(&self, offered: &Platform) -> Option<u32> {
        if (&self.os, &self.architecture) != (&offered.os, &offered.architecture) {
            return None;
        }
        let number = |variant: &Option<String>| {
            variant.as_ref().and_then(|v| v.strip_prefix('v')).and_then(|n| n.parse::<u32>().ok())
        };
        match (&self.variant, &offered.variant) {
            (wanted, there) if wanted == there => Some(0),
            (None, Some(_)) => Some(1),
            // Without a variant, `arm` means v7 by convention.
            (Some(wanted), None) if self.architecture == "arm" && wanted == "v7" => Some(0),
            (Some(_), None) => Some(1),
            (wanted, there) if self.architecture == "arm" => {
                number(wanted)?.checked_sub(number(there)?).filter(|distance| *distance > 0)
            }
            _ => None,
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let named = |part: &&str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        match parts.as_slice() {
            [os, architecture] if parts.iter().all(named) => Ok(Platform::new(os, architecture, None)),
            [os, architecture, variant] if parts.iter().all(named) => {
                Ok(Platform::new(os, architecture, Some(variant)))
            }
            _ => Err(PlatformError(text.to_owned())),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_normal() {
        for (written, normal) in [
            ("linux/amd64", "linux/amd64"),
            ("Linux/x86_64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/arm/7", "linux/arm/v7"),
            ("linux/armhf", "linux/arm/v7"),
        ] {
            assert_eq!(platform(written).to_string(), normal);
        }
        for wrong in ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux//v7", "a b/c"] {
            assert_eq!(wrong.parse::<Platform>(), Err(PlatformError(wrong.to_owned())));
        }
        assert_eq!(Platform::host().os, "linux");
    }

    #[test]
    fn who_asks_gets_the_nearest() {
        for (wanted, offered, distance) in [
            ("linux/amd64", "linux/amd64", Some(0)),
            ("linux/amd64", "linux/amd64/v3", Some(1)),
            ("linux/amd64/v2", "linux/amd64/v3", None),
            ("linux/amd64", "linux/arm64", None),
            ("windows/amd64", "linux/amd64", None),
            ("linux/arm/v7", "linux/arm/v7", Some(0)),
            ("linux/arm/v7", "linux/arm", Some(0)),
            ("linux/arm/v7", "linux/arm/v5", Some(2)),
            ("linux/arm/v6", "linux/arm/v7", None),
            ("linux/arm", "linux/arm/v6", Some(1)),
        ] {
            assert_eq!(platform(wanted).distance(&platform(offered)), distance, "{wanted} {offered}");
        }
    }
}
