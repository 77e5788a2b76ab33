//! A counting semaphore in shared memory.
//!
//! # How it waits
//!
//! One word holds the count, shifted left by one, and in its lowest bit whether somebody may be
//! asleep. Whoever finds the count at zero sets the bit and sleeps on the word **only while it is
//! exactly zero with the bit**. A release that finds that value adds its unit and wakes all sleepers
//! in one system call ([`futex::add_and_wake_all`]); at any other value it only adds. So:
//!
//! *Nobody is asleep unless the word is zero with the bit.* The kernel lets people fall asleep at no
//! other value, and whatever leaves that value wakes them all in the same step.
//!
//! Hence no wake-up can be lost, not even by `kill -9`: a process is killed before that step, and has
//! not released, or after it, and everybody is awake. All are woken, not one, because that one may be
//! killed before it takes the unit. And the bit, wherever else it is left standing, means nothing: an
//! acquire clears it.
//!
//! The models (`src/models`) deadlock if the release wakes in a step of its own before it adds.
//! (After it adds would do but for a kill between the two.)

// References into mapped memory.
#![allow(unsafe_code)]

use std::fmt;
use std::io;

use ipc_core::sync::{AtomicU32, Ordering};
use ipc_core::{Deadline, WaitStrategy, futex};

use crate::spin::{Look, Patience};

/// A counting semaphore, four bytes in shared memory. Zeroed memory is one with count 0.
///
/// It is unnamed (as those of `sem_init(3)`) but not compatible with those of libc. It has no owner:
/// units that a process held when it died stay taken, as `sem_overview(7)` says of every semaphore.
/// But no wake-up is ever lost, whoever is killed at whatever moment.
///
/// ```
/// use ipc_core::{Deadline, WaitStrategy};
/// use ipc_shm::{Access, Backing, Memfd, Semaphore};
///
/// let memory = Memfd::create("semaphore", 4096, Backing::Reserved)?.map(Access::ReadWrite)?;
/// let semaphore = Semaphore::at(&memory, 0);
/// semaphore.release()?;
/// assert!(semaphore.acquire(WaitStrategy::Park, Deadline::Never)?);
/// assert!(!semaphore.try_acquire());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[repr(transparent)]
pub struct Semaphore {
    /// `count << 1 | sleepers`
    word: AtomicU32,
}

/// Set: somebody may be asleep. Alone (count zero), it is the one value to sleep at.
const SLEEPERS: u32 = 1;
/// One unit.
const UNIT: u32 = 2;

// It lies in memory that programs share which were built apart.
#[cfg(not(ipc_loom))]
const _: () = assert!(size_of::<Semaphore>() == 4 && align_of::<Semaphore>() == 4);

// SAFETY: one atomic word; any number is a count; zero is a semaphore without units.
#[cfg(not(ipc_loom))]
unsafe impl crate::Shared for Semaphore {
    const IDENTITY: crate::TypeIdentity = crate::TypeIdentity::of_struct(
        "ipc-shm.Semaphore/1",
        size_of::<Self>(),
        align_of::<Self>(),
        &[],
    );
}

impl Semaphore {
    /// The highest count.
    pub const MAX: u32 = u32::MAX >> 1;

    /// A semaphore with this count.
    ///
    /// # Panics
    ///
    /// If the count is above [`MAX`](Self::MAX).
    #[cfg(not(ipc_loom))]
    pub const fn new(count: u32) -> Self {
        assert!(count <= Self::MAX, "the count is above the highest");
        Self { word: AtomicU32::new(count * UNIT) }
    }

    #[cfg(ipc_loom)]
    pub(crate) fn new(count: u32) -> Self {
        Self { word: AtomicU32::new(count * UNIT) }
    }

    /// The semaphore at `offset` bytes of a mapping. All who use it must agree that it is there.
    ///
    /// # Panics
    ///
    /// If it is out of bounds or not aligned to 4 bytes, or the mapping is read-only.
    #[cfg(not(ipc_loom))]
    pub fn at(mapping: &crate::Mapping, offset: usize) -> &Self {
        let word: *const AtomicU32 = mapping.atomic_u32(offset);
        // SAFETY: a semaphore is a transparent wrapper of the word, and lives as long.
        unsafe { &*word.cast() }
    }

