//! Ends that are waited for through a descriptor. Where a link is declared not to be waitable, the
//! cases of this file only check that it offers no wait source.

use ipc_core::{
    Armed, Capacity, Deadline, LinkProperties, Receiver, RecvError, SendError, Sender, WaitSource,
    WhenFull, poll,
};

use super::message::{self, numbered};
use super::script::Script;
use super::side::{BRIEF, PATIENCE, Side, assert_error};

/// Arms, polls and disarms: returns once the source says that the end may be ready.
fn wait(source: &mut dyn WaitSource) {
    if source.arm().expect("arms") == Armed::Waiting {
        let (descriptor, interest) = source.descriptor();
        let ready = poll::wait_ready(descriptor, interest, Deadline::after(PATIENCE));
        assert!(ready.expect("poll works"), "no wake-up for what the source waits for");
    }
    source.disarm();
}

/// Receives by trying, and sleeping on the wait source between.
fn receive_by_source(end: &mut dyn Receiver, buffer: &mut [u8]) -> Result<usize, RecvError> {
    let patience = Deadline::after(PATIENCE);
    loop {
        match end.try_recv(buffer) {
            // A wake-up is a hint; but nobody hints for ever.
            Err(RecvError::Empty) if !patience.has_passed() => {}
            other => return other.map(|received| received.len),
        }
        wait(end.wait_source().expect("declared to be waitable"));
    }
}

/// Whether the sender can be waited for; asserts that it can as far as declared. A sender that never
/// waits for room needs no wait source.
pub(super) fn sender_waits(sender: &mut Side<'_, dyn Sender>) -> bool {
    let (waitable, when_full) = (sender.link.waitable, sender.link.when_full);
    let has_source = sender.end().wait_source().is_some();
    assert!(waitable || !has_source, "a wait source, though declared not to be waitable");
    assert!(has_source || !waitable || when_full != WhenFull::Waits, "no wait source");
    room_is_waited_for(&sender.link)
}

/// Whether the receiver can be waited for; asserts that it can exactly if it is declared so.
pub(super) fn receiver_waits(receiver: &mut Side<'_, dyn Receiver>) -> bool {
    let waitable = receiver.link.waitable;
    assert_eq!(receiver.end().wait_source().is_some(), waitable, "a wait source");
    waitable
}

pub(super) fn a_waiting_receiver_misses_no_message() -> Script {
    const ROUNDS: u64 = 200;
    Script::new(
        |sender| {
            sender_waits(sender);
            if !sender.link.waitable {
                return;
            }
            for number in 0..ROUNDS {
                sender.deliver_by(|side| {
                    // By turns: while the receiver sleeps, before it arms, and as it comes.
                    if number % 3 == 0 {
                        side.partner.wait_until_parked();
                    }
                    if number % 3 == 1 && side.link.capacity != Capacity::Zero {
                        side.put_numbered(number);
                        side.partner.tell("sent");
                    } else {
                        side.partner.tell("sending");
                        side.put_numbered(number);
                    }
                });
            }
        },
        |receiver| {
            if !receiver_waits(receiver) {
                return;
            }
            let mut buffer = message::buffer(&receiver.link);
            for number in 0..ROUNDS {
                receiver.partner.tell("ready");
                let sleeps_first = number % 3 == 0;
                if !sleeps_first {
                    receiver.partner.hear();
                    // Not a try first: what lies there already must be seen by arming.
                    wait(receiver.end().wait_source().expect("declared to be waitable"));
                }
                let len = receive_by_source(receiver.end(), &mut buffer).expect("a message");
                let expected = numbered(number, &receiver.link);
                message::assert_same(&buffer[..len], &expected, "the message");
                if sleeps_first {
                    receiver.partner.expect("sending");
                }
                receiver.partner.tell("got it");
            }
        },
    )
}

