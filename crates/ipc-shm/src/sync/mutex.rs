//! A mutex in shared memory, for processes that may die with it. Leaves out how the kernel learns of the
//! lock, and the protocol of its word: see [`super::robust`].

// A reference to plain data, under the user's statement of trust.
#![allow(unsafe_code)]

use std::fmt;
use std::ops::Deref;

use ipc_core::{Deadline, WaitStrategy};

use super::robust::{Held, RobustFutex};
use super::{LOCK_STRATEGY, LockError};
use crate::spin::Patience;

/// Mutual exclusion between threads of any processes, and what it guards. Zeroed memory is a free mutex.
///
/// `T` is a [`Shared`](crate::Shared) type, which the guard gives a reference to: a
/// [`Value`](crate::Value) of a plain type, which the guard can [`get`](MutexGuard::get) and
/// [`set`](MutexGuard::set), a struct made by [`shared!`](crate::shared), a container, or `()`.
///
/// ```
/// use ipc_shm::{Mutex, Value};
///
/// let account: Mutex<Value<u64>> = Mutex::new(Value::new(100)); // or in a segment
/// let mut guard = account.lock()?;
/// if guard.owner_died() {
///     // Its last owner was killed between lock and release. Look what it was about, and:
///     guard.mark_repaired();
/// }
/// guard.update(|balance| *balance += 5);
/// assert_eq!(guard.get(), 105);
/// # Ok::<(), ipc_shm::LockError>(())
/// ```
///
/// # When an owner dies
///
/// However a thread ends that holds the mutex (`kill -9`, a crash, the end of the thread with the guard
/// forgotten, the main thread's `execve(2)`), the kernel frees the mutex and wakes a waiter. The next
/// owner's guard says so ([`owner_died`](MutexGuard::owner_died)). Its owner looks at the data, puts it in
/// order, and says so ([`mark_repaired`](MutexGuard::mark_repaired)). If it dies as well, the next one is
/// told the same. If it releases the mutex without saying so, the mutex is **poisoned**: everybody gets
/// [`LockError::Poisoned`] from then on, until somebody [`recover`](Self::recover)s it. An owner that
/// panics with the guard in its hands is like one that dies.
///
/// A process that is stopped, or slow, is not dead, and keeps the mutex.
///
/// One end is not seen: a thread **other than the main one** that calls `execve(2)` while it holds the
/// mutex. The kernel gives it the main thread's id before it goes through the list, and so does not find
/// the mutex to be its own, which stays taken. (It is so with robust mutexes of libc too.)
///
/// # Who must trust whom
///
/// Safe code stays sound whatever other processes write, without the lock too. But the exclusion itself,
/// and that a death is seen, are as good as the worst process that can write the memory: it may free a
/// mutex that is not its own, keep it for ever, or make the kernel overlook that somebody died (the kernel
/// reads a pointer in the mutex, see `set_robust_list(2)`).
///
/// All who use a mutex must be of one PID namespace: its word holds a thread id, and two namespaces give
/// the same id to different threads.
///
/// # Forks, threads and signals
///
/// A guard belongs to its thread. After `fork(2)` the parent's thread holds the mutex, and the child's
/// copy of the guard holds nothing: dropping it does nothing. A thread may hold up to 64 of this crate's
/// locks at once, in any order of release; a second lock of the same mutex by its owner is an error. Not
/// for signal handlers, which may interrupt a thread half-way through taking a lock.
///
/// # Cost
///
/// A free mutex is taken and released by an atomic instruction each, and a few stores to memory of the
/// thread's own for the kernel; no system call. Where several wait, a release wakes them all, since one
/// alone might be killed on its way to the mutex.
///
/// # Layout
///
/// 40 bytes, aligned to 8: the lock's word, a gap, the entry for the kernel; then the data.
#[repr(C)]
pub struct Mutex<T> {
    lock: RobustFutex,
    data: T,
}

#[cfg(not(ipc_loom))]
const _: () = {
    assert!(size_of::<Mutex<()>>() == 40 && align_of::<Mutex<()>>() == 8);
    assert!(std::mem::offset_of!(Mutex<[u64; 3]>, data) == 40);
};

// SAFETY: C's layout of a lock, which is atomics, and of a `Shared` type. The safe methods rely on nothing
// that is in the memory: what a guard gives out is a shared reference.
#[cfg(not(ipc_loom))]
unsafe impl<T: crate::Shared> crate::Shared for Mutex<T> {
    const IDENTITY: crate::TypeIdentity = crate::TypeIdentity::of_struct(
        "ipc-shm.Mutex/1",
        size_of::<Self>(),
        align_of::<Self>(),
        &[("data", std::mem::offset_of!(Self, data), T::IDENTITY)],
    );
}

impl<T> Mutex<T> {
    /// A free mutex around `data`.
    #[cfg(not(ipc_loom))]
    pub const fn new(data: T) -> Self {
        Self { lock: RobustFutex::new(), data }
    }

