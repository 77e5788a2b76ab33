//! The programs that are not ours.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ipc_testing::{CProgram, programs_are_required, skip, skip_for_want_of};

/// The program of this source file (in this folder), compiled.
pub(crate) fn c_program(test: &str, source: &str) -> Option<CProgram> {
    CProgram::compile(test, &folder().join(source))
}

/// Python, to run this script (in this folder), which needs nothing but the standard library.
pub(crate) fn python(test: &str, script: &str) -> Option<Command> {
    let python = Path::new("python3");
    if !imports(python, "sys") {
        skip_for_want_of(test, "python3", "python3");
        return None;
    }
    Some(running(python, script))
}

/// Python with the module `posix_ipc` of the Python Package Index, to run this script.
///
/// Debian does not have the module. So it is looked for in an environment of the build folder, where
/// `.ci/run` puts it, and in the system's Python.
pub(crate) fn python_with_posix_ipc(test: &str, script: &str) -> Option<Command> {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("counterparts-python");
    let pythons = [environment.join("bin/python3"), PathBuf::from("python3")];
    if let Some(python) = pythons.iter().find(|python| imports(python, "posix_ipc")) {
        return Some(running(python, script));
    }
    let environment = environment.display();
    let needs = format!(
        "posix_ipc (python3 -m venv {environment} && {environment}/bin/pip install posix_ipc)"
    );
    assert!(!programs_are_required(), "{test}: needs {needs}");
    skip(test, &needs);
    None
}

/// Whether there is such a Python and it has the module.
fn imports(python: &Path, module: &str) -> bool {
    let mut command = Command::new(python);
    command.args(["-c", &format!("import {module}")]).stderr(Stdio::null());
    match command.status() {
        Ok(status) => status.success(),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => panic!("{}: {error}", python.display()),
    }
}

fn running(python: &Path, script: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(folder().join(script));
    command
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/counterparts")
}
