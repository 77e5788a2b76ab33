//! How a record is looked at, by the tables, the page and the comparison alike: which rows may be
//! compared with each other, what their limit is, and who is fastest. Leaves out how it is shown.

use super::schema::{Limits, Record, Row, WakeLimits};
use crate::limits::line::Placement;

/// Rows that can be compared with each other: the same way of waiting on the same cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// In a few words, for a heading.
    pub title: &'static str,
    /// In one or two words, for a column.
    pub short: &'static str,
    /// What it means, in a sentence.
    pub meaning: &'static str,
    sleeps: bool,
    cores: &'static str,
    awake: bool,
}

/// All situations, the one without sleep first.
pub const SITUATIONS: [Situation; 4] = [
    Situation {
        title: "looking, two cores",
        short: "looking",
        meaning: "Both processes look for messages all the time, each on a core of its own.",
        sleeps: false,
        cores: "two",
        awake: false,
    },
    Situation {
        title: "sleeping, two cores that halt",
        short: "sleeping",
        meaning: "Who waits sleeps, and his core halts: what a mostly idle machine does.",
        sleeps: true,
        cores: "two",
        awake: false,
    },
    Situation {
        title: "sleeping, two cores kept awake",
        short: "sleeping, awake",
        meaning: "Who waits sleeps, but other work keeps his core from halting.",
        sleeps: true,
        cores: "two",
        awake: true,
    },
    Situation {
        title: "sleeping, one core",
        short: "one core",
        meaning: "Both processes share one core: every message is a switch from one to the other.",
        sleeps: true,
        cores: "one",
        awake: false,
    },
];

impl Situation {
    /// Whether a row belongs to it.
    pub fn has(self, row: &Row) -> bool {
        let sleeps = row.wait == "park" || row.wait == "block";
        (sleeps, row.cores.as_str(), row.awake) == (self.sleeps, self.cores, self.awake)
    }

    /// The situation of a row.
    pub fn of(row: &Row) -> Option<Self> {
        SITUATIONS.into_iter().find(|situation| situation.has(row))
    }

    /// What its round trips are measured by.
    pub fn limit_name(self) -> &'static str {
        if self.sleeps { "futex" } else { "cache line" }
    }

    /// That limit, in nanoseconds.
    pub fn limit_ns(self, limits: &Limits) -> Option<f64> {
        let of = |wake: &WakeLimits| match (self.cores, self.awake) {
            ("one", _) => wake.one_core,
            (_, true) => wake.awake,
            (_, false) => wake.idle,
        };
        if self.sleeps { of(&limits.futex_rtt_ns) } else { limits.cacheline_rtt_ns }
    }
}

/// Whether a row is of the usual kind: two processes, one sender and one receiver, messages copied in
/// and out one at a time. Tables and plots compare these; the others are variants of them.
pub fn is_usual(row: &Row) -> bool {
    is_one_by_one(row) && row.processes == 2
}

/// The topology of a row with one sender and one receiver.
pub const ONE_TO_ONE: &str = "one-to-one";

/// Whether one sender's messages were copied in and out, one at a time, by calls without a deadline.
pub fn is_one_by_one(row: &Row) -> bool {
    row.topology == ONE_TO_ONE && row.access == "copy" && row.batch == 1 && !row.deadline
}

/// Whether several processes sent to one.
pub fn is_merged(row: &Row) -> bool {
    row.topology != ONE_TO_ONE
}

/// Whether the cores were where figures can be compared.
pub fn is_steady(row: &Row) -> bool {
    [Placement::Near, Placement::SameCore].iter().any(|good| good.name() == row.placement)
}

/// Whether its rounds were mostly over before anybody slept, though it was told to sleep: who sleeps takes
/// about as long as the futex, or longer. Some mechanisms look once more, or what woke them for the message
/// before wakes them again; then it is two that look that were measured.
pub fn seldom_slept(row: &Row) -> bool {
    const AS_A_FUTEX: f64 = 0.25;
    let sleeps = Situation::of(row).is_some_and(|situation| situation.sleeps);
    sleeps && row.rtt_multiple.is_some_and(|by| by < AS_A_FUTEX)
}

/// What stands behind a row's name: why to be careful with it.
pub fn marks(row: &Row) -> String {
    let marks = [(!is_steady(row), '*'), (row.lacks_core, '†'), (seldom_slept(row), '‡')];
    marks.into_iter().filter_map(|(is_so, mark)| is_so.then_some(mark)).collect()
}

/// A mechanism's kin: those that a plot shows together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Rings and buffers that both processes map.
    SharedMemory,
    /// Pipes and FIFOs.
    Pipes,
    /// POSIX and System V.
    Queues,
    /// On this machine only.
    UnixSockets,
    /// Through the network's stack.
    InternetSockets,
    /// Real-time signals.
    Signals,
    /// Remote procedure calls over another mechanism.
    Calls,
    /// What belongs to no other.
    Others,
    /// Other people's libraries.
    Peers,
}

