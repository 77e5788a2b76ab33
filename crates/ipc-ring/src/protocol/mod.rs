//! How the two ends of one ring speak to each other through shared memory.
//!
//! | file | its part |
//! |---|---|
//! | `record` | what lies in the ring: headers and messages |
//! | `producer`, `consumer` | the two ends' own state and moves |
//! | `sleep`, `order` | how an end says that it sleeps, and why no wake-up is lost |
//! | `memory` | the words, over mapped memory or over loom's |
//!
//! The protocol itself, what it orders by what, what it promises at each kind of death, and why a hostile
//! peer gets no further: see [`crate::internals`].

pub(crate) mod consumer;
#[cfg(any(ipc_loom, feature = "testing"))]
pub(crate) mod heap;
pub(crate) mod memory;
pub(crate) mod order;
pub(crate) mod producer;
pub(crate) mod record;
pub(crate) mod sleep;

/// The peer broke the protocol; what it did. The endpoints report it as an [`ipc_core::Violation`], which
/// tells the link too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) &'static str);

/// The longest message of a ring of `capacity` bytes: its record is at most a quarter of the ring,
/// and a record never needs more than half of it, be it that the rest of the ring before it is
/// skipped. On this rests the lazy publishing of `head`.
#[inline]
pub(crate) const fn longest_message(capacity: u64) -> usize {
    (capacity / 4 - 2 * record::HEADER_BYTES) as usize
}
