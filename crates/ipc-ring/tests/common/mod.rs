//! What several test files need.

#![allow(dead_code)] // no file uses all of it

use std::env;
use std::fs;
use std::process::{Command, Stdio};

use ipc_core::{Deadline, Receiver, Sender};
use ipc_ring::Link;

/// How many descriptors this process has open.
pub(crate) fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("procfs").count() - 1 // less the one that looks
}

/// Sends a message to the other end, which runs [`answer`], and insists on the same one back.
#[track_caller]
pub(crate) fn ask(link: &mut Link, message: &[u8]) {
    link.sender.as_mut().expect("a ring there").send(message).expect("sent");
    let mut reply = Vec::new();
    let receiver = link.receiver.as_mut().expect("a ring back");
    receiver.recv_to_vec(&mut reply, Deadline::Never).expect("a reply");
    assert!(reply == message, "another message came back");
}

/// Sends every message back, until the other end closes or dies.
#[track_caller]
pub(crate) fn answer(link: &mut Link) {
    let mut message = Vec::new();
    let receiver = link.receiver.as_mut().expect("a ring there");
    while receiver.recv_to_vec(&mut message, Deadline::Never).is_ok() {
        // Who asked may be gone by now.
        let _ = link.sender.as_mut().expect("a ring back").send(&message);
    }
}

const CHILD_OF: &str = "IPC_RING_CHILD_OF";

/// This test binary anew, to run the child's part of `test`; what it says goes to standard error.
pub(crate) fn child_of(test: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    become_child_of(test, &mut command);
    command
}

/// The same by way of a command that runs the command in its last arguments.
pub(crate) fn child_of_by(test: &str, mut launcher: Command) -> Command {
    // Not `/proc/self/exe`, which is the launcher's own there.
    launcher.arg(env::current_exe().expect("our own path"));
    become_child_of(test, &mut launcher);
    launcher
}

/// Gives this test binary, which `command` runs, the child's part of `test`.
pub(crate) fn become_child_of(test: &str, command: &mut Command) {
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(CHILD_OF, test).stdout(Stdio::null());
}

pub(crate) fn is_child() -> bool {
    env::var_os(CHILD_OF).is_some()
}

/// A command that runs another in new namespaces of these kinds (options of `unshare(1)`), as their
/// root; `None`, and a word about it, where that is not possible. Where programs are required, only
/// the want of the right to make namespaces counts.
pub(crate) fn in_namespaces(test: &str, kinds: &[&str]) -> Option<Command> {
    let launcher = |user: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(user).args(kinds).arg("--");
        command
    };
    for user in [&["--user", "--map-root-user"][..], &[]] {
        match launcher(user).arg("true").stderr(Stdio::null()).status() {
            Ok(status) if status.success() => return Some(launcher(user)),
            Ok(_) => {}
            Err(_) => {
                ipc_testing::skip_for_want_of(test, "unshare", "util-linux");
                return None;
            }
        }
    }
    ipc_testing::skip(test, "the right to make namespaces");
    None
}
