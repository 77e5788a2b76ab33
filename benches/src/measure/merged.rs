//! Several streams over one link: each sender counts its own messages, and the receiver checks that each
//! sender's come whole, once and in order, however they are mixed.
//!
//! Who sent a message is told by its number, of which each sender has a range of its own: a link need not
//! know senders, and a message of 8 bytes, as of a signal, is that number and nothing else. A link that may
//! lose messages is measured by what arrives, until the end marks of all have come: see [`super::oneway`].

use std::array;
use std::sync::atomic::Ordering;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::content::{Incoming, Scrutiny, Spots, Whole};
use super::oneway::{Course, Stream};
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
    /// The first of each sender's numbers, counted within its range.
    pub first: u64,
    /// How many messages each of them sends.
    pub count: u64,
    /// Whether the link may lose messages.
    pub lossy: bool,
    /// How closely the messages are looked at.
    pub scrutiny: Scrutiny,
}

/// What the receiver saw.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    /// `CLOCK_MONOTONIC` after the last message less that when the first sender began, in nanoseconds.
    pub took_ns: u64,
    /// How many messages came of all senders; all of them, unless the link is lossy.
    pub count: u64,
    /// CPU time of the receiving process, in nanoseconds.
    pub cpu_ns: u64,
}

impl Merged {
    /// What a sender sends, of an index below [`SENDERS`].
    pub fn stream_of(self, sender: usize) -> Stream {
        Stream {
            first: ((sender as u64) << NUMBER_BITS) + self.first,
            count: self.count,
            lossy: self.lossy,
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
                self.receive_as(style, receiver, buffer, boards, array::from_fn(each))
            }
            Scrutiny::Spots => {
                let each = |sender| Spots::numbered(len, W::AT_ONCE, W::EXTENT, first(sender));
                self.receive_as(style, receiver, buffer, boards, array::from_fn(each))
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
        let (mut count, mut last) = (self.count * SENDERS as u64, 0);
        if self.lossy {
            count = self.receive_some(style, receiver, buffer, boards, &mut incoming)?;
        } else {
            for _ in 0..count {
                let received = style.recv(receiver, buffer, &mut 0)?;
                last = sender_of(&buffer[..received])?;
                incoming[last].check(&buffer[..received])?;
            }
        }
        let took_ns = monotonic_ns() - began_ns;
        let cpu_ns = CpuClock::Process.now_ns() - cpu_before;
        if !self.lossy {
            incoming[last].check_last(buffer)?; // of a lossy link it was the end mark, which says nothing
        }
        Ok(Arrived { took_ns, count, cpu_ns })
    }

    /// Receives what comes until each sender's end mark has.
    fn receive_some<W: RecvStyle<R>, R, I: Incoming>(
        self,
        style: W,
        receiver: &mut R,
        buffer: &mut [u8],
        boards: [&Board; SENDERS],
        incoming: &mut [I; SENDERS],
    ) -> anyhow::Result<u64> {
        let mut courses: [_; SENDERS] = array::from_fn(|sender| Course::of(self.stream_of(sender)));
        while !courses.iter().all(Course::has_ended) {
            let received = style.recv(receiver, buffer, &mut 0)?;
            let sender = sender_of(&buffer[..received])?;
            let number = pattern::number_of(buffer);
            let course = &mut courses[sender];
            if course.takes(number)? {
                incoming[sender].skip_to(number);
                incoming[sender].check(&buffer[..received])?;
                if course.has_ended() {
                    // Relaxed: the word says all there is to say, to a sender that waits for it.
                    boards[sender].words().stream_done.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        Ok(courses.iter().map(|course| course.arrived).sum())
    }
}

/// Whose message it is.
fn sender_of(message: &[u8]) -> anyhow::Result<usize> {
    let is_whole = message.len() >= pattern::MIN_LEN;
    let sender = is_whole.then(|| (pattern::number_of(message) >> NUMBER_BITS) as usize);
    sender.filter(|sender| *sender < SENDERS).context("a message of no sender")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::plain_ring::PlainRing;
    use crate::measure::style::Waiting;
    use ipc_core::Sender;

    const LEN: usize = 24;

    /// Receives what a thread sends that plays both senders: these numbers of each, in this order.
    fn receive(merged: Merged, order: &'static [(usize, u64)]) -> anyhow::Result<Arrived> {
        let ring = PlainRing { capacity_bytes: 4096 };
        let (mut sender, mut receiver) = ring.between_threads().expect("memory");
        let boards = [(); SENDERS].map(|()| Board::create().expect("shared memory").0);
        let guests = boards.each_ref().map(Board::other_side);
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

    const TWO_EACH: Merged = Merged { first: 5, count: 2, lossy: false, scrutiny: Scrutiny::Whole };

    #[test]
    fn streams_may_mix_but_each_keeps_its_order() {
        let arrived = receive(TWO_EACH, &[(0, 0), (1, 0), (1, 1), (0, 1)]);
        assert_eq!(arrived.expect("both in order").count, 4);
        let error = receive(TWO_EACH, &[(0, 0), (1, 1), (1, 0), (0, 1)]);
        let error = error.expect_err("the second was first");
        assert!(error.to_string().contains("was corrupted"), "{error}");
        assert!(receive(TWO_EACH, &[(0, 0), (2, 0)]).is_err(), "there is no third");
    }

    #[test]
    fn a_lossy_link_is_counted_by_what_arrives_of_each_until_its_end_mark() {
        const THREE_EACH: Merged = Merged { count: 3, lossy: true, ..TWO_EACH };
        // 3 is the end mark; it may come again while the other sender goes on.
        let arrived = receive(THREE_EACH, &[(0, 1), (0, 3), (1, 0), (0, 3), (1, 2), (1, 3)]);
        assert_eq!(arrived.expect("losses are allowed").count, 3);
        assert!(receive(THREE_EACH, &[(0, 1), (1, 1), (0, 1)]).is_err(), "it came twice");
        assert!(receive(THREE_EACH, &[(0, 2), (1, 1), (0, 0)]).is_err(), "out of order");
        assert!(receive(THREE_EACH, &[(0, 3), (0, 2)]).is_err(), "after its end");
    }
}