    /// The count. It may be stale on return.
    pub fn count(&self) -> u32 {
        // Relaxed: who acts on the count acquires.
        self.word.load(Ordering::Relaxed) / UNIT
    }

    /// Takes a unit if there is one. What its release published is then visible. Never blocks. See
    /// `sem_trywait(3)`.
    pub fn try_acquire(&self) -> bool {
        let mut word = self.word.load(Ordering::Relaxed); // the exchange looks again
        while word >= UNIT {
            // Nobody sleeps at such a value, so the bit may go.
            let taken = (word - UNIT) & !SLEEPERS;
            // Acquire pairs with the Release in `release`. Release keeps what stands before in the
            // program before this, which the buffer's argument on being killed needs.
            match self.word.compare_exchange_weak(word, taken, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Takes a unit, waiting for one until `deadline`; tells whether it got one. See
    /// `sem_timedwait(3)`.
    ///
    /// # Errors
    ///
    /// Those of [`futex::wait`].
    pub fn acquire(&self, strategy: WaitStrategy, deadline: Deadline) -> io::Result<bool> {
        let patience = Patience { deadline, strategy };
        loop {
            if self.try_acquire() {
                return Ok(true);
            }
            if !self.wait_available(patience)? {
                return Ok(false);
            }
        }
    }

    /// Gives a unit, and wakes who waits for one. Never blocks. See `sem_post(3)`.
    ///
    /// # Errors
    ///
    /// `EOVERFLOW` at [`MAX`](Self::MAX); those of [`futex::add_and_wake_all`].
    pub fn release(&self) -> io::Result<()> {
        let mut word = self.word.load(Ordering::Relaxed); // the exchange looks again
        loop {
            if word == SLEEPERS {
                // Should the word have changed by now, one unit more is still right.
                futex::add_and_wake_all(&self.word, UNIT as u16)?;
                return Ok(());
            }
            if word / UNIT == Self::MAX {
                return Err(rustix::io::Errno::OVERFLOW.into());
            }
            // Release pairs with the Acquire in `try_acquire`.
            match self.word.compare_exchange_weak(
                word,
                word + UNIT,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
    }

    /// Raises the count to one from zero, and wakes who waits.
    pub(super) fn fill(&self) -> io::Result<()> {
        let word = self.word.load(Ordering::Relaxed); // the exchange looks again
        if word != SLEEPERS {
            // Also if there is one already, so that what came before this call is visible too. Nobody
            // sleeps at such a value, so the bit may go. Release pairs with the Acquire in `try_acquire`.
            let exchanged =
                self.word.compare_exchange(word, UNIT, Ordering::Release, Ordering::Relaxed);
            if exchanged.is_ok() {
                return Ok(());
            }
        }
        // Right at any value.
        futex::store_and_wake_all(&self.word, UNIT as u16)?;
        Ok(())
    }

    /// Waits until there is a unit, and takes none; tells whether there is. It may be gone on return.
    pub(crate) fn wait_available(&self, patience: Patience) -> io::Result<bool> {
        loop {
            match patience.look(|| self.count() > 0) {
                Look::Ready => return Ok(true),
                Look::TimedOut => return Ok(false),
                Look::Sleep => {}
            }
            // Relaxed: the kernel compares the word itself, and who is woken looks again.
            let announced =
                self.word.compare_exchange(0, SLEEPERS, Ordering::Relaxed, Ordering::Relaxed);
            if matches!(announced, Ok(_) | Err(SLEEPERS)) {
                futex::wait(&self.word, SLEEPERS, patience.deadline)?;
            }
        }
    }

    /// Raises the count to `count` from zero, before anybody else knows the semaphore.
    pub(crate) fn initialise(&self, count: u32) {
        // Relaxed: whatever makes the semaphore known publishes this too.
        self.word.store(count * UNIT, Ordering::Relaxed);
    }

    /// Lowers the count to `count` if it is above.
    pub(crate) fn lower_to(&self, count: u32) {
        let mut word = self.word.load(Ordering::Relaxed); // the exchange looks again
        while word / UNIT > count {
            // Nobody sleeps at such a value, so the bit may go. Release as in `try_acquire`.
            match self.word.compare_exchange_weak(
                word,
                count * UNIT,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("count", &self.count()).finish()
    }
}
