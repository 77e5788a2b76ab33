//! Programs that are not ours, for tests that share an object with them. Leaves out how a test says
//! that it did not run: see [`crate::skip_for_want_of`].

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::skip_for_want_of;

/// A program in C, compiled for a test; removed when this is dropped.
///
/// ```
/// use ipc_testing::{CProgram, printed};
///
/// let scope = ipc_testing::Scope::new();
/// let source = scope.path("hello.c");
/// std::fs::write(&source, "#include <stdio.h>\nint main(void) { puts(\"hello\"); return 0; }\n")?;
/// // None, after telling so, where there is no compiler and none is required.
/// if let Some(program) = CProgram::compile("the_name_of_this_test", &source) {
///     assert_eq!(printed(&program.command().output()?), "hello\n");
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct CProgram {
    _directory: TempDir,
    program: PathBuf,
}

impl CProgram {
    /// Compiles the file `source` for a test of this name; `None` if there is no compiler and none is
    /// required (see [`skip_for_want_of`]). Warnings are errors.
    ///
    /// # Panics
    ///
    /// If it does not compile.
    #[track_caller]
    pub fn compile(test: &str, source: &Path) -> Option<Self> {
        let directory = TempDir::with_prefix("ipc-test.").expect("a temporary directory");
        let program = directory.path().join("program");
        let mut compiler = Command::new("cc");
        compiler.args(["-std=gnu11", "-Wall", "-Werror", "-pthread", "-o"]).arg(&program);
        // Where queues, segments and semaphores live before glibc 2.34.
        compiler.arg(source).arg("-lrt");
        match compiler.output() {
            Ok(output) => {
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "cc failed:\n{errors}");
                Some(Self { _directory: directory, program })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                skip_for_want_of(test, "cc", "gcc");
                None
            }
            Err(error) => panic!("cc: {error}"),
        }
    }

    /// How to start it.
    pub fn command(&self) -> Command {
        Command::new(&self.program)
    }
}

/// What a program printed that must have ended well.
///
/// # Panics
///
/// If it did not: with what it wrote to standard error. If it printed no text.
#[track_caller]
pub fn printed(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    String::from_utf8(output.stdout.clone()).expect("text")
}
