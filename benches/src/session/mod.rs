//! A **session**: one pair of pinned processes that measures one subject, a mechanism in one way of
//! waiting or the limits, at several message sizes.
//!
//! ```text
//! ipc-bench          starts sessions one after another, sleeps, adds up       crate::runner
//! └─ session (host)  makes the links, sends, holds the clock                  host
//!    ├─ guest        answers; a thread where the mechanism is between threads  guest
//!    └─ spinners     keep the cores from halting, where that is wanted        crate::spinner
//! ```
//!
//! All are this same executable, started anew. The host prints what it found as lines of JSON
//! ([`Finding`]); a session that hangs is ended by an alarm, and the others go on.

mod control;
mod fill;
pub mod guest;
pub mod host;
mod limits;
mod links;
mod merged;
mod protocol;
mod usage;

use serde::{Deserialize, Serialize};

use crate::limits::line::{Placement, Probe};
use crate::mechanisms::Mechanism;

/// How the processes wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// By looking again and again.
    Spin,
    /// By looking for a while, then sleeping.
    Adaptive,
    /// By sleeping at once, on a word in shared memory.
    Park,
    /// By sleeping in the mechanism's own system call.
    Block,
}

impl Wait {
    /// Its name in the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spin => "spin",
            Self::Adaptive => "adaptive",
            Self::Park => "park",
            Self::Block => "block",
        }
    }

    /// Whether the waiting process sleeps, so that each message has to wake it.
    pub fn sleeps(self) -> bool {
        matches!(self, Self::Park | Self::Block)
    }
}

/// What is done with the messages, or with the link.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Manner {
    /// One by one, copied in and out: what every mechanism can do.
    #[default]
    Single,
    /// The same by calls with a deadline.
    Timed,
    /// Written and read where they lie: [`crate::measure::in_place`].
    InPlace,
    /// Several by each call: [`crate::measure::batch`].
    Batch,
    /// Streams of two processes to one: [`crate::measure::merged`].
    TwoSenders,
    /// No message is timed, but the link: what it costs to make, to have and to wait on.
    Link,
    /// Nothing is measured: a link tells what it is like.
    Describe,
}

impl Manner {
    /// In words, for the progress and the notes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "one by one",
            Self::Timed => "with deadlines",
            Self::InPlace => "in place",
            Self::Batch => "in batches",
            Self::TwoSenders => "two senders",
            Self::Link => "link alone",
            Self::Describe => "properties",
        }
    }

    /// Whether messages of this size are measured like this.
    pub fn suits(self, size_bytes: usize) -> bool {
        /// Batches are for messages that are small beside what a call costs.
        const LONGEST_OF_BATCH: usize = 4096;
        self != Self::Batch || size_bytes <= LONGEST_OF_BATCH
    }
}

/// On which processors the two processes run, and whether those may halt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cores {
    /// A core each. One that has nothing to do halts, and takes long to wake.
    Two,
    /// A core each, kept from halting by a process of the idle class.
    TwoAwake,
    /// One core for both.
    One,
}

impl Cores {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Two, Self::TwoAwake, Self::One];

    /// In words, for the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Two => "two cores",
            Self::TwoAwake => "two cores, awake",
            Self::One => "one core",
        }
    }
}

/// What a session measures, as the runner tells it to the host and the host to the guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SessionSpec {
    /// The mechanism and the way of waiting; `None` for the limits.
    pub subject: Option<(String, Wait)>,
    /// What is done with the messages.
    #[serde(default)]
    pub manner: Manner,
    /// Where.
    pub cores: Cores,
    /// The processors of the host and of the guest.
    pub cpus: [usize; 2],
    /// Sizes of message, in bytes.
    pub sizes_bytes: Vec<usize>,
    /// How long to measure round trips of one size, in milliseconds.
    pub rtt_ms: u64,
    /// How long to measure the stream of one size, in milliseconds.
    pub oneway_ms: u64,
    /// What is measured at fixed rates too.
    #[serde(default)]
    pub paced: PacedPlan,
    /// After how many seconds at one size the session is taken for hung.
    pub patience_s: u32,
    /// The calibrated clock: see [`crate::clock::Clock::calibrated`].
    pub ns_per_tick: Option<f64>,
}

/// What is measured at fixed rates: see [`crate::measure::paced`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacedPlan {
    /// Sizes of message, in bytes.
    pub sizes_bytes: Vec<usize>,
    /// Messages a second.
    pub rates_per_s: Vec<u32>,
    /// For how long at each rate, in milliseconds.
    pub duration_ms: u64,
}

impl SessionSpec {
    /// The most scopes ([`ipc_testing::Scope`]) that a session makes: one for each attempt.
    pub(crate) fn most_scopes(&self) -> usize {
        host::ATTEMPTS as usize * self.sizes_bytes.len().max(1)
    }

    /// The mechanism, of these; `None` for the limits.
    ///
    /// # Errors
    ///
    /// If it is not among them.
    fn mechanism(&self, mechanisms: &[Mechanism]) -> anyhow::Result<Option<Mechanism>> {
        let found = self.subject.as_ref().map(|(name, _)| Mechanism::find(mechanisms, name));
        found.transpose().map(Option::<&_>::copied)
    }
}

