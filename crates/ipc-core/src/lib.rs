//! The words that every mechanism of the IPC toolbox speaks.
//!
//! A mechanism (a pipe, a message queue, a ring in shared memory) gives two **endpoints** over one
//! **link**: a [`Sender`] and a [`Receiver`]. This crate owns those two traits and what their
//! signatures mention: how long to wait ([`Deadline`]), what can go wrong ([`SendError`],
//! [`RecvError`], [`OpenError`]), who sent ([`PeerId`]), what a link is like ([`LinkProperties`]).
//! It also holds the few primitives that several mechanisms need: [`Name`], [`Liveness`],
//! [`WaitSource`], [`futex`], [`poll`], [`handover`], [`placing`], and the atomics facade [`sync`] that lets loom
//! check the code that ships.
//!
//! **When not to use it:** this crate moves no bytes. Depend on a mechanism (`ipc-pipe`,
//! `ipc-ring`, …), which names everything here that its users need; depend on this one to write code
//! over any mechanism, or a transport of your own.
//!
//! **Guarantees** (the conformance suite in `ipc-testing` holds every mechanism to them):
//!
//! - an operation that reports a time-out, "full" or "empty" had no effect;
//! - a signal that interrupts a system call (`EINTR`) never reaches the caller and never lengthens
//!   a wait;
//! - a message that does not fit the receiver's buffer stays in the link, and the error tells the
//!   length it needs;
//! - nothing is installed behind the user's back: no signal handlers, threads, logging or globals.
//!
//! # Code over any mechanism
//!
//! ```
//! use ipc_core::{Deadline, RecvError, Receiver, SendError, Sender};
//! use std::time::Duration;
//!
//! /// Asks and waits for the answer, over whatever the two links are made of.
//! fn ask(
//!     requests: &mut dyn Sender,
//!     replies: &mut dyn Receiver,
//!     question: &[u8],
//!     answer: &mut [u8],
//! ) -> Result<usize, Box<dyn std::error::Error>> {
//!     let deadline = Deadline::after(Duration::from_secs(1));
//!     requests.send_deadline(question, deadline)?;
//!     Ok(replies.recv_deadline(answer, deadline)?.len)
//! }
//! ```

mod deadline;
mod endpoint;
mod error;
pub mod futex;
pub mod handover;
mod liveness;
mod name;
mod peer;
pub mod placing;
pub mod poll;
mod properties;
mod strategy;
pub mod sync;
mod typed;
mod wait;
pub mod zero_copy;

pub use deadline::Deadline;
pub use endpoint::{Received, Receiver, Sender};
pub use error::{
    BufferTooSmall, LimitReached, OpenError, OpenErrorKind, OsError, PriorityTooHigh, RecvError,
    Resource, SendError, TooLong, TooShort, Unsupported, Violation,
};
pub use liveness::Liveness;
pub use name::{Name, NameError};
pub use peer::{Evidence, PeerId, ProcessPeer};
pub use properties::{
    Boundaries, Buffering, Capacity, Carrier, Count, DeathNotice, Direction, Establishment,
    Lifetime, LinkProperties, MessageLength, Naming, Order, SenderIdentity, WhenFull,
};
pub use strategy::{SpinBudget, WaitStrategy};
pub use typed::{Identified, Plain, TypeIdentity, TypedReceiver, TypedSender};
pub use wait::{Armed, Interest, WaitSource};
