//! Messages written and read where they lie. Leaves out the copying ends.

// Makes slices of the ring's memory for loans and borrowed messages.
#![allow(unsafe_code)]

use std::fmt;
use std::ops::{Deref, DerefMut};

use ipc_core::zero_copy::{BorrowReceiver, Loan, LoanSender};
use ipc_core::{Deadline, RecvError, SendError};

use super::{RingReceiver, RingSender};
use crate::bell::PipeBell;
use crate::endpoint::receiving::Receiving;
use crate::endpoint::sending::Sending;
use crate::mapped::Mapped;
use crate::protocol::consumer::Message;
use crate::protocol::producer::{Claim, Purpose};

impl LoanSender for RingSender {
    type Loan<'a> = RingLoan<'a>;

    #[inline]
    fn loan(&mut self, len: usize, deadline: Deadline) -> Result<RingLoan<'_>, SendError> {
        let claim = self.sending.claim(len, Purpose::Loan, deadline)?;
        Ok(RingLoan { sending: &mut self.sending, claim, len })
    }
}

impl BorrowReceiver for RingReceiver {
    type Message<'a> = RingMessage<'a>;

    #[inline]
    unsafe fn borrow(&mut self, deadline: Deadline) -> Result<RingMessage<'_>, RecvError> {
        let message = self.receiving.next(deadline)?;
        Ok(RingMessage { receiving: &mut self.receiving, message })
    }
}

/// A message being written in the ring. See [`Loan`].
pub struct RingLoan<'a> {
    sending: &'a mut Sending<Mapped, PipeBell>,
    claim: Claim,
    len: usize,
}

impl Deref for RingLoan<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        let piece = self.sending.memory().piece(self.claim.message_position(), self.len);
        // SAFETY: `len` bytes of the ring that are claimed and not committed. The kernel lets only
        // this process write them (the memory is sealed), where the one sender is borrowed here.
        unsafe { std::slice::from_raw_parts(piece.as_ptr(), self.len) }
    }
}

impl DerefMut for RingLoan<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        let piece = self.sending.memory().piece(self.claim.message_position(), self.len);
        // SAFETY: as above; borrowed mutably from `self`.
        unsafe { std::slice::from_raw_parts_mut(piece.as_ptr(), self.len) }
    }
}

impl Loan for RingLoan<'_> {
    fn shrink(&mut self, len: usize) {
        assert!(len <= self.len, "shrink to {len} bytes a loan of {}", self.len);
        self.len = len;
    }

    #[inline]
    fn commit(self) {
        self.sending.commit(self.claim, self.len, false);
    }
}

/// A message read where it lies. Dropping it gives its room back.
pub struct RingMessage<'a> {
    receiving: &'a mut Receiving<Mapped, PipeBell>,
    message: Message,
}

impl Deref for RingMessage<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        let piece = self.receiving.memory().piece(self.message.position, self.message.len());
        // SAFETY: `len` bytes of the ring, checked by `peek`; that the sender does not write them now
        // is the promise of who called `borrow`.
        unsafe { std::slice::from_raw_parts(piece.as_ptr(), self.message.len()) }
    }
}

impl Drop for RingMessage<'_> {
    #[inline]
    fn drop(&mut self) {
        self.receiving.release(self.message);
    }
}

impl fmt::Debug for RingLoan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingLoan").field("len", &self.len).finish_non_exhaustive()
    }
}

impl fmt::Debug for RingMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingMessage").field("len", &self.message.len()).finish_non_exhaustive()
    }
}
