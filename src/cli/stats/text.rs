//! The statistics of a mount as text.

use unicode_width::UnicodeWidthStr;

use super::super::{human, terminal};
use crate::control::snapshot::{Requests, Snapshot, Used};

/// A table of the requests, and what else there is below it.
pub fn report(snapshot: &Snapshot, width: Option<usize>) -> String {
    let mut text = requests(&snapshot.requests, width);
    if snapshot.requests.is_empty() {
        text = "no requests\n".to_owned();
    }
    text.push('\n');
    let rows: Vec<Vec<String>> =
        facts(snapshot).into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    text.push_str(&terminal::lines(&rows));
    text
}

fn requests(requests: &[Requests], width: Option<usize>) -> String {
    let head = ["REQUEST", "COUNT", "ERRORS", "P50", "P99"];
    let total = requests.iter().fold((0_u64, 0_u64), |(count, errors), kind| {
        (count.saturating_add(kind.count), errors.saturating_add(kind.errors))
    });
    let mut rows: Vec<Vec<String>> = requests
        .iter()
        .map(|kind| {
            vec![
                kind.kind.clone(),
                grouped(kind.count),
                grouped(kind.errors),
                kind.p50_ns.map_or_else(|| "-".to_owned(), time),
                kind.p99_ns.map_or_else(|| "-".to_owned(), time),
            ]
        })
        .collect();
    rows.push(vec!["all".into(), grouped(total.0), grouped(total.1), "-".into(), "-".into()]);
    align_right(&head, &mut rows);
    let heads: Vec<String> = head
        .iter()
        .enumerate()
        .map(|(column, cell)| match rows.first().and_then(|row| row.get(column)) {
            // As wide as the cells below, which are padded.
            Some(below) if column > 0 => format!("{cell:>width$}", width = below.width()),
            _ => (*cell).to_owned(),
        })
        .collect();
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    terminal::table(&heads, &rows, width)
}

/// Numbers end below each other.
fn align_right(head: &[&str], rows: &mut [Vec<String>]) {
    for column in 1..head.len() {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width());
        let width = cells.chain(head.get(column).map(|cell| cell.width())).max().unwrap_or(0);
        for cell in rows.iter_mut().filter_map(|row| row.get_mut(column)) {
            let missing = width.saturating_sub(cell.width());
            cell.insert_str(0, &" ".repeat(missing));
        }
    }
}

fn facts(snapshot: &Snapshot) -> Vec<(&'static str, String)> {
    let Snapshot { bytes, listings, invalidations: told, process, .. } = snapshot;
    let used = |used: &Used| format!("{} of at most {}", grouped(used.open), grouped(used.limit));
    let mut facts = vec![
        ("time", period(snapshot.uptime_ms)),
        ("read", human::size(bytes.read)),
        ("written", human::size(bytes.written)),
    ];
    if bytes.copied > 0 {
        facts.push(("copied", human::size(bytes.copied)));
    }
    facts.extend([
        ("nodes", grouped(snapshot.nodes)),
        ("open files", grouped(snapshot.open_files)),
        ("open directories", used(&snapshot.directory_descriptors)),
        (
            "listings",
            format!(
                "{} with {} names, {}",
                grouped(listings.directories),
                grouped(listings.names),
                human::size(listings.bytes)
            ),
        ),
        ("hard links", grouped(snapshot.hard_links)),
        (
            "forgotten",
            format!(
                "{} attributes, {} listings, {} names, {} contents",
                grouped(told.attributes),
                grouped(told.listings),
                grouped(told.names),
                grouped(told.contents)
            ),
        ),
        ("memory", human::size(process.resident_bytes)),
        ("descriptors", used(&process.descriptors)),
    ]);
    facts
}

/// A number with a comma before each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time with two or three digits: `320 ns`, `1.5 µs`, `24 ms`, `34 s`.
fn time(nanoseconds: u64) -> String {
    let mut value = nanoseconds as f64;
    let mut unit = "ns";
    for next in ["µs", "ms", "s"] {
        if value < 999.5 {
            break;
        }
        (value, unit) = (value / 1000.0, next);
    }
    let decimals = usize::from(value < 9.95 && unit != "ns");
    format!("{value:.decimals$} {unit}")
}

/// For how long: `2.5 s`, `3 hours`.
fn period(milliseconds: u64) -> String {
    match milliseconds {
        0..60_000 => format!("{:.1} s", milliseconds as f64 / 1000.0),
        _ => human::age(i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::snapshot::{Listings, Moved, Process};

    fn snapshot() -> Snapshot {
        Snapshot {
            uptime_ms: 12_340,
            requests: vec![
                Requests::new("LOOKUP", 1_234_567, 3, vec![(28_672, 10), (2_097_152, 1)]),
                Requests::new("FORGET", 12, 0, vec![]),
            ],
            bytes: Moved { read: 1_000_000, written: 0, copied: 0 },
            nodes: 12_345,
            open_files: 3,
            directory_descriptors: Used { open: 24, limit: 8192 },
            listings: Listings { directories: 2, names: 10, bytes: 2048 },
            process: Process { resident_bytes: 12_300_000, descriptors: Used { open: 40, limit: 1_048_576 } },
            ..Snapshot::default()
        }
    }

    #[test]
    fn a_report_has_the_requests_and_what_is_held() {
        assert_eq!(
            report(&snapshot(), None),
            "REQUEST      COUNT  ERRORS    P50     P99\n\
             LOOKUP   1,234,567       3  29 µs  2.1 ms\n\
             FORGET          12       0      -       -\n\
             all      1,234,579       3      -       -\n\
             \n\
             time              12.3 s\n\
             read              1.00 MB\n\
             written           0 B\n\
             nodes             12,345\n\
             open files        3\n\
             open directories  24 of at most 8,192\n\
             listings          2 with 10 names, 2.05 kB\n\
             hard links        0\n\
             forgotten         0 attributes, 0 listings, 0 names, 0 contents\n\
             memory            12.3 MB\n\
             descriptors       40 of at most 1,048,576\n"
        );
        assert!(report(&Snapshot::default(), None).starts_with("no requests\n\ntime              0.0 s\n"));
    }

    #[test]
    fn numbers_and_times() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        for (nanoseconds, text) in [
            (256, "256 ns"),
            (999, "999 ns"),
            (1024, "1.0 µs"),
            (9949, "9.9 µs"),
            (28_672, "29 µs"),
            (999_499, "999 µs"),
            (999_500, "1.0 ms"),
            (1 << 35, "34 s"),
        ] {
            assert_eq!(time(nanoseconds), text, "{nanoseconds}");
        }
        assert_eq!((period(59_999).as_str(), period(7_200_000).as_str()), ("60.0 s", "2 hours"));
    }
}
