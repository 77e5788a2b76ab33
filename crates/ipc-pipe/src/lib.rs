//! Pipes and FIFOs as endpoints that send and receive messages.
//!
//! A **pipe** ([`pipe`]) is the oldest link between a process and its child: one-way, made before the
//! child, which gets one end as a numbered descriptor or as its standard input or output. A **FIFO**
//! ([`Fifo`]) is a pipe with a path, for processes that are not related, with many senders. Both come
//! as message endpoints over [`ipc_core::Sender`] and [`ipc_core::Receiver`]; the ends of a pipe also
//! as streams of bytes ([`PipeReader`], [`PipeWriter`]).
//!
//! **When not to use it:** to pass descriptors, or learn who sent: `ipc-socket`. For speed: `ipc-ring`.
//! For messages that outlive both processes: `ipc-mq`. For nothing but a child's standard streams as
//! bytes, the standard library's `Stdio::piped` suffices.
//!
//! **Guarantees:**
//!
//! - Messages arrive whole, in order, and once; what was sent is received even if the sender is killed
//!   right after. Messages of several senders on a FIFO never mix.
//! - A send that timed out has no effect, at any length of message (how: [`PipeSender`]).
//! - The end of the other side is [`RecvError::PeerGone`](ipc_core::RecvError::PeerGone) after the last
//!   message, or [`SendError::PeerGone`](ipc_core::SendError::PeerGone): never the death of this process
//!   by `SIGPIPE`, whether it ignores that signal or not. With one exception: a short send (up to 16 KiB) that is under way
//!   when the program ceases to ignore it, or begins in the same tick of the coarse clock (1 to 10 ms), in
//!   which each sender looks but once, can still raise it.
//! - A peer that writes nonsense is a typed error. No memory is taken on the word of a header.
//! - Only the child that an end is given to inherits it.
//!
//! ```
//! use ipc_core::{Deadline, Receiver, Sender};
//! use std::process::Command;
//! use std::time::Duration;
//!
//! // `cat` gives back what it gets, frames and all.
//! let (mut to_child, its_input) = ipc_pipe::pipe()?;
//! let (its_output, mut from_child) = ipc_pipe::pipe()?;
//! let mut command = Command::new("cat");
//! command.stdin(its_input.into_stdio()?).stdout(its_output.into_stdio()?);
//! let mut child = command.spawn()?;
//! drop(command); // it holds the child's ends, too
//!
//! to_child.send_timeout(b"hello", Duration::from_secs(5))?;
//! let mut message = Vec::new();
//! from_child.recv_to_vec(&mut message, Deadline::Never)?;
//! assert_eq!(message, b"hello");
//!
//! drop(to_child); // the end of its input
//! child.wait()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! To a program that knows this crate, give an end by name: [`PipeSender::give_to`] and
//! [`PipeSender::inherited`].
//!
//! # What framing costs
//!
//! Nothing, in a stream of messages of one length (`ipc-bench check-framing`): they go as a **run**, without
//! headers, straight from and to the caller's buffers, and take as long as in a bare loop of `write` and
//! `read`, or less. From 64 KiB on they are faster than that, since the two sides do not take turns to sleep.
//!
//! Where lengths change, each message has a header of four bytes. A pipe holds pages, and a write fills up the last one
//! only with what exceeds whole pages, if all of that fits: so a message of 4,096 bytes then takes two pages, or one
//! and a half on average, where it would take one. Messages of up to 4,092 bytes take no page more, nor do
//! 8,000 or 16,000.
//!
//! Where buffers lie matters more on some processors ([`ipc_core::placing`]), and is taken care of: a
//! message that would be slow to copy goes through a buffer of the endpoint's own.
//!
//! # The frame, for other languages
//!
//! A message of up to 4,092 bytes ([`ATOMIC_PAYLOAD`]) is its length as a little-endian `u32`, then its
//! bytes, in **one** write: in Python `os.write(fd, struct.pack("<I", len(m)) + m)`. Longer messages, on
//! pipes only, are several such frames: bit 31 of the length word says that the message goes on in the
//! next frame (MORE), bit 30 that it comes from the frame before (CONTINUES), and the last frame is again
//! at most 4,096 bytes long and written by one write, with which the message comes into being. A message
//! whose last frame does not come is dropped: at the next frame without CONTINUES, or at the end.
//!
//! Also on pipes only, the word `0xf1a69de3` in the place of a length is the **mark**: a frame follows, and behind
//! it come messages of the same length **without** headers, until one's place is taken by the mark again,
//! which is followed by a frame. Such a message never begins with the mark's four bytes. A program that
//! is to receive from [`PipeSender`] and does not want to know this is served by
//! [`PipeSender::without_runs`]; one that sends need not know it.

mod buffers;
mod capacity;
mod duplex;
mod duplex_fifo;
mod end;
mod fifo;
mod frame;
mod handover;
mod pipe;
mod quiet;
mod reader;
mod rendezvous;
mod run;
mod shared;
mod splice;
mod stream;
#[cfg(feature = "testing")]
pub mod testing;
mod unfinished;
mod writer;

pub use duplex::{DuplexPipe, HalfDuplexError, HalfDuplexPipe, Heard, duplex, half_duplex};
pub use duplex_fifo::{DuplexFifo, DuplexFifoEnds};
pub use fifo::{Fifo, FifoOptions, FifoReceiver, FifoSender};
pub use frame::ATOMIC_PAYLOAD;
pub use ipc_core::handover::ChildEnd;
pub use pipe::{DEFAULT_MAX_MESSAGE_BYTES, PipeReceiver, PipeSender, pipe};
pub use shared::{SharedFifoReceiver, SharedFifoSender};
pub use splice::SpliceError;
pub use stream::{PipeReader, PipeWriter};
