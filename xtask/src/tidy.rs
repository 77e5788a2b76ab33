//! The rules of this project that compilers do not know, as tests: `cargo test --package xtask`.
//!
//! Each rule is a small function from a text to what is wrong with it, tried on bad input beside it.
//! The files are those that git tracks or would add. Rules for single files are here; those for
//! crates as a whole are in [`crates`].

mod crates;

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::run::output;
use crate::workspace::root;

/// A file of the project.
struct File {
    /// From the root of the workspace.
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The lines, numbered from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// One complaint for each line in which `wrong` finds something.
    fn complain(&self, wrong: impl Fn(&str) -> Option<String>) -> Vec<String> {
        self.lines()
            .filter_map(|(number, line)| Some(format!("{}:{number}: {}", self.path, wrong(line)?)))
            .collect()
    }
}

/// What is wrong with a file, one line each.
type Rule = fn(&File) -> Vec<String>;

#[test]
fn every_rust_file_says_its_job_first() {
    hold(starts_with_its_job);
}

#[test]
fn files_are_short_enough_to_be_one_idea() {
    hold(is_short);
}

#[test]
fn unsafe_code_is_let_in_file_by_file_with_a_reason() {
    hold(lets_unsafe_code_in_with_a_reason);
}

#[test]
fn nothing_is_left_for_later() {
    hold(leaves_nothing_for_later);
}

#[test]
fn no_test_sleeps() {
    hold(does_not_sleep);
    let files = files();
    for (path, reason) in SLEEPERS {
        assert!(!reason.is_empty(), "{path} has no reason to sleep");
        let sleeps = files.iter().any(|file| file.path == *path && file.text.contains(SLEEP));
        assert!(sleeps, "{path} does not sleep any more: take it off the list");
    }
}

#[test]
fn no_file_names_a_machine() {
    hold(names_no_machine);
}

/// Fails with everything that a rule has against the project.
#[track_caller]
fn hold(rule: Rule) {
    let complaints: Vec<_> = files().iter().flat_map(rule).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// The project's text files.
fn files() -> Vec<File> {
    let mut list = Command::new("git");
    list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root());
    let paths = output(&mut list).expect("the project is a git repository");
    paths
        .split_terminator('\0')
        .filter_map(|path| {
            let bytes = fs::read(root().join(path)).ok()?; // deleted, and not yet committed
            let text = String::from_utf8(bytes).ok()?; // a picture, a fuzz seed
            Some(File { path: path.to_owned(), text })
        })
        .collect()
}

fn starts_with_its_job(file: &File) -> Vec<String> {
    if !file.is_rust() || file.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![format!("{}: does not open with `//!` and its one job", file.path)]
}

const LONGEST_FILE_LINES: usize = 600;

fn is_short(file: &File) -> Vec<String> {
    let lines = file.lines().count();
    if !file.is_rust() || lines <= LONGEST_FILE_LINES {
        return Vec::new();
    }
    vec![format!("{}: {lines} lines; split it where it has an \"and\"", file.path)]
}

/// The compiler sees to it that there is an `allow` (the lint is denied for the whole workspace); this
/// rule, that it is for the file, if that is a library's, and says why. In a macro it is for the items that
/// the macro makes in other files.
fn lets_unsafe_code_in_with_a_reason(file: &File) -> Vec<String> {
    if !file.is_rust() {
        return Vec::new();
    }
    let is_comment = |line: &str| line.starts_with("// ") && line.len() > 10;
    let mut complaints = Vec::new();
    let mut above = "";
    let mut in_macro = false;
    for (number, line) in file.lines() {
        in_macro = (in_macro || line.starts_with("macro_rules!")) && line != "}";
        let line = line.trim();
        let for_item = line.starts_with("#[allow(unsafe_code");
        if for_item && !in_macro && file.path.contains("/src/") {
            complaints.push(format!("{}:{number}: allow it for the file, at its top", file.path));
        }
        if for_item || line.starts_with("#![allow(unsafe_code") {
            let beside = line.split_once(")]").is_some_and(|(_, rest)| is_comment(rest.trim()));
            if !(beside || is_comment(above) || line.contains("reason")) {
                complaints.push(format!("{}:{number}: no comment says why", file.path));
            }
        }
        if !line.is_empty() {
            above = line;
        }
    }
    complaints
}

fn leaves_nothing_for_later(file: &File) -> Vec<String> {
    // In two pieces each, or this file would break its own rule.
    const MARKS: [&str; 6] = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[ign", "ore"),
        concat!("```ign", "ore"),
    ];
    file.complain(|line| {
        let mark = MARKS.into_iter().find(|mark| line.contains(mark))?;
        Some(format!("{mark:?}: do it now, or leave it out"))
    })
}

const SLEEP: &str = concat!("thread::", "sleep");

/// Who may sleep, and why it is not synchronisation.
const SLEEPERS: &[(&str, &str)] = &[
    (
        "crates/ipc-testing/src/conformance/signals.rs",
        "the rate at which a storm of signals blows; nothing waits for its end",
    ),
    (
        "xtask/src/residue.rs",
        "waits for the kernel to finish with killed processes that are not its children",
    ),
];

/// Examples may: a producer that ticks shows something. Libraries and tests wait for events.
fn does_not_sleep(file: &File) -> Vec<String> {
    let may = file.path.contains("/examples/")
        || SLEEPERS.iter().any(|(path, _)| *path == file.path)
        || !file.is_rust();
    if may {
        return Vec::new();
    }
    let sleep = [SLEEP, concat!("thread::{", "sleep"), concat!("nano", "sleep(")];
    file.complain(|line| {
        let found = sleep.iter().find(|sleep| line.contains(**sleep))?;
        Some(format!("{found}: wait for the event itself"))
    })
}

