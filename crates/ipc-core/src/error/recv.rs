//! Why no message was received.

use super::{OsError, Resource, Violation};
use crate::Deadline;

/// Why no message was received.
///
/// Two words, as [`SendError`](crate::SendError), and for the same reason: details are in boxes, which the
/// constructors fill.
#[derive(Debug, thiserror::Error)]
pub enum RecvError {
    /// No message, and the deadline was [`Deadline::Now`].
    #[error("receive: the link is empty")]
    Empty,
    /// No message until the deadline.
    #[error("receive: timed out with the link still empty")]
    TimedOut,
    /// The sender has closed its end or died, and everything that it left was delivered.
    #[error("receive on {link}: the sender is gone")]
    PeerGone {
        /// The link.
        link: Resource,
    },
    /// The next message does not fit. It stays in the link.
    #[error(transparent)]
    BufferTooSmall(Box<BufferTooSmall>),
    /// The peer broke the link's protocol. The link is poisoned: this error repeats.
    #[error("receive on {0}")]
    Violation(Box<Violation>),
    /// Any other failure of a system call.
    #[error(transparent)]
    Os(Box<OsError>),
}

/// A buffer that the next message does not fit.
#[derive(Debug, thiserror::Error)]
#[error("receive on {link}: message of {needed} bytes does not fit the buffer of {len}")]
pub struct BufferTooSmall {
    /// Length of the message in bytes.
    pub needed: usize,
    /// Length of the buffer in bytes.
    pub len: usize,
    /// The link.
    pub link: Resource,
}

/// Constructors that are never inlined: a path that succeeds has nothing but the call of them.
impl RecvError {
    /// A [`PeerGone`](Self::PeerGone): the sender of this link is no more, and what it left was
    /// delivered.
    #[cold]
    #[inline(never)]
    pub fn peer_gone(link: &Resource) -> Self {
        Self::PeerGone { link: link.clone() }
    }

    /// A [`BufferTooSmall`](Self::BufferTooSmall): a message of `needed` bytes for a buffer of `len`.
    #[cold]
    #[inline(never)]
    pub fn buffer_too_small(needed: usize, len: usize, link: &Resource) -> Self {
        Self::BufferTooSmall(Box::new(BufferTooSmall { needed, len, link: link.clone() }))
    }

    /// A [`Violation`](Self::Violation) of the link's protocol: what was wrong.
    #[cold]
    #[inline(never)]
    pub fn violation(what: &'static str, link: &Resource) -> Self {
        Self::Violation(Violation::boxed(what, link))
    }
}

impl RecvError {
    /// The error for a link without a message when there is no more time: [`Empty`](Self::Empty)
    /// under [`Deadline::Now`], else [`TimedOut`](Self::TimedOut).
    #[inline]
    pub fn no_message(deadline: Deadline) -> Self {
        match deadline {
            Deadline::Now => Self::Empty,
            Deadline::Never | Deadline::At(_) => Self::TimedOut,
        }
    }

    /// Whether trying again later can succeed: empty, or timed out.
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Empty | Self::TimedOut)
    }
}

impl From<OsError> for RecvError {
    /// An [`Os`](Self::Os) error.
    #[cold]
    #[inline(never)]
    fn from(error: OsError) -> Self {
        Self::Os(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::io;

    use super::*;

    #[test]
    fn each_text_names_the_link() {
        let link = Resource::named("FIFO", "/tmp/orders");
        let texts = [
            (RecvError::peer_gone(&link), "receive on FIFO \"/tmp/orders\": the sender is gone"),
            (
                RecvError::buffer_too_small(9, 4, &link),
                "receive on FIFO \"/tmp/orders\": message of 9 bytes does not fit the buffer of 4",
            ),
            (
                RecvError::violation("a torn header", &link),
                "receive on FIFO \"/tmp/orders\": the peer broke the protocol: a torn header",
            ),
        ];
        for (error, text) in texts {
            assert_eq!(error.to_string(), text);
            assert!(error.source().is_none(), "{text}");
        }
    }

    #[test]
    fn the_systems_error_stays_reachable() {
        let link = Resource::unnamed("pipe");
        let error = RecvError::from(OsError::new("read", &link, rustix::io::Errno::IO));
        let source = error.source().and_then(|s| s.downcast_ref::<io::Error>());
        assert_eq!(source.and_then(io::Error::raw_os_error), Some(5));
    }
}
