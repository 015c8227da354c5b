//! How a blob is compressed: told by its first bytes, never by a name or media type.
//!
//! Sources: RFC 1952 (gzip), RFC 8878 (zstd).

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;

/// How many bytes of a blob's beginning tell its compression; fewer will do where the blob has no more.
pub const MAGIC_LEN: usize = 10;

/// How a blob is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all: it is the tar itself.
    None,
    /// gzip: one member or several.
    Gzip,
    /// zstd: one frame or several, skippable ones among them.
    Zstd,
}

/// A compression that images may not have; the name is that of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsupported(pub &'static str);

impl Compression {
    /// What the first bytes of a blob say.
    pub fn of(start: &[u8]) -> Result<Self, Unsupported> {
        match *start {
            [0x1f, 0x8b, ..] => Ok(Compression::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Compression::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Err(Unsupported("xz")),
            // The magic of the first block too: without it this is text that a tar may begin with.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..] => {
                Err(Unsupported("bzip2"))
            }
            _ => Ok(Compression::None),
        }
    }

    /// The name of the format.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "tar",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }
}

/// The uncompressed content of a stream, to its very end: several gzip members or zstd frames are one.
///
/// What follows the last member or frame and is neither is an error, as for docker and podman: bytes that nothing
/// reads have no place in a layer. A stream that ends early is [`io::ErrorKind::UnexpectedEof`].
pub enum Decoder<R: BufRead> {
    /// Nothing to do.
    None(R),
    /// gzip.
    Gzip(Box<MultiGzDecoder<R>>),
    /// zstd.
    Zstd(Box<zstd::stream::read::Decoder<'static, R>>),
}

impl<R: BufRead> Decoder<R> {
    /// Reads nothing yet.
    ///
    /// # Errors
    /// Those of zstd, which takes memory.
    pub fn new(compression: Compression, from: R) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Decoder::None(from),
            Compression::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(from))),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(from)?;
                // 128 MiB: what `zstd --long` writes and every reader takes. A frame may ask for terabytes.
                decoder.window_log_max(27)?;
                Decoder::Zstd(Box::new(decoder))
            }
        })
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Decoder::None(reader) => reader.read(buf),
            Decoder::Gzip(decoder) => decoder.read(buf),
            Decoder::Zstd(decoder) => decoder.read(buf),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(data: &[u8]) -> Vec<u8> {
        zstd::encode_all(data, 1).unwrap()
    }

    fn skippable(data: &[u8]) -> Vec<u8> {
        [&[0x5a, 0x2a, 0x4d, 0x18], &u32::try_from(data.len()).unwrap().to_le_bytes()[..], data].concat()
    }

    fn decode(data: &[u8]) -> io::Result<Vec<u8>> {
        let compression = Compression::of(&data[..data.len().min(MAGIC_LEN)]).unwrap();
        let mut out = Vec::new();
        Decoder::new(compression, data)?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn the_bytes_tell_the_compression() {
        for (start, expected) in [
            (&b""[..], Ok(Compression::None)),
            (b"usr/", Ok(Compression::None)),
            (b"BZh9", Ok(Compression::None)),
            (&gzip(b"x"), Ok(Compression::Gzip)),
            (&zstd(b"x"), Ok(Compression::Zstd)),
            (&skippable(b"x"), Ok(Compression::Zstd)),
            (b"\xfd7zXZ\0\0", Err(Unsupported("xz"))),
            (b"BZh91AY&SY", Err(Unsupported("bzip2"))),
        ] {
            assert_eq!(Compression::of(start), expected, "{start:x?}");
        }
    }

    #[test]
    fn members_and_frames_are_one_stream() {
        assert_eq!(decode(&[gzip(b"one "), gzip(b""), gzip(b"two")].concat()).unwrap(), b"one two");
        let frames = [
            skippable(b"size"),
            zstd(b"one "),
            skippable(b""),
            zstd(b"two"),
            skippable(b"table of contents"),
        ];
        assert_eq!(decode(&frames.concat()).unwrap(), b"one two");
        assert_eq!(decode(&skippable(b"nothing")).unwrap(), b"");
    }

    #[test]
    fn a_stream_that_ends_early_is_told_apart_from_a_damaged_one() {
        let data = b"some text that takes a few bytes".repeat(50);
        for whole in [gzip(&data), zstd(&data), [gzip(&data), gzip(&data)].concat()] {
            for cut in [whole.len() - 1, whole.len() - 5, whole.len() / 2 + 2, 5] {
                let error = decode(&whole[..cut]).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{cut} of {}: {error}", whole.len());
            }
            let mut damaged = whole.clone();
            let last = damaged.len() - 6;
            damaged[last] ^= 0x10;
            let error = decode(&damaged).unwrap_err();
            assert_ne!(error.kind(), io::ErrorKind::UnexpectedEof, "{error}");
        }
    }

    #[test]
    fn what_follows_the_stream_is_an_error() {
        for whole in [gzip(b"x"), zstd(b"x")] {
            for garbage in [&b"garbage that is no stream"[..], &[0; 512]] {
                assert!(decode(&[&whole, garbage].concat()).is_err());
            }
        }
    }

    #[test]
    fn a_window_of_terabytes_is_refused() {
        // A frame header: no content size, window descriptor with the largest exponent.
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8, 0x01, 0x00, 0x00];
        assert!(decode(&frame).is_err());
    }
}