/// A line that the host prints.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// A size was measured.
    Measured(Box<Sample>),
    /// A size was not measured, because the mechanism does not carry it.
    Unfit {
        /// The size, in bytes.
        size_bytes: usize,
        /// Why, in few words.
        reason: String,
    },
    /// The limits were measured.
    Limits(LimitSample),
    /// A link was measured.
    Link(LinkSample),
    /// What a link is like: questions and answers.
    Properties(Vec<(String, String)>),
    /// Something that the reader of the figures must know.
    Warning(String),
}

/// What one session found of one size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// Of which pass over the matrix, counted from 1; 0 until the runner says so.
    #[serde(default)]
    pub pass: u32,
    /// Size of the messages, in bytes.
    pub size_bytes: usize,
    /// Where the processors were to each other.
    pub placement: Placement,
    /// The probe after the measurement; `None` on one core.
    pub probe: Option<Probe>,
    /// Round trips in nanoseconds: each value that was seen, and how often. Empty if none were
    /// measured.
    pub rtt_counts: Vec<(u64, u64)>,
    /// The mean round trip in nanoseconds, of unrounded times.
    pub rtt_mean_ns: Option<f64>,
    /// The mean of a typical stretch of round trips in nanoseconds: the median of the means of blocks.
    pub rtt_typical_ns: Option<f64>,
    /// Streams at fixed rates.
    pub paced: Vec<PacedSample>,
    /// Time of the stream by messages arrived, in nanoseconds.
    pub oneway_ns: f64,
    /// Messages of the stream that did not arrive, by messages sent.
    pub lost_share: f64,
    /// How often the receiver of the stream asked in vain, by messages; `None` unless it asks.
    pub empty_polls_per_msg: Option<f64>,
    /// CPU time of both processes in the stream by messages arrived, in nanoseconds.
    pub cpu_ns_per_msg: f64,
    /// Time to make a link, in microseconds.
    pub setup_us: f64,
    /// Descriptors that a link takes, in both processes together.
    pub fds: f64,
    /// Memory that a link keeps resident after use, in both processes together, shared pages counted
    /// once, in KiB.
    pub rss_kb: f64,
    /// Room in the link in bytes, where the link is bounded by bytes.
    pub capacity_bytes: Option<usize>,
}

/// What one session found of a stream at a fixed rate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PacedSample {
    /// Messages a second, as intended.
    pub rate_per_s: u32,
    /// Messages a second, as they came.
    pub reached_per_s: f64,
    /// From the moment at which a message was due to be sent until it was received, in nanoseconds: each
    /// value, to two digits, and how often it was seen.
    pub delay_counts: Vec<(u64, u64)>,
}

/// What one session found of a link: a duplex one of two rings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LinkSample {
    /// Whether the memory was taken when the link was made, or as it was used.
    pub reserved: bool,
    /// Room in each ring, in bytes.
    pub capacity_bytes: usize,
    /// Where the processors were to each other.
    pub placement: Placement,
    /// Times to make a link on a connected socket, until both ends were there, in microseconds.
    pub setups_us: Vec<f64>,
    /// Descriptors of one end.
    pub fds_per_end: f64,
    /// Memory of a new link, in KiB.
    pub new: LinkMemory,
    /// Memory of a link through which both rings have been filled, in KiB.
    pub used: LinkMemory,
    /// CPU time of a process that waits in `recv`, in nanoseconds per second. `None` if it was not
    /// measured, or the kernel does not tell.
    pub parked_cpu_ns_per_s: Option<f64>,
}

/// Memory of a link, in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkMemory {
    /// Resident in both processes together, shared pages counted once.
    pub resident_kb: f64,
    /// Blocks of its files in memory, mapped or not. `None` if the kernel does not let us look.
    pub files_kb: Option<f64>,
}

/// What one session found of the limits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LimitSample {
    /// Of which pass over the matrix, counted from 1; 0 until the runner says so.
    #[serde(default)]
    pub pass: u32,
    /// Where the processors were to each other.
    pub placement: Placement,
    /// Cache-line round trips in nanoseconds, each value and how often; empty on one core.
    pub line_counts: Vec<(u64, u64)>,
    /// The typical cache-line round trip in nanoseconds; `None` on one core.
    pub line_ns: Option<f64>,
    /// The typical futex round trip, in nanoseconds.
    pub futex_ns: f64,
    /// The typical eventfd round trip, in nanoseconds.
    pub eventfd_ns: f64,
    /// Rate of copying memory, in GB/s.
    pub memcpy_gb_s: f64,
    /// Time of an empty system call, in nanoseconds.
    pub syscall_ns: f64,
    /// By size of message in bytes, what the loops do themselves: [`crate::measure::content::own_work_ns`].
    #[serde(default)]
    pub own_work_ns: Vec<(usize, [f64; 2])>,
    /// By size of message in bytes, the bare stream ([`crate::limits::bare`]): the time of a record in
    /// nanoseconds. Only on two cores that nobody keeps awake, and of sizes that have this bound.
    #[serde(default)]
    pub bare_oneway_ns: Vec<(usize, f64)>,
}

#[cfg(test)]
impl LimitSample {
    /// The limits of a pass, for tests: 1 where there is a figure, and no streams.
    pub(crate) fn of_ones(pass: u32, placement: Placement) -> Self {
        Self {
            pass,
            placement,
            line_counts: Vec::new(),
            line_ns: None,
            futex_ns: 1.0,
            eventfd_ns: 1.0,
            memcpy_gb_s: 1.0,
            syscall_ns: 1.0,
            own_work_ns: Vec::new(),
            bare_oneway_ns: Vec::new(),
        }
    }
}
