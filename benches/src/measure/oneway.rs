//! The stream: messages one way as fast as the link takes them.
//!
//! The time runs from the rendezvous of both until the receiver has the last message, on a clock that
//! both share. What the loops do beside sending and receiving is within it, as there is no "between" in a
//! stream; how little that is, and how the content is checked all the same, is told in
//! [`super::content`].
//!
//! A link that may lose messages is measured by what arrives: after the last message the sender
//! sends an end mark until the receiver has seen one.

use std::sync::atomic::Ordering;

use anyhow::bail;
use serde::{Deserialize, Serialize};

use super::content::{Extent, Fresh, Incoming, Outgoing, Scrutiny, Spots, Stock, Whole};
use super::pattern;
use super::style::{RecvStyle, SendStyle};
use crate::clock::{CpuClock, monotonic_ns};
use crate::shared::Board;

/// Which messages, and over what kind of link. Both sides have the same.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Stream {
    /// The number of the first message.
    pub first: u64,
    /// How many messages are sent. The number after the last is that of the end mark.
    pub count: u64,
    /// Whether the link may lose messages.
    pub lossy: bool,
    /// How closely the messages are looked at.
    pub scrutiny: Scrutiny,
    /// Whose CPU time each side counts.
    pub cpu_clock: CpuClock,
}

/// What the sender saw.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// `CLOCK_MONOTONIC` before the first message, in nanoseconds.
    pub began_ns: u64,
    /// CPU time of the sending side, in nanoseconds.
    pub cpu_ns: u64,
}

/// What the receiver saw.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Arrived {
    /// `CLOCK_MONOTONIC` after the last message, in nanoseconds.
    pub ended_ns: u64,
    /// How many messages came; all of them, unless the link is lossy.
    pub count: u64,
    /// How often the receiver asked in vain.
    pub empty_polls: u64,
    /// CPU time of the receiving side, in nanoseconds.
    pub cpu_ns: u64,
}

impl Stream {
    /// The host's part: meets the receiver, and sends.
    ///
    /// # Errors
    ///
    /// The endpoint's.
    pub fn send<W: SendStyle<S>, S>(
        self,
        style: W,
        sender: &mut S,
        stock: &mut Stock,
        board: &Board,
    ) -> anyhow::Result<Sent> {
        match self.scrutiny {
            Scrutiny::Whole => {
                let mut fresh = Fresh::numbered(stock.message_len(), self.first);
                self.send_from(style, sender, &mut fresh, board)
            }
            Scrutiny::Spots => {
                self.send_from(style, sender, &mut stock.numbered(self.first), board)
            }
        }
    }

    fn send_from<W: SendStyle<S>, S>(
        self,
        style: W,
        sender: &mut S,
        outgoing: &mut impl Outgoing,
        board: &Board,
    ) -> anyhow::Result<Sent> {
        let done = &board.words().stream_done;
        let streams_before = done.load(Ordering::Relaxed); // it changes only after the rendezvous
        board.rendezvous();
        let (began_ns, cpu_before) = (monotonic_ns(), self.cpu_clock.now_ns());
        style.send_all(sender, outgoing, self.count)?;
        let cpu_ns = self.cpu_clock.now_ns() - cpu_before;
        if self.lossy {
            let end_mark = outgoing.next_message();
            // Relaxed: the word says all there is to say.
            while done.load(Ordering::Relaxed) == streams_before {
                style.send(sender, end_mark)?;
                std::thread::yield_now();
            }
        }
        Ok(Sent { began_ns, cpu_ns })
    }

    /// The guest's part: meets the sender, receives and checks.
    ///
    /// # Errors
    ///
    /// The endpoint's, or that a message came corrupted, twice or out of order.
    pub fn receive<W: RecvStyle<R>, R>(
        self,
        style: W,
        receiver: &mut R,
        buffer: &mut [u8],
        board: &Board,
    ) -> anyhow::Result<Arrived> {
        let (len, first) = (buffer.len(), self.first);
        match self.scrutiny {
            Scrutiny::Whole => {
                let mut whole = Whole::numbered(len, W::EXTENT, first);
                self.receive_as(style, receiver, buffer, &mut whole, board)
            }
            Scrutiny::Spots => {
                let mut spots = Spots::numbered(len, W::AT_ONCE, W::EXTENT, first);
                self.receive_as(style, receiver, buffer, &mut spots, board)
            }
        }
    }

    fn receive_as<W: RecvStyle<R>, R>(
        self,
        style: W,
        receiver: &mut R,
        buffer: &mut [u8],
        incoming: &mut impl Incoming,
        board: &Board,
    ) -> anyhow::Result<Arrived> {
        board.rendezvous();
        let cpu_before = self.cpu_clock.now_ns();
        let mut empty_polls = 0;
        let count = if self.lossy {
            self.receive_some(style, receiver, buffer, incoming, &mut empty_polls)?
        } else {
            style.recv_all(receiver, buffer, incoming, self.count, &mut empty_polls)?;
            self.count
        };
        let ended_ns = monotonic_ns();
        let cpu_ns = self.cpu_clock.now_ns() - cpu_before;
        board.words().stream_done.fetch_add(1, Ordering::Relaxed); // see `send`
        if W::EXTENT == Extent::All {
            incoming.check_last(buffer)?;
        }
        Ok(Arrived { ended_ns, count, empty_polls, cpu_ns })
    }

    fn receive_some<W: RecvStyle<R>, R>(
        self,
        style: W,
        receiver: &mut R,
        buffer: &mut [u8],
        incoming: &mut impl Incoming,
        empty_polls: &mut u64,
    ) -> anyhow::Result<u64> {
        let mut course = Course::of(self);
        loop {
            let received = style.recv(receiver, buffer, empty_polls)?;
            let number = pattern::number_of(&buffer[..received.max(pattern::MIN_LEN)]);
            if course.takes(number)? {
                incoming.skip_to(number);
                incoming.check(&buffer[..received])?;
            }
            if course.has_ended() {
                return Ok(course.arrived);
            }
        }
    }
}

