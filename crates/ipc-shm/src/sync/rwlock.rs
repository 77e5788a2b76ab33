//! A read-write lock in shared memory, for processes that may die with it: readers too.
//!
//! # The protocol
//!
//! A count of readers could not say which of them has died. So each reader takes a robust lock of its own,
//! a **slot**, and the writer takes the **writer's lock**; the kernel frees each of them when its owner dies.
//!
//! ```text
//! reader:  take a slot            look: no writer?   or release the slot, wait for the writer, try again
//! writer:  take the writer's lock   wait for each slot to be free
//! ```
//!
//! Each first takes its lock and then looks at the other's, so that they cannot both miss each other: both
//! steps are sequentially consistent, and in their one order one of the two locks was taken before the other
//! side looked (C++20 [atomics.order] 4). loom treats such accesses as weaker than they are; there, a fence
//! stands between the two steps. Without it, the model `a_writer_excludes_readers_and_writers` fails.
//!
//! A writer that has come keeps new readers out, and waits for those inside: writers do not starve, and
//! readers do if one writer follows another without end.
//!
//! A reader that dies leaves what it read as it was: its slot is simply free. A writer that dies may have
//! left things half-done: only if it was through waiting, which the word `writing` says.

// Asserts an unsafe trait, and a reference to plain data under the user's statement of trust.
#![allow(unsafe_code)]

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use ipc_core::sync::{AtomicU32, Ordering};
use ipc_core::{Deadline, WaitStrategy};

use super::robust::{Found, Held, Leaving, Look, RobustFutex, Thread};
use super::{LOCK_STRATEGY, LockError};
use crate::spin::{self, Patience};

/// Many readers or one writer at a time, threads of any processes, and what the lock guards. Zeroed memory is
/// a free lock.
///
/// Up to `READERS` read at the same moment; further ones wait. For the rest it is as a
/// [`Mutex`](crate::Mutex): what is said there of deaths, trust, forks and namespaces holds here.
///
/// - A **reader** that dies is gone, and nobody else notices.
/// - A **writer** that dies lets the next writer know ([`owner_died`](RwLockWriteGuard::owner_died)), who must
///   repair what it left behind. Until then readers get [`LockError::NeedsRepair`]. A writer that dies while
///   it still waits for readers has changed nothing, and nobody is told.
///
/// A thread that reads may read once more, but a writer that waits between the two keeps it out for ever.
///
/// ```
/// use ipc_shm::{RwLock, Value};
///
/// let limits: RwLock<Value<[u32; 2]>> = RwLock::new(Value::new([10, 20])); // or in a segment
/// {
///     let (one, other) = (limits.read()?, limits.read()?);
///     assert_eq!(one.get(), other.get());
///     assert!(limits.try_write().is_err());
/// }
/// limits.write()?.set(&[30, 40]);
/// assert_eq!(limits.read()?.get(), [30, 40]);
/// # Ok::<(), ipc_shm::LockError>(())
/// ```
///
/// # Cost
///
/// Taking and releasing it costs a reader about twice what a mutex costs, in a cache line of its own:
/// readers do not slow each other down. A writer looks at the line of every slot.
///
/// # Layout
///
/// Aligned to 64 bytes. The writer's lock (40 bytes, as in a [`Mutex`](crate::Mutex#layout)); at 40 a word
/// that is 1 while a writer may be changing the data; from 64 on, 64 bytes for each of the `READERS`; then the
/// data.
#[repr(C)]
pub struct RwLock<T, const READERS: usize = 16> {
    writer: RobustFutex,
    writing: AtomicU32,
    readers: [Slot; READERS],
    data: T,
}

/// A reader's lock, on a cache line of its own.
#[repr(C, align(64))]
struct Slot {
    lock: RobustFutex,
}

