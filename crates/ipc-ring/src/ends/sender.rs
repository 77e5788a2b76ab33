//! The sending end of bytes. Leaves out loans: see `zero_copy.rs`.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use ipc_core::{
    Armed, Deadline, Interest, LinkProperties, Liveness, OsError, ProcessPeer, SendError, Sender,
    WaitSource,
};

use super::properties;
use crate::bell::PipeBell;
use crate::endpoint::sending::Sending;
use crate::link::peer;
use crate::mapped::Mapped;
use crate::protocol::memory::Memory;
use crate::protocol::producer::Sleeper;

/// The sending end of a ring.
pub struct RingSender {
    pub(super) sending: Sending<Mapped, PipeBell>,
    peer: ProcessPeer,
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

    /// Whether this end sends without a fence, since the receiver makes the memory barriers of both when it
    /// goes to sleep: asked for by [`Options::asymmetric_fences`](crate::Options::asymmetric_fences), and
    /// so if both sides can. `false` too where the receiver never sleeps, so that nobody needs a fence.
    pub fn has_asymmetric_fences(&self) -> bool {
        self.sending.sleeper() == Sleeper::Bars
    }

    fn receiver_may_sleep(&self) -> bool {
        self.sending.sleeper() != Sleeper::Never
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
        properties(self.sending.memory().capacity(), self.receiver_may_sleep())
    }

    fn send_synchronous(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        self.sending.send_synchronous(message, deadline)
    }

    /// `None` where the receiver never sleeps: such links are for spinning.
    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        if self.receiver_may_sleep() { Some(self) } else { None }
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

impl fmt::Debug for RingSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingSender")
            .field("longest", &self.sending.longest())
            .field("has_asymmetric_fences", &self.has_asymmetric_fences())
            .finish_non_exhaustive()
    }
}
