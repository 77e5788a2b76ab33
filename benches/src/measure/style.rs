//! Whether a measuring loop asks an endpoint again and again, or leaves the waiting to it.

use ipc_core::{Receiver, RecvError, SendError, Sender};

/// One way of waiting. A type, not a value, so that each loop is compiled for it alone.
pub trait Style {
    /// Whether [`recv`](Style::recv) counts how often there was nothing.
    const COUNTS_EMPTY_POLLS: bool;

    /// Sends, once there is room.
    ///
    /// # Errors
    ///
    /// Those of the endpoint, but not that it is full.
    fn send<S: Sender>(sender: &mut S, message: &[u8]) -> Result<(), SendError>;

    /// Receives, once there is a message; returns its length, and adds to `empty_polls` how often
    /// there was none.
    ///
    /// # Errors
    ///
    /// Those of the endpoint, but not that it is empty.
    fn recv<R: Receiver>(
        receiver: &mut R,
        buffer: &mut [u8],
        empty_polls: &mut u64,
    ) -> Result<usize, RecvError>;
}

/// Asks again and again (`try_send`, `try_recv`): how a kernel mechanism is spun upon.
#[derive(Debug)]
pub struct Asking;

/// Leaves it to the endpoint: the kernel sleeps, and a ring does as its wait strategy says.
#[derive(Debug)]
pub struct Waiting;

impl Style for Asking {
    const COUNTS_EMPTY_POLLS: bool = true;

    #[inline]
    fn send<S: Sender>(sender: &mut S, message: &[u8]) -> Result<(), SendError> {
        loop {
            match sender.try_send(message) {
                Err(SendError::Full) => std::hint::spin_loop(),
                other => return other,
            }
        }
    }

    #[inline]
    fn recv<R: Receiver>(
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

    #[inline]
    fn send<S: Sender>(sender: &mut S, message: &[u8]) -> Result<(), SendError> {
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
        receiver: &mut R,
        buffer: &mut [u8],
        _empty_polls: &mut u64,
    ) -> Result<usize, RecvError> {
        receiver.recv(buffer).map(|received| received.len)
    }
}
