//! A session that is killed, and a whole run, leave nothing in the system: real processes, killed while
//! their queue is there.

use std::fs;
use std::process::{Child, Command, Output, Stdio};

use ipc_core::{Name, OpenErrorKind};
use ipc_mq::posix::QueueSender;
use ipc_testing::Scope;
use rustix::process::{Pid, Signal, kill_process};

/// Runs the program, has `kill` end one of its processes (driver and session) while the queue of a session
/// exists, and returns what it said, when all its processes have ended.
fn killed(kill: fn(driver: u32, session: u32) -> u32) -> Output {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let cpu = ipc_benches::machine::allowed_cpus().expect("the kernel tells")[0];
    let mut driver = Command::new(env!("CARGO_BIN_EXE_ipc-bench"))
        .args(["--quick", "--only", "mq-posix", "--sizes", "8,64,1024,8192"])
        .args(["--cpus", &format!("{cpu},{cpu}")])
        .env("TMPDIR", temporary.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let session = loop {
        assert!(driver.try_wait().expect("our child").is_none(), "it ended before it was killed");
        let Some(session) = sessions(&driver).into_iter().find(|&pid| has_queue(pid)) else {
            std::thread::yield_now();
            continue;
        };
        let victim = Pid::from_raw(kill(driver.id(), session) as i32).expect("a process");
        if kill_process(victim, Signal::KILL).is_ok() {
            break session; // else it has just ended
        }
    };
    // To the end of its streams, which all its processes hold.
    let output = driver.wait_with_output().expect("it ends");
    assert!(!has_queue(session), "a queue of session {session} is left");
    let prefix = Scope::prefix_of_process(session);
    for entry in fs::read_dir("/dev/shm").expect("shared memory").flatten() {
        let name = entry.file_name();
        assert!(!name.to_string_lossy().starts_with(&prefix), "{name:?} is left");
    }
    let files = fs::read_dir(temporary.path()).expect("it is there").flatten();
    assert_eq!(files.map(|file| file.path()).collect::<Vec<_>>(), Vec::<std::path::PathBuf>::new());
    output
}

/// The children of a driver.
fn sessions(driver: &Child) -> Vec<u32> {
    let path = format!("/proc/{0}/task/{0}/children", driver.id());
    let children = fs::read_to_string(path).expect("the driver runs, until it is killed");
    children.split_whitespace().map(|pid| pid.parse().expect("a number")).collect()
}

/// Whether there is a queue of any of the first links of a process.
fn has_queue(pid: u32) -> bool {
    let prefix = Scope::prefix_of_process(pid);
    let mut links = (0..4).flat_map(|scope| (0..2).map(move |link| (scope, link)));
    links.any(|(scope, link)| {
        let name = Name::new(&format!("{prefix}{scope}.{link}")).expect("a good name");
        match QueueSender::open(&name) {
            Ok(_) => true,
            Err(error) => {
                assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");
                false
            }
        }
    })
}

#[test]
fn a_session_that_is_killed_leaves_nothing() {
    let output = killed(|_, session| session);
    assert!(output.status.success(), "the other sessions went on: {output:?}");
}

#[test]
fn a_run_that_is_killed_leaves_nothing() {
    let output = killed(|driver, _| driver);
    assert!(!output.status.success());
}
