//! How a measuring loop hands messages to an endpoint and gets them back. The usual ways are here: to
//! ask again and again, to leave the waiting to the endpoint, the same with a deadline. Those that take
//! other calls are in [`super::in_place`] and [`super::batch`].

use std::time::Duration;

use ipc_core::{Boundaries, Capacity, LinkProperties, Receiver, RecvError, SendError, Sender};

use super::content::{Extent, Incoming, Outgoing};

/// One way. A type, so that each loop is compiled for it alone.
pub trait Style: Copy {
    /// Whether [`recv`](RecvStyle::recv) counts how often there was nothing.
    const COUNTS_EMPTY_POLLS: bool = false;
    /// Whether round trips are measured, or only streams.
    const ROUND_TRIPS: bool = true;
    /// How many messages a call sends, at most.
    const AT_ONCE: usize = 1;
    /// How much of each message is written and read.
    const EXTENT: Extent = Extent::All;

    /// How to do it on a link of these properties, with messages of this size.
    fn for_link(properties: &LinkProperties, size_bytes: usize) -> Self;
}

/// How to send by an endpoint of type `S`.
pub trait SendStyle<S>: Style {
    /// Sends, once there is room.
    ///
    /// # Errors
    ///
    /// Those of the endpoint, but not that it is full.
    fn send(self, sender: &mut S, message: &[u8]) -> Result<(), SendError>;

    /// Sends so many messages.
    ///
    /// # Errors
    ///
    /// Those of the endpoint.
    #[inline]
    fn send_all(
        self,
        sender: &mut S,
        outgoing: &mut impl Outgoing,
        count: u64,
    ) -> anyhow::Result<()> {
        for _ in 0..count {
            self.send(sender, outgoing.next_message())?;
            outgoing.sent(1);
        }
        Ok(())
    }
}

/// How to receive by an endpoint of type `R`.
pub trait RecvStyle<R>: Style {
    /// Receives, once there is a message; returns its length, and adds to `empty_polls` how often
    /// there was none.
    ///
    /// # Errors
    ///
    /// Those of the endpoint, but not that it is empty.
    fn recv(
        self,
        receiver: &mut R,
        buffer: &mut [u8],
        empty_polls: &mut u64,
    ) -> Result<usize, RecvError>;

    /// Receives so many messages into `buffer`, one after another, and checks each.
    ///
    /// # Errors
    ///
    /// The endpoint's, or that a message came corrupted, twice or out of order.
    #[inline]
    fn recv_all(
        self,
        receiver: &mut R,
        buffer: &mut [u8],
        incoming: &mut impl Incoming,
        count: u64,
        empty_polls: &mut u64,
    ) -> anyhow::Result<()> {
        for _ in 0..count {
            let received = self.recv(receiver, buffer, empty_polls)?;
            incoming.check(&buffer[..received])?;
        }
        Ok(())
    }
}

/// Asks again and again (`try_send`, `try_recv`): how a kernel mechanism is spun upon.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    /// Whether the sender asks too.
    sends: bool,
}

/// Leaves it to the endpoint: the kernel sleeps, and a ring does as its wait strategy says.
#[derive(Clone, Copy, Debug)]
pub struct Waiting;

/// As [`Waiting`], but each call has a deadline, a second ahead.
#[derive(Clone, Copy, Debug)]
pub struct Timed;

impl Style for Asking {
    const COUNTS_EMPTY_POLLS: bool = true;

    /// A message that the link cannot take whole at once must be sent by waiting: it needs the
    /// receiver's help, and an endpoint that took a part would keep the rest until it is called again.
    fn for_link(properties: &LinkProperties, size_bytes: usize) -> Self {
        /// Every stream takes this much whole or not at all (`PIPE_BUF`).
        const WHOLE_BYTES: usize = 4096;
        let has_room = match properties.capacity {
            Capacity::Bytes(bytes) => 2 * size_bytes <= bytes,
            _ => true,
        };
        let is_whole = properties.boundaries == Boundaries::Kept && has_room;
        Self { sends: size_bytes <= WHOLE_BYTES || is_whole }
    }
}

impl<S: Sender> SendStyle<S> for Asking {
    #[inline]
    fn send(self, sender: &mut S, message: &[u8]) -> Result<(), SendError> {
        loop {
            let result = if self.sends { sender.try_send(message) } else { sender.send(message) };
            match result {
                Err(SendError::Full) => std::hint::spin_loop(),
                other => return other,
            }
        }
    }
}

impl<R: Receiver> RecvStyle<R> for Asking {
    #[inline]
    fn recv(
        self,
        receiver: &mut R,
        buffer: &mut [u8],
        empty_polls: &mut u64,
    ) -> Result<usize, RecvError> {
        loop {
            match receiver.try_recv(buffer) {
                Err(RecvError::Empty) => *empty_polls += 1,
                other => return other.map(|received| received.len),
            }
        }
    }
}

impl Style for Waiting {
    fn for_link(_properties: &LinkProperties, _size_bytes: usize) -> Self {
        Self
    }
}

impl<S: Sender> SendStyle<S> for Waiting {
    #[inline]
    fn send(self, sender: &mut S, message: &[u8]) -> Result<(), SendError> {
        loop {
            match sender.send(message) {
                // A link that refuses when it is full has no way to wait: let the receiver run.
                Err(SendError::Full) => std::thread::yield_now(),
                other => return other,
            }
        }
    }
}

impl<R: Receiver> RecvStyle<R> for Waiting {
    #[inline]
    fn recv(
        self,
        receiver: &mut R,
        buffer: &mut [u8],
        _empty_polls: &mut u64,
    ) -> Result<usize, RecvError> {
        receiver.recv(buffer).map(|received| received.len)
    }
}

impl Timed {
    /// Long enough that it only passes on a machine that does something else.
    const TIMEOUT: Duration = Duration::from_secs(1);
}

impl Style for Timed {
    fn for_link(_properties: &LinkProperties, _size_bytes: usize) -> Self {
        Self
    }
}

impl<S: Sender> SendStyle<S> for Timed {
    #[inline]
    fn send(self, sender: &mut S, message: &[u8]) -> Result<(), SendError> {
        loop {
            match sender.send_timeout(message, Self::TIMEOUT) {
                Err(SendError::Full) => std::thread::yield_now(), // see `Waiting`
                Err(SendError::TimedOut) => {}
                other => return other,
            }
        }
    }
}

impl<R: Receiver> RecvStyle<R> for Timed {
    #[inline]
    fn recv(
        self,
        receiver: &mut R,
        buffer: &mut [u8],
        _empty_polls: &mut u64,
    ) -> Result<usize, RecvError> {
        loop {
            match receiver.recv_timeout(buffer, Self::TIMEOUT) {
                Err(RecvError::TimedOut) => {}
                other => return other.map(|received| received.len),
            }
        }
    }
}
