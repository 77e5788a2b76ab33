//! Loom models: every interleaving and every reordering that the memory model allows, of the code
//! that ships. `cargo xtask loom ipc-ring` runs them.
//!
//! Each path of the protocol, the model that takes it, and the outcomes that the model insists on:
//! each of them occurs, and no other.
//!
//! | path | model | outcomes |
//! |---|---|---|
//! | send, receive by copy | `messages_arrive_whole_and_in_order` | 0, 1 or 2 messages seen meanwhile |
//! | the rest of the ring is skipped; positions pass the ring's end, 2³², 2⁶⁴ | `messages_arrive_whole_over_the_wrap` | the same |
//! | the next header is cleared first | `an_old_message_is_not_taken_for_a_header` | 0 or 1 message |
//! | loan, shrink, commit; abort | `a_loan_arrives_as_it_was_shortened_and_a_dropped_one_not_at_all` | 0 or 1 message |
//! | batch sent | `a_batch_is_seen_together` | none of it or all |
//! | batch sent, for whose end there is no room | `a_batch_without_room_for_its_end_is_sent_in_part` | 1 or 2 messages sent |
//! | batch received | `a_batch_takes_what_is_there` | in two batches or in one |
//! | borrow, release; room is used again | `a_message_that_is_read_is_not_overwritten` | room or none |
//! | a long message in an empty ring is put at its beginning; the receiver settles what it owes | `a_long_message_may_be_put_at_the_beginning` | there, or behind the last one |
//! | empty → sleep → wake | `a_sleeping_receiver_is_woken` | slept or not |
//! | one ring of the bell for each sleep | `a_receiver_is_rung_for_once_for_each_sleep` | none to two rings |
//! | full → sleep → wake | `a_sleeping_sender_is_woken` | slept or not |
//! | the same, with a skip to come and room that the receiver owes | `a_sleeping_sender_is_woken_before_a_wrap` | slept or not |
//! | synchronous send | `a_synchronous_send_returns_after_the_message_was_taken` | slept or not |
//! | the same, and its deadline passes | `a_synchronous_send_that_times_out_says_what_became_of_the_message` | taken or not |
//! | the same, and the receiver goes | `a_synchronous_send_knows_what_was_taken_before_the_end` | taken or not |
//! | receiver armed, disarmed | `an_armed_receiver_is_woken` | ready at once or woken |
//! | sender armed, disarmed | `an_armed_sender_is_woken` | ready at once or woken |
//! | receive times out | `a_receive_that_times_out_loses_nothing` | timed out first, or not |
//! | send times out | `a_send_that_times_out_has_no_effect` | timed out or sent |
//! | hang-up heard by a receiver, last look | `what_was_sent_before_the_end_is_received` | slept or not |
//! | hang-up heard by an armed receiver | `an_armed_receiver_learns_of_the_end_after_the_last_message` | one |
//! | hang-up heard by a sender that waits | `a_sender_that_waits_learns_of_the_receivers_end` | slept |
//!
//! What has no model has no second party: what an endpoint makes of a peer's lies (the oracle
//! `hostile_peer`), a message too long or a buffer too small, the look for a dead receiver after many
//! sends. Values of a type and loans take the paths above.

mod ending;
mod messages;
mod sleeping;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::io;

use ipc_core::{Deadline, Resource, WaitStrategy};
use loom::sync::{Arc, Condvar, Mutex};

use crate::bell::{Bell, Heard};
use crate::endpoint::receiving::Receiving;
use crate::endpoint::sending::Sending;
use crate::protocol::consumer::Consumer;
use crate::protocol::heap::Heap;
use crate::protocol::memory::Memory;
use crate::protocol::producer::{Producer, Purpose, Sleeper};

/// The smallest ring with messages worth the name: sixteen words, messages of at most 16 bytes.
const CAPACITY: usize = 128;
/// The longest message, and so the one whose record is 24 bytes.
const LONGEST: [u8; 16] = [7; 16];

/// Runs a model in every interleaving. Insists on these outcomes, in their order: each occurs, and no
/// other.
fn outcomes<O: Ord + Debug + Send + 'static>(
    expected: &[O],
    model: impl Fn() -> O + Sync + Send + 'static,
) {
    outcomes_of(loom::model::Builder::new(), expected, model);
}

