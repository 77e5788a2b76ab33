//! Runs the real program for a moment: real processes, a real link, a record that another program
//! could read.

use std::process::{Command, Output};

use ipc_benches::session::Manner;
use serde_json::Value;

fn ipc_bench(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_ipc-bench");
    Command::new(program).args(arguments).output().expect("the program starts")
}

#[test]
fn a_quick_run_of_the_pipe_leaves_a_record_of_finite_figures() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("record.json");
    let file = path.to_str().expect("a plain path");
    // On one core, where a busy machine only slows it down.
    let cpu = ipc_benches::machine::allowed_cpus().expect("the kernel tells")[0];
    let cpus = format!("{cpu},{cpu}");
    let output =
        ipc_bench(&["--quick", "--only", "pipe", "--sizes", "8", "--cpus", &cpus, "--json", file]);
    let table = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{table}\n{errors}");
    assert!(!table.contains("failed: "), "{table}");
    for line in table.lines().filter(|line| !line.starts_with("written to")) {
        assert!(line.chars().count() <= 100, "wider than the terminal: {line}");
    }

    let record = std::fs::read_to_string(&path).expect("the record was written");
    let record: Value = serde_json::from_str(&record).expect("it is JSON");
    assert_eq!(record["schema"], 1);
    let rows = record["results"].as_array().expect("rows");
    assert!(!rows.is_empty());
    for row in rows {
        assert_eq!((&row["mechanism"], &row["size_bytes"]), (&"pipe".into(), &8.into()));
        for figure in [
            &row["rtt_ns"]["mean"],
            &row["rtt_ns"]["p50"],
            &row["rtt_ns"]["max"],
            &row["oneway_ns"],
            &row["throughput_msgs_s"],
            &row["setup_us"],
            &row["cpu_ns_per_msg"],
        ] {
            let figure = figure.as_f64().unwrap_or_else(|| panic!("not a number in {row}"));
            assert!(figure.is_finite() && figure > 0.0, "{row}");
        }
        assert_eq!(row["fds"], 2.0, "a pipe has two ends");
    }
    assert!(record["limits"]["futex_rtt_ns"]["one_core"].as_f64().is_some_and(|ns| ns > 0.0));
}

