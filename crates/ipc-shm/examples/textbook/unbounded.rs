//! The unbounded twin: the producer never waits. It grows in chunks, which the consumer gives back, up to a
//! ceiling that the user sets: the number of chunks of the heap in which it lies. For **one** producer and
//! **one** consumer.
//!
//! `in` and `out` count on for ever. Item `n` lies in chunk `n / ITEMS`, which hangs in one of the links, taken
//! in turn. The producer hangs a new chunk there when it comes to one, and the consumer frees it when it has
//! taken the last item.
//!
//! A producer may be killed and replaced anywhere. A consumer too, but for the moment between giving back a chunk
//! and counting its last item.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use ipc_core::{Deadline, Name, OpenError, WaitStrategy};
use ipc_shm::{Bell, Heap, HeapError, Link};

/// Items of a chunk: it has 4 KiB.
pub(crate) const ITEMS: u64 = 512;
/// Chunks at once, at most, whatever the user's ceiling.
pub(crate) const MOST_CHUNKS: u64 = 1024;

ipc_shm::shared! {
    /// Some items that follow each other.
    pub(crate) struct Chunk("textbook.Chunk/1") {
        items: [AtomicU64; 512],
    }
}

ipc_shm::shared! {
    /// Zeroed memory is an empty one.
    pub(crate) struct Unbounded("textbook.Unbounded/1") {
        /// How many items were ever put in.
        put: AtomicU64,
        /// How many were ever taken out.
        taken: AtomicU64,
        chunks: [Link<Chunk>; 1024],
        /// Heard by a consumer that waits for an item.
        filled: Bell,
    }
}

/// Makes the heap for an empty one that may grow to `ceiling_chunks`.
pub(crate) fn create_new(name: &Name, ceiling_chunks: usize) -> Result<Heap, OpenError> {
    let chunks = size_of::<Chunk>();
    Heap::options().pool(chunks, ceiling_chunks).pool(size_of::<Unbounded>(), 1).create_new(name)
}

/// The one in a heap.
pub(crate) fn open(heap: &Heap) -> Result<&Unbounded, HeapError> {
    let name = Name::new("unbounded").expect("allowed characters");
    heap.names(Deadline::Never).open_or_create(&name, |_| {})
}

impl Unbounded {
    /// Puts an item in. Never waits.
    ///
    /// # Errors
    ///
    /// [`HeapError::Full`] at the ceiling. Nothing was put in then; there is room again when the consumer has
    /// emptied a chunk.
    pub(crate) fn put(&self, heap: &Heap, item: u64) -> Result<(), HeapError> {
        let position = self.put.load(Ordering::Relaxed); // only we write it
        let link = self.link(position);
        // Acquire pairs with the Release in `take`: a chunk that was emptied hangs there no more.
        let taken = self.taken.load(Ordering::Acquire);
        if position / ITEMS >= taken / ITEMS + MOST_CHUNKS {
            return Err(HeapError::Full {
                size_bytes: size_of::<Chunk>(),
                blocks: MOST_CHUNKS as usize,
            });
        }
        let chunk = match link.load() {
            Some(chunk) => chunk,
            None => heap.allocate::<Chunk>()?.publish(link).map_err(|(_chunk, error)| error)?,
        };
        heap.get(chunk)?.items[(position % ITEMS) as usize].store(item, Ordering::Relaxed);
        // Release pairs with the Acquire in `take`: the item, and its chunk, are there before it is counted.
        self.put.store(position + 1, Ordering::Release);
        self.filled.ring().map_err(|error| os("ring", error))
    }

    /// Takes an item out, once there is one.
    pub(crate) fn take(&self, heap: &Heap) -> Result<u64, HeapError> {
        let position = self.taken.load(Ordering::Relaxed); // only we write it
        // Acquire pairs with the Release in `put`.
        let has_item = || self.put.load(Ordering::Acquire) != position;
        let waited = self.filled.wait(WaitStrategy::default(), Deadline::Never, has_item);
        waited.map_err(|error| os("wait", error))?;
        let chunk = self.link(position).load().ok_or(HeapError::Corrupt("no chunk for an item"))?;
        let item = heap.get(chunk)?.items[(position % ITEMS) as usize].load(Ordering::Relaxed);
        if (position + 1) % ITEMS == 0 {
            heap.free(chunk)?;
        }
        // Release pairs with the Acquire in `put`.
        self.taken.store(position + 1, Ordering::Release);
        Ok(item)
    }

    fn link(&self, position: u64) -> &Link<Chunk> {
        &self.chunks[(position / ITEMS % MOST_CHUNKS) as usize]
    }
}

fn os(operation: &'static str, error: io::Error) -> HeapError {
    ipc_core::OsError::new(operation, &ipc_core::Resource::unnamed("unbounded buffer"), error)
        .into()
}
