//! The memory of a ring on the heap, for loom and for the oracle. Copies word by word, all through
//! the facade, so that loom sees every access.

use std::sync::Arc;

use ipc_core::sync::{AtomicU64, Ordering};

use super::memory::Memory;

/// Shared by the two endpoints of one process.
#[derive(Clone, Debug)]
pub(crate) struct Heap(Arc<Words>);

#[derive(Debug)]
struct Words {
    ring: Vec<AtomicU64>,
    head: AtomicU64,
    sender_sleep: AtomicU64,
    receiver_sleep: AtomicU64,
}

impl Heap {
    /// The memory of a ring of `capacity` bytes, a power of two, whose positions begin at `start`.
    pub(crate) fn new(capacity: usize, start: u64) -> Self {
        assert!(capacity.is_power_of_two());
        Self(Arc::new(Words {
            ring: (0..capacity / 8).map(|_| AtomicU64::new(0)).collect(),
            head: AtomicU64::new(start),
            sender_sleep: AtomicU64::new(0),
            receiver_sleep: AtomicU64::new(0),
        }))
    }
}

impl Memory for Heap {
    fn capacity(&self) -> u64 {
        self.0.ring.len() as u64 * 8
    }

    fn word(&self, position: u64) -> &AtomicU64 {
        assert!(position % 8 == 0, "position {position}");
        &self.0.ring[(position % self.capacity()) as usize / 8]
    }

    fn write(&self, position: u64, bytes: &[u8]) {
        for (index, chunk) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            // Relaxed: the header that is stored afterwards publishes it.
            self.word(position + 8 * index as u64)
                .store(u64::from_ne_bytes(word), Ordering::Relaxed);
        }
    }

    fn read(&self, position: u64, buffer: &mut [u8]) {
        for (index, chunk) in buffer.chunks_mut(8).enumerate() {
            // Relaxed: the header that was loaded before acquired it.
            let word = self.word(position + 8 * index as u64).load(Ordering::Relaxed);
            chunk.copy_from_slice(&word.to_ne_bytes()[..chunk.len()]);
        }
    }

    fn head(&self) -> &AtomicU64 {
        &self.0.head
    }

    fn sender_sleep(&self) -> &AtomicU64 {
        &self.0.sender_sleep
    }

    fn receiver_sleep(&self) -> &AtomicU64 {
        &self.0.receiver_sleep
    }
}
