//! From the samples of all passes to one figure each: medians, merged histograms, and multiples of
//! the limits. Leaves out how they are shown.

use std::collections::BTreeSet;

use hdrhistogram::Histogram;

use super::schema::{
    BareStream, Limits, LinkCosts, Machine, OwnWork, Paced, PlainRingLimit, Record, RoundTrips,
    Row, SCHEMA, WakeLimits,
};
use crate::limits::line::Placement;
use crate::machine;
use crate::matrix::Cell;
use crate::measure::batch::BATCH;
use crate::measure::merged::SENDERS;
use crate::mechanisms::{Mechanism, PLAIN_RING};
use crate::report::text::size_name;
use crate::report::view::ONE_TO_ONE;
use crate::runner::Findings;
use crate::session::{Cores, LimitSample, LinkSample, Manner, Sample, Wait};

/// Makes the record of a run.
pub fn record(findings: &Findings, mechanisms: &[Mechanism], machine: Machine) -> Record {
    let mut results = Vec::new();
    for ((cell, size_bytes), samples) in &findings.samples {
        let Some((name, wait)) = cell.subject else { continue };
        if name != PLAIN_RING {
            let Ok(mechanism) = Mechanism::find(mechanisms, name) else { continue };
            let row = row(findings, *cell, (mechanism, wait), *size_bytes, samples);
            let lacks_core = mechanism.cores_wanted > machine.cores;
            results.push(Row { lacks_core, ..row });
        }
    }
    // As the list of mechanisms has them, not by the alphabet; messages one by one first.
    let place = |row: &Row| mechanisms.iter().position(|m| m.name == row.mechanism);
    let special = |row: &Row| {
        row.batch > 1 || row.deadline || row.access != COPY || row.topology != ONE_TO_ONE
    };
    results.sort_by_key(|row| (place(row), row.size_bytes, special(row)));
    let unmeasured = findings.failures.iter().map(|((cell, size_bytes), failure)| {
        let size = size_bytes.map_or(String::new(), |bytes| format!(", {}", size_name(bytes)));
        format!("not measured in every pass: {cell}{size}: {failure}")
    });
    let warnings = findings.warnings.iter().cloned();
    let warnings = warnings.chain(noise(findings, &results)).chain(unmeasured);
    Record {
        schema: SCHEMA,
        machine,
        limits: limits(findings),
        commit: machine::commit(),
        kernel: machine::kernel(),
        warnings: warnings.collect(),
        results,
        links: findings.links.iter().map(link_costs).collect(),
    }
}

const COPY: &str = "copy";

