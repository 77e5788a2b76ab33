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

const CACHE_LINE_NS: f64 = 100.0;

fn plain_oneway_ns(size: usize) -> f64 {
    12.0 + 0.08 * size as f64
}

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
            let limit_ns = if wake_ns > 0.0 { wake_ns } else { CACHE_LINE_NS };
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
                    "rtt_multiple": rtt / limit_ns, "oneway_multiple": oneway / plain_oneway_ns(size),
                    "paced": if size == 64 && wait == looking { paced(rtt) } else { json!([]) },
                }));
            }
        }
    }
    results.extend(manners());
    results.extend(peers());
    let plain = SIZES.map(|size| {
        let oneway_ns = plain_oneway_ns(size);
        json!({ "size_bytes": size, "rtt_mean_ns": 156.0 + 2.0 * oneway_ns, "oneway_ns": oneway_ns })
    });
    json!({
        "schema": 1,
        "machine": {
            "cpu": "Example 9000", "arch": "x86_64", "cores": 2, "memory_mib": 4096,
            "virtual_machine": false, "rustc": "rustc 1.95.0", "cpus": [0, 1],
        },
        "limits": {
            "cacheline_rtt_ns": CACHE_LINE_NS,
            "futex_rtt_ns": { "idle": 40_000.0, "awake": 20_000.0, "one_core": 4_000.0 },
            "eventfd_rtt_ns": { "idle": 41_000.0, "awake": 21_000.0, "one_core": 4_500.0 },
            "memcpy_gb_s": 12.5,
            "syscall_ns": 110.0,
            "plain_ring": plain,
        },
        "commit": "abc1234",
        "kernel": "Linux 6.1.0",
        "results": results,
        "links": [{
            "mechanism": "ring", "backing": "lazy", "capacity_bytes": 1 << 20, "setups": 240,
            "setup_us_p50": 80.0, "setup_us_p99": 200.0, "setup_us_min": 60.0, "fds_per_end": 6.0,
            "new_resident_kb": 24.0, "used_resident_kb": 4120.0, "new_files_kb": null,
            "used_files_kb": null, "parked_cpu_ns_per_s": 0.0,
        }],
    })
}

/// A rate that is kept, and one that is not.
fn paced(rtt_ns: f64) -> Value {
    let at = |rate: u32, reached: f64| {
        json!({
            "rate_per_s": rate, "reached_per_s": reached, "p50": rtt_ns / 2.0, "p99": rtt_ns,
            "p999": rtt_ns * 3.0, "max": rtt_ns * 30.0,
        })
    };
    json!([at(10_000, 10_000.0), at(1_000_000, 600_000.0)])
}

/// Two other libraries, with long names: one between processes, one between threads.
fn peers() -> Vec<Value> {
    let peers = [("boost-message-queue", 2, 2_200.0), ("crossbeam-channel", 1, 400.0)];
    let mut rows = Vec::new();
    for (mechanism, processes, small_ns) in peers {
        for size in SIZES {
            let rtt = small_ns + 0.4 * size as f64;
            rows.push(json!({
                "mechanism": mechanism, "peer": true, "topology": "one-to-one", "wait": "spin",
                "cores": "two", "awake": false, "access": "copy", "batch": 1, "processes": processes,
                "runs": 5, "placement": "near", "size_bytes": size,
                "rtt_ns": { "mean": rtt, "p50": rtt, "p99": rtt * 2.0, "p999": null, "max": rtt * 9.0 },
                "rtt_mean_min_ns": rtt * 0.98, "rtt_mean_max_ns": rtt * 1.02,
                "oneway_ns": rtt / 20.0, "oneway_min_ns": rtt / 21.0, "oneway_max_ns": rtt / 19.0,
                "throughput_gb_s": size as f64 / (rtt / 20.0),
            }));
        }
    }
    rows
}

/// The ring in place, in batches, with deadlines and between threads.
fn manners() -> Vec<Value> {
    let manners = [
        ("in-place", 1, false, 2, 150.0, 0.0),
        ("copy", 32, false, 2, 220.0, 0.1),
        ("copy", 1, true, 2, 230.0, 0.1),
        ("copy", 1, false, 1, 190.0, 0.1),
    ];
    let mut rows = Vec::new();
    for (access, batch, deadline, processes, small_ns, byte_ns) in manners {
        for size in SIZES {
            let rtt = small_ns + 2.0 * byte_ns * size as f64;
            rows.push(json!({
                "mechanism": if processes == 1 { "ring-threads" } else { "ring" }, "peer": false,
                "topology": "one-to-one", "wait": "spin", "cores": "two", "awake": false, "access": access, "batch": batch, "deadline": deadline,
                "processes": processes, "runs": 5, "placement": "near", "size_bytes": size,
                "rtt_ns": { "mean": rtt, "p50": rtt, "p99": rtt * 2.0, "p999": null, "max": rtt * 9.0 },
                "rtt_mean_min_ns": rtt * 0.98, "rtt_mean_max_ns": rtt * 1.02,
                "oneway_ns": rtt / 20.0, "oneway_min_ns": rtt / 21.0, "oneway_max_ns": rtt / 19.0,
                "throughput_gb_s": (access == "copy").then_some(size as f64 / (rtt / 20.0)),
            }));
        }
    }
    rows
}
