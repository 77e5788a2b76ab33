//! A ring of messages in shared memory between two processes.

// Under loom, what is left is the protocol and the endpoints over its memory.
#![cfg_attr(ipc_loom, allow(dead_code))]

mod bell;
#[cfg(not(ipc_loom))]
mod copy;
mod endpoint;
#[cfg(not(ipc_loom))]
mod ends;
#[cfg(not(ipc_loom))]
mod layout;
#[cfg(not(ipc_loom))]
mod link;
#[cfg(not(ipc_loom))]
mod mapped;
#[cfg(all(test, ipc_loom))]
mod models;
mod protocol;
#[cfg(all(feature = "testing", not(ipc_loom)))]
pub mod testing;

#[cfg(not(ipc_loom))]
pub use ends::{RingLoan, RingMessage, RingReceiver, RingSender};
#[cfg(not(ipc_loom))]
pub use link::{Link, Options};
