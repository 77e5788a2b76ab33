//! The bare stream: what the hardware itself takes to carry records of one length from one core to the
//! other. What to compare a stream with whose messages are copied in and out.
//!
//! Records lie one behind the other, and begin again after the last that fits. Each is a word that says
//! which record this is, and the payload:
//!
//! ```text
//! offset 0    how far the receiver is, and three words to arrange a stream: each on lines of its own
//!      512    records: 8 + size bytes each, rounded up to 8
//! ```
//!
//! The sender stores the payload out of a register, then the first word. The receiver waits for the first
//! word and loads the whole payload. It tells how far it is once for each eighth of the memory.
//!
//! It is taken for a bound because it leaves out all that a link must do beside: no message is copied out of
//! private memory or into it, there are no lengths, nothing is checked of a peer that may lie, nobody can
//! sleep, and nobody's death is noticed. What remains is done by whoever carries records of this size:
//! the lines travel to the receiver and come back to be written again. Whether it is better to ask for
//! those lines ahead, as our ring's ends do, depends on the machine: both are measured, and the better counts.
//! Not of records longer than [`LONGEST_BYTES`]: there the way of copying decides, and the textbook's ring
//! was at times faster than this.

// Lays atomics over a map, stores payloads as plain words, and asks for lines by assembly.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::ensure;
use crossbeam_utils::CachePadded;

use crate::clock::monotonic_ns;
use crate::report::summary::median;
use crate::shared::{Board, SharedMemory};

/// The longest payload that is measured.
pub const LONGEST_BYTES: usize = 1024;
/// Up to this many words a payload is stored word by word: 128 bytes. The stores of longer ones would be
/// the bound, so those are as wide as the compiler makes them.
const MOST_SINGLE_WORDS: usize = 16;
/// How far ahead of a record its sender asks for lines, as our ring's does.
const SENDER_AHEAD_BYTES: usize = 12 * LINE_BYTES;
/// The same of its receiver.
const RECEIVER_AHEAD_BYTES: usize = 40 * LINE_BYTES;
const LINE_BYTES: usize = 64;
const WORD_BYTES: usize = 8;
/// How often a receiver that has found nothing pauses before it looks again: else it would take the line
/// away from a sender that is writing it.
const PAUSES: u32 = 64;
/// Streams of each kind that a figure comes from.
const BLOCKS: usize = 7;

#[repr(C)]
#[derive(Debug)]
struct Control {
    /// How many records have been read. Written by the receiver.
    read: CachePadded<AtomicU64>,
    /// How many records the stream has that begins; 0 ends them all. Written by the sender.
    count: CachePadded<AtomicU64>,
    /// Whether the ends of that stream ask for lines ahead: 0 or 1. Written by the sender.
    asks_ahead: CachePadded<AtomicU64>,
    /// `CLOCK_MONOTONIC` when the last record was read, in nanoseconds. Written by the receiver.
    ended_ns: CachePadded<AtomicU64>,
}

/// The memory, and how records lie in it.
#[derive(Debug)]
struct Records {
    memory: SharedMemory,
    payload_words: usize,
}

impl Records {
    fn over(memory: SharedMemory, size_bytes: usize) -> Self {
        let records = Self { memory, payload_words: size_bytes.div_ceil(WORD_BYTES) };
        assert!(records.per_lap() > 0, "not even one record of {size_bytes} B fits");
        records
    }

    fn control(&self) -> &Control {
        // SAFETY: the map is page-aligned and longer than this (`words`), and zeros are valid; these are
        // atomics, so both ends may use them at once.
        unsafe { self.memory.start().cast::<Control>().as_ref() }
    }

    /// The words of all records.
    fn words(&self) -> &[AtomicU64] {
        let bytes =
            self.memory.len().checked_sub(size_of::<Control>()).expect("made with room for it");
        // SAFETY: the map is longer than the control words, by the subtraction above.
        let start = unsafe { self.memory.start().add(size_of::<Control>()) };
        // SAFETY: so many bytes are left of the map, which lives as long as `self`; they are aligned, as
        // the control words are a multiple of a line, and any bits are a valid word.
        unsafe { slice::from_raw_parts(start.cast().as_ptr(), bytes / WORD_BYTES) }
    }

