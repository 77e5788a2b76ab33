//! What to pick, in sentences that follow from a record: who is fastest when, from which size of
//! message shared memory overtakes the kernel's mechanisms, and what that was measured by.

use super::schema::{Record, Row};
use super::text::{multiple, size_name, time};
use super::view::{
    self, Family, Figure, ONE_WAY, ROUND_TRIP, SITUATIONS, Situation, is_usual, ranked,
};

/// Who is within this factor of the fastest is as fast, for a choice.
const AS_FAST: f64 = 1.1;

/// Messages of so many bytes are limited by copying, shorter ones by waking and looking.
const LARGE: usize = 4096;

/// An answer to "what shall I use when …".
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// When.
    pub when: String,
    /// What: one mechanism, or several that are as fast.
    pub pick: String,
    /// Its figure.
    pub figure: String,
    /// How far others and the limit are.
    pub because: String,
}

/// The answers that a record gives.
pub fn advice(record: &Record) -> Vec<Advice> {
    let [looking, sleeping, _, one_core] = SITUATIONS;
    let (Some(small), large) = (view::small_size(record), view::large_size(record)) else {
        return Vec::new();
    };
    let messages = |size: usize| format!("messages of {}", size_name(size));
    let mut all = vec![
        (format!("Both sides busy, {}", messages(small)), looking, small, ROUND_TRIP),
        (format!("The receiver sleeps, {}", messages(small)), sleeping, small, ROUND_TRIP),
        (format!("Both on one core, {}", messages(small)), one_core, small, ROUND_TRIP),
        (format!("A stream of {}", messages(small)), looking, small, ONE_WAY),
    ];
    if let Some(large) = large {
        all.push((format!("A stream of {}", messages(large)), looking, large, ONE_WAY));
        all.push((
            format!("Asking and answering, {}", messages(large)),
            looking,
            large,
            ROUND_TRIP,
        ));
    }
    let answer = |(when, situation, size, figure)| one(record, when, situation, size, figure);
    all.into_iter().filter_map(answer).collect()
}

fn one(
    record: &Record,
    when: String,
    situation: Situation,
    size: usize,
    figure: Figure,
) -> Option<Advice> {
    let is_stream = std::ptr::fn_addr_eq(figure, ONE_WAY);
    // Other libraries are compared with, not advised.
    let mut rows = ranked(record, situation, size, figure);
    rows.retain(|row| !view::seldom_slept(row));
    let peer = rows.iter().position(|row| row.peer).map(|index| rows[index]);
    rows.retain(|row| !row.peer);
    let (first, ns) = (*rows.first()?, figure(rows.first()?)?);
    let ratio = |row: &Row| figure(row).map_or(f64::INFINITY, |other| other / ns);
    let tied = rows.iter().take_while(|row| ratio(row) <= AS_FAST || overlap(first, row, figure));
    let pick: Vec<&str> = tied.map(|row| row.mechanism.as_str()).collect();

    let mut reasons = Vec::new();
    let copy_ns = record.limits.memcpy_gb_s.map(|rate| size as f64 / rate);
    if is_stream {
        let by = first.oneway_multiple;
        reasons.extend(by.map(|by| format!("{} × the textbook's ring", multiple(Some(by)))));
    } else if size >= LARGE {
        let by = copy_ns.map(|copy_ns| ns / (2.0 * copy_ns));
        reasons.extend(by.map(|by| format!("{} × a memory copy each way", multiple(Some(by)))));
    } else {
        let by = first.rtt_multiple;
        reasons.extend(
            by.map(|by| format!("{} × the {}", multiple(Some(by)), situation.limit_name())),
        );
    }
    if let Some(next) = rows.get(pick.len()) {
        reasons.push(format!("next is {} with {} ×", next.mechanism, multiple(Some(ratio(next)))));
    }
    let is_kernels = |row: &&&Row| Family::of(row).is_of_the_kernel();
    let kernel = rows.iter().skip(pick.len() + 1).find(is_kernels);
    let next_is_kernels = rows.get(pick.len()).is_some_and(|row| is_kernels(&row));
    if let (Some(kernel), false) = (kernel, next_is_kernels) {
        let by = multiple(Some(ratio(kernel)));
        reasons.push(format!("of the kernel's, {} with {by} ×", kernel.mechanism));
    }
    if let Some(peer) = peer {
        let by = ratio(peer);
        let is_faster = by * AS_FAST < 1.0 && !overlap(peer, first, figure);
        let how = if is_faster { "faster is another library" } else { "of other libraries" };
        reasons.push(format!("{how}, {} with {} ×", peer.mechanism, multiple(Some(by))));
    }
    let each = if is_stream { "a message" } else { "a round trip" };
    let mut shown = format!("{} {each}", time(Some(ns)));
    if let (true, Some(rate)) = (is_stream, first.throughput_gb_s.filter(|_| size >= LARGE)) {
        shown += &format!(", {rate:.1} GB/s");
    }
    Some(Advice { when, pick: pick.join(", "), figure: shown, because: reasons.join("; ") })
}

