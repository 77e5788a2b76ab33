//! What can go wrong: one small closed set per operation, each with the operation and the resource
//! in its text and the system's error as its source.
//!
//! [`SendError`] and [`RecvError`] are enums, because callers match on them to steer (full, empty,
//! timed out, gone). [`OpenError`] is a struct with a [`kind`](OpenError::kind), as
//! [`std::io::Error`] is, because making a link fails for many reasons and few callers steer by
//! them.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::{Deadline, NameError};

/// The thing that an error is about, as a person would name it: `POSIX queue "/orders"`.
///
/// Cheap to clone: an endpoint makes its own once and hands a copy to each error.
#[derive(Clone, PartialEq, Eq)]
pub struct Resource(Arc<str>);

impl Resource {
    /// A resource of a `kind` (`"FIFO"`) and a name, shown in quotes.
    pub fn named(kind: &str, name: impl fmt::Display) -> Self {
        Self(format!("{kind} {:?}", name.to_string()).into())
    }

    /// A resource that has no name of its own: `"pipe to process 17"`.
    pub fn unnamed(description: impl Into<Arc<str>>) -> Self {
        Self(description.into())
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

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No room, and the deadline was [`Deadline::Now`]; or the link refuses when it is full
    /// ([`WhenFull::Refuses`](crate::WhenFull::Refuses)). Nothing was sent.
    #[error("send: the link is full")]
    Full,
    /// No room until the deadline. Nothing was sent.
    #[error("send: timed out with the link still full")]
    TimedOut,
    /// A synchronous send reached its deadline with the message accepted, but not yet taken. It is
    /// still in the link.
    #[error("send: timed out with the message accepted and not yet taken")]
    NotTaken,
    /// The receiver has closed its end or died. Nothing more will be received.
    #[error("send on {link}: the receiver is gone")]
    PeerGone {
        /// The link.
        link: Resource,
    },
    /// The message is longer than the link can ever carry.
    #[error("send on {link}: message of {len} bytes is longer than the {max} that fit")]
    TooLong {
        /// Length of the message in bytes.
        len: usize,
        /// The longest message of this link in bytes.
        max: usize,
        /// The link.
        link: Resource,
    },
    /// The message is shorter than the link can carry.
    #[error("send on {link}: message of {len} bytes is shorter than the least of {min}")]
    TooShort {
        /// Length of the message in bytes.
        len: usize,
        /// The shortest message of this link in bytes.
        min: usize,
        /// The link.
        link: Resource,
    },
    /// The priority is above the highest of this link.
    #[error("send on {link}: priority {priority} is above the highest, {max}")]
    PriorityTooHigh {
        /// The priority asked for.
        priority: u32,
        /// The highest that the link has.
        max: u32,
        /// The link.
        link: Resource,
    },
    /// Links of this mechanism cannot do what was asked.
    #[error("a {mechanism} cannot {operation}")]
    Unsupported {
        /// What was asked, as a verb phrase.
        operation: &'static str,
        /// The mechanism, as in [`LinkProperties::mechanism`](crate::LinkProperties::mechanism).
        mechanism: &'static str,
    },
    /// A limit of the system or of the link's own ceiling stops the message; `setting` raises it.
    #[error("{source}; {setting} raises the limit")]
    Limit {
        /// The setting: `"RLIMIT_SIGPENDING (ulimit -i)"`.
        setting: &'static str,
        /// The refused call.
        source: OsError,
    },
    /// The peer broke the link's protocol. The link is poisoned: this error repeats.
    #[error("send on {link}: the peer broke the protocol: {what}")]
    Violation {
        /// What was wrong.
        what: &'static str,
        /// The link.
        link: Resource,
    },
    /// Any other failure of a system call.
    #[error(transparent)]
    Os(#[from] OsError),
}

impl SendError {
    /// The error for a link without room when there is no more time: [`Full`](Self::Full) under
    /// [`Deadline::Now`], else [`TimedOut`](Self::TimedOut).
    #[inline]
    pub fn no_room(deadline: Deadline) -> Self {
        match deadline {
            Deadline::Now => Self::Full,
            Deadline::Never | Deadline::At(_) => Self::TimedOut,
        }
    }

    /// An [`Unsupported`](Self::Unsupported) operation (a verb phrase) of a mechanism.
    pub const fn unsupported(operation: &'static str, mechanism: &'static str) -> Self {
        Self::Unsupported { operation, mechanism }
    }

    /// Whether trying again later can succeed: full, or timed out.
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Full | Self::TimedOut)
    }
}

/// Why no message was received.
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
    #[error("receive on {link}: message of {needed} bytes does not fit the buffer of {len}")]
    BufferTooSmall {
        /// Length of the message in bytes.
        needed: usize,
        /// Length of the buffer in bytes.
        len: usize,
        /// The link.
        link: Resource,
    },
    /// The peer broke the link's protocol. The link is poisoned: this error repeats.
    #[error("receive on {link}: the peer broke the protocol: {what}")]
    Violation {
        /// What was wrong.
        what: &'static str,
        /// The link.
        link: Resource,
    },
    /// Any other failure of a system call.
    #[error(transparent)]
    Os(#[from] OsError),
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

/// Why a link or one of its ends could not be made: created, opened, connected, accepted.
#[derive(Debug)]
pub struct OpenError {
    operation: &'static str,
    resource: Resource,
    kind: OpenErrorKind,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.operation, self.resource, self.kind)
    }
}

