//! What has to be done for a layer: decided from what is known, before anything is.

/// What the store has of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Have {
    /// Its index, as it was when it was made.
    pub index: bool,
    /// Its tar.
    pub tar: Tar,
}

/// What the store has of a layer's tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tar {
    /// Nothing.
    None,
    /// A file that may be anything: no record says what it was, or it is not what the record says.
    Unsure,
    /// The tar.
    Verified,
}

/// What an image has of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// The blob is compressed.
    pub compressed: bool,
    /// The blob was verified, and is what it was then.
    pub verified: bool,
}

/// What is read, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The tar in the store, for its hash and an index. Where it turns out to be something else it is removed, and the
    /// layer is planned again.
    pub rescan: bool,
    /// The blob.
    pub blob: Read,
}

/// What the blob is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// It is not read.
    Nothing,
    /// Its hash.
    Hash,
    /// Its hash and an index; it is the tar.
    Scan,
    /// Its hash, its tar and an index of that.
    Unpack,
}

/// The least that makes the layer ready and leaves nothing unverified.
pub fn plan(given: Given, have: Have) -> Plan {
    let hash = if given.verified { Read::Nothing } else { Read::Hash };
    match (given.compressed, have.tar) {
        (false, _) => Plan { rescan: false, blob: if have.index { hash } else { Read::Scan } },
        (true, Tar::None) => Plan { rescan: false, blob: Read::Unpack },
        (true, Tar::Unsure) => Plan { rescan: true, blob: hash },
        (true, Tar::Verified) => Plan { rescan: !have.index, blob: hash },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_known_is_read() {
        let tar = |verified| Given { compressed: false, verified };
        let gzip = |verified| Given { compressed: true, verified };
        let have = |index, tar| Have { index, tar };
        for (given, have, rescan, blob) in [
            (tar(false), have(false, Tar::None), false, Read::Scan),
            (tar(true), have(false, Tar::None), false, Read::Scan),
            // The same layer was seen elsewhere.
            (tar(false), have(true, Tar::None), false, Read::Hash),
            (tar(false), have(true, Tar::Unsure), false, Read::Hash),
            (tar(true), have(true, Tar::None), false, Read::Nothing),
            (gzip(false), have(false, Tar::None), false, Read::Unpack),
            (gzip(false), have(true, Tar::None), false, Read::Unpack),
            (gzip(true), have(true, Tar::None), false, Read::Unpack),
            (gzip(false), have(true, Tar::Verified), false, Read::Hash),
            (gzip(true), have(true, Tar::Verified), false, Read::Nothing),
            (gzip(true), have(false, Tar::Verified), true, Read::Nothing),
            (gzip(false), have(true, Tar::Unsure), true, Read::Hash),
            (gzip(true), have(false, Tar::Unsure), true, Read::Nothing),
        ] {
            assert_eq!(plan(given, have), Plan { rescan, blob }, "{given:?} {have:?}");
        }
    }
}
