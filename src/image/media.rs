//! Media types: what a document or layer says it is.
//!
//! Sources: the OCI image-spec's media-types.md; distribution's manifest-v2-2 for docker's names.

/// What a descriptor points to, by its media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// An index, or docker's manifest list.
    Index,
    /// An image's manifest.
    Manifest,
    /// An image's config.
    Config,
    /// A layer: a tar, compressed or not; its bytes say by what.
    Layer,
    /// A layer that is encrypted.
    EncryptedLayer,
    /// A document of docker's first registry format.
    Schema1,
    /// Anything else.
    Other,
}

impl Media {
    /// Reads a media type; parameters after a semicolon do not matter.
    pub fn of(text: &str) -> Media {
        let text = text.split(';').next().unwrap_or_default().trim();
        match text {
            "application/vnd.oci.image.index.v1+json"
            | "application/vnd.docker.distribution.manifest.list.v2+json" => Media::Index,
            "application/vnd.oci.image.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v2+json" => Media::Manifest,
            "application/vnd.oci.image.config.v1+json" | "application/vnd.docker.container.image.v1+json" => {
                Media::Config
            }
            "application/vnd.docker.distribution.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v1+prettyjws" => Media::Schema1,
            layer => Media::of_layer(layer),
        }
    }

    fn of_layer(text: &str) -> Media {
        if let Some(plain) = text.strip_suffix("+encrypted") {
            return match Media::of_layer(plain) {
                Media::Layer => Media::EncryptedLayer,
                other => other,
            };
        }
        let oci = [
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
        ];
        let docker = [
            "application/vnd.docker.image.rootfs.diff.tar",
            "application/vnd.docker.image.rootfs.foreign.diff.tar",
        ];
        let ends = |prefixes: [&str; 2], ends: [&str; 3]| {
            prefixes.iter().any(|prefix| text.strip_prefix(prefix).is_some_and(|end| ends.contains(&end)))
        };
        match ends(oci, ["", "+gzip", "+zstd"]) || ends(docker, ["", ".gzip", ".zstd"]) {
            true => Media::Layer,
            false => Media::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_of_oci_and_docker_are_known() {
        for (text, media) in [
            ("application/vnd.oci.image.index.v1+json", Media::Index),
            ("application/vnd.docker.distribution.manifest.v2+json; charset=utf-8", Media::Manifest),
            ("application/vnd.docker.container.image.v1+json", Media::Config),
            ("application/vnd.oci.image.layer.v1.tar", Media::Layer),
            ("application/vnd.oci.image.layer.v1.tar+zstd", Media::Layer),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", Media::Layer),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Media::Layer),
            ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", Media::EncryptedLayer),
            ("application/vnd.oci.image.layer.v1.tar+lzma", Media::Other),
            ("application/vnd.oci.image.layer.v1.tar.gzip", Media::Other),
            ("application/vnd.oci.empty.v1+json", Media::Other),
            ("application/vnd.docker.distribution.manifest.v1+prettyjws", Media::Schema1),
            ("", Media::Other),
        ] {
            assert_eq!(Media::of(text), media, "{text}");
        }
    }
}