/// Whether the repetitions of two rows overlap, so that one cannot be said to be faster.
fn overlap(fast: &Row, slow: &Row, figure: Figure) -> bool {
    let within = |row: &Row| {
        let spread = view::spread(row, figure)?;
        (row.runs > 1).then_some(spread)
    };
    within(fast).zip(within(slow)).is_some_and(|((_, most), (least, _))| least <= most)
}

/// At which sizes of message shared memory is faster than a mechanism.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Overtakes {
    /// At every size that was measured for both.
    Always,
    /// At none by more than a tenth, nor slower by more.
    Even,
    /// From about this size; the sizes measured lie on both sides of it.
    From(f64),
    /// Up to about this size; as before.
    UpTo(f64),
    /// At some, but neither the smallest nor the largest.
    Between,
    /// At none.
    Never,
    /// They were not both measured.
    Unknown,
}

/// For each mechanism of the kernel, at which sizes the fastest in shared memory overtakes it: in
/// round trips of each situation, and last in a stream between two that look. Nothing of a mechanism that
/// was measured nowhere beside shared memory.
pub fn overtaking(record: &Record) -> Vec<(&str, [Overtakes; 5])> {
    let mut names = view::mechanisms(record);
    names.retain(|name| {
        record.results.iter().any(|row| {
            row.mechanism == **name && is_usual(row) && Family::of(row).is_of_the_kernel()
        })
    });
    let [looking, ..] = SITUATIONS;
    let of = |name| {
        let [a, b, c, d] = SITUATIONS.map(|each| overtakes(record, name, each, ROUND_TRIP));
        [a, b, c, d, overtakes(record, name, looking, ONE_WAY)]
    };
    let is_known = |of: &[Overtakes; 5]| of.iter().any(|each| *each != Overtakes::Unknown);
    names.into_iter().map(|name| (name, of(name))).filter(|(_, of)| is_known(of)).collect()
}

fn overtakes(record: &Record, name: &str, situation: Situation, figure: Figure) -> Overtakes {
    // By size, how many times as long as in shared memory.
    let mut ratios = Vec::new();
    for size in view::sizes(record) {
        let rows = ranked(record, situation, size, figure);
        let of = |wanted: &dyn Fn(&Row) -> bool| {
            rows.iter().find(|row| wanted(row)).and_then(|row| figure(row))
        };
        let shared = of(&|row| Family::of(row) == Family::SharedMemory);
        let other = of(&|row| row.mechanism == name);
        ratios.extend(shared.zip(other).map(|(shared, other)| (size as f64, other / shared)));
    }
    let clear = |(_, ratio): &(f64, f64)| !(1.0 / AS_FAST..=AS_FAST).contains(ratio);
    let is_win = |(_, ratio): &&(f64, f64)| *ratio > 1.0;
    let first_wins = ratios.iter().take_while(is_win).count();
    let last_wins = ratios.iter().rev().take_while(is_win).count();
    // Where the straight line between a size and the one before, both axes logarithmic, meets one.
    let crossing = |index: usize| {
        let ((below, before), (above, after)) = (ratios[index - 1], ratios[index]);
        let share = -before.ln() / (after.ln() - before.ln());
        (below.ln() + share * (above.ln() - below.ln())).exp()
    };
    match ratios.iter().filter(is_win).count() {
        _ if ratios.is_empty() => Overtakes::Unknown,
        _ if !ratios.iter().any(clear) => Overtakes::Even,
        0 => Overtakes::Never,
        wins if wins == ratios.len() => Overtakes::Always,
        _ if last_wins > 0 => Overtakes::From(crossing(ratios.len() - last_wins)),
        wins if wins == first_wins => Overtakes::UpTo(crossing(first_wins)),
        _ => Overtakes::Between,
    }
}

