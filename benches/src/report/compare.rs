//! What has changed since another record: each figure as a multiple of its own run's limit, and flagged
//! only if it is outside the spread of both runs.
//!
//! Machines drift from run to run, and limits drift with them; so a figure counts as changed only if
//! it has moved by more than the tolerance in each of three ways: as a multiple of its limit, beyond
//! what the repetitions of both runs differ among themselves, and as plain time. The last keeps a
//! disturbed limit from accusing everybody; it is left out between different processors, where times
//! say nothing. The tolerance grows with the noise: by how much the two runs disagree in general. What one
//! mechanism is judged by is the noise of the others, for a change of its own is none.
//!
//! Two repetitions are no spread, and what was repeated so little is not judged alone. But many figures
//! do not go astray together, and if they do they go both ways: a mechanism is also flagged as a whole, if
//! most of its figures agree, and in part, if some of them have become much slower and next to none faster.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::schema::{Limits, Record, Row};
use super::text::{multiple, size_name, time, wrap};
use super::view::{ONE_WAY, ROUND_TRIP, Situation, is_merged, is_steady, plain_oneway_ns, spread};

/// By how much a figure may differ beyond the spread of both runs.
const TOLERANCE: f64 = 1.25;

/// How many figures of a mechanism are enough to speak of it as a whole.
const MANY: usize = 8;

/// By how much three quarters of a mechanism's figures must have moved, to flag it as a whole; their
/// median by [`TOLERANCE`].
const MOST_AGREE: f64 = 1.1;

/// By how much figures must have moved, to speak of a part of a mechanism: by so much at least, and by
/// so many times the noise.
const FAR: (f64, f64) = (2.0, 3.0);

/// How many such figures are a part, of how many sessions, since a moment in which the machine was busy
/// falls on all figures of one; and how many to one that has become as much faster.
const PART: (usize, usize, usize) = (5, 3, 4);

/// With fewer repetitions than these, the least and the greatest say little.
const REPETITIONS: u32 = 3;

/// How many times the noise a single figure must have moved, and how many a mechanism as a whole.
const NOISES: (f64, f64) = (5.0, 2.0);

/// What has changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Figures that are in both records, with limits.
    pub compared: usize,
    /// Of those, the ones whose spread is known in both.
    pub with_spread: usize,
    /// By which factor two figures of these runs differ in general, if nothing has changed: the median.
    pub noise: f64,
    /// Rows that only one of them has, or that were measured with the cores elsewhere.
    pub left_out: usize,
    /// Mechanisms that have become slower as a whole: name, figures, and their median factor.
    pub slower_as_a_whole: Vec<(String, usize, f64)>,
    /// Mechanisms that have become much slower in part: name, figures that have, of how many, and their
    /// median factor.
    pub slower_in_part: Vec<(String, usize, usize, f64)>,
    /// What has become slower, the worst first.
    pub slower: Vec<Change>,
    /// What has become faster, the best first.
    pub faster: Vec<Change>,
    /// Limits that have moved: name, and by which factor.
    pub limits: Vec<(String, f64)>,
}

/// A figure outside the spread of both runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The row: mechanism, wait, cores, size.
    pub row: String,
    /// `"rtt"` or `"one way"`.
    pub figure: &'static str,
    /// As a multiple of the limit, before and now.
    pub multiples: (f64, f64),
    /// In nanoseconds, before and now.
    pub ns: (f64, f64),
}

impl Comparison {
    /// Whether anything has become slower.
    pub fn has_regression(&self) -> bool {
        !(self.slower.is_empty()
            && self.slower_as_a_whole.is_empty()
            && self.slower_in_part.is_empty())
    }

    /// Whether most figures were repeated too seldom to be judged one by one.
    fn is_blind(&self) -> bool {
        self.with_spread * 2 < self.compared
    }
}

impl Change {
    /// How many times as long it takes, by multiples of the limit.
    pub fn factor(&self) -> f64 {
        self.multiples.1 / self.multiples.0
    }
}

