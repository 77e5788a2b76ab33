//! Shared memory between processes: named segments, sealed anonymous ones, values of your own types in
//! them, locks that survive their owners, and the textbook's bounded buffer.
//!
//! - [`Segment`]: POSIX shared memory, found by name, or a file on disk. It appears whole or not at all, and
//!   stays until it is unlinked. [`SegmentOptions`] has what can be chosen.
//! - [`Memfd`]: anonymous memory whose size, and if you like whose writer, the kernel fixes for good.
//!   It is passed as a descriptor, and is gone with its last user.
//! - [`Region`]: a value of one [`Shared`] type in either of them, which another program finds or is told
//!   why not; [`shared!`] declares such types.
//! - [`Mapping`]: either of them in this process's address space: copies, atomics, raw pointers.
//!   [`Unmapped`]: copies that fail where a mapping would fault.
//! - [`Mutex`], [`RwLock`], [`Condvar`], [`Semaphore`], [`ManualResetEvent`], [`AutoResetEvent`],
//!   [`Barrier`], [`OnceCell`]: synchronisation that lives in shared memory, and outlives any process that
//!   uses it. [`Value`]: a plain value under a lock.
//! - [`NamedSemaphore`]: a POSIX semaphore, shared with programs in C or Python.
//! - [`Snapshot`]: one value that one process replaces, and any number read whole, even from memory
//!   that they cannot write; [`Bell`] wakes who waits for the next.
//! - [`Heap`]: objects in shared memory, allocated by any process, linked by handles, found by name.
//! - [`BoundedBuffer`]: messages in slots, guarded by semaphores, for many senders and receivers.
//!
//! **When not to use it:** for messages between two processes, `ipc-ring` is much faster, learns of
//! the other's death, and does not need to trust it.
//!
//! **Guarantees**
//!
//! - Nobody sees a named segment half-made, and a creator that is killed leaves nothing behind.
//! - Memory that runs out is an error at creation and not a `SIGBUS` later
//!   ([`Backing::Reserved`]). Nobody of another user can shorten what is mapped here, unless you trust him;
//!   what can be promised beyond that is said at [`Segment`](Segment#sigbus) and [`Memfd`](Memfd#sigbus).
//! - Attaching to what is of another type, version, byte order or size, or is garbage, is an error that
//!   says what was found.
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
mod huge;
#[cfg(not(ipc_loom))]
mod layout;
mod location;
mod mapping;
#[cfg_attr(ipc_loom, allow(dead_code))]
mod memfd;
#[cfg(all(test, ipc_loom))]
mod models;
mod new_file;
mod options;
#[cfg(not(ipc_loom))]
mod process;
#[cfg(not(ipc_loom))]
mod region;
mod segment;
#[cfg(not(ipc_loom))]
mod shared;
mod size;
mod snapshot;
mod spin;
#[cfg_attr(ipc_loom, allow(dead_code))]
mod sync;
#[cfg(all(feature = "testing", not(ipc_loom)))]
pub mod testing;
mod unmapped;

#[cfg(not(ipc_loom))]
pub use buffer::{BoundedBuffer, BufferOptions, BufferReceiver, BufferSender};
#[cfg(not(ipc_loom))]
pub use heap::{Handle, Heap, HeapError, HeapOptions, Link, Names, Object, Owned, Recovered};
pub use huge::HugePages;
pub use ipc_core::TypeIdentity;
pub use ipc_core::handover::ChildEnd;
pub use location::Location;
pub use mapping::{Access, Mapping};
pub use memfd::{Memfd, Seals};
pub use options::SegmentOptions;
#[cfg(not(ipc_loom))]
pub use region::Region;
pub use segment::Segment;
#[cfg(not(ipc_loom))]
pub use shared::Shared;
pub use size::Backing;
pub use snapshot::Bell;
#[cfg(not(ipc_loom))]
pub use snapshot::{ClaimError, Snapshot, SnapshotReadError, SnapshotReader, SnapshotWriter};
pub use sync::{
    AutoResetEvent, Barrier, BarrierError, BarrierMember, Condvar, LockError, ManualResetEvent,
    Mutex, MutexGuard, Once, OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard, Semaphore,
};
#[cfg(not(ipc_loom))]
pub use sync::{NamedSemaphore, Value};
pub use unmapped::{Unmapped, UnmappedError};