    /// How many records fit.
    fn per_lap(&self) -> u64 {
        (self.words().len() / (1 + self.payload_words)) as u64
    }

    /// The places of these records as far as they lie one behind the other, and the number after them.
    fn straight(&self, first: u64, end: u64) -> (&[AtomicU64], u64) {
        let (per_lap, record_words) = (self.per_lap(), 1 + self.payload_words);
        let place = first % per_lap;
        let until = end.min(first - place + per_lap);
        let start = place as usize * record_words;
        (&self.words()[start..start + (until - first) as usize * record_words], until)
    }
}

/// What the first word of a record says, and every word of its payload: its number, never 0.
fn mark(number: u64) -> u64 {
    number + 1
}

/// How the words of a payload are stored and loaded. A type, so that the loops are compiled for it.
trait Payload: Copy {
    fn words(self) -> usize;

    /// Stores this value in each word. The record must be the sender's.
    fn store(self, payload: &[AtomicU64], value: u64);

    /// Loads each word; returns their sum. The record must be the receiver's.
    fn sum(self, payload: &[AtomicU64]) -> u64;
}

/// So many words, one by one; the compiler knows how many.
#[derive(Clone, Copy)]
struct Exactly<const WORDS: usize>;

/// Some words, one by one.
#[derive(Clone, Copy)]
struct Few(usize);

/// Many words, several at once.
#[derive(Clone, Copy)]
struct Many(usize);

impl<const WORDS: usize> Payload for Exactly<WORDS> {
    #[inline(always)] // so that the loops know that it is a constant
    fn words(self) -> usize {
        WORDS
    }

    #[inline(always)] // the body of a loop of a few nanoseconds
    fn store(self, payload: &[AtomicU64], value: u64) {
        Few(WORDS).store(payload, value);
    }

    #[inline(always)] // as above
    fn sum(self, payload: &[AtomicU64]) -> u64 {
        Few(WORDS).sum(payload)
    }
}

impl Payload for Few {
    #[inline(always)] // as above
    fn words(self) -> usize {
        self.0
    }

    #[inline(always)] // as above
    fn store(self, payload: &[AtomicU64], value: u64) {
        // Relaxed: the Release store of the first word comes after.
        payload.iter().for_each(|word| word.store(value, Ordering::Relaxed));
    }

    #[inline(always)] // as above
    fn sum(self, payload: &[AtomicU64]) -> u64 {
        // Relaxed: the Acquire load of the first word came before.
        payload.iter().fold(0, |sum, word| sum.wrapping_add(word.load(Ordering::Relaxed)))
    }
}

impl Payload for Many {
    #[inline(always)] // as above
    fn words(self) -> usize {
        self.0
    }

    #[inline(always)] // as above
    fn store(self, payload: &[AtomicU64], value: u64) {
        let start = payload.as_ptr().cast_mut().cast::<u64>();
        // SAFETY: these are the words of `payload`, which as atomics may be written; the receiver does
        // not look at them before the first word of the record has been stored.
        unsafe { slice::from_raw_parts_mut(start, payload.len()) }.fill(value);
    }

    #[inline(always)] // as above
    fn sum(self, payload: &[AtomicU64]) -> u64 {
        // SAFETY: these are the words of `payload`; the sender leaves them alone until it is told that
        // they have been read.
        let words = unsafe { slice::from_raw_parts(payload.as_ptr().cast::<u64>(), payload.len()) };
        words.iter().fold(0, |sum, word| sum.wrapping_add(*word))
    }
}

/// Does something with the kind of payload that has so many words.
macro_rules! with_payload {
    ($words:expr, $payload:ident => $body:expr) => {
        match $words {
            1 => {
                let $payload = Exactly::<1>;
                $body
            }
            2 => {
                let $payload = Exactly::<2>;
                $body
            }
            4 => {
                let $payload = Exactly::<4>;
                $body
            }
            8 => {
                let $payload = Exactly::<8>;
                $body
            }
            16 => {
                let $payload = Exactly::<16>;
                $body
            }
            words if words <= MOST_SINGLE_WORDS => {
                let $payload = Few(words);
                $body
            }
            words => {
                let $payload = Many(words);
                $body
            }
        }
    };
}

