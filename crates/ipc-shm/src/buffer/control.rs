//! The algorithm of the bounded buffer: who may use which slot, and when. Leaves out where the memory
//! comes from and what a slot holds, so that loom checks the very code that ships.
//!
//! # The textbook's version, and what is wrong with it
//!
//! ```text
//! sender:  wait(empty)  wait(mutex)  fill slot[in]   in += 1   signal(mutex)  signal(full)
//! receiver: wait(full)  wait(mutex)  empty slot[out] out += 1  signal(mutex)  signal(empty)
//! ```
//!
//! A process killed between any two of these steps takes something with it: the mutex, and everybody
//! hangs; a unit of `empty` or `full`, and a slot is lost for ever.
//!
//! # Ours
//!
//! The mutex is a [`RobustWord`]: the kernel passes it on when its owner dies. A unit is not taken
//! before the work, but **looked for**, and taken at the end, with the mutex held:
//!
//! ```text
//! sender:   await empty > 0   lock   fill slot[in]    full += 1   in += 1    empty -= 1   unlock
//! receiver: await full > 0    lock   empty slot[out]  empty += 1  out += 1   full -= 1    unlock
//!                                                     announce    commit     settle
//! ```
//!
//! - `in` and `out` alone say what the buffer holds: `in - out` messages. Each operation changes it
//!   by one store, the **commit**. Killed before it, the operation never was; after it, it is whole.
//! - The semaphores are for waiting. At every instruction `full` is **at least** `in - out`, and
//!   `empty` at least what is left of the slots: they are raised before the commit and lowered
//!   after it. Only the owner of the mutex changes them. So whoever sees zero sees the truth, and
//!   whoever sleeps on one is woken before the commit that he waits for; he then queues for the
//!   mutex, whose owner's death wakes him too. Nobody sleeps through a commit, whoever is killed.
//! - What a dead owner leaves behind is a semaphore that is too high. Whoever is told that the owner
//!   died lowers both to the truth. Killed in the middle of that, he leaves the same to the next.
//!
//! The stores of a killed process are those of a prefix of its program: the compiler keeps their
//! order because each is a release, and the processor because it finishes what it has executed.
//!
//! Positions only grow; at a message per nanosecond they last five hundred years.

use std::io;
use std::time::Duration;

use ipc_core::Deadline;
use ipc_core::sync::{AtomicU64, Ordering};

use crate::death::{has_died, may_die};
use crate::spin::Patience;
use crate::sync::Semaphore;
use crate::sync::robust::{Announcement, Found, Look, RobustWord};

/// The shared words of a buffer. See [`crate::layout`] for where they lie.
#[repr(C)]
pub(crate) struct Control {
    owned: Padded<Owned>,
    /// At least `in - out`.
    full: Padded<Semaphore>,
    /// At least the number of slots, less `in - out`.
    empty: Padded<Semaphore>,
}

/// What only the owner of the mutex touches, with the mutex.
#[repr(C)]
struct Owned {
    mutex: RobustWord,
    /// How many messages were ever put in. The next goes to this slot, modulo their number.
    put: AtomicU64,
    /// How many messages were ever taken out: at most `put`, at least `put` less the slots.
    taken: AtomicU64,
}

/// Two cache lines for itself: processors fetch lines in pairs.
#[repr(C, align(128))]
struct Padded<T>(T);

/// Why nothing was put or taken.
#[derive(Debug)]
pub(crate) enum Refusal<E> {
    /// Full or empty until the deadline.
    NotReady,
    /// What the shared words say cannot be.
    Garbage(&'static str),
    /// A system call failed.
    Os(io::Error),
    /// The caller's own reason not to fill or to empty the slot. Nothing has changed.
    Caller(E),
}

impl<E> From<io::Error> for Refusal<E> {
    fn from(error: io::Error) -> Self {
        Self::Os(error)
    }
}

/// The two ways through the buffer, which mirror each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

impl Control {
    /// Makes zeroed words those of an empty buffer.
    pub(crate) fn initialise(&self, slots: u32) {
        self.empty.0.initialise(slots);
    }

    /// An empty buffer, on the heap of a model.
    #[cfg(ipc_loom)]
    pub(crate) fn new(slots: u32) -> Self {
        let owned =
            Owned { mutex: RobustWord::new(), put: AtomicU64::new(0), taken: AtomicU64::new(0) };
        let (full, empty) = (Semaphore::new(0), Semaphore::new(slots));
        Self { owned: Padded(owned), full: Padded(full), empty: Padded(empty) }
    }

    /// Checks that the semaphores tell the truth, while nobody is inside.
    #[cfg(any(test, ipc_loom))]
    pub(crate) fn assert_settled(&self, slots: u32, messages: u32) {
        assert_eq!((self.full.0.count(), self.empty.0.count()), (messages, slots - messages));
    }

