//! Loom models: every interleaving and every reordering that the memory model allows, of the code
//! that ships. `cargo xtask loom ipc-ring` runs them.
//!
//! | model | what it would catch |
//! |---|---|
//! | `messages_arrive_whole_and_in_order` | a header seen before its message |
//! | `messages_arrive_whole_over_the_wrap` | the same where the rest of the ring is skipped, at 2⁶⁴ |
//! | `an_old_message_is_not_taken_for_a_header` | a header that was not cleared, or cleared too late |
//! | `a_batch_is_seen_in_order` | a staged record seen before the first of its batch |
//! | `a_sleeping_receiver_is_woken` | a wake-up lost between announcement and sleep |
//! | `a_sleeping_sender_is_woken` | the same for a sender that waits for room |
//! | `a_synchronous_send_returns_after_the_message_was_taken` | a release that is not told |
//! | `what_was_sent_before_the_end_is_received` | a hang-up that overtakes a message |

use ipc_core::{Deadline, RecvError, Resource, WaitStrategy};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use std::io;

use crate::bell::{Bell, Heard};
use crate::endpoint::receiving::Receiving;
use crate::endpoint::sending::Sending;
use crate::protocol::consumer::Consumer;
use crate::protocol::heap::Heap;
use crate::protocol::longest_message;
use crate::protocol::producer::{Producer, Ring};
use crate::protocol::record::MessageHeader;

/// The smallest ring with messages worth the name: sixteen words, messages of at most 16 bytes.
const CAPACITY: usize = 128;

/// A pipe as the kernel makes one: bytes in it, and whether the writer is gone.
#[derive(Default)]
struct Pipe {
    state: Mutex<(u32, bool)>,
    changed: Condvar,
}

impl Pipe {
    fn update(&self, change: impl FnOnce(&mut (u32, bool))) {
        change(&mut self.state.lock().expect("no panic while held"));
        self.changed.notify_all();
    }
}

struct ModelBell {
    outgoing: Arc<Pipe>,
    incoming: Arc<Pipe>,
}

impl Bell for ModelBell {
    fn ring(&self) {
        self.outgoing.update(|state| state.0 += 1);
    }

    fn wait(&self, deadline: Deadline) -> io::Result<Heard> {
        let mut state = self.incoming.state.lock().expect("no panic while held");
        loop {
            if state.0 > 0 {
                state.0 = 0;
                return Ok(Heard::Ring);
            }
            if state.1 {
                return Ok(Heard::HangUp);
            }
            if deadline != Deadline::Never {
                return Ok(Heard::Silence);
            }
            state = self.incoming.changed.wait(state).expect("no panic while held");
        }
    }

    fn is_hung_up(&mut self) -> bool {
        self.incoming.state.lock().expect("no panic while held").1
    }

    fn quiet(&self) {
        self.incoming.update(|state| state.0 = 0);
    }
}

impl Drop for ModelBell {
    fn drop(&mut self) {
        self.outgoing.update(|state| state.1 = true);
    }
}

/// Two endpoints that always sleep, on a ring whose positions begin at `start`.
fn endpoints(start: u64) -> (Sending<Heap, ModelBell>, Receiving<Heap, ModelBell>) {
    let memory = Heap::new(CAPACITY, start);
    let (one, other) = (Arc::new(Pipe::default()), Arc::new(Pipe::default()));
    let sender_bell = ModelBell { outgoing: one.clone(), incoming: other.clone() };
    let receiver_bell = ModelBell { outgoing: other, incoming: one };
    let link = Resource::unnamed("model");
    let (producer, consumer) = halves(memory, start);
    (
        Sending::new(producer, sender_bell, WaitStrategy::Park, link.clone()),
        Receiving::new(consumer, receiver_bell, WaitStrategy::Park, link),
    )
}

fn halves(memory: Heap, start: u64) -> (Producer<Heap>, Consumer<Heap>) {
    (Producer::new(memory.clone(), start, true), Consumer::new(memory, start))
}

/// Receives what is there by polling, at most `polls` times.
fn poll(consumer: &mut Consumer<Heap>, polls: usize) -> Vec<Vec<u8>> {
    use crate::protocol::memory::Memory;
    let mut received = Vec::new();
    for _ in 0..polls {
        if let Some(message) = consumer.peek().expect("an honest peer") {
            let mut bytes = vec![0; message.len()];
            consumer.memory().read(message.offset, &mut bytes);
            consumer.release(message);
            received.push(bytes);
        }
        thread::yield_now();
    }
    received
}

fn put(producer: &mut Producer<Heap>, message: &[u8]) -> Ring {
    use crate::protocol::memory::Memory;
    let claim = producer.claim(message.len()).expect("an honest peer").expect("there is room");
    producer.memory().write(claim.message_offset(), message);
    producer.commit(claim, message.len(), false)
}