fn row(
    findings: &Findings,
    cell: Cell,
    (mechanism, wait): (&Mechanism, Wait),
    size_bytes: usize,
    samples: &[Sample],
) -> Row {
    let (samples, placement) = in_one_placement(samples, |sample| sample.placement);
    let median_of = |figure: &dyn Fn(&Sample) -> Option<f64>| {
        median(samples.iter().filter_map(|sample| figure(sample)))
    };
    let rtt_means = || samples.iter().filter_map(|sample| sample.rtt_mean_ns);
    let oneway = || samples.iter().map(|sample| sample.oneway_ns);
    let oneway_ns = median(oneway());
    let in_place = cell.manner == Manner::InPlace;
    let two_senders = cell.manner == Manner::TwoSenders;
    let plain = plain_ring_samples(findings, size_bytes, in_place, Some(placement));
    let by_plain = |figure: fn(&Sample) -> Option<f64>| {
        let limits = plain.iter().filter_map(|plain| Some((plain.pass, figure(plain)?)));
        multiple(&samples, figure, &limits.collect::<Vec<_>>())
    };
    Row {
        mechanism: mechanism.name.into(),
        peer: mechanism.peer,
        topology: if two_senders { "two-to-one" } else { ONE_TO_ONE }.into(),
        wait: wait.name().into(),
        cores: if cell.cores == Cores::One { "one" } else { "two" }.into(),
        awake: cell.cores == Cores::TwoAwake,
        access: if in_place { "in-place" } else { COPY }.into(),
        batch: if cell.manner == Manner::Batch { BATCH as u32 } else { 1 },
        deadline: cell.manner == Manner::Timed,
        processes: match mechanism.threads {
            true => 1,
            false if two_senders => 1 + SENDERS as u32,
            false => 2,
        },
        lacks_core: false,
        capacity_bytes: samples.first().and_then(|sample| sample.capacity_bytes),
        runs: samples.len() as u32,
        placement: placement.name().into(),
        line_probe_ns: median_of(&|sample| sample.probe.map(|probe| probe.line_ns)),
        empty_polls_per_msg: median_of(&|sample| sample.empty_polls_per_msg),
        size_bytes,
        rtt_ns: RoundTrips {
            mean: median(rtt_means()),
            ..percentiles(samples.iter().map(|sample| &sample.rtt_counts[..]))
        },
        rtt_mean_min_ns: rtt_means().reduce(f64::min),
        rtt_mean_max_ns: rtt_means().reduce(f64::max),
        oneway_ns,
        oneway_min_ns: oneway().reduce(f64::min),
        oneway_max_ns: oneway().reduce(f64::max),
        throughput_msgs_s: oneway_ns.map(|ns| 1e9 / ns),
        throughput_gb_s: oneway_ns.filter(|_| !in_place).map(|ns| size_bytes as f64 / ns),
        cpu_ns_per_msg: median_of(&|sample| Some(sample.cpu_ns_per_msg)),
        setup_us: median_of(&|sample| Some(sample.setup_us)),
        fds: median_of(&|sample| Some(sample.fds)),
        rss_kb: median_of(&|sample| Some(sample.rss_kb)),
        paced: paced(&samples),
        rtt_multiple: rtt_multiple(findings, cell.cores, wait, placement, &samples),
        rtt_plain_multiple: by_plain(|sample| sample.rtt_typical_ns),
        oneway_multiple: by_plain(|sample| Some(sample.oneway_ns)),
        oneway_bare_multiple: match in_place {
            true => None, // of such messages little is written
            false => {
                let bare = bare_streams(findings, size_bytes, placement);
                multiple(&samples, |sample| Some(sample.oneway_ns), &bare)
            }
        },
    }
}

/// The bare stream of a size in each pass that has it in this placement.
fn bare_streams(findings: &Findings, size_bytes: usize, placement: Placement) -> Vec<(u32, f64)> {
    let limits = findings.limits.get(&Cores::Two).into_iter().flatten();
    let limits = limits.filter(|limit| limit.placement == placement);
    let of_size = |limit: &LimitSample| {
        let (_, ns) = limit.bare_oneway_ns.iter().find(|(size, _)| *size == size_bytes)?;
        Some((limit.pass, *ns))
    };
    limits.filter_map(of_size).collect()
}

/// The streams at fixed rates, of all runs together.
fn paced(samples: &[&Sample]) -> Vec<Paced> {
    let mut rates: Vec<u32> =
        samples.iter().flat_map(|sample| &sample.paced).map(|paced| paced.rate_per_s).collect();
    rates.sort_unstable();
    rates.dedup();
    let of_rate = |rate_per_s| {
        let all = samples.iter().flat_map(|sample| &sample.paced);
        let runs: Vec<_> = all.filter(|paced| paced.rate_per_s == rate_per_s).collect();
        let delays = percentiles(runs.iter().map(|run| &run.delay_counts[..]));
        let reached_per_s = median(runs.iter().map(|run| run.reached_per_s));
        let RoundTrips { p50, p99, p999, max, .. } = delays;
        Paced { rate_per_s, reached_per_s, p50, p99, p999, max }
    };
    rates.into_iter().map(of_rate).collect()
}

