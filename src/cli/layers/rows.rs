//! A row for each instruction: as a table for people, and as JSON.

use jiff::Timestamp;
use serde::Serialize;

use super::instruction;
use crate::changes::Counted;
use crate::cli::{human, terminal};
use crate::image::{Image, Step};

/// An instruction, with its layer if it has one. The field names are a format: see `docs/cli.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    number: Option<usize>,
    digest: Option<String>,
    diff_id: Option<String>,
    stored_bytes: Option<u64>,
    unpacked_bytes: Option<u64>,
    added: Option<u64>,
    changed: Option<u64>,
    deleted: Option<u64>,
    created: Option<Timestamp>,
    instruction: Option<String>,
    created_by: Option<String>,
    author: Option<String>,
    comment: Option<String>,
}

impl Row {
    /// Rows in the order of the instructions. `counted` are the image's layers, base first.
    pub fn of_image(image: &Image, counted: &[Counted]) -> Vec<Row> {
        image.history.iter().map(|step| Row::of_step(image, counted, step)).collect()
    }

    fn of_step(image: &Image, counted: &[Counted], step: &Step) -> Row {
        let layer = step.layer.and_then(|index| image.layers.get(index));
        let counted = step.layer.and_then(|index| counted.get(index));
        let changes = counted.map(|counted| counted.changes);
        Row {
            number: layer.and(step.layer).map(|index| index + 1),
            digest: layer.and_then(|layer| layer.digest).map(|digest| digest.to_string()),
            diff_id: layer.map(|layer| layer.diff_id.to_string()),
            stored_bytes: layer.map(|layer| layer.stored),
            unpacked_bytes: counted.map(|counted| counted.unpacked),
            added: changes.map(|changes| changes.added),
            changed: changes.map(|changes| changes.changed),
            deleted: changes.map(|changes| changes.deleted),
            created: step.created,
            instruction: step.created_by.as_deref().map(instruction::cleaned),
            created_by: step.created_by.clone(),
            author: step.author.clone(),
            comment: step.comment.clone(),
        }
    }

    fn cells(&self, now: Timestamp) -> Vec<String> {
        let or_none = |cell: Option<String>| cell.unwrap_or_else(|| "-".to_owned());
        // The algorithm is the same everywhere, and 12 digits tell digests apart.
        let short = |digest: &Option<String>| {
            or_none(
                digest
                    .as_ref()
                    .map(|digest| digest.bytes().skip("sha256:".len()).take(12).map(char::from).collect()),
            )
        };
        let size = |bytes: Option<u64>| or_none(bytes.map(human::size));
        let count = |count: Option<u64>| or_none(count.map(|count| count.to_string()));
        let age = |created: Timestamp| human::age(now.as_second().saturating_sub(created.as_second()));
        let instruction =
            self.instruction.clone().or_else(|| self.comment.as_deref().map(instruction::one_line));
        let no_layer = || "no layer".to_owned();
        vec![
            or_none(self.number.map(|number| number.to_string())),
            if self.number.is_none() { no_layer() } else { short(&self.digest) },
            short(&self.diff_id),
            size(self.stored_bytes),
            size(self.unpacked_bytes),
            count(self.added),
            count(self.changed),
            count(self.deleted),
            or_none(self.created.map(age)),
            or_none(instruction.filter(|text| !text.is_empty())),
        ]
    }
}

/// The table for people.
pub fn table(rows: &[Row], now: Timestamp, width: Option<usize>) -> String {
    const HEAD: [&str; 10] = [
        "LAYER",
        "DIGEST",
        "DIFF_ID",
        "STORED",
        "UNPACKED",
        "ADDED",
        "CHANGED",
        "DELETED",
        "AGE",
        "INSTRUCTION",
    ];
    let cells: Vec<Vec<String>> = rows.iter().map(|row| row.cells(now)).collect();
    terminal::table_with_text(&HEAD, &cells, width)
}

#[cfg(test)]
mod tests;
