//! Messages that are written and read where they lie, in the link's own memory: what a program pays
//! that needs no copy. Of each message the first and the last whole word are written, read and checked;
//! the rest stays as it is. So it is a cost by message, not a throughput.

// Borrows messages, which trusts the sender.
#![allow(unsafe_code)]

use ipc_core::zero_copy::{BorrowReceiver, Loan, LoanSender};
use ipc_core::{Deadline, LinkProperties, RecvError, SendError};

use super::content::Extent;
use super::pattern;
use super::style::{RecvStyle, SendStyle, Style};

/// Loans and borrowed messages.
#[derive(Clone, Copy, Debug)]
pub struct InPlace;

/// The length of a word, in bytes. The shortest message has one, which is its first and its last.
const WORD: usize = pattern::MIN_LEN;

impl Style for InPlace {
    const EXTENT: Extent = Extent::Ends;

    fn for_link(_properties: &LinkProperties, _size_bytes: usize) -> Self {
        Self
    }
}

impl<S: LoanSender> SendStyle<S> for InPlace {
    #[inline]
    fn send(self, sender: &mut S, message: &[u8]) -> Result<(), SendError> {
        let mut loan = sender.loan(message.len(), Deadline::Never)?;
        let (first, last) = ends(message);
        copy_ends(&mut loan, first, last);
        loan.commit();
        Ok(())
    }
}

impl<R: BorrowReceiver> RecvStyle<R> for InPlace {
    #[inline]
    fn recv(
        self,
        receiver: &mut R,
        buffer: &mut [u8],
        _empty_polls: &mut u64,
    ) -> Result<usize, RecvError> {
        // SAFETY: the sender is the other side of this benchmark, which does not touch what it has sent.
        let message = unsafe { receiver.borrow(Deadline::Never) }?;
        if message.len() == buffer.len() {
            let (first, last) = ends(&message);
            copy_ends(buffer, first, last);
        }
        Ok(message.len().min(buffer.len()))
    }
}

/// The first and the last whole word; the first again of a message that has only one.
#[inline]
fn ends(message: &[u8]) -> (&[u8], &[u8]) {
    (&message[..WORD], &message[last_at(message)..][..WORD])
}

/// Where the last whole word begins.
#[inline]
fn last_at(message: &[u8]) -> usize {
    WORD * pattern::last_word(message.len())
}

#[inline]
fn copy_ends(message: &mut [u8], first: &[u8], last: &[u8]) {
    message[..WORD].copy_from_slice(first);
    let last_at = last_at(message);
    message[last_at..][..WORD].copy_from_slice(last);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::plain_ring::PlainRing;
    use crate::measure::content::{Incoming, Messages, Outgoing, Spots, Whole};

    #[test]
    fn both_ends_of_a_message_pass_and_a_stale_one_is_detected() {
        for len in [8, 13, 16, 100] {
            let (mut sender, mut receiver) =
                PlainRing { capacity_bytes: 4096 }.between_threads().expect("memory");
            let mut messages = Messages::new(len, 1);
            let buffer = messages.incoming.as_mut();
            let mut outgoing = messages.stock.numbered(0);
            let spots = |number| Spots::numbered(len, 1, Extent::Ends, number);
            let mut incoming = spots(0);
            for number in 0..200 {
                InPlace.send(&mut sender, outgoing.next_message()).expect("room");
                outgoing.sent(1);
                let received = InPlace.recv(&mut receiver, buffer, &mut 0).expect("it is there");
                incoming.check(&buffer[..received]).expect("as it was sent");
                assert!(spots(number + 1).check(&buffer[..received]).is_err(), "the next");
            }
            buffer[last_at(buffer)] ^= 1;
            incoming.skip_to(199);
            assert!(incoming.check(buffer).is_err(), "the last word counts");
        }
    }

    #[test]
    fn a_message_of_another_length_is_detected() {
        let (mut sender, mut receiver) =
            PlainRing { capacity_bytes: 4096 }.between_threads().expect("memory");
        InPlace.send(&mut sender, &[0; 24]).expect("room");
        let mut buffer = [0; 32];
        let received = InPlace.recv(&mut receiver, &mut buffer, &mut 0).expect("it is there");
        let error = Whole::numbered(32, Extent::Ends, 0).check(&buffer[..received]);
        let error = error.expect_err("shorter");
        assert!(error.to_string().contains("24 bytes came of the 32"), "{error}");
    }
}
