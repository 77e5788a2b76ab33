//! The stream: messages one way as fast as the link takes them.
//!
//! The sender writes each message in full and sends it, the receiver receives it and reads it in
//! full. Unlike in a round trip this is all within the time measured, as there is no "between" in a
//! stream; the writing and the reading overlap, since each has a core of its own. The time runs from
//! the rendezvous of both until the receiver has checked the last message, on a clock that both share.
//!
//! A link that may lose messages is measured by what arrives: after the last message the sender
//! sends an end mark until the receiver has seen one.

use std::sync::atomic::Ordering;

use anyhow::bail;
use serde::{Deserialize, Serialize};

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
        message: &mut [u8],
        board: &Board,
    ) -> anyhow::Result<Sent> {
        let done = &board.words().stream_done;
        let streams_before = done.load(Ordering::Relaxed); // it changes only after the rendezvous
        board.rendezvous();
        let (began_ns, cpu_before) = (monotonic_ns(), self.cpu_clock.now_ns());
        let end = self.first + self.count;
        style.send_all(sender, message, self.first..end)?;
        let cpu_ns = self.cpu_clock.now_ns() - cpu_before;
        if self.lossy {
            W::fill(message, end);
            // Relaxed: the word says all there is to say.
            while done.load(Ordering::Relaxed) == streams_before {
                style.send(sender, message)?;
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
        board.rendezvous();
        let cpu_before = self.cpu_clock.now_ns();
        let mut empty_polls = 0;
        let count = if self.lossy {
            self.receive_some(style, receiver, buffer, &mut empty_polls)?
        } else {
            let numbers = self.first..self.first + self.count;
            style.recv_all(receiver, buffer, numbers, &mut empty_polls)?;
            self.count
        };
        let ended_ns = monotonic_ns();
        let cpu_ns = self.cpu_clock.now_ns() - cpu_before;
        board.words().stream_done.fetch_add(1, Ordering::Relaxed); // see `send`
        Ok(Arrived { ended_ns, count, empty_polls, cpu_ns })
    }

    fn receive_some<W: RecvStyle<R>, R>(
        self,
        style: W,
        receiver: &mut R,
        buffer: &mut [u8],
        empty_polls: &mut u64,
    ) -> anyhow::Result<u64> {
        let (len, end) = (buffer.len(), self.first + self.count);
        let mut count = 0;
        let mut next = self.first;
        loop {
            let received = style.recv(receiver, buffer, empty_polls)?;
            let number = pattern::number_of(&buffer[..received.max(pattern::MIN_LEN)]);
            W::check(&buffer[..received], number, len)?;
            match number {
                _ if number == end => return Ok(count),
                // End marks of an earlier stream.
                _ if number < self.first => {}
                _ if number < next || number > end => {
                    bail!("message {number} came where {next} to {end} may")
                }
                _ => {
                    next = number + 1;
                    count += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::plain_ring::PlainRing;
    use crate::measure::style::Waiting;
    use ipc_core::Sender;

    /// Receives a stream of which a thread sends the messages of these numbers.
    fn receive_numbers(stream: Stream, numbers: Vec<u64>) -> anyhow::Result<Arrived> {
        let (mut sender, mut receiver) =
            PlainRing { capacity_bytes: 4096 }.between_threads().expect("memory");
        let (board, _descriptor) = Board::create()?;
        let guests = board.other_side();
        std::thread::spawn(move || {
            board.rendezvous();
            let mut message = [0; 64];
            for number in numbers {
                pattern::fill(&mut message, number);
                sender.send(&message).expect("it fits");
            }
        });
        stream.receive(Waiting, &mut receiver, &mut [0; 64], &guests)
    }

    #[test]
    fn a_whole_stream_arrives() {
        let stream = Stream { first: 10, count: 3, lossy: false, cpu_clock: CpuClock::Thread };
        assert_eq!(receive_numbers(stream, vec![10, 11, 12]).expect("all is well").count, 3);
    }

    #[test]
    fn a_lost_message_of_a_lossless_link_is_detected() {
        let stream = Stream { first: 0, count: 3, lossy: false, cpu_clock: CpuClock::Thread };
        let error = receive_numbers(stream, vec![0, 2]).expect_err("1 is missing");
        assert!(error.to_string().contains("message 1 was corrupted"), "{error}");
    }

    #[test]
    fn a_lossy_link_is_counted_by_what_arrives_until_the_end_mark() {
        let stream = Stream { first: 10, count: 5, lossy: true, cpu_clock: CpuClock::Thread };
        // 3 is the end mark of an earlier stream, 15 of this one.
        let arrived = receive_numbers(stream, vec![3, 10, 13, 15]).expect("losses are allowed");
        assert_eq!(arrived.count, 2);
    }

    #[test]
    fn a_lossy_link_may_not_repeat() {
        let stream = Stream { first: 0, count: 5, lossy: true, cpu_clock: CpuClock::Thread };
        assert!(receive_numbers(stream, vec![0, 1, 1, 5]).is_err());
    }
}
