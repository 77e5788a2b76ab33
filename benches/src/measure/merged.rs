//! Several streams over one link: each sender counts its own messages, and the receiver checks that each
//! sender's come whole, once and in order, however they are mixed.

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::content::{Incoming, Scrutiny, Spots, Whole};
use super::oneway::Stream;
use super::pattern;
use super::style::RecvStyle;
use crate::clock::{CpuClock, monotonic_ns};
use crate::shared::Board;

/// How many senders there are.
pub const SENDERS: usize = 2;

/// The numbers of each sender's messages have these many bits to themselves.
const NUMBER_BITS: u32 = 40;

/// What each sender sends. All sides have the same.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Merged {
    /// How many messages each of them sends.
    pub count: u64,
    /// How closely the messages are looked at.
    pub scrutiny: Scrutiny,
}

/// What the receiver saw.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    /// `CLOCK_MONOTONIC` after the last message less that when the first sender began, in nanoseconds.
    pub took_ns: u64,
    /// CPU time of the receiving process, in nanoseconds.
    pub cpu_ns: u64,
}

impl Merged {
    /// What a sender sends, of an index below [`SENDERS`].
    pub fn stream_of(self, sender: usize) -> Stream {
        Stream {
            first: (sender as u64) << NUMBER_BITS,
            count: self.count,
            lossy: false,
            scrutiny: self.scrutiny,
            cpu_clock: CpuClock::Process,
        }
    }

    /// Meets the senders, one after another, and receives what they send.
    ///
    /// # Errors
    ///
    /// The endpoint's, or that a message came corrupted, twice, or before one of the same sender.
    pub fn receive<W: RecvStyle<R>, R>(
        self,
        style: W,
        receiver: &mut R,
        buffer: &mut [u8],
        boards: [&Board; SENDERS],
    ) -> anyhow::Result<Arrived> {
        let len = buffer.len();
        let first = |sender| self.stream_of(sender).first;
        match self.scrutiny {
            Scrutiny::Whole => {
                let each = |sender| Whole::numbered(len, W::EXTENT, first(sender));
                self.receive_as(style, receiver, buffer, boards, std::array::from_fn(each))
            }
            Scrutiny::Spots => {
                let each = |sender| Spots::numbered(len, W::AT_ONCE, W::EXTENT, first(sender));
                self.receive_as(style, receiver, buffer, boards, std::array::from_fn(each))
            }
        }
    }

    fn receive_as<W: RecvStyle<R>, R, I: Incoming>(
        self,
        style: W,
        receiver: &mut R,
        buffer: &mut [u8],
        boards: [&Board; SENDERS],
        mut incoming: [I; SENDERS],
    ) -> anyhow::Result<Arrived> {
        let mut began_ns = None;
        for board in boards {
            board.rendezvous();
            began_ns.get_or_insert_with(monotonic_ns);
        }
        let began_ns = began_ns.context("there is a sender")?;
        let cpu_before = CpuClock::Process.now_ns();
        for _ in 0..self.count * SENDERS as u64 {
            let received = style.recv(receiver, buffer, &mut 0)?;
            let number = pattern::number_of(&buffer[..received.max(pattern::MIN_LEN)]);
            let sender = incoming.get_mut((number >> NUMBER_BITS) as usize);
            sender.context("a message of no sender")?.check(&buffer[..received])?;
        }
        let took_ns = monotonic_ns() - began_ns;
        Ok(Arrived { took_ns, cpu_ns: CpuClock::Process.now_ns() - cpu_before })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::plain_ring::PlainRing;
    use crate::measure::style::Waiting;
    use ipc_core::Sender;

    const LEN: usize = 24;

    /// Receives what a thread sends that plays both senders: these numbers of each, in this order.
    fn receive(order: &'static [(usize, u64)]) -> anyhow::Result<Arrived> {
        let ring = PlainRing { capacity_bytes: 4096 };
        let (mut sender, mut receiver) = ring.between_threads().expect("memory");
        let boards = [(); SENDERS].map(|()| Board::create().expect("shared memory").0);
        let guests = boards.each_ref().map(Board::other_side);
        let merged = Merged { count: 2, scrutiny: Scrutiny::Whole };
        std::thread::spawn(move || {
            guests.iter().for_each(Board::rendezvous);
            let mut message = [0; LEN];
            for &(who, index) in order {
                pattern::fill(&mut message, merged.stream_of(who).first + index);
                sender.send(&message).expect("room");
            }
        });
        merged.receive(Waiting, &mut receiver, &mut [0; LEN], boards.each_ref())
    }

    #[test]
    fn streams_may_mix_but_each_keeps_its_order() {
        assert!(receive(&[(0, 0), (1, 0), (1, 1), (0, 1)]).expect("both in order").took_ns > 0);
        let error = receive(&[(0, 0), (1, 1), (1, 0), (0, 1)]).expect_err("the second was first");
        assert!(error.to_string().contains("was corrupted"), "{error}");
        assert!(receive(&[(0, 0), (2, 0)]).is_err(), "there is no third");
    }
}
