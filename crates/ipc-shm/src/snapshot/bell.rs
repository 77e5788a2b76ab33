//! Waking those who wait for a change in shared memory, at next to no cost while nobody waits. Leaves
//! out what changes.
//!
//! # How it waits
//!
//! One word holds in its lowest bit whether somebody may be asleep, and above it how often the bell was
//! heard. Who waits sets the bit, **looks once more**, and sleeps while the word is as it was. Who rings
//! has **made the change before**, and looks at the bit. Between the two steps each has a full fence, so
//! that at least one of them sees what the other has done. A ring that finds the bit clears it, counts and
//! wakes everybody in one system call ([`futex::add_and_wake_all`]), which a kill cannot part.

// Takes a word in mapped memory for a bell, and asserts that a bell may lie there.
#![allow(unsafe_code)]

use std::fmt;
use std::io;

use ipc_core::sync::{AtomicU32, Ordering, fence};
use ipc_core::{Deadline, WaitStrategy, futex};

use crate::spin::{Look, Patience};

/// Wakes processes that wait for something to change: four bytes in shared memory. Zeroed memory is
/// one that nobody waits at.
///
/// Apart from what changes, so that the two may lie in different memory: who waits writes to the bell,
/// and need only be able to read the rest. Whoever writes garbage here can keep the others that wait at
/// this bell from waking up, and nothing else.
///
/// A process killed after its change and before it rings leaves the others asleep until the next
/// ring, or their deadline.
#[repr(transparent)]
pub struct Bell {
    /// `rings << 1 | sleepers`
    word: AtomicU32,
}

const SLEEPERS: u32 = 1;

impl Bell {
    /// One that nobody waits at.
    pub fn new() -> Self {
        Self { word: AtomicU32::new(0) }
    }

    /// The bell at `offset` bytes of a mapping. All who use it must agree that it is there.
    ///
    /// # Panics
    ///
    /// If it is out of bounds or not aligned to 4 bytes, or the mapping is read-only.
    #[cfg(not(ipc_loom))]
    pub fn at(mapping: &crate::Mapping, offset: usize) -> &Self {
        let word: *const AtomicU32 = mapping.atomic_u32(offset);
        // SAFETY: a bell is a transparent wrapper of the word, and lives as long.
        unsafe { &*word.cast() }
    }

    /// Wakes all who wait. Call it after the change. Never blocks, and makes no system call unless
    /// somebody may be asleep.
    ///
    /// # Errors
    ///
    /// Those of [`futex::add_and_wake_all`].
    #[inline]
    pub fn ring(&self) -> io::Result<()> {
        // The change before the look. Pairs with the fence in `wait`; without either the model
        // `each_of_two_changes_wakes` deadlocks.
        fence(Ordering::SeqCst);
        // Relaxed: the fence has ordered it.
        if self.word.load(Ordering::Relaxed) & SLEEPERS != 0 {
            futex::add_and_wake_all(&self.word, SLEEPERS as u16)?;
        }
        Ok(())
    }

    /// Waits until `has_changed`, at most until `deadline`; tells whether it has.
    ///
    /// `has_changed` loads with Acquire what the change has stored with Release. It is called often, and once
    /// at least.
    ///
    /// # Errors
    ///
    /// Those of [`futex::wait`].
    pub fn wait(
        &self,
        strategy: WaitStrategy,
        deadline: Deadline,
        mut has_changed: impl FnMut() -> bool,
    ) -> io::Result<bool> {
        let patience = Patience { deadline, strategy };
        loop {
            match patience.look(&mut has_changed) {
                Look::Ready => return Ok(true),
                Look::TimedOut => return Ok(false),
                Look::Sleep => {}
            }
            // Relaxed: the kernel compares the word itself, and the fence orders the look.
            let word = self.word.load(Ordering::Relaxed);
            let announced = word | SLEEPERS;
            let exchanged =
                self.word.compare_exchange(word, announced, Ordering::Relaxed, Ordering::Relaxed);
            // The announcement before the look. Pairs with the fence in `ring`.
            fence(Ordering::SeqCst);
            if exchanged.is_ok() && !has_changed() {
                futex::wait(&self.word, announced, deadline)?;
            }
        }
    }
}

impl Default for Bell {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").finish_non_exhaustive()
    }
}

// SAFETY: one atomic word; any bits are a value.
#[cfg(not(ipc_loom))]
unsafe impl crate::Shared for Bell {
    const IDENTITY: ipc_core::TypeIdentity =
        ipc_core::TypeIdentity::of_struct("ipc.Bell/1", size_of::<Self>(), align_of::<Self>(), &[]);
}
