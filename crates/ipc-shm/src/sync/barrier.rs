//! A barrier in shared memory, whose members may die.
//!
//! # The protocol
//!
//! A barrier that counts who has come could not know that somebody never will. So each member holds a robust
//! lock, a **seat**, for as long as it is one, and the kernel marks the seat when the member dies. One word
//! counts rounds, and those who have come in this one. The last to come begins the next round and wakes the
//! others, who sleep on the word.
//!
//! Nobody sleeps on the seats, for one can sleep on one word only: who waits wakes up now and then
//! ([`NAP`]) and looks at them. That also wakes those whose waker was killed between beginning a round and
//! waking them.

// Asserts an unsafe trait.
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::time::Duration;

use ipc_core::sync::{AtomicU32, Ordering};
use ipc_core::{Deadline, WaitStrategy, futex};

use super::LockError;
use super::robust::{Found, Held, Leaving, Look, RobustFutex};
use crate::spin::{self, Patience};

/// Lets `PARTIES` threads of any processes wait for each other, round after round. Zeroed memory is a barrier
/// without members.
///
/// A thread [`join`](Self::join)s, and is a member until it drops the [`BarrierMember`], or dies. A round is
/// over when all have come to [`wait`](BarrierMember::wait).
///
/// **A member that dies** breaks the barrier, whether it had come or not: all who wait, and all who come
/// later, get [`BarrierError::Broken`], within some 10 ms of the death, until somebody
/// [`repair`](Self::repair)s the barrier. (If it died after all had come, that round is over as it should be.)
/// A member that is only late, or stopped, is waited for. Whether a thread that never joined is dead cannot be
/// known: the others wait for it until their deadline.
///
/// ```
/// use ipc_core::Deadline;
/// use ipc_shm::Barrier;
///
/// let barrier = Barrier::<2>::new(); // or in a segment
/// std::thread::scope(|scope| {
///     let party = || {
///         let mut member = barrier.join().expect("a seat is free");
///         member.wait(Deadline::Never).expect("nobody dies")
///     };
///     let other = scope.spawn(party);
///     let is_last = party();
///     assert!(is_last ^ other.join().expect("no panic"));
/// });
/// ```
///
/// # Layout
///
/// At 0 the rounds (shifted left by 8) and who has come in this one; a gap of 4 bytes; from 8 on a robust lock
/// for each party, as in a [`Mutex`](crate::Mutex#layout).
#[repr(C)]
pub struct Barrier<const PARTIES: usize> {
    /// `rounds << 8 | come`
    state: AtomicU32,
    unused: u32,
    seats: [RobustFutex; PARTIES],
}

#[cfg(not(ipc_loom))]
const _: () = {
    assert!(size_of::<Barrier<3>>() == 8 + 3 * 40 && align_of::<Barrier<3>>() == 8);
    assert!(std::mem::offset_of!(Barrier<3>, seats) == 8);
};

// SAFETY: C's layout of atomics, and of a gap that nobody reads.
#[cfg(not(ipc_loom))]
unsafe impl<const PARTIES: usize> crate::Shared for Barrier<PARTIES> {
    const IDENTITY: crate::TypeIdentity = crate::TypeIdentity::of_struct(
        "ipc-shm.Barrier/1",
        size_of::<Self>(),
        align_of::<Self>(),
        &[],
    );
}

/// Why a barrier was not joined or passed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BarrierError {
    /// Not all have come until the deadline. The caller does not count as one who has come.
    #[error("barrier: timed out before all had come")]
    TimedOut,
    /// A member has died. This error repeats for everybody, until the barrier is repaired.
    #[error("barrier: a member has died")]
    Broken,
    /// It has as many members as parties.
    #[error("barrier: all {parties} seats are taken")]
    Full {
        /// How many members it may have.
        parties: usize,
    },
    /// What the memory says cannot be: somebody else has written there.
    #[error("barrier: more have come than there are members")]
    Garbage,
    /// The seat's lock could not be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A system call failed.
    #[error("barrier: {0}")]
    Os(#[from] io::Error),
}

