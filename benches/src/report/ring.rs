//! Our ring beside its limits, in every manner in which it was measured; what a link of it costs; and
//! what was measured at fixed rates. As text for a terminal of 100 columns.

use super::schema::{LinkCosts, Record, Row};
use super::table::{add_row, aligned, lines, new_table};
use super::text::{multiple, size_name, time, wrap};
use super::view::is_one_by_one;

/// A row of the table: what it shows, which rows of the record it is about, and the figure.
type Line = (&'static str, fn(&Row) -> bool, fn(&Record, &Row) -> Option<f64>);

const LINES: [Line; 17] = [
    ("round trip, × textbook's ring", |row| is(row, "ring", "spin"), |_, r| r.rtt_plain_multiple),
    ("  in place, × textbook's in place", |row| is_in_place(row), |_, r| r.rtt_plain_multiple),
    ("  in place, × cache line", |row| is_in_place(row), |_, r| r.rtt_multiple),
    ("  default wait, × spinning", |row| is(row, "ring", "adaptive"), by_spinning),
    ("  parked, cores awake, × futex", |r| is(r, "ring", "park") && r.awake, |_, r| r.rtt_multiple),
    ("  the same with deadlines", |r| is_timed(r) && r.awake, |_, r| r.rtt_multiple),
    ("  parked, one core, × futex", |r| is(r, "ring", "park") && one(r), |_, r| r.rtt_multiple),
    ("  the same with deadlines", |r| is_timed(r) && one(r), |_, r| r.rtt_multiple),
    ("one way, spinning, × textbook's", |r| is(r, "ring", "spin"), |_, r| r.oneway_multiple),
    ("  default wait", |row| is(row, "ring", "adaptive"), |_, r| r.oneway_multiple),
    ("  batches, spinning", |row| is_batch(row, "spin"), |_, r| r.oneway_multiple),
    ("  batches, default wait", |row| is_batch(row, "adaptive"), |_, r| r.oneway_multiple),
    ("  in place, × textbook's in place", |row| is_in_place(row), |_, r| r.oneway_multiple),
    ("one way, spinning, × bare records", |r| is(r, "ring", "spin"), by_bare),
    ("  default wait", |row| is(row, "ring", "adaptive"), by_bare),
    ("  batches, spinning", |row| is_batch(row, "spin"), by_bare),
    ("  batches, default wait", |row| is_batch(row, "adaptive"), by_bare),
];

/// Writes it; nothing if the ring was not measured and nothing at fixed rates.
pub(super) fn text(record: &Record) -> String {
    multiples(record) + &record.links.iter().map(link).collect::<String>() + &paced(record)
}

fn multiples(record: &Record) -> String {
    let ours = |row: &&Row| row.mechanism == "ring";
    let mut sizes: Vec<usize> = record.results.iter().filter(ours).map(|r| r.size_bytes).collect();
    sizes.sort_unstable();
    sizes.dedup();
    if sizes.is_empty() {
        return String::new();
    }
    let mut table = new_table();
    let header = sizes.iter().map(|&size| size_name(size));
    table.set_header(aligned(std::iter::once("the ring beside its limits".into()).chain(header)));
    for (name, is_about, figure) in LINES {
        let cell = |&size: &usize| {
            let row = record.results.iter().find(|row| row.size_bytes == size && is_about(row));
            row.and_then(|row| figure(record, row))
        };
        let cells: Vec<Option<f64>> = sizes.iter().map(cell).collect();
        if cells.iter().any(Option::is_some) {
            let cells = cells.into_iter().map(multiple);
            add_row(&mut table, std::iter::once(name.to_owned()).chain(cells));
        }
    }
    lines(table).join("\n") + "\n\n"
}

fn is(row: &Row, mechanism: &str, wait: &str) -> bool {
    row.mechanism == mechanism && row.wait == wait && is_one_by_one(row)
}

fn is_in_place(row: &Row) -> bool {
    row.mechanism == "ring" && row.access == "in-place"
}

fn is_timed(row: &Row) -> bool {
    row.mechanism == "ring" && row.deadline
}

fn is_batch(row: &Row, wait: &str) -> bool {
    row.mechanism == "ring" && row.batch > 1 && row.wait == wait
}

fn one(row: &Row) -> bool {
    row.cores == "one"
}

fn by_bare(_: &Record, row: &Row) -> Option<f64> {
    row.oneway_bare_multiple
}

/// The round trip by that of the ring that spins, if both were measured in the same placement.
fn by_spinning(record: &Record, row: &Row) -> Option<f64> {
    let same = |other: &&Row| {
        is(other, "ring", "spin")
            && (other.size_bytes, &other.placement) == (row.size_bytes, &row.placement)
    };
    let spinning = record.results.iter().find(same)?;
    Some(row.rtt_ns.p50? / spinning.rtt_ns.p50?)
}

fn link(link: &LinkCosts) -> String {
    let us = |us: Option<f64>| time(us.map(|us| us * 1e3));
    let kb = |kb: Option<f64>| kb.map_or("–".into(), |kb| format!("{kb:.0} KiB"));
    let label = format!(
        "a duplex {} of 2 × {}, memory {}: ",
        link.mechanism,
        size_name(link.capacity_bytes),
        if link.backing == "lazy" { "taken as it is used" } else { "reserved" }
    );
    let costs = format!(
        "set-up {} (p99 {}, least {}, of {}); {} descriptors per end; {} resident when new, {} after \
         use ({} and {} taken){}.",
        us(link.setup_us_p50),
        us(link.setup_us_p99),
        us(link.setup_us_min),
        link.setups,
        link.fds_per_end.map_or("–".into(), |fds| format!("{fds:.0}")),
        kb(link.new_resident_kb),
        kb(link.used_resident_kb),
        kb(link.new_files_kb),
        kb(link.used_files_kb),
        link.parked_cpu_ns_per_s.map_or(String::new(), |ns| {
            format!("; a side that waits uses {} of CPU a second", time(Some(ns)))
        }),
    );
    wrap(&label, &costs)
}

fn paced(record: &Record) -> String {
    let mut table = new_table();
    table.set_header(aligned([
        "at a fixed rate",
        "wait",
        "cores",
        "size",
        "rate/s",
        "came/s",
        "p50",
        "p99",
        "p99.9",
        "max",
    ]));
    for row in &record.results {
        for paced in &row.paced {
            let awake = if row.awake { "two, awake" } else { &row.cores };
            add_row(
                &mut table,
                [
                    row.mechanism.clone(),
                    row.wait.clone(),
                    awake.to_owned(),
                    size_name(row.size_bytes),
                    paced.rate_per_s.to_string(),
                    paced.reached_per_s.map_or("–".into(), |rate| format!("{rate:.0}")),
                    time(paced.p50),
                    time(paced.p99),
                    time(paced.p999),
                    time(paced.max),
                ],
            );
        }
    }
    if table.row_count() == 0 {
        return "\n".into();
    }
    format!(
        "\nOne way, from when each message was due to be sent until it was received\n{}\n\n",
        lines(table).join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;
    use crate::report::schema::Paced;

    #[test]
    fn each_manner_is_shown_where_it_was_measured_and_only_there() {
        let mut record: Record = fixture::record();
        let usual = record.results.iter().find(|row| is(row, "ring", "spin")).expect("one").clone();
        let base = Row { rtt_multiple: Some(1.25), oneway_multiple: Some(0.5), ..usual };
        let oneway_bare_multiple = Some(2.5);
        record.results = vec![
            Row { rtt_plain_multiple: Some(0.875), oneway_bare_multiple, ..base.clone() },
            Row { batch: 32, oneway_multiple: Some(0.25), ..base.clone() },
            Row { access: "in-place".into(), ..base.clone() },
        ];
        let text = multiples(&record);
        let has = |name: &str, figure: &str| {
            text.lines().any(|line| line.starts_with(name) && line.ends_with(figure))
        };
        assert!(has("round trip, × textbook's ring", " 0.88"), "{text}");
        assert!(has("  batches, spinning", " 0.25"), "{text}");
        assert!(has("  in place, × cache line", " 1.25"), "{text}");
        assert!(has("one way, spinning, × bare records", " 2.50"), "{text}");
        assert!(!text.contains("deadlines"), "{text}");
    }

    #[test]
    fn links_and_fixed_rates_fit_the_terminal() {
        let mut record: Record = fixture::record();
        let delays = Paced { rate_per_s: 10_000, p50: Some(150.0), ..Paced::default() };
        record.results[0].paced = vec![delays];
        record.links = vec![LinkCosts {
            mechanism: "ring".into(),
            backing: "lazy".into(),
            capacity_bytes: 1 << 20,
            setups: 210,
            setup_us_p50: Some(31.0),
            setup_us_p99: Some(90.0),
            setup_us_min: Some(28.0),
            fds_per_end: Some(6.0),
            new_resident_kb: Some(8.0),
            used_resident_kb: Some(2056.0),
            new_files_kb: None,
            used_files_kb: None,
            parked_cpu_ns_per_s: Some(0.0),
        }];
        let text = text(&record);
        assert!(text.contains("set-up 31 µs") && text.contains("10000"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}
