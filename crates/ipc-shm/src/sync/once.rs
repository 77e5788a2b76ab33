//! Something in shared memory that is initialised once, by whoever comes first and lives.

// Asserts an unsafe trait.
#![allow(unsafe_code)]

use std::fmt;

use ipc_core::Deadline;
use ipc_core::sync::{AtomicU32, Ordering};

use super::robust::{Held, Leaving, RobustFutex};
use super::{LOCK_STRATEGY, LockError};
use crate::spin::Patience;

/// A value in shared memory that is initialised once, by one thread of any process; the others wait for it.
/// Zeroed memory is one that is not initialised yet.
///
/// If the thread that initialises it dies or panics, the next one does it anew, on what the first has left:
/// so let the initialiser overwrite everything.
///
/// ```
/// use ipc_shm::{OnceCell, Value};
///
/// let started_at: OnceCell<Value<u64>> = OnceCell::new(Value::new(0)); // or in a segment
/// assert!(started_at.get().is_none());
/// let value = started_at.get_or_init(|value| value.store(&1_700_000_000))?;
/// assert_eq!(value.load(), 1_700_000_000);
/// let again = started_at.get_or_init(|_| unreachable!("it is initialised"))?;
/// assert_eq!(again.load(), 1_700_000_000);
/// # Ok::<(), ipc_shm::LockError>(())
/// ```
///
/// # Layout
///
/// A robust lock, as in a [`Mutex`](crate::Mutex#layout) (40 bytes); a word that is 1 once it is
/// initialised; the value.
#[repr(C)]
pub struct OnceCell<T> {
    lock: RobustFutex,
    done: AtomicU32,
    value: T,
}

/// An action that is done once, by one thread of any process. See [`Once::call_once`].
pub type Once = OnceCell<()>;

const DONE: u32 = 1;

#[cfg(not(ipc_loom))]
const _: () = {
    assert!(size_of::<Once>() == 48 && align_of::<Once>() == 8);
    assert!(std::mem::offset_of!(OnceCell<u64>, done) == 40);
    assert!(std::mem::offset_of!(OnceCell<u64>, value) == 48);
};

// SAFETY: C's layout of atomics and of a `Shared` type, which is given out by shared references only.
#[cfg(not(ipc_loom))]
unsafe impl<T: crate::Shared> crate::Shared for OnceCell<T> {
    const IDENTITY: crate::TypeIdentity = crate::TypeIdentity::of_struct(
        "ipc-shm.OnceCell/1",
        size_of::<Self>(),
        align_of::<Self>(),
        &[("value", std::mem::offset_of!(Self, value), T::IDENTITY)],
    );
}

impl<T> OnceCell<T> {
    /// One that is not initialised; `value` is what the initialiser finds.
    #[cfg(not(ipc_loom))]
    pub const fn new(value: T) -> Self {
        Self { lock: RobustFutex::new(), done: AtomicU32::new(0), value }
    }

    #[cfg(ipc_loom)]
    pub(crate) fn new(value: T) -> Self {
        Self { lock: RobustFutex::new(), done: AtomicU32::new(0), value }
    }

    /// The value, if it is initialised. Never blocks.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        // Acquire pairs with the Release in `get_or_init_deadline`.
        (self.done.load(Ordering::Acquire) == DONE).then_some(&self.value)
    }

    /// The value; initialises it if nobody has, and waits while another thread does, as long as it takes.
    ///
    /// # Errors
    ///
    /// Those of [`Mutex::lock`](crate::Mutex::lock) but `Poisoned`.
    #[inline]
    pub fn get_or_init(&self, initialise: impl FnOnce(&T)) -> Result<&T, LockError> {
        self.get_or_init_deadline(Deadline::Never, initialise)
    }

    /// The value; initialises it if nobody has, and waits until `deadline` while another thread does.
    ///
    /// # Errors
    ///
    /// [`LockError::Busy`] or [`LockError::TimedOut`] if another thread is still at it then, and those of
    /// [`get_or_init`](Self::get_or_init).
    pub fn get_or_init_deadline(
        &self,
        deadline: Deadline,
        initialise: impl FnOnce(&T),
    ) -> Result<&T, LockError> {
        if let Some(value) = self.get() {
            return Ok(value);
        }
        // Whether the last owner died says nothing that the missing mark does not say.
        let held = self.lock.acquire(Patience { deadline, strategy: LOCK_STRATEGY })?;
        let mut initialising = Initialising { lock: &self.lock, held, leaving: Leaving::AsDead };
        if self.get().is_none() {
            initialise(&self.value);
            // Release pairs with the Acquire in `get`.
            self.done.store(DONE, Ordering::Release);
        }
        initialising.leaving = Leaving::InOrder;
        Ok(&self.value)
    }
}

impl Once {
    /// Does `action` if nobody has done it, and waits while another thread does, at most until `deadline`. On
    /// return it has been done, and what it did is visible.
    ///
    /// ```
    /// use ipc_core::Deadline;
    /// use ipc_shm::Once;
    ///
    /// let once = Once::new(()); // or in a segment
    /// let mut times = 0;
    /// once.call_once(Deadline::Never, || times += 1)?;
    /// once.call_once(Deadline::Never, || unreachable!("it was done"))?;
    /// assert_eq!(times, 1);
    /// # Ok::<(), ipc_shm::LockError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`get_or_init_deadline`](Self::get_or_init_deadline).
    pub fn call_once(&self, deadline: Deadline, action: impl FnOnce()) -> Result<(), LockError> {
        self.get_or_init_deadline(deadline, |()| action()).copied()
    }
}

/// Releases the lock, whatever the initialiser does.
struct Initialising<'a> {
    lock: &'a RobustFutex,
    held: Held,
    leaving: Leaving,
}

impl Drop for Initialising<'_> {
    fn drop(&mut self) {
        self.lock.release(self.held, self.leaving);
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnceCell").field(&self.get()).finish()
    }
}