fn names_no_machine(file: &File) -> Vec<String> {
    // Homes and build folders, also in two pieces.
    const PLACES: [&str; 6] = [
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/wo", "rk/"),
        concat!("/fa", "rm/"),
        concat!("/Us", "ers/"),
        concat!("/tmp/", "target"),
    ];
    let here = [Some(root().display().to_string()), std::env::var("HOME").ok()];
    let here: Vec<_> = here.into_iter().flatten().filter(|path| path.len() > 1).collect();
    file.complain(|line| {
        if let Some(place) = PLACES.into_iter().find(|place| starts_a_path(line, place)) {
            return Some(format!("{place:?} is a path of one machine"));
        }
        if let Some(place) = here.iter().find(|place| starts_a_path(line, &format!("{place}/"))) {
            return Some(format!("{place:?} is a path of this machine"));
        }
        names_a_registry(&file.path, line).then(|| "names a package registry".into())
    })
}

/// Whether `place` stands in the line as the beginning of a path, not in the midst of one.
fn starts_a_path(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(index, _)| {
        let before = line[..index].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "-_.}>".contains(c))
    })
}

/// Where packages come from is for each machine to say; locks name the registry that all share.
fn names_a_registry(path: &str, line: &str) -> bool {
    if Path::new(path).file_name().is_some_and(|name| name == "Cargo.lock") {
        let shared = "\"registry+https://github.com/rust-lang/crates.io-index\"";
        return line.strip_prefix("source = ").is_some_and(|source| source != shared);
    }
    let marks = [
        concat!("index.crates", ".io"),
        concat!("sparse", "+http"),
        concat!("replace", "-with"),
        concat!("[sou", "rce."),
        concat!("[regis", "tries"),
    ];
    marks.iter().any(|mark| line.contains(mark))
}

/// The rules see what is wrong.
mod bad_input {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    #[test]
    fn a_file_without_its_job_is_found() {
        assert_eq!(starts_with_its_job(&file("a.rs", "use std::fs;\n")).len(), 1);
        assert_eq!(starts_with_its_job(&file("a.rs", "\n//! Late.\n")).len(), 1);
        assert!(starts_with_its_job(&file("a.rs", "//! Does one thing.\n")).is_empty());
        assert!(starts_with_its_job(&file("a.md", "# A\n")).is_empty());
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(is_short(&file("a.rs", &"\n".repeat(601))).len(), 1);
        assert!(is_short(&file("a.rs", &"\n".repeat(600))).is_empty());
    }

    #[test]
    fn unsafe_code_without_a_reason_is_found() {
        let rule = lets_unsafe_code_in_with_a_reason;
        assert_eq!(rule(&file("a.rs", "//! Maps.\n\n#![allow(unsafe_code)]\n")).len(), 1);
        let item = "    #[allow(unsafe_code)] // calls mmap\n";
        assert_eq!(rule(&file("crates/a/src/lib.rs", item)).len(), 1);
        assert!(rule(&file("crates/a/tests/maps.rs", item)).is_empty());
        let of_macro = format!("//! Makes.\nmacro_rules! make {{\n{item}}}\n");
        assert!(rule(&file("crates/a/src/lib.rs", &of_macro)).is_empty());
        assert_eq!(rule(&file("crates/a/src/lib.rs", &(of_macro + item))).len(), 1);
        let reason = "//! Maps.\n\n// Calls mmap, which is unsafe.\n#![allow(unsafe_code)]\n";
        assert!(rule(&file("a.rs", reason)).is_empty());
        assert!(rule(&file("a.rs", "#![allow(unsafe_code)] // calls mmap\n")).is_empty());
    }

    #[test]
    fn what_is_left_for_later_is_found_with_its_line() {
        let text = concat!("//! A.\n// TO", "DO: all\n#[ign", "ore]\n");
        let complaints = leaves_nothing_for_later(&file("a.rs", text));
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(complaints[0].starts_with("a.rs:2: "), "{complaints:?}");
    }

    #[test]
    fn a_sleep_is_found_but_in_an_example() {
        let text = concat!("thread::", "sleep(SECOND);\n");
        assert_eq!(does_not_sleep(&file("crates/a/tests/t.rs", text)).len(), 1);
        assert_eq!(does_not_sleep(&file("crates/a/src/lib.rs", text)).len(), 1);
        assert!(does_not_sleep(&file("crates/a/examples/tick.rs", text)).is_empty());
    }

    #[test]
    fn a_path_of_a_machine_is_found() {
        let rule = names_no_machine;
        assert_eq!(rule(&file("a.sh", concat!("cd /ro", "ot/x\n"))).len(), 1);
        assert_eq!(rule(&file("a.md", concat!("`/ho", "me/me/x`\n"))).len(), 1);
        assert!(rule(&file("a.md", concat!("https://docs.rs", "/wo", "rk/x\n"))).is_empty());
        let here = format!("see {}/a.rs\n", root().display());
        assert_eq!(rule(&file("a.md", &here)).len(), 1);
    }

    #[test]
    fn a_registry_is_found() {
        assert!(names_a_registry(".cargo/config.toml", concat!("replace", "-with = \"x\"")));
        let source = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
        assert!(!names_a_registry("Cargo.lock", source));
        assert!(names_a_registry("fuzz/Cargo.lock", "source = \"registry+https://example.org\""));
    }
}
