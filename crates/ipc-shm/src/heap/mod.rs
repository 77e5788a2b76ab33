//! Objects in a segment, allocated and freed by any process, found by name. Leaves out the containers.

#[cfg_attr(ipc_loom, allow(dead_code))]
mod blocks;
#[cfg(not(ipc_loom))]
mod error;
#[cfg(not(ipc_loom))]
mod handle;
#[cfg(not(ipc_loom))]
mod memory;
#[cfg(not(ipc_loom))]
mod names;
#[cfg(not(ipc_loom))]
mod object;
#[cfg(not(ipc_loom))]
mod options;
#[cfg(not(ipc_loom))]
mod shape;

#[cfg(all(test, ipc_loom))]
pub(crate) use blocks::{Entry, Holder, Pool, State};
#[cfg(not(ipc_loom))]
pub use error::HeapError;
#[cfg(not(ipc_loom))]
pub use handle::{Handle, Link};
#[cfg(not(ipc_loom))]
pub use memory::{Heap, Recovered};
#[cfg(not(ipc_loom))]
pub use names::Names;
#[cfg(not(ipc_loom))]
pub use object::{Object, Owned};
#[cfg(not(ipc_loom))]
pub use options::HeapOptions;
