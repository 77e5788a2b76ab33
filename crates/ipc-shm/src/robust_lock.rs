//! A lock in shared memory whose owner may be killed at any instruction.
//!
//! # The word
//!
//! | bits | meaning |
//! |---|---|
//! | 0–29 | thread id of the owner; 0 if free |
//! | 30 | the last owner died holding it |
//! | 31 | somebody may be asleep on it |
//!
//! This is the kernel's format for robust futexes: when a thread ends that has announced the lock
//! ([`crate::robust_list`]) and whose id is in the word, the kernel sets bit 30, clears the id, and
//! wakes one sleeper. So the next owner is told, and nobody needs to guess by the clock whether the
//! owner is dead or slow: a stopped process keeps its lock.
//!
//! # How nobody sleeps for ever
//!
//! *Nobody is asleep on the word unless bit 31 is set.* One falls asleep only at a value that has it,
//! and it is cleared only together with waking everybody, in one system call
//! ([`futex::store_and_wake_all`]): a kill cannot part the two. Who takes the lock keeps the bit as it
//! found it, and so does the kernel when the owner dies. All are woken, since one alone might be
//! killed on its way to the lock. The kernel wakes but one; if that one is killed before it has taken
//! the lock, its announcement still stands, and the kernel wakes the next. (Kernels without the change
//! "futex: Resend potentially swallowed owner death notification", of late 2022, do not: then the
//! others sleep until the next process uses the lock.)

use std::io;

use ipc_core::futex;
use ipc_core::sync::{AtomicU32, Ordering};

use crate::spin::{Look, Patience};

/// The lock. Zeroed memory is a free one.
#[repr(transparent)]
pub(crate) struct RobustLock {
    word: AtomicU32,
}

/// How a lock was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// As its last owner left it.
    InOrder,
    /// Its last owner died holding it: what it guards may want repair. The finder owns the lock.
    OwnerDied,
}

const OWNER: u32 = 0x3fff_ffff;
const OWNER_DIED: u32 = 0x4000_0000;
const SLEEPERS: u32 = 0x8000_0000;

impl RobustLock {
    /// A free lock.
    #[cfg(ipc_loom)]
    pub(crate) fn new() -> Self {
        Self { word: AtomicU32::new(0) }
    }

    /// What to announce to the kernel.
    pub(crate) fn word(&self) -> &AtomicU32 {
        &self.word
    }

    /// Takes the lock; `None` if it is not free until the deadline.
    ///
    /// The thread must have announced the lock under the id `thread_id`, and must do so until it has
    /// [`release`](Self::release)d it.
    pub(crate) fn acquire(&self, thread_id: u32, patience: Patience) -> io::Result<Option<Found>> {
        loop {
            let mut found = None;
            let look = patience.look(|| {
                found = self.try_acquire(thread_id);
                found.is_some()
            });
            match look {
                Look::Ready => return Ok(found),
                Look::TimedOut => return Ok(None),
                Look::Sleep => {}
            }
            // Relaxed: the kernel compares the word itself, and who is woken tries again.
            let word = self.word.load(Ordering::Relaxed);
            if word & OWNER == 0 {
                continue;
            }
            let announced = word | SLEEPERS;
            let exchanged =
                self.word.compare_exchange(word, announced, Ordering::Relaxed, Ordering::Relaxed);
            if exchanged.is_ok() {
                futex::wait(&self.word, announced, patience.deadline)?;
            }
        }
    }

    /// Takes the lock if it is free.
    fn try_acquire(&self, thread_id: u32) -> Option<Found> {
        let word = self.word.load(Ordering::Relaxed); // the exchange looks again
        if word & OWNER != 0 {
            return None;
        }
        // Acquire pairs with the Release in `release`, or with the kernel's own ordering when it
        // wrote for the dead.
        self.word
            .compare_exchange(
                word,
                (word & SLEEPERS) | thread_id,
                Ordering::Acquire,
                Ordering::Relaxed,
            )
            .ok()?;
        Some(if word & OWNER_DIED == 0 { Found::InOrder } else { Found::OwnerDied })
    }

    /// Frees the lock and wakes who waits for it.
    pub(crate) fn release(&self, thread_id: u32) {
        // Release pairs with the Acquire in `try_acquire`.
        let freed = self.word.compare_exchange(thread_id, 0, Ordering::Release, Ordering::Relaxed);
        if freed.is_err() {
            // Somebody has set the bit. The call fails only for a word that is not mapped.
            let _ = futex::store_and_wake_all(&self.word, 0);
        }
    }

    /// What the kernel does to the word when a thread ends, for the models.
    pub(crate) fn owner_dies(&self, thread_id: u32) {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & OWNER == thread_id {
            let left = (word & SLEEPERS) | OWNER_DIED;
            match self.word.compare_exchange(word, left, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if word & SLEEPERS != 0 => {
                    let _ = futex::wake(&self.word, 1);
                    return;
                }
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }
}
