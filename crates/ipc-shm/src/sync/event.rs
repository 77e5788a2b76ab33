//! Events in shared memory: something has happened, and whoever waits for it goes on.
//!
//! # How they wait
//!
//! As with the [semaphore](super::semaphore): one falls asleep only at a value that says that somebody
//! sleeps and that the event is not set; and it is set at such a value together with waking everybody, in one
//! system call. So nobody sleeps through an event, whoever is killed.
//!
//! The word of an event that is reset by hand also counts its resets: who waits learns by the count that
//! it was set, and reset before it could look.

// Asserts unsafe traits.
#![allow(unsafe_code)]

use std::fmt;
use std::io;

use ipc_core::sync::{AtomicU32, Ordering};
use ipc_core::{
    Deadline, WaitStrategy,
    futex::{self, Change},
};

use super::Semaphore;
use crate::spin::{Look, Patience};

/// An event that stays set, for all who wait now or later, until it is reset; four bytes in shared memory.
/// Zeroed memory is one that is not set.
///
/// ```
/// use ipc_core::{Deadline, WaitStrategy};
/// use ipc_shm::ManualResetEvent;
///
/// let started = ManualResetEvent::new(false); // or in a segment
/// assert!(!started.wait(WaitStrategy::Park, Deadline::Now)?);
/// started.set()?;
/// assert!(started.wait(WaitStrategy::Park, Deadline::Never)?);
/// assert!(started.is_set());
/// started.reset();
/// # Ok::<(), std::io::Error>(())
/// ```
#[repr(transparent)]
pub struct ManualResetEvent {
    /// `resets << 2 | sleepers << 1 | is_set`
    word: AtomicU32,
}

const SET: u32 = 1;
const SLEEPERS: u32 = 2;
/// One reset.
const RESET: u32 = 4;

#[cfg(not(ipc_loom))]
const _: () = {
    assert!(size_of::<ManualResetEvent>() == 4 && align_of::<ManualResetEvent>() == 4);
    assert!(size_of::<AutoResetEvent>() == 4 && align_of::<AutoResetEvent>() == 4);
};

// SAFETY: one atomic word, of which any number is a state.
#[cfg(not(ipc_loom))]
unsafe impl crate::Shared for ManualResetEvent {
    const IDENTITY: crate::TypeIdentity = crate::TypeIdentity::of_struct(
        "ipc-shm.ManualResetEvent/1",
        size_of::<Self>(),
        align_of::<Self>(),
        &[],
    );
}

impl ManualResetEvent {
    /// How often to try to change a word that others change at the same moment.
    const ATTEMPTS: u32 = 1_000;

    /// An event that is set or not.
    #[cfg(not(ipc_loom))]
    pub const fn new(is_set: bool) -> Self {
        Self { word: AtomicU32::new(if is_set { SET } else { 0 }) }
    }

    #[cfg(ipc_loom)]
    pub(crate) fn new(is_set: bool) -> Self {
        Self { word: AtomicU32::new(u32::from(is_set)) }
    }

    /// Whether it is set. It may be stale on return. What came before the setting is then visible.
    pub fn is_set(&self) -> bool {
        // Acquire pairs with the Release in `set`.
        self.word.load(Ordering::Acquire) & SET != 0
    }

    /// Sets it, and wakes all who wait. Never blocks.
    ///
    /// # Errors
    ///
    /// Those of [`futex::change_and_wake`].
    pub fn set(&self) -> io::Result<()> {
        let word = self.word.load(Ordering::Relaxed); // the exchange looks again
        if word & (SET | SLEEPERS) != SLEEPERS {
            // Also if it is set already, so that what came before this call is visible too. Release pairs
            // with the Acquire in `is_set` and `wait`.
            let (set, order) = (word | SET, Ordering::Release);
            if self.word.compare_exchange(word, set, order, Ordering::Relaxed).is_ok() {
                return Ok(());
            }
        }
        // Right at any value.
        futex::change_and_wake(&self.word, Change::Set(SET as u16), u32::MAX)?;
        Ok(())
    }

    /// Resets it; tells whether it was set. Never blocks. Who waited while it was set goes on, though it may
    /// not have run yet.
    pub fn reset(&self) -> bool {
        for _ in 0..Self::ATTEMPTS {
            let word = self.word.load(Ordering::Relaxed); // the exchange looks again
            if word & SET == 0 {
                return false;
            }
            // Nobody sleeps at such a value, so the bit may go. AcqRel: what came before this reset is not
            // mistaken for what comes after, in either direction.
            let reset = (word & !(SET | SLEEPERS)).wrapping_add(RESET);
            let (success, failure) = (Ordering::AcqRel, Ordering::Relaxed);
            if self.word.compare_exchange(word, reset, success, failure).is_ok() {
                return true;
            }
        }
        false // others set and reset it without end: so it was reset
    }

