//! The word of a lock whose owner may be killed at any instruction. Leaves out how a thread announces to
//! the kernel that it takes the lock: see [`super::thread`].
//!
//! # The word
//!
//! | bits | meaning |
//! |---|---|
//! | 0–29 | thread id of the owner; 0 if free; 2²⁹, which is no thread's, if given up for good |
//! | 30 | the last owner died holding it |
//! | 31 | somebody may be asleep on it |
//!
//! This is the kernel's format for robust futexes: when a thread ends that has announced the lock and
//! whose id is in the word, the kernel sets bit 30, clears the id, and wakes one sleeper. So the next
//! owner is told, and nobody needs to guess by the clock whether the owner is dead or slow: a stopped
//! process keeps its lock. And since the kernel does so before the id is free for another thread, an id
//! that is used again deceives nobody.
//!
//! # How nobody sleeps for ever
//!
//! *Nobody is asleep on the word unless bit 31 is set.* One falls asleep only at a value that has it,
//! and it is cleared only together with waking everybody, in one system call
//! ([`futex::change_and_wake`]): a kill cannot part the two. Who takes the lock keeps the bit as it
//! found it, and so does the kernel when the owner dies. All are woken, since one alone might be
//! killed on its way to the lock. The kernel wakes but one; if that one is killed before it has taken
//! the lock, its announcement still stands, and the kernel wakes the next. (Kernels without the change
//! "futex: Resend potentially swallowed owner death notification", of late 2022, do not: then the
//! others sleep until the next process uses the lock.)

use std::io;

use ipc_core::futex::{self, Change};
use ipc_core::sync::{AtomicU32, Ordering};
use ipc_core::{Deadline, SpinBudget, WaitStrategy};

use crate::spin::{self, Patience};

/// The word. Zeroed memory is a free lock.
#[repr(transparent)]
pub(crate) struct RobustWord {
    word: AtomicU32,
}

/// How a lock was found by its new owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// As its last owner left it.
    InOrder,
    /// Its last owner died holding it: what it guards may want repair.
    OwnerDied,
}

/// What came of an attempt to take a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It is ours.
    Taken(Found),
    /// It is another thread's.
    Busy,
    /// It is this thread's already.
    Mine,
    /// It was given up for good.
    GivenUp,
}

const OWNER: u32 = 0x3fff_ffff;
const OWNER_DIED_BIT: u8 = 30;
const OWNER_DIED: u32 = 1 << OWNER_DIED_BIT;
const SLEEPERS: u32 = 0x8000_0000;
/// In the place of an owner. The kernel gives out ids below 2²² (`PID_MAX_LIMIT`).
const GIVEN_UP_BIT: u8 = 29;
const GIVEN_UP: u32 = 1 << GIVEN_UP_BIT;

impl RobustWord {
    /// A free lock.
    #[cfg(not(ipc_loom))]
    pub(crate) const fn new() -> Self {
        Self { word: AtomicU32::new(0) }
    }

    /// A free lock.
    #[cfg(ipc_loom)]
    pub(crate) fn new() -> Self {
        Self { word: AtomicU32::new(0) }
    }

    /// Whether somebody who lives has it, or it is given up. It may be stale on return.
    #[inline]
    pub(crate) fn is_held(&self, order: Ordering) -> bool {
        self.word.load(order) & OWNER != 0
    }

    /// Whether this thread has it.
    pub(crate) fn is_held_by(&self, thread_id: u32) -> bool {
        // Relaxed: only this thread writes its own id.
        self.word.load(Ordering::Relaxed) & OWNER == thread_id
    }

    /// What the word says to who does not want to take it: never [`Look::Taken`] for good.
    pub(crate) fn look(&self, order: Ordering) -> Look {
        let word = self.word.load(order);
        match word & OWNER {
            0 if word & OWNER_DIED == 0 => Look::Taken(Found::InOrder),
            0 => Look::Taken(Found::OwnerDied),
            GIVEN_UP => Look::GivenUp,
            _ => Look::Busy,
        }
    }

