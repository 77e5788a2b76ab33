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
use ipc_core::{Receiver, Sender};
use serde::{Deserialize, Serialize};

use super::pattern;
use super::style::Style;
use crate::clock::{cpu_ns, monotonic_ns};
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
}

/// What the sender saw.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// `CLOCK_MONOTONIC` before the first message, in nanoseconds.
    pub began_ns: u64,
    /// CPU time of the sending process, in nanoseconds.
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
    /// CPU time of the receiving process, in nanoseconds.
    pub cpu_ns: u64,
}

impl Stream {
    /// The host's part: meets the receiver, and sends.
    ///
    /// # Errors
    ///
    /// The endpoint's.
    pub fn send<W: Style>(
        self,
        sender: &mut impl Sender,
        message: &mut [u8],
        board: &Board,
    ) -> anyhow::Result<Sent> {
        let done = &board.words().stream_done;
        let streams_before = done.load(Ordering::Relaxed); // it changes only after the rendezvous
        board.rendezvous();
        let (began_ns, cpu_before) = (monotonic_ns(), cpu_ns());
        let end = self.first + self.count;
        for number in self.first..end {
            pattern::fill(message, number);
            W::send(sender, message)?;
        }
        let cpu_ns = cpu_ns() - cpu_before;
        if self.lossy {
            pattern::fill(message, end);
            // Relaxed: the word says all there is to say.
            while done.load(Ordering::Relaxed) == streams_before {
                W::send(sender, message)?;
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
    pub fn receive<W: Style>(
        self,
        receiver: &mut impl Receiver,
        buffer: &mut [u8],
        board: &Board,
    ) -> anyhow::Result<Arrived> {
        board.rendezvous();
        let cpu_before = cpu_ns();
        let mut empty_polls = 0;
        let count = if self.lossy {
            self.receive_some::<W>(receiver, buffer, &mut empty_polls)?
        } else {
            let len = buffer.len();
            for number in self.first..self.first + self.count {
                let received = W::recv(receiver, buffer, &mut empty_polls)?;
                pattern::check(&buffer[..received], number, len)?;
            }
            self.count
        };
        let ended_ns = monotonic_ns();
        let cpu_ns = cpu_ns() - cpu_before;
        board.words().stream_done.fetch_add(1, Ordering::Relaxed); // see `send`
        Ok(Arrived { ended_ns, count, empty_polls, cpu_ns })
    }

    fn receive_some<W: Style>(
        self,
        receiver: &mut impl Receiver,
        buffer: &mut [u8],
        empty_polls: &mut u64,
    ) -> anyhow::Result<u64> {
        let (len, end) = (buffer.len(), self.first + self.count);
        let mut count = 0;
        let mut next = self.first;
        loop {
            let received = W::recv(receiver, buffer, empty_polls)?;
            let number = pattern::number_of(&buffer[..received.max(pattern::MIN_LEN)]);
            pattern::check(&buffer[..received], number, len)?;
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
