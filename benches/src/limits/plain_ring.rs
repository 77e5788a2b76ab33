//! The textbook's ring (Lamport's, with cached indices) of variable-size records: what a message
//! through shared memory costs when nothing is checked and nobody can sleep or die. The limit of
//! every one-way figure, measured by the very loops that measure the mechanisms.
//!
//! A record is a length word and the message, padded to 8 bytes. Where it does not fit before the end
//! of the buffer, a mark in place of the length sends the reader to the start. The producer owns
//! `tail`, the consumer `head`; both only grow. Each keeps a copy of the other's and looks at the
//! shared one only when the copy says full or empty.
//!
//! ```text
//! offset 0    head: u64, on lines of its own
//!      128    tail: u64, on lines of its own
//!      256    records: capacity bytes, a power of two
//! ```
//!
//! It is no endpoint for anybody else: it believes its peer, spins for ever, and learns of no death.
//! `ipc-bench check-plain` compares it with `rtrb`, so that no mechanism shines beside a poor limit.

// A ring in memory mapped twice: raw copies, and atomics laid over the map.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use ipc_core::{
    Boundaries, Buffering, Capacity, Carrier, Count, Deadline, DeathNotice, Direction,
    Establishment, Lifetime, LinkProperties, MessageLength, Naming, OpenError, Order, Received,
    Receiver, RecvError, Resource, SendError, Sender, SenderIdentity, WhenFull,
};
use ipc_testing::{Invitation, Pending, Scope, Transport};

use crate::shared::SharedMemory;

/// Stands in place of a length: the next record is at the start of the buffer.
const WRAP: u64 = u64::MAX;
/// The length word before a message, in bytes.
const WORD: u64 = 8;

#[repr(C)]
struct Indices {
    head: CachePadded<AtomicU64>,
    tail: CachePadded<AtomicU64>,
}

/// What the two ends have in common: the memory, and how to find things in it.
#[derive(Debug)]
struct Ring {
    memory: Arc<SharedMemory>,
    records: NonNull<u8>,
    capacity: u64,
}

// SAFETY: the pointer leads into `memory`, which the ring keeps alive and which may be used from any
// thread; of the two ends, only the producer writes records and only the consumer reads them.
unsafe impl Send for Ring {}

impl Ring {
    fn over(memory: Arc<SharedMemory>) -> Self {
        let capacity = memory.len() - size_of::<Indices>();
        assert!(capacity.is_power_of_two(), "the capacity is a power of two");
        // SAFETY: the map is longer than the indices, by the subtraction above.
        let records = unsafe { memory.start().add(size_of::<Indices>()) };
        Self { memory, records, capacity: capacity as u64 }
    }

    fn indices(&self) -> &Indices {
        // SAFETY: the map starts with the indices, page-aligned, and zeros are valid; they are
        // atomics, so both ends may use them at once.
        unsafe { self.memory.start().cast::<Indices>().as_ref() }
    }

    /// Where a position is. Less than `capacity` bytes from the start of the records.
    fn at(&self, position: u64) -> NonNull<u8> {
        let offset = (position & (self.capacity - 1)) as usize;
        // SAFETY: the offset is below the capacity, and the records are that long.
        unsafe { self.records.add(offset) }
    }

    fn word_at(&self, position: u64) -> NonNull<u64> {
        self.at(position).cast()
    }

    /// The bytes from a position to the end of the buffer.
    fn room_to_end(&self, position: u64) -> u64 {
        self.capacity - (position & (self.capacity - 1))
    }
}

/// The room that a message takes: a length word, and itself padded to 8 bytes.
pub(crate) fn record_len(len: usize) -> u64 {
    WORD + (len as u64).next_multiple_of(WORD)
}

/// The sending end.
#[derive(Debug)]
pub struct PlainSender {
    ring: Ring,
    tail: u64,
    cached_head: u64,
}

/// The receiving end.
#[derive(Debug)]
pub struct PlainReceiver {
    ring: Ring,
    head: u64,
    cached_tail: u64,
}

impl PlainSender {
    /// Copies a message into the ring; tells whether there was room. It must not be longer than
    /// half the ring.
    #[inline]
    pub fn push(&mut self, message: &[u8]) -> bool {
        let Some(target) = self.claim(message.len()) else { return false };
        // SAFETY: the record fits before the end of the buffer, and the consumer does not read it
        // before `tail` says so; the message is not in the ring.
        unsafe { target.as_ptr().copy_from_nonoverlapping(message.as_ptr(), message.len()) };
        self.publish(message.len());
        true
    }

    /// Refuses what is longer than half the ring.
    #[inline]
    pub(super) fn check_len(&self, len: usize) -> Result<(), SendError> {
        let max = self.ring.capacity as usize / 2 - WORD as usize;
        if len > max {
            return Err(SendError::too_long(len, max, &Resource::unnamed(MECHANISM)));
        }
        Ok(())
    }

