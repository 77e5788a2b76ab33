//! What the messages of a run say, and how closely what came is looked at.
//!
//! Every byte of every message is written by its sender, carried, and copied out by its receiver. But
//! writing 64 bytes anew and comparing 64 bytes takes longer than a ring needs to carry them, and a
//! receiver that is slowed like that never meets the sender on its heels, as a real one does: a stream
//! timed with all that in it measures the checker. So a link is measured in two kinds of run, in this
//! order, over the same link with the same calls:
//!
//! * **[`Scrutiny::Whole`]**, not timed: each message is written anew ([`Fresh`]) and every byte of it
//!   compared ([`Whole`]). No two messages share a word, so a byte that is stale, missing or in a wrong
//!   place is found. In shared memory the run goes through all of the link's memory, both ways.
//! * **[`Scrutiny::Spots`]**, timed: the sender sends from a small stock of messages that were written
//!   beforehand ([`Prepared`]) and writes only the number of each; the receiver looks at the length and
//!   three words ([`Spots`]): the number, the last word, and one at a place that depends on the number,
//!   so that each place is looked at in turn. Every message's loss, repetition, disorder or truncation is
//!   seen, and stale or torn bytes soon are. The last message of the run is compared in full, after the
//!   clock was read.
//!
//! The messages of the stock differ from each other in every word, and their count has the factor three:
//! so what was left in a place of a ring by an earlier lap, which is a power of two of messages away,
//! is not what belongs there. A number is written when the message before it *at its place in the stock*
//! has been sent, long before it is copied: a copy that reads in wider pieces than the number would else
//! wait for it, which would punish some copies and not others. The stock of short messages fits the
//! first cache, as what a program has just made does.
//!
//! What is left in the loop, some instructions on each side, is measured ([`own_work_ns`]) and shown
//! beside the limits, for whoever wants to subtract it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::pattern::{self, Corrupt};

/// How closely the messages of a run are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scrutiny {
    /// All bytes are written anew and compared: to be sure.
    Whole,
    /// A number is written, and three words are compared: to be timed.
    Spots,
}

/// Room for one message, at the start of a cache line.
#[derive(Clone, Debug)]
pub struct Message {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Message {
    /// Of `len` bytes, whose pages have been touched.
    pub fn new(len: usize) -> Self {
        const LINE: usize = 64;
        let mut bytes = vec![0; len + LINE];
        pattern::fill(&mut bytes, 0);
        let start = bytes.as_ptr().align_offset(LINE).min(LINE);
        Self { bytes, start, len }
    }
}

impl AsRef<[u8]> for Message {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.start..][..self.len]
    }
}

impl AsMut<[u8]> for Message {
    #[inline]
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.len]
    }
}

/// What one side of a link sends from and receives into.
#[derive(Debug)]
pub struct Messages {
    /// The stock of messages to send.
    pub stock: Stock,
    /// What was received.
    pub incoming: Message,
}

impl Messages {
    /// For messages of `len` bytes, of which a call sends up to `at_once`.
    pub fn new(len: usize, at_once: usize) -> Self {
        Self { stock: Stock::new(len, at_once), incoming: Message::new(len) }
    }
}

/// Messages that were written beforehand: message `number`, counted from the first of a run, has the
/// place `number % places`.
#[derive(Debug)]
pub struct Stock(Vec<Message>);

/// How many messages a stock has: three times a power of two, so that whole batches of up to `at_once`
/// fill it, and of short messages so many that a number has left the processor's store buffer before it
/// is sent.
fn places(len: usize, at_once: usize) -> usize {
    const SHORT_STOCK_BYTES: usize = 8192;
    const MOST: usize = 32;
    let fitting = (SHORT_STOCK_BYTES / 3 / len).clamp(1, MOST);
    3 * (1 << fitting.ilog2()).max(at_once)
}

/// The first word of the message at a place of the stock, if it had no number: its other words count on
/// from it, as those of [`pattern::fill`] do. These numbers are beyond all others.
fn place_number(place: usize) -> u64 {
    !(place as u64)
}

