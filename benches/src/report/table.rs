//! The record as tables for a terminal of 100 columns: first the limits, then everything by size and in
//! the order of speed; last, where the eye ends, what to pick and what to mind.

use std::fmt::Write as _;

use comfy_table::{Cell as TableCell, CellAlignment, ContentArrangement, Table, presets};

use super::advice;
use super::aside::Aside;
use super::merged;
use super::ring;
use super::schema::{Limits, PlainRingLimit, Record, RoundTrips, Row, WakeLimits};
use super::text::{COLUMNS, multiple, number, short_time, size_name, time, wrap};
use super::view::{
    ONE_WAY, ROUND_TRIP, SITUATIONS, Situation, best, is_one_by_one, is_usual, marks, mechanisms,
    ranked, sizes,
};

/// Writes everything.
pub fn render(record: &Record, aside: &Aside) -> String {
    let sizes = sizes(record);
    let mut text = limits_text(&record.limits, &aside.line);
    for &size in &sizes {
        text += &size_table(record, size);
        text += &left_out(aside, size);
        text.push('\n');
    }
    if let (Some(&small), Some(&large)) = (sizes.first(), sizes.last()) {
        text += &link_table(record, small, large);
    }
    text += &merged::text(record);
    text += &ring::text(record);
    text += &winners_table(record, &sizes);
    text += &picks(record);
    text += &notes(record, aside);
    text
}

/// All rows of one size, situation by situation, the fastest first.
fn size_table(record: &Record, size: usize) -> String {
    let mut table = new_table();
    table.set_header(aligned([
        "mechanism",
        "wait",
        "p50",
        "p99",
        "p99.9",
        "max",
        "× limit",
        "one-way",
        "× ring",
        "min–max",
        "polls",
    ]));
    let mut titles = Vec::new();
    for situation in SITUATIONS {
        let here = |row: &&Row| row.size_bytes == size && situation.has(row) && is_one_by_one(row);
        let mut rows: Vec<&Row> = record.results.iter().filter(here).collect();
        let key = |row: &Row| row.rtt_ns.p50.unwrap_or(f64::INFINITY);
        rows.sort_by(|a, b| key(a).total_cmp(&key(b)));
        if !rows.is_empty() {
            let title = format!("{}; × {}", situation.title, situation.limit_name());
            titles.push((table.row_count(), title));
        }
        for row in rows {
            add_row(&mut table, size_row(row));
        }
    }
    // Every row is one line; the titles are no rows, as they would widen a column.
    let mut lines: Vec<String> = lines(table);
    for (rows_above, title) in titles.into_iter().rev() {
        lines.insert(1 + rows_above, format!("— {title}"));
    }
    format!("{} messages: round trip, and one way\n{}\n", size_name(size), lines.join("\n"))
}

fn size_row(row: &Row) -> [String; 11] {
    let oneway_range = match (row.oneway_min_ns, row.oneway_max_ns) {
        (Some(min), Some(max)) => format!("{}–{}", short_time(min), short_time(max)),
        _ => "–".into(),
    };
    let rtt = &row.rtt_ns;
    [
        format!("{}{}", row.mechanism, marks(row)),
        row.wait.clone(),
        time(rtt.p50),
        time(rtt.p99),
        time(rtt.p999),
        time(rtt.max),
        multiple(row.rtt_multiple),
        time(row.oneway_ns),
        multiple(row.oneway_multiple),
        oneway_range,
        number(row.empty_polls_per_msg),
    ]
}

/// What the size table lacks, and why.
fn left_out(aside: &Aside, size: usize) -> String {
    let unfit = aside.unfit.iter().filter(|unfit| unfit.size_bytes == size);
    let unfit: Vec<String> =
        unfit.map(|unfit| format!("{} ({})", unfit.mechanism, unfit.reason)).collect();
    if unfit.is_empty() { String::new() } else { wrap("not at this size: ", &unfit.join(", ")) }
}

