//! The README's generated parts are what the code says today. `UPDATE_README=1 cargo test -p ipc-benches
//! --test readme` writes them anew.

use std::path::Path;
use std::process::Command;

const BEGIN: &str = "<!-- properties:begin -->\n";
const END: &str = "<!-- properties:end -->";

/// What depends on the limits of the machine that generates the table.
const OF_THE_MACHINE: &[&str] = &["| capacity |", "| message length |"];

#[test]
fn the_table_of_properties_is_what_the_links_say() {
    let output = Command::new(env!("CARGO_BIN_EXE_ipc-bench"))
        .arg("--properties")
        .output()
        .expect("the benchmark runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8(output.stdout).expect("text");

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(&path).expect("there is a README");
    let (before, rest) = readme.split_once(BEGIN).expect("the README has the mark");
    let (present, after) = rest.split_once(END).expect("the README has the mark");
    if std::env::var_os("UPDATE_README").is_some() {
        let text = format!("{before}{BEGIN}{table}{END}{after}");
        std::fs::write(&path, text).expect("the README can be written");
        return;
    }
    let lines = |text: &str| -> Vec<String> {
        let is_of_the_machine = |line: &str| OF_THE_MACHINE.iter().any(|row| line.starts_with(row));
        text.lines().filter(|line| !is_of_the_machine(line)).map(String::from).collect()
    };
    assert_eq!(lines(present), lines(&table), "run it again with UPDATE_README=1");
}
