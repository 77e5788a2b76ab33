//! What is measured: which mechanisms, in which ways of waiting, on which cores, at which sizes, and
//! for how long.

use std::time::Duration;

use crate::mechanisms::Mechanism;
use crate::session::{Cores, Wait};

/// One session's worth: everything but the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// The mechanism and the way of waiting; `None` for the limits.
    pub subject: Option<(&'static str, Wait)>,
    /// Where the two processes run.
    pub cores: Cores,
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.subject {
            Some((name, wait)) => write!(f, "{name}, {}, {}", wait.name(), self.cores.name()),
            None => write!(f, "limits, {}", self.cores.name()),
        }
    }
}

/// How much to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A first impression, in half a minute.
    Quick,
    /// What a decision can be based on, in three minutes.
    Default,
    /// More sizes, for longer.
    Full,
}

/// The whole matrix.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What to measure, in each pass.
    pub cells: Vec<Cell>,
    /// Sizes of message, in bytes, ascending.
    pub sizes_bytes: Vec<usize>,
    /// How often to go through all cells.
    pub passes: u32,
    /// How long to measure round trips of one size in one pass, in milliseconds.
    pub rtt_ms: u64,
    /// How long to measure the stream of one size in one pass, in milliseconds.
    pub oneway_ms: u64,
    /// After how many seconds at one size a session is taken for hung.
    pub patience_s: u32,
    /// No session is begun after this.
    pub time_limit: Option<Duration>,
}

/// The usual sizes: a word, a cache line, a small record, a large one, and a picture.
pub const SIZES_BYTES: [usize; 5] = [8, 64, 1024, 64 * 1024, 1024 * 1024];

impl Plan {
    /// The matrix of an extent, of the mechanisms that `wanted` picks by name. The limits and the
    /// plain ring are always in it. With `two_cores` false only what runs on one core is.
    pub fn new(
        extent: Extent,
        mechanisms: &[Mechanism],
        wanted: impl Fn(&str) -> bool,
        sizes_bytes: Option<Vec<usize>>,
        two_cores: bool,
    ) -> Self {
        let mut cells = Vec::new();
        for cores in Cores::ALL {
            cells.push(Cell { subject: None, cores });
        }
        for mechanism in mechanisms.iter().filter(|m| m.limit || wanted(m.name)) {
            for &wait in mechanism.waits {
                for &cores in cores_for(wait) {
                    cells.push(Cell { subject: Some((mechanism.name, wait)), cores });
                }
            }
        }
        cells.retain(|cell| two_cores || cell.cores == Cores::One);
        let (passes, rtt_ms, oneway_ms, patience_s, time_limit) = match extent {
            Extent::Quick => (2, 12, 12, 6, Some(Duration::from_secs(22))),
            Extent::Default => (5, 40, 40, 10, Some(Duration::from_secs(165))),
            Extent::Full => (11, 150, 100, 60, None),
        };
        let sizes_bytes = sizes_bytes.unwrap_or_else(|| match extent {
            Extent::Quick | Extent::Default => SIZES_BYTES.to_vec(),
            Extent::Full => (3..=20).map(|bits| 1 << bits).collect(),
        });
        Self { cells, sizes_bytes, passes, rtt_ms, oneway_ms, patience_s, time_limit }
    }
}

/// Where a way of waiting is worth measuring: one that looks needs a core for each to look from, and
/// one that sleeps depends on what becomes of a core without work.
fn cores_for(wait: Wait) -> &'static [Cores] {
    if wait.sleeps() { &Cores::ALL } else { &[Cores::Two] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mechanisms::MECHANISMS;

    #[test]
    fn the_limits_are_measured_whatever_is_asked_for() {
        let plan = Plan::new(Extent::Quick, MECHANISMS, |_| false, None, true);
        assert_eq!(plan.cells.iter().filter(|cell| cell.subject.is_none()).count(), 3);
        assert_eq!(plan.cells.len(), 4, "and the plain ring");
    }

    #[test]
    fn one_processor_measures_only_what_sleeps() {
        let plan = Plan::new(Extent::Default, MECHANISMS, |_| true, None, false);
        assert!(plan.cells.iter().all(|cell| cell.cores == Cores::One));
        assert!(plan.cells.iter().all(|c| c.subject.is_none_or(|(_, wait)| wait.sleeps())));
    }
}
