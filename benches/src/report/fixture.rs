//! A small record with round figures, for the tests of what is made of a record.

use serde_json::{Value, json};

/// What a mechanism does in the fixture: name, ways of looking and of sleeping, nanoseconds of a small
/// round trip that looks, nanoseconds for each byte, longest message.
type Sketch = (&'static str, &'static str, &'static str, f64, f64, usize);

const SKETCHES: [Sketch; 8] = [
    ("ring", "spin", "park", 200.0, 0.1, usize::MAX),
    ("shm-semaphore", "spin", "park", 700.0, 0.15, usize::MAX),
    ("pipe", "spin", "block", 2_000.0, 0.4, usize::MAX),
    ("mq-posix", "spin", "block", 1_500.0, 0.5, 8192),
    ("unix-stream", "spin", "block", 3_000.0, 0.3, usize::MAX),
    // Dear when small and cheap when large: it is overtaken nowhere but at first.
    ("unix-seqpacket", "spin", "block", 3_500.0, 0.05, 212_960),
    ("tcp", "spin", "block", 12_000.0, 0.6, usize::MAX),
    ("signal-rt", "spin", "block", 2_500.0, 0.0, 8),
];

const SIZES: [usize; 4] = [8, 64, 8192, 1 << 20];

/// The record, in the type that is wanted.
pub(crate) fn record<T: serde::de::DeserializeOwned>() -> T {
    serde_json::from_value(json()).expect("the fixture is a record")
}

/// The record as a file would have it.
pub(crate) fn json() -> Value {
    let mut results = Vec::new();
    for (mechanism, looking, sleeping, small_ns, byte_ns, longest) in SKETCHES {
        let situations = [
            (looking, "two", false, 0.0),
            (sleeping, "two", false, 40_000.0),
            (sleeping, "two", true, 20_000.0),
            (sleeping, "one", false, 4_000.0),
        ];
        for (wait, cores, awake, wake_ns) in situations {
            for size in SIZES.into_iter().filter(|size| *size <= longest) {
                let rtt = wake_ns + small_ns + 2.0 * byte_ns * size as f64;
                let oneway = small_ns / 20.0 + byte_ns * size as f64;
                results.push(json!({
                    "mechanism": mechanism, "peer": false, "topology": "one-to-one", "wait": wait,
                    "cores": cores, "awake": awake, "access": "copy", "batch": 1, "processes": 2,
                    "capacity_bytes": 65536, "runs": 5,
                    "placement": if cores == "one" { "same-core" } else { "near" },
                    "line_probe_ns": 100.0, "empty_polls_per_msg": 0.5, "size_bytes": size,
                    "rtt_ns": {
                        "mean": rtt * 1.05, "p50": rtt, "p99": rtt * 2.0, "p999": rtt * 5.0,
                        "max": rtt * 40.0,
                    },
                    "rtt_mean_min_ns": rtt * 1.02, "rtt_mean_max_ns": rtt * 1.08,
                    "oneway_ns": oneway, "oneway_min_ns": oneway * 0.95, "oneway_max_ns": oneway * 1.1,
                    "throughput_msgs_s": 1e9 / oneway, "throughput_gb_s": size as f64 / oneway,
                    "cpu_ns_per_msg": oneway * 2.0, "setup_us": 30.0, "fds": 2.0, "rss_kb": 64.0,
                }));
            }
        }
    }
    let plain = SIZES.map(|size| {
        let ns = size as f64 * 0.08;
        json!({ "size_bytes": size, "rtt_mean_ns": 180.0 + 2.0 * ns, "oneway_ns": 12.0 + ns })
    });
    json!({
        "schema": 1,
        "machine": {
            "cpu": "Example 9000", "arch": "x86_64", "cores": 2, "memory_mib": 4096,
            "virtual_machine": false, "rustc": "rustc 1.95.0", "cpus": [0, 1],
        },
        "limits": {
            "cacheline_rtt_ns": 100.0,
            "futex_rtt_ns": { "idle": 40_000.0, "awake": 20_000.0, "one_core": 4_000.0 },
            "eventfd_rtt_ns": { "idle": 41_000.0, "awake": 21_000.0, "one_core": 4_500.0 },
            "memcpy_gb_s": 12.5,
            "syscall_ns": 110.0,
            "plain_ring": plain,
        },
        "commit": "abc1234",
        "kernel": "Linux 6.1.0",
        "results": results,
    })
}
