//! What is measured: which mechanisms, in which ways of waiting, on which cores, at which sizes, and
//! for how long.

use std::time::Duration;

use crate::mechanisms::Mechanism;
use crate::session::{Cores, Manner, PacedPlan, Wait};

/// One session's worth: everything but the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// The mechanism and the way of waiting; `None` for the limits.
    pub subject: Option<(&'static str, Wait)>,
    /// What is done with the messages.
    pub manner: Manner,
    /// Where the two processes run.
    pub cores: Cores,
}

impl Cell {
    /// Whether it is measured at several sizes of message; the limits and links by themselves are not.
    pub fn has_sizes(&self) -> bool {
        self.subject.is_some() && self.manner != Manner::Link
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.subject {
            Some((name, wait)) => {
                write!(f, "{name}, {}, ", wait.name())?;
                if self.manner != Manner::Single {
                    write!(f, "{}, ", self.manner.name())?;
                }
                f.write_str(self.cores.name())
            }
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
    /// What to measure in each pass: the limits, our rings, and what is asked for by name.
    pub cells: Vec<Cell>,
    /// What to measure in every second pass, beginning with the first: the rest, where it is much.
    pub seldom: Vec<Cell>,
    /// Sizes of message, in bytes, ascending.
    pub sizes_bytes: Vec<usize>,
    /// How often to go through all cells.
    pub passes: u32,
    /// How long to measure round trips of one size in one pass, in milliseconds.
    pub rtt_ms: u64,
    /// How long to measure the stream of one size in one pass, in milliseconds.
    pub oneway_ms: u64,
    /// What to measure at fixed rates too, of mechanisms in [`PACED`](Self::PACED) or, in the full
    /// matrix, of all.
    pub paced: PacedPlan,
    /// Whether all mechanisms are measured at fixed rates.
    pub all_paced: bool,
    /// After how many seconds at one size a session is taken for hung.
    pub patience_s: u32,
    /// No session is begun after this; twice as long with other libraries.
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
        let of = |mechanism: &Mechanism, wait: Wait, manner: Manner, cores: Cores| Cell {
            subject: Some((mechanism.name, wait)),
            manner,
            cores,
        };
        let mut cells: Vec<Cell> =
            Cores::ALL.map(|cores| Cell { subject: None, manner: Manner::Single, cores }).into();
        let mut seldom = Vec::new();
        for mechanism in mechanisms.iter().filter(|m| m.limit || wanted(m.name)) {
            let often = mechanism.limit || Self::PACED[0] == mechanism.name || mechanism.threads;
            let list = if often { &mut cells } else { &mut seldom };
            for &wait in mechanism.waits {
                let cores = cores_for(wait).iter();
                list.extend(cores.map(|&cores| of(mechanism, wait, Manner::Single, cores)));
            }
            for &(manner, wait, cores) in mechanism.extras {
                list.extend(cores.iter().map(|&cores| of(mechanism, wait, manner, cores)));
            }
        }
        for list in [&mut cells, &mut seldom] {
            list.retain(|cell| two_cores || cell.cores == Cores::One);
        }
        if extent == Extent::Full || seldom.len() <= Self::FEW {
            cells.append(&mut seldom);
        }
        // Other libraries are as many again.
        let longer = if mechanisms.iter().any(|m| m.peer && wanted(m.name)) { 2_u64 } else { 1 };
        let at_most = |seconds| Some(Duration::from_secs(longer * seconds));
        let (passes, rtt_ms, oneway_ms, patience_s, time_limit) = match extent {
            // Three, so that what few mechanisms do has a spread; of many, as many passes as there is
            // time for.
            Extent::Quick => (3, 12, 12, 6, at_most(22)),
            Extent::Default => (5, 40, 40, 10, at_most(165)),
            Extent::Full => (11, 150, 100, 60, None),
        };
        let sizes_bytes = sizes_bytes.unwrap_or_else(|| match extent {
            Extent::Quick | Extent::Default => SIZES_BYTES.to_vec(),
            Extent::Full => (3..=20).map(|bits| 1 << bits).collect(),
        });
        let rates_per_s = vec![10_000, 100_000];
        let paced = match extent {
            Extent::Quick => PacedPlan::default(),
            Extent::Default => PacedPlan { sizes_bytes: vec![64], rates_per_s, duration_ms: 100 },
            Extent::Full => PacedPlan {
                sizes_bytes: sizes_bytes.iter().copied().filter(|&size| size <= 4096).collect(),
                rates_per_s,
                duration_ms: 500,
            },
        };
        let all_paced = extent == Extent::Full;
        Self {
            cells,
            seldom,
            sizes_bytes,
            passes,
            rtt_ms,
            oneway_ms,
            paced,
            all_paced,
            patience_s,
            time_limit,
        }
    }

    /// The mechanisms that are measured at fixed rates in the default matrix: ours first, and two that
    /// people use instead.
    pub const PACED: [&'static str; 3] = ["ring", "pipe", "unix-stream"];

    /// So many cells more are measured in every pass, whatever they are.
    const FEW: usize = 12;

    /// The cells of a pass, counted from 1.
    pub fn cells_of_pass(&self, pass: u32) -> Vec<Cell> {
        let seldom = if pass % 2 == 1 { &self.seldom[..] } else { &[] };
        [&self.cells, seldom].concat()
    }

    /// What to measure at fixed rates in a cell. The sender looks at the clock all the time, so the
    /// receiver needs a core of its own.
    pub fn paced_in(&self, cell: Cell) -> PacedPlan {
        let is_wanted = |name| self.all_paced || Self::PACED.contains(&name);
        let wanted = cell.subject.is_some_and(|(name, _)| is_wanted(name));
        if wanted && cell.manner == Manner::Single && cell.cores != Cores::One {
            self.paced.clone()
        } else {
            PacedPlan::default()
        }
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
        assert_eq!(plan.cells.len(), 5, "and the plain ring, copying and in place");
    }

    #[test]
    fn a_full_matrix_measures_our_ring_in_every_pass_and_the_others_in_every_second() {
        let plan = Plan::new(Extent::Default, MECHANISMS, |_| true, None, true);
        let names = |pass: u32, wanted: &str| {
            let cells = plan.cells_of_pass(pass);
            cells.iter().filter(|c| c.subject.is_some_and(|(name, _)| name == wanted)).count()
        };
        let counts = [1, 2, 3].map(|pass| (names(pass, "ring"), names(pass, "pipe")));
        assert_eq!(counts, [(11, 5), (11, 0), (11, 5)]);
        let plan = Plan::new(Extent::Default, MECHANISMS, |name| name == "pipe", None, true);
        assert_eq!(plan.seldom, []);
    }

    #[test]
    fn other_libraries_have_as_much_time_again() {
        let peer = Mechanism { name: "peer", peer: true, ..MECHANISMS[1] };
        let all = [MECHANISMS, &[peer]].concat();
        let limit = |wanted: fn(&str) -> bool| {
            Plan::new(Extent::Default, &all, wanted, None, true).time_limit.expect("there is one")
        };
        assert_eq!(limit(|_| true), 2 * limit(|name| name != "peer"));
    }

    #[test]
    fn fixed_rates_need_two_cores_and_messages_one_by_one() {
        let plan = Plan::new(Extent::Default, MECHANISMS, |_| true, None, true);
        let paced = plan.cells.iter().chain(&plan.seldom);
        let paced: Vec<_> =
            paced.filter(|&&cell| !plan.paced_in(cell).sizes_bytes.is_empty()).collect();
        assert!(paced.iter().all(|c| c.cores != Cores::One && c.manner == Manner::Single));
        let mut names: Vec<_> = paced.iter().filter_map(|c| Some(c.subject?.0)).collect();
        names.dedup();
        assert_eq!(names, Plan::PACED);
    }

    #[test]
    fn one_processor_measures_only_what_sleeps() {
        let plan = Plan::new(Extent::Default, MECHANISMS, |_| true, None, false);
        assert!(plan.cells.iter().all(|cell| cell.cores == Cores::One));
        assert!(plan.cells.iter().all(|c| c.subject.is_none_or(|(_, wait)| wait.sleeps())));
    }
}
