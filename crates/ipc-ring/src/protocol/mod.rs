//! How the two ends of one ring speak to each other through shared memory.
//!
//! | file | its part |
//! |---|---|
//! | `record` | what lies in the ring: headers and messages |
//! | `producer`, `consumer` | the two ends' own state and moves |
//! | `sleep`, `order` | how an end says that it sleeps, and why no wake-up is lost |
//! | `memory` | the words, over mapped memory or over loom's |
//!
//! # The protocol
//!
//! The sender keeps its position (`tail`) to itself, and the receiver its own (`head`). The only word
//! that passes with each message is the **header** of the record: zero until the message is whole,
//! then its length and a mark. So a small message moves one cache line from core to core. The
//! receiver polls the header where the next record will begin; the sender clears that word before it
//! commits the record in front of it, so that bytes of an old message are never taken for a header.
//!
//! The sender learns how far the receiver has read from a word that the receiver publishes only when
//! it owes more than an eighth of the ring. A sender that finds no room therefore waits for the
//! receiver to get on by up to an eighth of the ring, not by one message.
//!
//! # What is promised when an end dies
//!
//! A message is committed by one store of one word. If the sender dies before it, the message never
//! was; after it, the message will be received. The receiver reads a message before it moves its
//! head, so that no message is overwritten while it is read, whoever dies.
//!
//! # A hostile peer
//!
//! Each end can write only its own memory, so that a hostile one can lie in three ways: in headers
//! and messages (to the receiver), in `head` (to the sender), in the sleep words (to both). Headers
//! and `head` are loaded once and checked; a lie that passes the checks is a message that the peer
//! could have sent, or room that it could have given. Any sleep word means "ring" or "do not".

pub(crate) mod consumer;
#[cfg(any(ipc_loom, feature = "testing"))]
pub(crate) mod heap;
pub(crate) mod memory;
pub(crate) mod order;
pub(crate) mod producer;
pub(crate) mod record;
pub(crate) mod sleep;

/// The peer broke the protocol; what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) &'static str);

/// The longest message of a ring of `capacity` bytes: its record is at most a quarter of the ring,
/// and a record never needs more than half of it, be it that the rest of the ring before it is
/// skipped. On this rests the lazy publishing of `head`.
#[inline]
pub(crate) const fn longest_message(capacity: u64) -> usize {
    (capacity / 4 - 2 * record::HEADER_BYTES) as usize
}