impl Family {
    /// All of them, ours first.
    pub const ALL: [Self; 9] = [
        Self::SharedMemory,
        Self::Pipes,
        Self::Queues,
        Self::UnixSockets,
        Self::InternetSockets,
        Self::Signals,
        Self::Calls,
        Self::Others,
        Self::Peers,
    ];

    /// The family of a row.
    pub fn of(row: &Row) -> Self {
        let begins = |word| row.mechanism.starts_with(word);
        match () {
            () if row.peer => Self::Peers,
            () if ["ring", "shm", "mailbox"].into_iter().any(begins) => Self::SharedMemory,
            () if begins("pipe") || begins("fifo") => Self::Pipes,
            () if begins("mq-") => Self::Queues,
            () if begins("unix-") || begins("direct") => Self::UnixSockets,
            () if begins("tcp") || begins("udp") => Self::InternetSockets,
            () if begins("signal") => Self::Signals,
            () if begins("rpc-") => Self::Calls,
            () => Self::Others,
        }
    }

    /// Its name, for a heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::SharedMemory => "Shared memory",
            Self::Pipes => "Pipes",
            Self::Queues => "Message queues",
            Self::UnixSockets => "Unix sockets",
            Self::InternetSockets => "Internet sockets",
            Self::Signals => "Signals",
            Self::Calls => "Calls",
            Self::Others => "Others",
            Self::Peers => "Other libraries",
        }
    }

    /// Whether every message goes through the kernel.
    pub fn is_of_the_kernel(self) -> bool {
        !matches!(self, Self::SharedMemory | Self::Calls | Self::Others | Self::Peers)
    }
}

/// What is asked of a row, in nanoseconds: less is better.
pub type Figure = fn(&Row) -> Option<f64>;

/// The median round trip.
pub const ROUND_TRIP: Figure = |row| row.rtt_ns.p50;

/// A message of a stream.
pub const ONE_WAY: Figure = |row| row.oneway_ns;

/// The least and the greatest that a figure was in the repetitions. Their medians are not known of round
/// trips, but their means are: as far apart as those.
pub fn spread(row: &Row, figure: Figure) -> Option<(f64, f64)> {
    if std::ptr::fn_addr_eq(figure, ONE_WAY) {
        return row.oneway_min_ns.zip(row.oneway_max_ns);
    }
    let by = row.rtt_ns.p50? / row.rtt_ns.mean?;
    Some((by * row.rtt_mean_min_ns?, by * row.rtt_mean_max_ns?))
}

/// The record's sizes of message, ascending.
pub fn sizes(record: &Record) -> Vec<usize> {
    let mut sizes: Vec<usize> = record.results.iter().map(|row| row.size_bytes).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// The size that stands for small messages: a cache line, or the least measured.
pub fn small_size(record: &Record) -> Option<usize> {
    let sizes = sizes(record);
    sizes.iter().copied().find(|&size| size == 64).or(sizes.first().copied())
}

/// The size that stands for large messages: the largest measured, unless it is small itself.
pub fn large_size(record: &Record) -> Option<usize> {
    sizes(record).last().copied().filter(|&size| size >= 4096)
}

/// The mechanisms in the record's order, each once.
pub fn mechanisms(record: &Record) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for row in &record.results {
        if !names.contains(&row.mechanism.as_str()) {
            names.push(&row.mechanism);
        }
    }
    names
}

/// The usual rows of a situation at one size, one for each mechanism: in the way of waiting that makes
/// the figure least. The fastest first; those without the figure are left out.
pub fn ranked(record: &Record, situation: Situation, size: usize, figure: Figure) -> Vec<&Row> {
    let wanted = |row: &&Row| is_usual(row) && row.size_bytes == size && situation.has(row);
    best(record.results.iter().filter(wanted), figure, |row| row.mechanism.clone())
}

/// Of the rows of one name the one in which the figure is least; the fastest name first.
pub fn best<'a>(
    rows: impl Iterator<Item = &'a Row>,
    figure: Figure,
    name: fn(&Row) -> String,
) -> Vec<&'a Row> {
    let mut best: Vec<(f64, String, &Row)> = Vec::new();
    for row in rows {
        let (Some(ns), name) = (figure(row), name(row)) else { continue };
        match best.iter_mut().find(|(_, other, _)| *other == name) {
            Some(other) if other.0 > ns => *other = (ns, name, row),
            Some(_) => {}
            None => best.push((ns, name, row)),
        }
    }
    best.sort_by(|a, b| a.0.total_cmp(&b.0));
    best.into_iter().map(|(_, _, row)| row).collect()
}

/// The textbook ring's stream at this size.
pub fn plain_oneway_ns(limits: &Limits, size_bytes: usize) -> Option<f64> {
    limits.plain_ring.iter().find(|plain| plain.size_bytes == size_bytes)?.oneway_ns
}
