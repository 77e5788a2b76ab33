//! Messages on their way, in each form that the protocol gives them. Leaves out waiting, but where it
//! is part of the form.

use ipc_core::Deadline;
use loom::thread;

use super::{
    CAPACITY, LONGEST, bounded_outcomes, endpoints, fill, halves, outcomes, put, receive, take,
};
use crate::batch::Batch;
use crate::protocol::memory::Memory;
use crate::protocol::producer::Purpose;
use crate::protocol::record::MessageHeader;

/// Sends from one thread what another polls for, twice while it is sent. The outcome is how many
/// messages that saw.
fn sent_is_received(start: u64, messages: &'static [&'static [u8]]) {
    let expected: Vec<usize> = (0..=messages.len()).collect();
    outcomes(&expected, move || {
        let (mut producer, mut consumer) = halves(start);
        let sender = thread::spawn(move || {
            for message in messages {
                put(&mut producer, message).expect("there is room");
            }
        });
        let mut received = Vec::new();
        for _ in 0..2 {
            received.extend(take(&mut consumer));
            thread::yield_now();
        }
        let seen = received.len();
        sender.join().expect("no panic");
        while let Some(message) = take(&mut consumer) {
            received.push(message);
        }
        assert_eq!(received, messages);
        seen
    });
}

#[test]
fn messages_arrive_whole_and_in_order() {
    sent_is_received(0, &[b"first", b"the second one"]);
}

#[test]
fn messages_arrive_whole_over_the_wrap() {
    // Sixteen bytes are left before each: not enough for the first message, so that one skip comes
    // first.
    for end in [CAPACITY as u64, 1 << 32, 0] {
        sent_is_received(end.wrapping_sub(16), &[b"longer than 8", b"2nd"]);
    }
    // And just enough, so that the word cleared behind it is the ring's first.
    sent_is_received(16_u64.wrapping_neg(), &[b"just 8 b", b"2nd"]);
}

#[test]
fn an_old_message_is_not_taken_for_a_header() {
    outcomes(&[0, 1], || {
        let (mut producer, mut consumer) = halves(0);
        // Fill the ring once with messages that look like headers.
        let decoy = MessageHeader::new(8, false).word().to_ne_bytes();
        for _ in 0..CAPACITY / 16 + 1 {
            put(&mut producer, &decoy).expect("there is room");
            take(&mut consumer).expect("it was sent");
        }
        let sender = thread::spawn(move || put(&mut producer, b"new").expect("there is room"));
        let mut received = Vec::new();
        for _ in 0..2 {
            received.extend(take(&mut consumer));
            thread::yield_now();
        }
        let seen = received.len();
        sender.join().expect("no panic");
        received.extend(take(&mut consumer));
        assert_eq!(received, [b"new"]);
        seen
    });
}

#[test]
fn a_loan_arrives_as_it_was_shortened_and_a_dropped_one_not_at_all() {
    outcomes(&[0, 1], || {
        let (mut sending, mut receiving) = endpoints(0);
        let sender = thread::spawn(move || {
            // Bytes that would be a header, were they ever read as one.
            let decoy = MessageHeader::new(8, false).word().to_ne_bytes().repeat(2);
            for kept in [None, Some(3)] {
                let claim = sending.claim(16, Purpose::Copy, Deadline::Now).expect("there is room");
                sending.memory().write(claim.message_position(), &decoy);
                if let Some(len) = kept {
                    sending.memory().write(claim.message_position(), b"abc");
                    sending.commit(claim, len, false);
                }
            }
            sending
        });
        let seen = usize::from(receiving.recv(&mut [0; 3], Deadline::Now).is_ok());
        let sending = sender.join().expect("no panic");
        if seen == 0 {
            assert_eq!(receive(&mut receiving), b"abc");
        }
        receiving.recv(&mut [0; 16], Deadline::Now).expect_err("one message was committed");
        drop(sending);
        seen
    });
}

