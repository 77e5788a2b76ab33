//! The circular array with `in`, `out` and one slot kept empty: ten slots hold nine items. For **one**
//! producer and **one** consumer.
//!
//! It is empty if `in == out`, and full if `in` is one behind `out`: were all ten slots used, the two could
//! not be told from each other. The producer alone writes `in`, the consumer alone `out`, so neither takes
//! a lock. But the order must be kept, which the textbook is silent on: the item before `in` that publishes it,
//! and the item read before `out` that gives its slot back.

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use ipc_core::{Deadline, WaitStrategy};
use ipc_shm::Bell;

pub(crate) const SLOTS: u32 = 10;

ipc_shm::shared! {
    /// Zeroed memory is an empty one.
    pub(crate) struct Circular("textbook.Circular/1") {
        /// The next slot to fill. A peer's word: taken modulo the slots.
        next_in: AtomicU32,
        /// The next slot to empty.
        next_out: AtomicU32,
        items: [AtomicU64; 10],
        /// Heard by a consumer that waits for an item.
        filled: Bell,
        /// Heard by a producer that waits for a slot.
        emptied: Bell,
    }
}

impl Circular {
    /// Puts an item in, if there is room.
    pub(crate) fn try_put(&self, item: u64) -> io::Result<bool> {
        let slot = self.next_in.load(Ordering::Relaxed) % SLOTS; // only we write it
        // Acquire pairs with the Release in `try_take`: the slot was read before we fill it.
        if (slot + 1) % SLOTS == self.next_out.load(Ordering::Acquire) % SLOTS {
            return Ok(false);
        }
        self.items[slot as usize].store(item, Ordering::Relaxed);
        // Release pairs with the Acquire in `try_take`: the item is there before it is announced.
        self.next_in.store((slot + 1) % SLOTS, Ordering::Release);
        self.filled.ring()?;
        Ok(true)
    }

    /// Takes an item out, if there is one.
    pub(crate) fn try_take(&self) -> io::Result<Option<u64>> {
        let slot = self.next_out.load(Ordering::Relaxed) % SLOTS; // only we write it
        // Acquire pairs with the Release in `try_put`.
        if slot == self.next_in.load(Ordering::Acquire) % SLOTS {
            return Ok(None);
        }
        let item = self.items[slot as usize].load(Ordering::Relaxed);
        // Release pairs with the Acquire in `try_put`.
        self.next_out.store((slot + 1) % SLOTS, Ordering::Release);
        self.emptied.ring()?;
        Ok(Some(item))
    }

    /// Puts an item in, once there is room.
    pub(crate) fn put(&self, item: u64) -> io::Result<()> {
        while !self.try_put(item)? {
            let has_room = || {
                let slot = self.next_in.load(Ordering::Relaxed) % SLOTS;
                (slot + 1) % SLOTS != self.next_out.load(Ordering::Acquire) % SLOTS
            };
            self.emptied.wait(WaitStrategy::default(), Deadline::Never, has_room)?;
        }
        Ok(())
    }

    /// Takes an item out, once there is one.
    pub(crate) fn take(&self) -> io::Result<u64> {
        loop {
            if let Some(item) = self.try_take()? {
                return Ok(item);
            }
            let has_item = || {
                let slot = self.next_out.load(Ordering::Relaxed) % SLOTS;
                slot != self.next_in.load(Ordering::Acquire) % SLOTS
            };
            self.filled.wait(WaitStrategy::default(), Deadline::Never, has_item)?;
        }
    }
}
