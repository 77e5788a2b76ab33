//! Objects in a segment, allocated and freed by any process, found by name.
//!
//! # Containers
//!
//! What a heap and the other types give already is left at that:
//!
//! | container | here |
//! |---|---|
//! | fixed vector | an array, or a slice of a length known at run time (`Heap::allocate_slice`) |
//! | list, tree | `Link`s: each object hangs in one other |
//! | map from names to objects | `Names` |
//! | string, or any value that is replaced as a whole | `Snapshot<[u8; N]>`: one writer, any readers |
//! | queue | `BoundedBuffer`; unbounded: `examples/textbook/unbounded.rs` |
//!
//! Not here: vectors that move as they grow, since an object that moves leaves stale handles in every process;
//! and a hash map of plain values. With many writers it needs a lock around each use, and under a lock a
//! sorted array of the same values does as well up to some thousand; without a lock it would be another
//! protocol to prove, which nobody has asked for.

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