    #[cfg(ipc_loom)]
    pub(crate) fn new(data: T) -> Self {
        Self { lock: RobustFutex::new(), data }
    }

    /// Takes the mutex, waiting for it as long as it takes: looking for some microseconds, then asleep.
    ///
    /// # Errors
    ///
    /// [`LockError::Poisoned`], [`LockError::AlreadyHeld`], [`LockError::TooManyHeld`]. [`LockError::Os`]
    /// the first time in a thread or after a fork, where a filter of system calls refuses
    /// `get_robust_list(2)` or `madvise(2)`; otherwise in practice never.
    #[inline(always)]
    pub fn lock(&self) -> Result<MutexGuard<'_, T>, LockError> {
        self.lock_with(LOCK_STRATEGY, Deadline::Never)
    }

    /// Takes the mutex if it is free. Never blocks.
    ///
    /// # Errors
    ///
    /// [`LockError::Busy`], and those of [`lock`](Self::lock).
    #[inline(always)]
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, LockError> {
        self.lock_with(LOCK_STRATEGY, Deadline::Now)
    }

    /// Takes the mutex, waiting for it until `deadline`.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`], and those of [`lock`](Self::lock).
    #[inline(always)]
    pub fn lock_deadline(&self, deadline: Deadline) -> Result<MutexGuard<'_, T>, LockError> {
        self.lock_with(LOCK_STRATEGY, deadline)
    }

    /// Takes the mutex, waiting for it in this way until `deadline`.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`], and those of [`lock`](Self::lock).
    #[inline(always)]
    pub fn lock_with(
        &self,
        strategy: WaitStrategy,
        deadline: Deadline,
    ) -> Result<MutexGuard<'_, T>, LockError> {
        let held = self.lock.acquire(Patience { deadline, strategy })?;
        Ok(MutexGuard::new(self, held))
    }

    /// Takes a mutex that is [poisoned](LockError::Poisoned), to bring what it guards in order, and make it
    /// usable again. The guard is as that of a mutex whose owner died: what it guards must be marked as
    /// repaired. `None` if the mutex is not poisoned.
    ///
    /// # Errors
    ///
    /// [`LockError::TooManyHeld`], [`LockError::Os`].
    pub fn recover(&self) -> Result<Option<MutexGuard<'_, T>>, LockError> {
        Ok(self.lock.acquire_given_up()?.map(|held| MutexGuard::new(self, held)))
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock.word().look(ipc_core::sync::Ordering::Relaxed);
        f.debug_struct("Mutex").field("state", &state).finish_non_exhaustive()
    }
}

/// A mutex that this thread holds. Dropping it releases the mutex.
///
/// Do not `mem::forget` it: the mutex stays taken until the thread ends, and if its memory is unmapped
/// before, the kernel may overlook what else the thread holds when it dies.
#[must_use = "the mutex is released when the guard is dropped"]
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    held: Held,
}

impl<'a, T> MutexGuard<'a, T> {
    #[inline]
    fn new(mutex: &'a Mutex<T>, held: Held) -> Self {
        Self { mutex, held }
    }

    /// Whether the last owner died, and nobody has marked what it left behind as repaired. Then do
    /// [`mark_repaired`](Self::mark_repaired), or the mutex will be poisoned.
    #[inline]
    pub fn owner_died(&self) -> bool {
        self.held.owner_died()
    }

    /// States that what the mutex guards is in order.
    #[inline]
    pub fn mark_repaired(&mut self) {
        self.held.mark_repaired();
    }

    /// The mutex that it holds.
    pub(super) fn mutex(&self) -> &'a Mutex<T> {
        self.mutex
    }
}

#[cfg(not(ipc_loom))]
impl<T: ipc_core::Identified> MutexGuard<'_, crate::Value<T>> {
    /// A copy of the value.
    #[inline]
    pub fn get(&self) -> T {
        self.mutex.data.load()
    }

    /// Overwrites the value.
    #[inline]
    pub fn set(&mut self, value: &T) {
        self.mutex.data.store(value);
    }

    /// Lets `change` alter a copy of the value, and writes it back; passes on what it returns. If it
    /// panics, the value stays as it was.
    #[inline]
    pub fn update<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        self.mutex.data.update(change)
    }

    /// The value itself, without copies.
    ///
    /// # Safety
    ///
    /// While the reference lives, no process writes the value without holding this mutex, nor by a mapping
    /// of the same memory at another address in this process: which takes trust in every process that can
    /// write the memory.
    #[inline]
    pub unsafe fn trusted_mut(&mut self) -> &mut T {
        // SAFETY: mapped and aligned as the mutex is; nobody else reads or writes it meanwhile: threads of
        // this process by the lock, and the borrow of the guard; other processes by the caller's word.
        unsafe { &mut *self.mutex.data.as_ptr() }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.mutex.data
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.lock.release(self.held, self.held.leaving());
    }
}

impl<T: fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MutexGuard")
            .field("owner_died", &self.owner_died())
            .field("data", &**self)
            .finish()
    }
}
