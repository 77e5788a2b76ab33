//! The textbook's bounded buffer in shared memory, as endpoints. Leaves out the algorithm
//! ([`control`]) and the layout ([`crate::layout`]).

#[cfg_attr(ipc_loom, allow(dead_code))]
mod control;
#[cfg(not(ipc_loom))]
mod endpoint;
#[cfg(all(test, not(ipc_loom)))]
mod killed;
#[cfg(not(ipc_loom))]
mod memory;

#[cfg(not(ipc_loom))]
pub(crate) use control::Locked;
#[cfg(any(test, not(ipc_loom)))]
pub(crate) use control::{Control, Refusal};
#[cfg(not(ipc_loom))]
pub use endpoint::{BufferReceiver, BufferSender};
#[cfg(not(ipc_loom))]
pub use memory::{BoundedBuffer, BufferOptions};
