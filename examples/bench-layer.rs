//! An OCI layout with one plain layer of many entries: `bench-layer ENTRIES DIRECTORY [LAYERS]`.
//!
//! A directory for each 200 files; every fourth file has content; every tenth an extended attribute and a time with nanoseconds.
//! With several layers they have so many entries together: the base half of them, and the others the same share each of the rest,
//! of which every second one deletes a file of the base and the others overwrite one.
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

/// A layer on top of `base` entries: file by file, from `first` on, it deletes one and overwrites the next.
fn write_upper_layer(base: u64, first: u64, entries: u64, to: impl Write) -> io::Result<()> {
    let mut tar = tar::Builder::new(to);
    for n in (first..base).filter(|n| n % 200 != 0).take(usize::try_from(entries).unwrap_or(usize::MAX)) {
        let directory = format!("srv/{:03}/directory-{}", n / 20_000, n - n % 200);
        let (prefix, content) =
            if n % 2 == 0 { (".wh.", String::new()) } else { ("", format!("another content of file {n}\n")) };
        let mut header = header(tar::EntryType::Regular, 0o644, content.len() as u64);
        let name = format!("{directory}/{prefix}a-file-with-the-number-{n}");
        tar.append_data(&mut header, name, content.as_bytes())?;
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

fn put_layer(
    blobs: &Path,
    write: impl FnOnce(&mut Hashing<BufWriter<File>>) -> io::Result<()>,
) -> io::Result<serde_json::Value> {
    let unnamed = blobs.join("layer");
    let mut layer = Hashing {
        to: BufWriter::with_capacity(1 << 20, File::create(&unnamed)?),
        hash: Sha256::new(),
        len: 0,
    };
    write(&mut layer)?;
    layer.flush()?;
    let hex = hex(&layer.hash.finalize());
    fs::rename(unnamed, blobs.join(&hex))?;
    Ok(json!({
        "mediaType": "application/vnd.oci.image.layer.v1.tar",
        "digest": format!("sha256:{hex}"),
        "size": layer.len
    }))
}

fn write_layout(entries: u64, layers: u64, dir: &Path) -> io::Result<()> {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let base = if layers > 1 { entries / 2 } else { entries };
    let mut descriptors = vec![put_layer(&blobs, |to| write_layer(base, to))?];
    for n in 1..layers {
        let share = (entries - base) / (layers - 1);
        // Each begins a little further, so that some files are in two of them.
        let first = n * share / layers;
        descriptors.push(put_layer(&blobs, |to| write_upper_layer(base, first, share, to))?);
    }
    let diff_ids: Vec<_> = descriptors.iter().map(|layer| layer["digest"].clone()).collect();
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut config = put(
        &blobs,
        json!({"os": "linux", "architecture": architecture, "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}})
            .to_string()
            .as_bytes(),
    )?;
    config["mediaType"] = "application/vnd.oci.image.config.v1+json".into();
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest =
        json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": descriptors});
    let mut manifest = put(&blobs, manifest.to_string().as_bytes())?;
    manifest["mediaType"] = media_type.into();
    fs::write(dir.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}")?;
    fs::write(dir.join("index.json"), json!({"schemaVersion": 2, "manifests": [manifest]}).to_string())
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let parsed = match &arguments[..] {
        [entries, dir] => entries.parse().ok().map(|entries| (entries, 1, dir)),
        [entries, dir, layers] => {
            let layers = layers.parse().ok().filter(|layers| *layers > 0);
            entries.parse().ok().zip(layers).map(|(entries, layers)| (entries, layers, dir))
        }
        _ => None,
    };
    let Some((entries, layers, dir)) = parsed else {
        eprintln!("usage: bench-layer ENTRIES DIRECTORY [LAYERS]");
        return ExitCode::from(2);
    };
    match write_layout(entries, layers, Path::new(dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-layer: {dir}: {error}");
            ExitCode::FAILURE
        }
    }
}
