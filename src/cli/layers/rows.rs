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

    /// What a column says of the instruction.
    fn cell(&self, column: Column, says_no_layer: Column, now: Timestamp) -> String {
        // The algorithm is the same everywhere, and 12 digits tell digests apart.
        let short = |digest: &Option<String>| {
            let digits = digest.as_ref()?.bytes().skip("sha256:".len()).take(12);
            Some(digits.map(char::from).collect())
        };
        let count = |count: Option<u64>| count.map(|count| count.to_string());
        let age = |created: Timestamp| human::age(now.as_second().saturating_sub(created.as_second()));
        if self.number.is_none() && column == says_no_layer {
            return if column == Column::Layer { "none" } else { "no layer" }.to_owned();
        }
        let cell = match column {
            Column::Layer => self.number.map(|number| number.to_string()),
            Column::Digest => short(&self.digest),
            Column::DiffId => short(&self.diff_id),
            Column::Stored => self.stored_bytes.map(human::size),
            Column::Unpacked => self.unpacked_bytes.map(human::size),
            Column::Added => count(self.added),
            Column::Changed => count(self.changed),
            Column::Deleted => count(self.deleted),
            Column::Age => self.created.map(age),
            Column::Instruction => {
                let text = self.instruction.clone();
                text.or_else(|| self.comment.as_deref().map(instruction::one_line))
                    .filter(|text| !text.is_empty())
            }
        };
        cell.unwrap_or_else(|| "-".to_owned())
    }
}

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Layer,
    Digest,
    DiffId,
    Stored,
    Unpacked,
    Added,
    Changed,
    Deleted,
    Age,
    Instruction,
}

impl Column {
    const ALL: [Column; 10] = [
        Column::Layer,
        Column::Digest,
        Column::DiffId,
        Column::Stored,
        Column::Unpacked,
        Column::Added,
        Column::Changed,
        Column::Deleted,
        Column::Age,
        Column::Instruction,
    ];

    fn head(self) -> &'static str {
        match self {
            Column::Layer => "LAYER",
            Column::Digest => "DIGEST",
            Column::DiffId => "DIFF_ID",
            Column::Stored => "STORED",
            Column::Unpacked => "UNPACKED",
            Column::Added => "ADDED",
            Column::Changed => "CHANGED",
            Column::Deleted => "DELETED",
            Column::Age => "AGE",
            Column::Instruction => "INSTRUCTION",
        }
    }
}

/// The table for people. Where the terminal is too narrow for all columns, those are left out that tell least of an
/// instruction; where it is too narrow for that, too, each instruction is a block of lines.
pub fn table(rows: &[Row], now: Timestamp, width: Option<usize>) -> String {
    let cells = |columns: &[Column], says_no_layer: Column| {
        let head: Vec<&str> = columns.iter().map(|column| column.head()).collect();
        let cells = |row: &Row| columns.iter().map(|column| row.cell(*column, says_no_layer, now)).collect();
        (head, rows.iter().map(cells).collect::<Vec<Vec<String>>>())
    };
    for left_out in [&[] as &[Column], &[Column::DiffId], &[Column::DiffId, Column::Digest, Column::Stored]] {
        let columns: Vec<Column> =
            Column::ALL.into_iter().filter(|column| !left_out.contains(column)).collect();
        let says_no_layer = match columns.contains(&Column::Digest) {
            true => Column::Digest,
            false => Column::Layer,
        };
        let (head, cells) = cells(&columns, says_no_layer);
        if let Some(table) = terminal::columns_with_text(&head, &cells, width) {
            return table;
        }
    }
    let (head, cells) = cells(&Column::ALL, Column::Layer);
    terminal::blocks_with_text(&head, &cells, width)
}

#[cfg(test)]
mod tests;