#[cfg(not(ipc_loom))]
const _: () = {
    type Four = RwLock<u64, 4>;
    assert!(size_of::<Four>() == 64 + 4 * 64 + 64 && align_of::<Four>() == 64);
    assert!(std::mem::offset_of!(Four, writing) == 40);
    assert!(std::mem::offset_of!(Four, readers) == 64);
    assert!(std::mem::offset_of!(Four, data) == 64 + 4 * 64);
};

// SAFETY: C's layout of atomics and of a `Shared` type, which is given out by shared references only.
#[cfg(not(ipc_loom))]
unsafe impl<T: crate::Shared, const READERS: usize> crate::Shared for RwLock<T, READERS> {
    const IDENTITY: crate::TypeIdentity = crate::TypeIdentity::of_struct(
        "ipc-shm.RwLock/1",
        size_of::<Self>(),
        align_of::<Self>(),
        &[("data", std::mem::offset_of!(Self, data), T::IDENTITY)],
    );
}

/// Why a reader is kept out.
enum Obstacle {
    Writer,
    /// All slots are taken; this is one of them.
    NoSlot(usize),
}

impl<T, const READERS: usize> RwLock<T, READERS> {
    /// How long at most a reader sleeps that waits for any of the slots: it can sleep on one only, and a
    /// reader that dies wakes but those who sleep on its own.
    const NAP: Duration = Duration::from_millis(1);

    /// A free lock around `data`.
    #[cfg(not(ipc_loom))]
    pub const fn new(data: T) -> Self {
        const { assert!(READERS > 0, "somebody must be able to read") };
        let readers = [const { Slot { lock: RobustFutex::new() } }; READERS];
        Self { writer: RobustFutex::new(), writing: AtomicU32::new(0), readers, data }
    }

    #[cfg(ipc_loom)]
    pub(crate) fn new(data: T) -> Self {
        let readers = std::array::from_fn(|_| Slot { lock: RobustFutex::new() });
        Self { writer: RobustFutex::new(), writing: AtomicU32::new(0), readers, data }
    }

