//! Room for several messages, to receive them in one call. Leaves out the receiving.

use std::fmt;

/// Messages that were received together, copied out of the ring: see
/// [`RingReceiver::recv_batch`](crate::RingReceiver::recv_batch). Made once, and filled again and again.
pub struct Batch {
    /// The messages, one behind the other.
    bytes: Box<[u8]>,
    /// Where each ends in `bytes`. Never longer than its first capacity, so that it does not move.
    ends: Vec<usize>,
    max_messages: usize,
}

impl Batch {
    /// Room for `max_messages` messages that together have at most `max_bytes` bytes.
    ///
    /// A message longer than `max_bytes` cannot be received with it.
    pub fn new(max_messages: usize, max_bytes: usize) -> Self {
        let bytes = vec![0; max_bytes].into_boxed_slice();
        Self { bytes, ends: Vec::with_capacity(max_messages), max_messages }
    }

    /// How many messages it holds.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The messages in the order in which they were sent.
    pub fn iter(&self) -> BatchIter<'_> {
        BatchIter { bytes: &self.bytes, begin: 0, ends: self.ends.iter() }
    }

    /// The most messages that it can hold.
    pub fn max_messages(&self) -> usize {
        self.max_messages
    }

    /// The most bytes that its messages can have together.
    pub fn max_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn clear(&mut self) {
        self.ends.clear();
    }

    pub(crate) fn is_full(&self) -> bool {
        self.ends.len() == self.max_messages
    }

    /// Adds a message of `len` bytes, to be written to what is returned; `None` if it does not fit.
    #[inline]
    pub(crate) fn push(&mut self, len: usize) -> Option<&mut [u8]> {
        if self.is_full() {
            return None;
        }
        let begin = self.ends.last().copied().unwrap_or(0);
        let message = self.bytes[begin..].get_mut(..len)?;
        self.ends.push(begin + len);
        Some(message)
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.len())
            .field("max_messages", &self.max_messages)
            .field("max_bytes", &self.max_bytes())
            .finish()
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = &'a [u8];
    type IntoIter = BatchIter<'a>;

    fn into_iter(self) -> BatchIter<'a> {
        self.iter()
    }
}

/// The messages of a [`Batch`], in order.
#[derive(Clone, Debug)]
pub struct BatchIter<'a> {
    bytes: &'a [u8],
    /// Where the next one begins.
    begin: usize,
    ends: std::slice::Iter<'a, usize>,
}

impl<'a> Iterator for BatchIter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = *self.ends.next()?;
        let begin = std::mem::replace(&mut self.begin, end);
        Some(&self.bytes[begin..end])
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ends.size_hint()
    }
}

impl ExactSizeIterator for BatchIter<'_> {}

#[cfg(all(test, not(ipc_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_batch_takes_messages_up_to_both_limits() {
        let mut batch = Batch::new(3, 10);
        for round in 0..2 {
            batch.clear();
            batch.push(6).expect("room").fill(round);
            assert!(batch.push(5).is_none(), "more bytes than there are");
            batch.push(0).expect("room");
            batch.push(4).expect("room").fill(9);
            assert!(batch.push(0).is_none(), "more messages than were asked for");
            let messages: Vec<_> = batch.iter().collect();
            assert_eq!(messages, [&[round; 6][..], &[], &[9; 4]]);
            assert_eq!((batch.len(), batch.iter().len()), (3, 3));
        }
        assert!(Batch::new(0, 10).push(0).is_none());
    }
}
