//! The page's tables of what is not a plain round trip or stream: streams at fixed rates, and what a link
//! costs beside its messages.

use maud::{Markup, html};

use super::figures::manner;
use super::tables::scrolling;
use crate::report::merged;
use crate::report::schema::{LinkCosts, Paced, Record, Row};
use crate::report::text::{size_name, time};
use crate::report::view::Situation;

/// A stream that reached less of its rate than this did not keep up.
const KEPT_UP: f64 = 0.98;

/// Streams at fixed rates; nothing if there are none.
pub(super) fn paced(record: &Record) -> Markup {
    let mut all: Vec<(&Row, &Paced)> =
        record.results.iter().flat_map(|row| row.paced.iter().map(move |of| (row, of))).collect();
    if all.is_empty() {
        return html! {};
    }
    let key = |of: &Paced| of.p50.unwrap_or(f64::INFINITY);
    all.sort_by(|(_, a), (_, b)| a.rate_per_s.cmp(&b.rate_per_s).then(key(a).total_cmp(&key(b))));
    let head = html! {
        th scope="col" { "mechanism" }
        @for name in ["wait", "where", "size", "a second", "p50", "p99", "p99.9", "max"] {
            th scope="col" { (name) }
        }
    };
    let body = html! {
        @for (row, of) in all {
            tr class=[(row.mechanism == "ring").then_some("ours")] {
                th scope="row" { (row.mechanism) }
                td.word { (row.wait) @let manner = manner(row); @if !manner.is_empty() { ", " (manner) } }
                td.word { (Situation::of(row).map_or("–", |situation| situation.short)) }
                td { (size_name(row.size_bytes)) }
                td { (rate(of.rate_per_s)) @if !keeps_up(of) { "†" } }
                @for ns in [of.p50, of.p99, of.p999, of.max] { td { (time(ns)) } }
            }
        }
    };
    html! {
        section aria-labelledby="paced" {
            h2 #paced { "At a fixed rate" }
            p.how {
                "A message is due at each tick, whether the one before has arrived or not, and its time "
                "runs from that tick until it was received: what a stall delays counts, message by "
                "message. † The link did not keep up with the rate."
            }
            (scrolling("Streams at fixed rates", &head, &body))
        }
    }
}

/// Messages a second, in thousands or millions where they are whole.
fn rate(per_s: u32) -> String {
    match per_s {
        _ if per_s >= 1_000_000 && per_s.is_multiple_of(1_000_000) => {
            format!("{} M", per_s / 1_000_000)
        }
        _ if per_s >= 1_000 && per_s.is_multiple_of(1_000) => format!("{} k", per_s / 1_000),
        _ => per_s.to_string(),
    }
}

fn keeps_up(of: &Paced) -> bool {
    of.reached_per_s.is_none_or(|reached| reached >= KEPT_UP * f64::from(of.rate_per_s))
}

/// Streams of two senders to one receiver; nothing if there are none.
pub(super) fn merged(record: &Record) -> Markup {
    let rows = merged::rows(record);
    if rows.is_empty() {
        return html! {};
    }
    let head = html! {
        th scope="col" { "mechanism" }
        th scope="col" { "wait" }
        @for size in merged::sizes(record) { th scope="col" { (size_name(size)) } }
    };
    let body = html! {
        @for row in rows {
            tr {
                th scope="row" { (row.mechanism) }
                td.word { (row.wait) }
                @for figure in row.figures { td { (figure) } }
            }
        }
    };
    html! {
        section aria-labelledby="merged" {
            h2 #merged { "Two senders to one receiver" }
            p.how { (merged::MEANING) }
            (scrolling("Streams of two senders", &head, &body))
        }
    }
}

/// What links cost beside their messages; nothing if that was not measured.
pub(super) fn links(record: &Record) -> Markup {
    if record.links.is_empty() {
        return html! {};
    }
    let us = |us: Option<f64>| time(us.map(|us| us * 1e3));
    let kb = |kb: Option<f64>| kb.map_or("–".into(), |kb| format!("{kb:.0} KiB"));
    let head = html! {
        th scope="col" { "a duplex link" }
        @for name in [
            "memory", "each way", "set-up p50", "p99", "least", "fds per end", "new: resident", "taken",
            "used: resident", "taken", "CPU a second, waiting",
        ] { th scope="col" { (name) } }
    };
    let row = |link: &LinkCosts| {
        html! {
            tr {
                th scope="row" { (link.mechanism) }
                td.word { (link.backing) }
                td { (size_name(link.capacity_bytes)) }
                @for each in [link.setup_us_p50, link.setup_us_p99, link.setup_us_min] { td { (us(each)) } }
                td { (link.fds_per_end.map_or("–".into(), |fds| format!("{fds:.0}"))) }
                td { (kb(link.new_resident_kb)) }
                td { (kb(link.new_files_kb)) }
                td { (kb(link.used_resident_kb)) }
                td { (kb(link.used_files_kb)) }
                td { (time(link.parked_cpu_ns_per_s)) }
            }
        }
    };
    let body = html! { @for link in &record.links { (row(link)) } };
    html! {
        section aria-labelledby="links" {
            h2 #links { "What a link costs beside its messages" }
            (scrolling("What a link costs", &head, &body))
        }
    }
}
