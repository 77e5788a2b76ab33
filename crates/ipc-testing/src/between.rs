//! Runs a test between two processes, under the eyes of a third. Leaves out what is tested.
//!
//! The test function runs three times: in the test binary, where it only **supervises**; in a process
//! made for it, as the **host**; and in that process's own child, as the **guest**. So host and guest
//! each have a process to themselves, whatever other tests run beside them, with descriptors, signals
//! and memory that nobody else touches, and what hangs can be ended from outside.

use std::env;
use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::panic::{self, AssertUnwindSafe, Location};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use ipc_core::{Deadline, Interest, poll};
use rustix::pipe::PipeFlags;
use tempfile::TempDir;

use crate::{Guest, Host};

/// How long a test may take by default. A test that takes this long hangs.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// Runs a test between two processes: `between_processes!(|guest| …, |host| …)`, in a `#[test]`.
///
/// The first closure runs in the host with the handle of the [`Guest`], the second in the guest
/// with the handle of the [`Host`]. Nothing before the macro should touch the system, since it runs
/// in all processes. The test fails, with what both have written to standard error, if either of
/// them panics or exits with another status than 0, or does not end within [`TIMEOUT`] (a guest that
/// the host has waited for may end in any way).
///
/// The [crate documentation](crate#tests-of-your-own) has an example.
#[macro_export]
macro_rules! between_processes {
    ($host:expr, $guest:expr $(,)?) => {{
        fn here() {}
        let test = $crate::__test_path(std::any::type_name_of_val(&here));
        $crate::between_processes(&test, $host, $guest);
    }};
}

/// What the macro [`between_processes!`](crate::between_processes!) calls, with the path of the test
/// as `--exact` takes it: `"module::test"`.
///
/// # Panics
///
/// If the test fails.
#[track_caller]
pub fn between_processes(test: &str, host: impl FnOnce(&mut Guest), guest: impl FnOnce(&mut Host)) {
    // One test may call this more than once.
    let key = format!("{test}@{}", Location::caller().line());
    if let Err(failure) = run(test, &key, TIMEOUT, host, guest) {
        panic!("{failure}");
    }
}

/// The path of a test from the full name of an item in its function: without the crate and the item.
#[doc(hidden)]
pub fn __test_path(item: &str) -> String {
    let path = item.split_once("::").map_or(item, |(_crate, path)| path);
    let path = path.rsplit_once("::").map_or(path, |(path, _item)| path);
    path.trim_end_matches("::{{closure}}").to_owned()
}

/// Supervises, or runs the part that this process was made for and exits. A process that was made
/// for another `key` passes by.
pub(crate) fn run(
    test: &str,
    key: &str,
    timeout: Duration,
    host: impl FnOnce(&mut Guest),
    guest: impl FnOnce(&mut Host),
) -> Result<(), Failure> {
    let play = move |is_host| {
        let mut starter = Host::from_stdin().expect("a control channel");
        if is_host {
            let mut other = Guest::start_command(part(test, "guest", key)).expect("a guest");
            host(&mut other);
            if !other.was_waited_for() {
                other.finish();
            }
        } else {
            guest(&mut starter);
        }
    };
    let is_host = match env::var(ROLE).as_deref() {
        Err(_) => return supervise(test, key, timeout),
        Ok(_) if env::var(KEY).as_deref() != Ok(key) => return Ok(()),
        Ok(role) => role == "host",
    };
    // Not back into the rest of the test, nor into the harness, which prints a summary that nobody
    // reads and takes a panic for a success where the test is marked `should_panic`.
    match panic::catch_unwind(AssertUnwindSafe(|| play(is_host))) {
        Ok(()) => std::process::exit(0),
        Err(_) => std::process::exit(PANICKED),
    }
}

/// Whether this process only supervises, and was not made for a part.
pub(crate) fn is_supervisor() -> bool {
    env::var_os(ROLE).is_none()
}

/// Why a test between processes failed.
pub(crate) struct Failure {
    test: String,
    what: String,
    output: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; the processes wrote:\n{}", self.test, self.what, self.output.trim_end())
    }
}

/// The environment variables that tell a process its part.
const ROLE: &str = "IPC_TESTING_ROLE";
const KEY: &str = "IPC_TESTING_KEY";

/// The exit status of a process whose part panicked.
const PANICKED: i32 = 101;

/// This test binary anew, to run one test in one role.
fn part(test: &str, role: &str, key: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", test, "--nocapture", "--test-threads=1", "--include-ignored"]);
    command.env(ROLE, role).env(KEY, key).stdout(Stdio::null());
    command
}

fn supervise(test: &str, key: &str, timeout: Duration) -> Result<(), Failure> {
    let deadline = Deadline::after(timeout);
    let (output, output_end) =
        rustix::pipe::pipe_with(PipeFlags::CLOEXEC).expect("a pipe for standard error");
    // A process that has to be killed leaves its files here.
    let temporary = TempDir::with_prefix("ipc-test.").expect("a temporary directory");
    let mut command = part(test, "host", key);
    command.env("TMPDIR", temporary.path());
    command.stderr(output_end);
    let mut host = Guest::start_command(command).expect("the host starts");

    let (written, ended) = read_to_end(&mut output.into(), deadline).expect("reading from a pipe");
    let what = if ended {
        let status = host.wait();
        if status.success() {
            return Ok(());
        }
        describe_end(status)
    } else {
        let waits = describe_waits(host.pid());
        host.kill();
        format!("hung for {timeout:?}\n{waits}")
    };
    Err(Failure {
        test: key.to_owned(),
        what,
        output: String::from_utf8_lossy(&written).into_owned(),
    })
}

/// Reads until every writer has ended, or the deadline; tells which it was.
fn read_to_end(pipe: &mut File, deadline: Deadline) -> io::Result<(Vec<u8>, bool)> {
    let mut all = Vec::new();
    let mut chunk = [0; 4096];
    while poll::wait_ready(pipe.as_fd(), Interest::Readable, deadline)? {
        match pipe.read(&mut chunk)? {
            0 => return Ok((all, true)),
            len => all.extend_from_slice(&chunk[..len]),
        }
    }
    Ok((all, false))
}

fn describe_end(status: ExitStatus) -> String {
    match status.code() {
        Some(PANICKED) => "failed".into(),
        // What the harness says when no test is of the path that we gave.
        Some(code) => format!("the host exited with status {code}"),
        None => format!("the host was ended by {status}"),
    }
}

/// Where each thread of a process and of its children waits, for the report on a hang.
fn describe_waits(pid: u32) -> String {
    let mut text = String::new();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for task in tasks {
        let read = |file| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let (name, waits_in, children) = (read("comm"), read("wchan"), read("children"));
        let _ = writeln!(text, "process {pid}, thread {:?} in {waits_in}", name.trim());
        for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
            text.push_str(&describe_waits(child));
        }
    }
    text
}