    /// Where the next message may be written, of up to `len` bytes; `None` if there is no room.
    #[inline(always)] // both halves of `push`
    pub(super) fn claim(&mut self, len: usize) -> Option<NonNull<u8>> {
        let len = record_len(len);
        let to_end = self.ring.room_to_end(self.tail);
        let needed = if len <= to_end { len } else { to_end + len };
        if self.tail + needed - self.cached_head > self.ring.capacity {
            // Pairs with the Release in `release`: what is overwritten below has been read.
            self.cached_head = self.ring.indices().head.load(Ordering::Acquire);
            if self.tail + needed - self.cached_head > self.ring.capacity {
                return None;
            }
        }
        if len > to_end {
            // SAFETY: positions are multiples of 8, so the word fits; the room is ours.
            unsafe { self.ring.word_at(self.tail).write(WRAP) };
            self.tail += to_end;
        }
        Some(self.ring.at(self.tail + WORD))
    }

    /// Makes what was written into the claim visible, of `len` bytes.
    #[inline(always)]
    pub(super) fn publish(&mut self, len: usize) {
        // SAFETY: the claim begins with this word.
        unsafe { self.ring.word_at(self.tail).write(len as u64) };
        self.tail += record_len(len);
        // Pairs with the Acquire in `peek`: who sees the tail sees the record.
        self.ring.indices().tail.store(self.tail, Ordering::Release);
    }
}

impl PlainReceiver {
    /// Copies the next message out of the ring; `None` if there is none.
    ///
    /// # Panics
    ///
    /// If the buffer is too small: the one check, so that this function is safe.
    #[inline]
    pub fn pop(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let (source, len) = self.peek()?;
        let target = buffer[..len].as_mut_ptr();
        // SAFETY: the record is whole in the buffer, the producer leaves it alone until `head` is
        // past it, and the target is long enough by the slicing above.
        unsafe { target.copy_from_nonoverlapping(source.as_ptr(), len) };
        self.release(len);
        Some(len)
    }

    /// Where the next message is, and its length; `None` if there is none.
    #[inline(always)] // both halves of `pop`
    pub(super) fn peek(&mut self) -> Option<(NonNull<u8>, usize)> {
        if self.head == self.cached_tail {
            // Pairs with the Release in `publish`.
            self.cached_tail = self.ring.indices().tail.load(Ordering::Acquire);
            if self.head == self.cached_tail {
                return None;
            }
        }
        // SAFETY: the tail is beyond the head, so the producer has written this word.
        let mut word = unsafe { self.ring.word_at(self.head).read() };
        if word == WRAP {
            self.head += self.ring.room_to_end(self.head);
            // SAFETY: the producer published the mark together with the record after it.
            word = unsafe { self.ring.word_at(self.head).read() };
        }
        Some((self.ring.at(self.head + WORD), word as usize))
    }

    /// Gives back the room of the message that [`peek`](Self::peek) found, of `len` bytes.
    #[inline(always)]
    pub(super) fn release(&mut self, len: usize) {
        self.head += record_len(len);
        // Pairs with the Acquire in `claim`: who sees the head may overwrite what was read.
        self.ring.indices().head.store(self.head, Ordering::Release);
    }
}

impl Sender for PlainSender {
    #[inline]
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        self.check_len(message.len())?;
        while !self.push(message) {
            // The clock is not read while there is no end to the patience.
            if deadline != Deadline::Never && deadline.has_passed() {
                return Err(SendError::no_room(deadline));
            }
            std::hint::spin_loop();
        }
        Ok(())
    }

    fn properties(&self) -> LinkProperties {
        properties(self.ring.capacity)
    }
}

impl Receiver for PlainReceiver {
    #[inline]
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        loop {
            if let Some(len) = self.pop(buffer) {
                return Ok(Received::of_len(len));
            }
            if deadline != Deadline::Never && deadline.has_passed() {
                return Err(RecvError::no_message(deadline));
            }
            // One pause between two looks: without, the look takes the line away from a producer
            // that is about to write it, and a round trip takes a quarter longer.
            std::hint::spin_loop();
        }
    }

    fn properties(&self) -> LinkProperties {
        properties(self.ring.capacity)
    }
}

const MECHANISM: &str = "plain ring";

fn properties(capacity: u64) -> LinkProperties {
    let capacity = capacity as usize;
    LinkProperties {
        mechanism: MECHANISM,
        establishment: Establishment::Inheritance,
        naming: Naming::Indirect,
        senders: Count::One,
        receivers: Count::One,
        links_per_pair: Count::Many,
        capacity: Capacity::Bytes(capacity),
        message_length: MessageLength::up_to(capacity / 2 - WORD as usize),
        direction: Direction::OneWay,
        carrier: Carrier::SharedMemory,
        buffering: Buffering::Automatic,
        boundaries: Boundaries::Kept,
        lifetime: Lifetime::Endpoints,
        when_full: WhenFull::Waits,
        lossy: false,
        order: Order::Fifo,
        priorities: None,
        death_notice: DeathNotice::None,
        accepted_survives_sender: true,
        sender_identity: SenderIdentity::Unknown,
        synchronous_send: false,
        waitable: false,
    }
}

