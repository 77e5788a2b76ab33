//! One value in shared memory that one process replaces and many read. Leaves out the algorithm:
//! [`sequence`].

mod bell;
#[cfg(not(ipc_loom))]
mod cell;
#[cfg_attr(all(ipc_loom, not(test)), allow(dead_code))]
mod sequence;

pub use bell::Bell;
#[cfg(not(ipc_loom))]
pub use cell::{ClaimError, Snapshot, SnapshotReadError, SnapshotReader, SnapshotWriter};
#[cfg(all(test, ipc_loom))]
pub(crate) use sequence::{SLOTS, Sequence};
