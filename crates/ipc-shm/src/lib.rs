//! Shared memory between processes: named segments, sealed anonymous ones, and in them a semaphore
//! and the textbook's bounded buffer.
//!
//! - [`Segment`]: POSIX shared memory, found by name. It appears whole or not at all, and stays until
//!   it is unlinked.
//! - [`Memfd`]: anonymous memory whose size, and if you like whose writer, the kernel fixes for good.
//!   It is passed as a descriptor, and is gone with its last user.
//! - [`Mapping`]: either of them in this process's address space: copies, atomics, raw pointers.
//! - [`Semaphore`]: counts units in shared memory; loses no wake-up, whoever is killed.
//! - [`Snapshot`]: one value that one process replaces, and any number read whole, even from memory
//!   that they cannot write; [`Bell`] wakes who waits for the next.
//! - [`Heap`]: objects in shared memory, allocated by any process, linked by handles, found by name.
//! - [`BoundedBuffer`]: messages in slots, guarded by semaphores, for many senders and receivers.
//!
//! **When not to use it:** for messages between two processes, `ipc-ring` is much faster, learns of
//! the other's death, and does not need to trust it. For types of your own in a segment, wait for a
//! later version of this crate, or be ready to write `unsafe`.
//!
//! **Guarantees**
//!
//! - Nobody sees a named segment half-made, and a creator that is killed leaves nothing behind.
//! - Memory that runs out is an error at creation and not a `SIGBUS` later
//!   ([`Backing::Reserved`]). What can be promised about files that others shorten is said at
//!   [`Segment`](Segment#sigbus) and [`Memfd`](Memfd#sigbus).
//! - Nothing hands out a `&[u8]` to bytes that another process may write.
//! - `kill -9` of any process at any instruction leaves the bounded buffer working for the others:
//!   nothing committed is lost, nothing comes twice, all slots come back, nobody hangs.
//!
//! ```
//! use ipc_core::{Name, Receiver, Sender};
//! use ipc_shm::{BoundedBuffer, Segment};
//!
//! let name = Name::new(&format!("doc-orders.{}", std::process::id()))?;
//! let buffer = BoundedBuffer::options().slots(10).slot_bytes(100).create_new(&name)?;
//! buffer.sender().send(b"coffee")?;
//!
//! // In another process:
//! let mut orders = BoundedBuffer::open(&name)?.receiver();
//! let mut order = [0; 100];
//! let len = orders.recv(&mut order)?.len;
//! assert_eq!(&order[..len], b"coffee");
//!
//! Segment::unlink_name(&name)?; // or it stays until the system goes down
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod buffer;
mod copy;
#[cfg_attr(ipc_loom, allow(dead_code))]
mod death;
mod heap;
#[cfg(not(ipc_loom))]
mod layout;
mod mapping;
mod memfd;
#[cfg(all(test, ipc_loom))]
mod models;
#[cfg(not(ipc_loom))]
mod process;
mod robust_list;
#[cfg_attr(ipc_loom, allow(dead_code))]
mod robust_lock;
mod segment;
mod semaphore;
#[cfg(not(ipc_loom))]
mod shared;
mod size;
mod snapshot;
mod spin;
#[cfg(all(feature = "testing", not(ipc_loom)))]
pub mod testing;

#[cfg(not(ipc_loom))]
pub use buffer::{BoundedBuffer, BufferOptions, BufferReceiver, BufferSender};
#[cfg(not(ipc_loom))]
pub use heap::{Handle, Heap, HeapError, HeapOptions, Link, Names, Object, Owned, Recovered};
pub use ipc_core::TypeIdentity;
pub use mapping::{Access, Mapping};
pub use memfd::{Memfd, Seals};
pub use segment::{Segment, SegmentOptions};
pub use semaphore::Semaphore;
#[cfg(not(ipc_loom))]
pub use shared::Shared;
pub use size::Backing;
pub use snapshot::Bell;
#[cfg(not(ipc_loom))]
pub use snapshot::{ClaimError, Snapshot, SnapshotReadError, SnapshotReader, SnapshotWriter};
