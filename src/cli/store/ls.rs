//! `lamina store ls`.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::cli::{Failure, human, terminal};
use crate::control::PathText;
use crate::image::store::{Store, StoredLayer};

/// `lamina store ls`.
#[derive(Debug, clap::Args)]
pub struct LsArgs {
    /// Print JSON: an array with an object for each layer
    #[arg(long)]
    json: bool,
}

/// One layer in the JSON output. The field names are a format: see `docs/cli.md`.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    diff_id: String,
    stored_bytes: u64,
    unpacked_bytes: Option<u64>,
    entries: Option<u64>,
    has_tar: bool,
    in_use: bool,
    /// Seconds since 1970.
    last_used: Option<u64>,
    images: Vec<ImageEntry<'a>>,
}

#[derive(Debug, Serialize)]
struct ImageEntry<'a> {
    name: &'a str,
    file: PathText,
    current: bool,
}

/// Prints the layers.
pub fn run(args: &LsArgs, store: Option<&Store>, dir: &Path) -> Result<(), Failure> {
    let layers = match store {
        Some(store) => store.layers()?,
        None => Vec::new(),
    };
    if args.json {
        let entries: Vec<Entry<'_>> = layers.iter().map(entry).collect();
        return terminal::print(terminal::json(&entries)?.as_bytes());
    }
    if layers.is_empty() {
        eprintln!("lamina: no layers are stored in '{}'", dir.display());
        return Ok(());
    }
    terminal::print(table(&layers, SystemTime::now(), terminal::width()).as_bytes())
}

fn entry(layer: &StoredLayer) -> Entry<'_> {
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let images = layer.uses.iter().map(|one| ImageEntry {
        name: &one.image,
        file: one.path.as_path().into(),
        current: one.current,
    });
    Entry {
        diff_id: layer.diff_id.to_string(),
        stored_bytes: layer.stored,
        unpacked_bytes: layer.unpacked,
        entries: layer.entries,
        has_tar: layer.has_tar,
        in_use: layer.in_use,
        last_used: layer.used.map(seconds),
        images: images.collect(),
    }
}

fn table(layers: &[StoredLayer], now: SystemTime, width: Option<usize>) -> String {
    let head = ["DIFF_ID", "TAR", "STORED", "ENTRIES", "USED", "IMAGES"];
    let unknown = || "-".to_owned();
    let row = |layer: &StoredLayer| {
        let used = match layer.used {
            _ if layer.in_use => "now".to_owned(),
            // A clock that was set back is no news here.
            Some(used) => {
                let seconds = now.duration_since(used).map_or(0, |since| since.as_secs());
                format!("{} ago", human::age(i64::try_from(seconds).unwrap_or(i64::MAX)))
            }
            None => unknown(),
        };
        vec![
            layer.diff_id.short(),
            layer.unpacked.map_or_else(unknown, human::size),
            human::size(layer.stored),
            layer.entries.map_or_else(unknown, |entries| entries.to_string()),
            used,
            images(layer),
        ]
    };
    let rows: Vec<Vec<String>> = layers.iter().map(row).collect();
    let total = layers.iter().fold(0u64, |sum, layer| sum.saturating_add(layer.stored));
    let count = match layers.len() {
        1 => "1 layer".to_owned(),
        n => format!("{n} layers"),
    };
    format!("{}\n{count}, {} stored\n", terminal::table(&head, &rows, width), human::size(total))
}

/// The names of the images that have it, each once; those that are gone or have changed in brackets.
fn images(layer: &StoredLayer) -> String {
    let mut names: Vec<String> = Vec::new();
    for one in &layer.uses {
        let name = terminal::shown(Path::new(&one.image));
        let name = if one.current { name } else { format!("({name})") };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    match names.is_empty() {
        true => "-".to_owned(),
        false => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::image::store::Use;
    use std::time::Duration;

    fn layers() -> [StoredLayer; 2] {
        let used = |image: &str, current| Use { image: image.to_owned(), path: "/i".into(), current };
        let first = StoredLayer {
            diff_id: Digest::from_bytes([0xab; 32]),
            stored: 2_050_000,
            unpacked: Some(2_000_000),
            entries: Some(17),
            has_tar: true,
            uses: vec![used("a.tar", true), used("a.tar", true), used("old.tar", false)],
            used: Some(UNIX_EPOCH + Duration::from_secs(1000)),
            in_use: false,
        };
        let second = StoredLayer {
            diff_id: Digest::from_bytes([0xcd; 32]),
            unpacked: None,
            entries: None,
            uses: Vec::new(),
            in_use: true,
            ..first.clone()
        };
        [first, second]
    }

    #[test]
    fn a_table_says_what_layers_are_for() {
        let now = UNIX_EPOCH + Duration::from_secs(1060);
        assert_eq!(
            table(&layers(), now, None),
            "DIFF_ID       TAR      STORED   ENTRIES  USED          IMAGES\n\
             abababababab  2.00 MB  2.05 MB  17       1 minute ago  a.tar, (old.tar)\n\
             cdcdcdcdcdcd  -        2.05 MB  -        now           -\n\
             \n\
             2 layers, 4.10 MB stored\n"
        );
    }

    #[test]
    fn json_is_the_documented_one() {
        let layers = layers();
        let json = serde_json::to_value(entry(&layers[0])).unwrap();
        assert_eq!(json["diff_id"], format!("sha256:{}", "ab".repeat(32)));
        assert_eq!(json["last_used"], 1000);
        assert_eq!(json["images"][2]["name"], "old.tar");
        assert_eq!(json["images"][2]["current"], false);
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        let expected = [
            "diff_id",
            "entries",
            "has_tar",
            "images",
            "in_use",
            "last_used",
            "stored_bytes",
            "unpacked_bytes",
        ];
        assert_eq!(keys, expected);
    }
}
