//! The record of a run, as JSON: version 1 of the schema. Leaves out where the figures come from.
//!
//! A figure that was not measured is `null`, never a guess. Times are in nanoseconds unless the name
//! says otherwise, sizes in bytes. The order of the fields is that of the file. Fields that were added
//! to the version later may be missing from older files.

use serde::{Deserialize, Serialize};

/// The version of the schema that this program writes.
pub const SCHEMA: u32 = 1;

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The version: [`SCHEMA`].
    pub schema: u32,
    /// Where it was measured.
    pub machine: Machine,
    /// What the machine allows.
    pub limits: Limits,
    /// The commit of the sources (`git describe`).
    pub commit: Option<String>,
    /// The kernel's name and release.
    pub kernel: String,
    /// One for each mechanism × topology × wait × cores × awake × access × batch × deadline × size.
    pub results: Vec<Row>,
    /// What links cost beside their messages.
    #[serde(default)]
    pub links: Vec<LinkCosts>,
    /// What the reader of the figures must know.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Where it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's model.
    pub cpu: String,
    /// The processor's architecture: `"x86_64"`.
    pub arch: String,
    /// How many processors the program may use.
    pub cores: usize,
    /// Memory, in MiB.
    pub memory_mib: Option<u64>,
    /// Whether it is a virtual machine.
    pub virtual_machine: Option<bool>,
    /// The compiler that built the program.
    pub rustc: String,
    /// The processors of the two processes.
    pub cpus: [usize; 2],
}

/// What the machine allows, undisturbed: round trips are means of typical stretches, medians of the
/// runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// The cache-line round trip.
    pub cacheline_rtt_ns: Option<f64>,
    /// The futex round trip.
    pub futex_rtt_ns: WakeLimits,
    /// The eventfd round trip.
    pub eventfd_rtt_ns: WakeLimits,
    /// The rate of copying memory, in 10⁹ bytes a second.
    pub memcpy_gb_s: Option<f64>,
    /// The time of an empty system call.
    pub syscall_ns: Option<f64>,
    /// The textbook's ring, at each size.
    pub plain_ring: Vec<PlainRingLimit>,
    /// The bare stream ([`crate::limits::bare`]), at each size that it bounds. None in older records.
    #[serde(default)]
    pub bare_stream: Vec<BareStream>,
    /// What the measuring loops do themselves, at each size. No limit, but to be subtracted by whoever
    /// wants to.
    #[serde(default)]
    pub own_work: Vec<OwnWork>,
}

/// Records of one size from one core to the other, with nothing around them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BareStream {
    /// Size of what a record carries.
    pub size_bytes: usize,
    /// The time of a stream by its records.
    pub oneway_ns: Option<f64>,
}

/// What the loops of a stream do for each message beside the calls that are measured: it is within
/// every one-way figure, each side's on its own core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OwnWork {
    /// Size of the messages.
    pub size_bytes: usize,
    /// The sender's: to number a message.
    pub send_ns: Option<f64>,
    /// The receiver's: to look at a few words.
    pub recv_ns: Option<f64>,
}

/// A wake-up's round trip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WakeLimits {
    /// On two cores that halt when idle.
    pub idle: Option<f64>,
    /// On two cores kept awake by a process of the idle class on each.
    pub awake: Option<f64>,
    /// On one core.
    pub one_core: Option<f64>,
}

/// The textbook's ring at one size, spinning on two cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlainRingLimit {
    /// Size of the messages.
    pub size_bytes: usize,
    /// The round trip.
    pub rtt_mean_ns: Option<f64>,
    /// The time of a stream by its messages.
    pub oneway_ns: Option<f64>,
    /// The least of the runs: streams of short messages have two regimes.
    #[serde(default)]
    pub oneway_min_ns: Option<f64>,
    /// The greatest of the runs.
    #[serde(default)]
    pub oneway_max_ns: Option<f64>,
    /// The round trip of messages written and read in place, of which the first and the last word are
    /// touched.
    #[serde(default)]
    pub in_place_rtt_mean_ns: Option<f64>,
    /// The same one way.
    #[serde(default)]
    pub in_place_oneway_ns: Option<f64>,
}