/// The sending end: the host's, who holds the clock.
#[derive(Debug)]
pub struct Sender {
    records: Records,
    /// The number of the next record.
    next: u64,
    /// How many had been read when this was last looked at.
    read: u64,
}

impl Sender {
    /// New memory for records with payloads of this size, and the descriptor for the receiver.
    ///
    /// # Errors
    ///
    /// Those of [`SharedMemory::create`].
    pub fn create(capacity_bytes: usize, size_bytes: usize) -> io::Result<(Self, OwnedFd)> {
        let (memory, descriptor) = SharedMemory::create(size_of::<Control>() + capacity_bytes)?;
        let records = Records::over(memory, size_bytes);
        Ok((Self { records, next: 0, read: 0 }, descriptor))
    }

    /// The time of a stream by its records, in nanoseconds: with lines asked for ahead or not, whichever
    /// is faster, each the median of some streams, which take `budget` in all.
    pub fn oneway_ns(&mut self, board: &Board, budget: Duration) -> f64 {
        let lap = self.records.per_lap();
        // The first lap touches every page, on both sides; the second tells how many records to send.
        self.stream(board, lap, true);
        let ns = self.stream(board, lap, true);
        let fill = budget.as_nanos() as f64 / (2 * BLOCKS) as f64 / ns.max(0.1);
        let count = (fill as u64).max(lap / 8).max(8);
        let mut streams_ns = [const { Vec::new() }; 2];
        for _ in 0..BLOCKS {
            for asks_ahead in [false, true] {
                let ns = self.stream(board, count, asks_ahead);
                streams_ns[usize::from(asks_ahead)].push(ns);
            }
        }
        let [without, with] = streams_ns.map(|all| median(all).expect("there are some"));
        without.min(with)
    }

    /// Tells the receiver that there are no more streams.
    pub fn finish(self, board: &Board) {
        self.records.control().count.store(0, Ordering::Relaxed); // the rendezvous publishes it
        board.rendezvous();
    }

    /// Sends so many records; returns the time of one in nanoseconds, from the rendezvous until the
    /// receiver has the last.
    fn stream(&mut self, board: &Board, count: u64, asks_ahead: bool) -> f64 {
        let control = self.records.control();
        control.asks_ahead.store(u64::from(asks_ahead), Ordering::Relaxed); // as the count, below
        with_payload!(self.records.payload_words, payload => match asks_ahead {
            true => self.stream_of::<_, true>(payload, board, count),
            false => self.stream_of::<_, false>(payload, board, count),
        })
    }

    fn stream_of<P: Payload, const ASKS: bool>(
        &mut self,
        payload: P,
        board: &Board,
        count: u64,
    ) -> f64 {
        self.records.control().count.store(count, Ordering::Relaxed); // the rendezvous publishes it
        board.rendezvous();
        let began_ns = monotonic_ns();
        self.send::<P, ASKS>(payload, count);
        board.rendezvous();
        // Relaxed: it was written before the rendezvous.
        let ended_ns = self.records.control().ended_ns.load(Ordering::Relaxed);
        ended_ns.saturating_sub(began_ns) as f64 / count as f64
    }

    #[inline(never)] // a loop of its own, whatever surrounds it
    fn send<P: Payload, const ASKS: bool>(&mut self, payload: P, count: u64) {
        let (records, control) = (&self.records, self.records.control());
        let (per_lap, end) = (records.per_lap(), self.next + count);
        let (mut number, mut read) = (self.next, self.read);
        let record_bytes = (1 + payload.words()) * WORD_BYTES;
        while number < end {
            let (places, until) = records.straight(number, end);
            for (place, number) in places.chunks_exact(1 + payload.words()).zip(number..until) {
                while number - read >= per_lap {
                    std::hint::spin_loop();
                    // Pairs with the Release in `receive`: what is overwritten below has been read.
                    read = control.read.load(Ordering::Acquire);
                }
                if ASKS {
                    // Those of one record, in front of those that were asked for before.
                    for line in 0..(record_bytes - WORD_BYTES).div_ceil(LINE_BYTES) {
                        let ahead = record_bytes + SENDER_AHEAD_BYTES + line * LINE_BYTES;
                        ask_for::<_, true>(place.as_ptr().wrapping_byte_add(ahead));
                    }
                }
                payload.store(&place[1..], mark(number));
                // Pairs with the Acquire in `receive`: who sees the mark sees the payload.
                place[0].store(mark(number), Ordering::Release);
            }
            number = until;
        }
        (self.next, self.read) = (number, read);
    }
}

