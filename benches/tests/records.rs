//! Records that are shown again and compared, by the real program.

#[path = "../src/report/fixture.rs"]
mod fixture;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ipc_benches::report::schema::Record;
use serde_json::Value;

fn ipc_bench(arguments: &[&Path]) -> Output {
    let program = env!("CARGO_BIN_EXE_ipc-bench");
    Command::new(program).args(arguments).output().expect("the program starts")
}

fn flag(name: &str) -> &Path {
    Path::new(name)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A folder with the fixture as it is, and with a ring that takes twice as long.
fn records() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (good, slow) = (directory.path().join("good.json"), directory.path().join("slow.json"));
    let mut record = fixture::json();
    std::fs::write(&good, record.to_string()).expect("it is written");
    let double = |of: &mut Value| {
        if let Some(ns) = of.as_f64() {
            *of = (2.0 * ns).into();
        }
    };
    for row in record["results"].as_array_mut().expect("rows") {
        if row["mechanism"] == "ring" {
            for figure in ["mean", "p50", "p99", "p999", "max"] {
                double(&mut row["rtt_ns"][figure]);
            }
            for figure in ["oneway_ns", "oneway_min_ns", "oneway_max_ns"] {
                double(&mut row[figure]);
            }
            for figure in ["rtt_mean_min_ns", "rtt_mean_max_ns"] {
                double(&mut row[figure]);
            }
        }
    }
    std::fs::write(&slow, record.to_string()).expect("it is written");
    (directory, good, slow)
}

#[test]
fn a_slowed_ring_is_reported_and_fails_only_on_request() {
    let (_directory, good, slow) = records();
    let compare = [flag("--from"), &slow, flag("--compare"), &good];
    let output = ipc_bench(&compare);
    let told = text(&output);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("slower as a whole: ring, 2.00 ×"), "{told}");
    assert!(told.lines().filter(|line| line.starts_with("  ring, ")).count() > 10, "{told}");
    assert!(!told.contains("  pipe, "), "{told}");

    let strict = [&compare[..], &[flag("--fail-on-regression")]].concat();
    assert!(!ipc_bench(&strict).status.success());
    let same = [flag("--from"), &good, flag("--compare"), &good, flag("--fail-on-regression")];
    let output = ipc_bench(&same);
    assert!(output.status.success(), "{}", text(&output));
    let figures = 2 * fixture::record::<Record>().results.len();
    assert!(text(&output).contains(&format!("{figures} figures compared")), "{}", text(&output));
}

#[test]
fn a_record_is_shown_again_as_tables_and_as_a_page() {
    let (directory, good, _) = records();
    let shown = text(&ipc_bench(&[flag("--from"), &good]));
    assert!(shown.starts_with("Limits of this machine"), "{shown}");
    assert!(shown.contains("What to pick"), "{shown}");
    let page = directory.path().join("page.html");
    assert!(ipc_bench(&[flag("--from"), &good, flag("--html"), &page]).status.success());
    let page = std::fs::read_to_string(page).expect("it was written");
    assert!(page.starts_with("<!DOCTYPE html>"));
}

#[test]
fn what_is_no_record_is_refused_with_its_name() {
    let (directory, good, _) = records();
    let other = directory.path().join("other.json");
    let cases = [
        ("{}", "is no record of this program"),
        (&fixture::json().to_string().replacen("\"schema\":1", "\"schema\":9", 1), "version 9"),
    ];
    for (content, reason) in cases {
        std::fs::write(&other, content).expect("it is written");
        for arguments in
            [&[flag("--from"), &other][..], &[flag("--from"), &good, flag("--compare"), &other]]
        {
            let output = ipc_bench(arguments);
            let told = text(&output);
            assert!(!output.status.success(), "{told}");
            assert!(told.contains(reason) && told.contains("other.json"), "{told}");
        }
    }
    let absent = ipc_bench(&[flag("--from"), &directory.path().join("absent.json")]);
    assert!(text(&absent).contains("cannot read"), "{}", text(&absent));
}