pub(super) fn a_waiting_sender_learns_of_room() -> Script {
    Script::new(
        |sender| {
            if !sender_waits(sender) {
                return;
            }
            for _ in 0..5 {
                let accepted = sender.fill(0);
                sender.partner.tell(&accepted.to_string());
                let next = numbered(accepted, &sender.link);
                if let Err(error) = send_by_source(sender, &next) {
                    panic!("waiting for room: {error:?}");
                }
                sender.partner.expect("received");
            }
        },
        |receiver| {
            if !room_is_waited_for(&receiver.link) {
                return;
            }
            for _ in 0..5 {
                let accepted = receiver.partner.hear_number();
                receiver.partner.wait_until_parked();
                receiver.take_numbered(0..accepted + 1);
                receiver.partner.tell("received");
            }
        },
    )
}

pub(super) fn a_waiting_receiver_learns_of_death() -> Script {
    Script::new(
        |sender| {
            sender_waits(sender);
            sender.partner.expect("die");
            sender.partner.wait_until_parked();
            sender.die();
        },
        |receiver| {
            let waits = receiver_waits(receiver);
            receiver.partner.tell("die");
            if waits && receiver.link.death_notice.reaches_receiver() {
                let mut buffer = message::buffer(&receiver.link);
                assert_error!(
                    receive_by_source(receiver.end(), &mut buffer),
                    RecvError::PeerGone { .. }
                );
            }
            receiver.wait_for_death();
            receiver.release();
        },
    )
    .guest_sends()
    .in_variants(&["close", "exit", "kill"])
}

pub(super) fn a_waiting_sender_learns_of_death() -> Script {
    Script::new(
        |sender| {
            let waits = sender_waits(sender);
            let accepted = sender.fill(0);
            sender.partner.tell("die");
            if waits && sender.learns_of_the_end() {
                let next = numbered(accepted, &sender.link);
                // There may be room for a moment when the receiver's end is torn down.
                while send_by_source(sender, &next).is_ok() {}
                assert_error!(sender.end().try_send(&next), SendError::PeerGone { .. });
            }
            sender.wait_for_death();
            sender.release();
        },
        |receiver| {
            receiver.partner.expect("die");
            receiver.partner.wait_until_parked();
            receiver.die();
        },
    )
    .guest_receives()
    .in_variants(&["close", "exit", "kill"])
}

pub(super) fn a_waiter_with_nothing_to_do_sleeps() -> Script {
    /// Some of its wake-ups may be false, but not all.
    fn assert_sleeps(source: &mut dyn WaitSource) {
        let slept = (0..10).any(|_| {
            let armed = source.arm().expect("arms");
            let (descriptor, interest) = source.descriptor();
            let ready = armed == Armed::Ready
                || poll::wait_ready(descriptor, interest, Deadline::after(BRIEF)).expect("polls");
            source.disarm();
            !ready
        });
        assert!(slept, "the wait source is always ready");
    }
    Script::new(
        |sender| {
            if sender_waits(sender) {
                let accepted = sender.fill(0);
                assert_sleeps(sender.end().wait_source().expect("it waits"));
                sender.partner.tell(&accepted.to_string());
                sender.put_numbered(accepted);
            } else {
                sender.partner.tell("0");
                sender.put_numbered(0);
            }
        },
        |receiver| {
            let accepted = receiver.partner.hear_number();
            receiver.take_numbered(0..accepted + 1);
            if receiver_waits(receiver) {
                assert_sleeps(receiver.end().wait_source().expect("declared to be waitable"));
            }
        },
    )
}

/// Sends by trying, and sleeping on the wait source between.
fn send_by_source(sender: &mut Side<'_, dyn Sender>, message: &[u8]) -> Result<(), SendError> {
    let patience = Deadline::after(PATIENCE);
    loop {
        match sender.end().try_send(message) {
            Err(error) if sender.is_no_room(&error, false) && !patience.has_passed() => {}
            other => return other,
        }
        wait(sender.end().wait_source().expect("it waits for room"));
    }
}

/// What [`sender_waits`] is at the other end.
fn room_is_waited_for(link: &LinkProperties) -> bool {
    link.waitable && link.when_full == WhenFull::Waits
}
