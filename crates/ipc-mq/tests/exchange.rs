//! Messages between two processes: order, waiting, lengths, and what outlives whom.

mod common;

use std::os::fd::AsFd;
use std::sync::Mutex;
use std::time::Duration;

use common::{TestQueue, told_name};
use ipc_core::{
    Armed, Capacity, Deadline, Name, OpenErrorKind, Receiver, RecvError, SendError, Sender,
};
use ipc_mq::posix::{self, HIGHEST_PRIORITY, OpenOptions, QueueReceiver, QueueSender};
use ipc_mq::testing::PosixQueue;
use ipc_testing::{Scope, Transport, between_processes};

/// Longer than any test: for waits that must end by themselves.
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn messages_arrive_by_priority_then_in_order() {
    between_processes!(
        |guest| {
            let queue = TestQueue::new();
            let mut receiver = queue.options().open_receiver(&queue.name).expect("created");
            guest.tell(queue.name.as_str());
            assert_eq!(guest.hear(), "sent");
            let mut buffer = [0; 64];
            for (expected, priority) in
                [("top", HIGHEST_PRIORITY), ("first", 3), ("second", 3), ("low", 0)]
            {
                let received = receiver.try_recv(&mut buffer).expect("all have been sent");
                assert_eq!(&buffer[..received.len], expected.as_bytes());
                assert_eq!((received.priority, received.sender), (priority, None));
            }
            assert!(matches!(receiver.try_recv(&mut buffer), Err(RecvError::Empty)));
        },
        |host| {
            let mut sender = QueueSender::open(&told_name(host)).expect("opened");
            sender.send(b"low").expect("sent");
            for (message, priority) in [("first", 3), ("second", 3), ("top", HIGHEST_PRIORITY)] {
                sender.send_priority(message.as_bytes(), priority, Deadline::Now).expect("sent");
            }
            host.tell("sent");
        },
    );
}

#[test]
fn lengths_from_nothing_to_the_longest_arrive_whole() {
    between_processes!(
        |guest| {
            let queue = TestQueue::new();
            let mut sender = queue.options().open_sender(&queue.name).expect("created");
            guest.tell(queue.name.as_str());
            for len in 0..=64 {
                sender.send(&vec![len; usize::from(len)]).expect("sent");
            }
            guest.finish();
        },
        |host| {
            let mut receiver = QueueReceiver::open(&told_name(host)).expect("opened");
            let mut vector = Vec::new();
            for len in 0..=64 {
                receiver.recv_to_vec(&mut vector, Deadline::Never).expect("received");
                assert_eq!(vector, vec![len; usize::from(len)]);
            }
            assert!(matches!(receiver.try_recv(&mut vector), Err(RecvError::Empty)));
        },
    );
}

#[test]
fn a_queue_of_the_default_limits_carries_its_longest_message() {
    between_processes!(
        |guest| {
            // Made by the transport that the benchmark measures.
            let scope = Scope::new();
            let (invitation, pending) = PosixQueue.invite_receiver(&scope).expect("created");
            guest.invite(invitation);
            let mut sender = pending.complete(guest.pid()).expect("opened");
            assert_eq!(sender.properties().capacity, Capacity::Messages(10));
            let message: Vec<u8> = (0..=u8::MAX).cycle().take(8192).collect();
            for _ in 0..10 {
                sender.try_send(&message).expect("there is room for ten");
            }
            guest.finish();
        },
        |host| {
            let mut receiver = PosixQueue.join_as_receiver(host.invitation()).expect("opened");
            let mut buffer = vec![0; 8192];
            for _ in 0..10 {
                assert_eq!(receiver.recv(&mut buffer).expect("received").len, 8192);
                assert!(buffer.iter().copied().eq((0..=u8::MAX).cycle().take(8192)));
            }
        },
    );
}

