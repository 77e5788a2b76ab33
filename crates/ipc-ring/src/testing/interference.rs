//! The oracle of a peer that is hostile **during** an operation: between any two looks of an endpoint at
//! shared memory it may change every word that the kernel lets it write, ring, fall silent, or die. The
//! endpoints are those that ship, over memory and bells that a script drives. Leaves out the handshake,
//! which is `oracle::hello`'s.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ipc_core::sync::{AtomicU64, Ordering};
use ipc_core::{Deadline, RecvError, Resource, SendError, WaitStrategy};

use crate::Batch;
use crate::bell::{Bell, Heard};
use crate::endpoint::receiving::Receiving;
use crate::endpoint::sending::Sending;
use crate::protocol::consumer::Consumer;
use crate::protocol::heap::Heap;
use crate::protocol::longest_message;
use crate::protocol::memory::Memory;
use crate::protocol::producer::{Producer, Purpose, Sleeper};

/// Looks at shared words that an operation which does not wait may take. Its loops are over messages
/// of a batch, of which there are [`MOST_MESSAGES`] here.
const MOST_LOOKS: u32 = 40 + 8 * MOST_MESSAGES as u32;
const MOST_MESSAGES: usize = 8;

/// What came of the operations of some scripts, to see how deep they reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Messages or batches that were sent, or received.
    pub done: u64,
    /// Full, or empty.
    pub nothing: u64,
    /// Deadlines that passed.
    pub timed_out: u64,
    /// Messages that were longer than the buffer.
    pub too_small: u64,
    /// Links that ended because the peer was gone.
    pub gone: u64,
    /// Links that ended because a violation was seen.
    pub violations: u64,
    /// Waits for the bell.
    pub waits: u64,
}

/// Plays a script with a receiver or a sender, as its first byte says, and adds up what came of it.
///
/// # Panics
///
/// If the endpoint panics, leaves its memory, loops for longer than the peer could justify, waits past
/// its deadline, or changes its mind about a link that has ended.
pub fn interference(script: &[u8], outcomes: &mut Outcomes) {
    let peer = Peer::new(script);
    let strategy = match peer.byte() % 3 {
        0 => WaitStrategy::Park,
        1 => WaitStrategy::Adaptive { spins: 70 },
        _ => WaitStrategy::Spin,
    };
    if peer.byte() % 2 == 0 {
        receive(&peer, strategy, outcomes);
    } else {
        send(&peer, strategy, outcomes);
    }
    outcomes.waits += peer.0.waits.get();
}

/// Where positions begin: at 0, or shortly before 2³² or 2⁶⁴.
fn start(peer: &Peer) -> u64 {
    let before = u64::from(peer.byte()) * 8;
    match peer.byte() % 3 {
        0 => 0,
        1 => (1_u64 << 32) - before,
        _ => before.wrapping_neg(),
    }
}

fn receive(peer: &Peer, strategy: WaitStrategy, outcomes: &mut Outcomes) {
    let (capacity, start) = (128 << (peer.byte() % 6), start(peer));
    let memory = Hostile { heap: Heap::new(capacity, start), peer: peer.clone(), sends: true };
    let consumer = Consumer::new(memory, start);
    let link = Resource::unnamed("ring");
    let mut receiving = Receiving::new(consumer, peer.clone(), strategy, false, link);
    let mut buffer = vec![0; capacity];
    let mut batch = Batch::new(MOST_MESSAGES, capacity);
    let mut end = None;
    while !peer.is_over() || end.is_none() {
        let deadline = peer.begin();
        let (len, kind) = (peer.number(2) as usize % (capacity + 1), peer.byte() % 8);
        let received = match kind {
            0..=3 => receiving
                .recv(&mut buffer[..len], deadline)
                .map(|received| assert!(received <= len)),
            4 => receiving.recv_batch(&mut batch, deadline).map(|count| {
                assert!(count > 0 && count == batch.len());
                assert!(batch.iter().map(<[u8]>::len).sum::<usize>() <= capacity);
            }),
            5 => receiving.recv_exactly(&mut buffer[..len % 64], deadline),
            6 => {
                let buffers = buffer.chunks_exact_mut(16).take(MOST_MESSAGES);
                receiving.recv_exactly_batch(buffers, deadline).map(|count| assert!(count > 0))
            }
            _ => {
                receiving.arm().expect("it takes no barrier");
                receiving.disarm();
                continue;
            }
        };
        peer.operation_ends();
        let now = match received {
            Ok(()) => {
                outcomes.done += 1;
                assert_ne!(end, Some(End::Violation), "a message after a violation");
                continue; // a hostile peer may send on when its bell is gone
            }
            Err(RecvError::Empty) => {
                outcomes.nothing += 1;
                None
            }
            Err(RecvError::TimedOut) => {
                outcomes.timed_out += 1;
                None
            }
            Err(RecvError::BufferTooSmall(small)) => {
                outcomes.too_small += 1;
                assert!(small.needed > small.len && small.needed < capacity);
                assert_ne!(end, Some(End::Violation));
                continue;
            }
            Err(RecvError::PeerGone { .. }) => Some(End::Gone),
            Err(RecvError::Violation(_)) => Some(End::Violation),
            Err(error) => panic!("an answer that cannot be: {error}"),
        };
        judge(&mut end, now, outcomes);
        if end == Some(End::Violation) {
            break;
        }
    }
}

