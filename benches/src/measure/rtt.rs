//! The round trip: a message there over one link, another back over a second link.
//!
//! A round is timed at the host from before its send until after its receive: a copy in and a copy out
//! on each way. Each side looks at what it got after that: the guest answers first, then checks the
//! message, while the host checks the answer. So the clock runs only while the messages travel. (On one
//! core nothing happens "while": there the guest's share is part of the round, for every mechanism and
//! limit alike.) What is written and checked is told in [`super::content`].

use serde::{Deserialize, Serialize};

use super::content::{Fresh, Incoming, Messages, Outgoing, Prepared, Scrutiny, Spots, Whole};
use super::style::{RecvStyle, SendStyle, Style};
use crate::clock::Clock;

/// Which rounds. Both sides have the same.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Rounds {
    /// The number of the first.
    pub first: u64,
    /// How many there are.
    pub count: u64,
    /// How closely the messages are looked at.
    pub scrutiny: Scrutiny,
}

impl Rounds {
    /// The host's part: each element of `ticks` becomes the time that a round took.
    ///
    /// # Errors
    ///
    /// The endpoint's, or that a message came corrupted.
    ///
    /// # Panics
    ///
    /// If there is not an element for each round.
    pub fn ping<W, S, R>(
        self,
        style: W,
        sender: &mut S,
        receiver: &mut R,
        messages: &mut Messages,
        clock: &Clock,
        ticks: &mut [u64],
    ) -> anyhow::Result<()>
    where
        W: SendStyle<S> + RecvStyle<R>,
    {
        assert_eq!(ticks.len() as u64, self.count, "a time for each round");
        let numbers = [self.first, answer_to(self.first)];
        match self.scrutiny {
            Scrutiny::Whole => {
                Exchange::whole::<W>(messages, numbers).ping(style, sender, receiver, clock, ticks)
            }
            Scrutiny::Spots => {
                Exchange::spots::<W>(messages, numbers).ping(style, sender, receiver, clock, ticks)
            }
        }
    }

    /// The guest's part: answers.
    ///
    /// # Errors
    ///
    /// As for [`ping`](Self::ping).
    pub fn pong<W, S, R>(
        self,
        style: W,
        sender: &mut S,
        receiver: &mut R,
        messages: &mut Messages,
    ) -> anyhow::Result<()>
    where
        W: SendStyle<S> + RecvStyle<R>,
    {
        let (numbers, count) = ([answer_to(self.first), self.first], self.count);
        match self.scrutiny {
            Scrutiny::Whole => {
                Exchange::whole::<W>(messages, numbers).pong(style, sender, receiver, count)
            }
            Scrutiny::Spots => {
                Exchange::spots::<W>(messages, numbers).pong(style, sender, receiver, count)
            }
        }
    }
}

/// One side's messages there and back.
struct Exchange<'a, O, I> {
    outgoing: O,
    incoming: I,
    buffer: &'a mut [u8],
}

impl<'a> Exchange<'a, Fresh, Whole> {
    /// Of which ours and theirs begin with these numbers.
    fn whole<W: Style>(messages: &'a mut Messages, [ours, theirs]: [u64; 2]) -> Self {
        let buffer = messages.incoming.as_mut();
        let len = buffer.len();
        let outgoing = Fresh::numbered(len, ours);
        Self { outgoing, incoming: Whole::numbered(len, W::EXTENT, theirs), buffer }
    }
}

impl<'a> Exchange<'a, Prepared<'a>, Spots> {
    /// Of which ours and theirs begin with these numbers.
    fn spots<W: Style>(messages: &'a mut Messages, [ours, theirs]: [u64; 2]) -> Self {
        let Messages { stock, incoming } = messages;
        let buffer = incoming.as_mut();
        let incoming = Spots::numbered(buffer.len(), W::AT_ONCE, W::EXTENT, theirs);
        Self { outgoing: stock.numbered(ours), incoming, buffer }
    }
}

