//! Real-time signals as messages: eight bytes at a time, queued by the kernel, to any process whose
//! id one knows.
//!
//! A [`SignalSender`] queues values to a process; a [`SignalReceiver`] in that process takes them
//! from a `signalfd(2)`, so that no handler runs and no system call is interrupted. Nothing is set
//! up and nothing is left behind: the sender needs the process's id (or pidfd) and a
//! [`RealtimeSignal`] that both have agreed on, and any number of processes may send.
//!
//! **When not to use it:** for more than a few bytes, for speed (a pipe carries more at less cost),
//! or in a program whose threads somebody else starts: every thread must block the signal, or a
//! message kills the process. Standard signals are not messages at all: those of one kind coalesce
//! while they wait, and carry no value.
//!
//! **Guarantees:**
//!
//! - accepted values arrive, each once, in the order of their sending, also after the sender's death;
//! - a full queue is an error that the sender sees ([`SendError::Full`]), never a loss;
//! - a message reaches the process that the sender was opened for, or none: a process id that was
//!   given to another in the meantime does not matter;
//! - a receiver refuses to start while any thread of its process would be killed by the signal;
//! - the sender learns that the receiving process is gone ([`SendError::PeerGone`]), not that it only
//!   closed its receiver; the receiver does not learn of a sender's end, and takes the sender's name
//!   on trust ([`SignalMessage::sender`]).
//!
//! # Example
//!
//! A process may send to itself, which is enough to show both ends:
//!
//! ```
//! use ipc_core::{Receiver, Sender};
//! use ipc_signal::{MaskGuard, RealtimeSignal, SignalReceiver, SignalSender};
//!
//! let signal = RealtimeSignal::from_offset(1)?;
//! // First of all, before other threads start. It is dropped last, after the receiver.
//! let _mask = MaskGuard::block([signal])?;
//! let mut receiver = SignalReceiver::open(signal)?;
//!
//! let mut sender = SignalSender::open(std::process::id(), signal)?;
//! sender.send_value(42)?;
//!
//! let mut value = [0; 8];
//! let received = receiver.recv(&mut value)?;
//! assert_eq!(u64::from_ne_bytes(value), 42);
//! assert_eq!(received.sender.and_then(|peer| peer.pid()), Some(std::process::id()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`SendError::Full`]: ipc_core::SendError::Full
//! [`SendError::PeerGone`]: ipc_core::SendError::PeerGone

mod mask;
mod message;
mod proc;
mod properties;
mod realtime;
mod receiver;
mod sender;
mod sys;
#[cfg(feature = "testing")]
pub mod testing;

pub use mask::MaskGuard;
pub use message::SignalMessage;
pub use realtime::{RealtimeSignal, SignalNumberError};
pub use receiver::SignalReceiver;
pub use sender::SignalSender;