    /// Takes the lock if it is free, and nobody sleeps or has died: one comparison. See
    /// [`acquire`](Self::acquire) for the announcement.
    #[inline]
    pub(crate) fn take_unused(&self, thread_id: u32) -> bool {
        // Acquire pairs with the Release in `release`. SeqCst for the look that a read-write lock takes
        // next; costs nothing on the processors that we know.
        self.word.compare_exchange(0, thread_id, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// Takes the lock, waiting for it until the deadline; then [`Look::Busy`].
    ///
    /// The thread must have announced the lock under the id `thread_id`, and must do so until it has
    /// [`release`](Self::release)d it.
    pub(crate) fn acquire(&self, thread_id: u32, patience: Patience) -> io::Result<Look> {
        self.acquire_within(thread_id, patience.deadline, &mut SpinBudget::new(patience.strategy))
    }

    /// The same, as long awake as the `budget` says.
    pub(crate) fn acquire_within(
        &self,
        thread_id: u32,
        deadline: Deadline,
        budget: &mut SpinBudget,
    ) -> io::Result<Look> {
        loop {
            let mut seen = self.try_acquire(thread_id);
            if seen != Look::Busy {
                return Ok(seen);
            }
            let strategy = match budget.begin() {
                None => WaitStrategy::Spin,
                Some(spins) => WaitStrategy::Adaptive { spins },
            };
            let look = Patience { deadline, strategy }.look(|| {
                seen = self.try_acquire(thread_id);
                seen != Look::Busy
            });
            match look {
                spin::Look::Ready => {
                    budget.found();
                    return Ok(seen);
                }
                spin::Look::TimedOut => return Ok(Look::Busy),
                spin::Look::Sleep => budget.slept(),
            }
            self.sleep_while_held(deadline)?;
        }
    }

    /// Takes the lock if it is free.
    pub(crate) fn try_acquire(&self, thread_id: u32) -> Look {
        /// A free lock's word changes when another one takes it, or when the bit of sleepers is set or
        /// cleared: who is refused because of that looks again, but not for ever.
        const ATTEMPTS: u32 = 4;

        for _ in 0..ATTEMPTS {
            let word = self.word.load(Ordering::Relaxed); // the exchange looks again
            match word & OWNER {
                0 => {}
                GIVEN_UP => return Look::GivenUp,
                owner if owner == thread_id => return Look::Mine,
                _ => return Look::Busy,
            }
            // As in `take_unused`; or Acquire pairs with the kernel's own ordering when it wrote for the
            // dead.
            let taken = (word & SLEEPERS) | thread_id;
            let exchanged =
                self.word.compare_exchange(word, taken, Ordering::SeqCst, Ordering::Relaxed);
            if exchanged.is_ok() {
                let found = if word & OWNER_DIED == 0 { Found::InOrder } else { Found::OwnerDied };
                return Look::Taken(found);
            }
        }
        Look::Busy
    }

    /// Takes a lock that was given up; tells whether it was.
    pub(crate) fn take_given_up(&self, thread_id: u32) -> bool {
        // Acquire pairs with the Release in `release`. Nobody sleeps at this value.
        self.word
            .compare_exchange(GIVEN_UP, thread_id, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Sleeps until it is worth looking again: at once, if it is free.
    pub(crate) fn sleep_while_held(&self, deadline: Deadline) -> io::Result<()> {
        // Relaxed: the kernel compares the word itself, and who is woken looks again.
        let word = self.word.load(Ordering::Relaxed);
        if matches!(word & OWNER, 0 | GIVEN_UP) {
            return Ok(());
        }
        let announced = word | SLEEPERS;
        let exchanged =
            self.word.compare_exchange(word, announced, Ordering::Relaxed, Ordering::Relaxed);
        if exchanged.is_ok() {
            futex::wait(&self.word, announced, deadline)?;
        }
        Ok(())
    }

    /// Frees the lock and wakes who waits for it.
    #[inline]
    pub(crate) fn release(&self, thread_id: u32) {
        if !self.release_unwanted(thread_id) {
            self.release_wanted();
        }
    }

    /// Frees the lock if nobody waits for it: one comparison.
    #[inline]
    pub(crate) fn release_unwanted(&self, thread_id: u32) -> bool {
        // Release pairs with the Acquire in `try_acquire`.
        self.word.compare_exchange(thread_id, 0, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Frees the lock and wakes everybody.
    #[cold]
    pub(crate) fn release_wanted(&self) {
        self.leave(Change::Store(0));
    }

    /// Frees the lock as the kernel does when its owner has died.
    pub(crate) fn release_as_dead(&self) {
        self.leave(Change::StoreBit(OWNER_DIED_BIT));
    }

    /// Gives the lock up for good.
    pub(crate) fn give_up(&self) {
        self.leave(Change::StoreBit(GIVEN_UP_BIT));
    }

    /// Changes the word, which is ours, and wakes everybody.
    fn leave(&self, change: Change) {
        // The call fails only for a word that is not mapped.
        let _ = futex::change_and_wake(&self.word, change, u32::MAX);
    }

    /// What the kernel does to an announced word when a thread ends, for the models.
    pub(crate) fn owner_dies(&self, thread_id: u32) {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            match word & OWNER {
                // The thread may have freed the lock and not have woken the next, or have been woken and
                // not have taken it.
                0 => {
                    let _ = futex::wake(&self.word, 1);
                    return;
                }
                owner if owner != thread_id => return,
                _ => {}
            }
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