    /// Takes the lock to read, waiting for it as long as it takes.
    ///
    /// # Errors
    ///
    /// [`LockError::NeedsRepair`], and those of [`Mutex::lock`](crate::Mutex::lock).
    #[inline(always)]
    pub fn read(&self) -> Result<RwLockReadGuard<'_, T, READERS>, LockError> {
        self.read_with(LOCK_STRATEGY, Deadline::Never)
    }

    /// Takes the lock to read, if no writer has it or waits for it. Never blocks.
    ///
    /// # Errors
    ///
    /// [`LockError::Busy`], also if all slots are taken; those of [`read`](Self::read).
    #[inline(always)]
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T, READERS>, LockError> {
        self.read_with(LOCK_STRATEGY, Deadline::Now)
    }

    /// Takes the lock to read, waiting for it until `deadline`.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`], and those of [`read`](Self::read).
    #[inline(always)]
    pub fn read_deadline(
        &self,
        deadline: Deadline,
    ) -> Result<RwLockReadGuard<'_, T, READERS>, LockError> {
        self.read_with(LOCK_STRATEGY, deadline)
    }

    /// Takes the lock to read, waiting for it in this way until `deadline`.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`], and those of [`read`](Self::read).
    #[inline(always)]
    pub fn read_with(
        &self,
        strategy: WaitStrategy,
        deadline: Deadline,
    ) -> Result<RwLockReadGuard<'_, T, READERS>, LockError> {
        match self.enter()? {
            Ok(guard) => Ok(guard),
            Err(_) => self.read_slowly(Patience { deadline, strategy }),
        }
    }

    #[cold]
    fn read_slowly(
        &self,
        patience: Patience,
    ) -> Result<RwLockReadGuard<'_, T, READERS>, LockError> {
        loop {
            let mut entered = Ok(Err(Obstacle::Writer));
            let look = patience.look(|| {
                entered = self.enter();
                !matches!(entered, Ok(Err(_)))
            });
            match (entered?, look) {
                (Ok(guard), _) => return Ok(guard),
                (Err(_), spin::Look::TimedOut) => return Err(LockError::busy(patience.deadline)),
                (Err(Obstacle::Writer), _) => {
                    self.writer.word().sleep_while_held(patience.deadline)?;
                }
                (Err(Obstacle::NoSlot(slot)), _) => {
                    let nap = spin::nap_until(patience.deadline, Self::NAP);
                    self.readers[slot].lock.word().sleep_while_held(nap)?;
                }
            }
        }
    }

    /// Goes in as a reader, if nothing is in the way.
    #[inline(always)] // so that the guard need not go through memory
    fn enter(&self) -> Result<Result<RwLockReadGuard<'_, T, READERS>, Obstacle>, LockError> {
        // A look beforehand spares the slot's comings and goings.
        if !self.admits_readers()? {
            return Ok(Err(Obstacle::Writer));
        }
        let first = Thread::current()?.id() as usize;
        for index in (first..first + READERS).map(|index| index % READERS) {
            let lock = &self.readers[index].lock;
            // Relaxed: who takes it looks again.
            if lock.word().is_held(Ordering::Relaxed) {
                continue;
            }
            let held = match lock.acquire(Patience::NONE) {
                Ok(held) => held,
                Err(LockError::Busy | LockError::Poisoned) => continue,
                Err(error) => return Err(error),
            };
            let guard = RwLockReadGuard { lock: self, slot: index, held };
            fence_between_taking_and_looking();
            // If not, the guard releases the slot again.
            return Ok(if self.admits_readers()? { Ok(guard) } else { Err(Obstacle::Writer) });
        }
        Ok(Err(Obstacle::NoSlot(first % READERS)))
    }

    /// Whether there is neither a writer nor what a dead one has left.
    #[inline]
    fn admits_readers(&self) -> Result<bool, LockError> {
        // SeqCst: see the top of this file. It is also an Acquire, which pairs with the Release in the
        // writer's release.
        match self.writer.word().look(Ordering::SeqCst) {
            Look::Taken(Found::InOrder) => Ok(true),
            Look::Taken(Found::OwnerDied) if self.is_torn() => Err(LockError::NeedsRepair),
            Look::Taken(Found::OwnerDied) => Ok(true),
            Look::GivenUp => Err(LockError::Poisoned),
            Look::Busy | Look::Mine => Ok(false),
        }
    }

    /// Whether the last writer did not come to the end of its changes.
    fn is_torn(&self) -> bool {
        // Relaxed: ordered by the writer's lock, which the caller has looked at.
        self.writing.load(Ordering::Relaxed) != 0
    }

    /// Takes the lock to write, waiting for it as long as it takes.
    ///
    /// # Errors
    ///
    /// Those of [`Mutex::lock`](crate::Mutex::lock).
    #[inline(always)]
    pub fn write(&self) -> Result<RwLockWriteGuard<'_, T, READERS>, LockError> {
        self.write_with(LOCK_STRATEGY, Deadline::Never)
    }

    /// Takes the lock to write if it is free. Never blocks.
    ///
    /// # Errors
    ///
    /// [`LockError::Busy`], and those of [`write`](Self::write).
    #[inline(always)]
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T, READERS>, LockError> {
        self.write_with(LOCK_STRATEGY, Deadline::Now)
    }

    /// Takes the lock to write, waiting for it until `deadline`.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`], and those of [`write`](Self::write).
    #[inline(always)]
    pub fn write_deadline(
        &self,
        deadline: Deadline,
    ) -> Result<RwLockWriteGuard<'_, T, READERS>, LockError> {
        self.write_with(LOCK_STRATEGY, deadline)
    }

    /// Takes the lock to write, waiting for it in this way until `deadline`.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`], and those of [`write`](Self::write).
    #[inline(always)]
    pub fn write_with(
        &self,
        strategy: WaitStrategy,
        deadline: Deadline,
    ) -> Result<RwLockWriteGuard<'_, T, READERS>, LockError> {
        let patience = Patience { deadline, strategy };
        let held = self.writer.acquire(patience)?;
        self.begin_writing(held, patience)
    }

    /// Takes a lock that is [poisoned](LockError::Poisoned), to repair what it guards; see
    /// [`Mutex::recover`](crate::Mutex::recover). `None` if it is not poisoned. Waits until `deadline` for
    /// readers, of which there are none unless somebody has broken the rules.
    ///
    /// # Errors
    ///
    /// [`LockError::Busy`], [`LockError::TimedOut`], [`LockError::TooManyHeld`], [`LockError::Os`].
    pub fn recover(
        &self,
        deadline: Deadline,
    ) -> Result<Option<RwLockWriteGuard<'_, T, READERS>>, LockError> {
        match self.writer.acquire_given_up()? {
            None => Ok(None),
            Some(held) => {
                // Relaxed: the writer's lock orders it.
                self.writing.store(1, Ordering::Relaxed);
                let patience = Patience { deadline, strategy: LOCK_STRATEGY };
                self.begin_writing(held, patience).map(Some)
            }
        }
    }

    /// Has the writer's lock: waits until no reader is inside.
    #[inline(always)] // so that the guard need not go through memory
    fn begin_writing(
        &self,
        mut held: Held,
        patience: Patience,
    ) -> Result<RwLockWriteGuard<'_, T, READERS>, LockError> {
        if !self.is_torn() {
            held.mark_repaired();
        }
        let mut guard = RwLockWriteGuard { lock: self, held, is_writing: false };
        fence_between_taking_and_looking();
        for slot in &self.readers {
            // SeqCst: see the top of this file. It is also an Acquire, which pairs with the Release in the
            // reader's release.
            if slot.lock.word().is_held(Ordering::SeqCst) {
                self.await_reader(slot, patience)?; // or the guard releases the writer's lock
            }
        }
        guard.is_writing = true;
        // Relaxed: those who look at it after a death see what the dead one did in its program's order,
        // which the fence keeps; for others the writer's lock orders it.
        self.writing.store(1, Ordering::Relaxed);
        #[cfg(not(ipc_loom))]
        std::sync::atomic::compiler_fence(Ordering::SeqCst);
        Ok(guard)
    }

    #[cold]
    fn await_reader(&self, slot: &Slot, patience: Patience) -> Result<(), LockError> {
        let word = slot.lock.word();
        if word.is_held_by(Thread::current()?.id()) {
            return Err(LockError::AlreadyHeld);
        }
        loop {
            // Acquire as in `begin_writing`.
            match patience.look(|| !word.is_held(Ordering::Acquire)) {
                spin::Look::Ready => return Ok(()),
                spin::Look::TimedOut => return Err(LockError::busy(patience.deadline)),
                spin::Look::Sleep => word.sleep_while_held(patience.deadline)?,
            }
        }
    }
}

