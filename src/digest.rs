//! sha256 digests, as OCI spells them: `sha256:` and 64 lower-case hexadecimal digits.
//!
//! Source: the OCI image-spec's descriptor.md ("Digests").

use std::fmt;
use std::str::FromStr;

/// The only algorithm that is understood.
const ALGORITHM: &str = "sha256";

/// A sha256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// Why a text is not a digest that can be checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Another algorithm than sha256.
    #[error("digest algorithm '{}' is not supported, only sha256", .0.escape_debug())]
    Algorithm(String),
    /// Anything else.
    #[error("'{}' is not a digest: it must be sha256: and 64 hexadecimal digits in lower case", .0.escape_debug())]
    Malformed(String),
}

impl Digest {
    /// From its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Digest(bytes)
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 digits, without the algorithm: the name of a blob's file.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The first 12 digits, by which people tell digests apart.
    pub fn short(&self) -> String {
        self.hex()[..12].to_owned()
    }

    /// From 64 digits without the algorithm.
    pub fn from_hex(hex: &str) -> Result<Self, DigestError> {
        let malformed = || DigestError::Malformed(hex.to_owned());
        let digits = hex.as_bytes();
        if digits.len() != 64 {
            return Err(malformed());
        }
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(malformed()),
        };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = value(pair[0])? << 4 | value(pair[1])?;
        }
        Ok(Digest(bytes))
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        match text.split_once(':') {
            Some((ALGORITHM, hex)) => {
                Digest::from_hex(hex).map_err(|_| DigestError::Malformed(text.to_owned()))
            }
            Some((other, _))
                if !other.is_empty()
                    && other.bytes().all(|b| b.is_ascii_alphanumeric() || b"+._-".contains(&b)) =>
            {
                Err(DigestError::Algorithm(other.to_owned()))
            }
            _ => Err(DigestError::Malformed(text.to_owned())),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM}:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_and_printed_the_same() {
        let text = format!("sha256:{}", "0123456789abcdef".repeat(4));
        let digest: Digest = text.parse().unwrap();
        assert_eq!(digest.to_string(), text);
        assert_eq!(digest.short(), "0123456789ab");
        assert_eq!(Digest::from_bytes(*digest.as_bytes()), digest);
    }

    #[test]
    fn whatever_is_no_sha256_is_refused() {
        let hex = "0123456789abcdef".repeat(4);
        for text in [
            String::new(),
            hex.clone(),
            format!("sha256:{}", &hex[1..]),
            format!("sha256:{}", hex.to_uppercase()),
            "sha256:../../../../etc/passwd".to_owned(),
            format!("sha256:../{}", &hex[3..]),
            format!(":{hex}"),
            format!("../x:{hex}"),
        ] {
            assert_eq!(text.parse::<Digest>(), Err(DigestError::Malformed(text.clone())), "{text}");
        }
        assert_eq!(
            format!("sha512:{hex}").parse::<Digest>(),
            Err(DigestError::Algorithm("sha512".to_owned()))
        );
    }
}