/// Compares a record with an older one.
pub fn compare(old: &Record, new: &Record) -> Comparison {
    let times_compare = old.machine.cpu == new.machine.cpu;
    let mut comparison = Comparison { limits: moved_limits(old, new), ..Comparison::default() };
    let mut pairs = Vec::new();
    for row in &new.results {
        let before = old.results.iter().find(|before| is_same(before, row));
        let Some(before) = before.filter(|before| before.placement == row.placement) else {
            comparison.left_out += 1;
            continue;
        };
        for (figure, of) in FIGURES {
            let both = of(before, &old.limits).zip(of(row, &new.limits));
            pairs.extend(both.map(|(was, is)| Pair { row, figure, was, is }));
        }
    }
    let in_new = |before: &&Row| new.results.iter().any(|row| is_same(before, row));
    comparison.left_out += old.results.len() - old.results.iter().filter(in_new).count();
    comparison.compared = pairs.len();

    let mut by_mechanism: BTreeMap<&str, Vec<&Pair<'_>>> = BTreeMap::new();
    for pair in &pairs {
        by_mechanism.entry(&pair.row.mechanism).or_default().push(pair);
    }
    comparison.noise = noise(by_mechanism.values()).exp();
    let noises: BTreeMap<&str, f64> = by_mechanism
        .keys()
        .map(|mechanism| (*mechanism, noise_beside(mechanism, &by_mechanism)))
        .collect();
    let at_least =
        |(least, noises): (f64, f64), noise: f64| f64::max(least, (noises * noise).exp());
    for (mechanism, pairs) in by_mechanism {
        let name = || mechanism.to_owned();
        let noise = noises[mechanism];
        let factors = sorted(pairs.iter().map(|pair| pair.least_factor(times_compare)));
        let (quarter, median) = (factors[factors.len() / 4], factors[factors.len() / 2]);
        let most_agree = factors.len() >= MANY && quarter > MOST_AGREE;
        if most_agree && median > at_least((TOLERANCE, NOISES.1), noise) {
            comparison.slower_as_a_whole.push((name(), factors.len(), median));
        } else if let Some((figures, median)) = part(&pairs, at_least(FAR, noise), times_compare) {
            comparison.slower_in_part.push((name(), figures, factors.len(), median));
        }
    }
    for Pair { row, figure, was, is } in pairs.iter().filter(|pair| pair.has_spread()) {
        comparison.with_spread += 1;
        let change = || Change {
            row: name_of(row),
            figure,
            multiples: (was.multiple(), is.multiple()),
            ns: (was.ns, is.ns),
        };
        let by = at_least((TOLERANCE, NOISES.0), noises[row.mechanism.as_str()]);
        if is.is_longer_than(was, by, times_compare) {
            comparison.slower.push(change());
        } else if was.is_longer_than(is, by, times_compare) {
            comparison.faster.push(change());
        }
    }
    comparison.slower.sort_by(|a, b| b.factor().total_cmp(&a.factor()));
    comparison.faster.sort_by(|a, b| a.factor().total_cmp(&b.factor()));
    comparison
}

/// A figure of both records.
#[derive(Clone, Copy, Debug)]
struct Pair<'a> {
    row: &'a Row,
    figure: &'static str,
    was: Measure,
    is: Measure,
}

impl Pair<'_> {
    fn has_spread(&self) -> bool {
        self.was.has_spread && self.is.has_spread
    }

    /// How many times as long it takes, as a multiple of the limit.
    fn factor(&self) -> f64 {
        self.is.multiple() / self.was.multiple()
    }

    /// The same, or as plain time if that is less.
    fn least_factor(&self, times_compare: bool) -> f64 {
        self.factor().min(self.factor_by_time(times_compare).unwrap_or(f64::INFINITY))
    }

    /// The same, or as plain time if that is more.
    fn greatest_factor(&self, times_compare: bool) -> f64 {
        self.factor().max(self.factor_by_time(times_compare).unwrap_or(0.0))
    }

    fn factor_by_time(&self, times_compare: bool) -> Option<f64> {
        times_compare.then_some(self.is.ns / self.was.ns)
    }

    /// What the sessions that measured it have in common.
    fn session(&self) -> (&str, &str, bool, &str, u32, bool, u32) {
        let Row { wait, cores, awake, access, batch, deadline, processes, .. } = self.row;
        (wait, cores, *awake, access, *batch, *deadline, *processes)
    }
}