impl Stock {
    /// For messages of `len` bytes, of which a call sends up to `at_once`.
    pub fn new(len: usize, at_once: usize) -> Self {
        let written = |place| {
            let mut message = Message::new(len);
            pattern::fill(message.as_mut(), place_number(place));
            message
        };
        Self((0..places(len, at_once)).map(written).collect())
    }

    /// The length of the messages, in bytes.
    pub fn message_len(&self) -> usize {
        self.0[0].len
    }

    /// Messages to send, numbered from `first`.
    pub fn numbered(&mut self, first: u64) -> Prepared<'_> {
        let mut messages: Vec<&mut [u8]> = self.0.iter_mut().map(AsMut::as_mut).collect();
        for (number, message) in (first..).zip(&mut messages) {
            pattern::write_number(message, number);
        }
        Prepared { messages, next: first, place: 0 }
    }
}

/// Where a loop gets its messages, one number after another.
pub trait Outgoing {
    /// One of them.
    type Message: AsRef<[u8]>;

    /// The next messages: at least one, and no more than `most`. The same again until they are
    /// [`sent`](Outgoing::sent).
    fn upcoming(&mut self, most: usize) -> &[Self::Message];

    /// So many of them have been sent.
    fn sent(&mut self, count: usize);

    /// The next message.
    #[inline]
    fn next_message(&mut self) -> &[u8] {
        self.upcoming(1)[0].as_ref()
    }
}

/// Messages that are written in full before each is sent.
#[derive(Debug)]
pub struct Fresh {
    messages: Vec<Message>,
    next: u64,
}

impl Fresh {
    /// Of `len` bytes, numbered from `first`.
    pub fn numbered(len: usize, first: u64) -> Self {
        Self { messages: vec![Message::new(len)], next: first }
    }
}

impl Outgoing for Fresh {
    type Message = Message;

    #[inline]
    fn upcoming(&mut self, most: usize) -> &[Message] {
        if self.messages.len() < most {
            let message = self.messages[0].clone();
            self.messages.resize_with(most, || Message::new(message.len));
        }
        let upcoming = &mut self.messages[..most];
        for (number, message) in (self.next..).zip(&mut *upcoming) {
            pattern::fill(message.as_mut(), number);
        }
        upcoming
    }

    #[inline]
    fn sent(&mut self, count: usize) {
        self.next += count as u64;
    }
}

/// Messages of a [`Stock`]. A number is written one turn of the stock before it is sent.
#[derive(Debug)]
pub struct Prepared<'a> {
    messages: Vec<&'a mut [u8]>,
    next: u64,
    place: usize,
}

impl<'a> Outgoing for Prepared<'a> {
    type Message = &'a mut [u8];

    #[inline]
    fn upcoming(&mut self, most: usize) -> &[&'a mut [u8]] {
        let end = (self.place + most).min(self.messages.len());
        &self.messages[self.place..end]
    }

    #[inline]
    fn sent(&mut self, count: usize) {
        let places = self.messages.len();
        for _ in 0..count {
            pattern::write_number(self.messages[self.place], self.next + places as u64);
            self.next += 1;
            self.place = if self.place + 1 == places { 0 } else { self.place + 1 };
        }
    }

    #[inline]
    fn next_message(&mut self) -> &[u8] {
        self.messages[self.place]
    }
}

/// What a loop expects, one number after another.
pub trait Incoming {
    /// Compares the next message with what was sent.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if it is another, or of another length.
    fn check(&mut self, message: &[u8]) -> Result<(), Corrupt>;

    /// The next message is this one.
    fn skip_to(&mut self, number: u64);

    /// Compares every byte of the last message with what was sent, if [`check`](Incoming::check) did
    /// not.
    ///
    /// # Errors
    ///
    /// As for [`check`](Incoming::check).
    fn check_last(&self, message: &[u8]) -> Result<(), Corrupt>;
}

/// How much of a message its receiver has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    All,
    /// Its first and its last whole word.
    Ends,
}

/// Expects messages of [`Fresh`], and compares all that came of them.
#[derive(Debug)]
pub struct Whole {
    next: u64,
    len: usize,
    extent: Extent,
}