/// One mechanism, in one way, at one size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The mechanism: `"ring"`, `"pipe"`; or another library's name.
    pub mechanism: String,
    /// Whether it is another library.
    pub peer: bool,
    /// Who talks with whom: `"one-to-one"`, or `"two-to-one"`: two processes on one core, which send over
    /// one link to a third on another. Of those only the stream is measured.
    pub topology: String,
    /// How they wait: `"spin"`, `"adaptive"`, `"park"` or `"block"`.
    pub wait: String,
    /// `"two"` or `"one"`.
    pub cores: String,
    /// Whether idle-class processes kept the cores from halting.
    pub awake: bool,
    /// `"copy"`: every byte copied in and copied out; or `"in-place"`.
    pub access: String,
    /// Messages handed over at once.
    pub batch: u32,
    /// Whether each call had a deadline (a second ahead).
    #[serde(default)]
    pub deadline: bool,
    /// Processes that took part; 1 if both sides are threads, 3 if two send.
    pub processes: u32,
    /// Whether it wants a core more than this machine has, for a process or thread of its own.
    #[serde(default)]
    pub lacks_core: bool,
    /// Room in the link, where it is bounded by bytes.
    pub capacity_bytes: Option<usize>,
    /// Streams that the one-way figures come from, each between two fresh processes.
    pub runs: u32,
    /// Where the cores were to each other: `"near"`, `"far"`, `"sibling"` (of one core), `"moved"`
    /// (under way), `"same-core"`, `"unknown"` (not pinned).
    pub placement: String,
    /// The cache-line round trip beside the measurement, without time stamps.
    pub line_probe_ns: Option<f64>,
    /// How often the receiver of the stream asked in vain, by messages.
    pub empty_polls_per_msg: Option<f64>,
    /// Size of the messages.
    pub size_bytes: usize,
    /// Round trips.
    pub rtt_ns: RoundTrips,
    /// The least of the runs' means of round trips.
    #[serde(default)]
    pub rtt_mean_min_ns: Option<f64>,
    /// The greatest of them.
    #[serde(default)]
    pub rtt_mean_max_ns: Option<f64>,
    /// The time of a stream by its messages: the median of the runs.
    pub oneway_ns: Option<f64>,
    /// The least of the runs.
    pub oneway_min_ns: Option<f64>,
    /// The greatest of the runs.
    pub oneway_max_ns: Option<f64>,
    /// Messages a second of the median run.
    pub throughput_msgs_s: Option<f64>,
    /// 10⁹ bytes a second of the median run.
    pub throughput_gb_s: Option<f64>,
    /// CPU time of both processes in the stream, by messages.
    pub cpu_ns_per_msg: Option<f64>,
    /// Time to make a link, its hand-over included, in microseconds.
    pub setup_us: Option<f64>,
    /// Descriptors of a link, in both processes together.
    pub fds: Option<f64>,
    /// Memory of a link that is resident after use, in both processes together, in KiB. The kernel's
    /// own buffers are not among it.
    pub rss_kb: Option<f64>,
    /// Streams at fixed rates; none where that was not measured.
    #[serde(default)]
    pub paced: Vec<Paced>,
    /// The typical round trip by its limit, both of the same placement: the cache line's beside it for
    /// processes that look, the futex's on the same cores in the same pass for ones that sleep. As the
    /// next two, it is the median of what it was in each run.
    #[serde(default)]
    pub rtt_multiple: Option<f64>,
    /// The typical round trip by the plain ring's in the same pass, at the same size and placement, in
    /// place by in place.
    #[serde(default)]
    pub rtt_plain_multiple: Option<f64>,
    /// The stream by the plain ring's in the same pass, at the same size and placement: copied messages
    /// by copied ones one by one, in place by in place.
    #[serde(default)]
    pub oneway_multiple: Option<f64>,
    /// The stream by the bare stream in the same pass, at the same size and placement: of copied messages.
    #[serde(default)]
    pub oneway_bare_multiple: Option<f64>,
}

/// Times of round trips.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoundTrips {
    /// The mean: the median of the runs' means.
    pub mean: Option<f64>,
    /// Half of the rounds took no longer.
    pub p50: Option<f64>,
    /// 99 of 100 rounds took no longer.
    pub p99: Option<f64>,
    /// 999 of 1000 rounds took no longer; `null` below 1000 rounds.
    pub p999: Option<f64>,
    /// The longest round.
    pub max: Option<f64>,
}