#[test]
fn what_cannot_be_sent_is_refused_and_not_sent() {
    let queue = TestQueue::new();
    let mut sender = queue.options().open_sender(&queue.name).expect("created");

    let error = sender.send(&[0; 65]).expect_err("too long");
    assert!(matches!(&error, SendError::TooLong(e) if (e.len, e.max) == (65, 64)), "{error:?}");
    assert!(error.to_string().contains(&format!("POSIX queue \"/{}\"", queue.name)), "{error}");

    let error = sender.send_priority(b"x", HIGHEST_PRIORITY + 1, Deadline::Never);
    let error = error.expect_err("too high");
    let expected = HIGHEST_PRIORITY + 1;
    assert!(
        matches!(&error, SendError::PriorityTooHigh(e) if (e.priority, e.max) == (expected, HIGHEST_PRIORITY)),
        "{error:?}"
    );

    let error = sender.send_synchronous(b"x", Deadline::Now).expect_err("it cannot know");
    assert!(matches!(error, SendError::Unsupported(_)), "{error:?}");
    assert_eq!(sender.attributes().expect("open").queued_messages, 0);
}

#[test]
fn each_message_reaches_exactly_one_of_several_receivers() {
    const MESSAGES: u16 = 2_000;
    /// Receives numbers until the empty message that is meant for it.
    fn receive_all(name: &Name, deadline: Deadline) -> Vec<u16> {
        let mut receiver = QueueReceiver::open(name).expect("opened");
        let mut numbers = Vec::new();
        let mut buffer = [0; 64];
        while receiver.recv_deadline(&mut buffer, deadline).expect("received").len > 0 {
            numbers.push(u16::from_le_bytes([buffer[0], buffer[1]]));
        }
        numbers
    }
    /// Receivers of both kinds of patience at once.
    fn receive_by_two(name: &Name) -> Vec<u16> {
        let numbers = Mutex::new(Vec::new());
        std::thread::scope(|threads| {
            for deadline in [Deadline::Never, Deadline::after(LONG)] {
                let numbers = &numbers;
                threads.spawn(move || {
                    let mine = receive_all(name, deadline);
                    numbers.lock().expect("no panic").extend(mine);
                });
            }
        });
        numbers.into_inner().expect("no panic")
    }
    between_processes!(
        |guest| {
            let queue = TestQueue::new();
            let mut sender = queue.options().open_sender(&queue.name).expect("created");
            guest.tell(queue.name.as_str());
            let mut numbers = std::thread::scope(|threads| {
                let receivers = threads.spawn(|| receive_by_two(&queue.name));
                for number in 0..MESSAGES {
                    sender.send(&number.to_le_bytes()).expect("sent");
                }
                for _ in 0..4 {
                    sender.send(b"").expect("sent");
                }
                receivers.join().expect("no panic")
            });
            let theirs = guest.hear();
            numbers.extend(theirs.split_whitespace().map(|n| n.parse::<u16>().expect("a number")));
            numbers.sort_unstable();
            assert_eq!(numbers, (0..MESSAGES).collect::<Vec<_>>());
        },
        |host| {
            let numbers = receive_by_two(&told_name(host));
            host.tell(&numbers.iter().map(|n| format!("{n} ")).collect::<String>());
        },
    );
}

#[test]
fn a_message_that_does_not_fit_stays_with_its_priority() {
    between_processes!(
        |guest| {
            let queue = TestQueue::new();
            let mut receiver = queue.options().open_receiver(&queue.name).expect("created");
            guest.tell(queue.name.as_str());
            assert_eq!(guest.hear(), "sent");
            for _ in 0..2 {
                let error = receiver.try_recv(&mut [0; 5]).expect_err("it has six bytes");
                assert!(
                    matches!(&error, RecvError::BufferTooSmall(e) if (e.needed, e.len) == (6, 5)),
                    "{error:?}"
                );
            }
            // The endpoint holds it: the queue has only the other, and a wait would not sleep.
            assert_eq!(receiver.attributes().expect("open").queued_messages, 1);
            let source = receiver.wait_source().expect("waitable");
            assert_eq!(source.arm().expect("arms"), Armed::Ready);
            source.disarm();

            // It comes next, also into a buffer that could take a message straight from the queue.
            let mut buffer = [0; 64];
            let received = receiver.try_recv(&mut buffer).expect("it fits");
            assert_eq!((&buffer[..received.len], received.priority), (&b"urgent"[..], 7));
            let received = receiver.try_recv(&mut buffer[..5]).expect("this one fits");
            assert_eq!((&buffer[..received.len], received.priority), (&b"later"[..], 0));
            let source = receiver.wait_source().expect("waitable");
            assert_eq!(source.arm().expect("arms"), Armed::Waiting);
        },
        |host| {
            let mut sender = QueueSender::open(&told_name(host)).expect("opened");
            sender.try_send(b"later").expect("sent");
            sender.send_priority(b"urgent", 7, Deadline::Now).expect("sent");
            host.tell("sent");
        },
    );
}

