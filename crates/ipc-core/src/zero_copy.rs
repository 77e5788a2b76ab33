//! Sending without a copy and receiving without one, for links whose memory both sides can see.
//!
//! A [`Loan`] is a piece of the link's own memory: write the message there, shorten it if it came out
//! shorter, commit it; dropping it instead sends nothing. A borrowed message is read where it lies,
//! and is released by dropping it. These traits borrow from the endpoint and so are not object-safe.

// Declares an unsafe method; there is no unsafe block here.
#![allow(unsafe_code)]

use std::ops::{Deref, DerefMut};

use crate::{Deadline, RecvError, SendError};

/// A sender that lends the link's memory.
pub trait LoanSender: crate::Sender {
    /// A piece of the link's memory, not yet sent.
    type Loan<'a>: Loan
    where
        Self: 'a;

    /// Lends `len` bytes of zeros or of earlier messages' remains, waiting for room until `deadline`.
    ///
    /// # Errors
    ///
    /// Those of [`Sender::send_deadline`](crate::Sender::send_deadline).
    fn loan(&mut self, len: usize, deadline: Deadline) -> Result<Self::Loan<'_>, SendError>;
}

/// A message being written in the link's memory. Dropped, it is as if it had never been.
///
/// It is a slice of bytes only where the kernel forbids the peer to write them; Rust's references
/// allow no other.
pub trait Loan: DerefMut<Target = [u8]> {
    /// Shortens the message to its first `len` bytes.
    ///
    /// # Panics
    ///
    /// If `len` is above its present length.
    fn shrink(&mut self, len: usize);

    /// Sends it. Never blocks.
    fn commit(self);
}

/// A receiver that lets messages be read where they lie.
pub trait BorrowReceiver: crate::Receiver {
    /// A message in the link's memory; dropping it gives the room back to the sender.
    type Message<'a>: Deref<Target = [u8]>
    where
        Self: 'a;

    /// Borrows the next message, waiting for one until `deadline`.
    ///
    /// # Safety
    ///
    /// The sender must not write to the message while it is borrowed: the receiver trusts the program
    /// at the other end. A program that breaks this gives rise to undefined behaviour here.
    ///
    /// # Errors
    ///
    /// Those of [`Receiver::recv_deadline`](crate::Receiver::recv_deadline), but never
    /// [`RecvError::BufferTooSmall`].
    unsafe fn borrow(&mut self, deadline: Deadline) -> Result<Self::Message<'_>, RecvError>;
}