impl Error for OpenError {
    /// The system's error, if there is one; the kind is in the text already.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.kind.source()
    }
}

impl OpenError {
    /// An error of this `kind` in an operation (`"create"`, `"mq_open"`) on a resource.
    pub fn new(operation: &'static str, resource: &Resource, kind: OpenErrorKind) -> Self {
        Self { operation, resource: resource.clone(), kind }
    }

    /// Sorts the error of a system call into its [`OpenErrorKind`].
    pub fn from_os(
        operation: &'static str,
        resource: &Resource,
        source: impl Into<io::Error>,
    ) -> Self {
        Self::new(operation, resource, source.into().into())
    }

    /// The operation that failed.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// What it failed on.
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// Why it failed.
    pub fn kind(&self) -> &OpenErrorKind {
        &self.kind
    }
}

/// The reasons for an [`OpenError`].
#[derive(Debug, thiserror::Error)]
pub enum OpenErrorKind {
    /// The name breaks the rules for names.
    #[error(transparent)]
    InvalidName(#[from] NameError),
    /// An option has a value that it cannot have.
    #[error("invalid {option}: {requirement}")]
    InvalidOption {
        /// The option: `"capacity"`.
        option: &'static str,
        /// What it must be.
        requirement: String,
    },
    /// There is nothing of that name.
    #[error("does not exist ({0})")]
    NotFound(#[source] io::Error),
    /// There is one already.
    #[error("exists already ({0})")]
    AlreadyExists(#[source] io::Error),
    /// The caller may not.
    #[error("permission denied ({0})")]
    PermissionDenied(#[source] io::Error),
    /// The name or address is there, but nobody listens.
    #[error("nobody is listening ({0})")]
    Refused(#[source] io::Error),
    /// Somebody alive holds the name or address.
    #[error("in use ({0})")]
    InUse(#[source] io::Error),
    /// The other end did not come until the deadline.
    #[error("timed out waiting for the other end")]
    TimedOut,
    /// The other end went away before the link was made.
    #[error("the other end went away")]
    PeerGone,
    /// What was found there is not what this program expects.
    #[error("{what} is {found}, expected {expected}")]
    Mismatch {
        /// The property that differs: `"layout hash"`.
        what: &'static str,
        /// The value that this program has.
        expected: u64,
        /// The value that was found.
        found: u64,
    },
    /// A limit of the system; `setting` raises it.
    #[error("limit reached ({source}); {setting} raises it")]
    Limit {
        /// The setting: `"/proc/sys/fs/mqueue/msg_max"`.
        setting: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// This kernel or mechanism cannot do it.
    #[error("not supported here: {0}")]
    Unsupported(&'static str),
    /// Any other failure of a system call.
    #[error("{0}")]
    Os(#[source] io::Error),
}

impl From<io::Error> for OpenErrorKind {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound(error),
            io::ErrorKind::AlreadyExists => Self::AlreadyExists(error),
            io::ErrorKind::PermissionDenied => Self::PermissionDenied(error),
            io::ErrorKind::ConnectionRefused => Self::Refused(error),
            io::ErrorKind::AddrInUse => Self::InUse(error),
            io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::PeerGone,
            _ => match rustix::io::Errno::from_io_error(&error) {
                Some(rustix::io::Errno::MFILE) => {
                    Self::Limit { setting: "RLIMIT_NOFILE (ulimit -n)", source: error }
                }
                Some(rustix::io::Errno::NFILE) => {
                    Self::Limit { setting: "/proc/sys/fs/file-max", source: error }
                }
                _ => Self::Os(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_operation_and_the_resource() {
        let link = Resource::named("FIFO", "/tmp/orders");
        let too_long = SendError::TooLong { len: 9000, max: 4096, link: link.clone() };
        assert_eq!(
            too_long.to_string(),
            "send on FIFO \"/tmp/orders\": message of 9000 bytes is longer than the 4096 that fit"
        );
        let open = OpenError::from_os("open", &link, rustix::io::Errno::ACCESS);
        assert!(matches!(open.kind(), OpenErrorKind::PermissionDenied(_)));
        assert!(open.to_string().starts_with("open FIFO \"/tmp/orders\": permission denied"));
    }

    #[test]
    fn the_systems_error_stays_reachable() {
        let link = Resource::unnamed("pipe");
        let error = SendError::Os(OsError::new("write", &link, rustix::io::Errno::NOSPC));
        let source = error.source().and_then(|s| s.downcast_ref::<io::Error>());
        assert_eq!(source.and_then(io::Error::raw_os_error), Some(28));
    }

    #[test]
    fn an_exhausted_limit_names_its_setting() {
        let error =
            OpenError::from_os("pipe2", &Resource::unnamed("pipe"), rustix::io::Errno::MFILE);
        assert!(error.to_string().contains("RLIMIT_NOFILE"), "{error}");
    }
}