/// Plain rings of `capacity_bytes`, a power of two.
#[derive(Clone, Copy, Debug)]
pub struct PlainRing {
    /// Room for records, in bytes.
    pub capacity_bytes: usize,
}

impl PlainRing {
    /// A ring between two threads of this process.
    ///
    /// # Errors
    ///
    /// Those of [`SharedMemory::create`].
    pub fn between_threads(self) -> std::io::Result<(PlainSender, PlainReceiver)> {
        let (memory, _descriptor) = SharedMemory::create(self.memory_len())?;
        let memory = Arc::new(memory);
        Ok((sender(Ring::over(Arc::clone(&memory))), receiver(Ring::over(memory))))
    }

    fn memory_len(self) -> usize {
        size_of::<Indices>() + self.capacity_bytes
    }

    fn invite<E: 'static>(self, end: fn(Ring) -> E) -> Result<(Invitation, Pending<E>), OpenError> {
        let (memory, descriptor) =
            SharedMemory::create(self.memory_len()).map_err(|error| cannot("create", error))?;
        let end = end(Ring::over(Arc::new(memory)));
        Ok((Invitation::of_descriptors(vec![descriptor]), Pending::ready(end)))
    }
}

fn sender(ring: Ring) -> PlainSender {
    PlainSender { ring, tail: 0, cached_head: 0 }
}

fn receiver(ring: Ring) -> PlainReceiver {
    PlainReceiver { ring, head: 0, cached_tail: 0 }
}

fn join(invitation: &Invitation) -> Result<Ring, OpenError> {
    let descriptor = invitation.descriptors.first();
    let missing = || std::io::Error::other("the invitation has no descriptor");
    let memory = descriptor.ok_or_else(missing).and_then(SharedMemory::map);
    memory.map(|memory| Ring::over(Arc::new(memory))).map_err(|error| cannot("join", error))
}

fn cannot(operation: &'static str, error: std::io::Error) -> OpenError {
    OpenError::from_os(operation, &Resource::unnamed(MECHANISM), error)
}

impl Transport for PlainRing {
    type Sender = PlainSender;
    type Receiver = PlainReceiver;

    fn name(&self) -> &'static str {
        "plain-ring"
    }

    fn invite_receiver(
        &self,
        _scope: &Scope,
    ) -> Result<(Invitation, Pending<PlainSender>), OpenError> {
        self.invite(sender)
    }

    fn invite_sender(
        &self,
        _scope: &Scope,
    ) -> Result<(Invitation, Pending<PlainReceiver>), OpenError> {
        self.invite(receiver)
    }

    fn join_as_receiver(&self, invitation: Invitation) -> Result<PlainReceiver, OpenError> {
        join(&invitation).map(receiver)
    }

    fn join_as_sender(&self, invitation: Invitation) -> Result<PlainSender, OpenError> {
        join(&invitation).map(sender)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::pattern;

    #[test]
    fn messages_of_all_lengths_pass_in_order_and_whole() {
        let (mut sender, mut receiver) =
            PlainRing { capacity_bytes: 256 }.between_threads().expect("memory");
        let lens = || (0..2_000u64).map(|number| (number, 8 + (number % 113) as usize));
        let receiving = std::thread::spawn(move || {
            let mut buffer = vec![0; 128];
            for (number, len) in lens() {
                let received = receiver.recv(&mut buffer).expect("spins for ever").len;
                pattern::check(&buffer[..received], number, len).expect("as it was sent");
            }
        });
        for (number, len) in lens() {
            let mut message = vec![0; len];
            pattern::fill(&mut message, number);
            sender.send(&message).expect("fits half the ring");
        }
        receiving.join().expect("all came");
    }

    #[test]
    fn a_full_ring_refuses_and_an_empty_one_has_nothing() {
        let (mut sender, mut receiver) =
            PlainRing { capacity_bytes: 64 }.between_threads().expect("memory");
        assert!(matches!(receiver.try_recv(&mut [0; 8]), Err(RecvError::Empty)));
        for _ in 0..4 {
            sender.try_send(&[7; 8]).expect("16 of 64 bytes each");
        }
        assert!(matches!(sender.try_send(&[7; 8]), Err(SendError::Full)));
        let refused = sender.try_send(&[7; 30]);
        assert!(matches!(refused, Err(SendError::TooLong(e)) if e.max == 24));
        assert_eq!(receiver.try_recv(&mut [0; 8]).expect("there are four").len, 8);
        sender.try_send(&[7; 8]).expect("there is room again");
    }
}
