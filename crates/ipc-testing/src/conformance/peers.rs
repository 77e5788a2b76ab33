//! What an end tells about the link and about the other side: properties, priority, identity, and
//! whether a message was taken.

use ipc_core::{
    Capacity, Deadline, Evidence, LinkProperties, Order, PeerId, SendError, SenderIdentity,
    WhenFull,
};

use super::message::{self, numbered, of_about};
use super::script::Script;
use super::side::{BRIEF, PATIENCE, Side, assert_error, assert_not_early};

pub(super) fn both_ends_describe_the_same_link() -> Script {
    /// That both say the same is checked before every case.
    fn assert_consistent(link: &LinkProperties) {
        assert!(!link.mechanism.is_empty(), "a mechanism has a name");
        let lengths = link.message_length;
        assert!(lengths.min <= lengths.max && lengths.max > 0, "no message has such a length");
        assert_eq!(
            link.priorities.is_some(),
            link.order == Order::Priority,
            "priorities are what the order goes by"
        );
        match link.capacity {
            Capacity::Unbounded { .. } => {
                assert_eq!(link.when_full, WhenFull::Refuses, "a sender that never waits");
            }
            Capacity::Messages(room) | Capacity::Bytes(room) => assert!(room > 0, "no room at all"),
            Capacity::Zero => {}
        }
        assert!(link.when_full != WhenFull::Drops || link.lossy, "what drops is lossy");
        if link.capacity == Capacity::Zero {
            assert!(link.synchronous_send, "a rendezvous is a synchronous send");
        }
    }
    Script::new(
        |sender| {
            assert_consistent(&sender.link);
            super::wait_source::sender_waits(sender);
            sender.deliver(&numbered(0, &sender.link));
        },
        |receiver| {
            assert_consistent(&receiver.link);
            super::wait_source::receiver_waits(receiver);
            receiver.collect(&numbered(0, &receiver.link));
        },
    )
}

/// Messages in the order of sending, as number and how far below the top priority; then the numbers
/// in the order of receiving.
const PRIORITIES_SENT: [(u64, Below); 6] = [
    (0, Below::Least),
    (1, Below::Middle),
    (2, Below::Top),
    (3, Below::Least),
    (4, Below::Top),
    (5, Below::Middle),
];
const PRIORITIES_RECEIVED: [u64; 6] = [2, 4, 1, 5, 0, 3];

#[derive(Clone, Copy)]
enum Below {
    Least,
    Middle,
    Top,
}

impl Below {
    fn of(self, top: u32) -> u32 {
        match self {
            Self::Least => 0,
            Self::Middle => top / 2,
            Self::Top => top,
        }
    }
}

pub(super) fn higher_priorities_come_first() -> Script {
    Script::new(
        |sender| {
            let patience = Deadline::after(PATIENCE);
            let Some(top) = sender.link.priorities else {
                let message = numbered(0, &sender.link);
                assert_error!(
                    sender.end().send_priority(&message, 0, patience),
                    SendError::Unsupported(_)
                );
                return sender.deliver(&message);
            };
            for (number, below) in PRIORITIES_SENT {
                let message = of_about(number, 16, &sender.link);
                sender.end().send_priority(&message, below.of(top), patience).expect("room for 6");
            }
            if top < u32::MAX {
                let message = of_about(9, 16, &sender.link);
                assert_error!(
                    sender.end().send_priority(&message, top + 1, patience),
                    SendError::PriorityTooHigh(e) if e.priority == top + 1 && e.max == top
                );
            }
            // A send without a priority has the least.
            sender.put(&of_about(6, 16, &sender.link));
            sender.partner.tell("sent");
        },
        |receiver| {
            let Some(top) = receiver.link.priorities else {
                let received = receiver.collect(&numbered(0, &receiver.link));
                assert_eq!(received.priority, 0, "a link without priorities");
                return;
            };
            receiver.partner.expect("sent");
            let mut buffer = message::buffer(&receiver.link);
            for number in PRIORITIES_RECEIVED.into_iter().chain([6]) {
                let received =
                    receiver.end().recv_timeout(&mut buffer, PATIENCE).expect("a message");
                let expected = of_about(number, 16, &receiver.link);
                message::assert_same(&buffer[..received.len], &expected, "the next by priority");
                let sent = PRIORITIES_SENT.iter().find(|(sent, _)| *sent == number);
                let priority = sent.map_or(0, |(_, below)| below.of(top));
                assert_eq!(received.priority, priority, "of message {number}");
            }
            receiver.assert_empty();
        },
    )
}

