//! The round trip: a message there over one link, another back over a second link.
//!
//! A round is timed at the host from before its send until after its receive. The sending side has
//! written the message before, and each side reads what it got after: the guest answers first, then
//! checks the message and writes its next answer, while the host checks the answer and writes its
//! next message. So every byte is written and read in every round, and the clock runs only while the
//! messages travel. (On one core nothing happens "while": there the guest's share is part of the
//! round, for every mechanism and limit alike.)

use ipc_core::{Receiver, Sender};

use super::pattern;
use super::style::Style;
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
pub fn ping<W: Style>(
    sender: &mut impl Sender,
    receiver: &mut impl Receiver,
    messages: &mut Messages,
    first: u64,
    clock: &Clock,
    ticks: &mut [u64],
) -> anyhow::Result<()> {
    let Messages { outgoing, incoming } = messages;
    let len = outgoing.len();
    pattern::fill(outgoing, first);
    for (number, ticks) in (first..).zip(ticks) {
        let began = clock.now();
        W::send(sender, outgoing)?;
        let received = W::recv(receiver, incoming, &mut 0)?;
        *ticks = clock.now().saturating_sub(began);
        pattern::check(&incoming[..received], answer_to(number), len)?;
        pattern::fill(outgoing, number + 1);
    }
    Ok(())
}

/// The guest's part: answers `rounds` messages, numbered from `first`.
///
/// # Errors
///
/// As for [`ping`].
pub fn pong<W: Style>(
    sender: &mut impl Sender,
    receiver: &mut impl Receiver,
    messages: &mut Messages,
    first: u64,
    rounds: u64,
) -> anyhow::Result<()> {
    let Messages { outgoing, incoming } = messages;
    let len = outgoing.len();
    pattern::fill(outgoing, answer_to(first));
    for number in first..first + rounds {
        let received = W::recv(receiver, incoming, &mut 0)?;
        W::send(sender, outgoing)?;
        pattern::check(&incoming[..received], number, len)?;
        pattern::fill(outgoing, answer_to(number + 1));
    }
    Ok(())
}

/// The number of the answer to a message.
fn answer_to(number: u64) -> u64 {
    number | 1 << 63
}
