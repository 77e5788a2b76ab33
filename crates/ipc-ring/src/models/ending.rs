//! Waiting that ends in another way: the other end is gone, or the deadline passes.

use std::time::Duration;

use ipc_core::{Deadline, RecvError, SendError};
use loom::thread;

use super::{LONGEST, bounded_outcomes, endpoints, fill, outcomes, receive};
use crate::bell::Bell;

/// A deadline that passes while somebody sleeps.
fn soon() -> Deadline {
    Deadline::after(Duration::ZERO)
}

#[test]
fn what_was_sent_before_the_end_is_received() {
    outcomes(&[false, true], || {
        let (mut sending, mut receiving) = endpoints(0);
        let sender = thread::spawn(move || {
            sending.send(b"last", Deadline::Never).expect("sent");
        });
        assert_eq!(receive(&mut receiving), b"last");
        let slept = receiving.bell.has_waited();
        let end = receiving.recv(&mut [], Deadline::Never).expect_err("the end");
        assert!(matches!(end, RecvError::PeerGone { .. }));
        sender.join().expect("no panic");
        slept
    });
}

#[test]
fn an_armed_receiver_learns_of_the_end_after_the_last_message() {
    outcomes(&[1], || {
        let (mut sending, mut receiving) = endpoints(0);
        let sender = thread::spawn(move || {
            sending.send(b"last", Deadline::Never).expect("sent");
        });
        let mut received = 0;
        loop {
            if !receiving.arm().expect("no barrier to fail") {
                receiving.bell.wait(Deadline::Never).expect("waits");
                receiving.disarm();
            }
            match receiving.recv(&mut [0; 4], Deadline::Now) {
                Ok(_) => received += 1,
                Err(RecvError::Empty) => {}
                Err(error) => {
                    assert!(matches!(error, RecvError::PeerGone { .. }));
                    break;
                }
            }
        }
        sender.join().expect("no panic");
        received
    });
}

#[test]
fn a_sender_that_waits_learns_of_the_receivers_end() {
    outcomes(&[true], || {
        let (mut sending, receiving) = endpoints(0);
        fill(&mut sending, &LONGEST);
        let receiver = thread::spawn(move || drop(receiving));
        let error = sending.send(&LONGEST, Deadline::Never).expect_err("nobody makes room");
        assert!(matches!(error, SendError::PeerGone { .. }));
        receiver.join().expect("no panic");
        sending.bell.has_waited()
    });
}

#[test]
fn a_synchronous_send_knows_what_was_taken_before_the_end() {
    outcomes(&["not taken", "taken"], || {
        let (mut sending, mut receiving) = endpoints(0);
        let receiver = thread::spawn(move || {
            assert_eq!(receive(&mut receiving), b"sync");
        });
        // So impatient that it looks for the end where it would sleep otherwise.
        let outcome = sending.send_synchronous(b"sync", Deadline::Now);
        receiver.join().expect("no panic");
        match outcome {
            Ok(()) => "taken",
            Err(SendError::NotTaken) => "not taken",
            Err(error) => panic!("{error}"),
        }
    });
}

#[test]
fn a_receive_that_times_out_loses_nothing() {
    outcomes(&[false, true], || {
        let (mut sending, mut receiving) = endpoints(0);
        let sender = thread::spawn(move || {
            sending.send(b"late", Deadline::Never).expect("sent");
            sending
        });
        let mut buffer = [0; 4];
        let first = receiving.recv(&mut buffer, soon());
        let timed_out = matches!(first, Err(RecvError::TimedOut));
        if timed_out {
            assert_eq!(receive(&mut receiving), b"late");
        } else {
            assert_eq!(first.ok(), Some(4));
        }
        sender.join().expect("no panic");
        timed_out
    });
}

#[test]
fn a_send_that_times_out_has_no_effect() {
    bounded_outcomes(&[false, true], || {
        let (mut sending, mut receiving) = endpoints(0);
        let held = fill(&mut sending, &LONGEST);
        let sender = thread::spawn(move || {
            let outcome = sending.send(&[9; 16], soon());
            let timed_out = matches!(outcome, Err(SendError::TimedOut));
            assert!(timed_out || outcome.is_ok());
            sending.send(b"next", Deadline::Never).expect("sent");
            (sending, timed_out)
        });
        for _ in 0..held {
            assert_eq!(receive(&mut receiving), LONGEST);
        }
        let mut message = receive(&mut receiving);
        let was_sent = message == [9; 16];
        if was_sent {
            message = receive(&mut receiving);
        }
        assert_eq!(message, b"next");
        let (_sending, timed_out) = sender.join().expect("no panic");
        assert_eq!(was_sent, !timed_out);
        timed_out
    });
}

#[test]
fn a_synchronous_send_that_times_out_says_what_became_of_the_message() {
    outcomes(&["not taken", "taken"], || {
        let (mut sending, mut receiving) = endpoints(0);
        let receiver = thread::spawn(move || {
            assert_eq!(receive(&mut receiving), b"sync");
            receiving
        });
        let outcome = sending.send_synchronous(b"sync", soon());
        receiver.join().expect("no panic");
        match outcome {
            Ok(()) => "taken",
            Err(SendError::NotTaken) => "not taken",
            Err(error) => panic!("{error}"),
        }
    });
}
