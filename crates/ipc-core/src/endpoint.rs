//! The two traits that every mechanism implements. Leaves out zero-copy access
//! ([`crate::zero_copy`]) and typed messages ([`crate::TypedSender`]).

use std::time::Duration;

use crate::{Deadline, LinkProperties, PeerId, RecvError, SendError, WaitSource};

/// The sending end of a link.
///
/// One method moves a message, [`send_deadline`](Sender::send_deadline); the others are it, with
/// another patience. The trait is object-safe, so that a program swaps a pipe for a ring by changing
/// one constructor, and an endpoint moves between threads but serves one at a time (`&mut self`).
///
/// # Errors
///
/// Every method fails with [`SendError`]. After [`SendError::Full`] or [`SendError::TimedOut`]
/// nothing of the message is in the link: an endpoint that had begun to write one owns the rest of
/// it and finishes it before the next.
pub trait Sender: Send {
    /// Sends one message of any bytes, waiting for room until `deadline`.
    ///
    /// Returns when the link has accepted the message (on a [`Capacity::Zero`] link: when the
    /// receiver has taken it). What accepting is worth after the sender's death is told by
    /// [`LinkProperties::accepted_survives_sender`].
    ///
    /// [`Capacity::Zero`]: crate::Capacity::Zero
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError>;

    /// What this link is like. Values that the kernel may change under way (a pipe's capacity) are
    /// those of the moment.
    fn properties(&self) -> LinkProperties;

    /// Sends with a priority in [`LinkProperties::priorities`]; a larger number is delivered first.
    ///
    /// # Errors
    ///
    /// [`SendError::Unsupported`] on a link without priorities.
    fn send_priority(
        &mut self,
        message: &[u8],
        priority: u32,
        deadline: Deadline,
    ) -> Result<(), SendError> {
        let _ = (message, priority, deadline);
        Err(SendError::unsupported("send with a priority", self.properties().mechanism))
    }

    /// Sends, and returns once the receiver has **taken** the message.
    ///
    /// [`SendError::TimedOut`] before the message was accepted means that it had no effect;
    /// [`SendError::NotTaken`] that it was accepted, and is still in the link.
    ///
    /// # Errors
    ///
    /// [`SendError::Unsupported`] on a link that cannot know
    /// ([`LinkProperties::synchronous_send`] is false).
    fn send_synchronous(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        let _ = (message, deadline);
        Err(SendError::unsupported("send synchronously", self.properties().mechanism))
    }

    /// Sends without waiting: [`SendError::Full`] where there is no room.
    #[inline]
    fn try_send(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.send_deadline(message, Deadline::Now)
    }

    /// Sends, waiting for room as long as it takes.
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.send_deadline(message, Deadline::Never)
    }

    /// Sends, waiting for room at most `timeout`.
    #[inline]
    fn send_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<(), SendError> {
        self.send_deadline(message, Deadline::after(timeout))
    }

    /// How to wait for room here together with other links: `None` where the mechanism has nothing
    /// that a descriptor can stand for.
    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        None
    }
}

/// The receiving end of a link. See [`Sender`] for the shape of the trait.
///
/// # Errors
///
/// Every method fails with [`RecvError`]. An empty link ([`RecvError::Empty`]) is not a message of
/// no bytes (`Ok` with `len` 0). [`RecvError::PeerGone`] comes only after everything that the link
/// still held has been delivered, as far as [`LinkProperties::accepted_survives_sender`] promises.
pub trait Receiver: Send {
    /// Receives one message into the front of `buffer`, waiting for one until `deadline`.
    ///
    /// # Errors
    ///
    /// [`RecvError::BufferTooSmall`] tells the length that is needed, and the message stays in the
    /// link, to be received by the next call with a buffer of that length.
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError>;

    /// What this link is like. See [`Sender::properties`].
    fn properties(&self) -> LinkProperties;

    /// Receives without waiting: [`RecvError::Empty`] where there is no message.
    #[inline]
    fn try_recv(&mut self, buffer: &mut [u8]) -> Result<Received, RecvError> {
        self.recv_deadline(buffer, Deadline::Now)
    }

    /// Receives, waiting for a message as long as it takes.
    #[inline]
    fn recv(&mut self, buffer: &mut [u8]) -> Result<Received, RecvError> {
        self.recv_deadline(buffer, Deadline::Never)
    }

    /// Receives, waiting for a message at most `timeout`.
    #[inline]
    fn recv_timeout(
        &mut self,
        buffer: &mut [u8],
        timeout: Duration,
    ) -> Result<Received, RecvError> {
        self.recv_deadline(buffer, Deadline::after(timeout))
    }

    /// Receives into a vector, which ends with the length of the message. It is first filled to its
    /// capacity, and grows where the message needs more.
    fn recv_to_vec(
        &mut self,
        buffer: &mut Vec<u8>,
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        buffer.resize(buffer.capacity(), 0);
        loop {
            match self.recv_deadline(buffer, deadline) {
                Ok(received) => {
                    buffer.truncate(received.len);
                    return Ok(received);
                }
                Err(RecvError::BufferTooSmall(small)) if small.needed > buffer.len() => {
                    buffer.resize(small.needed, 0);
                }
                Err(error) => {
                    buffer.clear();
                    return Err(error);
                }
            }
        }
    }

    /// How to wait for a message here together with other links. See [`Sender::wait_source`].
    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        None
    }
}

/// What a receive reports beside the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Length of the message in bytes; it lies at the front of the buffer.
    pub len: usize,
    /// Who sent it, where the link tells ([`LinkProperties::sender_identity`]).
    pub sender: Option<PeerId>,
    /// Its priority; 0 on links without priorities.
    pub priority: u32,
}

impl Received {
    /// A message of `len` bytes from an unnamed sender, without priority.
    pub const fn of_len(len: usize) -> Self {
        Self { len, sender: None, priority: 0 }
    }
}

impl<S: Sender + ?Sized> Sender for Box<S> {
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        (**self).send_deadline(message, deadline)
    }
    fn properties(&self) -> LinkProperties {
        (**self).properties()
    }
    fn send_priority(
        &mut self,
        message: &[u8],
        priority: u32,
        deadline: Deadline,
    ) -> Result<(), SendError> {
        (**self).send_priority(message, priority, deadline)
    }
    fn send_synchronous(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        (**self).send_synchronous(message, deadline)
    }
    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        (**self).wait_source()
    }
}

impl<R: Receiver + ?Sized> Receiver for Box<R> {
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        (**self).recv_deadline(buffer, deadline)
    }
    fn properties(&self) -> LinkProperties {
        (**self).properties()
    }
    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        (**self).wait_source()
    }
}
