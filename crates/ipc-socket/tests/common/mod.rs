//! For tests of direct communication: more processes than two.

use std::process::{Command, Stdio};

use ipc_socket::direct::Peer;
use ipc_testing::{Guest, Host};

const PART: &str = "IPC_SOCKET_DIRECT_PART";

/// A process of this test binary that runs `test`, which asks for its [`part`].
pub(crate) fn another(test: &str, part: usize) -> Guest {
    let arguments = ["--exact", test, "--test-threads=1"];
    let mut command = Command::new("/proc/self/exe");
    command.args(arguments).env(PART, part.to_string()).stdout(Stdio::null());
    Guest::start_command(command).expect("started")
}

/// In a process that [`another`] made: its number and its way to talk.
pub(crate) fn part() -> Option<(usize, Host)> {
    let part = std::env::var(PART).ok()?.parse().expect("a number");
    Some((part, Host::from_stdin().expect("a control channel")))
}

/// A process that lives.
pub(crate) fn peer(pid: u32) -> Peer {
    Peer::of(pid).expect("it lives")
}
