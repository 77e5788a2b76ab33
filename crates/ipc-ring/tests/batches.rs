//! Batches both ways, between processes: what one call takes, what it leaves, and who is told.

use ipc_core::{Deadline, Receiver, RecvError, SendError, Sender};
use ipc_ring::{Batch, Link, Options, RingReceiver, RingSender, pair};
use ipc_testing::process::wait_until_parked;
use ipc_testing::{Guest, Host, Invitation, between_processes};
use std::time::Duration;

/// The receiver of a ring whose sender is the guest's.
fn invite(guest: &mut Guest) -> RingReceiver {
    let (ours, theirs) = pair().expect("a pair");
    guest.invite(Invitation::of_descriptors(vec![theirs.into()]));
    let link = ours.join(&Options::new().receive_only(), Deadline::Never).expect("a link");
    link.receiver.expect("a ring")
}

fn invited(host: &mut Host, options: Options) -> RingSender {
    let socket = host.invitation().descriptors.remove(0);
    let link = Link::over(socket, &options, Deadline::Never).expect("a link");
    link.sender.expect("a ring")
}

/// Messages of all lengths, whose content tells their number.
fn message(number: usize) -> Vec<u8> {
    (0..number * 37 % 900).map(|place| (number * 31 + place) as u8).collect()
}

#[test]
fn what_was_sent_in_batches_is_received_in_batches_whole_and_in_order() {
    const COUNT: usize = 20_000;
    between_processes!(
        |guest| {
            let mut receiver = invite(guest);
            // Few messages or few bytes: each limit ends some batches.
            let mut batches =
                [Batch::new(5, 10_000), Batch::new(100, 1_000), Batch::new(64, 4_096)];
            let mut received = 0;
            while received < COUNT {
                let batch = &mut batches[received % 3];
                let count = receiver.recv_batch(batch, Deadline::Never).expect("received");
                assert!(count > 0 && count == batch.len() && count <= batch.max_messages());
                assert!(batch.iter().map(<[u8]>::len).sum::<usize>() <= batch.max_bytes());
                for found in &*batch {
                    assert_eq!(found, message(received), "message {received}");
                    received += 1;
                }
            }
            let [batch, ..] = &mut batches;
            let error = receiver.recv_batch(batch, Deadline::Never).expect_err("the end");
            assert!(matches!(error, RecvError::PeerGone { .. }), "{error}");
            assert!(batch.is_empty());
        },
        |host| {
            // So small that the sender sleeps until batches have made room.
            let mut sender = invited(host, Options::new().capacity_bytes(4096));
            let mut sent = 0;
            while sent < COUNT {
                let most: Vec<_> = (sent..COUNT.min(sent + sent % 9)).map(message).collect();
                if most.is_empty() {
                    sender.send(&message(sent)).expect("sent");
                    sent += 1;
                } else {
                    sent += sender.send_batch(&most, Deadline::Never).expect("sent");
                }
            }
        },
    );
}

#[test]
fn a_batch_takes_what_is_there_and_leaves_what_does_not_fit() {
    between_processes!(
        |guest| {
            let mut receiver = invite(guest);
            assert_eq!(guest.hear(), "sent");
            let mut small = Batch::new(10, 3);
            // The first message is too long: it stays, and the length is told.
            let error = receiver.recv_batch(&mut small, Deadline::Never).expect_err("too long");
            let is_told =
                matches!(&error, RecvError::BufferTooSmall(e) if (e.needed, e.len) == (6, 3));
            assert!(is_told && small.is_empty(), "{error}");
            let mut none = Batch::new(0, 100);
            assert_eq!(receiver.recv_batch(&mut none, Deadline::Never).expect("room for none"), 0);
            // The third does not fit any more.
            let mut batch = Batch::new(10, 11);
            assert_eq!(receiver.recv_batch(&mut batch, Deadline::Never).expect("two"), 2);
            assert!(batch.iter().eq([&b"coffee"[..], b"cake"]));
            let mut two = Batch::new(2, 100);
            assert_eq!(receiver.recv_batch(&mut two, Deadline::Now).expect("two"), 2);
            assert!(two.iter().eq([&b"tea"[..], b""]));
            // Single receives and batches go together.
            let mut buffer = [0; 5];
            assert_eq!(receiver.recv(&mut buffer).expect("received").len, 5);
            assert_eq!(&buffer, b"juice");
            // A batch that receives nothing holds nothing.
            let error = receiver.recv_batch(&mut two, Deadline::Now).expect_err("empty");
            assert!(matches!(error, RecvError::Empty) && two.is_empty(), "{error}");
            let soon = Deadline::after(Duration::from_millis(5));
            let error = receiver.recv_batch(&mut two, soon).expect_err("empty");
            assert!(matches!(error, RecvError::TimedOut) && soon.has_passed(), "{error}");
            guest.tell("done");
        },
        |host| {
            let mut sender = invited(host, Options::new());
            let orders = ["coffee", "cake", "tea", "", "juice"];
            assert_eq!(sender.send_batch(&orders, Deadline::Never).expect("sent"), 5);
            host.tell("sent");
            assert_eq!(host.hear(), "done");
        },
    );
}

#[test]
fn a_receiver_that_sleeps_in_a_batch_is_woken_by_one() {
    between_processes!(
        |guest| {
            let mut receiver = invite(guest);
            let mut batch = Batch::new(8, 1000);
            for round in 0..20_u8 {
                guest.tell("asleep soon");
                let count = receiver.recv_batch(&mut batch, Deadline::Never).expect("received");
                assert_eq!(count, 8, "they are seen together");
                assert!(batch.iter().all(|message| message == [round; 100]));
            }
        },
        |host| {
            let receiver = host.pid();
            let mut sender = invited(host, Options::new());
            for round in 0..20 {
                host.hear();
                wait_until_parked(receiver);
                let sent = sender.send_batch(&[[round; 100]; 8], Deadline::Never).expect("sent");
                assert_eq!(sent, 8);
            }
        },
    );
}

#[test]
fn a_synchronous_send_ends_when_a_batch_has_taken_the_message() {
    between_processes!(
        |guest| {
            let mut receiver = invite(guest);
            let mut batch = Batch::new(8, 1000);
            let mut taken = 0;
            while taken < 50 {
                receiver.recv_batch(&mut batch, Deadline::Never).expect("received");
                taken += batch.iter().filter(|message| message == b"now").count();
            }
        },
        |host| {
            let mut sender = invited(host, Options::new());
            for _ in 0..50 {
                sender.send(b"later").expect("sent");
                sender.send_synchronous(b"now", Deadline::Never).expect("taken");
            }
            let gone = loop {
                match sender.send(b"more") {
                    Ok(()) => {}
                    Err(error) => break error,
                }
            };
            assert!(matches!(gone, SendError::PeerGone { .. }), "{gone}");
        },
    );
}
