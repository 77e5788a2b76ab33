//! Tests that need something which a machine may lack: how one says that it did not run.
//!
//! `cargo xtask test` gives the tests a file, in the environment variable `IPC_TEST_SKIPPED_FILE`, and
//! lists at its end what they wrote there. With `IPC_TEST_COUNTERPARTS=require`, a test whose foreign
//! program is missing fails instead.

use std::env;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::process::{Child, Command, Stdio};

/// Tells that `test` does not run, for want of what it `needs` and nobody can install: a privilege,
/// say.
///
/// # Panics
///
/// If the file of skipped tests cannot be written.
pub fn skip(test: &str, needs: &str) {
    let line = format!("{test}: needs {needs}");
    eprintln!("skipped: {line}");
    if let Some(path) = env::var_os("IPC_TEST_SKIPPED_FILE") {
        let mut file = OpenOptions::new().append(true).open(path).expect("the file is there");
        file.write_all(format!("{line}\n").as_bytes()).expect("one write of a whole line");
    }
}

/// Tells that `test` does not run, for want of a program that a Debian package has.
///
/// # Panics
///
/// If programs are required.
pub fn skip_for_want_of(test: &str, program: &str, package: &str) {
    let needs = format!("{program} (Debian package {package})");
    assert!(!programs_are_required(), "{test}: needs {needs}");
    skip(test, &needs);
}

/// Starts a program with pipes as its standard input and output; `None`, and [`skip_for_want_of`], if this
/// machine lacks it.
///
/// # Panics
///
/// If programs are required, or this one does not start for another reason.
pub fn start_program(
    test: &str,
    program: &str,
    package: &str,
    arguments: &[&str],
) -> Option<Child> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    match command.spawn() {
        Ok(child) => Some(child),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skip_for_want_of(test, program, package);
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

/// Whether a test whose foreign program is missing must fail.
pub fn programs_are_required() -> bool {
    env::var("IPC_TEST_COUNTERPARTS").as_deref() == Ok("require")
}