pub(super) fn the_sender_is_who_it_was() -> Script {
    Script::new(
        |sender| {
            for number in 0..3 {
                sender.deliver(&numbered(number, &sender.link));
            }
        },
        |receiver| {
            let mut former = None;
            for number in 0..3 {
                let sender = receiver.collect(&numbered(number, &receiver.link)).sender;
                assert!(number == 0 || sender == former, "{sender:?} after {former:?}");
                former = sender;
                let evidence = match receiver.link.sender_identity {
                    SenderIdentity::Unknown => {
                        assert_eq!(sender, None, "declared to be unknown");
                        continue;
                    }
                    SenderIdentity::Claimed => Evidence::Claimed,
                    SenderIdentity::Verified => Evidence::Kernel,
                };
                match sender {
                    Some(PeerId::Process(process)) => {
                        let pid = process.pid.map(std::num::NonZeroU32::get);
                        assert_eq!(pid, Some(receiver.partner.pid()), "the sender's process");
                        assert_eq!(process.uid, rustix::process::getuid().as_raw(), "its user");
                        assert_eq!(process.evidence, evidence, "whose word it is");
                    }
                    Some(PeerId::Address(address)) => {
                        assert!(!address.ip().is_unspecified() && address.port() != 0, "{address}");
                    }
                    other => panic!("the sender is not told: {other:?}"),
                }
            }
        },
    )
}

pub(super) fn a_synchronous_send_returns_when_the_message_is_taken() -> Script {
    fn send_synchronously(sender: &mut Side<'_, dyn ipc_core::Sender>) {
        // Nobody takes it: it must not succeed, and it may or may not have been accepted.
        let first = of_about(0, 8, &sender.link);
        let result = assert_not_early(BRIEF, || {
            sender.end().send_synchronous(&first, Deadline::after(BRIEF))
        });
        match result {
            Err(SendError::NotTaken) => sender.partner.tell("accepted"),
            Err(SendError::TimedOut) => sender.partner.tell("not accepted"),
            other => panic!("a synchronous send that nobody takes: {other:?}"),
        }
        sender.partner.expect("taken");
        for number in 1..10 {
            let message = of_about(number, 8, &sender.link);
            sender.deliver_by(|side| {
                side.end().send_synchronous(&message, Deadline::Never).expect("it is taken");
            });
        }
    }
    Script::new(
        |sender| {
            if sender.link.synchronous_send {
                return send_synchronously(sender);
            }
            let message = of_about(0, 8, &sender.link);
            assert_error!(
                sender.end().send_synchronous(&message, Deadline::after(BRIEF)),
                SendError::Unsupported(_)
            );
            sender.deliver(&message);
        },
        |receiver| {
            if !receiver.link.synchronous_send {
                receiver.collect(&of_about(0, 8, &receiver.link));
                return;
            }
            let mut buffer = message::buffer(&receiver.link);
            if receiver.partner.hear() == "accepted" {
                let received = receiver.end().recv_timeout(&mut buffer, PATIENCE);
                let len = received.expect("it was accepted").len;
                message::assert_same(&buffer[..len], &of_about(0, 8, &receiver.link), "the first");
            }
            receiver.assert_empty();
            receiver.partner.tell("taken");
            for number in 1..10 {
                receiver.collect(&of_about(number, 8, &receiver.link));
            }
        },
    )
}

pub(super) fn nothing_is_left_behind() -> Script {
    // What is left is looked for after every case, here with messages unread in the link.
    Script::new(
        |sender| {
            let accepted = sender.put_a_few();
            sender.partner.tell(&accepted.to_string());
            if sender.is_guest() {
                sender.partner.expect("go");
                sender.die();
            } else {
                sender.partner.tell("go");
                sender.wait_for_death();
                sender.release();
            }
        },
        |receiver| {
            let _accepted = receiver.partner.hear_number();
            if receiver.is_guest() {
                receiver.partner.expect("go");
                receiver.die();
            } else {
                receiver.partner.tell("go");
                receiver.wait_for_death();
                receiver.release();
            }
        },
    )
    .in_variants(&["close", "exit", "kill"])
}
