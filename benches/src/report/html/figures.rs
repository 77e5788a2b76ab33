//! Which plots a page has: small ones side by side, each about one family of mechanisms, with the ring
//! and the limits in all of them and everybody else faintly behind. Leaves out how a plot is drawn.

use std::ops::Range;

use maud::{Markup, html};

use super::palette::Role;
use super::plot::{Line, Mark, OVERVIEW, PANEL, Plot, Point, Ranking, RankingRow, roomy};
use crate::report::schema::{Record, Row};
use crate::report::text::{multiple, size_name, time};
use crate::report::view::{
    self, Family, Figure, ONE_WAY, ROUND_TRIP, Situation, best, is_merged, is_one_by_one, is_usual,
    marks, ranked, sizes,
};

/// The mechanism that every plot shows.
const RING: &str = "ring";

/// Whether a row is the ring's, between processes or between threads.
fn is_rings(row: &Row) -> bool {
    row.mechanism == RING || row.mechanism == "ring-threads"
}

/// The plot of the ring in other manners than message by message; beside its family's.
const MANNERS: &str = "Shared memory: the ring’s other manners";

/// What a mechanism did, over an axis.
struct Curve<'a> {
    name: String,
    mechanism: &'a str,
    panel: String,
    role: Role,
    points: Vec<Point>,
}

/// A limit that is drawn in.
struct Limit {
    name: &'static str,
    points: Vec<(f64, f64)>,
}

/// Median round trips by size of message.
pub(super) fn round_trips(record: &Record, situation: Situation) -> Plots {
    let curves = curves_by_size(record, situation, ROUND_TRIP, |row| row.rtt_ns.p50, &rtt_tip);
    let limits = &record.limits;
    let ends = size_ends(record);
    let mut drawn = Vec::new();
    if let Some(ns) = situation.limit_ns(limits) {
        let points = ends.iter().map(|&x| (x, ns)).collect();
        drawn.push(Limit { name: situation.limit_name(), points });
    }
    if let Some(rate) = limits.memcpy_gb_s {
        // Each way at least one copy, of as many nanoseconds as there are bytes by the rate.
        let copies =
            sizes(record).into_iter().map(|size| (size_at(size), 2.0 * size as f64 / rate));
        drawn.push(Limit { name: "memory copy", points: copies.collect() });
    }
    if situation.limit_name() == "cache line" {
        let plain = limits.plain_ring.iter();
        let points = plain.filter_map(|p| Some((size_at(p.size_bytes), p.rtt_mean_ns?)));
        drawn.push(Limit { name: "plain ring", points: points.collect() });
    }
    let what = format!("Median round trip by size of message, {}", situation.title);
    panels(&what, &curves, &drawn, &size_ticks(record), tick_time, true, f64::INFINITY)
}

/// Bytes a second of a stream by size of message.
pub(super) fn throughput(record: &Record, situation: Situation) -> Plots {
    let curves = curves_by_size(record, situation, ONE_WAY, |row| row.throughput_gb_s, &oneway_tip);
    let limits = &record.limits;
    let mut drawn = Vec::new();
    if let Some(rate) = limits.memcpy_gb_s {
        let points = size_ends(record).iter().map(|&x| (x, rate)).collect();
        drawn.push(Limit { name: "memory copy", points });
    }
    let plain = limits.plain_ring.iter();
    let points = plain.filter_map(|plain| {
        Some((size_at(plain.size_bytes), plain.size_bytes as f64 / plain.oneway_ns?))
    });
    drawn.push(Limit { name: "plain ring", points: points.collect() });
    let what = format!("Bytes a second of a stream by size of message, {}", situation.title);
    panels(&what, &curves, &drawn, &size_ticks(record), rate_name, false, f64::INFINITY)
}

/// Percentiles of the round trips at one size.
pub(super) fn percentiles(record: &Record, situation: Situation, size: usize) -> Plots {
    let rows = chosen_rows(record, situation).filter(|row| row.size_bytes == size);
    let curves: Vec<Curve<'_>> = best(rows, ROUND_TRIP, label)
        .into_iter()
        .map(|row| {
            let values = trips(row).into_iter().zip(PERCENTILES).enumerate();
            let points = values.filter_map(|(index, (ns, name))| {
                let tip = format!("{}, {}: {name} {}", label(row), row.wait, time(ns));
                Some(Point { x: index as f64, y: ns?, tip })
            });
            curve_of(row, points.collect())
        })
        .collect();
    let limit = situation
        .limit_ns(&record.limits)
        .map(|ns| Limit { name: situation.limit_name(), points: vec![(0.0, ns), (LONGEST, ns)] });
    let ticks: Vec<_> = (0..).map(f64::from).zip(PERCENTILES.map(String::from)).collect();
    let what =
        format!("Percentiles of the round trips of {}, {}", size_name(size), situation.title);
    let limits: Vec<Limit> = limit.into_iter().collect();
    panels(&what, &curves, &limits, &ticks, tick_time, true, LONGEST)
}

