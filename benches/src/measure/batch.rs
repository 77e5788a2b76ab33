//! Messages that are sent and received several at a time, by one call each. Only streams: a round trip
//! has one message under way.

use anyhow::ensure;
use ipc_core::{Deadline, LinkProperties, Receiver, RecvError, SendError, Sender};
use ipc_ring::{RingReceiver, RingSender};

use super::content::{Incoming, Outgoing};
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

/// Batches of [`BATCH`]. Each message of a batch is there before the batch is sent, and each is checked.
#[derive(Clone, Copy, Debug)]
pub struct Batching;

impl Style for Batching {
    const ROUND_TRIPS: bool = false;
    const AT_ONCE: usize = BATCH;

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
        outgoing: &mut impl Outgoing,
        count: u64,
    ) -> anyhow::Result<()> {
        let mut left = count;
        while left > 0 {
            // A batch of which the link took a part is finished before the next.
            let mut batch = left.min(BATCH as u64) as usize;
            left -= batch as u64;
            while batch > 0 {
                let sent = sender.send_batch(outgoing.upcoming(batch))?;
                outgoing.sent(sent);
                batch -= sent;
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
        incoming: &mut impl Incoming,
        count: u64,
        _empty_polls: &mut u64,
    ) -> anyhow::Result<()> {
        let mut batch = R::room(BATCH, buffer.len());
        let mut left = count;
        while left > 0 {
            let mut last = None;
            for message in receiver.recv_batch(&mut batch)? {
                ensure!(left > 0, "more messages came than were sent");
                incoming.check(message)?;
                left -= 1;
                last = Some(message);
            }
            if let (0, Some(last)) = (left, last) {
                buffer[..last.len()].copy_from_slice(last); // for a last look at it
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::content::{Extent, Spots, Stock};
    use ipc_ring::{Link, Options};

    #[test]
    fn whole_and_broken_batches_arrive_and_a_lost_message_is_detected() {
        let sending = Options::new();
        let (here, there) =
            Link::between_threads(&sending, &sending.receive_only()).expect("a link");
        let (mut sender, mut receiver) = (here.sender.expect("one"), there.receiver.expect("one"));
        let mut stock = Stock::new(24, BATCH);
        let mut buffer = [0; 24];
        let spots = || Spots::numbered(24, BATCH, Extent::All, 5);
        Batching.send_all(&mut sender, &mut stock.numbered(5), 70).expect("room");
        let mut incoming = spots();
        Batching
            .recv_all(&mut receiver, &mut buffer, &mut incoming, 70, &mut 0)
            .expect("as they were sent");
        incoming.check_last(&buffer).expect("whole");
        Batching.send_all(&mut sender, &mut stock.numbered(5), 40).expect("room");
        Batching.send_all(&mut sender, &mut stock.numbered(46), 39).expect("room");
        let error = Batching.recv_all(&mut receiver, &mut buffer, &mut spots(), 79, &mut 0);
        let error = error.expect_err("45 is missing").to_string();
        assert!(error.contains("message 45 was corrupted"), "{error}");
    }
}
