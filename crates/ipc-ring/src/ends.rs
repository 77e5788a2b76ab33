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
    Establishment, Interest, Lifetime, LinkProperties, Liveness, MessageLength, Naming, Order,
    OsError, ProcessPeer, Received, Receiver, RecvError, SendError, Sender, SenderIdentity,
    WaitSource, WhenFull,
};

use crate::batch::Batch;
use crate::bell::PipeBell;
use crate::endpoint::receiving::Receiving;
use crate::endpoint::sending::Sending;
use crate::link::peer;
use crate::mapped::Mapped;
use crate::protocol::consumer::Message;
use crate::protocol::longest_message;
use crate::protocol::memory::Memory;
use crate::protocol::producer::Claim;

/// The sending end of a ring.
pub struct RingSender {
    sending: Sending<Mapped, PipeBell>,
    peer: ProcessPeer,
}

/// The receiving end of a ring.
pub struct RingReceiver {
    receiving: Receiving<Mapped, PipeBell>,
    peer: ProcessPeer,
}

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
    pub(crate) fn new(sending: Sending<Mapped, PipeBell>, peer: ProcessPeer) -> Self {
        Self { sending, peer }
    }

    /// The process at the other end. See [`Link::peer`](crate::Link::peer).
    pub fn peer(&self) -> ProcessPeer {
        self.peer
    }

    /// A watch on the process at the other end, made on demand: it is one more descriptor. Sends report
    /// its death without.
    ///
    /// It is a pidfd, which becomes readable when the process exits, whoever else holds its end of the
    /// link. Where the peer has no process id here (another PID namespace), it watches that end itself,
    /// which a child that the peer has forked without `exec` keeps open.
    ///
    /// # Errors
    ///
    /// `ESRCH` if the process is gone already, or has closed its end; those of `pidfd_open(2)` and `fcntl(2)`.
    pub fn peer_liveness(&self) -> Result<Liveness, OsError> {
        peer::liveness(self.peer, &self.sending.bell)
    }

    /// Sends as many of `messages` as there is room for, and makes them visible to the receiver
    /// together, for the price of one. Returns how many: at least one, unless there were none. Waits
    /// until `deadline` for room for the first.
    ///
    /// # Errors
    ///
    /// Those of [`Sender::send_deadline`] for the first message; a later one that cannot be sent ends
    /// the batch before it.
    pub fn send_batch<M: AsRef<[u8]>>(
        &mut self,
        messages: &[M],
        deadline: Deadline,
    ) -> Result<usize, SendError> {
        self.sending.send_batch(messages.iter().map(AsRef::as_ref), deadline)
    }
}

impl Sender for RingSender {
    #[inline]
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        self.sending.send(message, deadline)
    }

    fn properties(&self) -> LinkProperties {
        properties(self.sending.memory().capacity(), self.sending.receiver_may_sleep())
    }

    fn send_synchronous(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        self.sending.send_synchronous(message, deadline)
    }

    /// `None` where the receiver never sleeps: such links are for spinning.
    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        if self.sending.receiver_may_sleep() { Some(self) } else { None }
    }
}

impl WaitSource for RingSender {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        (self.sending.bell.as_fd(), Interest::Readable)
    }

    /// Ready means room for a message of any length.
    fn arm(&mut self) -> io::Result<Armed> {
        Ok(if self.sending.arm() { Armed::Ready } else { Armed::Waiting })
    }

    fn disarm(&mut self) {
        self.sending.disarm();
    }
}

impl LoanSender for RingSender {
    type Loan<'a> = RingLoan<'a>;

    fn loan(&mut self, len: usize, deadline: Deadline) -> Result<RingLoan<'_>, SendError> {
        let claim = self.sending.claim(len, deadline)?;
        Ok(RingLoan { sending: &mut self.sending, claim, len })
    }
}

impl Receiver for RingReceiver {
    #[inline]
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        self.receiving.recv(buffer, deadline)
    }

    fn properties(&self) -> LinkProperties {
        properties(self.receiving.memory().capacity(), self.receiving.may_sleep())
    }

    /// `None` for a receiver with [`WaitStrategy::Spin`](ipc_core::WaitStrategy::Spin): it told the
    /// sender at the handshake that it never sleeps.
    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        if self.receiving.may_sleep() { Some(self) } else { None }
    }
}

impl RingReceiver {
    pub(crate) fn new(receiving: Receiving<Mapped, PipeBell>, peer: ProcessPeer) -> Self {
        Self { receiving, peer }
    }

    /// Receives several messages at once into `batch`, in place of what it held: waits until `deadline`
    /// for the first, and takes what else is there, as far as the batch has room. Returns how many: at
    /// least one, unless the batch has room for none.
    ///
    /// The sender is told of the room as with single messages: once for each eighth of the ring.
    ///
    /// ```
    /// use ipc_core::{Deadline, Sender};
    /// use ipc_ring::{Batch, Link, Options};
    ///
    /// # let (here, there) = Link::between_threads(&Options::new(), &Options::new())?;
    /// # let (mut sender, mut receiver) = (here.sender.unwrap(), there.receiver.unwrap());
    /// sender.send_batch(&["coffee", "tea"], Deadline::Never)?;
    /// sender.send(b"cake")?;
    ///
    /// let mut orders = Batch::new(32, 4096);
    /// assert_eq!(receiver.recv_batch(&mut orders, Deadline::Never)?, 3);
    /// for order in &orders {
    ///     println!("{}", String::from_utf8_lossy(order));
    /// }
    /// # assert!(orders.iter().eq([&b"coffee"[..], b"tea", b"cake"]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Receiver::recv_deadline`] for the first message, among them
    /// [`RecvError::BufferTooSmall`] if it is longer than the whole batch. The batch is empty then. What
    /// goes wrong after the first message ends the batch, and is the next call's error.
    pub fn recv_batch(
        &mut self,
        batch: &mut Batch,
        deadline: Deadline,
    ) -> Result<usize, RecvError> {
        self.receiving.recv_batch(batch, deadline)
    }

    /// The process at the other end. See [`Link::peer`](crate::Link::peer).
    pub fn peer(&self) -> ProcessPeer {
        self.peer
    }

    /// A watch on the process at the other end. See [`RingSender::peer_liveness`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn peer_liveness(&self) -> Result<Liveness, OsError> {
        peer::liveness(self.peer, &self.receiving.bell)
    }
}

impl WaitSource for RingReceiver {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        (self.receiving.bell.as_fd(), Interest::Readable)
    }

    fn arm(&mut self) -> io::Result<Armed> {
        Ok(if self.receiving.arm() { Armed::Ready } else { Armed::Waiting })
    }

    fn disarm(&mut self) {
        self.receiving.disarm();
    }
}

impl BorrowReceiver for RingReceiver {
    type Message<'a> = RingMessage<'a>;

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
        f.debug_struct("RingSender")
            .field("longest", &self.sending.longest())
            .finish_non_exhaustive()
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