fn send(peer: &Peer, strategy: WaitStrategy, outcomes: &mut Outcomes) {
    let (capacity, start) = (128 << (peer.byte() % 6), start(peer));
    let memory = Hostile { heap: Heap::new(capacity, start), peer: peer.clone(), sends: false };
    let sleepers = [Sleeper::Never, Sleeper::Bars, Sleeper::Fences, Sleeper::Fences];
    let producer = Producer::new(memory, start, sleepers[peer.byte() as usize % sleepers.len()]);
    let link = Resource::unnamed("ring");
    let mut sending = Sending::new(producer, peer.clone(), strategy, link);
    let bytes = vec![0x4d; capacity];
    let longest = longest_message(capacity as u64);
    let mut end = None;
    while !peer.is_over() || end.is_none() {
        let deadline = peer.begin();
        let len = peer.number(2) as usize % (longest + 2);
        let message = &bytes[..len];
        let sent = match peer.byte() % 8 {
            0..=3 => sending.send(message, deadline),
            4 => {
                let count = 1 + usize::from(peer.byte()) % MOST_MESSAGES;
                sending.send_batch(std::iter::repeat_n(message, count), deadline).map(|sent| {
                    assert!((1..=count).contains(&sent));
                })
            }
            5 => sending.send_synchronous(message, deadline),
            6 => sending.claim(len, Purpose::Loan, deadline).map(|claim| {
                sending.memory().write(claim.message_position(), message);
                sending.commit(claim, len / 2, false);
            }),
            _ => {
                sending.arm();
                sending.disarm();
                continue;
            }
        };
        peer.operation_ends();
        let now = match sent {
            Ok(()) => {
                outcomes.done += 1;
                assert_eq!(end, None, "sent when the link had ended");
                assert!(len <= longest);
                continue;
            }
            Err(SendError::Full | SendError::NotTaken) => {
                outcomes.nothing += 1;
                None
            }
            Err(SendError::TimedOut) => {
                outcomes.timed_out += 1;
                None
            }
            Err(SendError::TooLong(_)) if end.is_none() => {
                assert!(len > longest);
                outcomes.too_small += 1;
                continue;
            }
            Err(SendError::PeerGone { .. }) => Some(End::Gone),
            Err(SendError::Violation(_)) => Some(End::Violation),
            Err(error) => panic!("an answer that cannot be: {error}"),
        };
        let first = end.is_none();
        judge(&mut end, now, outcomes);
        if end.is_some() && !first {
            break;
        }
    }
}

/// How a link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Gone,
    Violation,
}

/// An end is for ever, but for a violation in what a sender that is gone has left.
#[track_caller]
fn judge(end: &mut Option<End>, now: Option<End>, outcomes: &mut Outcomes) {
    match (*end, now) {
        (None, None) => {}
        (None, Some(End::Gone)) => outcomes.gone += 1,
        (None | Some(End::Gone), Some(End::Violation)) => outcomes.violations += 1,
        (Some(before), Some(now)) => assert_eq!(before, now),
        (Some(End::Gone), None) | (Some(End::Violation), None) => panic!("it ended, and goes on"),
    }
    *end = now.or(*end);
}

/// The peer: what it does next, and what the endpoint has done to deserve an end.
#[derive(Clone, Debug)]
struct Peer(Rc<State>);

#[derive(Debug)]
struct State {
    script: RefCell<std::collections::VecDeque<u8>>,
    /// Since the operation began.
    looks: Cell<u32>,
    deadline: Cell<Deadline>,
    /// Waits since the deadline had passed.
    late_waits: Cell<u32>,
    waits: Cell<u64>,
    /// By the bell: for ever.
    is_gone: Cell<bool>,
}

impl Peer {
    fn new(script: &[u8]) -> Self {
        Self(Rc::new(State {
            script: RefCell::new(script.iter().copied().collect()),
            looks: Cell::new(0),
            deadline: Cell::new(Deadline::Never),
            late_waits: Cell::new(0),
            waits: Cell::new(0),
            is_gone: Cell::new(false),
        }))
    }

    fn is_over(&self) -> bool {
        self.0.script.borrow().is_empty()
    }

    /// Zeros when the script is used up.
    fn byte(&self) -> u8 {
        self.0.script.borrow_mut().pop_front().unwrap_or(0)
    }