/// A stream at a fixed rate, timed from the moment at which each message was due to be sent until it
/// was received: what a stall delays counts, message by message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Paced {
    /// Messages a second, as intended.
    pub rate_per_s: u32,
    /// Messages a second, as they came: the median of the runs. Where it is less, the link did not keep
    /// up, and the times tell only for how long it was tried.
    pub reached_per_s: Option<f64>,
    /// Half of the messages took no longer.
    pub p50: Option<f64>,
    /// 99 of 100 took no longer.
    pub p99: Option<f64>,
    /// 999 of 1000 took no longer; `null` below 1000 messages.
    pub p999: Option<f64>,
    /// The longest.
    pub max: Option<f64>,
}

/// What a duplex link costs beside its messages: medians of the runs, and percentiles of all set-ups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkCosts {
    /// The mechanism: `"ring"`.
    pub mechanism: String,
    /// When its memory is taken: `"lazy"` (as it is used) or `"reserved"` (when it is made).
    pub backing: String,
    /// Room in each direction.
    pub capacity_bytes: usize,
    /// Links that were made.
    pub setups: u32,
    /// Time to make one on a connected socket, both processes awake on a core each, until both ends are
    /// there, in microseconds: half of them took no longer.
    pub setup_us_p50: Option<f64>,
    /// 99 of 100 took no longer.
    pub setup_us_p99: Option<f64>,
    /// The shortest.
    pub setup_us_min: Option<f64>,
    /// Descriptors of each end.
    pub fds_per_end: Option<f64>,
    /// Memory of a new link that is resident in both processes together, in KiB.
    pub new_resident_kb: Option<f64>,
    /// The same after both rings have been filled.
    pub used_resident_kb: Option<f64>,
    /// Memory taken by a new link, resident or not, in KiB; `null` if the kernel lets only others look.
    pub new_files_kb: Option<f64>,
    /// The same after both rings have been filled.
    pub used_files_kb: Option<f64>,
    /// CPU time of a process that waits in `recv`, by second of waiting.
    pub parked_cpu_ns_per_s: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn keys(value: &Value) -> Vec<&str> {
        value.as_object().expect("an object").keys().map(String::as_str).collect()
    }

    fn sorted<const N: usize>(mut keys: [&str; N]) -> Vec<&str> {
        keys.sort_unstable();
        keys.to_vec()
    }

    #[test]
    fn the_keys_are_those_that_were_promised() {
        let machine = crate::machine::describe([0, 1]);
        let plain_ring =
            vec![PlainRingLimit { size_bytes: 8, oneway_ns: Some(5.0), ..Default::default() }];
        let record = Record {
            schema: SCHEMA,
            machine,
            limits: Limits {
                plain_ring,
                bare_stream: vec![BareStream::default()],
                own_work: vec![OwnWork::default()],
                ..Limits::default()
            },
            commit: None,
            kernel: "Linux".into(),
            results: vec![tests_row()],
            links: vec![tests_link()],
            warnings: vec!["loud".into()],
        };
        let json = serde_json::to_value(&record).expect("it is plain data");
        assert_eq!(json["schema"], 1);
        assert_eq!(
            keys(&json),
            sorted([
                "schema", "machine", "limits", "commit", "kernel", "results", "links", "warnings"
            ])
        );
        let limits = &json["limits"];
        assert_eq!(
            keys(limits),
            sorted([
                "cacheline_rtt_ns",
                "futex_rtt_ns",
                "eventfd_rtt_ns",
                "memcpy_gb_s",
                "syscall_ns",
                "plain_ring",
                "bare_stream",
                "own_work"
            ])
        );
        assert_eq!(keys(&limits["own_work"][0]), sorted(["size_bytes", "send_ns", "recv_ns"]));
        assert_eq!(keys(&limits["bare_stream"][0]), sorted(["size_bytes", "oneway_ns"]));
        for wake in ["futex_rtt_ns", "eventfd_rtt_ns"] {
            assert_eq!(keys(&limits[wake]), sorted(["idle", "awake", "one_core"]));
        }
        assert_eq!(
            keys(&limits["plain_ring"][0]),
            sorted([
                "size_bytes",
                "rtt_mean_ns",
                "oneway_ns",
                "oneway_min_ns",
                "oneway_max_ns",
                "in_place_rtt_mean_ns",
                "in_place_oneway_ns"
            ])
        );
        let row = &json["results"][0];
        assert_eq!(
            keys(row),
            sorted([
                "mechanism",
                "peer",
                "topology",
                "wait",
                "cores",
                "awake",
                "access",
                "batch",
                "deadline",
                "processes",
                "lacks_core",
                "capacity_bytes",
                "runs",
                "placement",
                "line_probe_ns",
                "empty_polls_per_msg",
                "size_bytes",
                "rtt_ns",
                "rtt_mean_min_ns",
                "rtt_mean_max_ns",
                "oneway_ns",
                "oneway_min_ns",
                "oneway_max_ns",
                "throughput_msgs_s",
                "throughput_gb_s",
                "cpu_ns_per_msg",
                "setup_us",
                "fds",
                "rss_kb",
                "paced",
                "rtt_multiple",
                "rtt_plain_multiple",
                "oneway_multiple",
                "oneway_bare_multiple"
            ])
        );
        assert_eq!(keys(&row["rtt_ns"]), sorted(["mean", "p50", "p99", "p999", "max"]));
        assert_eq!(
            keys(&row["paced"][0]),
            sorted(["rate_per_s", "reached_per_s", "p50", "p99", "p999", "max"])
        );
        assert_eq!(
            keys(&json["links"][0]),
            sorted([
                "mechanism",
                "backing",
                "capacity_bytes",
                "setups",
                "setup_us_p50",
                "setup_us_p99",
                "setup_us_min",
                "fds_per_end",
                "new_resident_kb",
                "used_resident_kb",
                "new_files_kb",
                "used_files_kb",
                "parked_cpu_ns_per_s"
            ])
        );
        assert!(row["oneway_ns"].is_null(), "what was not measured is null, and present");
        let back: Record = serde_json::from_value(json.clone()).expect("it reads its own");
        assert_eq!(back, record);
    }

    #[test]
    fn a_record_from_before_the_added_fields_is_read() {
        let mut row = serde_json::to_value(tests_row()).expect("it is plain data");
        let fields = row.as_object_mut().expect("an object");
        for added in ["deadline", "paced", "rtt_mean_min_ns", "rtt_mean_max_ns"] {
            fields.remove(added).expect("it was there");
        }
        let row: Row = serde_json::from_value(row).expect("an older row");
        assert_eq!((row.deadline, row.paced.len(), row.rtt_mean_min_ns), (false, 0, None));
    }

    fn tests_link() -> LinkCosts {
        LinkCosts {
            mechanism: "ring".into(),
            backing: "lazy".into(),
            capacity_bytes: 1 << 20,
            setups: 240,
            setup_us_p50: Some(80.0),
            setup_us_p99: None,
            setup_us_min: None,
            fds_per_end: Some(6.0),
            new_resident_kb: None,
            used_resident_kb: None,
            new_files_kb: None,
            used_files_kb: None,
            parked_cpu_ns_per_s: Some(0.0),
        }
    }

    fn tests_row() -> Row {
        Row {
            mechanism: "ring".into(),
            peer: false,
            topology: "one-to-one".into(),
            wait: "spin".into(),
            cores: "two".into(),
            awake: false,
            access: "copy".into(),
            batch: 1,
            deadline: false,
            processes: 2,
            lacks_core: false,
            capacity_bytes: None,
            runs: 1,
            placement: "near".into(),
            line_probe_ns: None,
            empty_polls_per_msg: None,
            size_bytes: 8,
            rtt_ns: RoundTrips::default(),
            rtt_mean_min_ns: None,
            rtt_mean_max_ns: None,
            oneway_ns: None,
            oneway_min_ns: None,
            oneway_max_ns: None,
            throughput_msgs_s: None,
            throughput_gb_s: None,
            cpu_ns_per_msg: None,
            setup_us: None,
            fds: None,
            rss_kb: None,
            paced: vec![Paced::default()],
            rtt_multiple: None,
            rtt_plain_multiple: None,
            oneway_multiple: None,
            oneway_bare_multiple: None,
        }
    }
}
