//! The public endpoints: the generic ones over mapped memory and pipes, with properties, loans and
//! wait sources.

// Makes slices of the ring's memory for loans and borrowed messages.
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, BorrowedFd};

use ipc_core::zero_copy::{BorrowReceiver, Loan, LoanSender};
use ipc_core::{
    Armed, Boundaries, Buffering, Capacity, Carrier, Count, Deadline, DeathNotice, Direction,
    Establishment, Interest, Lifetime, LinkProperties, MessageLength, Naming, Order, Received,
    Receiver, RecvError, SendError, Sender, SenderIdentity, WaitSource, WhenFull,
};

use crate::bell::PipeBell;
use crate::endpoint::receiving::Receiving;
use crate::endpoint::sending::Sending;
use crate::mapped::Mapped;
use crate::protocol::consumer::Message;
use crate::protocol::longest_message;
use crate::protocol::memory::Memory;
use crate::protocol::producer::Claim;

/// The sending end of a ring.
pub struct RingSender(Sending<Mapped, PipeBell>);

/// The receiving end of a ring.
pub struct RingReceiver(Receiving<Mapped, PipeBell>);

fn properties(capacity: u64, waitable: bool) -> LinkProperties {
    LinkProperties {
        mechanism: "ring",
        establishment: Establishment::Connection,
        naming: Naming::Indirect,
        senders: Count::One,
        receivers: Count::One,
        links_per_pair: Count::Many,
        capacity: Capacity::Bytes(capacity as usize),
        message_length: MessageLength::up_to(longest_message(capacity)),
        direction: Direction::OneWay,
        carrier: Carrier::SharedMemory,
        buffering: Buffering::Automatic,
        boundaries: Boundaries::Kept,
        lifetime: Lifetime::Endpoints,
        when_full: WhenFull::Waits,
        lossy: false,
        order: Order::Fifo,
        priorities: None,
        death_notice: DeathNotice::Both,
        accepted_survives_sender: true,
        sender_identity: SenderIdentity::Unknown,
        synchronous_send: true,
        waitable,
    }
}

impl RingSender {
    pub(crate) fn new(sending: Sending<Mapped, PipeBell>) -> Self {
        Self(sending)
    }

    /// Sends as many of `messages` as there is room for, and makes them visible to the receiver
    /// together, for the price of one. Returns how many: at least one, unless there were none. Waits
    /// until `deadline` for room for the first.
    ///
    /// # Errors
    ///
    /// Those of [`Sender::send_deadline`] for the first message; a later one that cannot be sent ends
    /// the batch before it.
    pub fn send_batch(
        &mut self,
        messages: &[&[u8]],
        deadline: Deadline,
    ) -> Result<usize, SendError> {
        self.0.send_batch(messages, deadline)
    }
}

impl Sender for RingSender {
    #[inline]
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        self.0.send(message, deadline)
    }

    fn properties(&self) -> LinkProperties {
        properties(self.0.memory().capacity(), self.0.receiver_may_sleep())
    }

    fn send_synchronous(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        self.0.send_synchronous(message, deadline)
    }

    /// `None` where the receiver never sleeps: such links are for spinning.
    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        if self.0.receiver_may_sleep() { Some(self) } else { None }
    }
}

impl WaitSource for RingSender {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        (self.0.bell.as_fd(), Interest::Readable)
    }

    /// Ready means room for a message of any length.
    fn arm(&mut self) -> io::Result<Armed> {
        Ok(if self.0.arm() { Armed::Ready } else { Armed::Waiting })
    }

    fn disarm(&mut self) {
        self.0.disarm();
    }
}

impl LoanSender for RingSender {
    type Loan<'a> = RingLoan<'a>;

    fn loan(&mut self, len: usize, deadline: Deadline) -> Result<RingLoan<'_>, SendError> {
        let claim = self.0.claim(len, deadline)?;
        Ok(RingLoan { sending: &mut self.0, claim, len })
    }
}

impl Receiver for RingReceiver {
    #[inline]
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        self.0.recv(buffer, deadline)
    }

    fn properties(&self) -> LinkProperties {
        properties(self.0.memory().capacity(), self.0.may_sleep())
    }

    /// `None` for a receiver with [`WaitStrategy::Spin`](ipc_core::WaitStrategy::Spin): it told the
    /// sender at the handshake that it never sleeps.
    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        if self.0.may_sleep() { Some(self) } else { None }
    }
}

impl RingReceiver {
    pub(crate) fn new(receiving: Receiving<Mapped, PipeBell>) -> Self {
        Self(receiving)
    }
}

impl WaitSource for RingReceiver {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        (self.0.bell.as_fd(), Interest::Readable)
    }

    fn arm(&mut self) -> io::Result<Armed> {
        Ok(if self.0.arm() { Armed::Ready } else { Armed::Waiting })
    }

    fn disarm(&mut self) {
        self.0.disarm();
    }
}

impl BorrowReceiver for RingReceiver {
    type Message<'a> = RingMessage<'a>;

    unsafe fn borrow(&mut self, deadline: Deadline) -> Result<RingMessage<'_>, RecvError> {
        let message = self.0.next(deadline)?;
        Ok(RingMessage { receiving: &mut self.0, message })
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

    fn deref(&self) -> &[u8] {
        let piece = self.sending.memory().piece(self.claim.message_offset(), self.len);
        // SAFETY: `len` bytes of the ring that are claimed and not committed. The kernel lets only
        // this process write them (the memory is sealed), where the one sender is borrowed here.
        unsafe { std::slice::from_raw_parts(piece.as_ptr(), self.len) }
    }
}

impl DerefMut for RingLoan<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        let piece = self.sending.memory().piece(self.claim.message_offset(), self.len);
        // SAFETY: as above; borrowed mutably from `self`.
        unsafe { std::slice::from_raw_parts_mut(piece.as_ptr(), self.len) }
    }
}

impl Loan for RingLoan<'_> {
    fn shrink(&mut self, len: usize) {
        assert!(len <= self.len, "shrink to {len} bytes a loan of {}", self.len);
        self.len = len;
    }

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

    fn deref(&self) -> &[u8] {
        let piece = self.receiving.memory().piece(self.message.offset, self.message.len());
        // SAFETY: `len` bytes of the ring, checked by `peek`; that the sender does not write them now
        // is the promise of who called `borrow`.
        unsafe { std::slice::from_raw_parts(piece.as_ptr(), self.message.len()) }
    }
}

impl Drop for RingMessage<'_> {
    fn drop(&mut self) {
        self.receiving.release(self.message);
    }
}

impl fmt::Debug for RingSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingSender").field("longest", &self.0.longest()).finish_non_exhaustive()
    }
}

impl fmt::Debug for RingReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingReceiver").finish_non_exhaustive()
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
