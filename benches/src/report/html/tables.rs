//! The page's tables: the machine, what overtakes what, multiples of the limits, the limits themselves,
//! and every figure of the record.

use maud::{Markup, html};

use super::figures::{manner, rate_name};
use crate::report::advice::{self, Overtakes, rough_size};
use crate::report::schema::{Record, Row, WakeLimits};
use crate::report::text::{multiple, number, size_name, time};
use crate::report::view::{self, ONE_WAY, ROUND_TRIP, SITUATIONS, is_usual, marks, ranked, sizes};

/// Where it was measured, in one line.
pub(super) fn machine(record: &Record) -> Markup {
    let machine = &record.machine;
    let mut facts = vec![
        format!("{}, {} processors", machine.cpu, machine.cores),
        format!("processes on {} and {}", machine.cpus[0], machine.cpus[1]),
    ];
    facts.extend(machine.memory_mib.map(|mib| format!("{:.0} GiB", mib as f64 / 1024.0)));
    facts.extend(machine.virtual_machine.filter(|is| *is).map(|_| "virtual machine".into()));
    facts.push(record.kernel.clone());
    facts.push(machine.rustc.clone());
    facts.extend(record.commit.as_ref().map(|commit| format!("commit {commit}")));
    html! { (facts.join(" · ")) }
}

/// From which size shared memory overtakes each mechanism of the kernel; nothing if they were not measured
/// beside each other.
pub(super) fn overtaking(record: &Record) -> Markup {
    let cell = |of: Overtakes| match of {
        Overtakes::Always => html! { td.yes { "always" } },
        Overtakes::From(bytes) => html! { td { "from " (rough_size(bytes)) } },
        Overtakes::UpTo(bytes) => html! { td { "up to " (rough_size(bytes)) } },
        Overtakes::Between => html! { td { "at some sizes" } },
        Overtakes::Even => html! { td { "as fast" } },
        Overtakes::Never => html! { td.no { "never" } },
        Overtakes::Unknown => html! { td { "–" } },
    };
    let columns = SITUATIONS.map(|situation| in_lines(situation.short)).into_iter();
    let columns = columns.chain(["stream".to_owned()]);
    let head =
        html! { th scope="col" { "than" } @for name in columns { th scope="col" { (name) } } };
    let all = advice::overtaking(record);
    if all.is_empty() {
        return html! {};
    }
    let body = html! {
        @for (name, of) in all {
            tr { th scope="row" { (name) } @for each in of { (cell(each)) } }
        }
    };
    html! {
        div {
            h3 { "From which size shared memory is faster" }
            (scrolling("From which size shared memory is faster", &head, &body))
            p.note { "Round trips (p50) in each way of waiting, and a stream between two that look." }
        }
    }
}

/// The parts of a heading below each other.
fn in_lines(heading: &str) -> String {
    heading.replace(", ", ",\n")
}

/// What each mechanism costs, as multiples of the limits.
pub(super) fn multiples(record: &Record) -> Markup {
    let (Some(small), large) = (view::small_size(record), view::large_size(record)) else {
        return html! {};
    };
    let [looking, ..] = SITUATIONS;
    let mut names = view::mechanisms(record);
    names.retain(|name| has_size(record, name, small));
    if names.is_empty() {
        return html! {};
    }
    let of = |name: &str, rows: Vec<&Row>, figure: &dyn Fn(&Row) -> Option<f64>| {
        multiple(rows.into_iter().find(|row| row.mechanism == name).and_then(figure))
    };
    let limits = &record.limits;
    let copying = |row: &Row| Some(limits.memcpy_gb_s? / row.throughput_gb_s?);
    let head = html! {
        th scope="col" { "times the limit" }
        @for situation in SITUATIONS {
            th scope="col" { (in_lines(situation.short)) br; small { "× " (situation.limit_name()) } }
        }
        th scope="col" { "stream" br; small { "× plain ring" } }
        @if let Some(large) = large {
            th scope="col" { "stream,\n" (size_name(large)) br; small { "× memory copy" } }
        }
    };
    let body = html! {
        @for name in names {
            tr {
                th scope="row" { (name) }
                @for situation in SITUATIONS {
                    td { (of(name, ranked(record, situation, small, ROUND_TRIP),
                             &|row| row.rtt_multiple)) }
                }
                td { (of(name, ranked(record, looking, small, ONE_WAY),
                         &|row| row.oneway_multiple)) }
                @if let Some(large) = large {
                    td { (of(name, ranked(record, looking, large, ONE_WAY), &copying)) }
                }
            }
        }
    };
    html! {
        div {
            h3 { "What each costs as a multiple of its limit" }
            (scrolling("Multiples of the limits", &head, &body))
            p.note { "Messages of " (size_name(small)) " unless the column says otherwise." }
        }
    }
}

/// Whether a mechanism was measured between processes at this size.
fn has_size(record: &Record, name: &str, size: usize) -> bool {
    record
        .results
        .iter()
        .any(|row| row.mechanism == name && row.size_bytes == size && is_usual(row))
}

