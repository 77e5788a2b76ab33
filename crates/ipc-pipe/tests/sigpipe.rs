//! Where the documented exception lies: a program that ceases to ignore `SIGPIPE` amid a send, or within a
//! tick of the coarse clock after one, can be ended by it. Later it is safe.

// Signals' actions come from libc.
#![allow(unsafe_code)]

use std::os::unix::process::ExitStatusExt;

use ipc_core::{SendError, Sender};
use ipc_testing::process::wait_until_parked;
use ipc_testing::{Guest, between_processes};
use rustix::time::{ClockId, clock_gettime};

use ends::{join_sender, receiver_from};

mod ends;

fn ignore_sigpipe(ignored: bool) {
    let action = if ignored { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: no handler is installed.
    assert_ne!(unsafe { libc::signal(libc::SIGPIPE, action) }, libc::SIG_ERR);
}

fn assert_peer_gone(result: Result<(), SendError>) {
    assert!(matches!(result, Err(SendError::PeerGone { .. })), "{result:?}");
}

fn assert_ended_by_sigpipe(guest: &mut Guest) {
    let status = guest.wait();
    assert_eq!(status.signal(), Some(libc::SIGPIPE), "{status}");
}

#[test]
fn a_send_asleep_when_the_signal_ceases_to_be_ignored_raises_it() {
    between_processes!(
        |guest| {
            let receiver = receiver_from(guest);
            guest.hear();
            wait_until_parked(guest.pid());
            guest.tell("cease to ignore it");
            guest.hear();
            drop(receiver);
            assert_ended_by_sigpipe(guest);
        },
        |host| {
            let mut sender = join_sender(host);
            ignore_sigpipe(true);
            std::thread::spawn(move || while sender.send(&[0; 100]).is_ok() {});
            host.tell("sending");
            host.hear();
            ignore_sigpipe(false);
            host.tell("ceased");
            host.hear();
        },
    );
}

#[test]
fn a_send_in_the_same_tick_raises_it_and_one_in_the_next_does_not() {
    between_processes!(
        |guest| {
            drop(receiver_from(guest));
            guest.tell("closed");
            assert_eq!(guest.hear(), "a tick later");
            assert_ended_by_sigpipe(guest);
        },
        |host| {
            let mut sender = join_sender(host);
            host.hear();
            ignore_sigpipe(true);
            assert_peer_gone(sender.send(b"x"));
            ignore_sigpipe(false);
            let tick = clock_gettime(ClockId::MonotonicCoarse);
            while clock_gettime(ClockId::MonotonicCoarse) == tick {}
            assert_peer_gone(sender.send(b"x"));
            host.tell("a tick later");
            loop {
                // Unless a tick begins just between.
                ignore_sigpipe(true);
                assert_peer_gone(sender.send(b"x"));
                ignore_sigpipe(false);
                assert_peer_gone(sender.send(b"x"));
            }
        },
    );
}