/// The receiving end: the guest's.
#[derive(Debug)]
pub struct Receiver {
    records: Records,
    /// The number of the next record.
    next: u64,
}

impl Receiver {
    /// The memory behind the sender's descriptor, for payloads of the same size.
    ///
    /// # Errors
    ///
    /// Those of [`SharedMemory::map`].
    pub fn join(descriptor: impl AsFd, size_bytes: usize) -> io::Result<Self> {
        Ok(Self { records: Records::over(SharedMemory::map(descriptor)?, size_bytes), next: 0 })
    }

    /// Takes part in the sender's streams, until there are no more.
    ///
    /// # Errors
    ///
    /// If a payload was not that of its record.
    pub fn serve(mut self, board: &Board) -> anyhow::Result<()> {
        loop {
            board.rendezvous();
            let control = self.records.control();
            let count = control.count.load(Ordering::Relaxed); // written before the rendezvous
            if count == 0 {
                return Ok(());
            }
            let first = self.next;
            let words = self.records.payload_words;
            let asks_ahead = control.asks_ahead.load(Ordering::Relaxed) != 0; // as the count
            let sum = with_payload!(words, payload => match asks_ahead {
                true => self.receive::<_, true>(payload, count),
                false => self.receive::<_, false>(payload, count),
            });
            // Relaxed: the rendezvous publishes it.
            self.records.control().ended_ns.store(monotonic_ns(), Ordering::Relaxed);
            board.rendezvous();
            let expected = expected_sum(words, first, count);
            ensure!(sum == expected, "records {first} to {} came corrupted", self.next);
        }
    }

    /// Receives so many records; returns the sum of all words of their payloads.
    #[inline(never)] // as in `send`
    fn receive<P: Payload, const ASKS: bool>(&mut self, payload: P, count: u64) -> u64 {
        let (records, control) = (&self.records, self.records.control());
        let record_bytes = (1 + payload.words()) * WORD_BYTES;
        let end = self.next + count;
        let eighth = (records.per_lap() / 8).max(1);
        let (mut number, mut told, mut sum) = (self.next, self.next, 0_u64);
        while number < end {
            let (places, until) = records.straight(number, end);
            for (place, number) in places.chunks_exact(1 + payload.words()).zip(number..until) {
                // Acquire, here and below: pairs with the Release in `send`.
                if place[0].load(Ordering::Acquire) != mark(number) {
                    (0..PAUSES).for_each(|_| std::hint::spin_loop());
                    while place[0].load(Ordering::Acquire) != mark(number) {
                        std::hint::spin_loop();
                    }
                }
                if ASKS {
                    for line in 0..(record_bytes / LINE_BYTES).max(1) {
                        let ahead = RECEIVER_AHEAD_BYTES + line * LINE_BYTES;
                        ask_for::<_, false>(place.as_ptr().wrapping_byte_add(ahead));
                    }
                }
                sum = sum.wrapping_add(payload.sum(&place[1..]));
                if number + 1 - told >= eighth {
                    told = number + 1;
                    // Pairs with the Acquire in `send`: the records before it may be overwritten.
                    control.read.store(told, Ordering::Release);
                }
            }
            number = until;
        }
        control.read.store(number, Ordering::Release); // as above
        self.next = number;
        sum
    }
}

/// The sum of all words of these records.
fn expected_sum(payload_words: usize, first: u64, count: u64) -> u64 {
    let pairs = u128::from(count) * (u128::from(mark(first)) + u128::from(first + count));
    (pairs / 2 * payload_words as u128) as u64
}