/// Everybody's round trips at one size, the fastest first.
pub(super) fn ranking(
    record: &Record,
    situation: Situation,
    size: usize,
    width: Option<u32>,
) -> Option<Markup> {
    let rows = ranked(record, situation, size, ROUND_TRIP);
    let limit = situation.limit_ns(&record.limits);
    let all = rows.iter().flat_map(|row| trips(row)).flatten().chain(limit);
    let x = roomy(all)?;
    let described = rows.iter().map(|row| rtt_tip(row)).collect::<Vec<_>>().join("; ");
    let row = |row: &&Row| RankingRow {
        name: label(row) + &marks(row),
        role: role_of(row),
        values: trips(row),
        tip: rtt_tip(row),
        note: row.rtt_multiple.map_or(String::new(), |by| format!("{} ×", multiple(Some(by)))),
    };
    let ranking = Ranking {
        title: format!("Round trips of {}, {}", size_name(size), situation.title),
        description: described,
        x,
        x_name: tick_time,
        rows: rows.iter().map(row).collect(),
        limit: limit.map(|ns| (ns, format!("{} {}", situation.limit_name(), time(Some(ns))))),
    };
    Some(ranking.svg(width))
}

const PERCENTILES: [&str; 4] = ["p50", "p99", "p99.9", "max"];
/// Where the longest round is: it says what else the machine did, and compares nobody.
const LONGEST: f64 = 3.0;

fn trips(row: &Row) -> [Option<f64>; 4] {
    [row.rtt_ns.p50, row.rtt_ns.p99, row.rtt_ns.p999, row.rtt_ns.max]
}

/// The rows that plots are made of: the usual ones, other libraries between threads, and the ring in its
/// other manners.
fn chosen_rows(record: &Record, situation: Situation) -> impl Iterator<Item = &Row> {
    let of_threads = |row: &Row| row.peer && is_one_by_one(row);
    let chosen = move |row: &&Row| {
        let is_chosen = is_usual(row) || is_rings(row) || of_threads(row);
        situation.has(row) && is_chosen && !is_merged(row)
    };
    record.results.iter().filter(chosen)
}

fn curves_by_size<'a>(
    record: &'a Record,
    situation: Situation,
    figure: Figure,
    value: impl Fn(&Row) -> Option<f64>,
    tip: &dyn Fn(&Row) -> String,
) -> Vec<Curve<'a>> {
    let mut curves: Vec<Curve<'_>> = Vec::new();
    for size in sizes(record) {
        let rows = chosen_rows(record, situation).filter(|row| row.size_bytes == size);
        for row in best(rows, figure, label) {
            let Some(y) = value(row) else { continue };
            let point = Point { x: size_at(size), y, tip: tip(row) };
            match curves.iter_mut().find(|curve| curve.name == label(row)) {
                Some(curve) => curve.points.push(point),
                None => curves.push(curve_of(row, vec![point])),
            }
        }
    }
    // As the record has them, so that marks and places stay from plot to plot.
    let order = view::mechanisms(record);
    curves.sort_by_key(|curve| order.iter().position(|name| *name == curve.mechanism));
    curves
}

fn curve_of(row: &Row, points: Vec<Point>) -> Curve<'_> {
    let family = Family::of(row).title();
    let threads = if row.processes == 1 { ", between threads" } else { "" };
    let is_manner = is_rings(row) && !is_usual(row);
    Curve {
        name: label(row),
        mechanism: &row.mechanism,
        panel: if is_manner { MANNERS.into() } else { format!("{family}{threads}") },
        role: if is_manner { Role::Memory } else { role_of(row) },
        points,
    }
}

fn role_of(row: &Row) -> Role {
    match Family::of(row) {
        _ if row.mechanism == RING => Role::Ring,
        Family::SharedMemory => Role::Memory,
        Family::Peers => Role::Peer,
        _ => Role::Kernel,
    }
}

/// How many lines one plot is about, at most: as many as there are marks.
const MARKS: [Mark; 4] = [Mark::Square, Mark::Triangle, Mark::Cross, Mark::Circle];

