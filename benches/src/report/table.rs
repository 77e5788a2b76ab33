//! The record as tables for a terminal of 100 columns: first everything, by size and in the order of
//! speed; last, where the eye ends, what wins.

use std::fmt::Write as _;

use comfy_table::{Cell as TableCell, CellAlignment, Table, presets};

use super::schema::{Limits, PlainRingLimit, Record, RoundTrips, Row, WakeLimits};
use super::text::{multiple, number, short_time, size_name, time, wrap};
use crate::limits::line::Placement;
use crate::mechanisms::Mechanism;
use crate::runner::Findings;
use crate::session::Wait;

/// Rows that can be compared with each other: the same way of waiting on the same cores.
#[derive(Clone, Copy, Debug)]
struct Group {
    title: &'static str,
    short: &'static str,
    sleeps: bool,
    cores: &'static str,
    awake: bool,
}

const GROUPS: [Group; 4] = [
    Group {
        title: "looking, two cores; × cache line",
        short: "looking",
        sleeps: false,
        cores: "two",
        awake: false,
    },
    Group {
        title: "sleeping, two cores that halt; × futex there",
        short: "sleeping",
        sleeps: true,
        cores: "two",
        awake: false,
    },
    Group {
        title: "sleeping, two cores kept awake; × futex there",
        short: "sleeping, awake",
        sleeps: true,
        cores: "two",
        awake: true,
    },
    Group {
        title: "sleeping, one core; × futex there",
        short: "one core",
        sleeps: true,
        cores: "one",
        awake: false,
    },
];

impl Group {
    fn has(self, row: &Row) -> bool {
        let sleeps = row.wait == Wait::Park.name() || row.wait == Wait::Block.name();
        (sleeps, row.cores.as_str(), row.awake) == (self.sleeps, self.cores, self.awake)
    }
}

/// Writes everything.
pub fn render(
    record: &Record,
    findings: &Findings,
    line: &RoundTrips,
    mechanisms: &[Mechanism],
) -> String {
    let mut text = String::new();
    let mut sizes: Vec<usize> = record.results.iter().map(|row| row.size_bytes).collect();
    sizes.sort_unstable();
    sizes.dedup();
    for &size in &sizes {
        text += &size_table(record, size);
        text += &left_out(findings, mechanisms, size);
        text.push('\n');
    }
    if let Some(&size) = sizes.first() {
        text += &link_table(record, size, sizes.last().copied().unwrap_or(size));
    }
    text += &limits_text(&record.limits, line);
    text += &winners_table(record, &sizes);
    text += &notes(record, findings);
    text
}

/// All rows of one size, group by group, the fastest first.
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
    for group in GROUPS {
        let mut rows: Vec<&Row> =
            record.results.iter().filter(|row| row.size_bytes == size && group.has(row)).collect();
        let key = |row: &Row| row.rtt_ns.p50.unwrap_or(f64::INFINITY);
        rows.sort_by(|a, b| key(a).total_cmp(&key(b)));
        if !rows.is_empty() {
            titles.push((table.row_count(), group.title));
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
    let mark = if is_steady(row) { "" } else { "*" };
    let rtt = &row.rtt_ns;
    [
        format!("{}{mark}", row.mechanism),
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
fn left_out(findings: &Findings, mechanisms: &[Mechanism], size: usize) -> String {
    let unfit = mechanisms.iter().filter_map(|mechanism| {
        let reason = findings.unfit.get(&(mechanism.name, size))?;
        Some(format!("{} ({reason})", mechanism.name))
    });
    let unfit: Vec<String> = unfit.collect();
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
    let mut names: Vec<&str> = record.results.iter().map(|row| row.mechanism.as_str()).collect();
    names.dedup();
    for name in names {
        let find = |group: Group, size: usize| {
            let mut rows = record.results.iter().filter(|row| row.mechanism == name);
            rows.find(|row| group.has(row) && row.size_bytes == size)
        };
        let [looking, sleeping, ..] = GROUPS;
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
        text += &lines(table).join("\n");
        text.push('\n');
    }
    text.push('\n');
    text
}

/// The fastest of each group at each size.
fn winners_table(record: &Record, sizes: &[usize]) -> String {
    let mut table = new_table();
    let mut header = vec![String::from("fastest at")];
    header.extend(GROUPS.map(|group| group.short.to_owned()));
    header.push("one way".into());
    table.set_header(aligned(header));
    for &size in sizes {
        let fastest = |figure: &dyn Fn(&Row) -> Option<f64>| {
            let rows = record.results.iter().filter(|row| row.size_bytes == size);
            let best = rows
                .filter_map(|row| Some((figure(row)?, row)))
                .min_by(|(a, _), (b, _)| a.total_cmp(b));
            best.map_or("–".into(), |(ns, row)| format!("{} {}", row.mechanism, time(Some(ns))))
        };
        let mut cells = vec![size_name(size)];
        cells.extend(GROUPS.map(|group| fastest(&|row| row.rtt_ns.p50.filter(|_| group.has(row)))));
        cells.push(fastest(&|row| row.oneway_ns));
        add_row(&mut table, cells);
    }
    format!("What wins (round trip p50, and one way)\n{}\n", lines(table).join("\n"))
}

fn notes(record: &Record, findings: &Findings) -> String {
    let mut text = String::from("\n");
    let mut lost: Vec<String> = Vec::new();
    for ((cell, size), samples) in &findings.samples {
        let share = samples.iter().map(|sample| sample.lost_share).fold(0.0, f64::max);
        if share > 0.0 {
            lost.push(format!("{cell}, {}: {:.0} %", size_name(*size), share * 100.0));
        }
    }
    if !lost.is_empty() {
        text += &wrap("note: lost in a stream (measured by what arrived): ", &lost.join("; "));
    }
    let away = record.results.iter().filter(|row| !is_steady(row)).count();
    if away > 0 {
        let total = record.results.len();
        let _ =
            writeln!(text, "note: * cores not near each other, or moved: {away} of {total} rows");
    }
    for warning in &findings.warnings {
        text += &wrap("warning: ", warning);
    }
    for ((cell, size), failure) in &findings.failures {
        let size = size.map_or(String::new(), |size| format!(", {}", size_name(size)));
        text += &wrap("failed: ", &format!("{cell}{size}: {failure}"));
    }
    let _ = writeln!(
        text,
        "everything measured {} time{} at least; {}; see --help for the columns.",
        findings.whole_passes,
        if findings.whole_passes == 1 { "" } else { "s" },
        record.kernel
    );
    text
}

/// Whether the cores were where figures can be compared.
fn is_steady(row: &Row) -> bool {
    [Placement::Near, Placement::SameCore].iter().any(|good| good.name() == row.placement)
}

fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

fn add_row<S: Into<String>>(table: &mut Table, cells: impl IntoIterator<Item = S>) {
    table.add_row(aligned(cells));
}

/// The first cell to the left, the others to the right, as numbers want it.
fn aligned<S: Into<String>>(cells: impl IntoIterator<Item = S>) -> Vec<TableCell> {
    let align = |(index, text): (usize, S)| {
        let side = if index == 0 { CellAlignment::Left } else { CellAlignment::Right };
        TableCell::new(text.into()).set_alignment(side)
    };
    cells.into_iter().enumerate().map(align).collect()
}

/// The table's lines, with one space between columns and none at the ends.
fn lines(mut table: Table) -> Vec<String> {
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding(if index == 0 { (0, 1) } else { (1, 0) });
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}