fn link_costs((&(mechanism, reserved), samples): (&(&str, bool), &Vec<LinkSample>)) -> LinkCosts {
    let (samples, _) = in_one_placement(samples, |sample| sample.placement);
    let mut setups_us: Vec<f64> =
        samples.iter().flat_map(|sample| &sample.setups_us).copied().collect();
    setups_us.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| {
        let index = (setups_us.len() as f64 * share).ceil() as usize;
        setups_us.get(index.saturating_sub(1)).copied()
    };
    let median_of = |figure: &dyn Fn(&LinkSample) -> Option<f64>| {
        median(samples.iter().filter_map(|sample| figure(sample)))
    };
    LinkCosts {
        mechanism: mechanism.into(),
        backing: if reserved { "reserved" } else { "lazy" }.into(),
        capacity_bytes: samples.first().map_or(0, |sample| sample.capacity_bytes),
        setups: setups_us.len() as u32,
        setup_us_p50: at(0.5),
        setup_us_p99: at(0.99),
        setup_us_min: setups_us.first().copied(),
        fds_per_end: median_of(&|sample| Some(sample.fds_per_end)),
        new_resident_kb: median_of(&|sample| Some(sample.new.resident_kb)),
        used_resident_kb: median_of(&|sample| Some(sample.used.resident_kb)),
        new_files_kb: median_of(&|sample| sample.new.files_kb),
        used_files_kb: median_of(&|sample| sample.used.files_kb),
        parked_cpu_ns_per_s: median_of(&|sample| sample.parked_cpu_ns_per_s),
    }
}

/// Signs that other work ran on the machine, or that the host moved its cores.
fn noise(findings: &Findings, rows: &[Row]) -> Vec<String> {
    /// On a quiet machine the cache line's round trip keeps within this factor, and the runs' means of a
    /// round trip of two spinning processes do.
    const QUIET: f64 = 1.5;
    /// This share of the rows may be outside it.
    const TOLERATED: f64 = 0.1;
    let mut warnings = Vec::new();
    let samples = findings.samples.values().flatten();
    let probes_ns = || samples.clone().filter_map(|sample| Some(sample.probe?.line_ns));
    let extremes = probes_ns().reduce(f64::min).zip(probes_ns().reduce(f64::max));
    if let Some((least, most)) = extremes.filter(|(least, most)| *most > QUIET * least) {
        warnings.push(format!(
                "the machine is not steady: the cache line's round trip took {least:.0} to {most:.0} ns; \
                 compare multiples, not times"
            ));
    }
    let spreads = rows.iter().filter(|row| row.wait == Wait::Spin.name() && row.runs > 1);
    let spreads = spreads.filter_map(|row| Some(row.rtt_mean_max_ns? / row.rtt_mean_min_ns?));
    let spreads: Vec<f64> = spreads.collect();
    let wide = spreads.iter().filter(|&&spread| spread > QUIET).count();
    if wide as f64 > TOLERATED * spreads.len() as f64 {
        warnings.push(format!(
            "the machine is busy, or noisy: in {wide} of {} spinning rows the runs' mean round trips \
             differ by more than {QUIET} ×",
            spreads.len()
        ));
    }
    warnings
}

fn limits(findings: &Findings) -> Limits {
    let of = |cores: Cores, figure: &dyn Fn(&LimitSample) -> Option<f64>| {
        let all = findings.limits.get(&cores).map_or(&[][..], |samples| samples);
        let (samples, _) = in_one_placement(all, |sample| sample.placement);
        median(samples.into_iter().filter_map(figure))
    };
    let wakes = |figure: &dyn Fn(&LimitSample) -> Option<f64>| WakeLimits {
        idle: of(Cores::Two, figure),
        awake: of(Cores::TwoAwake, figure),
        one_core: of(Cores::One, figure),
    };
    let anywhere = |figure: &dyn Fn(&LimitSample) -> Option<f64>| {
        median(findings.limits.values().flatten().filter_map(figure))
    };
    Limits {
        cacheline_rtt_ns: of(Cores::Two, &|sample| sample.line_ns),
        futex_rtt_ns: wakes(&|sample| Some(sample.futex_ns)),
        eventfd_rtt_ns: wakes(&|sample| Some(sample.eventfd_ns)),
        memcpy_gb_s: anywhere(&|sample| Some(sample.memcpy_gb_s)),
        syscall_ns: anywhere(&|sample| Some(sample.syscall_ns)),
        plain_ring: plain_ring_limits(findings),
        bare_stream: bare_stream_limits(findings),
        own_work: own_work(findings),
    }
}