/// Begins to bring a line here, to be written to or to be read. A hint, at whatever address: it cannot fault.
/// Nothing where there is no such instruction.
#[inline(always)] // one instruction
fn ask_for<T, const TO_WRITE: bool>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    if TO_WRITE {
        // SAFETY: it reads and writes nothing, whatever the address.
        unsafe {
            std::arch::asm!("prefetchw [{at}]", at = in(reg) at, options(nostack, preserves_flags));
        }
    } else {
        // SAFETY: as above.
        unsafe {
            std::arch::asm!("prefetcht0 [{at}]", at = in(reg) at, options(nostack, preserves_flags));
        }
    }
    #[cfg(target_arch = "aarch64")]
    if TO_WRITE {
        // SAFETY: as above.
        unsafe {
            std::arch::asm!("prfm pstl1keep, [{at}]", at = in(reg) at, options(nostack, preserves_flags));
        }
    } else {
        // SAFETY: as above.
        unsafe {
            std::arch::asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(nostack, preserves_flags));
        }
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = at;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sender, its board, and a thread that receives.
    fn pair(
        capacity_bytes: usize,
        size_bytes: usize,
    ) -> (Sender, Board, std::thread::JoinHandle<anyhow::Result<()>>) {
        let (sender, descriptor) = Sender::create(capacity_bytes, size_bytes).expect("memory");
        let receiver = Receiver::join(descriptor, size_bytes).expect("the same memory");
        let (board, _descriptor) = Board::create().expect("shared memory");
        let guests = board.other_side();
        (sender, board, std::thread::spawn(move || receiver.serve(&guests)))
    }

    #[test]
    fn records_of_every_size_arrive_in_order_and_take_time() {
        for size_bytes in [8, 13, 16, 24, 32, 64, 128, 129, 1000, LONGEST_BYTES] {
            let (mut sender, board, receiving) = pair(64 << 10, size_bytes);
            let ns = sender.oneway_ns(&board, Duration::from_micros(500));
            let (sent, per_lap) = (sender.next, sender.records.per_lap());
            let read = sender.records.control().read.load(Ordering::Acquire);
            sender.finish(&board);
            receiving.join().expect("no panic").expect("whole and in order");
            assert_eq!(read, sent, "{size_bytes} B");
            assert!(sent > 3 * per_lap, "round and round: {sent} records of {size_bytes} B");
            assert!(ns > 0.1 && ns.is_finite(), "{ns} ns for {size_bytes} B");
        }
    }

    #[test]
    fn a_sender_in_a_memory_of_one_record_waits_for_each_to_be_read() {
        let (mut sender, board, receiving) = pair(16, 8);
        assert_eq!(sender.records.per_lap(), 1);
        for asks_ahead in [false, true] {
            sender.stream(&board, 100, asks_ahead);
        }
        sender.finish(&board);
        receiving.join().expect("no panic").expect("whole and in order");
    }

    #[test]
    fn one_word_of_an_earlier_lap_is_noticed() {
        /// Leaves one word of record 100 as it was.
        #[derive(Clone, Copy)]
        struct Stale;
        impl Payload for Stale {
            fn words(self) -> usize {
                8
            }
            fn store(self, payload: &[AtomicU64], value: u64) {
                let stored = if value == mark(100) { &payload[1..] } else { payload };
                Exactly::<8>.store(stored, value);
            }
            fn sum(self, payload: &[AtomicU64]) -> u64 {
                Exactly::<8>.sum(payload)
            }
        }
        let (mut sender, board, receiving) = pair(720, 64);
        sender.stream_of::<_, false>(Stale, &board, 90);
        sender.stream_of::<_, false>(Stale, &board, 20);
        let error = receiving.join().expect("no panic").expect_err("a word is stale");
        assert_eq!(error.to_string(), "records 90 to 110 came corrupted");
    }

    #[test]
    fn the_expected_sum_is_that_of_all_words() {
        let words = (5..12).map(|number| 3 * mark(number)).sum::<u64>();
        assert_eq!(expected_sum(3, 5, 7), words);
    }
}
