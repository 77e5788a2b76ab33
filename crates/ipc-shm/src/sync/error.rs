//! Why a lock in shared memory was not taken.

use std::io;

use ipc_core::Deadline;

/// Why a lock was not taken. Whoever gets one does not hold the lock.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another thread has it, and the deadline was [`Deadline::Now`].
    #[error("lock: another thread has it")]
    Busy,
    /// Another thread had it until the deadline.
    #[error("lock: timed out while another thread had it")]
    TimedOut,
    /// Somebody has released it without repairing what an owner that had died left behind. This error
    /// repeats for everybody, until the lock is recovered.
    #[error("lock: poisoned, since what a dead owner left behind was not repaired")]
    Poisoned,
    /// A writer has died, and only a writer can repair what it left behind. This error repeats for every
    /// reader until one has.
    #[error("lock: a writer died, and no other one has repaired what it left behind")]
    NeedsRepair,
    /// This very thread has it: waiting for it would never end.
    #[error("lock: this thread has it already")]
    AlreadyHeld,
    /// This thread holds as many locks as the crate can keep track of.
    #[error("lock: this thread holds {max} locks, and no more can be told of its death")]
    TooManyHeld {
        /// How many a thread may hold.
        max: usize,
    },
    /// A system call failed.
    #[error("lock: {0}")]
    Os(#[from] io::Error),
}

impl LockError {
    /// The error for a lock that another thread has when there is no more time.
    pub(crate) fn busy(deadline: Deadline) -> Self {
        match deadline {
            Deadline::Now => Self::Busy,
            Deadline::Never | Deadline::At(_) => Self::TimedOut,
        }
    }

    /// Whether trying again later can succeed by itself.
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Busy | Self::TimedOut)
    }
}
