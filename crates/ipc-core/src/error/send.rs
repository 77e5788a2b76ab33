//! Why a message was not sent.

use super::{OsError, Resource, Violation};
use crate::Deadline;

/// Why a message was not sent.
///
/// Two words: the details of what callers do not steer by are in boxes. The constructors
/// ([`too_long`](Self::too_long) and the like) fill them, out of the way of the code that succeeds.
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
    #[error(transparent)]
    TooLong(Box<TooLong>),
    /// The message is shorter than the link can carry.
    #[error(transparent)]
    TooShort(Box<TooShort>),
    /// The priority is above the highest of this link.
    #[error(transparent)]
    PriorityTooHigh(Box<PriorityTooHigh>),
    /// Links of this mechanism cannot do what was asked.
    #[error(transparent)]
    Unsupported(Box<Unsupported>),
    /// A limit of the system or of the link's own ceiling stops the message; its
    /// [`setting`](LimitReached::setting) raises it.
    #[error(transparent)]
    Limit(Box<LimitReached>),
    /// The peer broke the link's protocol. The link is poisoned: this error repeats.
    #[error("send on {0}")]
    Violation(Box<Violation>),
    /// Any other failure of a system call.
    #[error(transparent)]
    Os(Box<OsError>),
}

/// A message that is longer than its link can ever carry.
#[derive(Debug, thiserror::Error)]
#[error("send on {link}: message of {len} bytes is longer than the {max} that fit")]
pub struct TooLong {
    /// Length of the message in bytes.
    pub len: usize,
    /// The longest message of this link in bytes.
    pub max: usize,
    /// The link.
    pub link: Resource,
}

/// A message that is shorter than its link can carry.
#[derive(Debug, thiserror::Error)]
#[error("send on {link}: message of {len} bytes is shorter than the least of {min}")]
pub struct TooShort {
    /// Length of the message in bytes.
    pub len: usize,
    /// The shortest message of this link in bytes.
    pub min: usize,
    /// The link.
    pub link: Resource,
}

/// A priority that is above the highest of its link.
#[derive(Debug, thiserror::Error)]
#[error("send on {link}: priority {priority} is above the highest, {max}")]
pub struct PriorityTooHigh {
    /// The priority asked for.
    pub priority: u32,
    /// The highest that the link has.
    pub max: u32,
    /// The link.
    pub link: Resource,
}

/// An operation that links of a mechanism do not have.
#[derive(Debug, thiserror::Error)]
#[error("a {mechanism} cannot {operation}")]
pub struct Unsupported {
    /// What was asked, as a verb phrase.
    pub operation: &'static str,
    /// The mechanism, as in [`LinkProperties::mechanism`](crate::LinkProperties::mechanism).
    pub mechanism: &'static str,
}

/// A limit of the system or of the link's own ceiling that stops a message.
#[derive(Debug, thiserror::Error)]
#[error("{source}; {setting} raises the limit")]
pub struct LimitReached {
    /// The setting that raises the limit: `"RLIMIT_SIGPENDING (ulimit -i)"`.
    pub setting: &'static str,
    /// The refused call.
    pub source: OsError,
}

/// Constructors that are never inlined: a path that succeeds has nothing but the call of them.
impl SendError {
    /// A [`PeerGone`](Self::PeerGone): the receiver of this link is no more.
    #[cold]
    #[inline(never)]
    pub fn peer_gone(link: &Resource) -> Self {
        Self::PeerGone { link: link.clone() }
    }

    /// A [`TooLong`](Self::TooLong): a message of `len` bytes where at most `max` fit.
    #[cold]
    #[inline(never)]
    pub fn too_long(len: usize, max: usize, link: &Resource) -> Self {
        Self::TooLong(Box::new(TooLong { len, max, link: link.clone() }))
    }

    /// A [`TooShort`](Self::TooShort): a message of `len` bytes where the least is `min`.
    #[cold]
    #[inline(never)]
    pub fn too_short(len: usize, min: usize, link: &Resource) -> Self {
        Self::TooShort(Box::new(TooShort { len, min, link: link.clone() }))
    }

    /// A [`PriorityTooHigh`](Self::PriorityTooHigh): this `priority` where the highest is `max`.
    #[cold]
    #[inline(never)]
    pub fn priority_too_high(priority: u32, max: u32, link: &Resource) -> Self {
        Self::PriorityTooHigh(Box::new(PriorityTooHigh { priority, max, link: link.clone() }))
    }

    /// An [`Unsupported`](Self::Unsupported) operation (a verb phrase) of a mechanism.
    #[cold]
    #[inline(never)]
    pub fn unsupported(operation: &'static str, mechanism: &'static str) -> Self {
        Self::Unsupported(Box::new(Unsupported { operation, mechanism }))
    }

    /// A [`Limit`](Self::Limit): a call refused by a limit that the `setting` raises.
    #[cold]
    #[inline(never)]
    pub fn limit(setting: &'static str, source: OsError) -> Self {
        Self::Limit(Box::new(LimitReached { setting, source }))
    }

    /// A [`Violation`](Self::Violation) of the link's protocol: what was wrong.
    #[cold]
    #[inline(never)]
    pub fn violation(what: &'static str, link: &Resource) -> Self {
        Self::Violation(Violation::boxed(what, link))
    }
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

    /// Whether trying again later can succeed: full, or timed out.
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Full | Self::TimedOut)
    }
}

impl From<OsError> for SendError {
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
            (SendError::peer_gone(&link), "send on FIFO \"/tmp/orders\": the receiver is gone"),
            (
                SendError::too_long(9000, 4096, &link),
                "send on FIFO \"/tmp/orders\": message of 9000 bytes is longer than the 4096 that fit",
            ),
            (
                SendError::too_short(0, 1, &link),
                "send on FIFO \"/tmp/orders\": message of 0 bytes is shorter than the least of 1",
            ),
            (
                SendError::priority_too_high(9, 7, &link),
                "send on FIFO \"/tmp/orders\": priority 9 is above the highest, 7",
            ),
            (
                SendError::unsupported("send with a priority", "FIFO"),
                "a FIFO cannot send with a priority",
            ),
            (
                SendError::violation("a torn header", &link),
                "send on FIFO \"/tmp/orders\": the peer broke the protocol: a torn header",
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
        let error = SendError::from(OsError::new("write", &link, rustix::io::Errno::NOSPC));
        let source = error.source().and_then(|s| s.downcast_ref::<io::Error>());
        assert_eq!(source.and_then(io::Error::raw_os_error), Some(28));
    }

    #[test]
    fn a_limit_names_its_setting_and_has_the_refused_call_as_its_source() {
        let link = Resource::unnamed("pipe");
        let refused = OsError::new("write", &link, rustix::io::Errno::AGAIN);
        let text = format!("{refused}; RLIMIT_SIGPENDING raises the limit");
        let error = SendError::limit("RLIMIT_SIGPENDING", refused);
        assert_eq!(error.to_string(), text);
        let source = error.source().and_then(|s| s.downcast_ref::<OsError>());
        assert_eq!(source.map(|os| os.operation), Some("write"));
    }
}