impl<O: Outgoing, I: Incoming> Exchange<'_, O, I> {
    fn ping<W, S, R>(
        mut self,
        style: W,
        sender: &mut S,
        receiver: &mut R,
        clock: &Clock,
        ticks: &mut [u64],
    ) -> anyhow::Result<()>
    where
        W: SendStyle<S> + RecvStyle<R>,
    {
        for ticks in ticks {
            let message = self.outgoing.next_message();
            let began = clock.now();
            style.send(sender, message)?;
            let received = style.recv(receiver, self.buffer, &mut 0)?;
            *ticks = clock.now().saturating_sub(began);
            self.incoming.check(&self.buffer[..received])?;
            self.outgoing.sent(1);
        }
        Ok(())
    }

    fn pong<W, S, R>(
        mut self,
        style: W,
        sender: &mut S,
        receiver: &mut R,
        count: u64,
    ) -> anyhow::Result<()>
    where
        W: SendStyle<S> + RecvStyle<R>,
    {
        for _ in 0..count {
            let received = style.recv(receiver, self.buffer, &mut 0)?;
            style.send(sender, self.outgoing.next_message())?;
            self.incoming.check(&self.buffer[..received])?;
            self.outgoing.sent(1);
        }
        Ok(())
    }
}

/// The number of the answer to a message.
fn answer_to(number: u64) -> u64 {
    number | 1 << 63
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::plain_ring::PlainRing;
    use crate::measure::pattern;
    use crate::measure::style::Waiting;
    use ipc_core::{Receiver, Sender};

    /// Runs five rounds against a guest that does `answer` to what it received and sends it back.
    fn ping_against(answer: fn(&mut [u8], u64)) -> anyhow::Result<()> {
        let link = || PlainRing { capacity_bytes: 4096 }.between_threads().expect("memory");
        let (mut sender, mut guests_receiver) = link();
        let (mut guests_sender, mut receiver) = link();
        std::thread::spawn(move || {
            let mut message = [0; 100];
            for number in 0..5 {
                guests_receiver.recv(&mut message).expect("spins for ever");
                answer(&mut message, number);
                guests_sender.send(&message).expect("there is room");
            }
        });
        let mut messages = Messages::new(100, 1);
        let rounds = Rounds { first: 0, count: 5, scrutiny: Scrutiny::Whole };
        let clock = Clock::calibrated(None);
        rounds.ping(Waiting, &mut sender, &mut receiver, &mut messages, &clock, &mut [0; 5])
    }

    #[test]
    fn a_corrupted_answer_ends_the_measurement() {
        let good = |message: &mut [u8], number| pattern::fill(message, answer_to(number));
        ping_against(good).expect("good answers pass");
        let corrupted = |message: &mut [u8], number| {
            pattern::fill(message, answer_to(number));
            message[77] ^= u8::from(number == 3);
        };
        let error = ping_against(corrupted).expect_err("one bit of round 3 was flipped");
        assert!(error.to_string().contains("byte 77 of 100 differs"), "{error}");
    }

    #[test]
    fn both_sides_of_timed_rounds_agree_on_what_the_messages_say() {
        let link = || PlainRing { capacity_bytes: 4096 }.between_threads().expect("memory");
        let (mut sender, mut guests_receiver) = link();
        let (mut guests_sender, mut receiver) = link();
        let rounds = Rounds { first: 9, count: 300, scrutiny: Scrutiny::Spots };
        let guest = std::thread::spawn(move || {
            let mut messages = Messages::new(100, 1);
            rounds.pong(Waiting, &mut guests_sender, &mut guests_receiver, &mut messages)
        });
        let (mut messages, clock) = (Messages::new(100, 1), Clock::calibrated(None));
        let (sender, receiver, mut ticks) = (&mut sender, &mut receiver, [0; 300]);
        let host = rounds.ping(Waiting, sender, receiver, &mut messages, &clock, &mut ticks);
        host.expect("good answers pass");
        guest.join().expect("the guest ends").expect("good messages pass");
        assert!(ticks.iter().all(|&ticks| ticks > 0));
    }

    #[test]
    fn an_echo_is_no_answer() {
        assert!(ping_against(|_, _| {}).is_err(), "each side writes its own messages");
    }
}
