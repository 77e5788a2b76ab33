//! The textbook's ring in place: its records written and read where they lie. The limit of what needs
//! no copy. See [`super::plain_ring`].

// Makes slices of the ring's memory.
#![allow(unsafe_code)]

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;

use ipc_core::zero_copy::{BorrowReceiver, Loan, LoanSender};
use ipc_core::{Deadline, RecvError, SendError};

use super::plain_ring::{PlainReceiver, PlainSender};

/// A message being written in the plain ring.
#[derive(Debug)]
pub struct PlainLoan<'a> {
    sender: &'a mut PlainSender,
    start: NonNull<u8>,
    len: usize,
}

impl LoanSender for PlainSender {
    type Loan<'a> = PlainLoan<'a>;

    #[inline]
    fn loan(&mut self, len: usize, deadline: Deadline) -> Result<PlainLoan<'_>, SendError> {
        self.check_len(len)?;
        loop {
            if let Some(start) = self.claim(len) {
                return Ok(PlainLoan { sender: self, start, len });
            }
            if deadline != Deadline::Never && deadline.has_passed() {
                return Err(SendError::no_room(deadline));
            }
            std::hint::spin_loop();
        }
    }
}

impl Deref for PlainLoan<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes of the ring that are claimed; the receiver looks at none of them before
        // they are published.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for PlainLoan<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; borrowed mutably from `self`.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Loan for PlainLoan<'_> {
    fn shrink(&mut self, len: usize) {
        assert!(len <= self.len, "shrink to {len} bytes a loan of {}", self.len);
        self.len = len;
    }

    #[inline]
    fn commit(self) {
        self.sender.publish(self.len);
    }
}

/// A message read where it lies.
#[derive(Debug)]
pub struct PlainMessage<'a> {
    receiver: &'a mut PlainReceiver,
    start: NonNull<u8>,
    len: usize,
}

impl BorrowReceiver for PlainReceiver {
    type Message<'a> = PlainMessage<'a>;

    #[inline]
    unsafe fn borrow(&mut self, deadline: Deadline) -> Result<PlainMessage<'_>, RecvError> {
        loop {
            if let Some((start, len)) = self.peek() {
                return Ok(PlainMessage { receiver: self, start, len });
            }
            if deadline != Deadline::Never && deadline.has_passed() {
                return Err(RecvError::no_message(deadline));
            }
            std::hint::spin_loop(); // one pause: see `recv_deadline`
        }
    }
}

impl Deref for PlainMessage<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes that the sender has published, and leaves alone until they are released.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for PlainMessage<'_> {
    #[inline]
    fn drop(&mut self) {
        self.receiver.release(self.len);
    }
}
