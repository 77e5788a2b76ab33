//! A robust lock as it lies in shared memory: taken, linked, released. Leaves out what it guards, and
//! what is made of a dead owner.

use std::io;
use std::marker::PhantomData;
#[cfg(not(ipc_loom))]
use std::sync::atomic::{AtomicU32, Ordering};

use ipc_core::Deadline;

use super::{Found, Look, MAX_HELD, RobustWord, Thread};
use crate::death::{has_died, may_die};
use crate::spin::Patience;
use crate::sync::{LOCK_STRATEGY, LockError};

/// A lock's word, and room for the entry by which the kernel finds it. Zeroed memory is a free lock.
///
/// ```text
///  0  word
///  4  unused
/// 24  entry: a pointer in the owner's address space, to its next lock (libc says where: at 32 in glibc,
///     at 28 in musl). Written by the owner, read by the kernel when the owner has died.
/// 40
/// ```
#[repr(C, align(8))]
pub(crate) struct RobustFutex {
    word: RobustWord,
    #[cfg(not(ipc_loom))]
    entry: [AtomicU32; 9],
}

// It lies in memory that programs share which were built apart.
#[cfg(not(ipc_loom))]
const _: () = assert!(size_of::<RobustFutex>() == 40 && align_of::<RobustFutex>() == 8);

/// A lock that this thread holds.
#[derive(Debug)]
pub(crate) struct Held {
    /// The process in which it was taken, and above it the slot: in one word, for registers.
    epoch_and_slot: u64,
    pub(crate) found: Found,
    /// The kernel takes it for this thread's.
    of_this_thread: PhantomData<*mut ()>,
}

/// What a lock becomes that is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// Free, and in order.
    InOrder,
    /// Free, as if its owner had died.
    AsDead,
    /// Given up for good.
    GivenUp,
}

impl RobustFutex {
    /// A free lock.
    #[cfg(not(ipc_loom))]
    pub(crate) const fn new() -> Self {
        Self { word: RobustWord::new(), entry: [const { AtomicU32::new(0) }; 9] }
    }

    /// A free lock.
    #[cfg(ipc_loom)]
    pub(crate) fn new() -> Self {
        Self { word: RobustWord::new() }
    }

    #[inline]
    pub(crate) fn word(&self) -> &RobustWord {
        &self.word
    }

    /// Takes the lock, waiting for it until the deadline.
    ///
    /// # Errors
    ///
    /// Those of [`Mutex::lock_with`](crate::Mutex::lock_with).
    #[inline]
    pub(crate) fn acquire(&self, patience: Patience) -> Result<Held, LockError> {
        if let Some(thread) = Thread::ready() {
            thread.announce(self);
            if self.word.take_unused(thread.id()) {
                return self.taken(thread, Found::InOrder);
            }
        }
        self.acquire_used(patience)
    }

    #[cold]
    fn acquire_used(&self, patience: Patience) -> Result<Held, LockError> {
        self.acquire_by(patience.deadline, |word, thread| {
            if patience.strategy != LOCK_STRATEGY {
                return word.acquire(thread.id(), patience);
            }
            let mut budget = thread.budget();
            let look = word.acquire_within(thread.id(), patience.deadline, &mut budget);
            thread.keep_budget(budget);
            look
        })
    }