fn bare_stream_limits(findings: &Findings) -> Vec<BareStream> {
    let all = findings.limits.get(&Cores::Two).map_or(&[][..], |samples| samples);
    let (samples, _) = in_one_placement(all, |sample| sample.placement);
    let streams = || samples.iter().flat_map(|sample| &sample.bare_oneway_ns);
    let sizes: BTreeSet<usize> = streams().map(|&(size_bytes, _)| size_bytes).collect();
    let of_size = |size_bytes| {
        let streams = streams().filter(|(size, _)| *size == size_bytes);
        BareStream { size_bytes, oneway_ns: median(streams.map(|(_, ns)| *ns)) }
    };
    sizes.into_iter().map(of_size).collect()
}

fn own_work(findings: &Findings) -> Vec<OwnWork> {
    let all = || findings.limits.values().flatten().flat_map(|sample| &sample.own_work_ns);
    let sizes: BTreeSet<usize> = all().map(|&(size_bytes, _)| size_bytes).collect();
    let of_size = |size_bytes| {
        let of = |side: usize| {
            median(all().filter(|(size, _)| *size == size_bytes).map(|(_, ns)| ns[side]))
        };
        OwnWork { size_bytes, send_ns: of(0), recv_ns: of(1) }
    };
    sizes.into_iter().map(of_size).collect()
}

fn plain_ring_limits(findings: &Findings) -> Vec<PlainRingLimit> {
    let is_plain = |cell: &Cell| cell.subject.is_some_and(|(name, _)| name == PLAIN_RING);
    let keys = findings.samples.keys().filter(|(cell, _)| is_plain(cell));
    let sizes: BTreeSet<usize> = keys.map(|&(_, size_bytes)| size_bytes).collect();
    let limit = |size_bytes| {
        let streams = || {
            let samples = plain_ring_samples(findings, size_bytes, false, None);
            samples.into_iter().map(|sample| sample.oneway_ns)
        };
        let (rtt_mean_ns, oneway_ns) = plain_ring(findings, size_bytes, false);
        let (in_place_rtt_mean_ns, in_place_oneway_ns) = plain_ring(findings, size_bytes, true);
        PlainRingLimit {
            size_bytes,
            rtt_mean_ns,
            oneway_ns,
            oneway_min_ns: streams().reduce(f64::min),
            oneway_max_ns: streams().reduce(f64::max),
            in_place_rtt_mean_ns,
            in_place_oneway_ns,
        }
    };
    sizes.into_iter().map(limit).collect()
}

/// The percentiles of the cache line's round trip, which have no place in the record.
pub fn line_round_trips(findings: &Findings) -> RoundTrips {
    let all = findings.limits.get(&Cores::Two).map_or(&[][..], |samples| samples);
    let (samples, _) = in_one_placement(all, |sample| sample.placement);
    RoundTrips {
        mean: median(samples.iter().filter_map(|sample| sample.line_ns)),
        ..percentiles(samples.iter().map(|sample| &sample.line_counts[..]))
    }
}

/// The samples of one placement only, since figures from two do not mix: of the near ones if there
/// are any, else of the placement that has the most.
fn in_one_placement<T>(samples: &[T], of: impl Fn(&T) -> Placement) -> (Vec<&T>, Placement) {
    let count = |placement| samples.iter().filter(|sample| of(sample) == placement).count();
    let best = samples.iter().map(&of).max_by_key(|&placement| match placement {
        Placement::Near => usize::MAX,
        other => count(other),
    });
    let best = best.unwrap_or(Placement::Unknown);
    (samples.iter().filter(|sample| of(sample) == best).collect(), best)
}

/// The percentiles of all rounds together.
fn percentiles<'a>(counts: impl Iterator<Item = &'a [(u64, u64)]>) -> RoundTrips {
    let mut all = Histogram::<u64>::new(3).expect("three digits are allowed");
    for &(value, count) in counts.flatten() {
        all.record_n(value, count).expect("the histogram grows");
    }
    if all.is_empty() {
        return RoundTrips::default();
    }
    let at = |quantile| Some(all.value_at_quantile(quantile) as f64);
    RoundTrips {
        p50: at(0.5),
        p99: at(0.99),
        p999: if all.len() < 1000 { None } else { at(0.999) },
        max: Some(all.max() as f64),
        ..RoundTrips::default()
    }
}

