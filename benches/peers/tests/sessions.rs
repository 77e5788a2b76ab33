//! Every peer carries messages between two real processes: the program itself, as it starts its
//! sessions by the dozen, which check every byte both ways.

use std::path::Path;
use std::process::{Command, Stdio};

use ipc_bench_peers::PEERS;
use serde_json::Value;

/// Runs one session; returns what it found, a line each.
fn session(mechanism: &str, wait: &str, sizes_bytes: &[usize]) -> Vec<Value> {
    // As long a path as that of a whole run: sockets have little room for it.
    let temporary = tempfile::Builder::new().prefix("ipc-bench.").tempdir();
    let temporary = temporary.expect("a temporary directory");
    let spec = serde_json::json!({
        "subject": [mechanism, wait],
        "cores": "two",
        "cpus": [0, 1],
        "sizes_bytes": sizes_bytes,
        "rtt_ms": 1,
        "oneway_ms": 1,
        "patience_s": 300,
        "ns_per_tick": null,
    });
    let child = Command::new(env!("CARGO_BIN_EXE_ipc-bench-peers"))
        .args(["session", &spec.to_string()])
        .env("TMPDIR", temporary.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // What a host makes with a name, it makes with this in it.
    let scope = format!(".{}.", child.id());
    let output = child.wait_with_output().expect("it can be waited for");
    let found = String::from_utf8(output.stdout).expect("text");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{mechanism}, {wait}: {found}\n{errors}");
    for directory in [temporary.path(), Path::new("/dev/shm")] {
        let names = directory.read_dir().expect("it is there").flatten().map(|it| it.file_name());
        let names = names.map(|name| name.to_string_lossy().into_owned());
        let here = directory == temporary.path();
        let left: Vec<_> = names.filter(|name| here || name.contains(&scope)).collect();
        assert!(left.is_empty(), "{mechanism}, {wait} left {left:?} in {directory:?}");
    }
    found.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn every_peer_carries_a_word_and_64_kib_between_two_processes_and_leaves_nothing() {
    assert!(!PEERS.is_empty(), "built without any");
    for peer in PEERS {
        assert!(peer.peer, "{} must be marked as a peer", peer.name);
        for wait in peer.waits {
            let found = session(peer.name, wait.name(), &[8, 65536]);
            let samples: Vec<_> = found.iter().map(|finding| &finding["measured"]).collect();
            let samples: Vec<_> = samples.into_iter().filter(|it| it.is_object()).collect();
            assert_eq!(samples.len(), 2, "{}, {}: {found:?}", peer.name, wait.name());
            for sample in samples {
                assert_eq!(sample["lost_share"], 0.0, "{}", peer.name);
                for figure in ["rtt_mean_ns", "oneway_ns", "setup_us"] {
                    let figure = sample[figure].as_f64().expect("a number");
                    assert!(figure.is_finite() && figure > 0.0, "{sample}");
                }
            }
        }
    }
}