/// How long at most a member sleeps before it looks whether another one has died.
const NAP: Duration = Duration::from_millis(10);
/// One round.
const ROUND: u32 = 1 << 8;
/// The part of the state that counts who has come.
const COME: u32 = ROUND - 1;

impl<const PARTIES: usize> Barrier<PARTIES> {
    /// One without members.
    #[cfg(not(ipc_loom))]
    pub const fn new() -> Self {
        const { assert!(PARTIES > 0 && PARTIES <= COME as usize, "1 to 255 parties") };
        let seats = [const { RobustFutex::new() }; PARTIES];
        Self { state: AtomicU32::new(0), unused: 0, seats }
    }

    #[cfg(ipc_loom)]
    pub(crate) fn new() -> Self {
        let seats = std::array::from_fn(|_| RobustFutex::new());
        Self { state: AtomicU32::new(0), unused: 0, seats }
    }

    /// Makes the calling thread a member. Never blocks.
    ///
    /// # Errors
    ///
    /// [`BarrierError::Broken`], [`BarrierError::Full`]; [`BarrierError::Lock`] for
    /// [`LockError::TooManyHeld`] and [`LockError::Os`].
    pub fn join(&self) -> Result<BarrierMember<'_, PARTIES>, BarrierError> {
        if self.is_broken() {
            return Err(BarrierError::Broken);
        }
        for (seat, lock) in self.seats.iter().enumerate() {
            match lock.acquire(Patience::NONE) {
                Ok(held) if held.owner_died() => {
                    // Died since the look: left as it was found.
                    lock.release(held, Leaving::AsDead);
                    return Err(BarrierError::Broken);
                }
                Ok(held) => return Ok(BarrierMember { barrier: self, seat, held }),
                Err(LockError::Busy | LockError::AlreadyHeld | LockError::Poisoned) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(BarrierError::Full { parties: PARTIES })
    }

    /// Whether a member has died. It may be stale on return.
    pub fn is_broken(&self) -> bool {
        // Relaxed: what follows from it is told by errors, not by memory.
        self.seats.iter().any(|seat| {
            let look = seat.word().look(Ordering::Relaxed);
            matches!(look, Look::Taken(Found::OwnerDied) | Look::GivenUp)
        })
    }

    /// Gives the seats of the dead to others, and begins a new round, in which nobody has come. Call it when no
    /// living member waits: each of them must have got [`BarrierError::Broken`]. Never blocks.
    ///
    /// # Errors
    ///
    /// [`BarrierError::Lock`] for [`LockError::TooManyHeld`] and [`LockError::Os`].
    pub fn repair(&self) -> Result<(), BarrierError> {
        // Relaxed: nobody waits.
        let rounds = self.state.load(Ordering::Relaxed) & !COME;
        self.state.store(rounds.wrapping_add(ROUND), Ordering::Relaxed);
        for seat in &self.seats {
            let taken = match seat.word().look(Ordering::Relaxed) {
                Look::Taken(Found::OwnerDied) => seat.acquire(Patience::NONE).map(Some),
                Look::GivenUp => seat.acquire_given_up(),
                _ => continue,
            };
            match taken {
                Ok(Some(held)) => seat.release(held, Leaving::InOrder),
                // Another one repairs it too.
                Ok(None) | Err(LockError::Busy) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl<const PARTIES: usize> Default for Barrier<PARTIES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const PARTIES: usize> fmt::Debug for Barrier<PARTIES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.load(Ordering::Relaxed);
        f.debug_struct("Barrier")
            .field("parties", &PARTIES)
            .field("have_come", &(state & COME))
            .field("is_broken", &self.is_broken())
            .finish()
    }
}

/// A thread that takes part in a [`Barrier`]. Dropping it leaves the barrier, and a seat for another one.
pub struct BarrierMember<'a, const PARTIES: usize> {
    barrier: &'a Barrier<PARTIES>,
    seat: usize,
    held: Held,
}

impl<const PARTIES: usize> BarrierMember<'_, PARTIES> {
    /// Waits until all have come, at most until `deadline`; tells whether this thread was the last. What each
    /// did before it came is visible to all. Asleep at once. See
    /// [`wait_with`](Self::wait_with).
    ///
    /// # Errors
    ///
    /// [`BarrierError::Broken`], [`BarrierError::TimedOut`], [`BarrierError::Garbage`]; [`BarrierError::Os`] in
    /// practice never.
    pub fn wait(&mut self, deadline: Deadline) -> Result<bool, BarrierError> {
        self.wait_with(WaitStrategy::Park, deadline)
    }

    /// The same, waiting in this way.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait).
    pub fn wait_with(
        &mut self,
        strategy: WaitStrategy,
        deadline: Deadline,
    ) -> Result<bool, BarrierError> {
        let state = &self.barrier.state;
        if self.barrier.is_broken() {
            return Err(BarrierError::Broken);
        }
        let round = match self.come()? {
            Coming::Last => return Ok(true),
            Coming::Early { round } => round,
        };
        let patience = Patience { deadline, strategy };
        // Acquire pairs with the Release in `come`, of all who have come.
        let is_over = || state.load(Ordering::Acquire) & !COME != round;
        loop {
            match patience.look(is_over) {
                spin::Look::Ready => return Ok(false),
                spin::Look::TimedOut => return self.withdraw(round),
                spin::Look::Sleep => {}
            }
            // In this order: a member that dies after all have come does not spoil their round.
            let (is_broken, now) = (self.barrier.is_broken(), state.load(Ordering::Acquire));
            if now & !COME != round {
                return Ok(false);
            }
            if is_broken {
                // Others may sleep until their nap is over: they need not.
                futex::wake(state, u32::MAX)?;
                return Err(BarrierError::Broken);
            }
            futex::wait(state, now, spin::nap_until(deadline, NAP))?;
        }
    }

    /// Counts this thread among those who have come.
    fn come(&self) -> Result<Coming, BarrierError> {
        let state = &self.barrier.state;
        let mut now = state.load(Ordering::Relaxed); // the exchange looks again
        // Each failure is another one's coming or going, of which there are no more than members; but for
        // somebody who writes what it likes.
        for _ in 0..1_000 {
            let come = now & COME;
            if come >= PARTIES as u32 {
                return Err(BarrierError::Garbage);
            }
            let is_last = come + 1 == PARTIES as u32;
            let next = if is_last { (now & !COME).wrapping_add(ROUND) } else { now + 1 };
            // AcqRel: all that came before is visible to the last, and by it to all.
            match state.compare_exchange(now, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if is_last => {
                    futex::wake(state, u32::MAX)?;
                    return Ok(Coming::Last);
                }
                Ok(_) => return Ok(Coming::Early { round: now & !COME }),
                Err(other) => now = other,
            }
        }
        Err(BarrierError::Garbage)
    }

    /// Counts this thread no more, unless the round is over.
    fn withdraw(&self, round: u32) -> Result<bool, BarrierError> {
        let state = &self.barrier.state;
        let mut now = state.load(Ordering::Acquire); // as in `wait_with`
        for _ in 0..1_000 {
            if now & !COME != round {
                return Ok(false);
            }
            if now & COME == 0 {
                return Err(BarrierError::Garbage);
            }
            // Release: those who came before are still visible to the last.
            match state.compare_exchange(now, now - 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Err(BarrierError::TimedOut),
                Err(other) => now = other,
            }
        }
        Err(BarrierError::Garbage)
    }
}

enum Coming {
    Last,
    Early { round: u32 },
}

impl<const PARTIES: usize> Drop for BarrierMember<'_, PARTIES> {
    fn drop(&mut self) {
        self.barrier.seats[self.seat].release(self.held, Leaving::InOrder);
    }
}

impl<const PARTIES: usize> fmt::Debug for BarrierMember<'_, PARTIES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierMember").field("seat", &self.seat).finish_non_exhaustive()
    }
}
