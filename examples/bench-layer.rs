//! An OCI layout with one plain layer of many entries: `bench-layer ENTRIES DIRECTORY`.
//!
//! A directory for each 200 files; every fourth file has content; every tenth an extended attribute and a time with nanoseconds.
//! Nothing is kept in memory.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;
use sha2::{Digest, Sha256};

/// Digests what it writes.
struct Hashing<W> {
    to: W,
    hash: Sha256,
    len: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write_all(bytes)?;
        self.hash.update(bytes);
        self.len += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_600_000_000);
    header.set_size(size);
    header
}

fn write_layer(entries: u64, to: impl Write) -> io::Result<()> {
    let mut tar = tar::Builder::new(to);
    let mut directory = String::new();
    for n in 0..entries {
        if n % 200 == 0 {
            directory = format!("srv/{:03}/directory-{n}", n / 20_000);
            let mut header = header(tar::EntryType::Directory, 0o755, 0);
            tar.append_data(&mut header, format!("{directory}/"), io::empty())?;
            continue;
        }
        let content = if n % 4 == 0 { format!("the content of file {n}\n") } else { String::new() };
        if n % 10 == 0 {
            let time = format!("1600000000.{:09}", n % 1_000_000_000);
            tar.append_pax_extensions([
                ("mtime", time.as_bytes()),
                ("SCHILY.xattr.user.number", n.to_string().as_bytes()),
            ])?;
        }
        let mut header = header(tar::EntryType::Regular, 0o644, content.len() as u64);
        tar.append_data(&mut header, format!("{directory}/a-file-with-the-number-{n}"), content.as_bytes())?;
    }
    tar.finish()
}

fn put(blobs: &Path, bytes: &[u8]) -> io::Result<serde_json::Value> {
    let hex = hex(&Sha256::digest(bytes));
    fs::write(blobs.join(&hex), bytes)?;
    Ok(json!({"digest": format!("sha256:{hex}"), "size": bytes.len()}))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_layout(entries: u64, dir: &Path) -> io::Result<()> {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let unnamed = dir.join("layer");
    let mut layer = Hashing {
        to: BufWriter::with_capacity(1 << 20, File::create(&unnamed)?),
        hash: Sha256::new(),
        len: 0,
    };
    write_layer(entries, &mut layer)?;
    layer.flush()?;
    let layer_hex = hex(&layer.hash.finalize());
    fs::rename(unnamed, blobs.join(&layer_hex))?;
    let digest = format!("sha256:{layer_hex}");
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut config = put(
        &blobs,
        json!({"os": "linux", "architecture": architecture, "config": {}, "rootfs": {"type": "layers", "diff_ids": [digest]}})
            .to_string()
            .as_bytes(),
    )?;
    config["mediaType"] = "application/vnd.oci.image.config.v1+json".into();
    let layer =
        json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": layer.len});
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]});
    let mut manifest = put(&blobs, manifest.to_string().as_bytes())?;
    manifest["mediaType"] = media_type.into();
    fs::write(dir.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}")?;
    fs::write(dir.join("index.json"), json!({"schemaVersion": 2, "manifests": [manifest]}).to_string())
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let parsed = match &arguments[..] {
        [entries, dir] => entries.parse().ok().map(|entries| (entries, dir)),
        _ => None,
    };
    let Some((entries, dir)) = parsed else {
        eprintln!("usage: bench-layer ENTRIES DIRECTORY");
        return ExitCode::from(2);
    };
    match write_layout(entries, Path::new(dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-layer: {dir}: {error}");
            ExitCode::FAILURE
        }
    }
}
