//! Why something in a heap did not work.

use std::io;

use ipc_core::OsError;

/// Why an operation on a [`Heap`](super::Heap) failed.
#[derive(Debug, thiserror::Error)]
pub enum HeapError {
    /// No block that is large enough is free. More of them can be given when the heap is made
    /// ([`HeapOptions::pool`](super::HeapOptions::pool)).
    #[error("allocate {size_bytes} bytes: all {blocks} blocks that are large enough are taken")]
    Full {
        /// Size asked for in bytes.
        size_bytes: usize,
        /// How many blocks are at least as large.
        blocks: usize,
    },
    /// No block of this heap is ever large enough, or so aligned.
    #[error(
        "allocate {size_bytes} bytes aligned to {align_bytes}: the largest block has {max_bytes}"
    )]
    TooLarge {
        /// Size asked for in bytes.
        size_bytes: usize,
        /// Alignment asked for in bytes.
        align_bytes: usize,
        /// Size of the largest block in bytes.
        max_bytes: usize,
    },
    /// The handle names nothing: its object was freed or taken, or is another heap's, or is not kept yet.
    #[error("the handle names no object of this heap")]
    Stale,
    /// Another object hangs in the link.
    #[error("the link is occupied")]
    Occupied,
    /// The link does not lie in an object of this heap, or lies in the very object that was to hang in it.
    #[error("the link is not in another object of this heap")]
    NotInHeap,
    /// There is no object of that name.
    #[error("there is no object of that name")]
    NotFound,
    /// There is an object of that name already.
    #[error("there is an object of that name already")]
    AlreadyExists,
    /// The object has another type than was asked for.
    #[error("the object's type is {found:#x}, expected {expected:#x}")]
    Mismatch {
        /// Hash of the [identity](ipc_core::TypeIdentity) asked for.
        expected: u64,
        /// Hash of the object's own.
        found: u64,
    },
    /// All names that the heap has room for are taken. More can be given when it is made
    /// ([`HeapOptions::names`](super::HeapOptions::names)).
    #[error("all {names} names are taken")]
    NoNameLeft {
        /// How many there are.
        names: usize,
    },
    /// Others were busy with the names, or one of them has stopped there, until the deadline.
    #[error("timed out waiting for the lock of the names")]
    TimedOut,
    /// A process has written what cannot be.
    #[error("the heap is corrupt: {0}")]
    Corrupt(&'static str),
    /// A system call failed.
    #[error(transparent)]
    Os(#[from] OsError),
}

impl HeapError {
    pub(super) fn os(
        operation: &'static str,
        memory: &super::memory::Memory,
        error: io::Error,
    ) -> Self {
        OsError::new(operation, &memory.resource, error).into()
    }
}
