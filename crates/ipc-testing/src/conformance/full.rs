//! What happens when there is no room.

use std::time::{Duration, Instant};

use ipc_core::{Capacity, LinkProperties, Order, Receiver, SendError, Sender, WhenFull};

use super::message::{self, numbered};
use super::script::Script;
use super::side::{BRIEF, PATIENCE, Side, assert_error, assert_not_early};
use super::signals::Storm;

/// Receives what the sender says that it got in, and one more, which the sender waits to send.
///
/// The one more lets an end that owes the rest of a frame finish it.
fn receive_all_and_one(receiver: &mut Side<'_, dyn Receiver>) {
    let accepted = receiver.partner.hear_number();
    receiver.take_numbered(0..accepted + 1);
    receiver.assert_empty();
    receiver.partner.tell("received");
}

/// The sender's part of [`receive_all_and_one`].
fn send_one_more(sender: &mut Side<'_, dyn Sender>, accepted: u64) {
    sender.partner.tell(&accepted.to_string());
    sender.put_numbered(accepted);
    sender.partner.expect("received");
}

pub(super) fn a_full_link_does_as_declared() -> Script {
    Script::new(
        |sender| {
            for _ in 0..3 {
                let accepted = sender.fill(0);
                match sender.link.capacity {
                    Capacity::Zero => assert_eq!(accepted, 0, "accepted with nobody receiving"),
                    _ => assert!(accepted > 0, "nothing fits an empty link"),
                }
                let next = numbered(accepted, &sender.link);
                let at_once = sender.end().try_send(&next);
                let in_time = sender.end().send_timeout(&next, BRIEF);
                match sender.link.when_full {
                    WhenFull::Drops => {
                        at_once.expect("a link that drops takes every message");
                        in_time.expect("a link that drops takes every message");
                    }
                    WhenFull::Waits | WhenFull::Refuses => {
                        let error = at_once.expect_err("the link is full");
                        assert!(sender.is_no_room(&error, false), "without waiting: {error:?}");
                        let error = in_time.expect_err("the link is full");
                        assert!(sender.is_no_room(&error, true), "with a time-out: {error:?}");
                    }
                }
                send_one_more(sender, accepted);
            }
        },
        |receiver| {
            for _ in 0..3 {
                receive_all_and_one(receiver);
            }
        },
    )
}

pub(super) fn a_timed_send_on_a_full_link_has_no_effect() -> Script {
    Script::new(
        |sender| {
            let accepted = sender.fill(0);
            let next = numbered(accepted, &sender.link);
            for timeout in [BRIEF, BRIEF * 3] {
                if sender.link.when_full == WhenFull::Waits {
                    assert_not_early(timeout, || {
                        assert_error!(
                            sender.end().send_timeout(&next, timeout),
                            SendError::TimedOut
                        );
                    });
                }
            }
            send_one_more(sender, accepted);
        },
        receive_all_and_one,
    )
}

pub(super) fn a_send_that_timed_out_left_nothing() -> Script {
    const MESSAGES: u64 = 20;
    const LAST: u64 = MESSAGES;
    fn long(number: u64, link: &LinkProperties) -> Vec<u8> {
        message::of_about(number, (256 << 10) - 7, link)
    }
    Script::new(
        |sender| {
            let mut accepted = Vec::new();
            for number in 0..MESSAGES {
                let message = long(number, &sender.link);
                match sender.end().send_timeout(&message, Duration::from_millis(5)) {
                    Ok(()) => accepted.push(number.to_string()),
                    Err(error) if sender.is_no_room(&error, true) => {}
                    Err(error) => panic!("sending with a short time-out: {error:?}"),
                }
            }
            sender.partner.tell(&accepted.join(" "));
            sender.put(&long(LAST, &sender.link));
            sender.partner.tell("sent");
        },
        |receiver| {
            let accepted = receiver.partner.hear();
            let accepted =
                accepted.split_whitespace().map(|number| number.parse().expect("a number"));
            let mut due: Vec<u64> = accepted.chain([LAST]).collect();
            if receiver.link.lossy {
                // What arrives is among the accepted.
                receiver.partner.expect("sent");
                let mut buffer = vec![0; message::longest_tried(&receiver.link)];
                while let Ok(received) = receiver.end().recv_timeout(&mut buffer, BRIEF) {
                    let number = message::number_of(&buffer[..received.len]);
                    assert!(due.contains(&number), "message {number} was not accepted");
                }
                return;
            }
            let mut buffer = vec![0; long(0, &receiver.link).len()];
            while !due.is_empty() {
                let received = receiver.end().recv_timeout(&mut buffer, PATIENCE);
                let bytes = &buffer[..received.expect("an accepted message").len];
                // In order, but on an unordered link.
                let place = due.iter().position(|&number| bytes == long(number, &receiver.link));
                let place = place.expect("only what was accepted arrives, and whole");
                let ordered = receiver.link.order != Order::Unordered;
                assert!(place == 0 || !ordered, "message {} before {}", due[place], due[0]);
                due.remove(place);
            }
            receiver.partner.expect("sent");
            receiver.assert_empty();
        },
    )
}

pub(super) fn a_parked_sender_is_woken_by_a_receive() -> Script {
    Script::new(
        |sender| {
            for _ in 0..5 {
                let accepted = sender.fill(0);
                sender.partner.tell(&accepted.to_string());
                if sender.link.when_full == WhenFull::Waits {
                    let next = numbered(accepted, &sender.link);
                    sender.end().send(&next).expect("is woken and sends");
                } else {
                    sender.put_numbered(accepted);
                }
                sender.partner.expect("received");
            }
        },
        |receiver| {
            for _ in 0..5 {
                let accepted = receiver.partner.hear_number();
                receiver.partner.wait_until_parked();
                receiver.take_numbered(0..accepted + 1);
                receiver.partner.tell("received");
            }
        },
    )
}

pub(super) fn signals_do_not_change_a_senders_wait() -> Script {
    Script::new(
        |sender| {
            let accepted = sender.fill(0);
            let next = numbered(accepted, &sender.link);
            Storm::upon_this_thread().upon_a_wait(|timeout| {
                let waits = sender.link.when_full == WhenFull::Waits;
                let start = Instant::now();
                // A link that does not wait is asked all the while.
                while start.elapsed() < timeout {
                    let least = if waits { timeout } else { Duration::ZERO };
                    assert_not_early(least, || match sender.end().send_timeout(&next, timeout) {
                        Ok(()) => assert_eq!(sender.link.when_full, WhenFull::Drops, "no room"),
                        Err(error) => assert!(sender.is_no_room(&error, true), "{error:?}"),
                    });
                }
            });
            send_one_more(sender, accepted);
        },
        receive_all_and_one,
    )
}