/// How many figures of a mechanism have become slower by more than `far`, and their median factor; `None`
/// if they are few, or of few sessions, or not many more than those that have become faster.
fn part(pairs: &[&Pair<'_>], far: f64, times_compare: bool) -> Option<(usize, f64)> {
    let slower = pairs.iter().filter(|pair| pair.least_factor(times_compare) > far);
    let slower: Vec<_> = slower.collect();
    let faster =
        pairs.iter().filter(|pair| pair.greatest_factor(times_compare) < 1.0 / far).count();
    let sessions: BTreeSet<_> = slower.iter().map(|pair| pair.session()).collect();
    let (figures, of_sessions, to_one) = PART;
    let is_part = slower.len() >= figures.max(to_one * faster) && sessions.len() >= of_sessions;
    let factors = sorted(slower.iter().map(|pair| pair.least_factor(times_compare)));
    is_part.then(|| (factors.len(), factors[factors.len() / 2]))
}

/// By how much the logarithms of figures move in general, beside what a mechanism has moved as a whole:
/// the median. Zero of nothing.
fn noise<'a>(mechanisms: impl Iterator<Item = &'a Vec<&'a Pair<'a>>>) -> f64 {
    let strays = mechanisms.flat_map(|pairs| {
        let factors = sorted(pairs.iter().map(|pair| pair.factor().ln()));
        let median = factors[factors.len() / 2];
        factors.into_iter().map(move |factor| (factor - median).abs())
    });
    let strays = sorted(strays);
    strays.get(strays.len() / 2).copied().unwrap_or(0.0)
}