#[test]
fn a_batch_is_seen_together() {
    // In one piece, with a skip in front of it, and with a skip in it.
    for (start, batch) in [
        (0, [&b"a"[..], b"b", b"c"]),
        (16_u64.wrapping_neg(), [b"longer than 8", b"b", b"c"]),
        (32_u64.wrapping_neg(), [b"a", b"longer than 8", b"c"]),
    ] {
        outcomes(&[0, 3], move || {
            let (mut sending, mut receiving) = endpoints(start);
            let sender = thread::spawn(move || {
                let sent = sending.send_batch(batch, Deadline::Now).expect("there is room");
                assert_eq!(sent, 3);
                sending
            });
            let mut seen = 0;
            let mut buffer = [0; 16];
            while let Ok(len) = receiving.recv(&mut buffer, Deadline::Now) {
                assert_eq!(&buffer[..len], batch[seen]);
                seen += 1;
            }
            let sending = sender.join().expect("no panic");
            for message in &batch[seen..] {
                assert_eq!(receive(&mut receiving), *message);
            }
            drop(sending);
            seen
        });
    }
}

#[test]
fn a_batch_without_room_for_its_end_is_sent_in_part() {
    outcomes(&[1, 2], || {
        let (mut sending, mut receiving) = endpoints(0);
        let mut held = fill(&mut sending, &LONGEST);
        for _ in 0..2 {
            receive(&mut receiving);
            held -= 1; // so that there is room for one
        }
        let sender = thread::spawn(move || {
            let sent = sending.send_batch([&LONGEST[..]; 2], Deadline::Now).expect("one or two");
            (sending, sent)
        });
        receive(&mut receiving);
        held -= 1;
        let (sending, sent) = sender.join().expect("no panic");
        for _ in 0..held + sent {
            assert_eq!(receive(&mut receiving), LONGEST);
        }
        receiving.recv(&mut [0; 16], Deadline::Now).expect_err("that was all");
        drop(sending);
        sent
    });
}

#[test]
fn a_batch_takes_what_is_there() {
    bounded_outcomes(&[vec![1, 1], vec![2]], || {
        let (mut sending, mut receiving) = endpoints(24_u64.wrapping_neg());
        let sender = thread::spawn(move || {
            for message in [&b"one"[..], b"the other"] {
                sending.send(message, Deadline::Never).expect("sent");
            }
            sending
        });
        let (mut batch, mut received, mut counts) = (Batch::new(3, 32), Vec::new(), Vec::new());
        while received.len() < 2 {
            counts.push(receiving.recv_batch(&mut batch, Deadline::Never).expect("received"));
            received.extend(batch.iter().map(<[u8]>::to_vec));
        }
        assert_eq!(received, [&b"one"[..], b"the other"]);
        sender.join().expect("no panic");
        counts
    });
}

#[test]
fn a_message_that_is_read_is_not_overwritten() {
    outcomes(&[false, true], || {
        let (mut producer, mut consumer) = halves(0);
        while put(&mut producer, &LONGEST).is_some() {}
        let sender = thread::spawn(move || put(&mut producer, &[9; 16]).is_some());
        // Borrowed, read, released; so is the next, for the room of both may be used at once.
        for _ in 0..2 {
            let message = consumer.peek().expect("an honest peer").expect("the ring is full");
            let mut bytes = [0; 16];
            consumer.memory().read(message.position, &mut bytes);
            assert_eq!(bytes, LONGEST);
            consumer.release(message);
        }
        sender.join().expect("no panic")
    });
}

#[test]
fn a_long_message_may_be_put_at_the_beginning() {
    bounded_outcomes(&[false, true], || {
        let (mut sending, mut receiving) = endpoints(0);
        for _ in 0..2 {
            sending.send(&LONGEST, Deadline::Now).expect("there is room");
        }
        receive(&mut receiving);
        let sender = thread::spawn(move || {
            let claim = sending.claim(16, Purpose::Copy, Deadline::Now).expect("there is room");
            sending.memory().write(claim.message_position(), &[9; 16]);
            let rewound = claim.message_position() % CAPACITY as u64 == 8;
            sending.commit(claim, 16, false);
            sending.send(b"after", Deadline::Never).expect("sent");
            (sending, rewound)
        });
        assert_eq!(receive(&mut receiving), LONGEST);
        assert_eq!(receive(&mut receiving), [9; 16]);
        assert_eq!(receive(&mut receiving), b"after");
        sender.join().expect("no panic").1
    });
}
