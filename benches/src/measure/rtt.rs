//! The round trip: a message there over one link, another back over a second link.
//!
//! A round is timed at the host from before its send until after its receive. The sending side has
//! written the message before, and each side reads what it got after: the guest answers first, then
//! checks the message and writes its next answer, while the host checks the answer and writes its
//! next message. So every byte is written and read in every round, and the clock runs only while the
//! messages travel. (On one core nothing happens "while": there the guest's share is part of the
//! round, for every mechanism and limit alike.)

use super::pattern;
use super::style::{RecvStyle, SendStyle};
use crate::clock::Clock;

/// A message each way.
#[derive(Debug)]
pub struct Messages {
    /// What is sent.
    pub outgoing: Vec<u8>,
    /// What was received.
    pub incoming: Vec<u8>,
}

impl Messages {
    /// Buffers for messages of `size_bytes`, whose pages have been touched.
    pub fn new(size_bytes: usize) -> Self {
        let buffer = || {
            let mut buffer = vec![0; size_bytes];
            pattern::fill(&mut buffer, 0);
            buffer
        };
        Self { outgoing: buffer(), incoming: buffer() }
    }
}

/// The host's part: one round for each element of `ticks`, which becomes the time that it took.
/// The rounds are numbered from `first`.
///
/// # Errors
///
/// The endpoint's, or that a message came corrupted.
pub fn ping<W, S, R>(
    style: W,
    sender: &mut S,
    receiver: &mut R,
    messages: &mut Messages,
    first: u64,
    clock: &Clock,
    ticks: &mut [u64],
) -> anyhow::Result<()>
where
    W: SendStyle<S> + RecvStyle<R>,
{
    let Messages { outgoing, incoming } = messages;
    let len = outgoing.len();
    W::fill(outgoing, first);
    for (number, ticks) in (first..).zip(ticks) {
        let began = clock.now();
        style.send(sender, outgoing)?;
        let received = style.recv(receiver, incoming, &mut 0)?;
        *ticks = clock.now().saturating_sub(began);
        W::check(&incoming[..received], answer_to(number), len)?;
        W::fill(outgoing, number + 1);
    }
    Ok(())
}

/// The guest's part: answers `rounds` messages, numbered from `first`.
///
/// # Errors
///
/// As for [`ping`].
pub fn pong<W, S, R>(
    style: W,
    sender: &mut S,
    receiver: &mut R,
    messages: &mut Messages,
    first: u64,
    rounds: u64,
) -> anyhow::Result<()>
where
    W: SendStyle<S> + RecvStyle<R>,
{
    let Messages { outgoing, incoming } = messages;
    let len = outgoing.len();
    W::fill(outgoing, answer_to(first));
    for number in first..first + rounds {
        let received = style.recv(receiver, incoming, &mut 0)?;
        style.send(sender, outgoing)?;
        W::check(&incoming[..received], number, len)?;
        W::fill(outgoing, answer_to(number + 1));
    }
    Ok(())
}

/// The number of the answer to a message.
fn answer_to(number: u64) -> u64 {
    number | 1 << 63
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::plain_ring::PlainRing;
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
        let mut messages = Messages::new(100);
        let clock = Clock::calibrated(None);
        ping(Waiting, &mut sender, &mut receiver, &mut messages, 0, &clock, &mut [0; 5])
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
    fn an_echo_is_no_answer() {
        assert!(ping_against(|_, _| {}).is_err(), "each side writes its own messages");
    }
}