    /// Waits for a free slot, lets `fill` write to it, and commits. `fill` gets the slot's position.
    pub(crate) fn put<E>(
        &self,
        slots: u32,
        patience: Patience,
        fill: impl FnOnce(u64) -> Result<(), E>,
    ) -> Result<(), Refusal<E>> {
        self.pass(Way::In, slots, patience, fill)
    }

    /// Waits for a message, lets `empty` read it, and commits. `empty` gets the slot's position.
    pub(crate) fn take<T, E>(
        &self,
        slots: u32,
        patience: Patience,
        empty: impl FnOnce(u64) -> Result<T, E>,
    ) -> Result<T, Refusal<E>> {
        self.pass(Way::Out, slots, patience, empty)
    }

    fn pass<T, E>(
        &self,
        way: Way,
        slots: u32,
        patience: Patience,
        work: impl FnOnce(u64) -> Result<T, E>,
    ) -> Result<T, Refusal<E>> {
        let (mine, theirs) = match way {
            Way::In => (&self.empty.0, &self.full.0),
            Way::Out => (&self.full.0, &self.empty.0),
        };
        loop {
            if !mine.wait_available(patience)? {
                return Err(Refusal::NotReady);
            }
            let Some(_lock) = self.lock(slots, patience)? else {
                return Err(Refusal::NotReady);
            };
            let (put, taken) = self.positions(slots)?;
            let (ready, position, counter) = match way {
                Way::In => (put - taken < u64::from(slots), put, &self.owned.0.put),
                Way::Out => (put > taken, taken, &self.owned.0.taken),
            };
            if ready {
                may_die()?;
                let result = work(position).map_err(Refusal::Caller)?;
                may_die()?;
                theirs.release()?;
                may_die()?;
                // Release keeps the announcement before the commit, for the sake of those who look
                // after a kill. The mutex is what others acquire.
                counter.store(position + 1, Ordering::Release);
                may_die()?;
                mine.try_acquire();
                may_die()?;
                return Ok(result);
            }
            // Somebody else came first.
            if patience.deadline.has_passed() {
                return Err(Refusal::NotReady);
            }
        }
    }

    /// Takes the mutex, and puts in order what a dead owner has left.
    fn lock<E>(&self, slots: u32, patience: Patience) -> Result<Option<Locked<'_>>, Refusal<E>> {
        let mutex = &self.owned.0.mutex;
        let Some((lock, found)) = Locked::acquire(mutex, patience)? else {
            return Ok(None);
        };
        if found == Found::OwnerDied {
            let (put, taken) = self.positions(slots)?;
            let messages = (put - taken) as u32;
            may_die()?;
            self.full.0.lower_to(messages);
            may_die()?;
            self.empty.0.lower_to(slots - messages);
            may_die()?;
        }
        Ok(Some(lock))
    }

    /// How many messages were put in, and how many taken out. Call with the mutex held.
    fn positions<E>(&self, slots: u32) -> Result<(u64, u64), Refusal<E>> {
        // Relaxed: the mutex orders them.
        let put = self.owned.0.put.load(Ordering::Relaxed);
        let taken = self.owned.0.taken.load(Ordering::Relaxed);
        match put.checked_sub(taken) {
            Some(messages) if messages <= u64::from(slots) && put < u64::MAX => Ok((put, taken)),
            _ => Err(Refusal::Garbage("positions that cannot be")),
        }
    }
}

/// The mutex, held.
pub(crate) struct Locked<'a> {
    mutex: &'a RobustWord,
    announcement: Announcement,
}

impl<'a> Locked<'a> {
    /// Waits for the mutex until the deadline, and how it was found.
    pub(crate) fn acquire<E>(
        mutex: &'a RobustWord,
        patience: Patience,
    ) -> Result<Option<(Self, Found)>, Refusal<E>> {
        /// How long even an operation that must not wait waits for another one to leave the mutex,
        /// which takes that one about the time of copying a message. One that was stopped inside
        /// keeps it for longer; then the answer is "full" or "empty".
        const GRACE: Duration = Duration::from_millis(1);

        let announcement = Announcement::new(mutex)?;
        let mut look = mutex.acquire(announcement.thread_id(), patience)?;
        if look == Look::Busy {
            let deadline = Deadline::after(GRACE);
            look = mutex.acquire(announcement.thread_id(), Patience { deadline, ..patience })?;
        }
        match look {
            Look::Taken(found) => Ok(Some((Self { mutex, announcement }, found))),
            Look::Busy => Ok(None),
            // No process that keeps to the protocol writes such a word.
            Look::Mine | Look::GivenUp => Err(Refusal::Garbage("a lock that cannot be")),
        }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let thread_id = self.announcement.thread_id();
        if has_died() {
            self.mutex.owner_dies(thread_id);
        } else {
            self.mutex.release(thread_id);
        }
    }
}