/// The middle one, or the lesser of the two in the middle: what disturbs a measurement makes it
/// longer. `None` of nothing.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

/// How many times its limit a round trip takes. `None` where the limit was not measured in the same
/// placement.
fn rtt_multiple(
    findings: &Findings,
    cores: Cores,
    wait: Wait,
    placement: Placement,
    samples: &[&Sample],
) -> Option<f64> {
    let rtt_ns = |sample: &Sample| sample.rtt_typical_ns;
    if !wait.sleeps() {
        // The line was measured beside each of them.
        let multiple = |sample: &&Sample| Some(rtt_ns(sample)? / sample.probe?.stamped_ns);
        return median(samples.iter().filter_map(multiple));
    }
    let limits = findings.limits.get(&cores)?.iter().filter(|limit| limit.placement == placement);
    let limits: Vec<_> = limits.map(|limit| (limit.pass, limit.futex_ns)).collect();
    multiple(samples, rtt_ns, &limits)
}

/// How many times a limit a figure is: the median of what it was in each pass that has both. Where no
/// pass has, it is the one's median by the other's, which says less on a machine that drifts.
fn multiple(
    samples: &[&Sample],
    figure: impl Fn(&Sample) -> Option<f64>,
    limits: &[(u32, f64)],
) -> Option<f64> {
    let in_one_pass = |sample: &&Sample| {
        let (_, limit) = limits.iter().find(|(pass, _)| *pass == sample.pass)?;
        Some(figure(sample)? / limit)
    };
    median(samples.iter().filter_map(in_one_pass)).or_else(|| {
        let limit = median(limits.iter().map(|(_, limit)| *limit))?;
        Some(median(samples.iter().filter_map(|sample| figure(sample)))? / limit)
    })
}

/// The plain ring's typical round trip and its stream at this size.
fn plain_ring(
    findings: &Findings,
    size_bytes: usize,
    in_place: bool,
) -> (Option<f64>, Option<f64>) {
    let samples = plain_ring_samples(findings, size_bytes, in_place, None);
    let rtt_ns = median(samples.iter().filter_map(|sample| sample.rtt_typical_ns));
    (rtt_ns, median(samples.iter().map(|sample| sample.oneway_ns)))
}