    /// Takes the lock if it was given up, as one whose owner has died; `None` if it was not.
    pub(crate) fn acquire_given_up(&self) -> Result<Option<Held>, LockError> {
        let take = |word: &RobustWord, thread: &Thread| {
            let taken = word.take_given_up(thread.id());
            Ok(if taken { Look::Taken(Found::OwnerDied) } else { Look::Busy })
        };
        match self.acquire_by(Deadline::Now, take) {
            Ok(held) => Ok(Some(held)),
            Err(LockError::Busy) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes the lock by `act`, if that says so, under an announcement.
    fn acquire_by(
        &self,
        deadline: Deadline,
        act: impl FnOnce(&RobustWord, &Thread) -> io::Result<Look>,
    ) -> Result<Held, LockError> {
        let thread = Thread::current()?;
        if thread.is_full() {
            return Err(LockError::TooManyHeld { max: MAX_HELD });
        }
        thread.announce(self);
        let error = match may_die().and_then(|()| act(&self.word, thread)) {
            Ok(Look::Taken(found)) => return self.taken(thread, found),
            Ok(Look::Busy) => LockError::busy(deadline),
            Ok(Look::Mine) => LockError::AlreadyHeld,
            Ok(Look::GivenUp) => LockError::Poisoned,
            Err(error) => error.into(),
        };
        if has_died() {
            self.word.owner_dies(thread.id());
        }
        thread.end_announcement();
        Err(error)
    }

    /// The lock is ours, and announced: puts it on the list.
    #[inline]
    fn taken(&self, thread: &Thread, found: Found) -> Result<Held, LockError> {
        if let Err(killed) = may_die() {
            self.word.owner_dies(thread.id());
            return Err(killed.into());
        }
        let (slot, epoch) = (thread.link(self), thread.epoch());
        thread.end_announcement();
        let epoch_and_slot = u64::from(slot) << u32::BITS | u64::from(epoch);
        Ok(Held { epoch_and_slot, found, of_this_thread: PhantomData })
    }

    /// Releases the lock. In a forked child, which has only a copy of the holder, does nothing.
    #[inline]
    pub(crate) fn release(&self, held: &Held, leaving: Leaving) {
        let (epoch, slot) = (held.epoch_and_slot as u32, (held.epoch_and_slot >> u32::BITS) as u8);
        let Some(thread) = Thread::of_epoch(epoch) else { return };
        if has_died() {
            return self.word.owner_dies(thread.id());
        }
        thread.announce(self);
        thread.unlink(self, slot);
        let released = may_die().map(|()| match leaving {
            Leaving::InOrder => self.word.release(thread.id()),
            Leaving::AsDead => self.word.release_as_dead(),
            Leaving::GivenUp => self.word.give_up(),
        });
        if released.and_then(|()| may_die()).is_err() {
            self.word.owner_dies(thread.id());
        }
        thread.end_announcement();
    }
}

#[cfg(not(ipc_loom))]
impl RobustFutex {
    /// The most bytes from the word to the entry.
    pub(crate) const FARTHEST_ENTRY: usize = 32;

    /// The first word, of the room for it, of an entry that lies so many bytes from the lock's word;
    /// `None` if there is no room.
    pub(super) fn entry_at(offset: usize) -> Option<usize> {
        let fits = offset % size_of::<u32>() == 0 && (12..=Self::FARTHEST_ENTRY).contains(&offset);
        fits.then(|| offset / size_of::<u32>() - 1)
    }

    /// Writes the entry, which begins with this word of the room for it. Relaxed accesses: it is for the
    /// kernel, when this thread has ended.
    #[inline]
    pub(super) fn point_to(&self, first: usize, next: *mut u8) {
        let first = first % 8; // so that nobody need check
        let bytes = next.expose_provenance().to_ne_bytes();
        for (part, word) in bytes.chunks_exact(size_of::<u32>()).zip(&self.entry[first..]) {
            let part = u32::from_ne_bytes(part.try_into().expect("four bytes"));
            word.store(part, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(ipc_loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_entry_lies_where_libc_says_and_within_the_lock() {
        for offset in 0..60 {
            let Some(first) = RobustFutex::entry_at(offset) else { continue };
            let lock = RobustFutex::new();
            let pointer = std::ptr::without_provenance_mut(0x0123_4567_89ab_cdef_u64 as usize);
            lock.point_to(first, pointer);
            let words: Vec<u32> =
                lock.entry.iter().map(|word| word.load(Ordering::Relaxed)).collect();
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            let (before, rest) = bytes.split_at(offset - size_of::<u32>());
            let (entry, after) = rest.split_at(size_of::<usize>());
            assert_eq!(entry, pointer.addr().to_ne_bytes(), "at {offset}");
            assert!(before.iter().chain(after).all(|&byte| byte == 0), "at {offset}");
        }
        assert!([28, 32].iter().all(|&offset| RobustFutex::entry_at(offset).is_some()));
    }
}