impl Whole {
    /// Expects messages of `len` bytes, numbered from `first`.
    pub fn numbered(len: usize, extent: Extent, first: u64) -> Self {
        Self { next: first, len, extent }
    }
}

impl Incoming for Whole {
    #[inline]
    fn check(&mut self, message: &[u8]) -> Result<(), Corrupt> {
        let number = self.next;
        self.next += 1;
        match self.extent {
            Extent::All => pattern::check(message, number, self.len),
            Extent::Ends => {
                let last = pattern::last_word(self.len);
                let good = message.len() == self.len
                    && pattern::word_at(message, 0) == pattern::word(number, 0)
                    && pattern::word_at(message, last) == pattern::word(number, last);
                if good { Ok(()) } else { Err(Corrupt::find(message, number, number, self.len)) }
            }
        }
    }

    fn skip_to(&mut self, number: u64) {
        self.next = number;
    }

    fn check_last(&self, _message: &[u8]) -> Result<(), Corrupt> {
        Ok(())
    }
}

/// Expects messages of a [`Stock`], and looks at a few words of each.
#[derive(Debug)]
pub struct Spots {
    first: u64,
    /// The number of the next message.
    next: u64,
    /// Its place in the stock.
    place: usize,
    places: usize,
    len: usize,
    last_word: usize,
    extent: Extent,
}

impl Spots {
    /// Expects messages of a stock for so many bytes and messages at once, numbered from `first`.
    pub fn numbered(len: usize, at_once: usize, extent: Extent, first: u64) -> Self {
        let (places, last_word) = (places(len, at_once), pattern::last_word(len));
        Self { first, next: first, place: 0, places, len, last_word, extent }
    }

    #[cold]
    fn corrupt(&self, message: &[u8], number: u64, place: usize) -> Corrupt {
        Corrupt::find(message, number, place_number(place), self.len)
    }
}

impl Incoming for Spots {
    #[inline]
    fn check(&mut self, message: &[u8]) -> Result<(), Corrupt> {
        let (number, place) = (self.next, self.place);
        self.next += 1;
        self.place = if place + 1 == self.places { 0 } else { place + 1 };
        let (words, _) = message.as_chunks::<8>();
        let differs =
            |index: usize, number| u64::from_ne_bytes(words[index]) ^ pattern::word(number, index);
        let last_word = self.last_word;
        if message.len() == self.len {
            let mut difference = differs(0, number);
            if last_word > 0 {
                let rest = place_number(place);
                difference |= differs(last_word, rest);
                if self.extent == Extent::All {
                    difference |= differs(spot(number, last_word), rest);
                }
            }
            if difference == 0 {
                return Ok(());
            }
        }
        Err(self.corrupt(message, number, place))
    }

    fn skip_to(&mut self, number: u64) {
        self.next = number;
        self.place = ((number - self.first) % self.places as u64) as usize;
    }

    fn check_last(&self, message: &[u8]) -> Result<(), Corrupt> {
        let place = self.place.checked_sub(1).unwrap_or(self.places - 1);
        let corrupt = self.corrupt(message, self.next - 1, place);
        if corrupt.is_so() { Err(corrupt) } else { Ok(()) }
    }
}

/// The word to look at in a message: one from the second to the last, by the well-mixed bits of the
/// number, taken as a share. Neighbours' shares are far apart, and no word is left out for long.
#[inline]
fn spot(number: u64, last_word: usize) -> usize {
    let share = (pattern::word(number, 0) >> 32) as usize;
    1 + ((share * last_word) >> 32)
}

