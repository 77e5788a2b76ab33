//! Messages that are sent and received several at a time, by one call each. Only streams: a round trip
//! has one message under way.

use std::ops::Range;

use anyhow::ensure;
use ipc_core::{Deadline, LinkProperties, Receiver, RecvError, SendError, Sender};
use ipc_ring::{RingReceiver, RingSender};

use super::style::{RecvStyle, SendStyle, Style, Waiting};

/// Messages of one call.
pub const BATCH: usize = 32;

/// A sender that takes several messages in one call.
pub trait BatchSender: Sender {
    /// Sends as many of the messages as there is room for, and waits for room for the first; returns
    /// how many.
    ///
    /// # Errors
    ///
    /// Those of [`Sender::send_deadline`].
    fn send_batch<M: AsRef<[u8]>>(&mut self, messages: &[M]) -> Result<usize, SendError>;
}

/// A receiver that gives several messages in one call.
pub trait BatchReceiver: Receiver {
    /// What it puts them into.
    type Batch;

    /// Room for `messages` of `size_bytes` each.
    fn room(messages: usize, size_bytes: usize) -> Self::Batch;

    /// Waits for a message, and takes all that are there and find room.
    ///
    /// # Errors
    ///
    /// Those of [`Receiver::recv_deadline`].
    fn recv_batch<'a>(
        &mut self,
        batch: &'a mut Self::Batch,
    ) -> Result<impl Iterator<Item = &'a [u8]>, RecvError>;
}

impl BatchSender for RingSender {
    #[inline]
    fn send_batch<M: AsRef<[u8]>>(&mut self, messages: &[M]) -> Result<usize, SendError> {
        self.send_batch(messages, Deadline::Never)
    }
}

impl BatchReceiver for RingReceiver {
    type Batch = ipc_ring::Batch;

    fn room(messages: usize, size_bytes: usize) -> ipc_ring::Batch {
        ipc_ring::Batch::new(messages, messages * size_bytes)
    }

    #[inline]
    fn recv_batch<'a>(
        &mut self,
        batch: &'a mut ipc_ring::Batch,
    ) -> Result<impl Iterator<Item = &'a [u8]>, RecvError> {
        self.recv_batch(batch, Deadline::Never)?;
        Ok(batch.iter())
    }
}

/// Batches of [`BATCH`]. Each message of a batch is written before the batch is sent, and every byte
/// of each is checked after.
#[derive(Clone, Copy, Debug)]
pub struct Batching;

impl Style for Batching {
    const ROUND_TRIPS: bool = false;

    fn for_link(_properties: &LinkProperties, _size_bytes: usize) -> Self {
        Self
    }
}

impl<S: BatchSender> SendStyle<S> for Batching {
    #[inline]
    fn send(self, sender: &mut S, message: &[u8]) -> Result<(), SendError> {
        Waiting.send(sender, message)
    }

    fn send_all(
        self,
        sender: &mut S,
        message: &mut [u8],
        mut numbers: Range<u64>,
    ) -> anyhow::Result<()> {
        let mut messages = vec![message.to_vec(); BATCH];
        while !numbers.is_empty() {
            let batch = numbers.by_ref().take(BATCH).zip(&mut messages);
            let count = batch.map(|(number, message)| Self::fill(message, number)).count();
            let mut unsent = &messages[..count];
            while !unsent.is_empty() {
                unsent = &unsent[sender.send_batch(unsent)?..];
            }
        }
        Ok(())
    }
}

impl<R: BatchReceiver> RecvStyle<R> for Batching {
    #[inline]
    fn recv(
        self,
        receiver: &mut R,
        buffer: &mut [u8],
        empty_polls: &mut u64,
    ) -> Result<usize, RecvError> {
        Waiting.recv(receiver, buffer, empty_polls)
    }

    fn recv_all(
        self,
        receiver: &mut R,
        buffer: &mut [u8],
        mut numbers: Range<u64>,
        _empty_polls: &mut u64,
    ) -> anyhow::Result<()> {
        let len = buffer.len();
        let mut batch = R::room(BATCH, len);
        while !numbers.is_empty() {
            for message in receiver.recv_batch(&mut batch)? {
                ensure!(!numbers.is_empty(), "more messages came than were sent");
                Self::check(message, numbers.start, len)?;
                numbers.start += 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc_ring::{Link, Options};

    #[test]
    fn whole_and_broken_batches_arrive_and_a_lost_message_is_detected() {
        let sending = Options::new();
        let (here, there) =
            Link::between_threads(&sending, &sending.receive_only()).expect("a link");
        let (mut sender, mut receiver) = (here.sender.expect("one"), there.receiver.expect("one"));
        let mut message = [0; 24];
        Batching.send_all(&mut sender, &mut message, 5..75).expect("room");
        Batching.recv_all(&mut receiver, &mut message, 5..75, &mut 0).expect("as they were sent");
        for numbers in [0..40, 41..80] {
            Batching.send_all(&mut sender, &mut message, numbers).expect("room");
        }
        let error = Batching.recv_all(&mut receiver, &mut message, 0..80, &mut 0);
        let error = error.expect_err("40 is missing").to_string();
        assert!(error.contains("message 40 was corrupted"), "{error}");
    }
}