/// [`overtaking`] in one sentence for each situation that has something to say.
pub fn overtaking_sentences(record: &Record) -> Vec<String> {
    let all = overtaking(record);
    let mut sentences = Vec::new();
    let titles = SITUATIONS.map(|situation| format!("Round trips, {}", situation.title));
    let stream = String::from("A stream, looking, two cores");
    for (index, title) in titles.into_iter().chain([stream]).enumerate() {
        let names = |wanted: &dyn Fn(Overtakes) -> bool| {
            let chosen = all.iter().filter(|(_, of)| wanted(of[index]));
            chosen.map(|(name, _)| *name).collect::<Vec<_>>()
        };
        let mut parts = Vec::new();
        let always = names(&|of| of == Overtakes::Always);
        if !always.is_empty() {
            let known = names(&|of| of != Overtakes::Unknown);
            let every = always.len() == known.len() && known.len() > 1;
            let whom =
                if every { "each of the kernel's mechanisms".into() } else { always.join(", ") };
            parts.push(format!("at every size faster than {whom}"));
        }
        let even = names(&|of| of == Overtakes::Even);
        if !even.is_empty() {
            parts.push(format!("within a tenth as fast as {}", even.join(", ")));
        }
        for (name, of) in &all {
            match of[index] {
                Overtakes::From(bytes) => {
                    parts.push(format!("faster than {name} from about {}", rough_size(bytes)));
                }
                Overtakes::UpTo(bytes) => {
                    parts.push(format!("faster than {name} up to about {}", rough_size(bytes)));
                }
                _ => {}
            }
        }
        let between = names(&|of| of == Overtakes::Between);
        if !between.is_empty() {
            parts.push(format!("at some sizes faster than {}", between.join(", ")));
        }
        let never = names(&|of| of == Overtakes::Never);
        if !never.is_empty() {
            parts.push(format!("at every size slower than {}", never.join(", ")));
        }
        if !parts.is_empty() {
            sentences.push(format!("{title}: shared memory is {}.", parts.join("; ")));
        }
    }
    sentences
}

/// A size that lies between measured ones, with one digit.
pub(super) fn rough_size(bytes: f64) -> String {
    let (value, unit) = match bytes {
        _ if bytes < 1000.0 => (bytes, "B"),
        _ if bytes < 1000.0 * 1024.0 => (bytes / 1024.0, "KiB"),
        _ => (bytes / f64::from(1 << 20), "MiB"),
    };
    let step = 10_f64.powf(value.log10().floor());
    let rounded = (value / step).round() * step;
    if rounded < 1.0 { format!("{rounded:.1} {unit}") } else { format!("{rounded:.0} {unit}") }
}

