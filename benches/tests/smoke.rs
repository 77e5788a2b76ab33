//! Runs the real program for a moment: real processes, a real link, a record that another program
//! could read.

use std::process::{Command, Output};

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
    let output = ipc_bench(&["--quick", "--only", "pipe", "--sizes", "8", "--json", file]);
    let table = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{table}\n{errors}");
    assert!(!table.contains("failed: "), "{table}");
    for line in table.lines().filter(|line| !line.starts_with("written to")) {
        assert!(line.chars().count() <= 102, "wider than the terminal: {line}");
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
    let waits: Vec<_> = rows.iter().filter_map(|row| row["wait"].as_str()).collect();
    assert!(waits.contains(&"block"), "{waits:?}");
    assert!(record["limits"]["futex_rtt_ns"]["one_core"].as_f64().is_some_and(|ns| ns > 0.0));
}

#[test]
fn the_list_names_every_mechanism_and_hides_the_limit() {
    let list = ipc_bench(&["--list"]);
    let list = String::from_utf8(list.stdout).expect("text");
    let names: Vec<_> = list.lines().filter_map(|line| line.split(' ').next()).collect();
    let expected = [
        "ring",
        "shm-semaphore",
        "pipe",
        "fifo",
        "mq-posix",
        "unix-stream",
        "unix-seqpacket",
        "unix-dgram",
        "tcp",
        "udp",
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
