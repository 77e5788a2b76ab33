//! The facade through which every protocol in shared memory sees atomics, cells and threads.
//!
//! Ordinarily these are the types of `std`. Under `--cfg ipc_loom` they are those of loom, which runs
//! a test once for every interleaving that the memory model allows: the code that is checked is the
//! code that ships.

#[cfg(not(ipc_loom))]
pub use std::{
    hint::spin_loop,
    sync::atomic::{AtomicU32, AtomicU64, Ordering, fence},
    thread,
};

#[cfg(ipc_loom)]
pub use loom::{
    hint::spin_loop,
    sync::atomic::{AtomicU32, AtomicU64, Ordering, fence},
    thread,
};
