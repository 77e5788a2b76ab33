//! Streams of two senders to one receiver, beside the same mechanism's stream of one: as rows that the
//! terminal and the page show alike.

use super::schema::{Record, Row};
use super::table::{add_row, aligned, lines, new_table};
use super::text::{multiple, size_name, time};
use super::view::{is_merged, is_usual};

/// What it shows.
pub(super) const TITLE: &str = "two senders to one";

/// What the figures mean.
pub(super) const MEANING: &str = "The time of both streams by all their messages (× that of one sender). \
    Two processes on one core send over one link to a third on another.";

/// A mechanism in one way of waiting: of each size a figure, if it was measured.
pub(super) struct MergedRow<'a> {
    pub(super) mechanism: &'a str,
    pub(super) wait: &'a str,
    /// By size, in the order of [`sizes`].
    pub(super) figures: Vec<String>,
}

/// The sizes at which it was measured.
pub(super) fn sizes(record: &Record) -> Vec<usize> {
    let rows = record.results.iter().filter(|row| is_merged(row));
    let mut sizes: Vec<usize> = rows.map(|row| row.size_bytes).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Everything that was measured.
pub(super) fn rows(record: &Record) -> Vec<MergedRow<'_>> {
    let merged = || record.results.iter().filter(|row| is_merged(row));
    let mut kinds: Vec<(&str, &str)> = Vec::new();
    for row in merged() {
        let kind = (row.mechanism.as_str(), row.wait.as_str());
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let of_kind = |(mechanism, wait)| {
        let figure = |size| {
            let mut of_kind =
                merged().filter(|row| (&*row.mechanism, &*row.wait) == (mechanism, wait));
            let row = of_kind.find(|row| row.size_bytes == size);
            row.map_or("–".into(), |row| figure(record, row))
        };
        MergedRow { mechanism, wait, figures: sizes(record).into_iter().map(figure).collect() }
    };
    kinds.into_iter().map(of_kind).collect()
}

fn figure(record: &Record, row: &Row) -> String {
    let alone = record.results.iter().find(|alone| {
        let key = |row: &Row| (row.mechanism.clone(), row.wait.clone(), row.size_bytes, row.awake);
        is_usual(alone) && alone.cores == row.cores && key(alone) == key(row)
    });
    let by = alone.and_then(|alone| Some(row.oneway_ns? / alone.oneway_ns?));
    format!("{} ({})", time(row.oneway_ns), multiple(by))
}

/// As text for the terminal; nothing if it was not measured.
pub(super) fn text(record: &Record) -> String {
    let rows = rows(record);
    if rows.is_empty() {
        return String::new();
    }
    let mut table = new_table();
    let sizes = sizes(record).into_iter().map(size_name);
    table.set_header(aligned([TITLE.to_owned(), "wait".into()].into_iter().chain(sizes)));
    for row in rows {
        let names = [row.mechanism.to_owned(), row.wait.to_owned()];
        add_row(&mut table, names.into_iter().chain(row.figures));
    }
    lines(table).join("\n") + "\n\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn streams_of_two_are_shown_beside_those_of_one() {
        let mut record: Record = fixture::record();
        assert_eq!(text(&record), "", "none was measured");
        let usual =
            |row: &&Row| row.mechanism == "mq-posix" && row.wait == "block" && row.size_bytes == 64;
        let alone = record.results.iter().find(usual).expect("there is one").clone();
        let oneway_ns = alone.oneway_ns.map(|ns| 3.0 * ns);
        let two = Row { topology: "two-to-one".into(), processes: 3, oneway_ns, ..alone };
        for size_bytes in [8, 64, 1024, 65536, 1 << 20] {
            record.results.push(Row { size_bytes, ..two.clone() });
        }
        let widest = Row { mechanism: "shm-semaphore".into(), wait: "adaptive".into(), ..two };
        record.results.push(widest);
        let text = text(&record);
        let line = text.lines().find(|line| line.starts_with("mq-posix")).expect("a row");
        assert!(line.contains("block") && line.contains("(3.00)"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}
