//! Messages from and to any place in a page: some of them go through the endpoints' own buffers, where the
//! processor would be slow to copy (`ipc_core::placing`).

use std::time::Duration;

use ipc_core::{Deadline, Receiver, RecvError, Sender};
use ipc_pipe::testing::Pipe;
use ipc_testing::{Scope, Transport, between_processes};

/// Where buffers begin in their pages: where they are slow to reach from a page's beginning, or behind a
/// header, and elsewhere.
const PLACES: [usize; 6] = [0, 2, 16, 60, 1024, 4094];
/// Lengths around the thresholds of reader and writer.
const LENGTHS: [usize; 10] = [0, 1, 2048, 2049, 4092, 4096, 16_384, 16_385, 70_000, 300_000];

/// Bytes that begin at a place in their page.
fn at(place: usize, len: usize, storage: &mut Vec<u8>) -> &mut [u8] {
    storage.clear();
    storage.resize(len + 4096, 0);
    let from = place.wrapping_sub(storage.as_ptr() as usize) % 4096;
    &mut storage[from..from + len]
}

fn fill(message: &mut [u8], number: usize) {
    for (index, byte) in message.iter_mut().enumerate() {
        *byte = (index * 7 + index / 251 + number) as u8;
    }
}

/// Every combination twice, so that the second is received on the guess that it is as long as the first.
/// With and without a limit of time, which is another way of sending.
fn each(mut play: impl FnMut(usize, usize, usize, usize, Deadline)) {
    let mut number = 0;
    for from in PLACES {
        for to in PLACES {
            for len in LENGTHS {
                for deadline in [Deadline::Never, Deadline::after(Duration::from_secs(60))] {
                    for _ in 0..2 {
                        play(number, from, to, len, deadline);
                        number += 1;
                    }
                }
            }
        }
    }
}

#[test]
fn messages_arrive_whole_from_and_to_any_place_in_a_page() {
    between_processes!(
        |guest| {
            let (invitation, pending) = Pipe.invite_sender(&Scope::new()).expect("a pipe");
            guest.invite(invitation);
            let mut receiver = pending.complete(guest.pid()).expect("it is whole");
            let (mut storage, mut expected) = (Vec::new(), Vec::new());
            each(|number, _, to, len, deadline| {
                let buffer = at(to, len, &mut storage);
                if number % 3 == 0 && len > 0 {
                    let result = receiver.recv_deadline(&mut buffer[..len - 1], deadline);
                    let Err(RecvError::BufferTooSmall(small)) = result else {
                        panic!("message {number} of {len} bytes: {result:?}");
                    };
                    assert_eq!(small.needed, len);
                }
                let received = receiver.recv_deadline(buffer, deadline).expect("a message");
                assert_eq!(received.len, len, "message {number}");
                expected.resize(len, 0);
                fill(&mut expected, number);
                assert!(buffer == expected, "message {number} of {len} bytes to byte {to}");
            });
        },
        |host| {
            let mut sender = Pipe.join_as_sender(host.invitation()).expect("a write end");
            let mut storage = Vec::new();
            each(|number, from, _, len, deadline| {
                let message = at(from, len, &mut storage);
                fill(message, number);
                sender.send_deadline(message, deadline).expect("sent");
            });
        },
    );
}