/// What there is to see of one kind.
#[derive(Default)]
pub(super) struct Plots {
    /// Everybody in one plot; for a screen that has room for all the names.
    pub(super) overview: Option<Markup>,
    /// One plot for each family, or several if it is large.
    pub(super) panels: Vec<Markup>,
}

/// All plots of one kind, with the same axes.
fn panels(
    what: &str,
    curves: &[Curve<'_>],
    limits: &[Limit],
    ticks: &[(f64, String)],
    y_name: fn(f64) -> String,
    less_is_better: bool,
    compared_up_to: f64,
) -> Plots {
    let measured = curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.y));
    let Some(mut y) = roomy(measured) else { return Plots::default() };
    let ends = limits.iter().flat_map(|limit| limit.points.iter().map(|point| point.1));
    // A limit far away is cut off rather than all else pressed together.
    let reach = y.start / 8.0..y.end * 8.0;
    if let Some(all) = roomy(ends.filter(|end| reach.contains(end))) {
        y = y.start.min(all.start)..y.end.max(all.end);
    }
    let ring = curves.iter().find(|curve| curve.name == RING);
    let mut titles: Vec<&str> = Vec::new();
    for curve in curves {
        if !titles.contains(&curve.panel.as_str()) {
            titles.push(&curve.panel);
        }
    }
    titles.sort_by_key(|title| {
        (Family::ALL.iter().position(|of| title.starts_with(of.title())), *title == MANNERS)
    });
    let mut figures = Vec::new();
    for title in titles {
        let of_panel = |curve: &&Curve<'_>| curve.panel == title && curve.name != RING;
        let subjects: Vec<&Curve<'_>> = curves.iter().filter(of_panel).collect();
        for about in chunks(&subjects) {
            let mut lines = Vec::new();
            let is_drawn = |curve: &&Curve<'_>| {
                curve.name == RING || about.iter().any(|subject| subject.name == curve.name)
            };
            let others = curves.iter().filter(|curve| curve.panel != MANNERS);
            for curve in others.filter(|curve| !is_drawn(curve)) {
                lines.push(line("", Role::Context, Mark::None, curve.points.clone()));
            }
            lines.extend(limits.iter().map(|limit| limit.line_within(&y)));
            for (subject, mark) in about.iter().zip(MARKS) {
                let name = subject.name.trim_end_matches(" (threads)"); // the title says it
                lines.push(line(name, subject.role, mark, subject.points.clone()));
            }
            lines.extend(ring.map(|r| line(RING, Role::Ring, Mark::Circle, r.points.clone())));
            let described = lines.iter().filter_map(describe).collect::<Vec<_>>().join(" ");
            let plot = Plot {
                title: format!("{what}: {title}"),
                description: described,
                ticks: ticks.to_vec(),
                y: y.clone(),
                y_name,
                lines,
                size: PANEL,
            };
            let note = ring.map(|ring| compare(ring, &about, less_is_better, compared_up_to));
            figures.push(html! {
                figure class="panel" {
                    figcaption { b { (title) } span { (note.unwrap_or_default()) } }
                    (plot.svg())
                }
            });
        }
    }
    let mut lines: Vec<Line> = limits.iter().map(|limit| limit.line_within(&y)).collect();
    let others = curves.iter().filter(|curve| curve.panel != MANNERS && curve.name != RING);
    lines.extend(
        others
            .zip(MARKS.into_iter().cycle())
            .map(|(curve, mark)| line(&curve.name, curve.role, mark, curve.points.clone())),
    );
    lines.extend(ring.map(|ring| line(RING, Role::Ring, Mark::Circle, ring.points.clone())));
    let overview = Plot {
        title: format!("{what}: everybody"),
        description: lines.iter().filter_map(describe).collect::<Vec<_>>().join(" "),
        ticks: ticks.to_vec(),
        y: y.clone(),
        y_name,
        lines,
        size: OVERVIEW,
    };
    Plots { overview: Some(overview.svg()), panels: figures }
}

impl Limit {
    /// As a line, as far as it is within the plot.
    fn line_within(&self, y: &Range<f64>) -> Line {
        let points = self.points.iter().filter(|(_, at)| y.contains(at));
        let points = points.map(|&(x, y)| Point { x, y, tip: String::new() }).collect();
        line(self.name, Role::Limit, Mark::None, points)
    }
}

/// In parts of as many as there are marks; one empty part of nothing.
fn chunks<'a, 'b>(subjects: &[&'a Curve<'b>]) -> Vec<Vec<&'a Curve<'b>>> {
    match subjects {
        [] => vec![Vec::new()],
        _ => subjects.chunks(MARKS.len()).map(<[_]>::to_vec).collect(),
    }
}

