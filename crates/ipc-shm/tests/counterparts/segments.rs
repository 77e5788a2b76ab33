//! Named segments: they create and we open, we create and they open.

use std::process::Command;
use std::sync::atomic::Ordering;

use ipc_core::{Name, OpenErrorKind};
use ipc_shm::Segment;
use ipc_testing::{CProgram, Scope, printed};

use crate::programs::{c_program, python, python_with_posix_ipc};

/// Where the text of a segment begins, in bytes; before it lies a word.
const TEXT_AT: usize = 4;

/// A fresh name, removed at the end of the scope if it is still there.
fn fresh_name(scope: &Scope) -> Name {
    let name = scope.name();
    let removed = name.clone();
    scope.defer(move || drop(Segment::unlink_name(&removed)));
    name
}

/// What the program says that `start` makes, when it is called with these words.
fn run(start: &dyn Fn() -> Command, words: &[&str]) -> String {
    printed(&start().args(words).output().expect("it starts"))
}

/// Both ways: they create, we read, write and unlink; we create, they read, write and unlink.
fn share(start: &dyn Fn() -> Command) {
    let scope = Scope::new();
    let name = fresh_name(&scope);

    run(start, &["create", name.as_str(), "5000", "from them"]);
    let exists = Segment::create_new(&name, 5000).expect_err("theirs");
    assert!(matches!(exists.kind(), OpenErrorKind::AlreadyExists(_)), "{exists}");
    let segment = Segment::open(&name).expect("their segment");
    assert_eq!(segment.mapping().len(), 5000);
    assert_eq!(text(&segment), "from them");
    segment.mapping().write_at(TEXT_AT, b"from ours");
    assert_eq!(run(start, &["read", name.as_str()]), "5000 bytes: from ours\n");
    segment.unlink().expect("it was not removed by a reader");

    let segment = Segment::create_new(&name, 1234).expect("the name is free");
    segment.mapping().write_at(TEXT_AT, b"made here");
    assert_eq!(run(start, &["read", name.as_str()]), "1234 bytes: made here\n");
    run(start, &["write", name.as_str(), "changed!!"]);
    assert_eq!(text(&segment), "changed!!");
    run(start, &["unlink", name.as_str()]);
    let gone = Segment::open(&name).expect_err("removed by them");
    assert!(matches!(gone.kind(), OpenErrorKind::NotFound(_)), "{gone}");
}

/// The text up to its zero.
fn text(segment: &Segment) -> String {
    let mut bytes = vec![0; segment.mapping().len() - TEXT_AT];
    segment.mapping().read_at(TEXT_AT, &mut bytes);
    let end = bytes.iter().position(|&byte| byte == 0).expect("text ends");
    String::from_utf8(bytes[..end].to_vec()).expect("text")
}

#[test]
fn pythons_standard_library_shares_segments_with_us() {
    let test = "pythons_standard_library_shares_segments_with_us";
    let script = "standard_segment.py";
    if python(test, script).is_some() {
        share(&|| python(test, script).expect("there is one"));
    }
}

#[test]
fn pythons_posix_ipc_shares_segments_with_us() {
    let test = "pythons_posix_ipc_shares_segments_with_us";
    let script = "posix_segment.py";
    if python_with_posix_ipc(test, script).is_some() {
        share(&|| python_with_posix_ipc(test, script).expect("there is one"));
    }
}

/// How a C program is called for a segment.
fn command(program: &CProgram, verb: &str, name: &Name) -> Command {
    let mut command = program.command();
    command.arg(verb).arg(format!("/{name}"));
    command
}

#[test]
fn a_c_program_opens_what_we_create() {
    let Some(program) = c_program("a_c_program_opens_what_we_create", "segment.c") else { return };
    let scope = Scope::new();
    let name = fresh_name(&scope);
    let segment = Segment::options().mode(0o604).create_new(&name, 777, |memory| {
        memory.write_at(TEXT_AT, b"made in Rust");
        Ok(())
    });
    let segment = segment.expect("created");
    let read = command(&program, "read", &name).output().expect("it starts");
    assert_eq!(printed(&read), "777 bytes, mode 604: made in Rust\n");
    printed(&command(&program, "unlink", &name).output().expect("it starts"));
    segment.unlink().expect_err("it is");
}

#[test]
fn we_open_what_a_c_program_creates() {
    let Some(program) = c_program("we_open_what_a_c_program_creates", "segment.c") else { return };
    let scope = Scope::new();
    let name = fresh_name(&scope);
    let mut create = command(&program, "create", &name);
    printed(&create.args(["9999", "made in C"]).output().expect("it starts"));
    let segment = Segment::open(&name).expect("their segment");
    assert_eq!((segment.mapping().len(), text(&segment)), (9999, "made in C".into()));
    segment.unlink().expect("named so");
}

#[test]
fn a_c_program_and_we_add_to_one_word_and_lose_nothing() {
    let test = "a_c_program_and_we_add_to_one_word_and_lose_nothing";
    let Some(program) = c_program(test, "segment.c") else { return };
    let scope = Scope::new();
    let name = fresh_name(&scope);
    let segment = Segment::create_new(&name, 4096).expect("created");
    let word = segment.mapping().atomic_u32(0);
    let mut count = command(&program, "count", &name);
    let mut theirs = count.arg("1000000").spawn().expect("it starts");
    for _ in 0..1_000_000 {
        word.fetch_add(1, Ordering::Relaxed); // only the total matters
    }
    assert!(theirs.wait().expect("it ends").success());
    assert_eq!(word.load(Ordering::Relaxed), 2_000_000);
}
