//! A condition variable in shared memory.
//!
//! # How it waits
//!
//! One word counts notifications, shifted left by one, and its lowest bit says whether somebody may be
//! asleep. Who waits sets the bit while it still holds the mutex, releases the mutex, and sleeps only while
//! the word is as it was then. A notification changes the count and wakes in one system call
//! ([`futex::change_and_wake`]), so that a kill cannot part the two; where the bit is clear nobody sleeps,
//! and there is nothing to do. A notification of all adds one, which clears the bit with the carry into the
//! count; should two do so at once, the bit stays set, and costs the next one a system call.
//!
//! Who changes the condition does so with the mutex held: before the waiter has looked at it, or after the
//! waiter has set the bit. Hence relaxed accesses are enough.
//!
//! (A waiter that has released the mutex and is not asleep before 2³¹ notifications have passed, all of
//! them, sleeps on.)

// Asserts an unsafe trait.
#![allow(unsafe_code)]

use std::fmt;

use ipc_core::sync::{AtomicU32, Ordering};
use ipc_core::{
    Deadline,
    futex::{self, Change, Wake},
};

use super::{LockError, MutexGuard};

/// A condition that threads of any processes wait for, under a [`Mutex`](crate::Mutex); four bytes in
/// shared memory. Zeroed memory is one that nobody waits for.
///
/// Waiting releases the mutex and takes it again. A wait may also end without a notification, so wait in a
/// loop, or by [`wait_while`](Self::wait_while).
///
/// ```
/// use ipc_core::Deadline;
/// use ipc_shm::{Condvar, Mutex, Value};
/// use std::time::Duration;
///
/// let (stock, arrived) = (Mutex::new(Value::new(0_u32)), Condvar::new()); // or in a segment
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         stock.lock().expect("nobody dies").set(&3);
///         arrived.notify_one();
///     });
///     let deadline = Deadline::after(Duration::from_secs(5));
///     let mut guard = stock.lock()?;
///     guard = arrived.wait_while(guard, deadline, |stock| stock.load() == 0)?;
///     assert_eq!(guard.get(), 3);
///     Ok(())
/// })
/// # .map_err(|error: ipc_shm::LockError| error)
/// # ?;
/// # Ok::<(), ipc_shm::LockError>(())
/// ```
///
/// No notification is lost by a kill of who notifies: it was given, or it was not. But one that was given
/// to one waiter ([`notify_one`](Self::notify_one)) is gone if that waiter is killed before it acts on it.
/// Where others could act in its place, use [`notify_all`](Self::notify_all).
#[repr(transparent)]
pub struct Condvar {
    /// `notifications << 1 | sleepers`
    word: AtomicU32,
}

/// Set: somebody may be asleep.
const SLEEPERS: u32 = 1;

#[cfg(not(ipc_loom))]
const _: () = assert!(size_of::<Condvar>() == 4 && align_of::<Condvar>() == 4);

// SAFETY: one atomic word, and any number is a count of notifications.
#[cfg(not(ipc_loom))]
unsafe impl crate::Shared for Condvar {
    const IDENTITY: crate::TypeIdentity = crate::TypeIdentity::of_struct(
        "ipc-shm.Condvar/1",
        size_of::<Self>(),
        align_of::<Self>(),
        &[],
    );
}

impl Condvar {
    /// One that nobody waits for.
    #[cfg(not(ipc_loom))]
    pub const fn new() -> Self {
        Self { word: AtomicU32::new(0) }
    }

    #[cfg(ipc_loom)]
    pub(crate) fn new() -> Self {
        Self { word: AtomicU32::new(0) }
    }

    /// Releases the mutex, waits for a notification, and takes the mutex again. See
    /// [`wait_deadline`](Self::wait_deadline).
    ///
    /// # Errors
    ///
    /// Those of [`Mutex::lock`](crate::Mutex::lock), at taking the mutex again.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> Result<MutexGuard<'a, T>, LockError> {
        self.wait_deadline(guard, Deadline::Never).map(|(guard, _)| guard)
    }

    /// Releases the mutex, waits for a notification until `deadline`, and takes the mutex again; tells
    /// whether it was woken before the deadline.
    ///
    /// The deadline is for all of it: if another thread has the mutex then, the answer is
    /// [`LockError::TimedOut`], and the caller does not hold the mutex any more.
    ///
    /// A guard of a mutex whose [owner died](MutexGuard::owner_died) must be marked as repaired before:
    /// waiting releases the mutex.
    ///
    /// # Errors
    ///
    /// Those of [`Mutex::lock_deadline`](crate::Mutex::lock_deadline), at taking the mutex again.
    pub fn wait_deadline<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Deadline,
    ) -> Result<(MutexGuard<'a, T>, bool), LockError> {
        let mutex = guard.mutex();
        // Relaxed: see the top of this file.
        let asleep_at = self.word.fetch_or(SLEEPERS, Ordering::Relaxed) | SLEEPERS;
        drop(guard);
        let is_woken = futex::wait(&self.word, asleep_at, deadline)? != Wake::TimedOut;
        match mutex.lock_deadline(deadline) {
            Ok(guard) => Ok((guard, is_woken)),
            Err(error) => {
                if is_woken {
                    // Let another one act on it.
                    self.notify_one();
                }
                Err(error)
            }
        }
    }

    /// Waits until `condition` is false of what the mutex guards.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`] if it is true until `deadline`, and those of
    /// [`wait_deadline`](Self::wait_deadline). The caller does not hold the mutex any more then.
    pub fn wait_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        deadline: Deadline,
        mut condition: impl FnMut(&T) -> bool,
    ) -> Result<MutexGuard<'a, T>, LockError> {
        while condition(&guard) {
            let (again, is_woken) = self.wait_deadline(guard, deadline)?;
            guard = again;
            if !is_woken && condition(&guard) {
                return Err(LockError::TimedOut);
            }
        }
        Ok(guard)
    }

    /// Wakes one of those who wait, if any. Never blocks.
    pub fn notify_one(&self) {
        // Relaxed: see the top of this file.
        if self.word.load(Ordering::Relaxed) & SLEEPERS != 0 {
            // Leaves the bit, since others may sleep on. The call fails only for a word that is not mapped.
            let _ = futex::change_and_wake(&self.word, Change::Add(2), 1);
        }
    }

    /// Wakes all who wait. Never blocks.
    pub fn notify_all(&self) {
        // Relaxed: see the top of this file.
        if self.word.load(Ordering::Relaxed) & SLEEPERS != 0 {
            // The call fails only for a word that is not mapped.
            let _ = futex::change_and_wake(&self.word, Change::Add(1), u32::MAX);
        }
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}
