//! A robust lock as it lies in shared memory: taken, linked, released. Leaves out what it guards, and
//! what is made of a dead owner.

use std::io;
use std::marker::PhantomData;
use std::num::{NonZeroU32, NonZeroU64};
#[cfg(not(ipc_loom))]
use std::sync::atomic::{AtomicU32, Ordering};

use ipc_core::{Deadline, WaitStrategy};

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

/// A lock that this thread holds. In one word, which travels in a register.
///
/// | bits | meaning |
/// |---|---|
/// | 0–31 | the [epoch](Thread::epoch) of the process in which it was taken: never 0 |
/// | 32–39 | the slot in the thread's list |
/// | 40 | its last owner died, and nobody has repaired what that left behind |
/// | 41 | the thread was panicking when it took it |
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    bits: NonZeroU64,
    /// The kernel takes it for this thread's.
    of_this_thread: PhantomData<*mut ()>,
}

const SLOT_SHIFT: u32 = 32;
const OWNER_DIED: u64 = 1 << 40;
const WAS_PANICKING: u64 = 1 << 41;

impl Held {
    #[inline]
    fn new(epoch: NonZeroU32, slot: u8, found: Found) -> Self {
        let mut bits = NonZeroU64::from(epoch) | u64::from(slot) << SLOT_SHIFT;
        if found == Found::OwnerDied {
            bits |= OWNER_DIED;
        }
        if std::thread::panicking() {
            bits |= WAS_PANICKING;
        }
        Self { bits, of_this_thread: PhantomData }
    }

    #[inline]
    fn epoch(&self) -> u32 {
        self.bits.get() as u32
    }

    #[inline]
    fn slot(&self) -> u8 {
        (self.bits.get() >> SLOT_SHIFT) as u8
    }

    /// Whether its last owner died, and nobody has [marked](Self::mark_repaired) it as repaired.
    #[inline]
    pub(crate) fn owner_died(&self) -> bool {
        self.bits.get() & OWNER_DIED != 0
    }

    /// What it guards is in order.
    #[inline]
    pub(crate) fn mark_repaired(&mut self) {
        let bits = self.bits.get() & !OWNER_DIED;
        self.bits = NonZeroU64::new(bits).expect("the epoch is not 0");
    }

    /// What the lock must become if it is released now: an owner that began to panic with the lock in its
    /// hands is like one that dies, and what was to be repaired must have been.
    #[inline]
    pub(crate) fn leaving(&self) -> Leaving {
        if std::thread::panicking() && self.bits.get() & WAS_PANICKING == 0 {
            Leaving::AsDead
        } else if self.owner_died() {
            Leaving::GivenUp
        } else {
            Leaving::InOrder
        }
    }
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
    #[inline(always)] // so that the result need not go through memory
    pub(crate) fn acquire(&self, patience: Patience) -> Result<Held, LockError> {
        match self.take_unused() {
            Some(held) => Ok(held),
            None => self.acquire_used(patience.deadline, patience.strategy),
        }
    }

    /// Takes the lock if it is free and in order, and there is nothing to find out about the thread.
    /// Otherwise there may be an announcement, which [`acquire_used`](Self::acquire_used) replaces.
    #[inline]
    fn take_unused(&self) -> Option<Held> {
        // As few stores as can be: each is one that an exchange of the word must wait for.
        let Some(thread) = Thread::without_locks() else { return self.take_further() };
        thread.announce(self);
        if !self.word.take_unused(thread.id()) || self.may_die_with(thread) {
            return None;
        }
        thread.link_only(self);
        thread.end_announcement();
        Some(Held::new(thread.epoch(), 0, Found::InOrder))
    }

    /// The same, for a thread that holds other locks.
    #[inline(never)]
    fn take_further(&self) -> Option<Held> {
        let thread = Thread::ready()?;
        thread.announce(self);
        if !self.word.take_unused(thread.id()) {
            return None;
        }
        self.taken(thread, Found::InOrder).ok()
    }

    #[cold]
    #[inline(never)]
    fn acquire_used(
        &self,
        deadline: Deadline, // apart, since both in one struct would be written to memory beforehand
        strategy: WaitStrategy,
    ) -> Result<Held, LockError> {
        self.acquire_by(deadline, |word, thread| {
            if strategy != LOCK_STRATEGY {
                return word.acquire(thread.id(), Patience { deadline, strategy });
            }
            let mut budget = thread.budget();
            let look = word.acquire_within(thread.id(), deadline, &mut budget);
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
        if has_died() {
            return Err(io::Error::from(io::ErrorKind::Other).into()); // a model's thread
        }
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
    fn taken(&self, thread: &Thread, found: Found) -> Result<Held, LockError> {
        if self.may_die_with(thread) {
            return Err(io::Error::from(io::ErrorKind::Other).into());
        }
        let held = Held::new(thread.epoch(), thread.link(self), found);
        thread.end_announcement();
        Ok(held)
    }

    /// Releases the lock. In a forked child, which has only a copy of the holder, does nothing.
    #[inline]
    pub(crate) fn release(&self, held: Held, leaving: Leaving) {
        let thread = match Thread::with_one_lock(held.epoch()) {
            Some(thread) if leaving == Leaving::InOrder && !has_died() => thread,
            _ => return self.release_any(held, leaving),
        };
        thread.announce(self);
        thread.unlink_only();
        if self.may_die_with(thread) {
            return;
        }
        if !self.word.release_unwanted(thread.id()) {
            return self.release_wanted(thread);
        }
        if !self.may_die_with(thread) {
            thread.end_announcement();
        }
    }

    /// The same, whatever else the thread holds.
    #[inline(never)]
    fn release_any(&self, held: Held, leaving: Leaving) {
        let Some(thread) = Thread::of_epoch(held.epoch()) else { return };
        if has_died() {
            return self.word.owner_dies(thread.id());
        }
        thread.announce(self);
        thread.unlink(self, held.slot());
        if self.may_die_with(thread) {
            return;
        }
        match leaving {
            Leaving::InOrder if self.word.release_unwanted(thread.id()) => {}
            Leaving::InOrder => return self.release_wanted(thread),
            Leaving::AsDead => self.word.release_as_dead(),
            Leaving::GivenUp => self.word.give_up(),
        }
        if !self.may_die_with(thread) {
            thread.end_announcement();
        }
    }

    /// Frees the lock, which is announced and on no list, and wakes those who wait for it.
    #[cold]
    #[inline(never)]
    fn release_wanted(&self, thread: &Thread) {
        self.word.release_wanted();
        if !self.may_die_with(thread) {
            thread.end_announcement();
        }
    }

    /// A point at which a test lets this thread die, which has announced the lock and may hold it; whether
    /// it has died.
    #[inline(always)]
    fn may_die_with(&self, thread: &Thread) -> bool {
        let dies = may_die().is_err();
        if dies {
            self.word.owner_dies(thread.id());
        }
        dies
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

    /// Writes the entry, which begins with this word of the room for it, unless that is what it says: a
    /// store is what the next exchange must wait for, and mostly the same thread takes a lock again. Relaxed
    /// accesses: it is for the kernel, when this thread has ended.
    #[inline]
    pub(super) fn point_to(&self, first: usize, next: *mut u8) {
        let first = first % 8; // so that nobody need check
        let bytes = next.expose_provenance().to_ne_bytes();
        for (part, word) in bytes.chunks_exact(size_of::<u32>()).zip(&self.entry[first..]) {
            let part = u32::from_ne_bytes(part.try_into().expect("four bytes"));
            if word.load(Ordering::Relaxed) != part {
                word.store(part, Ordering::Relaxed);
            }
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
