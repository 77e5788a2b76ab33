//! Signals as messages, as timers, as news of children and as reports of faults, without handlers that
//! run the user's code.
//!
//! | you want to | use |
//! |---|---|
//! | send eight bytes at a time to a process | [`SignalSender`], and there [`SignalReceiver`] or [`SigwaitReceiver`]: the traits of `ipc-core` |
//! | send any signal to a process, thread or group; ask whether it is there | [`SignalTarget`] |
//! | receive `SIGTERM`, `SIGHUP`, … in a loop | [`SignalListener`] |
//! | the same in a program whose threads you do not start | [`SignalFlag`], [`SignalCounter`], [`SignalEvent`] |
//! | be woken at a time, again and again | [`TimerDescriptor`], or [`SignalTimer`] as a message |
//! | learn that children exit, stop, continue | [`ChildListener`] |
//! | learn why a child crashed, and where | [`SupervisedChild`] |
//! | block signals for a while | [`MaskGuard`] |
//!
//! [Which signals queue and which coalesce](semantics) is said on a page of its own.
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
//! - a full queue is an error that the sender sees ([`SendError::Full`]; [`SignalSender::send_value`]
//!   names the setting that raises the limit), never a loss;
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
//! # Where things are
//!
//! | file | job |
//! |---|---|
//! | `signal`, `realtime`, `mask` | numbers and names; what a thread blocks |
//! | `sender`, `target`, `errors` | sending, and what can go wrong with it |
//! | `claim`, `proc` | one receiver for each signal, and none while a thread leaves it unblocked |
//! | `listener`, `receiver`, `sigwait`, `message` | receiving, and what is received |
//! | `schedule`, `timer`, `timer_descriptor` | timers |
//! | `child`; `supervise`, `fault` | news of children; their faults |
//! | `handler` | handlers that only count and wake |
//! | `sys` | the system calls: all of the `unsafe` code |
//!
//! [`SendError::Full`]: ipc_core::SendError::Full
//! [`SendError::PeerGone`]: ipc_core::SendError::PeerGone

mod child;
mod claim;
mod errors;
mod fault;
mod handler;
mod listener;
mod mask;
mod message;
mod proc;
mod properties;
mod realtime;
mod receiver;
mod schedule;
mod sender;
mod signal;
mod sigwait;
mod supervise;
mod sys;
mod target;
#[cfg(feature = "testing")]
pub mod testing;
mod timer;
mod timer_descriptor;

#[doc = include_str!("../SIGNALS.md")]
pub mod semantics {}

pub use child::{ChildChange, ChildEvent, ChildListener};
pub use fault::{Fault, FaultCause};
pub use handler::{SignalCounter, SignalEvent, SignalFlag};
pub use listener::SignalListener;
pub use mask::MaskGuard;
pub use message::SignalMessage;
pub use realtime::{RealtimeSignal, SignalNumberError};
pub use receiver::SignalReceiver;
pub use schedule::{Schedule, TimerClock};
pub use sender::SignalSender;
pub use signal::Signal;
pub use sigwait::SigwaitReceiver;
pub use supervise::{ChildReport, SupervisedChild};
pub use target::SignalTarget;
pub use timer::SignalTimer;
pub use timer_descriptor::TimerDescriptor;
