//! The paced stream: messages at a fixed rate, each timed from the moment at which it should have been
//! sent until the receiver has it. So a stall counts for every message that it delayed, not only for the
//! one that was under way ("coordinated omission"): unlike a round trip, which asks less often while
//! answers are slow.
//!
//! The sender waits for each moment by looking at the clock. The clock is one that both sides share. All
//! bytes are written anew before the moment, and compared after the clock was read.

use std::hint;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::content::{Fresh, Incoming, Outgoing, Whole};
use super::style::{RecvStyle, SendStyle};
use crate::clock::monotonic_ns;
use crate::shared::Board;

/// Which messages, and when. Both sides have the same.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Pace {
    /// The number of the first message.
    pub first: u64,
    /// How many messages are sent.
    pub count: u64,
    /// From one message to the next, in nanoseconds.
    pub interval_ns: u64,
}

/// The start is so far ahead of the rendezvous that both sides are ready for it.
const LEAD_NS: u64 = 50_000;

impl Pace {
    /// Messages for `duration_ms` at this rate.
    pub fn at_rate(per_s: u32, duration_ms: u64, first: u64) -> Self {
        let interval_ns = 1_000_000_000 / u64::from(per_s);
        Self { first, count: (duration_ms * 1_000_000 / interval_ns).max(1), interval_ns }
    }

    /// The host's part: meets the receiver, and sends.
    ///
    /// # Errors
    ///
    /// The endpoint's.
    pub fn send<W: SendStyle<S>, S>(
        self,
        style: W,
        sender: &mut S,
        message_len: usize,
        board: &Board,
    ) -> anyhow::Result<()> {
        let mut outgoing = Fresh::numbered(message_len, self.first);
        board.rendezvous();
        let start_ns = monotonic_ns() + LEAD_NS;
        // Relaxed: the second rendezvous publishes it.
        board.words().paced_start_ns.store(start_ns, Ordering::Relaxed);
        board.rendezvous();
        for index in 0..self.count {
            let message = outgoing.next_message();
            while monotonic_ns() < self.due_ns(start_ns, index) {
                hint::spin_loop();
            }
            style.send(sender, message)?;
            outgoing.sent(1);
        }
        Ok(())
    }

    /// The guest's part: meets the sender, receives and checks; returns by how much each message came
    /// after it was due to be sent, in nanoseconds.
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
    ) -> anyhow::Result<Vec<u64>> {
        let mut delays_ns = vec![1; self.count as usize];
        let mut incoming = Whole::numbered(buffer.len(), W::EXTENT, self.first);
        board.rendezvous();
        board.rendezvous();
        let start_ns = board.words().paced_start_ns.load(Ordering::Relaxed); // see `send`
        for (index, delay_ns) in (0..).zip(&mut delays_ns) {
            let received = style.recv(receiver, buffer, &mut 0)?;
            *delay_ns = monotonic_ns().saturating_sub(self.due_ns(start_ns, index));
            incoming.check(&buffer[..received])?;
        }
        Ok(delays_ns)
    }

    /// The rate that was reached, in messages a second, given by how much the last message came late:
    /// less than intended where the link did not keep up.
    pub fn reached_per_s(self, last_delay_ns: u64) -> f64 {
        let planned_ns = self.count * self.interval_ns;
        self.count as f64 * 1e9 / (planned_ns + last_delay_ns) as f64
    }

    fn due_ns(self, start_ns: u64, index: u64) -> u64 {
        start_ns + index * self.interval_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::plain_ring::PlainRing;
    use crate::measure::pattern;
    use crate::measure::style::Waiting;
    use ipc_core::Sender;
    use std::time::{Duration, Instant};

    #[test]
    fn a_stall_of_the_sender_counts_for_every_message_that_it_delayed() {
        let (mut sender, mut receiver) =
            PlainRing { capacity_bytes: 4096 }.between_threads().expect("memory");
        let (board, _descriptor) = Board::create().expect("shared memory");
        let guests = board.other_side();
        let pace = Pace { first: 7, count: 20, interval_ns: 100_000 };
        let stalled = Duration::from_millis(10);
        std::thread::spawn(move || {
            board.rendezvous();
            board.words().paced_start_ns.store(monotonic_ns(), Ordering::Relaxed);
            board.rendezvous();
            let began = Instant::now();
            while began.elapsed() < stalled {
                hint::spin_loop();
            }
            for number in 7..27 {
                let mut message = [0; 64];
                pattern::fill(&mut message, number);
                sender.send(&message).expect("room");
            }
        });
        let delays_ns = pace.receive(Waiting, &mut receiver, &mut [0; 64], &guests);
        let delays_ns = delays_ns.expect("all came");
        assert_eq!(delays_ns.len(), 20);
        // The last was due after 1.9 ms, and could not come before 10.
        assert!(delays_ns.iter().all(|&ns| ns >= 8_100_000), "{delays_ns:?}");
        assert!(pace.reached_per_s(*delays_ns.last().expect("20")) < 2_000.0);
    }

    #[test]
    fn a_rate_and_a_duration_give_a_number_of_messages() {
        let pace = Pace::at_rate(10_000, 50, 3);
        assert_eq!((pace.first, pace.count, pace.interval_ns), (3, 500, 100_000));
        assert!((pace.reached_per_s(0) - 10_000.0).abs() < 1e-6);
    }
}
