//! Pipes and FIFOs as endpoints that send and receive messages.

mod capacity;
mod fifo;
mod frame;
mod handover;
mod pipe;
mod quiet;
mod reader;
mod rendezvous;
mod stream;
#[cfg(feature = "testing")]
pub mod testing;
mod writer;

pub use fifo::{Fifo, FifoOptions, FifoReceiver, FifoSender};
pub use frame::ATOMIC_PAYLOAD;
pub use handover::ChildEnd;
pub use pipe::{DEFAULT_MAX_MESSAGE_BYTES, PipeReceiver, PipeSender, pipe};
pub use stream::{PipeReader, PipeWriter};