/// What the reader of the figures must know about the machine and the run, as far as the record tells.
pub fn warnings(record: &Record) -> Vec<String> {
    let mut all = Vec::new();
    let machine = &record.machine;
    if machine.cpus[0] == machine.cpus[1] {
        all.push("only one processor was used: nothing that needs two is measured".into());
    }
    if machine.virtual_machine == Some(true) {
        all.push(
            "a virtual machine: its host may move the cores and halt them; trust multiples within \
             this run more than times"
                .into(),
        );
    }
    let rows = &record.results;
    let unpinned = rows.iter().filter(|row| row.placement == "unknown").count();
    if unpinned > 0 {
        all.push(format!("{unpinned} of {} rows: the processes were not pinned", rows.len()));
    }
    let away = rows.iter().filter(|row| !view::is_steady(row)).count() - unpinned;
    if away > 0 {
        let total = rows.len();
        all.push(format!("{away} of {total} rows: cores not near each other, or moved (marked *)"));
    }
    let names_of = |wanted: fn(&Row) -> bool| {
        let chosen = rows.iter().filter(|row| wanted(row)).map(|row| row.mechanism.as_str());
        let mut names: Vec<&str> = chosen.collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let awake = names_of(view::seldom_slept);
    if !awake.is_empty() {
        all.push(format!(
            "told to sleep, {} mostly had the answer before (marked ‡)",
            awake.join(", ")
        ));
    }
    let lacking = names_of(|row| row.lacks_core);
    if !lacking.is_empty() {
        all.push(format!(
            "{} wants a core more than the {} of this machine, for a process of its own (marked †)",
            lacking.join(", "),
            machine.cores
        ));
    }
    let once = rows.iter().filter(|row| row.runs < 2).count();
    if once > 0 {
        let total = rows.len();
        all.push(format!("{once} of {total} rows were measured only once: they have no spread"));
    }
    let mut spreads: Vec<f64> = rows
        .iter()
        .filter(|row| row.runs > 1)
        .filter_map(|row| Some(row.oneway_max_ns? / row.oneway_min_ns?))
        .collect();
    spreads.sort_unstable_by(f64::total_cmp);
    let noisy = 1.5;
    if let Some(spread) = spreads.get(spreads.len() / 2).filter(|spread| **spread > noisy) {
        all.push(format!(
            "a noisy machine: half of the streams differ by {spread:.1} × or more between repetitions"
        ));
    }
    all.extend(record.warnings.iter().cloned());
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_fastest_is_advised_with_its_distance_to_the_next() {
        let all = advice(&fixture::record());
        let first = &all[0];
        assert_eq!(first.when, "Both sides busy, messages of 64 B");
        assert_eq!((first.pick.as_str(), first.figure.as_str()), ("ring", "213 ns a round trip"));
        assert!(
            first.because.starts_with("2.13 × the cache line; next is shm-semaphore with 3.38 ×")
        );
        assert!(first.because.contains("of the kernel's, mq-posix with 7.35 ×"), "{first:?}");
        let large = all.iter().find(|advice| advice.when == "A stream of messages of 1 MiB");
        assert_eq!(large.map(|advice| advice.pick.as_str()), Some("ring"));
    }

    #[test]
    fn those_that_are_as_fast_are_advised_together() {
        let all = advice(&fixture::record());
        let asleep = all.iter().find(|advice| advice.when.starts_with("The receiver sleeps"));
        let asleep = asleep.expect("there is such an answer");
        assert!(asleep.pick.starts_with("ring, shm-semaphore, mq-posix"), "{asleep:?}");
    }

    #[test]
    fn those_whose_repetitions_overlap_are_advised_together() {
        let mut record: Record = fixture::record();
        let picks = |record: &Record| advice(record).remove(0).pick;
        assert_eq!(picks(&record), "ring");
        let looking = |row: &&mut Row| row.mechanism == "shm-semaphore" && row.wait == "spin";
        for row in record.results.iter_mut().filter(looking) {
            row.rtt_mean_min_ns = Some(200.0); // once as fast, usually not
        }
        assert_eq!(picks(&record), "ring, shm-semaphore");
        record.results.iter_mut().for_each(|row| row.runs = 1);
        assert_eq!(picks(&record), "ring", "a single run is no spread");
    }

    #[test]
    fn other_libraries_are_compared_with_but_not_advised() {
        let mut record: Record = fixture::record();
        for row in record.results.iter_mut().filter(|row| row.mechanism == "ring") {
            (row.mechanism, row.peer) = ("other-ring".into(), true);
        }
        let first = advice(&record).remove(0);
        assert_eq!(first.pick, "shm-semaphore");
        let because = &first.because;
        assert!(because.contains("faster is another library, other-ring with 0.30 ×"), "{first:?}");
    }

    #[test]
    fn shared_memory_overtakes_where_the_lines_cross() {
        let mut record: Record = fixture::record();
        let of = |record: &Record, name: &str| {
            let all = overtaking(record);
            all.iter().find(|(other, _)| *other == name).map(|(_, of)| of[0])
        };
        assert_eq!(of(&record, "pipe"), Some(Overtakes::Always));
        assert_eq!(of(&record, "ring"), None, "it is shared memory itself");
        // As long as in shared memory at 724 B, the middle of 64 B and 8 KiB on a logarithmic axis.
        let shared = |size| if size < 1000 { 200.0 } else { 400.0 };
        for row in record.results.iter_mut().filter(|row| row.wait == "spin") {
            let factor = if row.size_bytes < 1000 { 0.5 } else { 2.0 };
            let factor = if row.mechanism == "pipe" { factor } else { 1.0 };
            row.rtt_ns.p50 = Some(shared(row.size_bytes) * factor);
        }
        let Some(Overtakes::From(bytes)) = of(&record, "pipe") else { panic!("they cross") };
        assert!((bytes - 724.0).abs() < 1.0, "{bytes}");
        assert_eq!(rough_size(bytes), "700 B");
        assert_eq!(of(&record, "tcp"), Some(Overtakes::Even));
        let mut pipes_take = |factor: fn(usize) -> f64| {
            for row in record.results.iter_mut().filter(|row| row.mechanism == "pipe") {
                row.rtt_ns.p50 = Some(shared(row.size_bytes) * factor(row.size_bytes));
            }
            (of(&record, "pipe").expect("measured"), overtaking_sentences(&record).remove(0))
        };
        let (of_short, text) = pipes_take(|size| if size < 1000 { 2.0 } else { 0.5 });
        assert!(matches!(of_short, Overtakes::UpTo(bytes) if (bytes - 724.0).abs() < 1.0));
        assert!(text.contains("faster than pipe up to about 700 B"), "{text}");
        let (of_middle, text) = pipes_take(|size| if size == 64 { 2.0 } else { 0.5 });
        assert_eq!(of_middle, Overtakes::Between);
        assert!(text.contains("at some sizes faster than pipe"), "{text}");
        let (of_none, text) = pipes_take(|_| 0.5);
        assert_eq!(of_none, Overtakes::Never);
        assert!(text.contains("at every size slower than pipe"), "{text}");
    }

    #[test]
    fn nothing_is_overtaken_where_only_one_kind_was_measured() {
        let mut record: Record = fixture::record();
        record.results.retain(|row| row.mechanism == "pipe");
        assert_eq!(overtaking(&record), []);
        assert_eq!(overtaking_sentences(&record), Vec::<String>::new());
        let mut record: Record = fixture::record();
        record.results.retain(|row| row.mechanism == "ring");
        assert_eq!(overtaking(&record), []);
    }

    #[test]
    fn a_clean_record_has_no_warnings_and_a_doubtful_one_several() {
        let mut record: Record = fixture::record();
        assert_eq!(warnings(&record), Vec::<String>::new());
        record.machine.virtual_machine = Some(true);
        for row in &mut record.results {
            row.oneway_max_ns = row.oneway_min_ns.map(|ns| ns * 3.0);
        }
        record.results[0].placement = "unknown".into();
        record.results[1].placement = "far".into();
        record.results[2].runs = 1;
        let asleep = record.results.iter_mut().find(|row| row.wait == "park");
        asleep.expect("there is one").rtt_multiple = Some(0.1);
        let all = warnings(&record).join("\n");
        for part in [
            "a virtual machine",
            "not pinned",
            "1 of 132 rows: cores not near",
            "only once",
            "told to sleep, ring mostly had the answer before",
            "noisy",
        ] {
            assert!(all.contains(part), "{part} in {all}");
        }
    }
}