/// What a link costs beside time in use.
fn link_table(record: &Record, small: usize, large: usize) -> String {
    let mut table = new_table();
    table.set_header(aligned([
        "a link of".to_owned(),
        "set-up".into(),
        "fds".into(),
        format!("resident, {}", size_name(small)),
        format!("resident, {}", size_name(large)),
        format!("CPU/msg looking, {}", size_name(small)),
        "sleeping".into(),
    ]));
    for name in mechanisms(record) {
        let find = |situation: Situation, size: usize| {
            let mut rows = record.results.iter().filter(|row| row.mechanism == name);
            rows.find(|row| situation.has(row) && row.size_bytes == size)
        };
        let [looking, sleeping, ..] = SITUATIONS;
        let either = |size| find(looking, size).or_else(|| find(sleeping, size));
        let resident = |row: Option<&Row>| {
            row.and_then(|row| row.rss_kb).map_or("–".into(), |kb| format!("{kb:.0} KiB"))
        };
        let Some(row) = either(small) else { continue };
        add_row(
            &mut table,
            [
                name.to_owned(),
                time(row.setup_us.map(|us| us * 1e3)),
                number(row.fds),
                resident(Some(row)),
                resident(either(large)),
                time(find(looking, small).and_then(|row| row.cpu_ns_per_msg)),
                time(find(sleeping, small).and_then(|row| row.cpu_ns_per_msg)),
            ],
        );
    }
    lines(table).join("\n") + "\n\n"
}

fn limits_text(limits: &Limits, line: &RoundTrips) -> String {
    let mut text = String::from("Limits of this machine, measured in the same run\n");
    let mut put = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<32}{value}");
    };
    let wakes = |wake: &WakeLimits| {
        format!(
            "{} halting, {} awake, {} one core",
            time(wake.idle),
            time(wake.awake),
            time(wake.one_core)
        )
    };
    put(
        "cache-line round trip",
        format!(
            "{} (p50 {}, p99 {})",
            time(limits.cacheline_rtt_ns),
            time(line.p50),
            time(line.p99)
        ),
    );
    put("futex round trip", wakes(&limits.futex_rtt_ns));
    put("eventfd round trip", wakes(&limits.eventfd_rtt_ns));
    put("memory copy", format!("{} GB/s", number(limits.memcpy_gb_s)));
    put("empty system call", time(limits.syscall_ns));
    if !limits.plain_ring.is_empty() {
        let mut table = new_table();
        let row = |name: &str, figure: &dyn Fn(&PlainRingLimit) -> String| {
            let name = format!("{name:<30}");
            std::iter::once(name).chain(limits.plain_ring.iter().map(figure)).collect::<Vec<_>>()
        };
        add_row(&mut table, row("textbook's ring", &|plain| size_name(plain.size_bytes)));
        add_row(&mut table, row("  round trip", &|plain| time(plain.rtt_mean_ns)));
        add_row(&mut table, row("  one way", &|plain| time(plain.oneway_ns)));
        let range = |plain: &PlainRingLimit| {
            let ends = plain.oneway_min_ns.zip(plain.oneway_max_ns);
            ends.map_or("–".into(), |(min, max)| {
                format!("{}–{}", short_time(min), short_time(max))
            })
        };
        if limits.plain_ring.iter().any(|plain| plain.oneway_min_ns.is_some()) {
            add_row(&mut table, row("  least–most of the runs", &range));
        }
        if !limits.bare_stream.is_empty() {
            add_row(&mut table, row("bare records, one way", &|plain| bare(limits, plain)));
        }
        if !limits.own_work.is_empty() {
            let own = |plain: &PlainRingLimit| own_work(limits, plain.size_bytes);
            add_row(&mut table, row("own work of the loops, one way", &own));
        }
        text += &lines(table).join("\n");
        text.push('\n');
    }
    text.push('\n');
    text
}

/// The bare stream beside this figure of the textbook's ring.
fn bare(limits: &Limits, plain: &PlainRingLimit) -> String {
    let bare = limits.bare_stream.iter().find(|bare| bare.size_bytes == plain.size_bytes);
    time(bare.and_then(|bare| bare.oneway_ns))
}

/// What the loops do themselves at a size: the sender's and the receiver's.
fn own_work(limits: &Limits, size_bytes: usize) -> String {
    let own = limits.own_work.iter().find(|own| own.size_bytes == size_bytes);
    let both = own.and_then(|own| own.send_ns.zip(own.recv_ns));
    both.map_or("–".into(), |(send, recv)| format!("{send:.1}+{recv:.1} ns"))
}