/// The noise that a mechanism is judged by: that of the others. Where they have few figures, what its own
/// repetitions differ within each run; and where there are none, its own noise.
fn noise_beside(mechanism: &str, by_mechanism: &BTreeMap<&str, Vec<&Pair<'_>>>) -> f64 {
    let others = || by_mechanism.iter().filter(|(name, _)| **name != mechanism).map(|(_, of)| of);
    if others().map(Vec::len).sum::<usize>() >= MANY {
        return noise(others());
    }
    let own = by_mechanism.get(mechanism);
    let measures = own.into_iter().flatten().flat_map(|pair| [pair.was, pair.is]);
    let repeated = measures.filter(|measure| measure.least_ns < measure.most_ns);
    // The middle one strays from the true one by less than half of what the extremes are apart.
    let strays = sorted(repeated.map(|measure| (measure.most_ns / measure.least_ns).ln() / 2.0));
    strays.get(strays.len() / 2).copied().unwrap_or_else(|| noise(own.into_iter()))
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// A figure, how much its repetitions differ, and its limit.
#[derive(Clone, Copy, Debug)]
struct Measure {
    ns: f64,
    least_ns: f64,
    most_ns: f64,
    has_spread: bool,
    limit_ns: f64,
}

impl Measure {
    fn new(ns: f64, extremes: Option<(f64, f64)>, runs: u32, limit_ns: f64) -> Self {
        let has_spread = extremes.is_some() && runs >= REPETITIONS;
        let (least_ns, most_ns) = extremes.unwrap_or((ns, ns));
        Self { ns, least_ns, most_ns, has_spread, limit_ns }
    }

    fn multiple(&self) -> f64 {
        self.ns / self.limit_ns
    }

    /// Whether it is longer by more than the tolerance, in each way.
    fn is_longer_than(&self, other: &Self, tolerance: f64, times_compare: bool) -> bool {
        let by_limit = self.multiple() / other.multiple();
        let beyond_spread = (self.least_ns / self.limit_ns) / (other.most_ns / other.limit_ns);
        let by_time = if times_compare { self.least_ns / other.most_ns } else { f64::INFINITY };
        by_limit > tolerance && beyond_spread > tolerance && by_time > tolerance
    }
}

type MeasureOf = fn(&Row, &Limits) -> Option<Measure>;

const FIGURES: [(&str, MeasureOf); 2] = [("rtt", round_trip), ("one way", one_way)];

fn round_trip(row: &Row, limits: &Limits) -> Option<Measure> {
    let limit_ns = Situation::of(row)?.limit_ns(limits)?;
    Some(Measure::new(row.rtt_ns.p50?, spread(row, ROUND_TRIP), row.runs, limit_ns))
}

fn one_way(row: &Row, limits: &Limits) -> Option<Measure> {
    let limit_ns = plain_oneway_ns(limits, row.size_bytes)?;
    Some(Measure::new(row.oneway_ns?, spread(row, ONE_WAY), row.runs, limit_ns))
}

/// Whether two rows are about the same thing.
fn is_same(one: &Row, other: &Row) -> bool {
    let key = |row: &Row| {
        (
            (row.mechanism.clone(), row.peer, row.topology.clone(), row.wait.clone()),
            (row.cores.clone(), row.awake, row.access.clone(), row.deadline),
            (row.batch, row.processes, row.size_bytes),
        )
    };
    key(one) == key(other)
}

fn name_of(row: &Row) -> String {
    let situation = Situation::of(row).map_or("elsewhere", |situation| situation.short);
    let mut name = format!("{}, {}, {situation}", row.mechanism, row.wait);
    if row.access != "copy" {
        let _ = write!(name, ", {}", row.access);
    }
    if row.batch != 1 {
        let _ = write!(name, ", batch {}", row.batch);
    }
    if row.deadline {
        name += ", with deadlines";
    }
    if is_merged(row) {
        name += ", two senders";
    }
    let mark = if is_steady(row) { "" } else { "*" };
    name + &format!(", {}{mark}", size_name(row.size_bytes))
}

/// The limits that differ by more than a tenth.
fn moved_limits(old: &Record, new: &Record) -> Vec<(String, f64)> {
    let list = |limits: &Limits| {
        let futex = limits.futex_rtt_ns;
        [
            ("cache line", limits.cacheline_rtt_ns),
            ("futex, cores that halt", futex.idle),
            ("futex, cores awake", futex.awake),
            ("futex, one core", futex.one_core),
        ]
    };
    let mut pairs: Vec<(String, Option<f64>, Option<f64>)> = Vec::new();
    for ((name, was), (_, is)) in list(&old.limits).into_iter().zip(list(&new.limits)) {
        pairs.push((name.into(), was, is));
    }
    for plain in &new.limits.plain_ring {
        let name = format!("plain ring one way, {}", size_name(plain.size_bytes));
        pairs.push((name, plain_oneway_ns(&old.limits, plain.size_bytes), plain.oneway_ns));
    }
    let moved = pairs.into_iter().filter_map(|(name, was, is)| Some((name, is? / was?)));
    moved.filter(|(_, by)| !(0.9..=1.1).contains(by)).collect()
}

/// Writes a comparison for a terminal of 100 columns.
pub fn render(comparison: &Comparison, old_name: &str) -> String {
    let mut text = format!("Compared with {old_name}\n");
    let alone = if comparison.with_spread == comparison.compared {
        "All of them are judged one by one.".into()
    } else {
        let count = comparison.with_spread;
        format!("{count} of them are judged one by one, the others were too seldom repeated.")
    };
    text += &wrap(
        "",
        &format!(
            "{} figures compared as multiples of each run's limits; in general they differ by {} ×. \
             {alone} {} rows left out (in one record only, or cores elsewhere).",
            comparison.compared,
            multiple(Some(comparison.noise)),
            comparison.left_out
        ),
    );
    if !comparison.limits.is_empty() {
        let moved = comparison.limits.iter();
        let moved = moved.map(|(name, by)| format!("{name} {} ×", multiple(Some(*by))));
        text += &wrap("limits that moved: ", &moved.collect::<Vec<_>>().join("; "));
    }
    for (mechanism, figures, factor) in &comparison.slower_as_a_whole {
        let factor = multiple(Some(*factor));
        let _ = writeln!(
            text,
            "slower as a whole: {mechanism}, {factor} × (median of {figures} figures)"
        );
    }
    for (mechanism, figures, of, factor) in &comparison.slower_in_part {
        let factor = multiple(Some(*factor));
        let _ = writeln!(
            text,
            "slower in part: {mechanism}, {figures} of {of} figures, {factor} × (their median)"
        );
    }
    if comparison.is_blind() {
        text += &wrap(
            "",
            &format!(
                "Caution: so few figures could be judged that something slower may hide here, most of \
                 all what is slower by less than {} ×. Runs without --quick, or with fewer sizes and \
                 mechanisms, repeat more.",
                multiple(Some(FAR.0))
            ),
        );
    }
    let mut put = |title: &str, changes: &[Change]| {
        let none = if changes.is_empty() { " none" } else { " × (multiples of the limit; times)" };
        let _ = writeln!(text, "{title}:{none}");
        for change in changes {
            let (was, is) = change.multiples;
            let _ = writeln!(
                text,
                "  {:<46} {:<7} {:>5} ×  ({} → {}; {} → {})",
                change.row,
                change.figure,
                multiple(Some(change.factor())),
                multiple(Some(was)),
                multiple(Some(is)),
                time(Some(change.ns.0)),
                time(Some(change.ns.1)),
            );
        }
    };
    put("slower", &comparison.slower);
    put("faster", &comparison.faster);
    text
}

#[cfg(test)]
mod tests;
