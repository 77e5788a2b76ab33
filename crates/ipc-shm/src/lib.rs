//! Shared memory between processes.

mod buffer;
mod copy;
#[cfg_attr(ipc_loom, allow(dead_code))]
mod death;
#[cfg(not(ipc_loom))]
mod layout;
mod mapping;
mod memfd;
#[cfg(all(test, ipc_loom))]
mod models;
mod robust_list;
#[cfg_attr(ipc_loom, allow(dead_code))]
mod robust_lock;
mod segment;
mod semaphore;
mod size;
mod spin;
#[cfg(all(feature = "testing", not(ipc_loom)))]
pub mod testing;

#[cfg(not(ipc_loom))]
pub use buffer::{BoundedBuffer, BufferOptions, BufferReceiver, BufferSender};
pub use mapping::{Access, Mapping};
pub use memfd::{Memfd, Seals};
pub use segment::{Segment, SegmentOptions};
pub use semaphore::Semaphore;
pub use size::Backing;
