//! Ends that are closed, processes that exit, are killed, or are only stopped. The victim is the guest.

use std::time::Duration;

use ipc_core::{Deadline, Receiver, RecvError, SendError, Sender, WhenFull};

use super::message::{self, numbered};
use super::script::Script;
use super::side::{BRIEF, PATIENCE, Side, assert_error};

/// How an end may come to its end.
const WAYS_TO_GO: &[&str] = &["close", "exit", "kill"];

/// The part of a sender that will go: it sends a few messages first.
fn sender_goes(sender: &mut Side<'_, dyn Sender>) {
    let accepted = sender.put_a_few();
    sender.partner.tell(&accepted.to_string());
    sender.partner.expect("die");
    sender.die();
}

/// As [`sender_goes`], but once the other side sleeps.
fn sender_goes_while_parked(sender: &mut Side<'_, dyn Sender>) {
    let accepted = sender.put_a_few();
    sender.partner.tell(&accepted.to_string());
    sender.partner.expect("die");
    sender.partner.wait_until_parked();
    sender.die();
}

/// Receives what the dead sender left, as far as that survives it, and returns how it ended.
fn receive_legacy(
    receiver: &mut Side<'_, dyn Receiver>,
    accepted: u64,
    mut receive: impl FnMut(&mut dyn Receiver, &mut [u8]) -> Result<ipc_core::Received, RecvError>,
) -> RecvError {
    let mut buffer = message::buffer(&receiver.link);
    let mut next = 0;
    let survives = receiver.link.accepted_survives_sender && !receiver.link.lossy;
    loop {
        let len = match receive(receiver.end(), &mut buffer) {
            Ok(received) => received.len,
            Err(error) => {
                assert!(next == accepted || !survives, "{next} of {accepted}, then {error:?}");
                return error;
            }
        };
        // What does not survive may be missing, but what comes is right.
        let is = |number: &u64| buffer[..len] == numbered(*number, &receiver.link);
        let number = (next..accepted).find(is).expect("one of the messages that were accepted");
        assert!(number == next || !survives, "message {next} is missing");
        next = number + 1;
    }
}

/// However it is asked, the link says again that the sender is gone; or, where nobody learns of a
/// death, that it is empty.
fn assert_stays_so(receiver: &mut Side<'_, dyn Receiver>) {
    let mut buffer = message::buffer(&receiver.link);
    for _ in 0..3 {
        if receiver.link.death_notice.reaches_receiver() {
            assert_error!(receiver.end().recv(&mut buffer), RecvError::PeerGone { .. });
            assert_error!(receiver.end().try_recv(&mut buffer), RecvError::PeerGone { .. });
        } else {
            assert_error!(receiver.end().recv_timeout(&mut buffer, BRIEF), RecvError::TimedOut);
            assert_error!(receiver.end().try_recv(&mut buffer), RecvError::Empty);
        }
    }
}

pub(super) fn a_late_receiver_learns_that_the_sender_is_gone() -> Script {
    Script::new(sender_goes, |receiver| {
        let accepted = receiver.partner.hear_number();
        receiver.partner.tell("die");
        receiver.wait_for_death();
        let learns = receiver.link.death_notice.reaches_receiver();
        let wait = if learns { PATIENCE } else { BRIEF };
        let error =
            receive_legacy(receiver, accepted, |end, buffer| end.recv_timeout(buffer, wait));
        match error {
            RecvError::PeerGone { .. } if learns => {}
            RecvError::TimedOut if !learns => {}
            other => panic!("after the sender's end: {other:?}"),
        }
        assert_stays_so(receiver);
        receiver.release();
    })
    .guest_sends()
    .in_variants(WAYS_TO_GO)
}

pub(super) fn a_parked_receiver_learns_that_the_sender_is_gone() -> Script {
    Script::new(sender_goes_while_parked, |receiver| {
        let accepted = receiver.partner.hear_number();
        receiver.take_numbered(0..accepted);
        receiver.partner.tell("die");
        let mut buffer = message::buffer(&receiver.link);
        if receiver.link.death_notice.reaches_receiver() {
            assert_error!(receiver.end().recv(&mut buffer), RecvError::PeerGone { .. });
        } else {
            assert_error!(receiver.end().recv_timeout(&mut buffer, BRIEF * 4), RecvError::TimedOut);
        }
        receiver.wait_for_death();
        assert_stays_so(receiver);
        receiver.release();
    })
    .guest_sends()
    .in_variants(WAYS_TO_GO)
}

pub(super) fn a_polling_receiver_learns_that_the_sender_is_gone() -> Script {
    Script::new(sender_goes, |receiver| {
        let accepted = receiver.partner.hear_number();
        receiver.partner.tell("die");
        if receiver.link.death_notice.reaches_receiver() {
            let patience = Deadline::after(PATIENCE);
            let error = receive_legacy(receiver, accepted, |end, buffer| {
                loop {
                    match end.try_recv(buffer) {
                        Err(RecvError::Empty) if !patience.has_passed() => {}
                        other => return other,
                    }
                }
            });
            assert!(matches!(error, RecvError::PeerGone { .. }), "polling: {error:?}");
            receiver.wait_for_death();
        } else {
            receiver.wait_for_death();
            receive_legacy(receiver, accepted, |end, buffer| end.recv_timeout(buffer, BRIEF));
        }
        assert_stays_so(receiver);
        receiver.release();
    })
    .guest_sends()
    .in_variants(WAYS_TO_GO)
}