/// What one session found, as the program starts them by the dozen.
fn session(subject: [&str; 2], manner: &str, size_bytes: usize) -> Vec<Value> {
    let spec = serde_json::json!({
        "subject": subject,
        "manner": manner,
        "cores": "two",
        "cpus": [0, 1],
        "sizes_bytes": [size_bytes],
        "rtt_ms": 1,
        "oneway_ms": 1,
        "paced": { "sizes_bytes": [64], "rates_per_s": [2000], "duration_ms": 5 },
        "patience_s": 300,
        "ns_per_tick": null,
    });
    let output = ipc_bench(&["session", &spec.to_string()]);
    let found = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{found}\n{}", String::from_utf8_lossy(&output.stderr));
    found.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The sample of one size, if the mechanism has that.
fn find_sample(subject: [&str; 2], manner: &str, size_bytes: usize) -> Option<Value> {
    let found = session(subject, manner, size_bytes).into_iter();
    let sample = found.map(|mut finding| finding["measured"].take()).find(Value::is_object)?;
    assert_eq!(sample["size_bytes"], size_bytes);
    Some(sample)
}

/// The sample of one size over a link that loses nothing.
fn sample(subject: [&str; 2], manner: &str, size_bytes: usize) -> Value {
    let sample = find_sample(subject, manner, size_bytes).expect("it was measured");
    assert_eq!(sample["lost_share"], 0.0);
    sample
}

fn assert_positive(sample: &Value, figures: &[&str]) {
    for figure in figures {
        assert!(sample[figure].as_f64().is_some_and(|ns| ns > 0.0), "{figure} in {sample}");
    }
}

#[test]
fn spinning_sessions_measure_the_ring_and_its_limit() {
    for mechanism in ["plain-ring", "ring", "ring-threads", "pipe"] {
        let sample = sample([mechanism, "spin"], "single", 1000);
        assert_positive(&sample, &["rtt_mean_ns", "rtt_typical_ns", "oneway_ns", "setup_us"]);
    }
}

#[test]
fn the_ring_is_measured_in_place_in_batches_and_with_deadlines() {
    for (subject, manner) in [
        (["ring", "spin"], "in-place"),
        (["plain-ring", "spin"], "in-place"),
        (["ring", "park"], "timed"),
    ] {
        let sample = sample(subject, manner, 1000);
        assert_positive(&sample, &["rtt_mean_ns", "rtt_typical_ns", "oneway_ns"]);
    }
    let batches = sample(["ring", "adaptive"], "batch", 1000);
    assert_positive(&batches, &["oneway_ns"]);
    assert!(batches["rtt_mean_ns"].is_null(), "a batch has no round trip");
}

#[test]
fn two_processes_send_to_one_where_a_mechanism_allows_it() {
    for mechanism in ipc_benches::mechanisms::MECHANISMS {
        for (manner, wait, _) in mechanism.extras {
            if *manner == Manner::TwoSenders {
                let subject = [mechanism.name, wait.name()];
                // A signal carries eight bytes, and nothing else.
                let sample = find_sample(subject, "two-senders", 1000)
                    .or_else(|| find_sample(subject, "two-senders", 8));
                let sample = sample.expect(mechanism.name);
                assert!(mechanism.name == "udp" || sample["lost_share"] == 0.0, "{sample}");
                assert_positive(&sample, &["oneway_ns", "setup_us", "cpu_ns_per_msg"]);
                assert!(sample["rtt_mean_ns"].is_null(), "there is no way back");
            }
        }
    }
}

#[test]
fn a_paced_stream_times_every_message() {
    let sample = sample(["pipe", "block"], "single", 64);
    let [paced] = &sample["paced"].as_array().expect("a list")[..] else { panic!("{sample}") };
    assert_eq!(paced["rate_per_s"], 2000);
    let counts = paced["delay_counts"].as_array().expect("a list").iter();
    assert_eq!(counts.map(|count| count[1].as_u64().expect("a count")).sum::<u64>(), 10);
}

#[test]
fn links_cost_descriptors_and_memory_and_a_waiting_side_no_time() {
    let found = session(["ring", "adaptive"], "link", 8);
    let links: Vec<&Value> = found.iter().map(|f| &f["link"]).filter(|l| l.is_object()).collect();
    let [lazy, reserved] = links[..] else { panic!("two kinds of memory: {found:?}") };
    assert_eq!((&lazy["reserved"], &reserved["reserved"]), (&false.into(), &true.into()));
    for link in [lazy, reserved] {
        assert!(link["setups_us"].as_array().is_some_and(|all| all.len() >= 200), "{link}");
        assert!(
            link["fds_per_end"].as_f64().is_some_and(|fds| (1.0..=6.0).contains(&fds)),
            "{link}"
        );
        let kb = |when: &str| link[when]["resident_kb"].as_f64().expect("a number");
        assert!(kb("used") > kb("new") + 1500.0, "two rings of 1 MiB were filled: {link}");
        // A side that looked all the time would use some 1e9, or a share of it on a busy machine.
        if let Some(ns) = link["parked_cpu_ns_per_s"].as_f64() {
            assert!(ns < 1e8, "a waiting side sleeps: {link}");
        }
    }
    // Only a privileged process sees what is taken and not touched.
    if let Some(files_kb) = reserved["new"]["files_kb"].as_f64() {
        assert!(files_kb >= 2048.0, "{reserved}");
        assert!(lazy["new"]["files_kb"].as_f64().is_some_and(|kb| kb < 100.0), "{lazy}");
    }
}

#[test]
fn the_list_names_every_mechanism_and_hides_the_limit() {
    let list = ipc_bench(&["--list"]);
    let list = String::from_utf8(list.stdout).expect("text");
    let names: Vec<_> = list.lines().filter_map(|line| line.split(' ').next()).collect();
    let expected = [
        "ring",
        "ring-asymmetric",
        "ring-threads",
        "shm-semaphore",
        "pipe",
        "fifo",
        "mq-posix",
        "unix-stream",
        "unix-seqpacket",
        "unix-dgram",
        "direct",
        "tcp",
        "udp",
        "unix-stream-abstract",
        "unix-seqpacket-abstract",
        "unix-dgram-abstract",
        "tcp-v6",
        "udp-v6",
        "signal-rt",
    ];
    assert_eq!(names, expected);
}

#[test]
fn bad_arguments_are_refused_with_a_reason() {
    let cases = [
        (&["--only", "pigeon"][..], "no mechanism contains"),
        (&["--sizes", "4"], "below 8 bytes"),
        (&["--cpus", "0"], "takes two processors"),
        (&["--cpus", "0,1000"], "not among those allowed"),
        (&["--quick", "--full"], "cannot be used with"),
    ];
    for (arguments, reason) in cases {
        let output = ipc_bench(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && errors.contains(reason), "{arguments:?}: {errors}");
    }
}