/// What was found of the plain ring at this size, in this placement. On one core there is none, and the
/// ring on two cores is the limit.
fn plain_ring_samples(
    findings: &Findings,
    size_bytes: usize,
    in_place: bool,
    placement: Option<Placement>,
) -> Vec<&Sample> {
    let manner = if in_place { Manner::InPlace } else { Manner::Single };
    let cell = Cell { subject: Some((PLAIN_RING, Wait::Spin)), manner, cores: Cores::Two };
    let all = findings.samples.get(&(cell, size_bytes)).map_or(&[][..], |samples| samples);
    match placement {
        None | Some(Placement::SameCore) => in_one_placement(all, |sample| sample.placement).0,
        Some(placement) => all.iter().filter(|sample| sample.placement == placement).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::line::Probe;
    use crate::session::PacedSample;

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.0));
    }

    #[test]
    fn percentiles_are_those_of_all_passes_together() {
        let pass: Vec<(u64, u64)> = (1..=1000).map(|ns| (ns, 1)).collect();
        let trips = percentiles([&pass[..], &pass[..]].into_iter());
        assert_eq!(trips.p50, Some(500.0));
        assert_eq!(trips.p99, Some(990.0));
        assert_eq!(trips.p999, Some(999.0));
        assert_eq!(trips.max, Some(1000.0));
    }

    #[test]
    fn too_few_rounds_have_no_tail() {
        let trips = percentiles([&[(100, 999)][..]].into_iter());
        assert_eq!((trips.p99, trips.p999), (Some(100.0), None));
        assert_eq!(percentiles([].into_iter()), RoundTrips::default());
    }

    #[test]
    fn samples_of_another_placement_are_left_out() {
        use Placement::{Far, Moved, Near};
        let of = |placement: &Placement| *placement;
        assert_eq!(in_one_placement(&[Far, Near, Far], of), (vec![&Near], Near));
        assert_eq!(in_one_placement(&[Far, Moved, Far], of), (vec![&Far, &Far], Far));
    }

    fn sample(placement: Placement, rtt_ns: f64, oneway_ns: f64) -> Sample {
        Sample {
            pass: 1,
            size_bytes: 8,
            placement,
            probe: Some(Probe { line_ns: 50.0, stamped_ns: 100.0, slowdown: 1.0 }),
            rtt_counts: vec![(rtt_ns as u64, 5000)],
            rtt_mean_ns: Some(rtt_ns),
            rtt_typical_ns: Some(rtt_ns),
            paced: Vec::new(),
            oneway_ns,
            lost_share: 0.0,
            empty_polls_per_msg: None,
            cpu_ns_per_msg: 1.0,
            setup_us: 1.0,
            fds: 2.0,
            rss_kb: 0.0,
            capacity_bytes: None,
        }
    }

    fn findings(plain: Placement) -> Findings {
        let manner = Manner::Single;
        let cell = |name| Cell { subject: Some((name, Wait::Spin)), manner, cores: Cores::Two };
        let mut findings = Findings::default();
        let ring = [(80.0, 4.0), (90.0, 6.0), (100.0, 5.0)];
        let mut ring = ring.map(|(rtt, oneway)| sample(Placement::Near, rtt, oneway));
        (1..).zip(&mut ring).for_each(|(pass, sample)| sample.pass = pass);
        findings.samples.insert((cell("ring"), 8), ring.to_vec());
        // The machine is slower in each pass.
        let plain = [(1, 100.0, 10.0), (2, 150.0, 12.0), (3, 250.0, 20.0)]
            .map(|(pass, rtt, oneway)| Sample { pass, ..sample(plain, rtt, oneway) });
        findings.samples.insert((cell(PLAIN_RING), 8), plain.to_vec());
        findings
    }

    fn row_of_the_ring(plain: Placement) -> Row {
        let machine = machine::describe([0, 1]);
        let record = record(&findings(plain), crate::mechanisms::MECHANISMS, machine);
        assert_eq!(record.limits.plain_ring.len(), 1);
        let [row] = &record.results[..] else { panic!("one row: {:?}", record.results) };
        row.clone()
    }

    #[test]
    fn a_row_has_medians_extremes_and_multiples() {
        let row = row_of_the_ring(Placement::Near);
        assert_eq!((row.mechanism.as_str(), row.runs), ("ring", 3));
        assert_eq!(row.rtt_ns.mean, Some(90.0));
        assert_eq!((row.rtt_mean_min_ns, row.rtt_mean_max_ns), (Some(80.0), Some(100.0)));
        assert_eq!(row.oneway_ns, Some(5.0));
        assert_eq!((row.oneway_min_ns, row.oneway_max_ns), (Some(4.0), Some(6.0)));
        assert_eq!(row.throughput_msgs_s, Some(2e8));
        assert_eq!(row.rtt_multiple, Some(0.9));
        // Of 0.8, 0.6 and 0.4, and of 0.4, 0.5 and 0.25: each run by the limit of its own pass.
        assert_eq!(row.rtt_plain_multiple, Some(0.6));
        assert_eq!(row.oneway_multiple, Some(0.4));
    }

    #[test]
    fn what_sleeps_is_measured_by_the_futex_of_its_own_pass() {
        let limit = |pass, placement, futex_ns| LimitSample {
            futex_ns,
            ..LimitSample::of_ones(pass, placement)
        };
        let mut findings = Findings::default();
        let multiple = |findings: &Findings| {
            let run = |pass, rtt_ns| Sample { pass, ..sample(Placement::Near, rtt_ns, 1.0) };
            let runs = [run(1, 50.0), run(3, 90.0), run(5, 10.0)];
            let runs: Vec<&Sample> = runs.iter().collect();
            rtt_multiple(findings, Cores::Two, Wait::Park, Placement::Near, &runs)
        };
        let limits = [(1, Placement::Near, 50.0), (2, Placement::Near, 1.0)];
        let limits = limits.map(|(pass, placement, ns)| limit(pass, placement, ns)).to_vec();
        findings.limits.insert(Cores::Two, limits.clone());
        assert_eq!(multiple(&findings), Some(1.0), "of the only pass that has both");
        findings.limits.insert(Cores::Two, vec![limit(2, Placement::Near, 25.0)]);
        assert_eq!(multiple(&findings), Some(2.0), "of the medians, since no pass has both");
        findings.limits.insert(Cores::Two, limits);
        let more = [limit(3, Placement::Near, 30.0), limit(5, Placement::Near, 4.0)];
        findings.limits.entry(Cores::Two).or_default().extend(more);
        assert_eq!(multiple(&findings), Some(2.5), "of 1, 3 and 2.5");
        let all = findings.limits.entry(Cores::Two).or_default();
        all.iter_mut().for_each(|limit| limit.placement = Placement::Far);
        assert_eq!(multiple(&findings), None);
    }

    #[test]
    fn a_machine_whose_runs_differ_is_said_to_be_noisy() {
        let mut findings = findings(Placement::Near);
        let rows = |findings: &Findings| {
            record(findings, crate::mechanisms::MECHANISMS, machine::describe([0, 1]))
        };
        assert_eq!(rows(&findings).warnings, [""; 0]);
        let samples = findings.samples.values_mut().last().expect("those of the ring");
        samples[0].rtt_mean_ns = Some(900.0);
        samples[1].probe = Some(Probe { line_ns: 150.0, stamped_ns: 100.0, slowdown: 1.0 });
        let warnings = rows(&findings).warnings.join("; ");
        assert!(warnings.contains("not steady") && warnings.contains("1 of 1"), "{warnings}");
    }

    #[test]
    fn what_failed_is_in_the_record_with_its_reason() {
        let mut findings = findings(Placement::Near);
        let (cell, _) = findings.samples.keys().next().copied().expect("there are some");
        findings.failures.insert((cell, Some(1024)), "flew away".into());
        let record = record(&findings, crate::mechanisms::MECHANISMS, machine::describe([0, 1]));
        let last = record.warnings.last().expect("a warning");
        assert!(last.ends_with("two cores, 1 KiB: flew away"), "{last}");
    }

    #[test]
    fn paced_streams_of_all_runs_are_one_distribution() {
        let run = |reached_per_s, ns| {
            let delay_counts = vec![(ns, 1000)];
            vec![PacedSample { rate_per_s: 10_000, reached_per_s, delay_counts }]
        };
        let mut samples = [sample(Placement::Near, 1.0, 1.0), sample(Placement::Near, 1.0, 1.0)];
        samples[0].paced = run(9_000.0, 100);
        samples[1].paced = run(10_000.0, 300);
        let [paced] = paced(&samples.iter().collect::<Vec<_>>())[..] else { panic!("one rate") };
        assert_eq!((paced.rate_per_s, paced.reached_per_s), (10_000, Some(9_000.0)));
        assert_eq!((paced.p50, paced.p99, paced.max), (Some(100.0), Some(300.0), Some(300.0)));
    }

    #[test]
    fn a_stream_is_measured_by_the_bare_stream_of_its_own_pass() {
        let limit = |pass, placement, ns| LimitSample {
            bare_oneway_ns: vec![(8, ns), (64, 9.0)],
            ..LimitSample::of_ones(pass, placement)
        };
        let mut findings = findings(Placement::Near);
        let limits = [
            limit(1, Placement::Near, 1.0),
            limit(2, Placement::Near, 2.0),
            limit(3, Placement::Far, 0.1),
        ];
        findings.limits.insert(Cores::Two, limits.to_vec());
        let record = record(&findings, crate::mechanisms::MECHANISMS, machine::describe([0, 1]));
        let bare = &record.limits.bare_stream;
        assert_eq!((bare.len(), bare[0].size_bytes, bare[0].oneway_ns), (2, 8, Some(1.0)));
        // Of 4 and 3 times; the third pass has none in this placement.
        assert_eq!(record.results[0].oneway_bare_multiple, Some(3.0));
    }

    #[test]
    fn a_limit_of_another_placement_is_no_limit() {
        assert_eq!(row_of_the_ring(Placement::Far).oneway_multiple, None);
    }
}