#[test]
fn what_was_sent_survives_the_senders_death() {
    between_processes!(
        |guest| {
            let queue = TestQueue::new();
            let mut receiver = queue.options().open_receiver(&queue.name).expect("created");
            guest.tell(queue.name.as_str());
            assert_eq!(guest.hear(), "sent");
            guest.kill();
            let mut buffer = [0; 64];
            assert_eq!(receiver.try_recv(&mut buffer).expect("it is still there").len, 6);
            assert_eq!(&buffer[..6], b"legacy");
            // And a queue knows no death: it is just empty now.
            assert!(matches!(receiver.try_recv(&mut buffer), Err(RecvError::Empty)));
        },
        |host| {
            let mut sender = QueueSender::open(&told_name(host)).expect("opened");
            sender.send(b"legacy").expect("sent");
            host.tell("sent");
            host.hear(); // never: we are killed here
        },
    );
}

#[test]
fn a_queue_outlives_its_name_until_it_is_closed() {
    between_processes!(
        |guest| {
            let queue = TestQueue::new();
            let mut old = queue.options().open_receiver(&queue.name).expect("created");
            guest.tell(queue.name.as_str());
            assert_eq!(guest.hear(), "open");
            posix::unlink(&queue.name).expect("it was there");
            let error = QueueSender::open(&queue.name).expect_err("the name is gone");
            assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");

            // The name is free for another queue, which is not the guest's.
            let mut new = queue.options().open_receiver(&queue.name).expect("created anew");
            guest.tell("unlinked");
            let mut buffer = [0; 64];
            assert_eq!(old.recv(&mut buffer).expect("the old one works").len, 3);
            guest.finish();
            assert!(matches!(new.try_recv(&mut buffer), Err(RecvError::Empty)));
        },
        |host| {
            let mut sender = QueueSender::open(&told_name(host)).expect("opened");
            host.tell("open");
            assert_eq!(host.hear(), "unlinked");
            sender.send(b"old").expect("sent");
        },
    );
}

#[test]
fn the_kernel_knows_which_end_it_is_and_closes_it_on_exec() {
    use rustix::fs::OFlags;
    let queue = TestQueue::new();
    let receiver = queue.options().open_receiver(&queue.name).expect("created");
    let sender = OpenOptions::new().open_sender(&queue.name).expect("opened");
    for (descriptor, access) in
        [(receiver.as_fd(), OFlags::RDONLY), (sender.as_fd(), OFlags::WRONLY)]
    {
        let flags = rustix::fs::fcntl_getfl(descriptor).expect("open");
        assert_eq!(flags & OFlags::RWMODE, access);
        let flags = rustix::io::fcntl_getfd(descriptor).expect("open");
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }
}

#[test]
fn a_test_that_panics_leaves_no_queue_behind() {
    let mut name = None;
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let queue = TestQueue::new();
        name = Some(queue.name.clone());
        let _receiver = queue.options().open_receiver(&queue.name).expect("created");
        std::panic::resume_unwind(Box::new(())); // as a panic, without its message
    }));
    assert!(result.is_err());
    let error = QueueSender::open(&name.expect("it got so far")).expect_err("it is gone");
    assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");
}
