//! Waiting for the other end: no wake-up is lost, whoever waits for what. Leaves out the other end's
//! end, and deadlines.

use ipc_core::Deadline;
use loom::thread;

use super::{CAPACITY, LONGEST, ModelReceiving, ModelSending};
use super::{bounded_outcomes, endpoints, fill, outcomes, receive};
use crate::bell::Bell;

#[test]
fn a_sleeping_receiver_is_woken() {
    outcomes(&[false, true], || {
        let (mut sending, mut receiving) = endpoints(0);
        let receiver = thread::spawn(move || {
            assert_eq!(receive(&mut receiving), b"wake");
            receiving // kept, so that its end is not what the sender sees
        });
        sending.send(b"wake", Deadline::Never).expect("sent");
        receiver.join().expect("no panic").bell.has_waited()
    });
}

#[test]
fn a_receiver_is_rung_for_once_for_each_sleep() {
    outcomes(&[0, 1, 2], || {
        let (mut sending, mut receiving) = endpoints(0);
        let receiver = thread::spawn(move || {
            assert_eq!(receive(&mut receiving), b"1");
            assert_eq!(receive(&mut receiving), b"2");
            receiving
        });
        sending.send(b"1", Deadline::Never).expect("sent");
        sending.send(b"2", Deadline::Never).expect("sent");
        receiver.join().expect("no panic");
        sending.bell.rings.get()
    });
}

/// Sends once more on a full ring, which another thread reads until it has received that too. The
/// outcome is whether the sender slept.
fn waits_for_room(
    mut sending: ModelSending,
    mut receiving: ModelReceiving,
    held: usize,
    message: &'static [u8],
) -> bool {
    let sender = thread::spawn(move || {
        sending.send(message, Deadline::Never).expect("sent");
        sending
    });
    for _ in 0..held {
        let before = receive(&mut receiving);
        assert!(before.is_empty() || before == LONGEST);
    }
    assert_eq!(receive(&mut receiving), message);
    sender.join().expect("no panic").bell.has_waited()
}

#[test]
fn a_sleeping_sender_is_woken() {
    bounded_outcomes(&[false, true], || {
        let (mut sending, receiving) = endpoints(0);
        let held = fill(&mut sending, &LONGEST);
        waits_for_room(sending, receiving, held, &[9; 8])
    });
}

#[test]
fn a_sleeping_sender_is_woken_before_a_wrap() {
    bounded_outcomes(&[false, true], || {
        let (mut sending, receiving) = endpoints(24);
        // 88 bytes of 128 are taken. 16 are left before the end of the ring, which is too few: it takes
        // 16 to skip them and 32 behind. The room of the first message alone is not worth a word.
        let messages = [&[][..], &LONGEST, &LONGEST, &LONGEST, &[]];
        for message in messages {
            sending.send(message, Deadline::Now).expect("there is room");
        }
        assert_eq!(24 + 8 + 3 * 24 + 8 + 16, CAPACITY);
        waits_for_room(sending, receiving, messages.len(), &[9; 16])
    });
}

#[test]
fn a_synchronous_send_returns_after_the_message_was_taken() {
    outcomes(&[false, true], || {
        let (mut sending, mut receiving) = endpoints(0);
        let receiver = thread::spawn(move || {
            receive(&mut receiving);
            receiving
        });
        sending.send_synchronous(b"sync", Deadline::Never).expect("taken");
        let slept = sending.bell.has_waited();
        receiver.join().expect("no panic");
        slept
    });
}

#[test]
fn an_armed_receiver_is_woken() {
    bounded_outcomes(&[false, true], || {
        let (mut sending, mut receiving) = endpoints(0);
        let sender = thread::spawn(move || {
            for message in [b"1", b"2"] {
                sending.send(message, Deadline::Never).expect("sent");
            }
            sending
        });
        let mut received = 0;
        while received < 2 {
            // As a wait set does: arm, poll the descriptor, disarm, take what is there.
            if !receiving.arm().expect("no barrier to fail") {
                receiving.bell.wait(Deadline::Never).expect("waits");
                receiving.disarm();
            }
            while receiving.recv(&mut [0; 1], Deadline::Now).is_ok() {
                received += 1;
            }
        }
        sender.join().expect("no panic");
        receiving.bell.has_waited()
    });
}

#[test]
fn an_armed_sender_is_woken() {
    bounded_outcomes(&[false, true], || {
        let (mut sending, mut receiving) = endpoints(0);
        let held = fill(&mut sending, &LONGEST);
        let sender = thread::spawn(move || {
            while !sending.arm() {
                sending.bell.wait(Deadline::Never).expect("waits");
                sending.disarm();
            }
            sending.send(&LONGEST, Deadline::Now).expect("ready means room for any message");
            sending
        });
        for _ in 0..=held {
            assert_eq!(receive(&mut receiving), LONGEST);
        }
        sender.join().expect("no panic").bell.has_waited()
    });
}