/// What the loops do themselves for each message of a timed run, beside the calls that are measured: at
/// the sender and at the receiver, in nanoseconds. Nothing is copied: the messages are looked at where
/// they were written.
pub fn own_work_ns(len: usize) -> [f64; 2] {
    const RUNS: usize = 5;
    const RUN: Duration = Duration::from_micros(500);
    let mut stock = Stock::new(len, 1);
    let turn = stock.0.len();
    let mut best = [f64::INFINITY; 2];
    for _ in 0..RUNS {
        let mut outgoing = stock.numbered(0);
        let send = |count: usize| {
            for _ in 0..count {
                black_box(outgoing.next_message());
                outgoing.sent(1);
            }
        };
        best[0] = best[0].min(mean_ns(RUN, turn, send));
        let messages = stock.numbered(0).messages;
        let mut incoming = Spots::numbered(len, 1, Extent::All, 0);
        let receive = |count: usize| {
            for _ in 0..count / turn {
                incoming.skip_to(0);
                for message in &messages {
                    let good = incoming.check(black_box(message));
                    assert!(good.is_ok(), "nothing has touched it");
                }
            }
        };
        best[1] = best[1].min(mean_ns(RUN, turn, receive));
    }
    best
}

/// The time of one of many repetitions, in nanoseconds.
fn mean_ns(run: Duration, turn: usize, mut repeat: impl FnMut(usize)) -> f64 {
    let some = 1000_usize.next_multiple_of(turn);
    let (began, mut count) = (Instant::now(), 0);
    while began.elapsed() < run {
        repeat(some);
        count += some;
    }
    began.elapsed().as_nanos() as f64 / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_messages_pass_their_check_and_no_others() {
        for (len, at_once) in [(8, 1), (13, 1), (64, 1), (64, 32), (1000, 1), (20_000, 1)] {
            let mut stock = Stock::new(len, at_once);
            let mut prepared = stock.numbered(70);
            let mut fresh = Fresh::numbered(len, 70);
            let mut spots = Spots::numbered(len, at_once, Extent::All, 70);
            let mut whole = Whole::numbered(len, Extent::All, 70);
            for _ in 0..300 {
                let (prepared_one, fresh_one) = (prepared.next_message(), fresh.next_message());
                assert!(len == 8 || spots.corrupt(fresh_one, 70, 0).is_so(), "they are not alike");
                spots.check(prepared_one).expect("as it was sent");
                spots.check_last(prepared_one).expect("whole");
                whole.check(fresh_one).expect("as it was sent");
                prepared.sent(1);
                fresh.sent(1);
            }
        }
    }

    #[test]
    fn a_byte_of_an_earlier_lap_is_found_in_time_wherever_it_lies() {
        const LEN: usize = 128;
        let mut stock = Stock::new(LEN, 1);
        for stale in 8..LEN {
            let mut prepared = stock.numbered(0);
            let mut lap: Vec<Vec<u8>> = Vec::new();
            let mut spots = Spots::numbered(LEN, 1, Extent::All, 0);
            let found = (0..1000).find(|&number| {
                let message = prepared.next_message().to_vec();
                prepared.sent(1);
                lap.push(message.clone());
                let mut received = message;
                if number >= 64 {
                    received[stale] = lap[number - 64][stale]; // a ring of 64 places
                }
                spots.check(&received).is_err()
            });
            assert!(found.is_some(), "byte {stale}");
        }
    }

    #[test]
    fn each_word_is_looked_at_in_turn() {
        for last_word in [1, 2, 7, 15, 124, 127] {
            let numbers = 0..20 * last_word as u64;
            let spots: std::collections::BTreeSet<_> =
                numbers.map(|number| spot(number, last_word)).collect();
            assert_eq!(spots, (1..=last_word).collect(), "of {last_word}");
        }
    }

    #[test]
    fn numbers_are_there_a_turn_before_they_are_sent_also_in_batches() {
        let mut stock = Stock::new(8, 32);
        let mut prepared = stock.numbered(3);
        let mut numbers = Vec::new();
        for most in [32, 32, 20, 12, 32, 32, 1, 31] {
            let upcoming = prepared.upcoming(most);
            assert_eq!(upcoming.len(), most, "whole batches fill the stock");
            numbers.extend(upcoming.iter().map(|message| pattern::number_of(message)));
            prepared.sent(most);
        }
        assert_eq!(numbers, (3..3 + 192).collect::<Vec<_>>());
    }

    #[test]
    fn own_work_is_some_nanoseconds_and_not_nothing() {
        let [send_ns, recv_ns] = own_work_ns(64);
        assert!(send_ns > 0.1 && recv_ns > 0.1, "{send_ns} {recv_ns}");
    }
}