    fn number(&self, bytes: usize) -> u64 {
        (0..bytes).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    /// Begins an operation, with this deadline: now, never, one that has passed when it waits, or one
    /// that does not come.
    fn begin(&self) -> Deadline {
        self.0.looks.set(0);
        self.0.late_waits.set(0);
        let deadline = match self.byte() % 4 {
            0 | 1 => Deadline::Now,
            2 => Deadline::Never,
            _ => Deadline::At(
                Instant::now() + Duration::from_secs(u64::from(self.byte() % 2) * 3600),
            ),
        };
        self.0.deadline.set(deadline);
        deadline
    }

    fn operation_ends(&self) {
        if self.0.deadline.get() == Deadline::Now {
            let looks = self.0.looks.get();
            assert!(looks <= MOST_LOOKS, "{looks} looks in an operation that does not wait");
        }
    }
}

impl Bell for Peer {
    fn ring(&self) {}

    fn wait(&self, deadline: Deadline) -> io::Result<Heard> {
        let state = &self.0;
        assert_ne!(deadline, Deadline::Now, "waits, and must not");
        state.waits.set(state.waits.get() + 1);
        let is_late = deadline.has_passed();
        if is_late {
            state.late_waits.set(state.late_waits.get() + 1);
            assert!(state.late_waits.get() <= 2, "waits on when its deadline has passed");
        }
        if self.is_over() || state.is_gone.get() || self.byte() % 16 == 0 {
            state.is_gone.set(true);
            return Ok(Heard::HangUp);
        }
        // One that rings all the time is heard before a deadline that has passed.
        if is_late && self.byte() % 4 == 0 { Ok(Heard::Silence) } else { Ok(Heard::Ring) }
    }

    fn is_hung_up(&mut self) -> bool {
        let state = &self.0;
        let is_gone = state.is_gone.get() || self.is_over() || self.byte() % 32 == 31;
        state.is_gone.set(is_gone);
        is_gone
    }

    fn quiet(&self) {}
}

/// Memory of which the peer writes its own part, between any two looks.
#[derive(Clone, Debug)]
struct Hostile {
    heap: Heap,
    peer: Peer,
    /// The peer is the sender: the ring is its own.
    sends: bool,
}

impl Hostile {
    /// The endpoint is about to look at a word of the peer's.
    fn interfere(&self, looked_at: &AtomicU64) {
        self.peer.0.looks.set(self.peer.0.looks.get() + 1);
        // Relaxed throughout: there is one thread.
        match self.peer.byte() % 16 {
            // The word that is looked at: whatever was seen before, this is seen now.
            0 => looked_at.store(self.peer.number(8), Ordering::Relaxed),
            1 if self.sends => {
                let kind = [0x4d_u64 << 24, 0x4d << 24 | 1, 0x57 << 24];
                let value = kind[usize::from(self.peer.byte()) % 3] << 32;
                looked_at.store(value | self.peer.number(1), Ordering::Relaxed);
            }
            2 if self.sends => looked_at.store(0, Ordering::Relaxed),
            3 if self.sends => {
                let kind = [0x4d_u64 << 56, 0x57 << 56][usize::from(self.peer.byte()) % 2];
                let offset = self.peer.number(2) * 8 % self.heap.capacity();
                let word = self.heap.word(offset);
                word.store(kind | (self.peer.number(2) % 300), Ordering::Relaxed);
            }
            1..=3 => {
                // A position a little further than the last one.
                let head = self.heap.head();
                let further = head.load(Ordering::Relaxed).wrapping_add(self.peer.number(1) * 8);
                head.store(further, Ordering::Relaxed);
            }
            4 if self.sends => {
                self.heap.sender_sleep().store(self.peer.number(1), Ordering::Relaxed)
            }
            4 => self.heap.receiver_sleep().store(self.peer.number(1), Ordering::Relaxed),
            _ => {}
        }
    }
}

impl Memory for Hostile {
    fn capacity(&self) -> u64 {
        self.heap.capacity()
    }

    fn word(&self, offset: u64) -> &AtomicU64 {
        let word = self.heap.word(offset);
        if self.sends {
            self.interfere(word);
        }
        word
    }

    fn write(&self, offset: u64, bytes: &[u8]) {
        assert!(!self.sends, "a receiver writes no message");
        self.heap.write(offset, bytes);
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) {
        assert!(self.sends, "a sender reads no message");
        self.heap.read(offset, buffer);
    }

    fn head(&self) -> &AtomicU64 {
        let head = self.heap.head();
        if !self.sends {
            self.interfere(head);
        }
        head
    }

    fn sender_sleep(&self) -> &AtomicU64 {
        let sleep = self.heap.sender_sleep();
        if self.sends {
            self.interfere(sleep);
        }
        sleep
    }

    fn receiver_sleep(&self) -> &AtomicU64 {
        let sleep = self.heap.receiver_sleep();
        if !self.sends {
            self.interfere(sleep);
        }
        sleep
    }
}
