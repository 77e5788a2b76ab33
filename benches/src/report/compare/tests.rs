//! What is reported of records that differ in known ways.

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

/// As records of `--quick` are, with these mechanisms.
fn quick(mechanisms: &[&str]) -> Record {
    let mut record = record();
    record.results.retain(|row| mechanisms.contains(&row.mechanism.as_str()));
    record.results.iter_mut().for_each(|row| row.runs = 1);
    record
}

/// Has no message of a mechanism arrive sooner than so many nanoseconds after the one before.
fn hindered(mut record: Record, mechanism: &str, ns: f64) -> Record {
    for row in record.results.iter_mut().filter(|row| row.mechanism == mechanism) {
        for oneway_ns in [&mut row.oneway_ns, &mut row.oneway_min_ns, &mut row.oneway_max_ns] {
            *oneway_ns = oneway_ns.map(|before| before + ns);
        }
    }
    record
}

#[test]
fn a_mechanism_that_is_slower_in_part_is_reported_beside_one_other_and_alone() {
    for mechanisms in [&["ring", "pipe"][..], &["ring"]] {
        let old = quick(mechanisms);
        let comparison = compare(&old, &hindered(old.clone(), "ring", 90.0));
        let [(mechanism, figures, of, factor)] = &comparison.slower_in_part[..] else {
            panic!("the ring, of {mechanisms:?}: {comparison:?}");
        };
        assert_eq!((mechanism.as_str(), *figures < *of, *factor > 2.0), ("ring", true, true));
        assert!(comparison.has_regression() && comparison.slower_as_a_whole.is_empty());
        let back = compare(&hindered(old.clone(), "ring", 90.0), &old);
        assert!(!back.has_regression(), "{mechanisms:?}: {back:?}");
    }
}

#[test]
fn figures_of_one_session_are_no_part_of_a_mechanism() {
    let old = quick(&["ring", "pipe"]);
    let one = |row: &Row| row.mechanism == "ring" && row.wait == "park" && row.cores == "one";
    let comparison = compare(&old, &slowed(old.clone(), 9.0, one));
    assert!(!comparison.has_regression(), "{comparison:?}");
}

#[test]
fn a_mechanism_does_not_hide_behind_its_own_change() {
    // Its figures differ in how much slower they are, by more than any noise.
    let mut by = 1.0;
    let mut old = record();
    old.results.retain(|row| ["ring", "pipe"].contains(&row.mechanism.as_str()));
    let mut new = old.clone();
    for row in new.results.iter_mut().filter(|row| row.mechanism == "ring") {
        by = if by > 30.0 { 1.0 } else { by * 2.0 };
        let one = Record { results: vec![row.clone()], ..old.clone() };
        *row = slowed(one, by, |_| true).results.remove(0);
    }
    let comparison = compare(&old, &new);
    assert!(comparison.slower.len() > old.results.len() / 2, "{comparison:?}");
    assert!(comparison.slower.iter().all(|change| change.row.starts_with("ring, ")));
}

#[test]
fn a_comparison_of_few_repetitions_says_that_something_may_hide() {
    let old = quick(&["ring", "pipe"]);
    assert!(render(&compare(&old, &old), "old.json").contains("may hide"));
    assert!(!render(&compare(&record(), &record()), "old.json").contains("may hide"));
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
