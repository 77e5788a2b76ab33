//! Waiting: for a message, for room, with every patience, and with other descriptors.

mod common;

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use common::{TestQueue, told_name};
use ipc_core::{Deadline, Interest, Receiver, RecvError, SendError, Sender, poll};
use ipc_mq::posix::{QueueReceiver, QueueSender};
use ipc_testing::{between_processes, process::wait_until_parked};

/// Longer than any test: for waits that must end by themselves.
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn a_full_queue_refuses_or_times_out_and_takes_nothing() {
    let queue = TestQueue::new();
    let mut sender = queue.options().open_sender(&queue.name).expect("created");
    for number in 0..4 {
        sender.try_send(&[number]).expect("there is room");
    }
    assert!(matches!(sender.try_send(b"more"), Err(SendError::Full)));
    let past = Deadline::At(Instant::now());
    assert!(matches!(sender.send_deadline(b"more", past), Err(SendError::TimedOut)));
    let start = Instant::now();
    let timeout = Duration::from_millis(30);
    assert!(matches!(sender.send_timeout(b"more", timeout), Err(SendError::TimedOut)));
    assert!(start.elapsed() >= timeout);

    let mut receiver = QueueReceiver::open(&queue.name).expect("opened");
    let mut buffer = [0; 64];
    for number in 0..4 {
        assert_eq!(receiver.try_recv(&mut buffer).expect("it is there").len, 1);
        assert_eq!(buffer[0], number);
    }
    assert!(matches!(receiver.try_recv(&mut buffer), Err(RecvError::Empty)));
}

#[test]
fn an_empty_queue_is_empty_or_times_out() {
    let queue = TestQueue::new();
    let mut receiver = queue.options().open_receiver(&queue.name).expect("created");
    // The second buffer is too short for the queue's longest message, so another path is taken.
    for len in [64, 63] {
        let mut buffer = vec![0; len];
        assert!(matches!(receiver.try_recv(&mut buffer), Err(RecvError::Empty)));
        let past = Deadline::At(Instant::now());
        assert!(matches!(receiver.recv_deadline(&mut buffer, past), Err(RecvError::TimedOut)));
        let start = Instant::now();
        let timeout = Duration::from_millis(30);
        assert!(matches!(receiver.recv_timeout(&mut buffer, timeout), Err(RecvError::TimedOut)));
        assert!(start.elapsed() >= timeout);
    }
}

#[test]
fn a_blocked_sender_is_woken_by_room() {
    between_processes!(
        |guest| {
            let queue = TestQueue::new();
            let mut options = queue.options();
            let mut sender =
                options.capacity_messages(1).open_sender(&queue.name).expect("created");
            guest.tell(queue.name.as_str());
            sender.try_send(b"fills it").expect("there is room");
            guest.tell("full");
            sender.send_deadline(b"by poll", Deadline::after(LONG)).expect("woken");
            guest.tell("full again");
            sender.send_deadline(b"by the kernel's own queue", Deadline::Never).expect("woken");
            guest.finish();
        },
        |host| {
            let mut receiver = QueueReceiver::open(&told_name(host)).expect("opened");
            let mut buffer = [0; 64];
            for _ in ["full", "full again"] {
                host.hear();
                wait_until_parked(host.pid());
                receiver.try_recv(&mut buffer).expect("the queue is full");
            }
            let last = receiver.recv(&mut buffer).expect("received");
            assert_eq!(&buffer[..last.len], b"by the kernel's own queue");
        },
    );
}

#[test]
fn a_blocked_receiver_is_woken_by_a_message() {
    between_processes!(
        |guest| {
            let queue = TestQueue::new();
            let mut receiver = queue.options().open_receiver(&queue.name).expect("created");
            guest.tell(queue.name.as_str());
            let mut buffer = [0; 64];
            for deadline in [Deadline::after(LONG), Deadline::Never] {
                guest.tell("empty");
                assert_eq!(receiver.recv_deadline(&mut buffer, deadline).expect("woken").len, 5);
            }
            guest.finish();
        },
        |host| {
            let mut sender = QueueSender::open(&told_name(host)).expect("opened");
            for _ in 0..2 {
                host.hear();
                wait_until_parked(host.pid());
                sender.try_send(b"awake").expect("there is room");
            }
        },
    );
}

#[test]
fn the_descriptor_tells_of_messages_and_of_room() {
    let queue = TestQueue::new();
    let mut options = queue.options();
    let mut sender = options.capacity_messages(1).open_sender(&queue.name).expect("created");
    let mut receiver = QueueReceiver::open(&queue.name).expect("opened");
    let ready = |sender: &mut QueueSender, receiver: &mut QueueReceiver| {
        [sender.wait_source(), receiver.wait_source()].map(|source| {
            let (descriptor, interest) = source.expect("waitable").descriptor();
            poll::wait_ready(descriptor, interest, Deadline::Now).expect("pollable")
        })
    };
    assert_eq!(ready(&mut sender, &mut receiver), [true, false]);
    sender.try_send(b"x").expect("there is room");
    assert_eq!(ready(&mut sender, &mut receiver), [false, true]);
    assert!(poll::wait_ready(receiver.as_fd(), Interest::Readable, Deadline::Never).expect("is"));
    receiver.try_recv(&mut [0; 64]).expect("it is there");
    assert_eq!(ready(&mut sender, &mut receiver), [true, false]);
}
