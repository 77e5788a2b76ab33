//! What a run tells a person besides its record: what did not fit, and what was lost. Leaves out
//! what can be told from the record itself.

use super::schema::RoundTrips;
use super::summary;
use super::text::size_name;
use crate::mechanisms::Mechanism;
use crate::runner::Findings;

/// Remarks on a run; empty for a record that was read from a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Aside {
    /// What mechanisms do not carry.
    pub unfit: Vec<Unfit>,
    /// Streams that lost messages, and how many.
    pub lost: Vec<String>,
    /// How often everything was measured.
    pub whole_passes: Option<u32>,
    /// Percentiles of the cache line's round trip.
    pub line: RoundTrips,
}

/// A size that a mechanism does not carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// The mechanism.
    pub mechanism: &'static str,
    /// The size.
    pub size_bytes: usize,
    /// Why.
    pub reason: String,
}

impl Aside {
    /// The remarks on what a run found.
    pub fn new(findings: &Findings, mechanisms: &[Mechanism]) -> Self {
        let place = |name: &str| mechanisms.iter().position(|mechanism| mechanism.name == name);
        let mut unfit: Vec<Unfit> = findings
            .unfit
            .iter()
            .map(|(&(mechanism, size_bytes), reason)| Unfit {
                mechanism,
                size_bytes,
                reason: reason.clone(),
            })
            .collect();
        unfit.sort_by_key(|unfit| place(unfit.mechanism));
        let mut lost = Vec::new();
        for ((cell, size), samples) in &findings.samples {
            let share = samples.iter().map(|sample| sample.lost_share).fold(0.0, f64::max);
            if share > 0.0 {
                lost.push(format!("{cell}, {}: {:.0} %", size_name(*size), share * 100.0));
            }
        }
        Self {
            unfit,
            lost,
            whole_passes: Some(findings.whole_passes),
            line: summary::line_round_trips(findings),
        }
    }
}