/// As [`outcomes`], for a model of many steps: all interleavings with at most three preemptions.
fn bounded_outcomes<O: Ord + Debug + Send + 'static>(
    expected: &[O],
    model: impl Fn() -> O + Sync + Send + 'static,
) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(builder.preemption_bound.map_or(3, |bound| bound.min(3)));
    outcomes_of(builder, expected, model);
}

fn outcomes_of<O: Ord + Debug + Send + 'static>(
    builder: loom::model::Builder,
    expected: &[O],
    model: impl Fn() -> O + Sync + Send + 'static,
) {
    // Not loom's: it lives through all runs of the model.
    let seen = std::sync::Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let record = seen.clone();
    builder.check(move || {
        let outcome = model();
        record.lock().expect("no panic while held").insert(outcome);
    });
    let seen = seen.lock().expect("no panic while held");
    assert!(seen.iter().eq(expected), "outcomes {seen:?}, not {expected:?}");
}

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
    rings: Cell<u32>,
    waits: Cell<u32>,
}

impl ModelBell {
    fn new(outgoing: &Arc<Pipe>, incoming: &Arc<Pipe>) -> Self {
        let (outgoing, incoming) = (outgoing.clone(), incoming.clone());
        Self { outgoing, incoming, rings: Cell::new(0), waits: Cell::new(0) }
    }

    /// Whether this end has ever slept.
    fn has_waited(&self) -> bool {
        self.waits.get() > 0
    }
}

impl Bell for ModelBell {
    fn ring(&self) {
        self.rings.set(self.rings.get() + 1);
        self.outgoing.update(|state| state.0 += 1);
    }

    fn wait(&self, deadline: Deadline) -> io::Result<Heard> {
        self.waits.set(self.waits.get() + 1);
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

type ModelSending = Sending<Heap, ModelBell>;
type ModelReceiving = Receiving<Heap, ModelBell>;

/// Two endpoints that always sleep, on a ring whose positions begin at `start`.
fn endpoints(start: u64) -> (ModelSending, ModelReceiving) {
    let (one, other) = (Arc::new(Pipe::default()), Arc::new(Pipe::default()));
    let (sender_bell, receiver_bell) = (ModelBell::new(&one, &other), ModelBell::new(&other, &one));
    let link = Resource::unnamed("model");
    let (producer, consumer) = halves(start);
    (
        Sending::new(producer, sender_bell, WaitStrategy::Park, link.clone()),
        Receiving::new(consumer, receiver_bell, WaitStrategy::Park, false, link),
    )
}

/// The two ends without waiting, likewise.
fn halves(start: u64) -> (Producer<Heap>, Consumer<Heap>) {
    let memory = Heap::new(CAPACITY, start);
    (Producer::new(memory.clone(), start, Sleeper::Fences), Consumer::new(memory, start))
}

/// Receives what is there, one message at most.
fn take(consumer: &mut Consumer<Heap>) -> Option<Vec<u8>> {
    let message = consumer.peek().expect("an honest peer")?;
    let mut bytes = vec![0; message.len()];
    consumer.memory().read(message.position, &mut bytes);
    consumer.release(message);
    Some(bytes)
}

/// Sends, if there is room. Tells where it put the message.
fn put(producer: &mut Producer<Heap>, message: &[u8]) -> Option<u64> {
    let claim = producer.claim(message.len(), Purpose::Copy).expect("an honest peer")?;
    producer.memory().write(claim.message_position(), message);
    let offset = claim.message_position();
    producer.commit(claim, message.len(), false);
    Some(offset)
}

/// Sends until there is no more room for `message`. Tells how many.
fn fill(sending: &mut ModelSending, message: &[u8]) -> usize {
    let mut sent = 0;
    while sending.send(message, Deadline::Now).is_ok() {
        sent += 1;
    }
    sent
}

/// Receives one message, waiting for it.
fn receive(receiving: &mut ModelReceiving) -> Vec<u8> {
    let mut buffer = [0; 16];
    let len = receiving.recv(&mut buffer, Deadline::Never).expect("received");
    buffer[..len].to_vec()
}