fn line(name: &str, role: Role, mark: Mark, points: Vec<Point>) -> Line {
    Line { name: name.into(), role, mark, points }
}

fn describe(line: &Line) -> Option<String> {
    let tips: Vec<&str> = line.points.iter().map(|point| point.tip.as_str()).collect();
    (line.mark != Mark::None && !tips.is_empty()).then(|| format!("{}.", tips.join("; ")))
}

/// How far the best of these are from the ring at the places before `up_to`, from the closest to the
/// furthest.
fn compare(ring: &Curve<'_>, others: &[&Curve<'_>], less_is_better: bool, up_to: f64) -> String {
    let ratios = ring.points.iter().filter(|point| point.x < up_to).filter_map(|point| {
        let there = others.iter().flat_map(|other| &other.points).filter(|of| of.x == point.x);
        let ratio = |of: &Point| if less_is_better { of.y / point.y } else { point.y / of.y };
        there.map(ratio).min_by(f64::total_cmp)
    });
    let Some((least, most)) = super::plot::extent(ratios) else { return String::new() };
    let (least, most) = (short_multiple(least), short_multiple(most));
    let range = if least == most { least } else { format!("{least}–{most}") };
    format!("{range} × the ring’s time")
}

fn short_multiple(ratio: f64) -> String {
    match ratio {
        _ if ratio < 0.01 => "<0.01".into(),
        _ if ratio < 0.95 => format!("{ratio:.2}"),
        _ if ratio < 9.95 => format!("{ratio:.1}"),
        _ => format!("{ratio:.0}"),
    }
}

/// A mechanism's name, or for the ring in another manner that manner.
pub(super) fn label(row: &Row) -> String {
    let manner = manner(row);
    match (manner.is_empty(), is_rings(row)) {
        (true, _) => row.mechanism.clone(),
        (false, true) => manner,
        (false, false) => format!("{} ({manner})", row.mechanism),
    }
}

/// In what a row differs from messages that two processes copy one by one.
pub(super) fn manner(row: &Row) -> String {
    let mut parts = Vec::new();
    if row.access != "copy" {
        parts.push(row.access.replace('-', " "));
    }
    if row.batch != 1 {
        parts.push(format!("batches of {}", row.batch));
    }
    if row.deadline {
        parts.push("deadlines".into());
    }
    if row.processes == 1 {
        parts.push("threads".into());
    }
    if is_merged(row) {
        parts.push("two senders".into());
    }
    parts.join(", ")
}

fn rtt_tip(row: &Row) -> String {
    let rtt = &row.rtt_ns;
    format!(
        "{}, {}, {}: p50 {}, p99 {}, p99.9 {}, max {}",
        label(row),
        row.wait,
        size_name(row.size_bytes),
        time(rtt.p50),
        time(rtt.p99),
        time(rtt.p999),
        time(rtt.max)
    )
}

fn oneway_tip(row: &Row) -> String {
    let rate = row.throughput_gb_s.map_or("–".into(), rate_name);
    format!(
        "{}, {}, {}: {} a message, {rate}",
        label(row),
        row.wait,
        size_name(row.size_bytes),
        time(row.oneway_ns)
    )
}

/// A time at a tick, which is a power of ten.
fn tick_time(ns: f64) -> String {
    time(Some(ns)).replace(".0 ", " ")
}

/// A rate in three digits or so.
pub(super) fn rate_name(gb_s: f64) -> String {
    let digits = |value: f64| {
        if value < 9.95 && (value - value.round()).abs() > 0.01 {
            format!("{value:.1}")
        } else {
            format!("{value:.0}")
        }
    };
    match gb_s {
        _ if gb_s >= 0.9995 => format!("{} GB/s", digits(gb_s)),
        _ if gb_s >= 0.9995e-3 => format!("{} MB/s", digits(gb_s * 1e3)),
        _ => format!("{} kB/s", digits(gb_s * 1e6)),
    }
}

/// Where a size lies on the x axis.
fn size_at(bytes: usize) -> f64 {
    (bytes as f64).log2()
}

fn size_ends(record: &Record) -> Vec<f64> {
    let Range { start, end } = match (sizes(record).first(), sizes(record).last()) {
        (Some(&first), Some(&last)) => size_at(first)..size_at(last),
        _ => return Vec::new(),
    };
    vec![start, end]
}

/// At most six of the sizes, evenly spread.
fn size_ticks(record: &Record) -> Vec<(f64, String)> {
    let sizes = sizes(record);
    let step = sizes.len().div_ceil(6).max(1);
    sizes.into_iter().step_by(step).map(|size| (size_at(size), size_name(size))).collect()
}
