//! What can go wrong: one small closed set per operation, each with the operation and the resource
//! in its text and the system's error as its source.
//!
//! [`SendError`] and [`RecvError`] are enums, because callers match on them to steer (full, empty,
//! timed out, gone). [`OpenError`] is a struct with a [`kind`](OpenError::kind), as
//! [`std::io::Error`] is, because making a link fails for many reasons and few callers steer by
//! them.
//!
//! The two enums have two words, and so have their results without a value: those come back in two
//! registers. Whatever more there is to say lies in a box, which only a failure allocates. A loop
//! that passes results on would otherwise copy eight words for each message, sent or not.

mod open;
mod recv;
mod send;

use std::fmt;
use std::io;
use std::sync::Arc;

pub use open::{OpenError, OpenErrorKind};
pub use recv::{BufferTooSmall, RecvError};
pub use send::{LimitReached, PriorityTooHigh, SendError, TooLong, TooShort, Unsupported};

/// The thing that an error is about, as a person would name it: `POSIX queue "/orders"`.
///
/// Cheap to clone: an endpoint makes its own once and hands a copy to each error. It is one word, so
/// that an error which is matched on in every loop, [`PeerGone`](SendError::PeerGone), can hold it
/// and stay at two.
#[derive(Clone, PartialEq, Eq)]
// An `Arc<str>` has two words: the length is beside the pointer. In the box it is behind it.
pub struct Resource(Arc<Box<str>>);

impl Resource {
    /// A resource of a `kind` (`"FIFO"`) and a name, shown in quotes.
    pub fn named(kind: &str, name: impl fmt::Display) -> Self {
        Self::unnamed(format!("{kind} {:?}", name.to_string()))
    }

    /// A resource that has no name of its own: `"pipe to process 17"`.
    pub fn unnamed(description: impl Into<Box<str>>) -> Self {
        Self(Arc::new(description.into()))
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A system call that failed: which one, on what, and why.
#[derive(Debug, thiserror::Error)]
#[error("{operation} on {resource}: {source}")]
pub struct OsError {
    /// The system call or library function, as its man page is called: `"mq_timedsend"`.
    pub operation: &'static str,
    /// What it was called on.
    pub resource: Resource,
    /// The error that it gave.
    pub source: io::Error,
}

impl OsError {
    /// Puts an `errno` (or any error that converts) together with where it came from.
    pub fn new(operation: &'static str, resource: &Resource, source: impl Into<io::Error>) -> Self {
        Self { operation, resource: resource.clone(), source: source.into() }
    }
}

/// What a peer did that the link's protocol does not allow, in [`SendError::Violation`] and
/// [`RecvError::Violation`]. Those two put the operation before its text.
#[derive(Debug, thiserror::Error)]
#[error("{link}: the peer broke the protocol: {what}")]
pub struct Violation {
    /// What was wrong.
    pub what: &'static str,
    /// The link.
    pub link: Resource,
}

impl Violation {
    fn boxed(what: &'static str, link: &Resource) -> Box<Self> {
        Box::new(Self { what, link: link.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A result that fits two registers is not written to memory and copied from there. Loops like
    /// `match sender.send(m) { Err(SendError::Full) => …, other => return other }` did that for each
    /// message while the errors were larger, although hardly one of them fails.
    #[test]
    fn errors_and_results_fit_two_registers() {
        assert!(size_of::<SendError>() <= 16);
        assert!(size_of::<RecvError>() <= 16);
        assert!(size_of::<Result<(), SendError>>() <= 16);
        assert!(size_of::<Result<(), RecvError>>() <= 16);
    }
}
