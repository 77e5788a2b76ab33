//! How long an operation may wait. Leaves out the waiting itself: see [`crate::poll`] and
//! [`crate::futex`].

use std::time::{Duration, Instant};

/// How long an operation may wait for the link: patience as one parameter.
///
/// Deadlines are absolute and monotonic (`CLOCK_MONOTONIC`, which [`Instant`] reads on Linux), so
/// that a signal that interrupts a wait cannot lengthen it.
///
/// ```
/// use ipc_core::Deadline;
/// use std::time::{Duration, Instant};
///
/// assert_eq!(Deadline::Now.remaining(), Some(Duration::ZERO));
/// assert_eq!(Deadline::Never.remaining(), None);
/// assert_eq!(Deadline::after(Duration::MAX), Deadline::Never);
/// assert!(Deadline::from(Instant::now()).has_passed());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// Do not wait: answer "full" or "empty" at once.
    Now,
    /// Wait as long as it takes.
    Never,
    /// Wait until this instant, then answer "timed out". An instant in the past still tries once.
    At(Instant),
}

impl Deadline {
    /// The deadline `timeout` from now; [`Deadline::Never`] where the clock cannot count that far.
    #[inline]
    pub fn after(timeout: Duration) -> Self {
        Instant::now().checked_add(timeout).map_or(Self::Never, Self::At)
    }

    /// The time left: `None` means without limit, and zero that the deadline is [`Deadline::Now`]
    /// or has passed.
    #[inline]
    pub fn remaining(self) -> Option<Duration> {
        match self {
            Self::Now => Some(Duration::ZERO),
            Self::Never => None,
            Self::At(instant) => Some(instant.saturating_duration_since(Instant::now())),
        }
    }

    /// Whether waiting any longer would overrun. Always true of [`Deadline::Now`].
    #[inline]
    pub fn has_passed(self) -> bool {
        match self {
            Self::Now => true,
            Self::Never => false,
            Self::At(instant) => Instant::now() >= instant,
        }
    }
}

impl From<Instant> for Deadline {
    fn from(instant: Instant) -> Self {
        Self::At(instant)
    }
}
