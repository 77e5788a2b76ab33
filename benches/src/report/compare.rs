//! What has changed since another record: each figure as a multiple of its own run's limit, and flagged
//! only if it is outside the spread of both runs.
//!
//! Machines drift from run to run, and limits drift with them; so a figure counts as changed only if
//! it has moved by more than the tolerance in each of three ways: as a multiple of its limit, beyond
//! what the repetitions of both runs differ among themselves, and as plain time. The last keeps a
//! disturbed limit from accusing everybody; it is left out between different processors, where times
//! say nothing. The tolerance grows with the noise: by how much the two runs disagree in general.
//!
//! Two repetitions are no spread, and what was repeated so little is not judged alone. But many figures
//! do not go astray together: a mechanism is also flagged as a whole, if most of its figures agree.

use std::collections::BTreeMap;
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
        !(self.slower.is_empty() && self.slower_as_a_whole.is_empty())
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
    let noise = noise(by_mechanism.values());
    comparison.noise = noise.exp();
    let tolerance = |noises: f64| TOLERANCE.max((noises * noise).exp());
    for (mechanism, pairs) in by_mechanism {
        let factors = sorted(pairs.iter().map(|pair| pair.least_factor(times_compare)));
        let (quarter, median) = (factors[factors.len() / 4], factors[factors.len() / 2]);
        if factors.len() >= MANY && quarter > MOST_AGREE && median > tolerance(NOISES.1) {
            comparison.slower_as_a_whole.push((mechanism.to_owned(), factors.len(), median));
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
        let by = tolerance(NOISES.0);
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
        let by_time = if times_compare { self.is.ns / self.was.ns } else { f64::INFINITY };
        self.factor().min(by_time)
    }
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
mod tests {
    use super::*;
    use crate::report::fixture;

    fn record() -> Record {
        fixture::record()
    }

    /// The record, with every time of some rows multiplied.
    fn slowed(mut record: Record, by: f64, mut which: impl FnMut(&Row) -> bool) -> Record {
        for row in record.results.iter_mut().filter(|row| which(row)) {
            let rtt = &mut row.rtt_ns;
            for ns in [
                &mut rtt.mean,
                &mut rtt.p50,
                &mut row.rtt_mean_min_ns,
                &mut row.rtt_mean_max_ns,
                &mut row.oneway_ns,
                &mut row.oneway_min_ns,
                &mut row.oneway_max_ns,
            ] {
                *ns = ns.map(|ns| ns * by);
            }
        }
        record
    }

    #[test]
    fn a_record_does_not_differ_from_itself() {
        let comparison = compare(&record(), &record());
        assert!(comparison.slower.is_empty() && comparison.faster.is_empty());
        assert_eq!(comparison.compared, 2 * record().results.len());
        assert_eq!(comparison.left_out, 0);
    }

    #[test]
    fn a_slowed_ring_is_reported_and_nobody_else() {
        let ring = |row: &Row| row.mechanism == "ring";
        let comparison = compare(&record(), &slowed(record(), 1.6, ring));
        let rows = record().results.iter().filter(|row| ring(row)).count();
        assert_eq!(comparison.slower.len(), 2 * rows);
        assert!(comparison.slower.iter().all(|change| change.row.starts_with("ring, ")));
        assert!(comparison.slower.iter().all(|change| (change.factor() - 1.6).abs() < 0.01));
        assert!(comparison.faster.is_empty());
        let [(mechanism, figures, _)] = &comparison.slower_as_a_whole[..] else {
            panic!("only the ring: {:?}", comparison.slower_as_a_whole);
        };
        assert_eq!((mechanism.as_str(), *figures), ("ring", 2 * rows));
        let back = compare(&slowed(record(), 1.6, ring), &record());
        assert_eq!((back.slower.len(), back.faster.len()), (0, 2 * rows));
    }

    #[test]
    fn what_lies_within_the_spread_is_no_change() {
        let mut wide = record();
        for row in &mut wide.results {
            row.oneway_max_ns = row.oneway_ns.map(|ns| ns * 2.0);
            row.rtt_mean_max_ns = row.rtt_ns.mean.map(|ns| ns * 2.0);
        }
        assert!(compare(&wide, &slowed(record(), 1.6, |_| true)).slower.is_empty());
    }

    #[test]
    fn without_a_spread_only_a_mechanism_as_a_whole_is_seen_to_be_slower() {
        let once = |mut record: Record| {
            record.results.iter_mut().for_each(|row| row.runs = 1);
            record
        };
        let comparison = compare(&once(record()), &slowed(once(record()), 1.7, |_| true));
        assert_eq!((comparison.slower.len(), comparison.with_spread), (0, 0));
        assert!(comparison.has_regression() && comparison.slower_as_a_whole.len() > 5);
    }

    #[test]
    fn runs_that_disagree_in_general_accuse_nobody() {
        let mut up = false;
        let noisy = slowed(record(), 3.0, |_| {
            up = !up;
            up
        });
        let comparison = compare(&record(), &noisy);
        assert!(!comparison.has_regression() && comparison.faster.is_empty(), "{comparison:?}");
        assert!((comparison.noise - 3.0).abs() < 0.01, "{}", comparison.noise);
    }

    #[test]
    fn a_machine_that_is_slower_as_a_whole_has_no_regression() {
        let mut slow = slowed(record(), 3.0, |_| true);
        let limits = &mut slow.limits;
        limits.cacheline_rtt_ns = limits.cacheline_rtt_ns.map(|ns| ns * 3.0);
        for ns in [
            &mut limits.futex_rtt_ns.idle,
            &mut limits.futex_rtt_ns.awake,
            &mut limits.futex_rtt_ns.one_core,
        ] {
            *ns = ns.map(|ns| ns * 3.0);
        }
        for plain in &mut limits.plain_ring {
            plain.oneway_ns = plain.oneway_ns.map(|ns| ns * 3.0);
        }
        let comparison = compare(&record(), &slow);
        assert!(!comparison.has_regression() && comparison.compared > 0);
        assert!(comparison.limits.iter().all(|(_, by)| (by - 3.0).abs() < 0.01));
    }

    #[test]
    fn a_disturbed_limit_accuses_nobody() {
        let mut disturbed = record();
        disturbed.limits.cacheline_rtt_ns = Some(10.0);
        assert!(compare(&record(), &disturbed).slower.is_empty());
        assert!(compare(&record(), &disturbed).faster.is_empty());
        let mut elsewhere = disturbed;
        elsewhere.machine.cpu = "Another 1".into();
        let comparison = compare(&record(), &elsewhere);
        assert!(!comparison.slower.is_empty(), "between processors only multiples count");
    }

    #[test]
    fn rows_of_one_record_only_are_counted() {
        let mut fewer = record();
        fewer.results.truncate(10);
        let comparison = compare(&record(), &fewer);
        assert_eq!(comparison.left_out, record().results.len() - 10);
        fewer.results[0].placement = "far".into();
        assert_eq!(compare(&record(), &fewer).left_out, record().results.len() - 9);
    }

    #[test]
    fn the_text_fits_the_terminal_and_says_how_much_was_compared() {
        let text = render(&compare(&record(), &slowed(record(), 3.0, |_| true)), "old.json");
        assert!(text.contains(&format!("{} figures compared", 2 * record().results.len())));
        assert!(text.contains("slower") && text.contains("faster: none"), "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}
