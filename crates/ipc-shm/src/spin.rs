//! The part of a wait that looks before it sleeps.

use ipc_core::sync::spin_loop;
use ipc_core::{Deadline, WaitStrategy};

/// How long to wait, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) deadline: Deadline,
    pub(crate) strategy: WaitStrategy,
}

/// What came of looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It is there.
    Ready,
    /// It did not come, and the strategy says to sleep now.
    Sleep,
    /// It did not come until the deadline.
    TimedOut,
}

impl Patience {
    /// None at all.
    pub(crate) const NONE: Self = Self { deadline: Deadline::Now, strategy: WaitStrategy::Park };

    /// Looks at least once, then as often as the strategy says, until the deadline.
    pub(crate) fn look(self, mut is_ready: impl FnMut() -> bool) -> Look {
        /// Looks between two readings of the clock, which takes about as long as a look.
        const LOOKS_PER_CLOCK: u32 = 16;

        if is_ready() {
            return Look::Ready;
        }
        let most = self.strategy.spins_before_sleep();
        let mut looks: u32 = 0;
        loop {
            if looks % LOOKS_PER_CLOCK == 0 && self.deadline.has_passed() {
                return Look::TimedOut;
            }
            if most.is_some_and(|most| looks >= most) {
                return Look::Sleep;
            }
            spin_loop();
            if is_ready() {
                return Look::Ready;
            }
            looks = looks.wrapping_add(1);
        }
    }
}

/// The earlier of `deadline` and `nap` from now: for a sleep that must look again after a while, since
/// nobody wakes it for everything that it waits for.
#[cfg(not(ipc_loom))]
pub(crate) fn nap_until(deadline: Deadline, nap: std::time::Duration) -> Deadline {
    match deadline.remaining() {
        Some(remaining) if remaining <= nap => deadline,
        _ => Deadline::after(nap),
    }
}

/// In a model whoever sleeps must be woken.
#[cfg(ipc_loom)]
pub(crate) fn nap_until(deadline: Deadline, _nap: std::time::Duration) -> Deadline {
    deadline
}
