//! The report for programs: the fields of dive's export, and lamina's own beside them. A format: see docs/cli.md.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::{Serialize, Serializer};

use super::Report;
use super::ci::{Judged, Status};
use super::compare::Compared;
use super::text::{facts_of, how_name};
use crate::cli::Failure;
use crate::cli::opened::LayerFacts;
use crate::cli::terminal::{self, Out};
use crate::control::PathText;
use crate::error::describe;
use crate::waste::{Between, Extent, Reference, Row};

/// What dive shows as an instruction that the history does not have.
const MISSING: &str = "(missing)";
/// What dive takes away from the front of an instruction.
const SHELL: &str = "/bin/sh -c ";

#[derive(Serialize)]
struct Export<'a> {
    layer: Vec<Layer>,
    image: Image<'a>,
    waste: Own<'a>,
    ci: Option<Ci<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    index: usize,
    id: String,
    digest_id: String,
    size_bytes: u64,
    command: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Image<'a> {
    size_bytes: u64,
    inefficient_bytes: u64,
    efficiency_score: f64,
    #[serde(serialize_with = "each_reference")]
    file_reference: &'a [Reference],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FileReference {
    count: u32,
    size_bytes: u64,
    file: PathText,
}

/// Nothing of a list is made before it is written: it may be as long as the image has names.
fn each_reference<S: Serializer>(references: &&[Reference], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(references.iter().map(|one| FileReference {
        count: one.count,
        size_bytes: one.bytes,
        file: path(&one.path),
    }))
}

/// What dive does not say.
#[derive(Serialize)]
struct Own<'a> {
    hidden_bytes: u64,
    user_wasted_percent: f64,
    #[serde(serialize_with = "each_between")]
    layers: (&'a Report<'a>, &'a [Between]),
    path_count: u64,
    #[serde(serialize_with = "each_row")]
    paths: (&'a Report<'a>, &'a [Row]),
}

#[derive(Serialize)]
struct OwnBetween<'a> {
    bytes: u64,
    files: u64,
    layer: u16,
    by_layer: u16,
    how: &'static str,
    instruction: Option<&'a str>,
}

fn each_between<S: Serializer>(
    (report, between): &(&Report<'_>, &[Between]),
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_seq(between.iter().map(|one| OwnBetween {
        bytes: one.bytes,
        files: one.files,
        layer: one.of.0,
        by_layer: one.by.0,
        how: how_name(one.how),
        instruction: facts_of(report.opened, one.by).and_then(|facts| facts.instruction.as_deref()),
    }))
}

#[derive(Serialize)]
struct OwnRow<'a> {
    path: PathText,
    #[serde(rename = "type")]
    kind: &'static str,
    bytes: u64,
    files: u64,
    lowest_layer: u16,
    highest_layer: u16,
    by_layer: u16,
    how: &'static str,
    same_content: Option<bool>,
    instruction: Option<&'a str>,
}

fn each_row<S: Serializer>((report, rows): &(&Report<'_>, &[Row]), to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(rows.iter().map(|row| OwnRow {
        path: path(&row.path),
        kind: match row.extent {
            Extent::File => "file",
            Extent::Directory => "directory",
        },
        bytes: row.bytes,
        files: row.files,
        lowest_layer: row.lowest.0,
        highest_layer: row.highest.0,
        by_layer: row.by.0,
        how: how_name(row.how),
        same_content: report.contents.get(row).map(|compared| compared == Compared::Same),
        instruction: facts_of(report.opened, row.by).and_then(|facts| facts.instruction.as_deref()),
    }))
}

#[derive(Serialize)]
struct Ci<'a> {
    pass: bool,
    rules: Vec<CiRule<'a>>,
}

#[derive(Serialize)]
struct CiRule<'a> {
    rule: &'static str,
    status: &'static str,
    threshold: Option<&'a serde_json::Value>,
    value: &'a serde_json::Value,
}

fn path(bytes: &[u8]) -> PathText {
    PathText::from(Path::new(OsStr::from_bytes(bytes)))
}

fn layer(index: usize, facts: &LayerFacts, bytes: u64) -> Layer {
    let diff_id = facts.diff_id.map(|digest| digest.to_string());
    let id = match &diff_id {
        Some(digest) => digest.strip_prefix("sha256:").unwrap_or(digest).to_owned(),
        None => facts.path.display().to_string(),
    };
    let command = facts.created_by.as_deref().unwrap_or(MISSING);
    Layer {
        index,
        id,
        digest_id: diff_id.unwrap_or_default(),
        size_bytes: bytes,
        command: command.strip_prefix(SHELL).unwrap_or(command).to_owned(),
    }
}

fn export<'a>(report: &'a Report<'a>) -> Export<'a> {
    let waste = report.waste;
    // A union counts its layers from the top.
    let layers = report.opened.layers.iter().rev().zip(&waste.layers).enumerate();
    let rule = |judged: &'a Judged| CiRule {
        rule: judged.rule.name(),
        status: match judged.status {
            Status::Pass => "pass",
            Status::Fail => "fail",
            Status::Disabled => "disabled",
        },
        threshold: judged.threshold.as_ref(),
        value: &judged.value,
    };
    Export {
        layer: layers.map(|(index, (facts, bytes))| layer(index, facts, *bytes)).collect(),
        image: Image {
            size_bytes: waste.bytes(),
            inefficient_bytes: waste.score.wasted,
            efficiency_score: waste.score.efficiency,
            file_reference: &waste.references,
        },
        waste: Own {
            hidden_bytes: waste.hidden,
            user_wasted_percent: waste.score.of_user_bytes(waste),
            layers: (report, &waste.between),
            path_count: waste.row_count,
            paths: (report, &waste.rows),
        },
        ci: report
            .verdict
            .map(|verdict| Ci { pass: verdict.passes(), rules: verdict.rules.iter().map(rule).collect() }),
    }
}

/// Standard output, for who writes bytes and knows of `io::Error` only.
struct ToOut {
    out: Out,
    failed: Option<Failure>,
}

impl Write for ToOut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.out.write(bytes) {
            Ok(_) => Ok(bytes.len()),
            Err(failure) => {
                self.failed = Some(failure);
                Err(io::Error::other("standard output"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Prints it.
pub fn print(report: &Report<'_>) -> Result<(), Failure> {
    let mut to = ToOut { out: Out::new(), failed: None };
    let written = terminal::write_indented(&mut to, &export(report));
    match (written, to.failed) {
        (_, Some(failure)) => return Err(failure),
        (Err(error), None) => return Err(Failure::trouble(format!("JSON cannot be made: {error}"))),
        (Ok(()), None) => {}
    }
    to.out.write(b"\n")?;
    to.out.finish()
}

/// Writes it into a file, which appears, or takes the place of another one, when it is whole.
pub fn write(report: &Report<'_>, file: &Path) -> Result<(), Failure> {
    let failed = |error: &io::Error| {
        Failure::trouble(format!("'{}' cannot be written: {}", file.display(), describe(error)))
    };
    let dir = match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    // What a shell's redirection would make; the umask takes away from it.
    let new = tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(dir);
    let new = new.map_err(|error| failed(&error))?;
    let mut to = io::BufWriter::new(new);
    terminal::write_indented(&mut to, &export(report)).map_err(|error| failed(&error.into()))?;
    to.write_all(b"\n").map_err(|error| failed(&error))?;
    let new = to.into_inner().map_err(|error| failed(error.error()))?;
    new.persist(file).map_err(|error| failed(&error.error))?;
    Ok(())
}
