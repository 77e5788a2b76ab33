//! The same circular array for several producers and several consumers, **without** anything that keeps them
//! from each other: the version that the textbook warns of. Each looks, chooses a slot, uses it, and moves on,
//! and in between anything may happen.
//!
//! Every access is an atomic one, so that this is a wrong algorithm and not undefined behaviour.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

pub(crate) const SLOTS: u32 = 10;

ipc_shm::shared! {
    /// Zeroed memory is an empty one.
    pub(crate) struct Unsynchronised("textbook.Unsynchronised/1") {
        next_in: AtomicU32,
        next_out: AtomicU32,
        items: [AtomicU64; 10],
    }
}

/// Where a process may be overtaken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It has looked, and there was room, or an item.
    Looked,
    /// It has read which slot is next.
    Chose(u32),
}

impl Unsynchronised {
    /// Puts an item in, if there was room when it looked; the slot.
    pub(crate) fn put(&self, item: u64, mut pause: impl FnMut(Step)) -> Option<u32> {
        if (self.next_in.load(Relaxed) + 1) % SLOTS == self.next_out.load(Relaxed) {
            return None;
        }
        pause(Step::Looked);
        let slot = self.next_in.load(Relaxed) % SLOTS;
        pause(Step::Chose(slot));
        self.items[slot as usize].store(item, Relaxed);
        self.next_in.store((slot + 1) % SLOTS, Relaxed);
        Some(slot)
    }

    /// Takes an item out, if there was one when it looked; the slot, and what was in it.
    pub(crate) fn take(&self, mut pause: impl FnMut(Step)) -> Option<(u32, u64)> {
        if self.next_in.load(Relaxed) == self.next_out.load(Relaxed) {
            return None;
        }
        pause(Step::Looked);
        let slot = self.next_out.load(Relaxed) % SLOTS;
        pause(Step::Chose(slot));
        let item = self.items[slot as usize].load(Relaxed);
        self.next_out.store((slot + 1) % SLOTS, Relaxed);
        Some((slot, item))
    }

    /// The items that are in it, by what `in` and `out` say.
    pub(crate) fn items(&self) -> Vec<u64> {
        let (next_in, next_out) = (self.next_in.load(Relaxed), self.next_out.load(Relaxed));
        let slots = (0..SLOTS).map(|step| (next_out + step) % SLOTS);
        let used = slots.take_while(|&slot| slot != next_in % SLOTS);
        used.map(|slot| self.items[slot as usize].load(Relaxed)).collect()
    }
}
