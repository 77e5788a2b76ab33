//! What an endpoint offers to be waited for together with others. Leaves out the wait set itself.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::event::PollFlags;

/// The readiness to poll a descriptor for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interest {
    /// Readable (`POLLIN`).
    Readable,
    /// Writable (`POLLOUT`).
    Writable,
}

impl Interest {
    /// The flags to give to `poll(2)`.
    pub fn poll_flags(self) -> PollFlags {
        match self {
            Self::Readable => PollFlags::IN,
            Self::Writable => PollFlags::OUT,
        }
    }
}

/// The answer of [`WaitSource::arm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Armed {
    /// The endpoint is ready: do not sleep, call it.
    Ready,
    /// It is not ready; its descriptor will tell when it may be.
    Waiting,
}

/// An endpoint that can be waited for together with others, through a descriptor.
///
/// The protocol is that of every wait that loses nothing: **arm, then poll, then disarm**. Arming
/// announces the waiter to the peer and then looks once more, so that whatever came before the
/// announcement is seen by the look and whatever comes after it reaches the descriptor. For a kernel
/// mechanism the descriptor alone says it all, and arming only looks for what the endpoint holds in
/// its own buffers; a ring in shared memory tells its peer to ring a doorbell.
///
/// A wake-up is a hint: the operation that follows may still find the link empty or full.
pub trait WaitSource {
    /// The descriptor to poll, and for what. It stays the same for the life of the endpoint.
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest);

    /// Announces a waiter, then looks whether the endpoint is ready already. Never blocks.
    ///
    /// # Errors
    ///
    /// Those of the system calls that it takes, with no waiter announced.
    fn arm(&mut self) -> io::Result<Armed> {
        Ok(Armed::Waiting)
    }

    /// Withdraws the announcement, and takes back a wake-up that came of it. Never blocks.
    fn disarm(&mut self) {}
}
