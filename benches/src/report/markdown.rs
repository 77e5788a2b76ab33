//! The README's figures, as Markdown, from a record.

use std::fmt::Write as _;

use super::advice;
use super::schema::Record;
use super::text::{multiple, size_name, time};
use super::view::{self, ONE_WAY, ROUND_TRIP, SITUATIONS, is_usual, mechanisms, ranked};

/// One row for each mechanism: round trips in each situation and a stream, of small messages, each with
/// its multiple of the limit; and the rate of a stream of large ones.
pub fn figures(record: &Record) -> String {
    let (Some(small), large) = (view::small_size(record), view::large_size(record)) else {
        return "Nothing was measured.\n".into();
    };
    let [looking, ..] = SITUATIONS;
    let limits = &record.limits;
    let mut text = format!("| {} |", size_name(small));
    for situation in SITUATIONS {
        let _ = write!(text, " {} (× {}) |", situation.short, situation.limit_name());
    }
    text += " stream (× plain ring) |";
    if let Some(large) = large {
        let _ = write!(text, " stream of {} |", size_name(large));
    }
    text += "\n|---|";
    text += &"---|".repeat(SITUATIONS.len() + 1 + usize::from(large.is_some()));
    text.push('\n');
    let with = |ns: Option<f64>, by: Option<f64>| match (ns, by) {
        (Some(_), Some(_)) => format!("{} ({})", time(ns), multiple(by)),
        _ => time(ns),
    };
    let small_ones = |name: &&str| {
        record
            .results
            .iter()
            .any(|row| row.mechanism == **name && row.size_bytes == small && is_usual(row))
    };
    for name in mechanisms(record).into_iter().filter(small_ones) {
        let _ = write!(text, "| {name} |");
        for situation in SITUATIONS {
            let rows = ranked(record, situation, small, ROUND_TRIP);
            let row = rows.into_iter().find(|row| row.mechanism == name);
            let by = row.and_then(|row| row.rtt_multiple);
            let _ = write!(text, " {} |", with(row.and_then(ROUND_TRIP), by));
        }
        let stream = |size| ranked(record, looking, size, ONE_WAY);
        let row = stream(small).into_iter().find(|row| row.mechanism == name);
        let by = row.and_then(|row| row.oneway_multiple);
        let _ = write!(text, " {} |", with(row.and_then(ONE_WAY), by));
        if let Some(large) = large {
            let row = stream(large).into_iter().find(|row| row.mechanism == name);
            let rate = row.and_then(|row| row.throughput_gb_s);
            let _ =
                write!(text, " {} |", rate.map_or("–".into(), |gb_s| format!("{gb_s:.1} GB/s")));
        }
        text.push('\n');
    }
    text.push('\n');
    for sentence in advice::overtaking_sentences(record) {
        let _ = writeln!(text, "- {sentence}");
    }
    let _ = writeln!(
        text,
        "\n{}, {} processors{}, {}; limits: cache line {}, futex {} / {} / {}, memory copy {} GB/s.",
        record.machine.cpu,
        record.machine.cores,
        if record.machine.virtual_machine == Some(true) { " (virtual)" } else { "" },
        record.kernel,
        time(limits.cacheline_rtt_ns),
        time(limits.futex_rtt_ns.idle),
        time(limits.futex_rtt_ns.awake),
        time(limits.futex_rtt_ns.one_core),
        super::text::number(limits.memcpy_gb_s),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn each_mechanism_has_a_row_with_its_multiples() {
        let text = figures(&fixture::record());
        let ring = text.lines().find(|line| line.starts_with("| ring |")).expect("a row");
        assert!(ring.starts_with("| ring | 213 ns (2.13) | 40 µs (1.01) |"), "{ring}");
        let columns = |line: &str| line.matches('|').count();
        let table = || text.lines().take_while(|line| line.starts_with('|'));
        assert!(table().all(|line| columns(line) == columns(ring)), "{text}");
        let names = mechanisms(&fixture::record()).len();
        let without = 3; // Signals carry no 64 bytes, and threads are not compared with.
        assert_eq!(table().count(), 2 + names - without);
    }
}
