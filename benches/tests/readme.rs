//! The README's generated parts are what the code and the latest record say today. `UPDATE_README=1
//! cargo test -p ipc-benches --test readme` writes them anew.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// What depends on the limits of the machine that generates the table.
const OF_THE_MACHINE: &[&str] = &["| capacity |", "| message length |"];

/// One test at a time writes the README.
static README: Mutex<()> = Mutex::new(());

#[test]
fn the_table_of_properties_is_what_the_links_say() {
    hold("properties", &ipc_bench(&["--properties"]));
}

#[test]
fn the_figures_are_those_of_the_latest_record() {
    let record = latest_record();
    let name = record.file_name().expect("a file").to_string_lossy().into_owned();
    let figures = ipc_bench(&["--markdown", "--from", record.to_str().expect("a plain path")]);
    let from = format!("From [`{name}`](benches/record/{name}).");
    hold("figures", &format!("\n{}\n{from}\n\n", figures.trim_end()));
}

fn ipc_bench(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ipc-bench"))
        .args(arguments)
        .output()
        .expect("the benchmark runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Records are named by their dates.
fn latest_record() -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("record");
    let files = std::fs::read_dir(directory).expect("there is a folder of records");
    let paths = files.map(|file| file.expect("a file").path());
    let records =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    records.max().expect("there is a record")
}

/// Sees to it that the README's part of this name is this text.
fn hold(part: &str, text: &str) {
    let _alone = README.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (begin, end) = (format!("<!-- {part}:begin -->\n"), format!("<!-- {part}:end -->"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(&path).expect("there is a README");
    let (before, rest) = readme.split_once(&begin).expect("the README has the mark");
    let (present, after) = rest.split_once(&end).expect("the README has the mark");
    if std::env::var_os("UPDATE_README").is_some() {
        let whole = format!("{before}{begin}{text}{end}{after}");
        std::fs::write(&path, whole).expect("the README can be written");
        return;
    }
    let lines = |text: &str| -> Vec<String> {
        let is_of_the_machine = |line: &str| OF_THE_MACHINE.iter().any(|row| line.starts_with(row));
        text.lines().filter(|line| !is_of_the_machine(line)).map(String::from).collect()
    };
    assert_eq!(lines(present), lines(text), "run it again with UPDATE_README=1");
}