/// How far a stream over a link that may lose messages has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    first: u64,
    /// The least number that may come.
    next: u64,
    /// The end mark's number.
    end: u64,
    /// How many messages came.
    pub(super) arrived: u64,
}

impl Course {
    /// At the beginning of a stream.
    pub(super) fn of(stream: Stream) -> Self {
        let Stream { first, count, .. } = stream;
        Self { first, next: first, end: first + count, arrived: 0 }
    }

    /// Whether a message of this number belongs to the stream, its end mark included. Others are end
    /// marks of this stream or of an earlier one that came again.
    ///
    /// # Errors
    ///
    /// If it came twice, out of order, or was never sent.
    pub(super) fn takes(&mut self, number: u64) -> anyhow::Result<bool> {
        let Self { first, next, end, .. } = *self;
        if number < first || (self.has_ended() && number == end) {
            return Ok(false);
        }
        if !(next..=end).contains(&number) {
            bail!("message {number} came where {next} to {end} may");
        }
        self.next = number + 1;
        self.arrived += u64::from(number != end);
        Ok(true)
    }

    /// Whether the end mark has come.
    pub(super) fn has_ended(&self) -> bool {
        self.next > self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::plain_ring::{PlainRing, PlainSender};
    use crate::measure::style::Waiting;
    use ipc_core::{Deadline, LinkProperties, SendError, Sender};

    const LEN: usize = 64;

    fn stream(first: u64, count: u64, lossy: bool) -> Stream {
        let cpu_clock = CpuClock::Thread;
        Stream { first, count, lossy, scrutiny: Scrutiny::Whole, cpu_clock }
    }

    /// Receives a stream of which a thread sends the messages of these numbers.
    fn receive_numbers(stream: Stream, numbers: Vec<u64>) -> anyhow::Result<Arrived> {
        let (mut sender, mut receiver) =
            PlainRing { capacity_bytes: 4096 }.between_threads().expect("memory");
        let (board, _descriptor) = Board::create()?;
        let guests = board.other_side();
        std::thread::spawn(move || {
            board.rendezvous();
            let mut message = [0; LEN];
            for number in numbers {
                pattern::fill(&mut message, number);
                sender.send(&message).expect("it fits");
            }
        });
        stream.receive(Waiting, &mut receiver, &mut [0; LEN], &guests)
    }

    #[test]
    fn a_whole_stream_arrives() {
        assert_eq!(
            receive_numbers(stream(10, 3, false), vec![10, 11, 12]).expect("all is well").count,
            3
        );
    }

    #[test]
    fn a_lost_message_of_a_lossless_link_is_detected() {
        let error = receive_numbers(stream(0, 3, false), vec![0, 2]).expect_err("1 is missing");
        assert!(error.to_string().contains("message 1 was corrupted"), "{error}");
    }

    #[test]
    fn a_lossy_link_is_counted_by_what_arrives_until_the_end_mark() {
        // 3 is the end mark of an earlier stream, 15 of this one.
        let arrived =
            receive_numbers(stream(10, 5, true), vec![3, 10, 13, 15]).expect("losses are allowed");
        assert_eq!(arrived.count, 2);
    }

    #[test]
    fn a_lossy_link_may_not_repeat() {
        assert!(receive_numbers(stream(0, 5, true), vec![0, 1, 1, 5]).is_err());
    }

    /// Streams from a thread, which spoils the messages, and receives.
    fn timed_stream(stream: Stream, spoil: fn(u64, &mut [u8])) -> anyhow::Result<Arrived> {
        struct Spoiling(PlainSender, u64, fn(u64, &mut [u8]));
        impl Sender for Spoiling {
            fn send_deadline(&mut self, message: &[u8], end: Deadline) -> Result<(), SendError> {
                let mut message = message.to_vec();
                (self.2)(self.1, &mut message);
                self.1 += 1;
                self.0.send_deadline(&message, end)
            }
            fn properties(&self) -> LinkProperties {
                self.0.properties()
            }
        }
        let ring = PlainRing { capacity_bytes: 64 * 1024 };
        let (sender, mut receiver) = ring.between_threads().expect("memory");
        let (board, _descriptor) = Board::create()?;
        let guests = board.other_side();
        std::thread::spawn(move || {
            let mut sender = Spoiling(sender, 0, spoil);
            let sent = stream.send(Waiting, &mut sender, &mut Stock::new(LEN, 1), &board);
            sent.expect("there is room");
        });
        stream.receive(Waiting, &mut receiver, &mut [0; LEN], &guests)
    }

    #[test]
    fn a_timed_stream_notices_what_is_stale_soon_and_in_the_last_message_at_once() {
        let timed = Stream { scrutiny: Scrutiny::Spots, ..stream(7, 500, false) };
        assert_eq!(timed_stream(timed, |_, _| {}).expect("all is well").count, 500);
        // One byte is always that of another message: seen as soon as its word's turn comes.
        let error = timed_stream(timed, |_, message| message[27] ^= 1);
        let error = error.expect_err("stale").to_string();
        assert!(error.contains("byte 27 of 64 differs"), "{error}");
        let last = |index, message: &mut [u8]| message[27] ^= u8::from(index == 499);
        let error = timed_stream(timed, last).expect_err("the last is compared in full");
        assert!(error.to_string().contains("message 506 was corrupted"), "{error}");
        let swapped = |index, message: &mut [u8]| message[0] ^= u8::from(index == 250);
        assert!(timed_stream(timed, swapped).is_err(), "each number counts");
    }
}