/// What the machine allows.
pub(super) fn limits(record: &Record) -> Markup {
    let limits = &record.limits;
    let wakes = |wake: &WakeLimits| {
        html! { td { (time(wake.idle)) } td { (time(wake.awake)) } td { (time(wake.one_core)) } }
    };
    let head = html! {
        th scope="col" { "round trip of" }
        th scope="col" { "cores that halt" }
        th scope="col" { "kept awake" }
        th scope="col" { "one core" }
    };
    let body = html! {
        tr { th scope="row" { "a cache line" } td { (time(limits.cacheline_rtt_ns)) } td {} td {} }
        tr { th scope="row" { "a futex" } (wakes(&limits.futex_rtt_ns)) }
        tr { th scope="row" { "an eventfd" } (wakes(&limits.eventfd_rtt_ns)) }
    };
    let ring_head = html! {
        th scope="col" { "the textbook’s ring" }
        @for plain in &limits.plain_ring { th scope="col" { (size_name(plain.size_bytes)) } }
    };
    let ring_body = html! {
        tr {
            th scope="row" { "round trip" }
            @for plain in &limits.plain_ring { td { (time(plain.rtt_mean_ns)) } }
        }
        tr {
            th scope="row" { "one way" }
            @for plain in &limits.plain_ring { td { (time(plain.oneway_ns)) } }
        }
        @if limits.plain_ring.iter().any(|plain| plain.oneway_min_ns.is_some()) {
            tr {
                th scope="row" { "least – most" }
                @for plain in &limits.plain_ring {
                    td { (time(plain.oneway_min_ns)) " – " (time(plain.oneway_max_ns)) }
                }
            }
        }
        @if !limits.bare_stream.is_empty() {
            tr {
                th scope="row" { "bare records, one way" }
                @for bare in &limits.bare_stream { td { (time(bare.oneway_ns)) } }
            }
        }
        @if !limits.own_work.is_empty() {
            tr {
                th scope="row" { "own work" }
                @for own in &limits.own_work {
                    td { @if let Some((send, recv)) = own.send_ns.zip(own.recv_ns) {
                        (format!("{send:.1}+{recv:.1} ns"))
                    } }
                }
            }
        }
    };
    html! {
        section aria-labelledby="limits" {
            h2 #limits { "The limits of this machine" }
            div.pair {
                (scrolling("Round trips", &head, &body))
                (scrolling("The textbook’s ring", &ring_head, &ring_body))
            }
            p.note {
                "Own work: what the loops of a stream do themselves, sender and receiver. "
                "Memory is copied at " (limits.memcpy_gb_s.map_or("–".into(), rate_name))
                "; an empty system call takes " (time(limits.syscall_ns)) "."
            }
        }
    }
}

/// Every row of the record, size by size.
pub(super) fn everything(record: &Record) -> Markup {
    html! {
        section aria-labelledby="everything" {
            h2 #everything { "Every figure" }
            @for size in sizes(record) {
                details {
                    summary { (size_name(size)) }
                    (every_figure_of(record, size))
                }
            }
            p.note {
                "Round trips, and one way: the time of a stream by its messages, with the least and the \
                 greatest of the repetitions. × limit and × ring as above. Polls: how often the \
                 receiver of the stream looked in vain, by message. * The cores were not near each \
                 other, or moved. † It wants a core more than there is. ‡ Mostly it had its answer before it \
                 slept."
            }
        }
    }
}

const COLUMNS: [&str; 17] = [
    "wait", "manner", "p50", "p99", "p99.9", "max", "× limit", "one way", "× ring", "least",
    "most", "rate", "polls", "CPU", "set-up", "fds", "memory",
];

fn every_figure_of(record: &Record, size: usize) -> Markup {
    let head = html! {
        th scope="col" { "mechanism" }
        @for name in COLUMNS { th scope="col" { (name) } }
    };
    let row = |row: &Row| {
        let rtt = &row.rtt_ns;
        html! {
            tr class=[(row.mechanism == "ring").then_some("ours")] {
                th scope="row" { (row.mechanism) (marks(row)) }
                td.word { (row.wait) }
                td.word { (manner(row)) }
                @for ns in [rtt.p50, rtt.p99, rtt.p999, rtt.max] { td { (time(ns)) } }
                td { (multiple(row.rtt_multiple)) }
                td { (time(row.oneway_ns)) }
                td { (multiple(row.oneway_multiple)) }
                td { (time(row.oneway_min_ns)) }
                td { (time(row.oneway_max_ns)) }
                td { (row.throughput_gb_s.map_or("–".into(), rate_name)) }
                td { (number(row.empty_polls_per_msg)) }
                td { (time(row.cpu_ns_per_msg)) }
                td { (time(row.setup_us.map(|us| us * 1e3))) }
                td { (number(row.fds)) }
                td { (row.rss_kb.map_or("–".into(), |kb| format!("{kb:.0} KiB"))) }
            }
        }
    };
    let body = html! {
        @for situation in SITUATIONS {
            @let rows = sorted(record, |row| row.size_bytes == size && situation.has(row));
            @if !rows.is_empty() {
                tr.group { th colspan=(COLUMNS.len() + 1) scope="rowgroup" { (situation.title) } }
                @for each in rows { (row(each)) }
            }
        }
    };
    scrolling(&format!("Every figure at {}", size_name(size)), &head, &body)
}

/// The rows that are wanted, by their median round trip.
fn sorted(record: &Record, wanted: impl Fn(&Row) -> bool) -> Vec<&Row> {
    let mut rows: Vec<&Row> = record.results.iter().filter(|row| wanted(row)).collect();
    let key = |row: &Row| row.rtt_ns.p50.or(row.oneway_ns).unwrap_or(f64::INFINITY);
    rows.sort_by(|a, b| key(a).total_cmp(&key(b)));
    rows
}

/// A table that scrolls within itself where it is wider than the screen.
pub(super) fn scrolling(name: &str, head: &Markup, body: &Markup) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(name) {
            table { thead { tr { (head) } } tbody { (body) } }
        }
    }
}
