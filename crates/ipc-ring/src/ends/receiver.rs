//! The receiving end of bytes. Leaves out messages read where they lie: see `zero_copy.rs`.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use ipc_core::{
    Armed, Deadline, Interest, LinkProperties, Liveness, OsError, ProcessPeer, Received, Receiver,
    RecvError, WaitSource,
};

use super::properties;
use crate::batch::Batch;
use crate::bell::PipeBell;
use crate::endpoint::receiving::Receiving;
use crate::link::peer;
use crate::mapped::Mapped;
use crate::protocol::memory::Memory;

/// The receiving end of a ring.
pub struct RingReceiver {
    pub(super) receiving: Receiving<Mapped, PipeBell>,
    peer: ProcessPeer,
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

    /// A watch on the process at the other end. See
    /// [`RingSender::peer_liveness`](crate::RingSender::peer_liveness).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn peer_liveness(&self) -> Result<Liveness, OsError> {
        peer::liveness(self.peer, &self.receiving.bell)
    }

    /// Whether this end makes the memory barriers of both when it goes to sleep: the sender has asked for
    /// it ([`Options::asymmetric_fences`](crate::Options::asymmetric_fences)), this end may sleep, and the
    /// kernel can.
    pub fn has_asymmetric_fences(&self) -> bool {
        self.receiving.bars()
    }
}

impl Receiver for RingReceiver {
    #[inline]
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        self.receiving.recv(buffer, deadline).map(Received::of_len)
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

impl WaitSource for RingReceiver {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        (self.receiving.bell.as_fd(), Interest::Readable)
    }

    /// Fails where waiting does: the kernel refused a barrier that this process had promised. See
    /// [`Options::asymmetric_fences`](crate::Options::asymmetric_fences).
    fn arm(&mut self) -> io::Result<Armed> {
        Ok(if self.receiving.arm()? { Armed::Ready } else { Armed::Waiting })
    }

    fn disarm(&mut self) {
        self.receiving.disarm();
    }
}

impl fmt::Debug for RingReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingReceiver")
            .field("has_asymmetric_fences", &self.has_asymmetric_fences())
            .finish_non_exhaustive()
    }
}
