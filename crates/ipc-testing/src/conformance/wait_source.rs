//! Ends that are waited for through a descriptor. Where a link is declared not to be waitable, the
//! cases of this file only check that it offers no wait source.

use ipc_core::{Armed, Deadline, Receiver, RecvError, Sender, WaitSource, poll};

use super::message::{self, numbered};
use super::script::Script;
use super::side::{PATIENCE, Side, assert_error};

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

fn has_source_as_declared_by_sender(sender: &mut Side<'_, dyn Sender>) -> bool {
    let waitable = sender.link.waitable;
    assert_eq!(sender.end().wait_source().is_some(), waitable, "a wait source");
    waitable
}

fn has_source_as_declared_by_receiver(receiver: &mut Side<'_, dyn Receiver>) -> bool {
    let waitable = receiver.link.waitable;
    assert_eq!(receiver.end().wait_source().is_some(), waitable, "a wait source");
    waitable
}

pub(super) fn a_waiting_receiver_misses_no_message() -> Script {
    const ROUNDS: u64 = 200;
    Script::new(
        |sender| {
            if !has_source_as_declared_by_sender(sender) {
                return;
            }
            for number in 0..ROUNDS {
                sender.deliver_by(|side| {
                    // By turns: while the receiver sleeps, before it arms, and as it comes.
                    if number % 3 == 0 {
                        side.partner.wait_until_parked();
                    }
                    if number % 3 == 1 && side.link.capacity != ipc_core::Capacity::Zero {
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
            if !has_source_as_declared_by_receiver(receiver) {
                return;
            }
            let mut buffer = message::buffer(&receiver.link);
            for number in 0..ROUNDS {
                receiver.partner.tell("ready");
                if number % 3 == 0 {
                    // Sleeps before the other side sends.
                    wait_then_hear(receiver, &mut buffer, number);
                    continue;
                }
                receiver.partner.hear();
                // Not a try first: what lies there already must be seen by arming.
                wait(receiver.end().wait_source().expect("declared to be waitable"));
                take(receiver, &mut buffer, number);
            }
        },
    )
}

/// Receives message `number` by the wait source, and then hears that it was being sent.
fn wait_then_hear(receiver: &mut Side<'_, dyn Receiver>, buffer: &mut [u8], number: u64) {
    let len = receive_by_source(receiver.end(), buffer).expect("a message");
    message::assert_same(&buffer[..len], &numbered(number, &receiver.link), "the message");
    receiver.partner.expect("sending");
    receiver.partner.tell("got it");
}

fn take(receiver: &mut Side<'_, dyn Receiver>, buffer: &mut [u8], number: u64) {
    let len = receive_by_source(receiver.end(), buffer).expect("a message");
    message::assert_same(&buffer[..len], &numbered(number, &receiver.link), "the message");
    receiver.partner.tell("got it");
}

pub(super) fn a_waiting_sender_learns_of_room() -> Script {
    Script::new(
        |sender| {
            if !has_source_as_declared_by_sender(sender) {
                return;
            }
            for _ in 0..5 {
                let accepted = sender.fill(0);
                sender.partner.tell(&accepted.to_string());
                let next = numbered(accepted, &sender.link);
                let patience = Deadline::after(PATIENCE);
                while let Err(error) = sender.end().try_send(&next) {
                    let full = sender.is_no_room(&error, false);
                    assert!(full && !patience.has_passed(), "waiting for room: {error:?}");
                    wait(sender.end().wait_source().expect("declared to be waitable"));
                }
                sender.partner.expect("received");
            }
        },
        |receiver| {
            if !has_source_as_declared_by_receiver(receiver) {
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
            if has_source_as_declared_by_sender(sender) {
                sender.partner.expect("die");
                sender.partner.wait_until_parked();
                sender.die();
            }
        },
        |receiver| {
            if !has_source_as_declared_by_receiver(receiver) {
                return;
            }
            receiver.partner.tell("die");
            if receiver.link.death_notice.reaches_receiver() {
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