    /// Waits until it is set, or was since the call, at most until `deadline`; tells whether it was.
    ///
    /// # Errors
    ///
    /// Those of [`futex::wait`].
    pub fn wait(&self, strategy: WaitStrategy, deadline: Deadline) -> io::Result<bool> {
        let patience = Patience { deadline, strategy };
        // Acquire, here and below, pairs with the Release in `set`.
        let resets = self.word.load(Ordering::Acquire) / RESET;
        let is_over = |word: u32| word & SET != 0 || word / RESET != resets;
        loop {
            match patience.look(|| is_over(self.word.load(Ordering::Acquire))) {
                Look::Ready => return Ok(true),
                Look::TimedOut => return Ok(false),
                Look::Sleep => {}
            }
            let word = self.word.load(Ordering::Acquire);
            if is_over(word) {
                return Ok(true);
            }
            // Relaxed: the kernel compares the word itself, and who is woken looks again.
            let announced = word | SLEEPERS;
            let exchanged =
                self.word.compare_exchange(word, announced, Ordering::Relaxed, Ordering::Relaxed);
            if exchanged.is_ok() {
                futex::wait(&self.word, announced, deadline)?;
            }
        }
    }
}

impl fmt::Debug for ManualResetEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualResetEvent").field("is_set", &self.is_set()).finish()
    }
}

/// An event that lets one waiter pass, and is reset by that; four bytes in shared memory. Zeroed memory is
/// one that is not set. Setting one that is set does nothing.
///
/// Whoever is killed, an event that is set wakes somebody. One that was set and taken by a waiter which is
/// killed before it acts is gone with that.
///
/// ```
/// use ipc_core::{Deadline, WaitStrategy};
/// use ipc_shm::AutoResetEvent;
///
/// let turn = AutoResetEvent::new(false); // or in a segment
/// turn.set()?;
/// turn.set()?;
/// assert!(turn.wait(WaitStrategy::Park, Deadline::Never)?);
/// assert!(!turn.try_wait());
/// # Ok::<(), std::io::Error>(())
/// ```
#[repr(transparent)]
pub struct AutoResetEvent {
    /// Has one unit if the event is set.
    units: Semaphore,
}

// SAFETY: that of the semaphore.
#[cfg(not(ipc_loom))]
unsafe impl crate::Shared for AutoResetEvent {
    const IDENTITY: crate::TypeIdentity = crate::TypeIdentity::of_struct(
        "ipc-shm.AutoResetEvent/1",
        size_of::<Self>(),
        align_of::<Self>(),
        &[],
    );
}

impl AutoResetEvent {
    /// An event that is set or not.
    #[cfg(not(ipc_loom))]
    pub const fn new(is_set: bool) -> Self {
        Self { units: Semaphore::new(is_set as u32) }
    }

    #[cfg(ipc_loom)]
    pub(crate) fn new(is_set: bool) -> Self {
        Self { units: Semaphore::new(is_set.into()) }
    }

    /// Whether it is set. It may be stale on return.
    pub fn is_set(&self) -> bool {
        self.units.count() > 0
    }

    /// Sets it: one of those who wait goes on, or the next who comes. Never blocks.
    ///
    /// # Errors
    ///
    /// Those of [`futex::store_and_wake_all`].
    pub fn set(&self) -> io::Result<()> {
        self.units.fill()
    }

    /// Resets it; tells whether it was set. Never blocks.
    pub fn reset(&self) -> bool {
        self.try_wait()
    }

    /// Passes and resets it, if it is set. Never blocks.
    pub fn try_wait(&self) -> bool {
        self.units.try_acquire()
    }

    /// Waits until it is set, at most until `deadline`, and resets it; tells whether it was set. What came
    /// before the setting is then visible.
    ///
    /// # Errors
    ///
    /// Those of [`futex::wait`].
    pub fn wait(&self, strategy: WaitStrategy, deadline: Deadline) -> io::Result<bool> {
        self.units.acquire(strategy, deadline)
    }
}

impl fmt::Debug for AutoResetEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AutoResetEvent").field("is_set", &self.is_set()).finish()
    }
}