/// The fastest of each situation at each size.
fn winners_table(record: &Record, sizes: &[usize]) -> String {
    let mut table = new_table();
    // A long name and its time stand below each other.
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(COLUMNS);
    let mut header = vec![String::from("fastest at")];
    header.extend(SITUATIONS.map(|situation| situation.short.to_owned()));
    header.push("one way".into());
    table.set_header(aligned(header));
    for &size in sizes {
        let name =
            |row: &Row, ns: Option<f64>| format!("{}{} {}", row.mechanism, marks(row), time(ns));
        let mut cells = vec![size_name(size)];
        cells.extend(SITUATIONS.map(|here| {
            let rows = ranked(record, here, size, ROUND_TRIP);
            rows.first().map_or("–".into(), |row| name(row, ROUND_TRIP(row)))
        }));
        let streams = record.results.iter().filter(|row| row.size_bytes == size && is_usual(row));
        let streams = best(streams, ONE_WAY, |row| row.mechanism.clone());
        cells.push(streams.first().map_or("–".into(), |row| name(row, ONE_WAY(row))));
        add_row(&mut table, cells);
    }
    format!("What wins (round trip p50, and one way)\n{}\n", lines(table).join("\n"))
}

/// What to pick, in sentences.
fn picks(record: &Record) -> String {
    let mut text = String::from("\nWhat to pick\n");
    for advice in advice::advice(record) {
        let line = format!("{}: {} ({})", advice.when, advice.pick, advice.figure);
        text += &wrap("", &format!("{line}; {}.", advice.because));
    }
    for sentence in advice::overtaking_sentences(record) {
        text += &wrap("", &sentence);
    }
    text
}

fn notes(record: &Record, aside: &Aside) -> String {
    let mut text = String::from("\n");
    if !aside.lost.is_empty() {
        let lost = aside.lost.join("; ");
        text += &wrap("note: lost in a stream (measured by what arrived): ", &lost);
    }
    for warning in advice::warnings(record) {
        text += &wrap("warning: ", &warning);
    }
    if let Some(passes) = aside.whole_passes {
        let times = if passes == 1 { "time" } else { "times" };
        let _ = write!(text, "everything measured {passes} {times} at least; ");
    }
    let _ = writeln!(text, "{}; see --help for the columns.", record.kernel);
    text
}

pub(super) fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

pub(super) fn add_row<S: Into<String>>(table: &mut Table, cells: impl IntoIterator<Item = S>) {
    table.add_row(aligned(cells));
}

/// The first cell to the left, the others to the right, as numbers want it.
pub(super) fn aligned<S: Into<String>>(cells: impl IntoIterator<Item = S>) -> Vec<TableCell> {
    let align = |(index, text): (usize, S)| {
        let side = if index == 0 { CellAlignment::Left } else { CellAlignment::Right };
        TableCell::new(text.into()).set_alignment(side)
    };
    cells.into_iter().enumerate().map(align).collect()
}

/// The table's lines, with one space between columns and none at the ends.
pub(super) fn lines(mut table: Table) -> Vec<String> {
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding(if index == 0 { (0, 1) } else { (1, 0) });
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_tables_fit_a_terminal_and_begin_with_the_limits() {
        let mut record: Record = fixture::record();
        for row in record.results.iter_mut().filter(|row| row.mechanism == "shm-semaphore") {
            row.mechanism = "boost-message-queue".into(); // the longest of all names, and a winner
            row.rtt_ns.p50 = row.rtt_ns.p50.map(|ns| ns / 10.0);
        }
        let text = render(&record, &Aside::default());
        assert!(text.starts_with("Limits of this machine"), "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= 100, "wider than the terminal: {line}");
        }
    }

    #[test]
    fn every_mechanism_and_size_is_in_the_tables() {
        let record: Record = fixture::record();
        let text = render(&record, &Aside::default());
        for size in sizes(&record) {
            let title = format!("{} messages: round trip, and one way", size_name(size));
            assert!(text.contains(&title), "{text}");
        }
        for name in mechanisms(&record) {
            assert!(text.lines().any(|line| line.starts_with(name)), "{name}");
        }
    }

    #[test]
    fn what_went_wrong_is_told_at_the_end() {
        let aside = Aside { lost: vec!["pigeon: 5 %".into()], ..Aside::default() };
        let record = Record { warnings: vec!["it was hot".into()], ..fixture::record() };
        let text = render(&record, &aside);
        assert!(text.contains("by what arrived): pigeon: 5 %\nwarning: it was hot\n"), "{text}");
    }
}
