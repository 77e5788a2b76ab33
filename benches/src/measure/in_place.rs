//! Messages that are written and read where they lie, in the link's own memory: what a program pays
//! that needs no copy. Of each message the first and the last word are written, read and checked; the
//! rest stays as it is. So it is a cost by message, not a throughput.

// Borrows messages, which trusts the sender.
#![allow(unsafe_code)]

use anyhow::ensure;
use ipc_core::zero_copy::{BorrowReceiver, Loan, LoanSender};
use ipc_core::{Deadline, LinkProperties, RecvError, SendError};

use super::pattern;
use super::style::{RecvStyle, SendStyle, Style};

/// Loans and borrowed messages.
#[derive(Clone, Copy, Debug)]
pub struct InPlace;

/// The length of a word, in bytes. The shortest message has one, which is its first and its last.
const WORD: usize = pattern::MIN_LEN;

impl Style for InPlace {
    fn for_link(_properties: &LinkProperties, _size_bytes: usize) -> Self {
        Self
    }

    #[inline]
    fn fill(message: &mut [u8], number: u64) {
        let mut word = [0; WORD];
        pattern::fill(&mut word, number);
        copy_ends(message, &word, &word);
    }

    #[inline]
    fn check(message: &[u8], number: u64, len: usize) -> anyhow::Result<()> {
        ensure!(message.len() == len, "{} bytes came of the {len} sent", message.len());
        let (first, last) = ends(message);
        pattern::check(first, number, WORD)?;
        Ok(pattern::check(last, number, WORD)?)
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

/// The first and the last word; the first again of a message that has no room for two.
#[inline]
fn ends(message: &[u8]) -> (&[u8], &[u8]) {
    (&message[..WORD], &message[last_word(message.len())..][..WORD])
}

/// Where the last word begins.
#[inline]
fn last_word(len: usize) -> usize {
    if len < 2 * WORD { 0 } else { len - WORD }
}

#[inline]
fn copy_ends(message: &mut [u8], first: &[u8], last: &[u8]) {
    message[..WORD].copy_from_slice(first);
    let last_at = last_word(message.len());
    message[last_at..][..WORD].copy_from_slice(last);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::plain_ring::PlainRing;

    #[test]
    fn both_ends_of_a_message_pass_and_a_stale_one_is_detected() {
        for len in [8, 13, 16, 100] {
            let (mut sender, mut receiver) =
                PlainRing { capacity_bytes: 4096 }.between_threads().expect("memory");
            let (mut message, mut buffer) = (vec![0; len], vec![0; len]);
            for number in 0..200 {
                InPlace::fill(&mut message, number);
                InPlace.send(&mut sender, &message).expect("room");
                let received =
                    InPlace.recv(&mut receiver, &mut buffer, &mut 0).expect("it is there");
                InPlace::check(&buffer[..received], number, len).expect("as it was sent");
                assert!(InPlace::check(&buffer[..received], number + 1, len).is_err(), "the next");
            }
            buffer[last_word(len)] ^= 1;
            assert!(InPlace::check(&buffer, 199, len).is_err(), "the last word counts");
        }
    }

    #[test]
    fn a_message_of_another_length_is_detected() {
        let (mut sender, mut receiver) =
            PlainRing { capacity_bytes: 4096 }.between_threads().expect("memory");
        InPlace.send(&mut sender, &[0; 24]).expect("room");
        let mut buffer = [0; 32];
        let received = InPlace.recv(&mut receiver, &mut buffer, &mut 0).expect("it is there");
        let error = InPlace::check(&buffer[..received], 0, 32).expect_err("shorter");
        assert!(error.to_string().contains("24 bytes came of the 32"), "{error}");
    }
}