/// See the top of the file.
#[inline(always)]
fn fence_between_taking_and_looking() {
    #[cfg(ipc_loom)]
    ipc_core::sync::fence(Ordering::SeqCst);
}

impl<T, const READERS: usize> fmt::Debug for RwLock<T, READERS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let readers =
            self.readers.iter().filter(|slot| slot.lock.word().is_held(Ordering::Relaxed));
        f.debug_struct("RwLock")
            .field("writer", &self.writer.word().look(Ordering::Relaxed))
            .field("readers", &readers.count())
            .finish_non_exhaustive()
    }
}

/// A lock that this thread holds to read. Dropping it releases the lock. What is said of forgetting a
/// [`MutexGuard`](crate::MutexGuard) holds here too.
#[must_use = "the lock is released when the guard is dropped"]
pub struct RwLockReadGuard<'a, T, const READERS: usize = 16> {
    lock: &'a RwLock<T, READERS>,
    slot: usize,
    held: Held,
}

#[cfg(not(ipc_loom))]
impl<T: ipc_core::Identified, const READERS: usize> RwLockReadGuard<'_, crate::Value<T>, READERS> {
    /// A copy of the value.
    #[inline]
    pub fn get(&self) -> T {
        self.lock.data.load()
    }
}

impl<T, const READERS: usize> Deref for RwLockReadGuard<'_, T, READERS> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.lock.data
    }
}