/// Sends from one thread what another polls for; whatever is received must be a beginning of it.
fn sent_is_received(start: u64, messages: &'static [&'static [u8]]) {
    loom::model(move || {
        let (mut producer, mut consumer) = halves(Heap::new(CAPACITY, start), start);
        let sender = thread::spawn(move || {
            for message in messages {
                put(&mut producer, message);
            }
        });
        let mut received = poll(&mut consumer, 2);
        sender.join().expect("no panic");
        received.extend(poll(&mut consumer, messages.len()));
        assert_eq!(received, messages);
    });
}

#[test]
fn messages_arrive_whole_and_in_order() {
    sent_is_received(0, &[b"first", b"the second one"]);
}

#[test]
fn messages_arrive_whole_over_the_wrap() {
    // Sixteen bytes are left before 2⁶⁴: enough for neither message, so that one skip comes first.
    sent_is_received(16_u64.wrapping_neg(), &[b"longer than 8", b"2nd"]);
}

#[test]
fn an_old_message_is_not_taken_for_a_header() {
    loom::model(|| {
        let (mut producer, mut consumer) = halves(Heap::new(CAPACITY, 0), 0);
        // Fill the ring once with messages that look like headers.
        let decoy = MessageHeader::new(8, false).word().to_ne_bytes().repeat(2);
        for _ in 0..CAPACITY / 24 + 1 {
            put(&mut producer, &decoy);
            assert_eq!(poll(&mut consumer, 1).len(), 1);
        }
        let sender = thread::spawn(move || {
            put(&mut producer, b"new");
        });
        let mut received = poll(&mut consumer, 2);
        sender.join().expect("no panic");
        received.extend(poll(&mut consumer, 1));
        assert_eq!(received, [b"new"]);
    });
}

#[test]
fn a_batch_is_seen_in_order() {
    loom::model(|| {
        let (mut sending, receiving) = endpoints(0);
        let mut receiving = receiving;
        let sender = thread::spawn(move || {
            let sent = sending.send_batch([&b"a"[..], b"b"], Deadline::Never).expect("sent");
            assert_eq!(sent, 2);
        });
        let mut buffer = [0; 16];
        for expected in [b"a", b"b"] {
            let received = receiving.recv(&mut buffer, Deadline::Never).expect("received");
            assert_eq!(&buffer[..received.len], expected);
        }
        sender.join().expect("no panic");
    });
}

#[test]
fn a_sleeping_receiver_is_woken() {
    loom::model(|| {
        let (mut sending, mut receiving) = endpoints(0);
        let receiver = thread::spawn(move || {
            let mut buffer = [0; 16];
            let received = receiving.recv(&mut buffer, Deadline::Never).expect("received");
            assert_eq!(&buffer[..received.len], b"wake");
            receiving // kept, so that its end is not what the sender sees
        });
        sending.send(b"wake", Deadline::Never).expect("sent");
        receiver.join().expect("no panic");
    });
}

#[test]
fn a_sleeping_sender_is_woken() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3); // many steps: the ring must be filled and drained
    model.check(|| {
        let (mut sending, mut receiving) = endpoints(0);
        let longest = vec![7; longest_message(CAPACITY as u64)];
        let mut full = 0;
        while sending.send(&longest, Deadline::Now).is_ok() {
            full += 1;
        }
        let count = full + 1;
        let sender = thread::spawn(move || {
            sending.send(&[7; 16], Deadline::Never).expect("sent");
            sending
        });
        let mut buffer = [0; 16];
        for _ in 0..count {
            let received = receiving.recv(&mut buffer, Deadline::Never).expect("received");
            assert_eq!(buffer[..received.len], longest);
        }
        sender.join().expect("no panic");
    });
}

#[test]
fn a_synchronous_send_returns_after_the_message_was_taken() {
    loom::model(|| {
        let (mut sending, mut receiving) = endpoints(0);
        let receiver = thread::spawn(move || {
            let mut buffer = [0; 16];
            receiving.recv(&mut buffer, Deadline::Never).expect("received");
            receiving
        });
        sending.send_synchronous(b"sync", Deadline::Never).expect("taken");
        receiver.join().expect("no panic");
    });
}

#[test]
fn what_was_sent_before_the_end_is_received() {
    loom::model(|| {
        let (mut sending, mut receiving) = endpoints(0);
        let sender = thread::spawn(move || {
            sending.send(b"last", Deadline::Never).expect("sent");
        });
        let mut buffer = [0; 16];
        let received = receiving.recv(&mut buffer, Deadline::Never).expect("received");
        assert_eq!(&buffer[..received.len], b"last");
        let end = receiving.recv(&mut buffer, Deadline::Never).expect_err("the end");
        assert!(matches!(end, RecvError::PeerGone { .. }));
        sender.join().expect("no panic");
    });
}
