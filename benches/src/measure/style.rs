//! Whether a measuring loop asks an endpoint again and again, or leaves the waiting to it.

use ipc_core::{Boundaries, Capacity, LinkProperties, Receiver, RecvError, SendError, Sender};

/// One way of waiting. A type, so that each loop is compiled for it alone.
pub trait Style: Copy {
    /// Whether [`recv`](Style::recv) counts how often there was nothing.
    const COUNTS_EMPTY_POLLS: bool;

    /// How to wait on a link of these properties, with messages of this size.
    fn for_link(properties: &LinkProperties, size_bytes: usize) -> Self;

    /// Sends, once there is room.
    ///
    /// # Errors
    ///
    /// Those of the endpoint, but not that it is full.
    fn send<S: Sender>(self, sender: &mut S, message: &[u8]) -> Result<(), SendError>;

    /// Receives, once there is a message; returns its length, and adds to `empty_polls` how often
    /// there was none.
    ///
    /// # Errors
    ///
    /// Those of the endpoint, but not that it is empty.
    fn recv<R: Receiver>(
        self,
        receiver: &mut R,
        buffer: &mut [u8],
        empty_polls: &mut u64,
    ) -> Result<usize, RecvError>;
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

    #[inline]
    fn send<S: Sender>(self, sender: &mut S, message: &[u8]) -> Result<(), SendError> {
        loop {
            let result = if self.sends { sender.try_send(message) } else { sender.send(message) };
            match result {
                Err(SendError::Full) => std::hint::spin_loop(),
                other => return other,
            }
        }
    }

    #[inline]
    fn recv<R: Receiver>(
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
    const COUNTS_EMPTY_POLLS: bool = false;

    fn for_link(_properties: &LinkProperties, _size_bytes: usize) -> Self {
        Self
    }

    #[inline]
    fn send<S: Sender>(self, sender: &mut S, message: &[u8]) -> Result<(), SendError> {
        loop {
            match sender.send(message) {
                // A link that refuses when it is full has no way to wait: let the receiver run.
                Err(SendError::Full) => std::thread::yield_now(),
                other => return other,
            }
        }
    }

    #[inline]
    fn recv<R: Receiver>(
        self,
        receiver: &mut R,
        buffer: &mut [u8],
        _empty_polls: &mut u64,
    ) -> Result<usize, RecvError> {
        receiver.recv(buffer).map(|received| received.len)
    }
}