impl<T, const READERS: usize> Drop for RwLockReadGuard<'_, T, READERS> {
    #[inline]
    fn drop(&mut self) {
        self.lock.readers[self.slot].lock.release(self.held, Leaving::InOrder);
    }
}

impl<T: fmt::Debug, const READERS: usize> fmt::Debug for RwLockReadGuard<'_, T, READERS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RwLockReadGuard").field(&**self).finish()
    }
}

/// A lock that this thread holds to write. Dropping it releases the lock. What is said of forgetting a
/// [`MutexGuard`](crate::MutexGuard) holds here too.
#[must_use = "the lock is released when the guard is dropped"]
pub struct RwLockWriteGuard<'a, T, const READERS: usize = 16> {
    lock: &'a RwLock<T, READERS>,
    held: Held,
    /// Whether it is through waiting for readers.
    is_writing: bool,
}

impl<T, const READERS: usize> RwLockWriteGuard<'_, T, READERS> {
    /// Whether a writer died, and nobody has marked what it left behind as repaired. Then do
    /// [`mark_repaired`](Self::mark_repaired), or the lock will be poisoned.
    #[inline]
    pub fn owner_died(&self) -> bool {
        self.held.owner_died()
    }

    /// States that what the lock guards is in order.
    #[inline]
    pub fn mark_repaired(&mut self) {
        self.held.mark_repaired();
    }
}

#[cfg(not(ipc_loom))]
impl<T: ipc_core::Identified, const READERS: usize> RwLockWriteGuard<'_, crate::Value<T>, READERS> {
    /// A copy of the value.
    #[inline]
    pub fn get(&self) -> T {
        self.lock.data.load()
    }

    /// Overwrites the value.
    #[inline]
    pub fn set(&mut self, value: &T) {
        self.lock.data.store(value);
    }

    /// Lets `change` alter a copy of the value, and writes it back; passes on what it returns. If it
    /// panics, the value stays as it was.
    #[inline]
    pub fn update<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        self.lock.data.update(change)
    }

    /// The value itself, without copies.
    ///
    /// # Safety
    ///
    /// While the reference lives, no process reads or writes the value without holding this lock, nor by a
    /// mapping of the same memory at another address in this process: which takes trust in every process
    /// that can write the memory.
    #[inline]
    pub unsafe fn trusted_mut(&mut self) -> &mut T {
        // SAFETY: mapped and aligned as the lock is; nobody else reads or writes it meanwhile: threads of
        // this process by the lock, and the borrow of the guard; other processes by the caller's word.
        unsafe { &mut *self.lock.data.as_ptr() }
    }
}

impl<T, const READERS: usize> Deref for RwLockWriteGuard<'_, T, READERS> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.lock.data
    }
}

impl<T, const READERS: usize> Drop for RwLockWriteGuard<'_, T, READERS> {
    #[inline]
    fn drop(&mut self) {
        let leaving = match self.held.leaving() {
            // As it was found.
            Leaving::GivenUp if !self.is_writing => Leaving::AsDead,
            leaving => leaving,
        };
        if leaving == Leaving::InOrder && !crate::death::has_died() {
            // Release keeps what was written before it, for the sake of those who look after a kill.
            self.lock.writing.store(0, Ordering::Release);
        }
        self.lock.writer.release(self.held, leaving);
    }
}

impl<T: fmt::Debug, const READERS: usize> fmt::Debug for RwLockWriteGuard<'_, T, READERS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLockWriteGuard")
            .field("owner_died", &self.owner_died())
            .field("data", &**self)
            .finish()
    }
}