/// Sends until the link says that the receiver is gone. The notice may take its time: a few sends
/// may be accepted before.
fn send_until_gone(sender: &mut Side<'_, dyn Sender>, first: u64, wait: Duration) {
    let patience = Deadline::after(PATIENCE);
    for number in first.. {
        let message = numbered(number, &sender.link);
        let result = if wait.is_zero() {
            sender.end().try_send(&message)
        } else {
            sender.end().send_timeout(&message, wait)
        };
        match result {
            Ok(()) if !patience.has_passed() => {}
            Err(SendError::PeerGone { .. }) => break,
            Err(error) if sender.is_no_room(&error, false) && !patience.has_passed() => {}
            other => panic!("after the receiver's end: {other:?}"),
        }
    }
    for number in 0..3 {
        let message = numbered(number, &sender.link);
        assert_error!(sender.end().send(&message), SendError::PeerGone { .. });
        assert_error!(sender.end().try_send(&message), SendError::PeerGone { .. });
    }
}

/// Where the sender does not learn of a death, its sends go on as if the receiver only did not read.
fn assert_sends_go_on(sender: &mut Side<'_, dyn Sender>) {
    for number in 0..5 {
        let message = numbered(number, &sender.link);
        match sender.end().send_timeout(&message, BRIEF) {
            Ok(()) => {}
            Err(error) if sender.is_no_room(&error, true) => {}
            Err(error) => panic!("no notice of death is declared, but: {error:?}"),
        }
    }
}

fn receiver_goes(receiver: &mut Side<'_, dyn Receiver>) {
    receiver.partner.expect("die");
    receiver.die();
}

fn receiver_goes_while_parked(receiver: &mut Side<'_, dyn Receiver>) {
    receiver.partner.expect("die");
    receiver.partner.wait_until_parked();
    receiver.die();
}

pub(super) fn a_late_sender_learns_that_the_receiver_is_gone() -> Script {
    Script::new(
        |sender| {
            // It goes with messages unread.
            let accepted = sender.put_a_few();
            sender.partner.tell("die");
            sender.wait_for_death();
            if sender.learns_of_the_end() {
                send_until_gone(sender, accepted, PATIENCE);
            } else {
                assert_sends_go_on(sender);
            }
            sender.release();
        },
        receiver_goes,
    )
    .guest_receives()
    .in_variants(WAYS_TO_GO)
}

pub(super) fn a_parked_sender_learns_that_the_receiver_is_gone() -> Script {
    Script::new(
        |sender| {
            let accepted = sender.fill(0);
            let learns = sender.learns_of_the_end();
            sender.partner.tell("die");
            if learns && sender.link.when_full == WhenFull::Waits {
                let next = numbered(accepted, &sender.link);
                match sender.end().send(&next) {
                    // There may be room for a moment when the receiver's end is torn down.
                    Ok(()) | Err(SendError::PeerGone { .. }) => {}
                    other => panic!("a sender that waited for room: {other:?}"),
                }
            }
            sender.wait_for_death();
            if learns {
                send_until_gone(sender, accepted, PATIENCE);
            } else {
                assert_sends_go_on(sender);
            }
            sender.release();
        },
        receiver_goes_while_parked,
    )
    .guest_receives()
    .in_variants(WAYS_TO_GO)
}

pub(super) fn a_polling_sender_learns_that_the_receiver_is_gone() -> Script {
    Script::new(
        |sender| {
            sender.partner.tell("die");
            if sender.learns_of_the_end() {
                send_until_gone(sender, 0, Duration::ZERO);
                sender.wait_for_death();
            } else {
                sender.wait_for_death();
                assert_sends_go_on(sender);
            }
            sender.release();
        },
        receiver_goes,
    )
    .guest_receives()
    .in_variants(WAYS_TO_GO)
}

pub(super) fn a_stopped_sender_is_not_dead() -> Script {
    Script::new(
        |sender| {
            sender.deliver(&numbered(0, &sender.link));
            sender.partner.tell("stop me");
            sender.deliver(&numbered(1, &sender.link));
        },
        |receiver| {
            receiver.collect(&numbered(0, &receiver.link));
            receiver.partner.expect("stop me");
            receiver.partner.guest().stop();
            let mut buffer = message::buffer(&receiver.link);
            for _ in 0..3 {
                assert_error!(receiver.end().recv_timeout(&mut buffer, BRIEF), RecvError::TimedOut);
                assert_error!(receiver.end().try_recv(&mut buffer), RecvError::Empty);
            }
            receiver.partner.guest().cont();
            receiver.collect(&numbered(1, &receiver.link));
        },
    )
    .guest_sends()
}

pub(super) fn a_stopped_receiver_is_not_dead() -> Script {
    Script::new(
        |sender| {
            sender.partner.expect("stop me");
            if sender.variant == "parked" {
                sender.partner.wait_until_parked();
            }
            sender.partner.guest().stop();
            let accepted = sender.fill(0);
            let next = numbered(accepted, &sender.link);
            for _ in 0..3 {
                match sender.end().send_timeout(&next, BRIEF) {
                    Ok(()) => assert_eq!(sender.link.when_full, WhenFull::Drops, "no room"),
                    Err(error) => assert!(sender.is_no_room(&error, true), "{error:?}"),
                }
            }
            sender.partner.guest().cont();
            sender.partner.tell(&accepted.to_string());
            sender.put(&next);
            sender.partner.expect("received");
        },
        |receiver| {
            receiver.partner.tell("stop me");
            let mut first = 0;
            if receiver.variant == "parked" {
                let mut buffer = message::buffer(&receiver.link);
                let received = receiver.end().recv(&mut buffer).expect("a message when it goes on");
                let expected = numbered(0, &receiver.link);
                message::assert_same(&buffer[..received.len], &expected, "the first message");
                first = 1;
            }
            let accepted = receiver.partner.hear_number();
            receiver.take_numbered(first..accepted + 1);
            receiver.partner.tell("received");
        },
    )
    .guest_receives()
    .in_variants(&["idle", "parked"])
}
